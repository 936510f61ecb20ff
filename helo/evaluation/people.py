"""The unit of every comparison: a person. Seeds and folds are averaged within a person before anything is compared.

Windows of one person are alike, and seeds of one model are, too: neither is an independent observation. Where a table
has a single subject (or a data set does not know them), the fold is the unit instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from helo.data.emotion_data import EmotionData
from helo.data.split import Split
from helo.evaluation.references import references
from helo.measures import MEASURES, score

if TYPE_CHECKING:
    import pandas as pd

#: measures that `evaluate` also gives by trial -> the column
BY_TRIAL = {"kl": "kl_trial", "kl_mean": "kl_mean_trial", "kl_ceiling": "kl_ceiling_trial"}
WEIGHTS = ("windows", "trials")


def unit(table: pd.DataFrame) -> str:
    """What is compared over: "subject", or "fold" where the table has a single subject."""
    return "subject" if table["subject"].nunique() > 1 else "fold"


def people(table: pd.DataFrame, measure: str = "kl", weight: str = "windows", by: str = "") -> pd.DataFrame:
    """A measure's mean for every person and model.

    Args:
        table: from `evaluate`: one row per model, seed, fold, subject and condition.
        measure: one of the six, or "kl_mean" or "kl_ceiling".
        weight: what counts once within a person: "windows" or "trials"; by trial only the KL is known. A trial that is
            tested in several folds (protocol "windows") counts in each.
        by: the unit, "subject" or "fold"; "": as `unit` says.

    Returns:
        Rows people, columns models, both in the table's order; the index's name says what a row is: "subject" or
        "fold". NaN only for a ceiling that is not known.

    Raises:
        ValueError: unknown measure or weight; or models or seeds that were not tested on the same windows.
    """
    import pandas as pd

    by, column = by or unit(table), _column(measure, weight)
    _same_windows(table, weight, by)
    rows, persons = pd.factorize(table[by])
    columns, models = pd.factorize(table["model"])
    cell, size = rows * len(models) + columns, len(persons) * len(models)
    counts = table[weight].to_numpy(float)
    # bincount, since pandas' sums skip NaN: an unknown ceiling would become a ceiling of 0
    means = np.bincount(cell, counts * table[column], size) / np.bincount(cell, counts, size)
    wide = pd.DataFrame(means.reshape(len(persons), len(models)), pd.Index(persons, name=by), models)
    if measure != "kl_ceiling" and wide.isna().any(axis=None):
        model = wide.columns[wide.isna().any()][0]
        raise ValueError(f"model {model!r}: {column} is NaN for {by} {wide.index[wide[model].isna()][0]!r}")
    return wide


def holdings(table: pd.DataFrame, weight: str = "windows", by: str = "") -> pd.Series:
    """How many windows (or trials) each person has, in the order of `people`.

    Raises:
        ValueError: models or seeds were not tested on the same windows.
    """
    return _same_windows(table, weight, by or unit(table))


def person_scores(data: EmotionData, split: Split, answer: np.ndarray) -> list[dict[str, Any]]:
    """Scores of a split's test windows, one row per person and condition, as in the table of `evaluate`.

    Args:
        data: the data set.
        split: its test side was asked.
        answer: distributions of its test windows, (n, L).

    Returns:
        For each: "subject", "condition", "windows", "trials", the six measures, "kl_mean" and "kl_ceiling", means over
        the windows; and "kl_trial", "kl_mean_trial", "kl_ceiling_trial", means over the trials. A trial of
        several conditions counts in each by its share of windows.
    """
    import pandas as pd

    frame = pd.DataFrame(score(data.distributions[split.test], answer, per_window=True))
    frame["kl_mean"], frame["kl_ceiling"] = references(data, split)
    measured = list(frame)
    frame["subject"], frame["trial"] = data.subjects[split.test].astype(str), data.trial_ids[split.test]
    frame["condition"] = "" if data.conditions is None else data.conditions[split.test].astype(str)
    size = frame.groupby("trial").size()
    rows: list[dict[str, Any]] = []
    for (subject, condition), part in frame.groupby(["subject", "condition"], sort=False):
        trials = part.groupby("trial")
        share = trials.size() / size[trials.size().index]  # of a trial that goes through several conditions
        by_trial = (
            trials[list(BY_TRIAL)].mean().rename(columns=BY_TRIAL).mul(share, axis=0).sum(skipna=False) / share.sum()
        )
        means = {str(k): float(v) for k, v in [*part[measured].mean().items(), *by_trial.items()]}
        about = {"subject": subject, "condition": condition, "windows": len(part), "trials": whole(share.sum())}
        rows.append({**about, **means})
    return rows


def whole(count: float) -> float:
    """A number of windows or trials, whole where it is but for rounding: parts of trials add up."""
    rounded = round(float(count), 9)
    return int(rounded) if rounded.is_integer() else rounded


def _same_windows(table, weight, by):
    if weight not in WEIGHTS:
        raise ValueError(f"weight is {weight!r}; expected one of {list(WEIGHTS)}")
    held = table.groupby(["model", "seed", by], sort=False)[weight].sum().unstack(by, fill_value=0)
    held = held[table[by].unique()]
    first = held.iloc[0]
    apart = ~np.isclose(held, first, rtol=1e-6)  # parts of trials add up in the order of the rows
    for (model, seed), other in held[apart.any(axis=1)].iterrows():
        who = first.index[~np.isclose(other, first, rtol=1e-6)][0]
        raise ValueError(
            f"model {model!r}, seed {seed}: {other[who]} {weight} of {by} {who!r}, "
            f"but {first[who]} for model {held.index[0][0]!r}; expected the same for all"
        )
    return first.rename(weight)


def _column(measure, weight):
    known = (*MEASURES, "kl_mean", "kl_ceiling")
    if measure not in known:
        raise ValueError(f"unknown measure {measure!r}; expected one of {list(known)}")
    if weight != "trials":
        return measure
    if measure not in BY_TRIAL:
        raise ValueError(f"{measure!r} is not known by trial; expected one of {list(BY_TRIAL)}")
    return BY_TRIAL[measure]
