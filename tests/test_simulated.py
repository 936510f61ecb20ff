import numpy as np
import pytest

import helo
from helo.data import simulated as source


def test_label_correlation_of_the_sample_is_near_the_true_one(study):
    true = study.truth["label_correlation"]
    found = np.corrcoef(study.distributions, rowvar=False)
    off = ~np.eye(8, dtype=bool)
    assert np.abs(found - true)[off].mean() < 0.1
    np.testing.assert_allclose(np.diag(true), 1)
    # opposite emotions are rated apart, neighbours together
    names = list(study.emotions)
    assert (
        true[names.index("happy"), names.index("sad")] < -0.5 < 0.5 < true[names.index("afraid"), names.index("angry")]
    )


def test_true_correlation_is_that_of_many_people(study):
    clips = source._Study(12, 10, 72.0, 0).clips
    again = source.label_correlation(clips, seed=5)
    np.testing.assert_allclose(again, study.truth["label_correlation"], atol=0.01)


def test_body_follows_face_by_one_token(study):
    coupling = study.truth["coupling"]
    np.testing.assert_allclose(coupling.sum((1, 2)), 1, atol=1e-5)
    mean = coupling.mean(0)
    lag = np.add.outer(np.arange(6), -np.arange(6))
    assert mean[lag == 1].sum() > 0.6 and mean[(lag < 0) | (lag > 2)].sum() < 0.02


def test_the_coupling_is_in_the_signals(study):
    """Skin conductance rises one token after the face moves: correlate over windows, by lag."""
    face = study.signals["face"].sum(2)
    rise = study.signals["eda"][..., 3]
    by_lag = [np.corrcoef(face[:, : 6 - k].ravel(), rise[:, k:].ravel())[0, 1] for k in range(3)]
    assert by_lag[1] > by_lag[0] + 0.05


def test_same_seed_same_study_other_seed_another():
    a, b, c = (helo.load("simulated", subjects=2, clips=2, seconds=24, seed=s, cache=False) for s in (1, 1, 2))
    for m in a.signals:
        np.testing.assert_array_equal(a.signals[m], b.signals[m])
        assert not np.array_equal(a.signals[m], c.signals[m])
    assert not np.array_equal(a.distributions, c.distributions)


def test_structure(simulated):
    assert len(simulated) == 6 * 5 * 3 and simulated.roles["behavioral"] == ("face",)
    assert len(np.unique(simulated.trial_ids)) == 30
    raw = simulated.recording("P2")
    assert raw.signals["bvp"].shape == (5 * 48 * 64, 1) and raw.units["eda"] == "uS"
    assert raw.signals["eda"].min() > 0.5 and raw.signals["temp"].mean() == pytest.approx(33, abs=3)


@pytest.mark.parametrize(
    "options", [{"subjects": 1}, {"clips": 0}, {"window": 10}, {"window": 96}, {"step": 0}, {"subjects": 2.5}]
)
def test_bad_arguments(options):
    with pytest.raises(ValueError, match="expected"):
        helo.load("simulated", **options)


def test_a_recording_of_nobody(simulated):
    with pytest.raises(ValueError, match="no subject 'P9'; expected one of"):
        simulated.recording("P9")


@pytest.mark.parametrize("seed", [2, 9])
def test_a_moment_at_the_very_end_has_no_response_any_more(seed):
    """A response that would begin after the recording's end: these seeds could not be loaded."""
    assert len(helo.load("simulated", subjects=2, seed=seed)) == 100
