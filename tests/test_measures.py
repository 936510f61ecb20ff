import os

import numpy as np
import pytest

from helo.measures import MEASURES, calibration, correlation_gap, kl, mean_kl, score, skill

RNG = np.random.default_rng(0)


def test_closed_forms():
    found = score([[0.5, 0.5, 0.0]], [[0.25, 0.25, 0.5]])
    assert found["chebyshev"] == pytest.approx(0.5)
    assert found["clark"] == pytest.approx(np.sqrt(2 * (0.25 / 0.75) ** 2 + 1))
    assert found["canberra"] == pytest.approx(2 * 0.25 / 0.75 + 1)
    assert found["kl"] == pytest.approx(np.log(2))
    assert found["cosine"] == pytest.approx(0.25 / (np.sqrt(0.5) * np.sqrt(0.375)))
    assert found["intersection"] == pytest.approx(0.5)


def test_a_perfect_answer():
    l = RNG.dirichlet(np.ones(6), 20)
    l[:, 2] = 0  # an emotion nobody feels counts 0 in the relative measures
    l /= l.sum(1, keepdims=True)
    found = score(l, l)
    assert found["chebyshev"] == found["clark"] == found["canberra"] == found["kl"] == 0
    assert found["cosine"] == pytest.approx(1) and found["intersection"] == pytest.approx(1)


def test_agrees_with_python_ldl():
    os.environ.setdefault("KERAS_BACKEND", "torch")
    from pyldl import metrics

    for emotions in (2, 6, 24):
        l, p = RNG.dirichlet(np.ones(emotions), (2, 300))
        ours = score(l, p)
        theirs = {"kl": "kl_divergence"}
        for name in MEASURES:
            assert ours[name] == pytest.approx(getattr(metrics, theirs.get(name, name))(l, p), abs=1e-6), name


def test_average_is_over_windows_not_batches():
    l, p = RNG.dirichlet(np.ones(4), (2, 130))
    whole, parts = score(l, p), score(l, p, per_window=True)
    for name, value in whole.items():
        assert parts[name].shape == (130,)
        assert value == pytest.approx(parts[name].mean())
    assert score(l[:128], p[:128])["kl"] != pytest.approx(whole["kl"], abs=1e-9)


def test_permuting_emotions_changes_nothing():
    l, p = RNG.dirichlet(np.ones(5), (2, 30))
    order = RNG.permutation(5)
    assert score(l, p) == pytest.approx(score(l[:, order], p[:, order]))


def test_zero_prediction_of_a_felt_emotion_is_finite_and_bad():
    assert 10 < score([[1.0, 0.0]], [[0.0, 1.0]])["kl"] < 50


@pytest.mark.parametrize("p", [[[0.5, 0.6]], [[np.nan, 1]], [[-0.1, 1.1]], np.zeros((0, 2)), [[1 / 3] * 3]])
def test_what_is_no_distribution_is_refused(p):
    with pytest.raises(ValueError, match="expected"):
        score([[0.5, 0.5]], p)


def test_skill():
    assert skill(0.07, 0.07, 0.05) == 0
    assert skill(0.05, 0.07, 0.05) == pytest.approx(1)
    assert skill(0.09, 0.07, 0.05) == pytest.approx(-1)
    assert np.isnan(skill(0.05, 0.05, 0.05))


def test_correlation_gap_leaves_the_diagonal_out():
    a = np.array([[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]])
    b = np.array([[9, 0.2, 0], [0.2, 9, 0.3], [0, 0.3, 9]])
    assert correlation_gap(a, b) == pytest.approx((0.3 + 0.3) / 3) and correlation_gap(a, a) == 0


def test_calibration_of_known_answers():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(6), 4000)
    # what is felt scatters around what is predicted: calibrated
    felt = np.stack([rng.dirichlet(50 * row + 1e-3) for row in p])
    found = calibration(felt, p)
    assert len(found["predicted"]) == 10 and np.isclose(found["weight"].sum(), 1)
    np.testing.assert_allclose(found["predicted"], found["rated"], atol=0.01)
    # half as decided as predicted: the rated share grows half as fast
    found = calibration((p + 1 / 6) / 2, p)
    slope = np.polyfit(found["predicted"], found["rated"], 1)[0]
    assert np.isclose(slope, 0.5, atol=1e-6)
    # one answer for all is one bin
    even = np.full((10, 4), 0.25)
    assert calibration(even, even)["weight"].tolist() == [1.0]


def test_mean_kl_is_the_mean_of_kl_and_keeps_small_shares():
    rng = np.random.default_rng(0)
    truth, prediction = rng.dirichlet(np.ones(6), (2, 50))
    truth[0], truth[0, 2] = 0, 1
    assert mean_kl(truth, np.log(prediction)) == pytest.approx(kl(truth, prediction).mean(), abs=1e-12)
    assert mean_kl(np.array([[0.0, 1.0]]), np.array([[0.0, -100.0]])) == pytest.approx(100)
