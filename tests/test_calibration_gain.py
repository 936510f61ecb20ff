"""What a new person's first trials are worth: found where people differ, absent where they do not."""

import sys

import numpy as np
import pytest
from conftest import rated_by_habit

import helo
from helo.evaluation import calibration_gain, summarise


def rated(habit):
    return rated_by_habit(12, 8, habit=habit, offset=2.0, own=0.3, noise=0.1, seed=0)


def test_the_gain_is_there_where_people_differ_and_grows():
    curve = calibration_gain("kernel-ridge", rated(0.8), 4, folds=4, progress=False)
    assert curve.trials.tolist() == [0, 1, 2, 3, 4] and (curve.people == 12).all()
    assert curve.gain[0] == curve.gain_low[0] == curve.gain_high[0] == 0
    assert (curve.gain_low[1:] > 0).all() and curve.gain[4] > curve.gain[1] and (curve.better[1:] > 8).all()
    np.testing.assert_allclose(curve.kl[0] - curve.kl, curve.gain, atol=1e-9)


def test_there_is_none_where_people_are_alike():
    curve = calibration_gain(["ridge", "mean"], rated(0.0), 2, folds=4, progress=False)
    assert curve.model.tolist() == ["ridge"] * 3 + ["mean"] * 3
    assert (curve.gain.abs() < 0.05 * curve.kl).all()


def test_every_number_of_trials_is_asked_of_the_same_windows_with_the_arguments_given():
    data = rated(0.8)
    curve = calibration_gain("ridge", data, 2, folds=4, seeds=[1], choose_from=8, progress=False)
    for k in (0, 2):
        splits = helo.splits.by_protocol(data, "subjects", 4, calibrate=k, reserve=2)
        alone = helo.evaluate("ridge", data, protocol=splits, seeds=[1], choose_from=8, progress=False)
        assert alone.windows.sum() == 12 * 6
        assert curve.kl[k] == pytest.approx(summarise(alone).loc["ridge", "kl"], rel=1e-9)
    asked = {"folds": 2, "nested": 0, "seeds": [3, 4], "epochs": 3, "weight": "trials", "progress": False}
    with pytest.warns(UserWarning, match=r"early \(4 of 4 fits\)"):
        trained = calibration_gain("early", data, 1, **asked)
    splits = helo.splits.by_protocol(data, "subjects", 2, calibrate=1, reserve=1)
    alone = helo.evaluate("early", data, protocol=splits, nested=0, seeds=[3, 4], epochs=3, progress=False)
    assert trained.kl[1] == pytest.approx(summarise(alone, weight="trials").loc["early", "kl"], rel=1e-9)
    with pytest.raises(ValueError, match=r"\['calibrate'\]: new people"):
        calibration_gain("ridge", data, 1, calibrate=1)
    with pytest.raises(ValueError, match="trials is 0; expected at least 1"):
        calibration_gain("ridge", data, 0)
    with pytest.raises(ValueError, match="expected more than the 8 that are reserved"):
        calibration_gain("ridge", data, 8, folds=4)


def test_a_model_that_fails_for_one_number_of_trials_is_left_out_of_all(monkeypatch):

    made = sys.modules["helo.evaluation.calibration_gain"]

    real, asked = made.evaluate, []

    def fails_once(models, data, **given):
        asked.append(given)
        table = real(models, data, **given)
        if len(asked) == 2:
            table = table[table["model"] != "ridge"]
            table.attrs["left_out"] = {"ridge": "it broke"}
        return table

    monkeypatch.setattr(made, "evaluate", fails_once)
    curve = made.calibration_gain(["ridge", "mean"], rated(0.0), 2, folds=4, progress=False)
    assert set(curve.model) == {"mean"} and curve.attrs["left_out"] == {"ridge": "it broke"}
