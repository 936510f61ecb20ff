"""Protocols: exact membership, and what each lets a model that knows the clip, not the emotion, get away with."""

import dataclasses
import sys
import warnings

import nbformat
import numpy as np
import pytest
from conftest import ROOT, random_data, rated_by_habit, shared
from typer.testing import CliRunner

import helo
from helo import splits
from helo.__main__ import app
from helo.batch import runs


@pytest.fixture(scope="module")
def asked():
    """benchmarks/protocols.py."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import protocols
    finally:
        sys.path.pop(0)
    return protocols


@pytest.fixture(scope="module")
def votes():
    return helo.load("crema-d", root=shared("crema-d/tabulatedVotes.csv").parent)


def cells(data, rows):
    return set(zip(data.subjects[rows].tolist(), data.trials[rows].tolist(), strict=True))


def product(people, clips):
    return {(p, c) for p in people for c in clips}


def sides(data, split):
    return {s: cells(data, getattr(split, s)) for s in ("train", "validation", "test")}


def test_both_on_a_small_set_by_hand():
    """4 people x 5 clips in 2 x 5 folds: two people with one clip are tested, one of the others validates."""
    data = random_data()
    found = splits.both(data, (2, 5))
    assert len(found) == 10 and sorted(np.concatenate([s.test for s in found])) == list(range(40))
    for split in found:
        side = sides(data, split)
        (clip,) = {c for _, c in side["test"]}
        tested = {p for p, _ in side["test"]}
        assert len(tested) == 2 and side["test"] == product(tested, {clip})
        (held,), (kept,) = ({p for p, _ in side[s]} for s in ("validation", "train"))
        assert {held, kept} == set("abcd") - tested
        # four clips would hold out one: too few to stop by, so the held person has all of them
        assert side["validation"] == product({held}, set("01234") - {clip})
        assert side["train"] == product({kept}, set("01234") - {clip})
    assert {s.name for s in found} >= {"both-people1of2-clips1of5", "both-people2of2-clips5of5"}


def test_both_holds_out_clips_too_where_there_are_enough():
    data = random_data(n=200, subjects=np.repeat(list("abcde"), 40), trials=np.tile(np.repeat(np.arange(20), 2), 5))
    for split in splits.both(data, 4, validation=0.25):
        side = sides(data, split)
        people, clips = ({x[k] for x in side["validation"]} for k in (0, 1))
        assert len(people) == 1 and len(clips) == 4  # a quarter of 3 or 4 people, and of 15 clips
        assert side["validation"] == product(people, clips)
        others, rest = ({x[k] for x in side["train"]} for k in (0, 1))
        assert not others & people and not rest & clips and side["train"] == product(others, rest)


@pytest.mark.parametrize("name", ["simulated", "wesad", "votes"])
def test_both_shares_neither_person_nor_clip(name, request):
    data = request.getfixturevalue(name)
    found = splits.both(data)
    assert sorted(np.concatenate([s.test for s in found])) == list(range(len(data)))
    for split in found:
        leaks = splits.leaks(data, split)
        assert leaks.pop("signal", 0) == 0 and leaks == {"subject": 0, "clip": 0, "trial": 0}
        side = sides(data, split)
        assert all(side.values())
        for other in ("validation", "test"):
            assert not {p for p, _ in side["train"]} & {p for p, _ in side[other]}
        clips = [{c for _, c in side[s]} for s in ("train", "validation")]
        assert not clips[0] & clips[1] if name == "votes" else clips[0] == clips[1]
    assert all((a.train == b.train).all() for a, b in zip(found, splits.both(data), strict=True))
    assert any(set(a.test) != set(b.test) for a, b in zip(found, splits.both(data, seed=1), strict=True))


def test_nested_folds_of_both_keep_people_apart(simulated):
    split = splits.both(simulated)[3]
    for fold in splits.nested(simulated, split, folds=3):
        leaks = splits.leaks(simulated, fold)
        assert leaks == {"subject": 0, "clip": 0, "trial": 0, "signal": 0}
        assert not set(simulated.subjects[fold.validation]) & set(simulated.subjects[fold.train])


def test_both_refuses_what_it_cannot_split():
    with pytest.raises(ValueError, match=r"splitting by clip found one clip \(x\); expected at least two"):
        splits.both(random_data(trials=["x"] * 40))
    with pytest.raises(ValueError, match="folds is 6; expected 2 to 5, the number of clips"):
        splits.both(random_data(), (4, 6))
    alone = random_data(subjects=np.repeat(["a", "b"], 20), trials=np.r_[np.zeros(20), np.ones(20)].astype(int))
    assert len(splits.both(alone)) == 2  # each with a clip of their own: two cells of the four are empty
    same = random_data(subjects=np.repeat(["a", "b"], 20), trials=np.r_[np.zeros(39), 1].astype(int))
    with pytest.raises(ValueError, match="no other person has another clip"):
        splits.both(same)


def test_leaks_counts_clips_by_whomever():
    data = random_data()
    split = splits.Split("x", np.array([0, 1]), np.array([2]), np.array([3, 10, 11, 12, 39]))
    # 0 and 1 are a's clip 0, 2 and 3 a's clip 1, 10 and 11 b's clip 0, 12 b's clip 1
    assert splits.leaks(data, split) == {"subject": 1, "clip": 4, "trial": 1}


def test_what_counts_as_a_clip_may_have_several_trials_of_a_person():
    """Clip 4 is clip 0 seen again: by `both` it is never tested where either is trained on, nor held out so."""
    data = random_data(n=80)
    again = dataclasses.replace(data, clips=np.where(data.trials == "4", "0", data.trials))
    split = splits.Split("x", np.array([0, 1]), np.array([], int), np.flatnonzero(data.trials == "4"))
    assert splits.leaks(data, split)["clip"] == 0 and splits.leaks(again, split)["clip"] == len(split.test) == 16
    assert splits.leaks(again, split)["trial"] == 0
    found = splits.both(again, validation=0.5)
    assert sorted(np.concatenate([s.test for s in found])) == list(range(80)) and len(found) == 16
    for split in found:
        assert splits.leaks(again, split)["clip"] == 0
        assert not set(again.clips[split.validation]) & set(again.clips[split.train]) and len(split.validation)


def fingerprints(people=8, clips=25, seed=0):
    """The clip decides the emotions; the features show which clip it is, and nothing of what it makes feel."""
    rng = np.random.default_rng(seed)
    mark, feeling = rng.normal(size=(clips, 40)), rng.dirichlet(np.full(5, 0.7), clips)
    clip = np.tile(np.repeat(np.arange(clips), 2), people)
    x = (mark[clip] + 0.3 * rng.normal(size=(len(clip), 40))).astype(np.float32)[:, None]
    return random_data(
        n=len(clip),
        distributions=feeling[clip],
        subjects=np.repeat([f"P{k}" for k in range(people)], 2 * clips),
        trials=clip,
        signals={"eda": x[..., :20], "face": x[..., 20:]},
        roles={"physiological": ["eda"], "behavioral": ["face"]},
    )


def part_of_the_means_kl(data, model, found, **training):
    """KL over the test windows of all splits, beside that of the training mean."""
    answered = np.empty_like(data.distributions)
    mean = np.empty_like(data.distributions)
    for split in found:
        trained = helo.build(model, data, seed=0)
        helo.fit(trained, data, split, progress=False, **training)
        answered[split.test] = helo.predict(trained, data, split.test, explain=False).distributions
        mean[split.test] = data.distributions[split.seen].mean(0)
    return helo.score(data.distributions, answered)["kl"] / helo.score(data.distributions, mean)["kl"]


@pytest.mark.parametrize(
    "model, training", [("ridge", {}), ("mlp", {"epochs": 30, "learning_rate": 3e-3, "batch_size": 32})]
)
def test_only_both_tells_a_clip_from_its_emotion(model, training):
    data = fingerprints()
    known = part_of_the_means_kl(data, model, splits.by_subject(data, 4), **training)
    new = part_of_the_means_kl(data, model, splits.both(data, (4, 5)), **training)
    assert known < 0.4 and new > 0.95, (known, new)


def test_calibration_gives_the_first_trials_in_time():
    starts = np.tile(10.0 * np.arange(10)[::-1], 4)  # the last rows come first in time
    data = random_data(starts=starts, window=10.0)
    split = splits.by_subject(data)[1]
    found = [splits.calibrated(data, split, k, reserve=3) for k in range(4)]
    for k, one in enumerate(found):
        assert cells(data, one.test) == product("b", "01")
        assert cells(data, one.train) == cells(data, split.train) | product("b", "432"[:k])
        assert (one.validation == split.validation).all() and not set(one.train) & set(one.test)
        assert one.name == f"subject-b-calibrated{k}of3"
        assert splits.leaks(data, one)["trial"] == splits.leaks(data, one)["signal"] == 0
    unknown = random_data()  # no times: in the order of the windows
    gift = splits.calibrated(unknown, splits.by_subject(unknown)[1], 2)
    assert cells(unknown, gift.test) == product("b", "234")
    assert len(gift.train) == len(split.train) + 4 and (np.diff(gift.train) > 0).all()


def test_calibration_refuses_what_it_cannot_give(simulated):
    split = splits.by_subject(simulated)[0]
    with pytest.raises(ValueError, match="'P1' has 5 trials to test; expected more than the 5 that are reserved"):
        splits.calibrated(simulated, split, 1, reserve=5)
    with pytest.raises(ValueError, match="trials is 2 and reserve 1; expected 0 <= trials <= reserve"):
        splits.calibrated(simulated, split, 2, reserve=1)
    with pytest.raises(ValueError, match="test person 'P1' is on the training side too"):
        splits.calibrated(simulated, splits.by_trial(simulated)[0], 1)
    with pytest.raises(ValueError, match="calibrate is 1 with protocol 'trials'; expected 'subjects'"):
        splits.by_protocol(simulated, "trials", calibrate=1)


def test_protocols_by_name(simulated):
    assert [s.name for s in splits.by_protocol(simulated, "both")] == [s.name for s in splits.both(simulated)]
    assert len(splits.by_protocol(simulated, "both", 3)) == 9
    plain, given = splits.by_protocol(simulated, "subjects"), splits.by_protocol(simulated, "subjects", calibrate=2)
    for one, two in zip(plain, given, strict=True):
        assert len(set(simulated.trials[two.test])) == 3 and set(one.train) < set(two.train)
    begin = splits.by_protocol(simulated, "subjects", reserve=2)
    assert all((a.test == b.test).all() for a, b in zip(begin, given, strict=True))
    assert all((a.train == b.train).all() for a, b in zip(begin, plain, strict=True))


def test_a_gift_of_a_persons_own_trials_helps_where_people_differ():
    """Every person feels the same in all clips, and no feature tells what: only own trials do."""
    feeling = np.random.default_rng(0).dirichlet(np.full(5, 0.5), 4).astype(np.float32)
    data = random_data(distributions=np.repeat(feeling, 10, axis=0))
    far = []
    for k in (0, 3):
        kl = [
            helo.score(data.distributions[s.test], np.tile(data.distributions[s.train].mean(0), (len(s.test), 1)))["kl"]
            for s in splits.by_protocol(data, "subjects", calibrate=k, reserve=3)
        ]
        far.append(np.mean(kl))
    assert far[1] < 0.8 * far[0]


def test_no_protocol_but_windows_warns(simulated):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for protocol in ("subjects", "both", "trials"):
            splits.by_protocol(simulated, protocol)


def test_the_command_line_passes_protocol_and_calibration_on(monkeypatch, simulated):
    asked = []

    def evaluate(models, data, **given):
        asked.append({k: v for k, v in given.items() if k in ("protocol", "calibrate", "folds", "centre_people")})
        raise ValueError("enough")

    monkeypatch.setattr(helo, "evaluate", evaluate)
    monkeypatch.setattr(helo, "load", lambda name, **options: simulated)
    for words in (["--protocol", "both", "--folds", "3"], ["--calibrate", "2"]):
        assert CliRunner().invoke(app, ["evaluate", *words]).exit_code == 2
    assert asked == [
        {"protocol": "both", "folds": 3, "calibrate": 0},
        {"protocol": "subjects", "calibrate": 2, "folds": None},
    ]


def test_a_wrong_option_is_one_line_and_no_traceback(tmp_path):
    for words, told in (
        (["--root", str(tmp_path), "-o", f"root={tmp_path}", "--dataset", "wesad"], "expected WESAD"),
        (["-o", "subjects=hello"], "data set 'simulated' with {'subjects': 'hello'}"),
    ):
        done = CliRunner().invoke(app, ["evaluate", *words])
        assert done.exit_code == 2 and told in done.output and done.exception.code == 2, done.output


@pytest.mark.parametrize(
    "name, value",
    [
        ("epochs", 0),
        ("batch_size", 2.5),
        ("patience", -1),
        ("patience", None),
        ("batch_size", "a"),
        ("precision", "half"),
    ],
)
def test_a_setting_that_no_model_can_have_is_refused(name, value):
    """It leaves no model out: a table of closed forms alone would look like a result."""
    with pytest.raises(ValueError, match=f"{name} is {value!r}; expected"):
        helo.evaluate(["mean", "early"], helo.load("pairing", subjects=4, windows=8), progress=False, **{name: value})


def test_a_cell_of_the_demo_that_fails_is_one_line(tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("output: str = ''")])
    notebook.cells[0].metadata["tags"] = ["parameters"]
    notebook.cells.append(nbformat.v4.new_code_cell("raise ValueError('too few people')"))
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, tmp_path / "01_explore.ipynb")
    words = ["--notebooks", str(tmp_path), "--output", str(tmp_path / "run"), "--figures", str(tmp_path / "f")]
    done = CliRunner().invoke(app, ["demo", *words])
    assert done.exit_code == 2 and "helo: 01_explore, In [3]: ValueError: too few people" in done.output, done.output
    assert CliRunner().invoke(app, ["demo", "--epochs", "0"]).exit_code == 2


def test_the_page_says_what_the_kept_rows_say(asked):
    """`python benchmarks/protocols.py page` writes it."""
    rows, page = asked.read(), sys.modules["protocols_page"]
    told, curves = page.novelty(rows), page.curve(rows)
    said = (ROOT / "docs/protocols.md").read_text()
    assert page.BEGIN + "\n" + page.tables(told, curves) + "\n" + page.END in said
    people = rows.groupby(["set", "protocol", "given", "model"]).subject.nunique()
    assert (people.groupby("set").nunique() == 1).all() and (people.groupby("set").size() == 5 * 5 + 3).all()


def test_trials_are_pooled_as_far_as_people_have_habits(asked):
    """Of people who rate by habit the given trials tell much; of people who are alike they tell nothing."""
    for habit, least, most in ((1.0, 0.1, 1), (0.0, -1e-4, 0.005)):
        data = rated_by_habit(habit=habit, own=0.2)
        kl = []
        for k in (0, 2):
            parts = splits.by_protocol(data, "subjects", 4, calibrate=k, reserve=2)
            kl.append(asked.by_person(asked.rows_of("pooled", data, parts, k, 1)).kl.mean())
        assert least < kl[0] - kl[1] < most, (habit, kl)


def test_a_folder_in_use_is_one_line(tmp_path):
    with runs.claim(tmp_path / "01_explore"):
        done = CliRunner().invoke(app, ["demo", "--output", str(tmp_path), "--figures", str(tmp_path / "f")])
    assert done.exit_code == 2 and "another process is running here" in done.output, done.output
