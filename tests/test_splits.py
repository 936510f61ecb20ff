import dataclasses

import numpy as np
import pytest
from conftest import random_data

from helo import splits


def parts(split):
    return [set(split.train), set(split.validation), set(split.test)]


@pytest.mark.parametrize("protocol", ["subjects", "trials", "windows"])
@pytest.mark.filterwarnings("ignore:random_windows leaks")
def test_folds_cover_every_window_once(simulated, protocol):
    folds = splits.PROTOCOLS[protocol](simulated, 3)
    tested = np.concatenate([s.test for s in folds])
    assert sorted(tested) == list(range(len(simulated)))
    for split in folds:
        train, validation, test = parts(split)
        assert train and validation and test
        assert not (train & validation or train & test or validation & test)
        assert len(train | validation | test) == len(simulated)


def test_by_subject_keeps_people_apart(simulated):
    folds = splits.by_subject(simulated)
    assert [s.name for s in folds] == [f"subject-P{k}" for k in range(1, 7)]
    for split in folds:
        seen = [set(simulated.subjects[rows]) for rows in (split.train, split.validation, split.test)]
        assert not (seen[0] & seen[1] or seen[0] & seen[2] or seen[1] & seen[2])
        # everybody watches every clip, so a new person's clip was seen with others
        assert splits.leaks(simulated, split) == {"subject": 0, "clip": len(split.test), "trial": 0, "signal": 0}


def test_by_trial_keeps_clips_whole(simulated):
    for split in splits.by_trial(simulated):
        found = splits.leaks(simulated, split)
        assert found["trial"] == found["signal"] == 0 and found["subject"] == len(split.test)


def test_random_windows_warn_and_leak(simulated):
    with pytest.warns(UserWarning, match="random_windows leaks"):
        split = splits.random_windows(simulated)[0]
    found = splits.leaks(simulated, split)
    assert found["trial"] > 0.9 * len(split.test) and found["signal"] > 0.5 * len(split.test)


def test_signal_leak_counts_overlap_in_time():
    data = random_data(n=20, starts=np.tile(np.arange(5) * 30.0, 4), window=60.0)
    split = splits.Split("x", np.array([0, 1]), np.array([], int), np.array([2, 3, 4, 5]))
    # window 2 (60-120 s) overlaps window 1 (30-90 s); 3 and 4 start 60 s and more after it; 5 is another person
    assert splits.leaks(data, split)["signal"] == 1


def test_what_reaches_from_another_trial_into_a_tested_one_is_not_trained_on():
    """Windows of 60 s every 30 s, two a trial: the one before and the one after a tested trial share its signal."""
    data = random_data(n=40, starts=np.tile(np.arange(10) * 30.0, 4), window=60.0)
    for split in splits.by_trial(data):
        assert splits.leaks(data, split)["signal"] == 0 and len(split.seen) and len(split.test) == 8
        assert not splits.touching(data, split.train, split.validation).any() and len(split.validation)
        gone = set(range(40)) - {*split.seen, *split.test}
        tested = {(data.subjects[k], data.starts[k]) for k in split.test}
        beside = {k for k in range(40) for s, t in tested if data.subjects[k] == s and abs(data.starts[k] - t) == 30.0}
        assert beside - set(split.test) <= gone
        for part in splits.nested(data, split, 2):
            assert not splits.touching(data, part.train, part.validation).any() and len(part.train)
    given = splits.by_protocol(data, "subjects", calibrate=2)[0]
    assert splits.leaks(data, given)["signal"] == 0
    assert (data.subjects[given.train] == data.subjects[given.test][0]).sum() == 3, "four given, the last one overlaps"
    with pytest.raises(ValueError, match="every training window overlaps .*are start times counted"):
        splits.by_trial(dataclasses.replace(data, starts=np.zeros(40)))
    both = splits.Split("x", np.array([5]), np.array([2]), np.array([3]))
    with pytest.warns(UserWarning, match="every validation window overlaps one that is tested in time"):
        assert splits.apart(data, both).train.tolist() == [5]


def test_splits_depend_on_the_seed_alone(simulated):
    one, two, other = (splits.by_subject(simulated, 3, seed=s) for s in (1, 1, 2))
    assert all((a.test == b.test).all() and (a.train == b.train).all() for a, b in zip(one, two, strict=True))
    assert any(set(a.test) != set(b.test) for a, b in zip(one, other, strict=True))


def test_order_of_windows_does_not_matter(simulated):
    order = np.random.default_rng(0).permutation(len(simulated))
    shuffled = random_data(n=len(simulated), subjects=simulated.subjects[order], trials=simulated.trials[order])
    for a, b in zip(splits.by_subject(simulated, 3), splits.by_subject(shuffled, 3), strict=True):
        assert set(a.test) == set(order[b.test])


def test_s10_comes_after_s9_where_people_are_left_out_and_drawn():
    data = random_data(120, subjects=np.repeat([f"S{k}" for k in range(1, 13)], 10), trials=np.tile(np.arange(10), 12))
    assert [s.name for s in splits.by_subject(data)] == [f"subject-S{k}" for k in range(1, 13)]
    names = np.char.replace(data.subjects, "S", "S0")  # S01, ..., S012: as numbers the same order
    renamed = dataclasses.replace(data, subjects=names)
    for one, two in zip(splits.by_subject(data, 4), splits.by_subject(renamed, 4), strict=True):
        assert one.test.tolist() == two.test.tolist()


def test_one_subject_is_refused():
    alone = random_data(subjects=np.array(["a"] * 40))
    with pytest.raises(ValueError, match=r"splitting by subject found one subject \(a\); expected at least two"):
        splits.by_subject(alone)
    assert len(splits.by_trial(alone, 2)) == 2


def test_too_many_folds_are_refused(simulated):
    with pytest.raises(ValueError, match="folds is 7; expected 2 to 6"):
        splits.by_subject(simulated, 7)


def test_without_validation(simulated):
    assert len(splits.by_subject(simulated, validation=0)[0].validation) == 0


def test_nested_folds_let_all_training_people_validate_once(simulated):
    split = splits.by_subject(simulated)[2]
    folds = splits.nested(simulated, split, folds=3)
    assert [f.name for f in folds] == [f"subject-P3-nested{k}of3" for k in (1, 2, 3)]
    people = [set(simulated.subjects[f.validation]) for f in folds]
    assert sorted(p for group in people for p in group) == ["P1", "P2", "P4", "P5", "P6"]
    for fold, group in zip(folds, people, strict=True):
        train, validation, test = parts(fold)
        assert test == set(split.test)
        assert train | validation == set(split.train) | set(split.validation)
        assert not group & set(simulated.subjects[fold.train])


def test_nested_folds_by_trial_where_people_are_fewer_than_folds(simulated):
    split = splits.by_subject(simulated)[0]
    folds = splits.nested(simulated, split, folds=6)
    held = [set(simulated.trial_ids[f.validation]) for f in folds]
    assert sorted(t for group in held for t in group) == sorted(set(simulated.trial_ids[split.seen]))
    for fold, group in zip(folds, held, strict=True):
        assert not group & set(simulated.trial_ids[fold.train]) and set(fold.test) == set(split.test)
    alone = random_data(subjects=["a"] * 20 + ["b"] * 20, trials=np.tile(np.repeat(np.arange(5), 4), 2))
    (first, _) = splits.by_subject(alone)  # one person to train on: five clips
    held = [set(alone.trial_ids[f.validation]) for f in splits.nested(alone, first)]
    assert sorted(map(list, held)) == [[f"b/{k}"] for k in range(5)]
    with pytest.raises(ValueError, match="folds is 1; expected 2 to 5, the training side's people"):
        splits.nested(simulated, split, folds=1)
    with pytest.raises(ValueError, match="folds is 26; expected 2 to 25, the training side's trials"):
        splits.nested(simulated, split, folds=26)


def test_nested_folds_hold_out_what_is_as_new_as_the_test_side(simulated):
    """Trials of people who are tested too; people where the test people are new, whose given trials stay."""
    for fold in splits.nested(simulated, splits.by_trial(simulated)[0], folds=3):
        assert not set(simulated.trial_ids[fold.validation]) & set(simulated.trial_ids[fold.train])
        assert len(set(simulated.subjects[fold.validation])) > 2
    given = splits.calibrated(simulated, splits.by_subject(simulated)[1], 2)
    for fold in splits.nested(simulated, given, folds=5):
        assert len(set(simulated.subjects[fold.validation])) == 1 and "P2" not in simulated.subjects[fold.validation]
        assert sum(simulated.subjects[fold.train] == "P2") == sum(simulated.subjects[given.train] == "P2") > 0


def test_other_seeds_let_others_validate_together(simulated):
    split = splits.by_subject(simulated)[0]
    groups = [{frozenset(f.validation) for f in splits.nested(simulated, split, 2, seed=s)} for s in range(6)]
    assert len(set(map(frozenset, groups))) > 1
    assert groups[3] == {frozenset(f.validation) for f in splits.nested(simulated, split, 2, seed=3)}
