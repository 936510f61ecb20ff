"""Regions around answers: the radius in closed form, its coverage of new people, and what would make it too narrow."""

import dataclasses
import sys

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, random_data
from safetensors.numpy import load, save
from scipy.stats import binom

import helo
from helo import checksums
from helo.data.splits import Split, nested
from helo.evaluation import Confidence, confidence, members
from helo.evaluation.confidence import training_side
from helo.evaluation.conformal import bounds, chebyshev, most, radius, total_variation
from helo.models.fingerprint import fingerprint

DRAW = np.random.default_rng(0)


def test_total_variation_is_the_most_a_group_of_emotions_is_off():
    p, q = DRAW.dirichlet(np.ones(6), (2, 20))
    groups = (np.arange(64)[:, None] >> np.arange(6)) & 1  # all of them
    assert np.allclose(total_variation(p, q), np.abs((p - q) @ groups.T).max(1))


def test_bounds_are_those_of_the_region():
    p, r = DRAW.dirichlet(np.ones(5), 50), 0.2
    low, high = bounds(p, r)
    others = DRAW.dirichlet(np.ones(5), (4000, 1))
    step = np.minimum(1, r / np.maximum(chebyshev(others, p), 1e-12))[..., None] * DRAW.random((4000, 50, 1))
    inside = p + step * (others - p)  # anywhere in the region
    assert (chebyshev(inside, p) <= r + 1e-12).all()
    assert (inside >= low - 1e-12).all() and (inside <= high + 1e-12).all()
    for j in range(5):  # and each bound is reached: what emotion j loses or gains is shared by the others
        for edge in (low, high):
            rest = np.delete(p, j, 1)
            reached = np.insert(rest / rest.sum(1, keepdims=True) * (1 - edge[:, [j]]), j, edge[:, j], 1)
            assert (chebyshev(reached, p) <= r + 1e-12).all()


@pytest.mark.parametrize("people", [9, 19, 40])
def test_one_window_a_person_is_ordinary_conformal_prediction(people):
    scores = DRAW.random(people)
    expected = np.sort(scores)[int(np.ceil(0.9 * (people + 1))) - 1]
    assert radius(scores, np.arange(people)) == expected


def test_a_person_counts_once_however_many_windows_there_are():
    scores, people = DRAW.random(20), np.arange(20)
    assert radius(np.repeat(scores, 50), np.repeat(people, 50)) == radius(scores, people)
    copies = np.where(people == np.argmin(scores), 1000, 1)  # a thousand easy windows of one person
    assert radius(np.repeat(scores, copies), np.repeat(people, copies)) == radius(scores, people)


def test_eight_people_cannot_promise_ninety_percent():
    assert most(8) < 0.9 <= most(9)
    assert radius(np.zeros(80), np.repeat(np.arange(8), 10)) == 1.0
    assert radius(np.zeros(80), np.repeat(np.arange(8), 10), level=8 / 9) == 0.0


@pytest.mark.parametrize(
    ("scores", "people", "level", "says"),
    [
        ([0.1, np.nan], ["a", "b"], 0.9, "score 1 is nan"),
        ([0.1], ["a", "b"], 0.9, r"scores have shape \(1,\)"),
        ([], [], 0.9, "windows > 0"),
        ([0.1], ["a"], 1.0, "level is 1.0"),
    ],
)
def test_bad_input(scores, people, level, says):
    with pytest.raises(ValueError, match=says):
        radius(np.array(scores), np.array(people), level)


def drawn(people, rng):
    """Scores of people who differ, window by window of one alike; who is well known has the long recording."""
    own = rng.gamma(2, 1, people)
    counts = 1 + (30 / (1 + own)).astype(int)
    scores = np.repeat(own, counts) * rng.uniform(0.7, 1.3, counts.sum())
    return scores / 50, np.repeat(np.arange(people), counts)


@pytest.mark.parametrize("people", [12, 40])
def test_coverage_of_new_people_is_what_was_promised(people):
    """With the truth known: 1,000 studies, and a random window of a new person in each."""
    rng, covered, forgetful = np.random.default_rng(people), 0, 0
    for _ in range(1000):
        scores, who = drawn(people + 1, rng)
        asked, known = rng.choice(np.flatnonzero(who == people)), who < people
        covered += scores[asked] <= radius(scores[known], who[known])
        forgetful += scores[asked] <= np.quantile(scores[known], 0.9)  # as if windows were independent
    least, most = binom.ppf([0.001, 0.999], 1000, [0.9, min(1, 0.9 + 2 / (people + 1))])
    assert forgetful < least <= covered <= most


@pytest.fixture(scope="module")
def ensemble():
    """Three models and their splits; 11 people train, one is new; two of the features tell the emotion."""
    n, rng = 12 * 20, np.random.default_rng(3)
    felt = rng.normal(size=(n, 4))
    d = np.exp(felt + 0.5 * np.repeat(rng.normal(size=(12, 4)), 20, 0))  # people rate in their own ways
    signals = {"eda": np.repeat(felt[:, None, :2], 3, 1), "face": np.repeat(felt[:, None, 2:], 2, 1)}
    data = random_data(
        n,
        4,
        signals={m: (x + rng.normal(0, 0.5, x.shape)).astype(np.float32) for m, x in signals.items()},
        roles={"physiological": ["eda"], "behavioral": ["face"]},
        distributions=(d / d.sum(1, keepdims=True)).astype(np.float32),
        subjects=np.repeat([f"p{k}" for k in range(12)], 20),
        trials=np.tile(np.arange(20), 12).astype(str),
    )
    split = helo.splits.by_subject(data)[0]
    with pytest.warns(UserWarning, match="cap of"):
        models, parts = members("mlp", data, split, epochs=8, progress=False)
    return data, split, models, parts


def test_spread_is_the_deviation_of_the_members(ensemble):
    data, split, models, _ = ensemble
    answer = helo.predict(models, data, split.test)
    each = np.stack([helo.predict(m, data, split.test).distributions for m in models])
    assert np.array_equal(answer.distributions, each.mean(0)) and np.array_equal(answer.spread, each.std(0))
    assert answer.spread.min() > 0 and answer.plans is None
    assert np.allclose(answer.log_distributions, np.log(answer.distributions))
    assert helo.predict(models[0], data, split.test).spread is None
    assert helo.predict(models[:1], data, split.test).spread is None
    with pytest.raises(ValueError, match="no model to ask"):
        helo.predict([], data)


def test_members_are_those_of_evaluate(ensemble):
    data, split, models, _ = ensemble
    with pytest.warns(UserWarning, match="cap of"):
        table = helo.evaluate(["mlp"], data, protocol=[split], nested=3, epochs=8, progress=False)
    said = helo.predict(models, data, split.test).distributions
    assert table["kl"].mean() == pytest.approx(helo.score(data.distributions[split.test], said)["kl"], rel=1e-4)


def test_everybody_of_the_training_side_calibrates_by_a_model_that_did_not_train_on_them(ensemble):
    data, split, models, parts = ensemble
    sure = confidence(models, data, parts)
    scores = [
        total_variation(helo.predict(m, data, p.validation).distributions, data.distributions[p.validation])
        for m, p in zip(models, parts, strict=True)
    ]
    who = np.concatenate([data.subjects[p.validation] for p in parts])
    assert sure.people == 11 and sure.radius == radius(np.concatenate(scores), who) < 1
    answer = helo.predict(models, data, split.test).distributions
    low, high = sure.bounds(answer)
    inside = sure.inside(answer, data.distributions[split.test])
    assert ((low <= answer) & (answer <= high)).all()
    truth = data.distributions[split.test]
    within = ((low - 1e-6 <= truth) & (truth <= high + 1e-6)).all(1)
    assert sure.band <= sure.radius + 1e-6 and np.array_equal(within, chebyshev(answer, truth) <= sure.band + 1e-6)
    assert inside.mean() > 0.5 and "90% of windows, by 11 people" in sure.promise


def test_people_who_were_trained_on_make_the_region_too_narrow():
    """The knock-out: features of pure noise, learned by heart; and the library refuses to do so."""
    rng = np.random.default_rng(0)
    data = random_data(480, 5, {"eda": (4, 40), "face": (1, 40)}, {"physiological": ["eda"], "behavioral": ["face"]})
    data = dataclasses.replace(data, subjects=np.repeat([f"p{k}" for k in range(24)], 20), trials=np.arange(480))
    everybody = np.arange(480)
    held = np.isin(data.subjects, rng.permutation(np.unique(data.subjects))[:12])
    split = Split("half", everybody[~held], everybody[:0], everybody[held])
    model = helo.build("mlp", data, seed=0, dropout=0.0)
    helo.fit(model, data, split, epochs=60, learning_rate=3e-3, progress=False)
    scores = total_variation(helo.predict(model, data).distributions, data.distributions)
    covered = {
        name: (scores[split.test] <= radius(scores[rows], data.subjects[rows])).mean()
        for name, rows in (("trained on", split.train), ("held out", split.test))
    }
    assert covered["trained on"] < 0.7 and covered["held out"] >= 0.9
    leaking = Split("leak", split.train, split.train[:20], split.test)
    with pytest.raises(ValueError, match="expected validation people who are not trained on"):
        confidence(model, data, leaking)
    with pytest.raises(ValueError, match="there is nobody"):
        confidence(model, data, split)


def test_people_whose_clips_are_known_do_not_calibrate_for_new_clips():
    data = random_data(240, 4)
    data = dataclasses.replace(
        data, subjects=np.repeat([f"p{k}" for k in range(12)], 20), trials=np.tile(np.arange(20), 12)
    )
    split = helo.splits.both(data)[0]
    models, parts = members("mean", data, split)
    with pytest.raises(ValueError, match="its test clips are new and its validation clips are trained on"):
        confidence(models, data, parts)
    model = helo.build("mean", data)
    helo.fit(model, data, split, progress=False)
    pairs = dataclasses.replace(data, trials=np.repeat([f"debate {k}" for k in range(6)], 40))  # a clip for two people
    for fold in helo.splits.by_subject(pairs):
        assert confidence(*members("mean", pairs, fold)[:1], pairs, members("mean", pairs, fold)[1]).people
    own = dataclasses.replace(data, trials=data.trial_ids, clips=data.trials)  # a trial is one person's, a clip all's
    with pytest.raises(ValueError, match="its test clips are new and its validation clips are trained on"):
        confidence(models, own, parts)
    assert confidence(model, data, split).people  # its own validation clips are as new as the test's


def test_members_that_were_trained_on_everybody_are_refused():
    data = random_data(40)
    split = helo.splits.by_subject(data, folds=2)[0]
    with pytest.raises(ValueError, match="refit trains on each model's group too"):
        helo.evaluation.members("mlp", data, split, 2, epochs=1, refit=True)


def test_closed_form_members_do_not_learn_from_the_people_who_calibrate():
    data = random_data(240, 4)
    data = dataclasses.replace(data, subjects=np.repeat([f"p{k}" for k in range(12)], 20))
    split = helo.splits.by_subject(data)[0]
    models, parts = members("mean", data, split)
    for model, part in zip(models, parts, strict=True):
        expected = data.distributions[part.train].mean(0)
        assert np.allclose(helo.predict(model, data, part.validation).distributions, expected, atol=1e-5)
    assert [len(p.validation) for p in parts] == [len(p.validation) for p in nested(data, split, 3)]


def test_where_training_lies_includes_the_people_who_calibrate():
    data = random_data()
    split = helo.splits.by_subject(data)[0]
    model = helo.build("mean", data)
    helo.fit(model, data, Split("t", split.train, [], split.test), progress=False)
    sure = confidence(model, data, split, level=0.4)
    for m, known in training_side(data, split.seen).items():
        np.testing.assert_allclose(sure.training[m].mean, known.mean)


def test_saved_and_read_again(ensemble, tmp_path):
    data, _, models, parts = ensemble
    sure, path = confidence(models, data, parts), tmp_path / "sure.safetensors"
    sure.save(path)
    again = Confidence.load(path)
    assert (again.radius, again.level, again.people, again.emotions) == (sure.radius, 0.9, 11, data.emotions)
    assert again.band == sure.band
    assert np.array_equal(again.strange(data.signals, data.masks), sure.strange(data.signals, data.masks))
    assert path.stat().st_size < 10_000 and path.stat().st_mode & 0o077 == 0
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="another SHA-256"):
        Confidence.load(path)
    dataclasses.replace(sure, radius=7.0).save(path)  # signed, and still nonsense
    with pytest.raises(ValueError, match="radius is 7"):
        Confidence.load(path)
    sure.save(path)
    about, arrays = checksums.read(path, "helo-confidence", load)
    checksums.write(path, "helo-confidence", {k: v for k, v in about.items() if k != "emotions"}, arrays, save)
    with pytest.raises(ValueError, match="not a confidence of this version .*emotions"):
        Confidence.load(path)


def test_a_confidence_is_of_one_training_and_says_so(ensemble, tmp_path):
    data, _, models, parts = ensemble
    file, sure = tmp_path / "model.safetensors", confidence(models, data, parts)
    assert Confidence.beside(file, models[0]) is None
    sure.save(tmp_path / "model.sure.safetensors")
    for model in models:
        helo.save(model, file)
        assert Confidence.beside(file, helo.load_model(file)).radius == sure.radius
    again = helo.build(models[0].name, data, seed=9)  # the same kind, other weights
    with pytest.raises(ValueError, match=f"model.sure.safetensors: is of {models[0].name} .*Was it trained again"):
        Confidence.beside(file, again)
    beside = tmp_path / "model.sure.safetensors"
    about, arrays = checksums.read(beside, "helo-confidence", load)
    assert about.pop("models") == [fingerprint(model) for model in models]
    checksums.write(beside, "helo-confidence", about, arrays, save)  # a file of before does not say
    assert Confidence.beside(file, again).radius == sure.radius
    beside.unlink()
    beside.mkdir()
    with pytest.raises(ValueError, match="sure.safetensors.*expected a helo-confidence file"):
        Confidence.beside(file, again)


def test_few_people_say_that_they_are_few(ensemble):
    data, _, models, parts = ensemble
    sure = confidence(models[0], data, parts[0])
    assert sure.radius == sure.band == 1 and "4 people cannot promise 90%" in sure.promise
    assert confidence(models[0], data, parts[0], level=0.8).radius < 1


def test_the_page_says_what_the_kept_rows_say():
    """`python benchmarks/coverage.py page` writes it."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import coverage_page
    finally:
        sys.path.pop(0)
    rows = pd.read_csv(ROOT / "benchmarks/results/coverage.csv", dtype={"subject": str})
    told = coverage_page.summary(rows)
    assert (
        coverage_page.BEGIN + coverage_page.table(told) + coverage_page.END
        in (ROOT / "docs/uncertainty.md").read_text()
    )
    assert (rows.groupby(["set", "model", "seed"]).subject.nunique().groupby("set").nunique() == 1).all()
    assert (told.covered_high > 0.9).all(), "nowhere surely less than was asked"
