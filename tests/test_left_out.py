"""`evaluate` with data that not every model can be fed with, and with models that fail: the others have their table."""

import numpy as np
import pytest
from conftest import random_data, shared
from typer.testing import CliRunner

import helo
from helo import evaluation
from helo.__main__ import app
from helo.evaluation import fits

FAST = {"epochs": 2, "nested": 0, "folds": 2, "progress": False}
ONE = {"shapes": {"face": (1, 7)}, "roles": {"physiological": [], "behavioral": ["face"]}}
DEFAULTS = ["uniform", "mean", "ridge", "mixture", "helo"]


@pytest.fixture
def trained(monkeypatch):
    """Names of models that were trained."""
    seen, real = [], fits._runs
    monkeypatch.setattr(fits, "_runs", lambda data, job, *more: seen.append(job.model) or real(data, job, *more))
    return seen


def test_models_that_data_cannot_feed_are_found_before_anything_starts(trained):
    with pytest.warns(UserWarning, match=r"2 of 5 models cannot be fed and are left out: mixture: .*; helo: ") as told:
        table = helo.evaluate(DEFAULTS, random_data(**ONE), workers=1, **FAST)
    assert list(dict.fromkeys(table.model)) == ["uniform", "mean", "ridge"] == list(dict.fromkeys(trained))
    assert "no condition is known" in table.attrs["left_out"]["mixture"]
    reason = table.attrs["left_out"]["helo"]
    assert "at least one of each" in reason and "columns" in reason and "role: physiological" in reason
    assert len([w for w in told if "left out" in str(w.message)]) == 1
    summary = evaluation.summarise(table).sort_values("kl")
    page = evaluation.to_markdown(summary)
    assert f"Left out: helo. {reason}" in page and "Left out: mixture. " in page


def test_all_models_on_one_role_give_a_table():
    data = random_data(n=20, **ONE)
    with pytest.warns(UserWarning, match="left out"):
        table = helo.evaluate(helo.build.__globals__["available"](), data, workers=1, **FAST | {"epochs": 1})
    assert set(table.attrs["left_out"]) >= {"helo", "helo-no-ot", "mixture"} and {"ridge", "mlp"} <= set(table.model)
    assert "ridge" not in table.attrs["left_out"]


def test_one_condition_on_the_training_side_is_found_too():
    data = random_data(conditions=np.repeat(["x", "y"], 20))  # a and b have one, c and d the other
    splits = helo.splits.by_subject(data, 4)
    halves = [helo.splits.Split("s", np.arange(20), np.arange(0), np.arange(20, 40))]
    with pytest.warns(UserWarning, match="mixture: the training side of s holds one condition, 'x'"):
        helo.evaluate(["mean", "mixture"], data, protocol=halves, nested=0, progress=False)
    mixed = random_data(conditions=np.tile(["x", "y"], 20))
    assert not helo.evaluate(["mean", "mixture"], mixed, protocol=splits, nested=0, progress=False).attrs["left_out"]


def fails(monkeypatch, name, error):
    real = fits._runs

    def runs(data, job, *more):
        if job.model == name:
            raise error
        return real(data, job, *more)

    monkeypatch.setattr(fits, "_runs", runs)


@pytest.mark.parametrize(
    "error", [RuntimeError("no memory"), np.linalg.LinAlgError("singular"), TypeError("missing x")]
)
def test_a_model_that_fails_in_the_middle_does_not_lose_the_others(monkeypatch, error):
    fails(monkeypatch, "ridge", error)
    with pytest.warns(UserWarning, match=f"1 of 3 models failed and are left out: ridge: {error}"):
        table = helo.evaluate(["mean", "ridge", "early"], random_data(), workers=1, **FAST)
    assert set(table.model) == {"mean", "early"} and table.attrs["left_out"] == {"ridge": str(error)}
    assert {row["model"] for row in table.attrs["fits"]} == {"mean", "early"}
    with pytest.raises(type(error), match=str(error)):
        helo.evaluate("ridge", random_data(), workers=1, **FAST)


def test_a_model_that_diverges_does_not_lose_the_others():
    """At such a rate nothing is finite; closed forms know no rate."""
    with pytest.warns(UserWarning, match="models failed and are left out: early: early, .*is not finite"):
        table = helo.evaluate(["mean", "early"], random_data(), learning_rate=1e30, workers=1, **FAST)
    assert set(table.model) == {"mean"}
    with pytest.raises(ValueError, match=r"no model is left of \['early', 'mlp'\]: early: .*; mlp: "):
        helo.evaluate(["early", "mlp"], random_data(), learning_rate=1e30, workers=1, **FAST)
    with pytest.raises(FloatingPointError, match="early"):
        helo.evaluate("early", random_data(), learning_rate=1e30, workers=1, **FAST)


def test_processes_lose_the_same():
    with pytest.warns(UserWarning, match="failed and are left out: early"):
        table = helo.evaluate(["mean", "early"], random_data(), learning_rate=1e30, workers=2, **FAST)
    assert set(table.model) == {"mean"}


def test_a_full_disk_is_no_models_fault(monkeypatch):
    fails(monkeypatch, "ridge", OSError(28, "No space left on device"))
    with pytest.raises(OSError, match="No space"):
        helo.evaluate(["mean", "ridge"], random_data(), workers=1, **FAST)


@pytest.mark.parametrize(
    "entry, message",
    [({"widht": 3}, r"x: model 'helo' does not take \['widht'\]"), ({"width": -3}, "x: width is -3; expected")],
)
def test_a_wrong_option_is_an_error_and_leaves_nothing_out(entry, message):
    with pytest.raises(ValueError, match=message):
        helo.evaluate({"x": {"model": "helo"} | entry, "mean": {"model": "mean"}}, random_data(), **FAST)


def test_rows_without_people_have_five_folds():
    data = random_data(n=40, subjects=np.arange(40), trials=np.arange(40))
    table = helo.evaluate(["mean", "ridge"], data, progress=False)
    assert table.fold.nunique() == 5 and (table.groupby("model").windows.sum() == 40).all()
    assert helo.evaluate(["mean"], data, folds=8, progress=False).fold.nunique() == 8


def test_the_command_shows_who_is_left_out(tmp_path):
    path = shared("ldl/SJAFFE.mat")
    done = CliRunner().invoke(
        app, ["evaluate", "--dataset", "ldl", "--root", str(path), "--models", "mean,mixture,helo,aa-knn"]
    )
    assert done.exit_code == 0, done.output
    assert "| aa-knn |" in done.stdout and "| mean |" in done.stdout
    assert "Left out: helo. " in done.stdout and "Left out: mixture. " in done.stdout
