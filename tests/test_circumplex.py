"""The control study whose labels have structure."""

import numpy as np
import pytest

import helo


def test_votes_are_drawn_from_shares_around_an_angle():
    data = helo.load("circumplex", subjects=2, windows=2000, votes=50, seed=1)
    share = data.truth["distributions"]
    np.testing.assert_allclose(share.sum(1), 1)
    np.testing.assert_allclose(data.distributions * 50, np.round(data.distributions * 50), atol=1e-4)
    # mean and variance of a multinomial, over all windows
    difference = data.distributions - share
    assert np.abs(difference.mean(0)).max() < 5 * np.sqrt((share * (1 - share)).mean(0).max() / 50 / len(data))
    assert difference.var(0).sum() == pytest.approx((share * (1 - share)).mean(0).sum() / 50, rel=0.05)


def test_neighbours_are_felt_together_and_opposites_are_not():
    r = helo.load("circumplex", windows=500).truth["label_correlation"]
    count = len(r)
    by_distance = [np.mean([r[k, (k + d) % count] for k in range(count)]) for d in range(count // 2 + 1)]
    assert by_distance[1] > 0.9 and by_distance[-1] < -0.2
    assert (np.diff(by_distance[:7]) < 0).all()


def test_body_and_face_say_half_each():
    data = helo.load("circumplex", windows=300, noise=0.0)
    share = data.truth["distributions"]
    place = 2 * np.pi * np.arange(share.shape[1]) / share.shape[1]
    shown = {"body": share @ np.sin(place), "face": share @ np.cos(place)}
    for m, own in shown.items():
        x = data.signals[m][:, 0]
        for name, coordinate in shown.items():
            correlated = np.corrcoef(x[:, 0], coordinate)[0, 1]
            assert (abs(correlated) > 0.999) if name == m else abs(correlated) < 0.1, (m, name)
        assert own.std() > 0.1


def test_bad_arguments():
    for options in ({"subjects": 1}, {"windows": 0}, {"votes": 0}, {"noise": -1}, {"concentration": -1}, {"tokens": 0}):
        with pytest.raises(ValueError, match="expected at least 2 subjects"):
            helo.load("circumplex", **options)
