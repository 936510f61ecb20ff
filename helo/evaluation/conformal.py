"""How far a rating may lie from an answer: a radius that calibration people give, and that holds for new people.

The distance is the total variation,

    TV(d, p) = 1/2 sum_j |d_j - p_j| = max over groups G of emotions |d(G) - p(G)|

from 0 to 1: the most by which the share of any group of emotions is off. The Kullback-Leibler divergence would be
infinite at an answer of 0, and its regions have no simple form. Where every emotion is to have an interval of its own,
the distance is Chebyshev's, max_j |d_j - p_j|: a group's share is off by more than any single one's, and the intervals
that a region by TV implies are far too wide for twenty emotions.

Split conformal prediction asks for exchangeable scores. Windows of one person are not; people are. With m_i windows of
calibration person i, i = 1 .. n, and s_ij the distance of window j's rating from its answer, the radius is

    r = min {q : 1/(n + 1) sum_i 1/m_i #{j : s_ij <= q} >= level},    1 (any distribution) where there is none,

hierarchical conformal prediction (Lee, Barber and Willett, "Distribution-free inference with hierarchical data", 2023,
arXiv 2306.06342; for groups of repeated measurements Dunn, Wasserman and Ramdas, "Distribution-Free Prediction Sets for
Two-Layer Hierarchical Models", JASA 118, 2023). Why it holds: with r' the same quantile of all n + 1 people, the new
one included, the mean over the n + 1 of the share of windows within r' is at least the level by definition, so by
exchangeability the new person's is, in expectation; and r >= r', since r puts all of the new person's windows at
infinity. Nothing is asked of windows within a person.

What this promises is on average over people (and over who calibrated): the expected share of a new person's windows
that are covered. A single person's share may be far lower, and people of another kind, or sensors worn otherwise, have
no promise at all. n people promise n / (n + 1) at most: 90 % takes nine.
"""

from __future__ import annotations

import numpy as np


def total_variation(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """TV(p, q) of rows on the simplex, both (n, L); shape (n,), from 0 to 1."""
    return np.abs(np.asarray(p, np.float64) - np.asarray(q, np.float64)).sum(-1) / 2


def chebyshev(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """max_j |p_j - q_j| of rows on the simplex, both (n, L); shape (n,), from 0 to 1."""
    return np.abs(np.asarray(p, np.float64) - np.asarray(q, np.float64)).max(-1)


def radius(scores: np.ndarray, people: np.ndarray, level: float = 0.9) -> float:
    """The radius of the module's equation.

    Args:
        scores: distance of each calibration window's rating from its answer, shape (n,).
        people: whose window it is, shape (n,); each person counts once, however many windows there are.
        level: the share of a new person's windows that is to be covered, on average over people.

    Returns:
        One of the scores; 1 where so few people cannot promise that level.

    Raises:
        ValueError: shapes that do not fit, no window, a score that is no number, a level outside (0, 1).
    """
    scores, people = np.asarray(scores, np.float64), np.asarray(people)
    if scores.ndim != 1 or scores.shape != people.shape or not len(scores):
        raise ValueError(f"scores have shape {scores.shape}, people {people.shape}; expected (windows > 0,) for both")
    if not np.isfinite(scores).all():
        raise ValueError(f"score {int(np.argmin(np.isfinite(scores)))} is {scores[~np.isfinite(scores)][0]}")
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; expected a number between 0 and 1")
    _, who, counts = np.unique(people, return_inverse=True, return_counts=True)
    order = np.argsort(scores, kind="stable")
    share = np.cumsum(1 / counts[who[order]]) / (len(counts) + 1)
    enough = np.searchsorted(share, level - 1e-9)  # sums of 1 / m_i are off by rounding
    return float(scores[order[enough]]) if enough < len(scores) else 1.0


def most(people: int) -> float:
    """The highest level that so many calibration people can promise, n / (n + 1)."""
    return people / (people + 1)


def bounds(answers: np.ndarray, band: float) -> tuple[np.ndarray, np.ndarray]:
    """The least and the largest share that each emotion has in {d on the simplex : max_j |d_j - p_j| <= band}.

    Exact, max(0, p_j - band) and min(1, p_j + band): what emotion j loses or gains the others can take or give. (They
    are those of {d : TV(d, p) <= band}, too, which is a smaller region.)

    Args:
        answers: distributions p, shape (n, L).
        band: of Chebyshev's distance.

    Returns:
        (low, high), both of shape (n, L).
    """
    return np.maximum(answers - band, 0), np.minimum(answers + band, 1)
