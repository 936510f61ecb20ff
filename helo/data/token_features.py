"""Features of a token, a column each: what goes with what, and means by group."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from helo.data.emotion_data import EmotionData


def tokens(data: EmotionData) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Modality, windows and features (windows, features) of each token, where it is there in two windows or more."""
    for m, x in data.signals.items():
        for token in range(x.shape[1]):
            rows = np.flatnonzero(data.masks[m][:, token])
            if len(rows) > 1:
                yield m, rows, x[rows, token].astype(np.float64)


def correlation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pearson's, of every column of x with every column of y; 0 for a column that does not vary."""
    x, y = (standard(z, np.zeros(len(z), int)) for z in (x, y))
    return x.T @ y / len(x)


def standard(x: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Each column, centred and scaled within each group; 0 where it does not vary there."""
    size = np.abs(x).max(0, initial=0)  # of each column by itself: beside a time in ms a share is no rounding
    x = x - means(x, groups)[groups]
    sd = np.sqrt(means(x**2, groups))
    return x / np.where(sd > np.maximum(1e-6 * size, 1e-12), sd, np.inf)[groups]


def means(x: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Mean of each column over each group, (groups, columns)."""
    return sums(x, groups) / np.bincount(groups)[:, None]


def sums(x: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Sum of each column over each group, (groups, columns)."""
    from scipy.sparse import csr_array

    n = len(groups)
    return csr_array((np.ones(n), (groups, np.arange(n)))) @ x
