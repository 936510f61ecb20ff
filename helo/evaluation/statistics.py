"""Comparing models over people: ranks, the critical difference, paired tests.

Demsar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 2006. His blocks are data sets; here they
are people (`helo.evaluation.people`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from helo.evaluation.intervals import DRAWS, drawn_sums, limits
from helo.evaluation.people import holdings, people
from helo.measures import HIGHER_IS_BETTER

if TYPE_CHECKING:
    import pandas as pd


def mean_ranks(table: pd.DataFrame, measure: str = "kl", weight: str = "windows") -> pd.Series:
    """Mean rank of each model over people, 1 is best; ties, rounding apart, share their ranks. Sorted, best first."""
    wide = people(table, measure, weight).apply(_without_rounding, axis=1)
    return wide.rank(axis=1, ascending=measure not in HIGHER_IS_BETTER).mean().sort_values()


def _without_rounding(values):
    """A person's values, those that are the next lower one's but for rounding (as in `paired_test`) set to that."""
    ordered = values.sort_values()
    steps = np.isclose(ordered.to_numpy()[1:], ordered.to_numpy()[:-1], rtol=1e-6, atol=1e-7)
    firsts = np.maximum.accumulate(np.r_[0, np.where(steps, 0, np.arange(1, len(ordered)))])
    ordered[:] = ordered.to_numpy()[firsts]
    return ordered.reindex(values.index)


def critical_difference(models: int, people: int, alpha: float = 0.05) -> float:
    """Nemenyi's critical difference of mean ranks: CD = q_alpha sqrt(k (k + 1) / (6 N)).

    q_alpha is the studentised range's quantile for k means and infinite degrees of freedom, divided by sqrt(2). Mean
    ranks nearer than CD are not told apart.

    Raises:
        ValueError: fewer than two models, nobody, or alpha out of range.
    """
    if models < 2 or people < 1 or not 0 < alpha < 1:
        raise ValueError(f"{models} models, {people} people, alpha {alpha}; expected 2 and 1 at least, alpha in 0..1")
    from scipy.stats import studentized_range

    return float(
        studentized_range.ppf(1 - alpha, models, np.inf) / 2**0.5 * (models * (models + 1) / (6 * people)) ** 0.5
    )


def paired_test(
    table: pd.DataFrame,
    reference: str,
    measure: str = "kl",
    weight: str = "windows",
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> pd.DataFrame:
    """Every model against one, over people: difference, interval, Wilcoxon's signed-rank test, Holm's correction.

    The difference is that of the means in `summarise`: every window (or trial) counts once. The test ranks the
    people's own differences, of which each counts once.

    Args:
        table: from `evaluate`.
        reference: a model of the table.
        measure: one of the six.
        weight: "windows" or "trials".
        level: of the interval.
        draws: of people, for the interval.
        seed: of the draws.

    Returns:
        By model: "difference" (model - reference), "low", "high", "better" (people for whom the model is better),
        "people", "p", and "p_holm", corrected for the number of models.

    Raises:
        ValueError: the reference is not in the table, or fewer than two people.
    """
    import pandas as pd
    from scipy.stats import wilcoxon

    wide, held = people(table, measure, weight), holdings(table, weight).to_numpy(float)
    if reference not in wide:
        raise ValueError(f"reference {reference!r} is not in the table; expected one of {list(wide.columns)}")
    if len(wide) < 2:
        raise ValueError(f"the table has 1 {wide.index.name}; a paired test needs at least two")
    sign = -1 if measure in HIGHER_IS_BETTER else 1
    others, own = wide.drop(columns=reference), wide[[reference]].to_numpy()
    # answers are float32: what differs less is rounding, and would be ranked like anything else
    differences = (others - own).mask(np.isclose(others, own, rtol=1e-6, atol=1e-7), 0.0)
    sums = drawn_sums(np.column_stack([differences.to_numpy() * held[:, None], held]), draws, seed)
    low, high = limits(sums[:, :-1] / sums[:, -1:], len(wide), level)
    rows = {
        model: {
            "difference": np.average(d, weights=held),
            "low": low[k],
            "high": high[k],
            "better": int((sign * d < 0).sum()),
            "people": len(d),
            "p": wilcoxon(d[d != 0]).pvalue if d.any() else 1.0,  # with zeros among them it would be approximate
        }
        for k, (model, d) in enumerate(differences.items())
    }
    columns = ["difference", "low", "high", "better", "people", "p"]
    result = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    return result.assign(p_holm=holm(result["p"].to_numpy(float)))


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's correction: the k-th smallest of m p-values times m - k + 1, never less than the one before, at most 1."""
    order, corrected = np.argsort(p, kind="stable"), np.empty_like(p)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return corrected
