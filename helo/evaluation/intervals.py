"""Bootstrap intervals over people: people, not windows, are drawn anew."""

from __future__ import annotations

import numpy as np

#: how often people are drawn anew; a limit then moves by some hundredths of the interval from seed to seed
DRAWS = 5000


def drawn_sums(totals: np.ndarray, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """Sums over people in every draw of as many people as there are, with replacement.

    Args:
        totals: each person's sums, shape (people, k). All columns see the same draws, so that differences and ratios of
            columns are paired.
        draws: how many.
        seed: of the draws.

    Returns:
        Shape (draws, k).
    """
    people, rng = len(totals), np.random.default_rng(seed)
    size = max(1, 10_000_000 // people)  # draws at a time: some data sets have thousands of subjects
    parts = [min(size, draws - k) for k in range(0, draws, size)]
    return np.concatenate([rng.multinomial(people, np.full(people, 1 / people), n) @ totals for n in parts])


def limits(values: np.ndarray, people: int, level: float = 0.95) -> np.ndarray:
    """The expanded percentile interval of a statistic.

    With few people the percentile interval is too narrow: it has the normal's quantile where Student's t is due, and
    the deviation with n where n - 1 is due. Both are mended by taking the percentiles further out, at

        alpha' / 2 = Phi(-sqrt(n / (n - 1)) t_{1 - alpha / 2, n - 1})

    (Hesterberg, "What Teachers Should Know About the Bootstrap", The American Statistician 69(4), 2015). For a mean of
    normal values it is Student's interval; for two to four people it is the range of all draws. It is no remedy for
    skewness.

    Args:
        values: the statistic in every draw, shape (draws, ...). A draw without a value (NaN) is passed over, unless
            there are more of them than one tail may hold: then there is no interval.
        people: how many there are, n.
        level: share of intervals that hold the truth.

    Returns:
        (low, high) along a first axis, shape (2, ...); NaN for a single person.

    Raises:
        ValueError: a level that is no share, such as 95.
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; expected a share between 0 and 1, such as 0.95")
    from scipy.stats import norm, t

    missing = np.isnan(values).mean(0)
    if people < 2 or (missing == 1).all():
        return np.full((2, *values.shape[1:]), np.nan)
    tail = norm.cdf(-((people / (people - 1)) ** 0.5) * t.ppf((1 + level) / 2, people - 1))
    ends = [tail, 1 - tail]
    if not missing.any():
        return np.quantile(values, ends, axis=0)
    found = np.nanquantile(np.where(missing == 1, 0, values), ends, axis=0)
    return np.where(missing > tail, np.nan, found)


def interval_over_people(
    values: np.ndarray, people: np.ndarray, level: float = 0.95, draws: int = DRAWS, seed: int = 0
) -> tuple[float, float]:
    """Bootstrap interval of a mean over windows: a draw takes all the windows of each person that it takes.

    Args:
        values: one number a window, shape (n,).
        people: who each window is from, shape (n,).
        level: as for `limits`.
        draws: how many.
        seed: of the draws.

    Returns:
        (low, high), as `limits` gives them; NaN for a single person.
    """
    names, who = np.unique(people, return_inverse=True)
    sums, counts = drawn_sums(np.stack([np.bincount(who, values), np.bincount(who)], 1), draws, seed).T
    low, high = limits(sums / counts, len(names), level)
    return float(low), float(high)
