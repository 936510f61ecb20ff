"""Inputs that tell the answer by another way: each kind planted and found; clean sets and chance left alone."""

import dataclasses
import re
import time

import numpy as np
import pytest
from conftest import random_data, shared
from typer.testing import CliRunner

import helo
from helo.__main__ import app
from helo.data.audit import audit, told_by
from helo.data.check import CAUTION, FAULT, check
from helo.data.repeated_labels import _whole_ratings
from helo.measures import kl

PEOPLE, CLIPS, EACH = 10, 8, 3


def study(seed=0, **fields):
    """10 people rate 8 clips from 1 to 5, three windows each; eda with two tokens, face with one; nothing leaks."""
    rng = np.random.default_rng(seed)
    taste = rng.normal(0, 1, (PEOPLE, CLIPS, 5)) + rng.normal(0, 1, (CLIPS, 5))
    ratings = np.clip(np.round(3 + taste), 1, 5).reshape(-1, 5).repeat(EACH, 0)
    n = len(ratings)
    given = {
        "distributions": ratings / ratings.sum(1, keepdims=True),
        "subjects": np.repeat([f"P{k}" for k in range(PEOPLE)], CLIPS * EACH),
        "trials": np.tile(np.repeat(np.arange(CLIPS), EACH), PEOPLE),
        "signals": {"eda": rng.normal(size=(n, 2, 3)), "face": rng.normal(size=(n, 1, 6))},
        "roles": {"physiological": ["eda"], "behavioral": ["face"]},
        "features": {"eda": ("level", "slope", "peak"), "face": tuple(f"unit {k}" for k in range(6))},
        "emotions": ("happy", "calm", "sad", "angry", "afraid"),
    }
    return random_data(n=n, **(given | fields)), ratings


def planted(plant, modality="eda", feature=1, token=slice(None)):
    """The study with `plant(data, ratings)`, one number a window, as a feature."""
    data, ratings = study()
    signals = {m: x.copy() for m, x in data.signals.items()}
    signals[modality][:, token, feature] = np.reshape(plant(data, ratings), (len(data), -1))
    return dataclasses.replace(data, signals=signals)


def by_person(values, data):
    values = values.astype(float)
    for who in np.unique(data.subjects):
        own = values[data.subjects == who]
        values[data.subjects == who] = (own - own.mean()) / own.std()
    return values


def noise(size, seed=5):
    return np.random.default_rng(seed).normal(0, size, PEOPLE * CLIPS * EACH)


def test_a_clean_study_has_none():
    for seed in range(20):
        assert not list(audit(study(seed)[0]))


@pytest.mark.parametrize(
    "plant, figure",
    [
        (lambda d, r: d.distributions[:, 2], "is the rating of 'sad' itself"),
        (lambda d, r: r[:, 2], "is the rating of 'sad' itself"),
        (lambda d, r: -3 * d.distributions[:, 2] + 40 + noise(0.02), "correlates 0.99. with the share of 'sad'"),
        (lambda d, r: by_person(d.distributions[:, 2], d) + noise(0.1), "correlates 0.99. with the share of 'sad'"),
    ],
    ids=["a share", "a rating from 1 to 5", "nearly a share, scaled", "nearly a share, normalised by person"],
)
def test_a_rating_among_the_features(plant, figure):
    for token in (slice(None), slice(1, 2)):  # in every token, or in one
        (one,) = audit(planted(plant, token=token))
        assert (one.level, one.what, one.where) == (FAULT, "rating among the features", "eda")
        assert re.match(f"'slope' {figure}: .* leave it out$", one.found), one.found


@pytest.mark.parametrize(
    "plant",
    [
        lambda r, d: r[:, 2] / 5,
        lambda r, d: r[:, 2] - 1,
        lambda r, d: 6 - r[:, 2],
        lambda r, d: (r[:, 2] - r[:, 2].mean()) / r[:, 2].std(),
        lambda r, d: by_person(r[:, 2], d),
        lambda r, d: r[:, 2] + noise(0.02),
    ],
    ids=["a fifth", "from 0 to 4", "backwards", "standardised", "standardised by person", "nearly"],
)
def test_a_rating_in_another_unit(plant):
    """Its share goes with it by .7 alone: the rating is traced back from the shares, which are whole numbers' parts."""
    (one,) = audit(planted(lambda d, r: plant(r, d)))
    assert (one.level, one.what, one.where) == (FAULT, "rating among the features", "eda")
    assert re.match("'slope' correlates (1.000|0.99.) with the rating of 'sad': .* leave it out$", one.found), one.found


def test_whole_ratings_are_traced_back_where_shares_can_tell_them():
    rng = np.random.default_rng(0)
    ratings = rng.integers(1, 8, (300, 6))
    d = (ratings / ratings.sum(1, keepdims=True)).astype(np.float32).astype(float)
    found = _whole_ratings(d)
    known = ~np.isnan(found[:, 0])
    assert (found[known] == ratings[known]).all() and known.mean() > 0.9
    assert not known[ratings.max(1) < 4].any(), "3 and 3 may have been 6 and 6"
    assert np.isnan(_whole_ratings(rng.dirichlet(np.ones(6), 300))).all(), "ratings that go on between the numbers"
    assert np.isnan(_whole_ratings(d[:, :2] / d[:, :2].sum(1, keepdims=True))).all(), "two shares are near whole often"


def test_ratings_that_may_have_been_twice_as_much_are_not_known():
    ratings = np.random.default_rng(0).integers(0, 5, (300, 4)).astype(float)
    ratings = ratings[ratings.sum(1) > 0]
    ratings[:3] = [[2, 2, 1, 0], [4, 4, 2, 0], [4, 3, 0, 0]]
    found = _whole_ratings(ratings / ratings.sum(1, keepdims=True))
    assert np.isnan(found[:2]).all() and found[2].tolist() == [4, 3, 0, 0]


def test_a_small_unit_changes_no_verdict():
    """A feature of size 1e-8 is no column of whole numbers, and one that names the clip does so in any unit."""
    data = helo.load("simulated", subjects=6, clips=5, seconds=48, seed=0)
    small = {m: (x * 1e-8).astype(np.float32) for m, x in data.signals.items()}
    assert not [f for f in check(dataclasses.replace(data, signals=small)) if f.what == "rating among the features"]
    clips = np.unique(data.trials, return_inverse=True)[1].astype(np.float32)
    for unit in (1.0, 1e-9):
        signals = {m: x.copy() for m, x in data.signals.items()}
        signals["eda"][..., 0] = unit * (1 + clips[:, None])
        found = [f for f in check(dataclasses.replace(data, signals=signals)) if f.what == "feature names the clip"]
        assert found, unit


@pytest.mark.parametrize("size", [1e-8, 1, 1.6e12])
def test_a_rating_beside_a_feature_of_any_size_is_found(size):
    """Such as a time in milliseconds: what varies is a question to each column by itself."""
    data = planted(lambda d, r: r[:, 2] / 5 + noise(0.005), modality="face")
    signals = data.signals | {"face": data.signals["face"].astype(np.float64)}
    signals["face"][:, 0, 4] = size * (1 + 0.001 * np.arange(len(data)) / len(data))
    (one,) = [f for f in audit(dataclasses.replace(data, signals=signals)) if f.what == "rating among the features"]
    assert "'unit 1' correlates" in one.found


def test_what_only_goes_with_an_emotion_is_no_rating():
    assert not list(audit(planted(lambda d, r: d.distributions[:, 2] + noise(0.03))))  # correlates .9
    assert not list(audit(planted(lambda d, r: np.random.default_rng(0).integers(1, 6, len(r)))))  # whole numbers
    assert not list(audit(planted(lambda d, r: 60 * np.random.default_rng(0).integers(1, 6, len(r)))))
    few = np.arange(240) < 24  # a single person's eight trials correlate by chance
    data = planted(lambda d, r: d.distributions[:, 2] + noise(0.001))
    masks = {"eda": np.repeat(few[:, None], 2, 1)}
    assert "rating among the features" not in {f.what for f in audit(dataclasses.replace(data, masks=masks))}


def test_a_masked_rating_is_found_where_it_is():
    data = planted(lambda d, r: d.distributions[:, 0])
    masks = {"eda": np.random.default_rng(0).random((240, 2)) < 0.5}
    (one,) = audit(dataclasses.replace(data, masks=masks))
    assert "'slope' is the rating of 'happy' itself" in one.found


LENGTHS = np.array([61, 75, 80, 92, 110, 118, 131, 150])


def test_a_feature_that_names_the_clip():
    (one,) = audit(planted(lambda d, r: LENGTHS[d.trials.astype(int)]))
    assert (one.level, one.what, one.where) == (CAUTION, "feature names the clip", "eda")
    assert one.found.startswith("'slope' is 100.0% explained by the clip, whoever watches: ") and "'both'" in one.found
    (near,) = audit(planted(lambda d, r: LENGTHS[d.trials.astype(int)] + noise(4), "face", 3))
    share = float(near.found.split("is ")[1].split("%")[0]) / 100
    assert near.where == "face" and "'unit 3'" in near.found
    assert share == pytest.approx(1 - 16 / (LENGTHS.var() + 16), abs=0.005)  # by its definition
    assert not list(audit(planted(lambda d, r: LENGTHS[d.trials.astype(int)] + noise(15))))  # explains three quarters
    assert not list(audit(planted(lambda d, r: d.subjects.astype("U2") == "P3")))  # names a person


def test_the_clips_mean_is_of_other_people():
    """Of two people, the mean with one's own viewing in it would explain 97% of this feature, the other's 90%."""
    rng = np.random.default_rng(0)
    clips, viewing = rng.normal(0, 1, 200), rng.normal(0, np.sqrt(0.05), 400)
    x = np.tile(clips, 2) + viewing
    signals = {"eda": np.stack([x, rng.normal(size=400)], 1)[:, None], "face": rng.normal(size=(400, 1, 2))}
    people, roles = np.repeat(["a", "b"], 200), {"physiological": ["eda"], "behavioral": ["face"]}
    data = random_data(n=400, subjects=people, trials=np.tile(np.arange(200), 2), signals=signals, roles=roles)
    assert not list(audit(data))


def test_a_clip_whose_viewings_are_several_trials():
    """Its name is in the feature though no trial is anybody else's; one's own other viewing is no other person's."""
    data = planted(lambda d, r: LENGTHS[d.trials.astype(int)])
    (one,) = audit(dataclasses.replace(data, trials=data.trial_ids, clips=data.trials))
    assert one.what == "feature names the clip"
    rng = np.random.default_rng(0)
    x = (np.tile(rng.normal(0, 1, 200), 2) + rng.normal(0, np.sqrt(0.05), 400)).repeat(2)  # each clip twice
    signals = {"eda": np.stack([x, rng.normal(size=800)], 1)[:, None], "face": rng.normal(size=(800, 1, 2))}
    about = {"subjects": np.repeat(["a", "b"], 400), "clips": np.tile(np.arange(200).repeat(2), 2)}
    roles = {"physiological": ["eda"], "behavioral": ["face"]}
    assert not list(audit(random_data(n=800, trials=np.tile(np.arange(400), 2), signals=signals, roles=roles, **about)))


def test_nobody_else_saw_the_clip():
    """A clip that one person saw cannot be told from the person."""
    data = planted(lambda d, r: np.unique(d.trial_ids, return_inverse=True)[1])
    assert not list(audit(dataclasses.replace(data, trials=data.trial_ids)))


def test_several_features_of_a_modality_are_one_finding():
    data = planted(lambda d, r: LENGTHS[d.trials.astype(int)])
    signals = data.signals | {"eda": np.concatenate([data.signals["eda"][..., [1, 1]], data.signals["eda"]], 2)}
    (one,) = audit(dataclasses.replace(data, signals=signals, features={}))
    assert "(2 other features like it)" in one.found


def without(data, gone, modality="face"):
    masks = data.masks | {modality: data.masks[modality] & ~gone[:, None]}
    return dataclasses.replace(data, masks=masks)


def test_a_gap_that_tells_the_emotion():
    data, _ = study()
    angry = data.distributions[:, 3] > np.quantile(data.distributions[:, 3], 0.7)
    (one,) = audit(without(data, angry & (noise(1) < 0.8)))
    assert (one.level, one.what, one.where) == (CAUTION, "absence tells the emotion", "face")
    assert one.found.startswith("that 'face' is absent takes ") and "p 0.0" in one.found


def test_what_a_number_tells_is_shrunk_by_ten_windows():
    data = random_data()  # four people, a fold each
    code = np.arange(40) % 2
    d = data.distributions.astype(float)
    _, told = told_by(data, code)
    train, test = data.subjects != "a", data.subjects == "a"
    for value in (0, 1):
        near, rows = train & (code == value), test & (code == value)
        answer = (d[near].sum(0) + 10 * d[train].mean(0)) / (near.sum() + 10)
        assert told[rows] == pytest.approx(kl(d[rows], np.tile(answer, (rows.sum(), 1))))


@pytest.mark.parametrize("groups", ["window", "trial_ids", "trials", "subjects"])
def test_a_gap_by_chance_tells_nothing(groups):
    found = 0
    for seed in range(30):
        data, _ = study(seed)
        # the clips' labels are drawn anew: what goes with a clip or a person goes with no emotion
        names = np.arange(240) if groups == "window" else np.unique(getattr(data, groups), return_inverse=True)[1]
        free = np.random.default_rng(seed).dirichlet(np.ones(5), 80).repeat(3, 0)
        gone = (np.random.default_rng(seed + 100).random(names.max() + 1) < 0.3)[names]
        data = dataclasses.replace(data, distributions=free)
        found += gone.any() and bool(list(audit(without(data, gone))))
    assert found <= 1


def test_two_people_who_lack_it_and_feel_alike_are_no_proof():
    data, _ = study()
    alike, who = data.distributions.copy(), data.subjects
    alike[who == "P1"] = alike[who == "P0"] = np.eye(5)[0] * 0.8 + 0.04
    assert not list(audit(without(dataclasses.replace(data, distributions=alike), (who == "P0") | (who == "P1"))))


def test_a_gap_that_tells_next_to_nothing():
    """Surely a difference, over 20 people with 400 windows each, and too small to learn much from."""
    n, rng = 8000, np.random.default_rng(0)
    gone, people = rng.random(n) < 0.5, np.repeat(np.arange(20), 400)
    for more, expected in ((0.05, 0), (0.3, 1)):
        d = (1 - more * gone[:, None]) * rng.dirichlet(np.ones(5), n) + more * gone[:, None] * np.eye(5)[0]
        data = random_data(n=n, distributions=d, subjects=people, trials=np.arange(n))
        assert len(list(audit(without(data, gone)))) == expected


def softmax(x):
    return np.exp(x) / np.exp(x).sum(1, keepdims=True)


@pytest.mark.parametrize(
    "block, told",
    [
        (lambda logits: softmax(logits), "divided by their sum"),
        (lambda logits: 100 * softmax(logits), "divided by their sum"),
        (lambda logits: logits, "after a softmax"),
        (lambda logits: logits[:, [4, 0, 3, 1, 2]] - 7, "after a softmax"),
    ],
    ids=["shares", "per cent", "logits", "logits in another order"],
)
def test_labels_that_a_detectors_output_repeats(block, told):
    logits = np.random.default_rng(3).normal(0, 1.5, (240, 5))
    data, _ = study(distributions=softmax(logits).round(6))
    signals = data.signals | {"face": data.signals["face"].copy()}
    signals["face"][:, 0, 1:] = block(logits)
    found = {f.what: f for f in audit(dataclasses.replace(data, signals=signals))}
    one = found["labels among the features"]
    assert one.level == FAULT and one.where == "face"
    assert one.found.startswith("'unit 1' to 'unit 5' are the distributions themselves") and told in one.found


def test_a_detector_that_is_often_right_is_no_repetition():
    logits = np.random.default_rng(3).normal(0, 1.5, (240, 5))
    data, _ = study(distributions=softmax(logits))
    signals = data.signals | {"face": data.signals["face"].copy()}
    signals["face"][:, 0, 1:] = logits + np.random.default_rng(4).normal(0, 0.5, logits.shape)
    assert not list(audit(dataclasses.replace(data, signals=signals)))


def test_a_detector_averaged_over_tokens():
    shares = np.random.default_rng(3).dirichlet(np.ones(5), (240, 2))
    data, _ = study(distributions=shares.mean(1))
    signals = data.signals | {"eda": shares.astype(np.float32)}
    (one,) = audit(dataclasses.replace(data, signals=signals, features={}))
    assert one.what == "labels among the features" and one.where == "eda"


@pytest.mark.parametrize("name", ["simulated", "study", "wesad", "emowalk"])
def test_no_alarm_on_measured_or_simulated_signals(name, request):
    assert not list(audit(request.getfixturevalue(name)))


def test_votes_are_no_ratings():
    """CREMA-D's features are other people's votes: 'happy' by the face comes near (.966), and is no rating."""
    data = helo.load("crema-d", root=shared("crema-d/tabulatedVotes.csv").parent)
    assert not list(audit(data))
    truth = data.distributions[:, data.emotions.index("happy")]
    seen = data.signals["face"][:, 0, data.emotions.index("happy")]
    assert np.corrcoef(truth, seen)[0, 1] == pytest.approx(0.966, abs=0.001)


def test_it_is_part_of_the_check_and_of_the_command(tmp_path):
    assert "rating among the features" in {f.what for f in check(planted(lambda d, r: r[:, 0]))}
    data, ratings = study()
    lines = ["subject,trial,eda.level,eda.mood,face.smile,emotion.happy,emotion.sad"]
    for k in range(0, len(data), EACH):
        a, b, c, d = ratings[k, :4]
        lines.append(f"{data.subjects[k]},{data.trials[k]},{c + 0.1 * k % 7},{a},{d + 0.3 * k % 5},{a},{b}")
    path = tmp_path / "own.csv"
    path.write_text("\n".join(lines))
    done = CliRunner().invoke(app, ["check", str(path)])
    assert done.exit_code == 1 and "'mood' is the rating of 'happy' itself" in done.stdout


def test_it_is_fast():
    """As many windows, tokens, features and emotions as WESAD's wrist."""
    shapes = {"bvp": (6, 5), "eda": (6, 5), "temp": (6, 2), "face": (6, 11)}
    data = without(random_data(n=1400, emotions=24, shapes=shapes), np.arange(1400) % 7 == 0)
    list(audit(study()[0]))  # imports
    started = time.process_time()  # its own: the machine is shared
    list(audit(data))
    assert time.process_time() - started < 1
