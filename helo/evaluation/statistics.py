"""Comparing models: ranks, the critical difference, paired tests, the leak.

Demsar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 2006. The blocks here are folds (people,
or groups of people), and seeds are averaged within a fold first: a fold is one observation however many seeds it was
run with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from helo.measures import HIGHER_IS_BETTER, MEASURES, skill

if TYPE_CHECKING:
    import pandas as pd


def by_fold(table: pd.DataFrame, measure: str = "kl") -> pd.DataFrame:
    """A measure's mean over seeds: rows folds, columns models.

    Raises:
        ValueError: unknown measure, or a model without a value in some fold.
    """
    if measure not in MEASURES:
        raise ValueError(f"unknown measure {measure!r}; expected one of {list(MEASURES)}")
    wide = table.pivot_table(index="fold", columns="model", values=measure, aggfunc="mean", sort=False)
    if wide.isna().any(axis=None):
        model = wide.columns[wide.isna().any()][0]
        raise ValueError(f"model {model!r} has no {measure} in fold {wide.index[wide[model].isna()][0]!r}")
    return wide[list(dict.fromkeys(table["model"]))]


def mean_ranks(table: pd.DataFrame, measure: str = "kl") -> pd.Series:
    """Mean rank of each model over folds, 1 is best; ties share their ranks. Sorted, best first."""
    wide = by_fold(table, measure)
    return wide.rank(axis=1, ascending=measure not in HIGHER_IS_BETTER).mean().sort_values()


def critical_difference(models: int, folds: int, alpha: float = 0.05) -> float:
    """Nemenyi's critical difference of mean ranks: CD = q_alpha sqrt(k (k + 1) / (6 N)).

    q_alpha is the studentised range's quantile for k means and infinite degrees of freedom, divided by sqrt(2). Mean
    ranks nearer than CD are not told apart.
    """
    from scipy.stats import studentized_range

    return float(
        studentized_range.ppf(1 - alpha, models, np.inf) / 2**0.5 * (models * (models + 1) / (6 * folds)) ** 0.5
    )


def paired_test(table: pd.DataFrame, reference: str, measure: str = "kl") -> pd.DataFrame:
    """Wilcoxon's signed-rank test of every model against one, over folds, with Holm's correction.

    Returns:
        By model: "difference" (mean over folds, model - reference), "folds better", "p", and "p (Holm)".

    Raises:
        ValueError: the reference is not in the table, or fewer than two folds.
    """
    import pandas as pd
    from scipy.stats import wilcoxon

    wide = by_fold(table, measure)
    if reference not in wide:
        raise ValueError(f"reference {reference!r} is not in the table; expected one of {list(wide.columns)}")
    if len(wide) < 2:
        raise ValueError(f"the table has {len(wide)} fold; a paired test needs at least two")
    sign = -1 if measure in HIGHER_IS_BETTER else 1
    rows = {}
    for model in wide.columns.drop(reference):
        difference = wide[model] - wide[reference]
        p = wilcoxon(difference).pvalue if (difference != 0).any() else 1.0
        rows[model] = {"difference": difference.mean(), "folds better": int((sign * difference < 0).sum()), "p": p}
    result = pd.DataFrame(rows).T
    p = result["p"].to_numpy()
    order, corrected = np.argsort(p), np.empty_like(p)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return result.assign(**{"p (Holm)": corrected})


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """One row per model: mean and standard deviation of each measure, and skill.

    Means weight folds by their windows, so that every window counts once. The deviation of a measure is over folds
    (each averaged over seeds): how much people differ. Skill is (KL_mean - KL_model) / (KL_mean - KL_ceiling) over all
    windows of one seed; its mean and deviation are over seeds.

    Args:
        table: from `evaluate`.

    Returns:
        Columns "<measure>" and "<measure>_sd" for the six measures, "skill", "skill_sd", "seeds"; index: the model.
    """
    import pandas as pd

    rows = {}
    for label, part in table.groupby("model", sort=False):
        row = {}
        for measure in MEASURES:
            fold_means = part.groupby("fold")[measure].mean()
            weights = part.groupby("fold")["windows"].first()
            row[measure] = np.average(fold_means, weights=weights)
            row[f"{measure}_sd"] = fold_means.std(ddof=1) if len(fold_means) > 1 else float("nan")
        by_seed = [
            skill(*(np.average(s[c], weights=s["windows"]) for c in ("kl", "kl_mean", "kl_ceiling")))
            for _, s in part.groupby("seed")
        ]
        row["skill"] = np.mean(by_seed)
        row["skill_sd"] = np.std(by_seed, ddof=1) if len(by_seed) > 1 else float("nan")
        row["seeds"] = len(by_seed)
        rows[label] = row
    return pd.DataFrame(rows).T.astype({"seeds": int})


def to_markdown(summary: pd.DataFrame) -> str:
    """The table as README shows it: mean ± standard deviation over folds, skill ± deviation over seeds."""
    arrows = {"chebyshev": "↓", "clark": "↓", "canberra": "↓", "kl": "↓", "cosine": "↑", "intersection": "↑"}
    lines = [
        "| model | " + " | ".join(f"{m} {a}" for m, a in arrows.items()) + " | skill ↑ |",
        "|---|" + "---|" * (len(arrows) + 1),
    ]
    for label, row in summary.iterrows():
        cells = [f"{row[m]:.4f} ± {row[m + '_sd']:.4f}" for m in arrows]
        spread = f" ± {row['skill_sd']:.2f}" if np.isfinite(row["skill_sd"]) else ""
        lines.append(f"| {label} | " + " | ".join(cells) + f" | {row['skill']:.2f}{spread} |")
    return "\n".join(lines)


def interval_over_people(
    values: np.ndarray, people: np.ndarray, level: float = 0.95, draws: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Bootstrap interval of a mean over windows, where people, not windows, are drawn anew.

    Windows of one person are no independent observations: a draw takes as many people as there are, with replacement,
    and all the windows of each.

    Args:
        values: one number a window, shape (n,).
        people: who each window is from, shape (n,).
        level: share of the draws inside.
        draws: how many.
        seed: of the draws.

    Returns:
        The percentile interval (low, high); NaN for a single person.
    """
    names, who = np.unique(people, return_inverse=True)
    if len(names) < 2:
        return float("nan"), float("nan")
    sums, counts = np.bincount(who, values), np.bincount(who)
    drawn = np.random.default_rng(seed).integers(0, len(names), (draws, len(names)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
