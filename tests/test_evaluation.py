import dataclasses
import functools

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import random_data

import helo
from helo import evaluation
from helo.evaluation import scoring
from helo.measures import kl

FAST = {"epochs": 2, "progress": False}


def test_one_row_per_model_seed_and_fold(simulated):
    table = helo.evaluate(["mean", "helo"], simulated, folds=3, seeds=[0, 1], **FAST)
    assert len(table) == 3 + 3 * 2  # the training mean has no seed
    assert set(table.fold) == {f"subjects-fold{k}of3" for k in (1, 2, 3)}
    assert (table.groupby(["model", "seed"]).windows.sum() == len(simulated)).all()
    helos = table[table.model == "helo"]
    assert (helos.groupby("fold").kl.nunique() == 2).all()


def test_scores_are_those_of_fit_and_predict(simulated):
    table = helo.evaluate(["helo"], simulated, folds=3, seeds=[5], epochs=2, progress=False)
    split = helo.splits.by_subject(simulated, 3)[1]
    model = helo.build("helo", simulated, seed=5)
    helo.fit(model, simulated, split, epochs=2, seed=5, progress=False)
    expected = helo.score(simulated.distributions[split.test], helo.predict(model, simulated, split.test).distributions)
    assert table.iloc[1][list(expected)].to_dict() == pytest.approx(expected, rel=1e-5)


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


def test_summary_weights_windows_and_spreads_over_folds(simulated):
    import pandas as pd

    row = {"model": "m", "seed": 0, "kl_mean": 0.2, "kl_ceiling": 0.1}
    other = {"chebyshev": 0, "clark": 0, "canberra": 0, "cosine": 1, "intersection": 1}
    table = pd.DataFrame(
        [row | other | {"fold": "a", "kl": 0.1, "windows": 10}, row | other | {"fold": "b", "kl": 0.2, "windows": 30}]
    )
    summary = evaluation.summarise(table).loc["m"]
    assert summary.kl == pytest.approx(0.175) and summary.kl_sd == pytest.approx(np.std([0.1, 0.2], ddof=1))
    assert summary.skill == pytest.approx(0.25) and np.isnan(summary.skill_sd)
    assert "| m | 0.0000 ± 0.0000 |" in evaluation.to_markdown(evaluation.summarise(table))


def test_processes_give_the_serial_table(simulated):
    one, two = (helo.evaluate(["ridge", "helo"], simulated, folds=3, workers=w, **FAST) for w in (1, 2))
    columns = ["model", "fold", "kl", "cosine", "epochs"]
    assert one[["model", "fold"]].equals(two[["model", "fold"]])
    np.testing.assert_allclose(one[columns[2:]].to_numpy(), two[columns[2:]].to_numpy(), rtol=1e-4)


def test_a_second_call_goes_on_from_the_folder(simulated, tmp_path, monkeypatch):
    first = helo.evaluate(["mean", "foalnet"], simulated, folds=3, folder=tmp_path, **FAST)
    next(iter(tmp_path.glob("foalnet-*"))).unlink()
    calls = []
    real = scoring.fit

    @functools.wraps(real)
    def counted(model, *a, **k):
        calls.append(model.name)
        return real(model, *a, **k)

    monkeypatch.setattr(scoring, "fit", counted)
    again = helo.evaluate(["mean", "foalnet"], simulated, folds=3, folder=tmp_path, **FAST)
    assert calls == ["foalnet"]
    assert first.drop(columns="seconds").equals(again.drop(columns="seconds"))
    helo.evaluate(["foalnet"], simulated, folds=3, folder=tmp_path, epochs=1, progress=False)
    assert len(calls) == 4, "other settings are other results"
    other = dataclasses.replace(simulated, conditions=np.roll(simulated.conditions, 2))
    low = helo.evaluate(["mean"], other, folds=3, folder=tmp_path, progress=False)
    assert not np.allclose(low.kl_ceiling, first[first.model == "mean"].kl_ceiling), "other conditions, another ceiling"


def test_settings_of_one_model_under_labels(simulated):
    entries = {"helo": {"model": "helo"}, "no L_CC": {"model": "helo", "correlation_weight": 0.0}}
    table = helo.evaluate(entries, simulated, folds=3, **FAST)
    assert set(table.model) == set(entries)


def test_settings_are_chosen_by_validation_people_alone(simulated):
    slow, good = {"learning_rate": 1e-7}, {"learning_rate": 2e-3}
    chosen = helo.evaluate(["early", "mean"], simulated, folds=3, choices=[slow, good], epochs=4, progress=False)
    alone = helo.evaluate(["early", "mean"], simulated, folds=3, epochs=4, progress=False, **good)
    assert (chosen[chosen.model == "early"].choice == 1).all()
    pd.testing.assert_frame_equal(*(t.drop(columns=["seconds", "choice"]) for t in (chosen, alone)))
    # other labels of the test people: the same choices, another score
    split = helo.splits.by_subject(simulated, folds=3)[0]
    d = simulated.distributions.copy()
    d[split.test] = d[split.test][:, ::-1]
    other = helo.evaluate(
        ["early"],
        dataclasses.replace(simulated, distributions=d),
        folds=3,
        choices=[slow, good],
        epochs=4,
        progress=False,
    )
    assert other.choice[0] == 1 and other.epochs[0] == chosen.epochs[0] and other.kl[0] != chosen.kl[0]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"protocol": "people"}, "unknown protocol 'people'"),
        ({"models": ["helo", "halo"]}, "halo: unknown model 'halo'; expected one of"),
        ({"models": {"x": {}}}, "x: unknown model None"),
        ({"models": "halo"}, "halo: unknown model 'halo'"),
        ({"seeds": []}, r"seeds \[\]; expected at least one"),
        ({"choices": [{"rate": 1}]}, r"helo.fit does not take \['rate'\]"),
        ({"epoch": 3}, r"helo.fit does not take \['epoch'\]; its arguments are"),
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
    assert len(table) == 3 * 15 and table[table.model == "mean"].windows.sum() == 1398
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
    assert curve.nunique() == 1 if name == "mean" else curve[3] > curve[0]
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

    monkeypatch.setattr(scoring, "_together", lambda *_: 1)
    alone = helo.evaluate(["ridge", "early"], simulated, **arguments | {"folder": None})
    monkeypatch.undo()
    monkeypatch.setattr(scoring, "fit_together", small_memory)
    together = helo.evaluate(["ridge", "early"], simulated, **arguments)
    assert sizes == [6, 3, 3]
    pd.testing.assert_frame_equal(alone.drop(columns="seconds"), together.drop(columns="seconds"), rtol=1e-3)
    for file in sorted(tmp_path.glob("early*"))[:2]:
        file.unlink()
    again = helo.evaluate(["ridge", "early"], simulated, **arguments)
    assert sizes == [6, 3, 3, 2]
    pd.testing.assert_frame_equal(together.drop(columns="seconds"), again.drop(columns="seconds"), rtol=1e-3)


def test_a_stack_is_watched_and_goes_on_from_its_checkpoints(simulated, tmp_path):
    arguments = {"folds": 3, "workers": 1, "epochs": 4, "progress": False}
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


def test_what_is_trained_as_one(simulated):
    together = functools.partial(scoring._together, simulated)
    assert together({"model": "helo"}, {"device": "cuda"}) > 1000
    assert together({"model": "helo"}, {"device": "cpu"}) == 15
    assert together({"model": "helo", "width": 512}, {"device": "cpu"}) == 1, "too large for a CPU's cache"
    assert together({"model": "foalnet"}, {"device": "cuda"}) == 1
    assert together({"model": "ridge"}, {"device": "cuda"}) == 1
    assert together({"model": "helo"}, {"device": "cuda", "checkpoint": "folder"}) > 1000
    assert together({"model": "helo"}, {"device": "cuda", "on_epoch": print}) > 1000
