"""How far a window lies from those of the training people: a Mahalanobis distance for each modality.

With x the mean of a window's tokens (F features), mu their mean over the training windows, D their standard deviations,
and S the shrunk correlation of Ledoit and Wolf ("A well-conditioned estimator for large-dimensional covariance
matrices", J. Multivariate Analysis 88(2), 2004),

    distance(x) = sqrt(z^T S^-1 z),    z = D^-1 (x - mu)

Each training person's windows are measured so against all others'; the largest of these distances, of any window of any
training person, is the limit, and a window's strangeness is distance / limit. Above 1 it is farther from training than
any training person's windows are from the other training people's. What is kept is a mean and a matrix: no window can
be read from it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: most groups of people that are left out in turns: a set may have thousands of people
TURNS = 100


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """Where one modality's training windows lie.

    Args:
        mean: of each feature over the training windows, shape (F,).
        scale: their standard deviations, 1 for a feature that does not vary, shape (F,).
        precision: S^-1, shape (F, F).
        limit: largest distance of a training person's window from the other training people.
    """

    mean: np.ndarray
    scale: np.ndarray
    precision: np.ndarray
    limit: float = 1.0

    def distance(self, x: np.ndarray) -> np.ndarray:
        """Mahalanobis distance of windows x (n, F); shape (n,)."""
        z = (x - self.mean) / self.scale
        return np.sqrt(np.maximum(np.einsum("nf,fg,ng->n", z, self.precision, z), 0))


def averaged(signal: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means over the tokens that are there, (n, F), and whether there is one, (n,), of (n, T, F) and (n, T)."""
    there = np.asarray(mask, bool)[..., None]
    x = np.where(there, np.asarray(signal, np.float64), 0)
    return x.sum(1) / np.maximum(there.sum(1), 1), np.asarray(there.any((1, 2)))


def neighbourhood(x: np.ndarray, people: np.ndarray) -> Neighbourhood:
    """Where the windows x (n, F) of these people, shape (n,), lie, and how far any one of them from the others'.

    Raises:
        ValueError: fewer than two people, or windows that do not differ.
    """
    names, who = np.unique(people, return_inverse=True)
    if len(names) < 2:
        raise ValueError(f"windows of {len(names)} people; expected two, to see how far one may be from the others")
    turn = who % TURNS
    farthest = max(_fitted(x[turn != k]).distance(x[turn == k]).max() for k in range(min(len(names), TURNS)))
    if not farthest > 0:
        raise ValueError("all windows are alike; expected some that differ, to see how far one may be from the others")
    whole = _fitted(x)
    return Neighbourhood(whole.mean, whole.scale, whole.precision, float(farthest))


def _fitted(x):
    from sklearn.covariance import ledoit_wolf

    mean, scale = x.mean(0), x.std(0)
    scale = np.where(scale > np.maximum(1e-6 * np.abs(x).max(0), 1e-12), scale, 1)  # as `EmotionModel.prepare`
    covariance, _ = ledoit_wolf((x - mean) / scale, assume_centered=True)
    return Neighbourhood(mean, scale, np.linalg.pinv(covariance, hermitian=True))
