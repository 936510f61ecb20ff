"""Means, skill and gains over the training mean, with intervals over people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from helo.evaluation.intervals import DRAWS, drawn_sums, limits
from helo.evaluation.people import holdings, people, unit, whole
from helo.evaluation.statistics import paired_test
from helo.measures import MEASURES

if TYPE_CHECKING:
    import pandas as pd

#: the KL of what a model is set beside: the training mean, and knowing the condition
REFERENCES = ("kl_mean", "kl_ceiling")


def summarise(
    table: pd.DataFrame,
    reference: str | None = None,
    weight: str = "windows",
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> pd.DataFrame:
    """One row per model: means and skill with bootstrap intervals over people, and the difference to one model.

    In a mean every window (or trial) counts once. For an interval the people are drawn anew, each with all their
    windows, and everything is computed again in each draw: means, differences and

        skill = (sum KL_mean - sum KL_model) / (sum KL_mean - sum KL_ceiling),

    sums over all windows. All models see the same draws. Seeds and folds are averaged within a person first.

    Args:
        table: from `evaluate`.
        reference: the model to compare with; None: "helo" if it is there, else the first.
        weight: "windows" or "trials"; by trial, only the KL is there.
        level: of the intervals.
        draws: of people.
        seed: of the draws.

    Returns:
        Index: the model. For each measure and for "skill": the mean, "<...>_low", "<...>_high". "skill_note":
        why there is no skill, or no interval; "" otherwise. "kl_mean", "kl_ceiling". "seeds"; "fits", the
        answered folds of all seeds, and "capped", the share of their models whose training ended at the cap of
        epochs. Of the KL's difference to the reference: "difference", "difference_low", "difference_high", "p",
        "p_holm" and "better" (for how many people), as `paired_test` gives them, NaN in the reference's own
        row, where "reference" is True. "people", how many; "unit", "subject" or "fold"; "weight", "level".
        `attrs["left_out"]`: as the table's.

    Raises:
        ValueError: as `people`; or the reference is not in the table.
    """
    import pandas as pd

    measures, sums, held, models = _sums(table, weight)
    reference = reference or ("helo" if "helo" in models else models[0])
    if reference not in models:
        raise ValueError(f"reference {reference!r} is not in the table; expected one of {models}")
    means = _means(sums.sum(0, keepdims=True), measures)
    drawn = _means(drawn_sums(sums, draws, seed), measures)
    low_high = {name: limits(values, len(held), level) for name, values in drawn.items()}
    columns: dict = {}
    for name in (*measures, "skill"):
        columns |= {name: means[name][0], f"{name}_low": low_high[name][0], f"{name}_high": low_high[name][1]}
    columns |= {name: means[name][0] for name in REFERENCES}
    result = pd.DataFrame(columns, index=pd.Index(models, name="model"))
    result["skill_note"] = [
        _note(row, len(held), "people" if unit(table) == "subject" else "folds") for _, row in result.iterrows()
    ]
    result = result.join(_fits(table)).assign(people=len(held), unit=unit(table), weight=weight, level=level)
    result["reference"] = result.index == reference
    result = result.join(_against(table, reference, weight, level, draws, seed))
    result.attrs["left_out"] = dict(table.attrs.get("left_out", {}))
    return result


def _fits(table):
    """Seeds, fits, and the share that was cut at the cap, by model; a fit has a row for each person of its fold."""
    fits = table.drop_duplicates(["model", "seed", "fold"]).groupby("model", sort=False)
    return fits.agg(seeds=("seed", "nunique"), fits=("fold", "size"), capped=("capped", "mean"))


def _against(table, reference, weight, level, draws, seed):
    """The differences to the reference; empty where nobody can be compared."""
    import pandas as pd

    names = {"low": "difference_low", "high": "difference_high"}
    columns = ["difference", "low", "high", "p", "p_holm", "better"]
    if len(holdings(table, weight)) < 2:
        return pd.DataFrame(columns=columns, dtype=float).rename(columns=names)
    return paired_test(table, reference, "kl", weight, level, draws, seed)[columns].rename(columns=names)


def _sums(table, weight):
    """The measures' names, each person's sums (people, (measures + 2) x models + 1), windows, and the models."""
    measures = list(MEASURES) if weight == "windows" else ["kl"]
    wide = [people(table, name, weight) for name in (*measures, *REFERENCES)]
    held = holdings(table, weight).to_numpy(float)
    sums = np.column_stack([*(values.to_numpy() * held[:, None] for values in wide), held])
    return measures, sums, held, list(wide[0].columns)


def _means(sums, measures):
    """name -> means (draws, models), and "skill", from sums (draws, ...) as `_sums` orders them."""
    names = [*measures, *REFERENCES]
    means = dict(zip(names, np.split(sums[:, :-1] / sums[:, -1:], len(names), axis=1), strict=True))
    room = means["kl_mean"] - means["kl_ceiling"]
    gain = means["kl_mean"] - means["kl"]
    return means | {"skill": np.divide(gain, room, out=np.full_like(gain, np.nan), where=room > 0)}


def _note(row, people, unit):
    if np.isnan(row["kl_ceiling"]):
        return "no skill: the ceiling is not known, since conditions are not"
    if np.isnan(row["skill"]):
        return (
            f"no skill: the ceiling (KL {row['kl_ceiling']:.4f}) is not below the training mean ({row['kl_mean']:.4f})"
        )
    if people < 2:
        return "no interval: one person"
    if np.isnan(row["skill_low"]):
        return f"no interval: drawn anew, these {unit} often have a ceiling that is not below the training mean"
    return ""


def by_condition(
    table: pd.DataFrame, weight: str = "windows", level: float = 0.95, draws: int = DRAWS, seed: int = 0
) -> pd.DataFrame:
    """Where a model's gain over the training mean lies: the same by condition.

    Args:
        table: from `evaluate`.
        weight: "windows" or "trials".
        level: of the intervals.
        draws: of people.
        seed: of the draws.

    Returns:
        One row per condition and model: "people" who met the condition, "windows" (or "trials"), "kl", "kl_mean",
        "gain" = KL_mean - KL with "gain_low" and "gain_high" over these people, and "share", the condition's part of
        the model's whole gain (NaN for a model without one).

    Raises:
        ValueError: as `people`; or conditions are not known.
    """
    import pandas as pd

    if (table["condition"].isna() | (table["condition"] == "")).any():  # "" comes back from a CSV file as NaN
        raise ValueError("the table has rows without a condition; expected a name in each")
    by, rows = unit(table), {}
    for condition, part in table.groupby("condition", sort=False):
        kl, kl_mean = (people(part, name, weight, by) for name in ("kl", "kl_mean"))
        held = holdings(part, weight, by).to_numpy(float)
        gain = kl_mean - kl
        sums = drawn_sums(np.column_stack([gain.to_numpy() * held[:, None], held]), draws, seed)
        low, high = limits(sums[:, :-1] / sums[:, -1:], len(held), level)
        for k, model in enumerate(kl.columns):
            rows[condition, model] = {
                "people": len(held),
                weight: whole(held.sum()),
                "kl": np.average(kl[model], weights=held),
                "kl_mean": np.average(kl_mean[model], weights=held),
                "gain": np.average(gain[model], weights=held),
                "gain_low": low[k],
                "gain_high": high[k],
            }
    result = pd.DataFrame.from_dict(rows, orient="index")
    result.index = result.index.set_names(["condition", "model"])
    gains, plain = ((result[name] * result[weight]).groupby("model").transform("sum") for name in ("gain", "kl_mean"))
    share = result["gain"] * result[weight] / gains
    return result.assign(share=share.where(gains > 1e-5 * plain))  # the training mean's own gain is rounding


def chosen(table: pd.DataFrame, fits: pd.DataFrame | None = None) -> pd.DataFrame:
    """The budget, and what the training people chose: for each model its candidates, and how many folds chose which.

    Args:
        table: from `evaluate`.
        fits: a row for each fit, as in the table's `attrs["fits"]`, which is the default.

    Returns:
        Index: the model. "candidates" and "fits", how many; "cut", how many of these fits ended at their cap of
        epochs, chosen or not; "chosen", the settings and in how many folds, the most frequent first; what no model
        could choose is left out, "as given" where nothing is left.

    Raises:
        ValueError: no fits are given, and the table has none.
    """
    import pandas as pd

    if fits is None and "fits" not in table.attrs:
        raise ValueError("the table has lost its attrs['fits'] (a file or pandas.concat does not keep them); give fits")
    fits = pd.DataFrame(table.attrs["fits"]) if fits is None else fits
    settings = (
        fits.drop_duplicates(["model", "candidate"]).set_index(["model", "candidate"])["settings"].str.split(", ")
    )
    same = set.intersection(*map(set, settings))  # what nobody could choose
    settings = settings.map(lambda own: ", ".join(x for x in own if x not in same) or "as given")
    folds = table.drop_duplicates(["model", "fold"]).groupby(["model", "choice"], sort=False).size()
    rows = {}
    for model in table["model"].unique():
        own = folds[model].sort_values(ascending=False, kind="stable")
        told = "; ".join(f"{settings[model, k]} ({count} of {own.sum()} folds)" for k, count in own.items())
        mine = fits["model"] == model
        counts = {"candidates": fits.loc[mine, "candidate"].nunique(), "fits": int(mine.sum())}
        rows[model] = counts | {"cut": int((fits.loc[mine, "capped"] > 0).sum()), "chosen": told}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")
