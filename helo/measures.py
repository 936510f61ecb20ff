"""The six measures of emotion distribution learning, and skill.

Truth l and prediction p are rows on the simplex. Every measure gives one number per row; averages are over rows
(windows), never over batches.
"""

from __future__ import annotations

from typing import Literal, overload

import numpy as np

#: Smallest value inside a logarithm: the float64 machine epsilon.
EPS = np.finfo(np.float64).eps
#: Least share of a mean that is an answer, as a part of an even share 1 / L: a mean of votes may hold zeros, and a new
#: person's vote there would count for more than all else.
FLOOR = 0.01

LOWER_IS_BETTER = ("chebyshev", "clark", "canberra", "kl")
HIGHER_IS_BETTER = ("cosine", "intersection")


def chebyshev(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """max_j |p_j - l_j|, shape (n,)."""
    return np.abs(truth - prediction).max(1)


def clark(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """sqrt(sum_j ((p_j - l_j) / (p_j + l_j))^2), shape (n,); a term with p_j = l_j = 0 counts 0."""
    return np.sqrt((_relative_difference(truth, prediction) ** 2).sum(1))


def canberra(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """sum_j |p_j - l_j| / (p_j + l_j), shape (n,); a term with p_j = l_j = 0 counts 0."""
    return _relative_difference(truth, prediction).sum(1)


def kl(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Kullback-Leibler divergence sum_j l_j log(l_j / p_j), shape (n,); l_j = 0 counts 0, p_j is at least EPS."""
    return (truth * np.log(np.maximum(truth, EPS) / np.maximum(prediction, EPS))).sum(1)


def floored(shares: np.ndarray) -> np.ndarray:
    """Shares (..., L) raised to at least FLOOR / L, then divided by their sum."""
    raised = np.maximum(shares, FLOOR / shares.shape[-1])
    return raised / raised.sum(-1, keepdims=True)


def mean_kl(truth: np.ndarray, log_prediction: np.ndarray) -> float:
    """The mean of `kl` over the rows, from log-probabilities log p, which lose nothing where p is small."""
    truth = truth.astype(np.float64)
    return float((truth * (np.log(np.maximum(truth, 1e-12)) - log_prediction)).sum(1).mean())


def cosine(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """l . p / (||l|| ||p||), shape (n,)."""
    return (truth * prediction).sum(1) / (np.linalg.norm(truth, axis=1) * np.linalg.norm(prediction, axis=1))


def intersection(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """sum_j min(p_j, l_j), shape (n,)."""
    return np.minimum(truth, prediction).sum(1)


MEASURES = {f.__name__: f for f in (chebyshev, clark, canberra, kl, cosine, intersection)}


@overload
def score(truth: np.ndarray, prediction: np.ndarray, per_window: Literal[False] = False) -> dict[str, float]: ...
@overload
def score(truth: np.ndarray, prediction: np.ndarray, per_window: Literal[True]) -> dict[str, np.ndarray]: ...
def score(
    truth: np.ndarray, prediction: np.ndarray, per_window: bool = False
) -> dict[str, float] | dict[str, np.ndarray]:
    """All six measures of predicted distributions.

    Args:
        truth: rated distributions l, shape (n, L).
        prediction: predicted distributions p, shape (n, L).
        per_window: give arrays of shape (n,) instead of their means.

    Returns:
        Measure name -> mean over the n windows (or the n values). Lower is better for chebyshev, clark, canberra
        and kl; higher for cosine and intersection.

    Raises:
        ValueError: shapes differ, no rows, or a row is not a distribution.
    """
    truth, prediction = _both(truth, prediction)
    values = {name: measure(truth, prediction) for name, measure in MEASURES.items()}
    return values if per_window else {name: float(v.mean()) for name, v in values.items()}


def skill(kl_model: float, kl_mean: float, kl_ceiling: float) -> float:
    """(KL_mean - KL_model) / (KL_mean - KL_ceiling): a model beside what knowing the condition adds.

    0 is the training mean; 1 is knowing the true condition and answering the training subjects' mean for it.

    Returns:
        The skill; NaN where the ceiling is not below the mean, so that there is nothing to reach.
    """
    room = kl_mean - kl_ceiling
    return float((kl_mean - kl_model) / room) if room > 0 else float("nan")


def calibration(truth: np.ndarray, prediction: np.ndarray, bins: int = 10) -> dict[str, np.ndarray]:
    """Whether an emotion's share is felt as strongly as it is predicted: predicted shares in bins of equal number.

    Args:
        truth: rated distributions l, shape (n, L).
        prediction: predicted distributions p, shape (n, L).
        bins: number of bins, at least 1; equal predictions may leave fewer.

    Returns:
        "predicted" and "rated", the mean shares of every bin, and "weight", its part of all n L shares. The calibration
        error is sum_b weight_b |predicted_b - rated_b|.

    Raises:
        ValueError: as `score`, or bins out of range.
    """
    truth, prediction = (x.ravel() for x in _both(truth, prediction))
    if bins < 1:
        raise ValueError(f"bins is {bins}; expected at least 1")
    edges = np.unique(np.quantile(prediction, np.linspace(0, 1, bins + 1)[1:-1]))
    which = np.unique(np.searchsorted(edges, prediction, side="right"), return_inverse=True)[1]
    count = np.bincount(which)
    return {
        "predicted": np.bincount(which, prediction) / count,
        "rated": np.bincount(which, truth) / count,
        "weight": count / count.sum(),
    }


def correlation_gap(a: np.ndarray, b: np.ndarray) -> float:
    """Mean absolute difference of two label correlations (L, L), off the diagonal."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return float(np.abs(a - b)[~np.eye(len(a), dtype=bool)].mean())


def _relative_difference(truth, prediction):
    total = truth + prediction
    return np.divide(np.abs(truth - prediction), total, out=np.zeros_like(total), where=total > 0)


def _both(truth, prediction):
    truth, prediction = _simplex("truth", truth), _simplex("prediction", prediction)
    if truth.shape != prediction.shape:
        raise ValueError(f"truth has shape {truth.shape} and prediction {prediction.shape}; expected the same (n, L)")
    return truth, prediction


def _simplex(name, values):
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or len(values) == 0:
        raise ValueError(f"{name} has shape {values.shape}; expected (windows > 0, emotions)")
    # float32 models sum to 1 within about 1e-6 per emotion
    if not np.isfinite(values).all() or (values < 0).any() or not np.allclose(values.sum(1), 1, atol=1e-3):
        row = int(np.argmax(~np.isfinite(values).all(1) | (values < 0).any(1) | (np.abs(values.sum(1) - 1) > 1e-3)))
        raise ValueError(
            f"{name} row {row} sums to {values[row].sum():.4f}; expected non-negative numbers that sum to 1"
        )
    return values
