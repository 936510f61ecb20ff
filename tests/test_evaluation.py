import dataclasses
import functools
import re
import time

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import random_data
from test_progress import drawn  # noqa: F401 - a fixture

import helo
from helo import evaluation
from helo.evaluation import fits
from helo.evaluation.attempts import attempts
from helo.measures import kl

FAST = {"epochs": 2, "nested": 0, "progress": False}


def over_windows(table, column="kl"):
    """Means over windows by model."""
    weighted = (table[column] * table.windows).groupby(table.model).sum()
    return weighted / table.groupby("model").windows.sum()


def test_rows_are_people_and_conditions_of_every_fold_and_seed(simulated):
    table = helo.evaluate(["mean", "helo"], simulated, folds=3, seeds=[0, 1], **FAST)
    key = ["model", "seed", "fold", "subject", "condition"]
    assert not table.duplicated(key).any()
    assert set(table.fold) == {f"subjects-fold{k}of3" for k in (1, 2, 3)}
    assert (table.groupby(["model", "seed"]).windows.sum() == len(simulated)).all()
    assert table.groupby("model").seed.nunique().to_dict() == {"mean": 1, "helo": 2}  # the training mean has no seed
    person = table[(table.model == "mean") & (table.subject == "P3")]
    own = simulated.subjects == "P3"
    assert person.windows.sum() == own.sum() and person.trials.sum() == len(set(simulated.trial_ids[own]))
    assert set(person.condition) == set(simulated.conditions[own])


def test_scores_are_those_of_fit_and_predict(simulated):
    table = helo.evaluate(["helo"], simulated, folds=3, seeds=[5], **FAST)
    split = helo.splits.by_subject(simulated, 3)[1]
    model = helo.build("helo", simulated, seed=5)
    helo.fit(model, simulated, split, epochs=2, seed=5, progress=False)
    expected = helo.score(simulated.distributions[split.test], helo.predict(model, simulated, split.test).distributions)
    fold = table[table.fold == split.name]
    found = {name: float(np.average(fold[name], weights=fold.windows)) for name in expected}
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_trial_counts_once():
    """One person, one condition, a trial of three windows and one of one: means over windows, and over trials."""
    data = random_data(
        n=40,
        subjects=np.repeat(["a", "b"], 20),
        trials=np.tile(np.repeat(["long", "short"], [15, 5]), 2),
        conditions=np.full(40, "one"),
    )
    table = helo.evaluate(["uniform"], data, **FAST)
    each = kl(data.distributions.astype(float), np.full(data.distributions.shape, 1 / len(data.emotions)))
    for k, row in enumerate(table.itertuples()):
        own = each[20 * k : 20 * k + 20]
        assert (row.windows, row.trials) == (20, 2)
        assert row.kl == pytest.approx(own.mean(), rel=1e-4)
        assert row.kl_trial == pytest.approx((own[:15].mean() + own[15:].mean()) / 2, rel=1e-4)


def test_a_ceiling_of_votes_that_holds_zeros_is_still_one():
    """A condition's mean has a share of zero where the new person has some: no KL of 36 nats a share."""
    d = np.tile([[1.0, 0, 0], [0, 1.0, 0]], (20, 1))
    d[:2] = [[0.9, 0, 0.1], [0, 0.9, 0.1]]  # in one person's windows alone
    people = np.repeat(["a", "b", "c", "d"], 10)
    data = random_data(40, 3, subjects=people, conditions=np.tile(["x", "y"], 20), distributions=d.astype(np.float32))
    split = next(s for s in helo.splits.by_subject(data) if people[s.test[0]] == "a")
    low, ceiling = evaluation.reference_kl(data, split)
    assert ceiling < low and ceiling < 0.5


def test_mean_has_skill_zero_and_the_ceiling_one():
    """On data where the condition says everything, an answer of the condition's mean has skill 1."""
    rng = np.random.default_rng(0)
    condition = np.tile(["calm", "stress"], 20)
    x = (rng.normal(size=(40, 1, 2)) + 30 * (condition == "stress")[:, None, None]).astype(np.float32)
    d = np.where((condition == "stress")[:, None], [0.1, 0.9], [0.8, 0.2])
    data = random_data(
        emotions=2,
        shapes={"eda": (1, 2), "face": (1, 2)},
        signals={"eda": x, "face": x},
        distributions=d,
        conditions=condition,
    )
    summary = evaluation.summarise(helo.evaluate(["mean", "mixture"], data, progress=False))
    assert summary.loc["mean", "skill"] == pytest.approx(0, abs=1e-6)
    assert summary.loc["mixture", "skill"] == pytest.approx(1, abs=0.05)


def test_processes_give_the_serial_table(simulated):
    one, two = (helo.evaluate(["ridge", "helo"], simulated, folds=3, workers=w, **FAST) for w in (1, 2))
    assert one.drop(columns="seconds").equals(two.drop(columns="seconds"))


def test_the_line_moves_while_processes_train(simulated, drawn):  # noqa: F811
    """It tells the epochs of two stacks in two processes before either has ended, and never goes back."""
    arguments = {"folds": 4, "nested": 0, "workers": 2, "epochs": 12, "device": "cpu"}
    helo.evaluate("early", simulated, on_epoch=lambda *_: time.sleep(0.25), **arguments)
    shown = re.findall(r"fit (\d) of 4.*? left(?:, (early, 2 together: epoch \d+ of 12))?", drawn.getvalue())
    told, fits_done = {note for _, note in shown if note}, [int(n) for n, _ in shown]
    assert len(told) >= 3 and {0, 1, 2} <= {int(n) for n, note in shown if note}, shown
    assert fits_done == sorted(fits_done) and fits_done[-1] == 4


def test_a_second_call_goes_on_from_the_folder(simulated, tmp_path, monkeypatch):
    first = helo.evaluate(["mean", "foalnet"], simulated, folds=3, folder=tmp_path, **FAST)
    next(iter(tmp_path.glob("foalnet-*"))).unlink()
    calls = []
    real = fits.fit

    @functools.wraps(real)
    def counted(model, *a, **k):
        calls.append(model.name)
        return real(model, *a, **k)

    monkeypatch.setattr(fits, "fit", counted)
    again = helo.evaluate(["mean", "foalnet"], simulated, folds=3, folder=tmp_path, **FAST)
    assert calls == ["foalnet"]
    assert first.drop(columns="seconds").equals(again.drop(columns="seconds"))
    helo.evaluate(["foalnet"], simulated, folds=3, folder=tmp_path, **FAST | {"epochs": 1})
    assert len(calls) == 4, "other settings are other results"
    other = dataclasses.replace(simulated, conditions=np.roll(simulated.conditions, 2))
    low = helo.evaluate(["mean"], other, folds=3, folder=tmp_path, progress=False)
    assert not np.allclose(low.kl_ceiling, first[first.model == "mean"].kl_ceiling), "other conditions, another ceiling"


def test_settings_of_one_model_under_labels(simulated):
    entries = {"helo": {"model": "helo"}, "no L_CC": {"model": "helo", "correlation_weight": 0.0}}
    table = helo.evaluate(entries, simulated, folds=3, **FAST)
    assert set(table.model) == set(entries)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"protocol": "people"}, "unknown protocol 'people'"),
        ({"models": ["helo", "halo"]}, "halo: unknown model 'halo'; expected one of"),
        ({"models": {"x": {}}}, "x: unknown model None"),
        ({"models": "halo"}, "halo: unknown model 'halo'"),
        ({"seeds": []}, r"seeds \[\]; expected at least one"),
        ({"seeds": [0, 1, 0]}, r"seeds is \[0, 1, 0\]; expected different ones"),
        ({"nested": 1}, "nested is 1 and choose_from 1; expected 0 or at least 2 groups"),
        ({"choose_from": 0}, "choose_from 0"),
        ({"epoch": 3}, r"helo.fit does not take \['epoch'\]; its arguments are"),
        ({"seed": 3}, r"\['seed'\]: helo.evaluate gives these to helo.fit itself"),
        ({"folder": "x", "on_epoch": print}, "folder and on_epoch"),
    ],
)
def test_bad_arguments(simulated, arguments, message):
    with pytest.raises(ValueError, match=message):
        helo.evaluate(**({"models": ["mean"], "data": simulated} | arguments))


def test_reference_kl_by_hand(simulated):
    split = helo.splits.by_trial(simulated)[0]
    seen = np.concatenate([split.train, split.validation])
    d, c = simulated.distributions.astype(float), simulated.conditions
    mean = np.tile(d[seen].mean(0), (len(split.test), 1))
    ceiling = np.stack([d[seen[c[seen] == c[k]]].mean(0) for k in split.test])
    low, high = evaluation.reference_kl(simulated, split)
    assert low == pytest.approx(kl(d[split.test], mean).mean()) and high == pytest.approx(
        kl(d[split.test], ceiling).mean()
    )
    assert high < low


def test_known_numbers_of_real_recordings(wesad):
    """WESAD wrist, leave one subject out: training mean .0694 / .852, ceiling .0557 (measured independently)."""
    table = helo.evaluate(["mean", "ridge", "mixture"], wesad, progress=False)
    assert len(table) == 3 * 15 * 5 and table[table.model == "mean"].windows.sum() == 1398
    summary = evaluation.summarise(table)
    assert summary.loc["mean", "kl"] == pytest.approx(0.0694, abs=1e-4)
    assert summary.loc["mean", "intersection"] == pytest.approx(0.852, abs=1e-3)
    ceiling = np.average(table.kl_ceiling, weights=table.windows)
    assert ceiling == pytest.approx(0.0557, abs=2e-4)
    # signals say something about a new person, and less than the condition's name would
    assert 0.2 < summary.loc["ridge", "skill"] < 0.8 and 0.4 < summary.loc["mixture", "skill"] < 0.9


@pytest.mark.parametrize("name", ["helo", "ridge", "early", "mean"])
def test_the_curve_of_dropping_modalities(simulated, name):
    split = helo.splits.by_subject(simulated, folds=3)[0]
    model = helo.build(name, simulated)
    helo.fit(model, simulated, split, epochs=15, learning_rate=2e-3, progress=False)
    table = evaluation.drop_curve(model, simulated, split)
    assert table.groupby("missing").size().tolist() == [1, 4, 6, 4]  # of four modalities
    whole = helo.score(simulated.distributions[split.test], helo.predict(model, simulated, split.test).distributions)
    assert table.kl[0] == pytest.approx(whole["kl"])
    curve = table.groupby("missing").kl.mean()
    # what is never looked at is not missed; what is, is
    assert np.ptp(curve) < 1e-12 if name == "mean" else curve[3] > curve[0]
    assert np.isfinite(table.kl).all()
    assert len(evaluation.drop_curve(model, simulated, split, most=2)) == 7


def test_a_modality_left_out_is_one_never_recorded(simulated):
    split = helo.splits.by_subject(simulated, folds=3)[0]
    model = helo.build("early", simulated)
    helo.fit(model, simulated, split, epochs=2, progress=False)
    other = dataclasses.replace(simulated, signals=simulated.signals | {"eda": simulated.signals["eda"] + 100})
    a, b = (helo.predict(model, data, split.test, without=["eda"]).distributions for data in (simulated, other))
    assert (a == b).all() and (a != helo.predict(model, simulated, split.test).distributions).any()
    with pytest.raises(ValueError, match=r"cannot leave out \['ecg'\]; its modalities are \['bvp'"):
        helo.predict(model, simulated, without=["ecg"])


def test_folds_and_seeds_as_one_stack(simulated, tmp_path, monkeypatch):
    """What `evaluate` does by itself: the same table, kept and resumed; in halves where the memory is too small."""
    arguments = {"folds": 3, "seeds": [0, 1], "folder": tmp_path, "workers": 1} | FAST
    sizes = []

    def small_memory(models, *rest, **training):
        sizes.append(len(models))
        if len(models) > 3:
            raise torch.OutOfMemoryError
        return helo.training.fit_together(models, *rest, **training)

    monkeypatch.setattr(fits, "_together", lambda *_: 1)
    alone = helo.evaluate(["ridge", "early"], simulated, **arguments | {"folder": None})
    monkeypatch.undo()
    monkeypatch.setattr(fits, "fit_together", small_memory)
    together = helo.evaluate(["ridge", "early"], simulated, **arguments)
    assert sizes == [6, 3, 3]
    pd.testing.assert_frame_equal(alone.drop(columns="seconds"), together.drop(columns="seconds"), rtol=1e-3)
    for file in sorted(tmp_path.glob("early*"))[:2]:
        file.unlink()
    again = helo.evaluate(["ridge", "early"], simulated, **arguments)
    assert sizes == [6, 3, 3, 2]
    pd.testing.assert_frame_equal(together.drop(columns="seconds"), again.drop(columns="seconds"), rtol=1e-3)


def test_a_stack_is_watched_and_goes_on_from_its_checkpoints(simulated, tmp_path):
    arguments = {"folds": 3, "workers": 1, **FAST, "epochs": 4}
    whole = helo.evaluate(["ridge", "early"], simulated, **arguments)
    seen = []

    def stop(model, row):
        seen.append(row["epoch"])
        if len(seen) == 5:
            raise KeyboardInterrupt

    arguments["checkpoint"] = tmp_path
    with pytest.raises(KeyboardInterrupt):
        helo.evaluate(["ridge", "early"], simulated, on_epoch=stop, **arguments)
    assert seen == [1, 1, 1, 2, 2] and len(list(tmp_path.glob("early-*.safetensors"))) == 3
    seen.clear()
    rest = helo.evaluate(["ridge", "early"], simulated, on_epoch=lambda _, row: seen.append(row["epoch"]), **arguments)
    assert sorted(seen) == [2, 3, 3, 3, 4, 4, 4]
    pd.testing.assert_frame_equal(whole.drop(columns="seconds"), rest.drop(columns="seconds"), rtol=1e-3)


def test_a_large_array_among_the_options_is_told_from_another(simulated, tmp_path):
    """The text of an array of over 1000 numbers leaves most of them out."""
    names = np.zeros((2, len(simulated.emotions), 512), np.float32)
    names[0, :, 200], names[1, :, 300] = 1, np.arange(len(simulated.emotions))
    for of in (np.asarray, list):  # one array, or a list of them
        folder = tmp_path / of.__name__
        for given in names:
            entry = {"a": {"model": "name-guided", "names": of(given)}}
            table = helo.evaluate(entry, simulated, folds=2, folder=folder, nested=0, epochs=1)
        assert len(list(folder.glob("name-guided*.npz"))) == 4
        assert all(len(fit["settings"]) <= 500 for fit in table.attrs["fits"])


def test_nothing_to_choose_starts_no_process(simulated):
    """Nor a line to watch it by: NumPy before 2.2 cannot map a file without a byte."""
    assert list(attempts(simulated, [], {}, 2, None, None)) == []


def test_two_splits_of_one_name_are_refused(simulated):
    twice = helo.splits.by_subject(simulated, folds=3) + helo.splits.by_subject(simulated, folds=3, seed=1)
    with pytest.raises(ValueError, match="3 splits have the name of another, as 'subjects-fold1of3'"):
        helo.evaluate(["mean"], simulated, protocol=twice)


@pytest.mark.parametrize("name", ["mean", "ridge", "helo"])
def test_without_validation_windows_there_is_an_answer(simulated, name):
    """Whoever asks for none; and two people leave nobody to validate by."""
    split = helo.splits.by_subject(simulated, 2, validation=0)
    table = helo.evaluate([name], simulated, protocol=split, nested=0, epochs=1, progress=False)
    assert np.isfinite(table["kl"]).all() and (table["model"] == name).all()


def test_two_people_are_enough_for_a_closed_form():
    data = dataclasses.replace(random_data(), subjects=np.repeat(["a", "b"], 20))
    assert np.isfinite(helo.evaluate(["mean", "ridge"], data, progress=False)["kl"]).all()


def test_a_fit_whose_numbers_broke_is_told(simulated):
    """Its best epoch before that answers; nobody may take that for a training that ended of itself."""

    def break_it(model, row):
        if row["epoch"] == 2:
            with torch.no_grad():
                next(p for p in model.parameters() if p.requires_grad).fill_(float("nan"))

    split = helo.splits.by_subject(simulated, folds=3)[:1]
    given = {"epochs": 5, "nested": 0, "on_epoch": break_it, "progress": False}
    with pytest.warns(
        UserWarning, match=r"ended early, its numbers no longer finite, for early \(1 of 1 fits, such as:"
    ):
        table = helo.evaluate("early", simulated, protocol=split, **given)
    assert "is not finite" in table.attrs["fits"][0]["broke"] and np.isfinite(table["kl"]).all()
