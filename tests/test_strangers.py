"""People of the simulated study differ as real ones do: what is remembered helps, where a split lets it."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

import helo

FLATTERED = 0.7  # WESAD: .036 / .074


def neighbours_kl(data, folds):
    """KL of the mean of the 15 nearest windows, over all folds."""
    model, found = helo.build("aa-knn", data), []
    for split in folds:
        model.prepare(data, split)
        x, seen = model.inputs(data, np.arange(len(data))), split.seen
        near = NearestNeighbors(n_neighbors=15).fit(x[seen]).kneighbors(x[split.test], return_distance=False)
        found.append(helo.score(data.distributions[split.test], data.distributions[seen][near].mean(1))["kl"])
    return np.mean(found)


def test_random_windows_flatter_neighbours(study):
    with pytest.warns(UserWarning, match="leak"):
        windows = helo.splits.random_windows(study, 4)
    strangers = helo.splits.by_subject(study, 4)
    assert neighbours_kl(study, windows) < FLATTERED * neighbours_kl(study, strangers)


def test_people_have_a_rating_style(study):
    """The share of an emotion differs between people by more than their clips explain."""
    share = study.distributions[:, study.emotions.index("calm")]
    style = np.array([share[study.subjects == p].mean() for p in np.unique(study.subjects)])
    within = np.mean([share[study.subjects == p].std() for p in np.unique(study.subjects)])
    assert style.std() > 1.5 * within / np.sqrt(10)  # ten clips each: chance alone gives 1


def test_temperature_tells_no_clip(study):
    """A slow signal must not be a clock by which all who watch in the same order are told the clip."""
    temp = study.signals["temp"][:, :, 0].mean(1)
    means = np.array([temp[study.trials == c].mean() for c in np.unique(study.trials)])
    assert means.var() / temp.var() < 0.5
