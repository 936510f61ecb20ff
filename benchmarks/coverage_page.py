"""The table of docs/uncertainty.md and figures/coverage.png from the kept rows of coverage.py, nothing trained."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from helo import figures
from helo.evaluation import interval_over_people
from helo.files import atomic_write
from helo.views.palette import BLUE, ORANGE

matplotlib.use("agg")
SETS = {"wesad": "WESAD, wrist", "simulated": "simulated study", "crema-d": "CREMA-D votes, four sentences"}
MODELS = ("mean", "ridge", "mlp", "early", "helo")
BEGIN, END = "<!-- benchmarks/coverage.py page -->\n", "<!-- end -->\n"


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """A row for each set and model: means over people, each person's seeds averaged first."""
    measured = ["covered", "in_band", "radius", "band", "distance", "spread", "strange", "people"]
    by_person = rows.groupby(["set", "model", "subject"], sort=False)[measured].mean().reset_index()
    found = []
    for (name, model), own in by_person.groupby(["set", "model"], sort=False):
        means, people = own[measured].mean().to_dict(), np.arange(len(own))
        for column in ("covered", "in_band"):
            means[f"{column}_low"], means[f"{column}_high"] = interval_over_people(own[column].to_numpy(), people)
            means[f"{column}_worst"] = own[column].min()
        means["seeds"] = rows[(rows.set == name) & (rows.model == model)].seed.nunique()
        found.append({"set": name, "model": model, "tested": len(own), **means})
    told = pd.DataFrame(found)
    order = {name: k for k, name in enumerate((*SETS, *MODELS))}
    return told.sort_values(["set", "model"], key=lambda names: names.map(order)).reset_index(drop=True)


def table(told: pd.DataFrame) -> str:
    """The summary as Markdown."""
    lines = [
        "| set | model | tested, calibrating | region: found [95 % over people] | worst person | radius (TV) | "
        "of the training mean's | band: found | worst | ± share | mean distance | spread |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, own in told.groupby("set", sort=False):
        mean = own[own.model == "mean"].iloc[0]
        for r in own.itertuples():
            seeds = f" ({r.seeds} seeds)" if r.seeds > 1 else ""
            lines.append(
                f"| {SETS[name]} | `{r.model}`{seeds} | {r.tested}, {r.people:.0f} | {_share(r, 'covered')} | "
                f"{r.covered_worst:.0%} | {r.radius:.3f} | {r.radius / mean.radius:.0%} | {_share(r, 'in_band')} | "
                f"{r.in_band_worst:.0%} | {r.band:.3f} | {r.distance:.3f} | {r.spread:.3f} |"
            )
    return "\n".join(lines) + "\n"


def _share(row, column):
    low, high = (getattr(row, f"{column}_{end}") for end in ("low", "high"))
    return f"{getattr(row, column):.1%} [{low:.1%}, {min(high, 1):.1%}]"


def picture(rows: pd.DataFrame, told: pd.DataFrame) -> Figure:
    """What was covered, person by person, and how wide the regions are beside that of the training mean."""
    labels = [f"{SETS[r.set]}\n{'training mean' if r.model == 'mean' else r.model}" for r in told.itertuples()]
    figure = Figure(figsize=(10, 0.45 * len(told) + 1.3), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for k, r in enumerate(told.itertuples()):
        own = rows[(rows.set == r.set) & (rows.model == r.model)].groupby("subject").covered.mean()
        left.plot(own, np.full(len(own), k), "|", color=BLUE, ms=9, alpha=0.6, label="a person" if k == 0 else None)
        ends = [[r.covered - r.covered_low], [min(r.covered_high, 1) - r.covered]]
        left.errorbar(
            r.covered,
            k,
            xerr=ends,
            fmt="D",
            color="black",
            mfc="white",
            ms=5,
            label="mean of people, 95 %" if k == 0 else None,
        )
        colour = "#999999" if r.model == "mean" else ORANGE
        right.barh(k, r.radius, color=colour, height=0.6)
        right.plot(r.distance, k, "k|", ms=12, label="mean distance of the windows" if k == 0 else None)
    left.axvline(0.9, color="#777777", ls="--", lw=1, label="asked")
    left.set(xlabel="share of a person's windows in the region", yticks=range(len(told)), xlim=(None, 1.02))
    left.set_yticklabels(labels, fontsize=8)
    left.invert_yaxis()
    right.set_xlabel("radius of the region (total variation)")
    left.legend(frameon=False, fontsize=8, loc="lower left")
    right.legend(frameon=False, fontsize=8, loc="lower right")
    return figure


def write(rows: pd.DataFrame, root: Path = Path()) -> None:
    """Put the table between the page's marks, and make the picture, in the repository `root`."""
    told = summary(rows)
    page = root / "docs" / "uncertainty.md"
    before, rest = page.read_text().split(BEGIN)
    atomic_write(page, (before + BEGIN + table(told) + END + rest.split(END)[1]).encode())
    figures.save(picture(rows, told), root / "figures" / "coverage.png")
