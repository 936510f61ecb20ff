"""Models one under the other, each with its interval over people; `helo.figures` has it with the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

from helo.views.palette import BLUE, VERMILION
from helo.views.written import as_written

if TYPE_CHECKING:
    import pandas as pd


@as_written
def forest(summary: pd.DataFrame, title: str = "") -> Figure:
    """Skill of every model with its interval over people, best first; KL where no model has a skill.

    Lines mark the training mean and knowing the condition (skill 0 and 1; above 1 signals tell more than its name). The
    reference is in another colour; a model with fits that were cut at the cap of epochs is hollow. What is worse than
    the training mean by more than the best is better is an arrow at the edge; its numbers stand on the right, as
    everybody's.

    Args:
        summary: from `helo.evaluation.summarise`.
        title: what was tested; stands above what the intervals are.
    """
    name = "skill" if summary["skill"].notna().any() else "kl"
    rows = summary[summary[name].notna()].sort_values(name, ascending=name == "kl")
    values, low, high = (rows[column].to_numpy(float) for column in (name, f"{name}_low", f"{name}_high"))
    lines = _lines(rows, name)
    left, right = _edges(name, values, low, high, list(lines.values()))
    figure, axis = plt.subplots(figsize=(8.5, 1.5 + 0.25 * len(rows)))
    for label, x in lines.items():
        axis.axvline(x, color="#999999", lw=1, ls="--", zorder=0)
        axis.text(x, 1.0, label, transform=axis.get_xaxis_transform(), ha="center", va="bottom", fontsize=8)
    for y, (own, capped) in enumerate(zip(rows["reference"], rows["capped"] > 0, strict=True)):
        colour = VERMILION if own else BLUE
        axis.plot(np.clip([low[y], high[y]], left, right), [y, y], color=colour, lw=1.5, solid_capstyle="butt")
        ends = np.fmin(low[y], values[y]), np.fmax(high[y], values[y])  # without an interval the value alone
        for end, there, mark in ((left, ends[0] < left, "<"), (right, ends[1] > right, ">")):
            if there:
                axis.plot(end, y, mark, color=colour, ms=4, clip_on=False)
        if left <= values[y] <= right:
            axis.plot(values[y], y, "o", color=colour, mfc="white" if capped else colour, ms=6)
        number = f"{values[y]:z.2f}" if name == "skill" else f"{values[y]:.4f}"
        if np.isfinite(low[y]):
            number += f"  [{low[y]:z.2f}, {high[y]:z.2f}]" if name == "skill" else f"  [{low[y]:.4f}, {high[y]:.4f}]"
        axis.text(1.02, y, number, transform=axis.get_yaxis_transform(), va="center", fontsize=8, color=colour)
    axis.set_yticks(range(len(rows)), [str(model) for model in rows.index], fontsize=8)
    axis.set(xlim=(left, right), ylim=(len(rows) - 0.4, -0.6))
    axis.set_xlabel(_legend(rows, name), fontsize=9)
    axis.set_title("\n".join([title, _title(rows)] if title else [_title(rows)]), fontsize=10, pad=20)
    axis.tick_params(axis="y", length=0, pad=8)
    axis.tick_params(axis="x", labelsize=8)
    axis.grid(axis="y", color="#eeeeee")
    axis.set_axisbelow(True)
    sns.despine(ax=axis, left=True)
    figure.tight_layout()
    return figure


def _lines(rows, name):
    if name == "skill":
        return {"training mean": 0.0, "condition known": 1.0}
    lines = {"training mean": rows["kl_mean"].iloc[0], "condition known": rows["kl_ceiling"].iloc[0]}
    return {label: x for label, x in lines.items() if np.isfinite(x)}


def _edges(name, values, low, high, lines):
    """The ends of the axis: every interval fits, but for what would squeeze the rest (see `forest`)."""
    best = max(values.max(), 1.0) if name == "skill" else min(values.min(), *lines)
    worst = 2 * lines[0] - best
    near = values >= worst if name == "skill" else values <= worst
    every = np.concatenate([values[near], low[near], high[near], lines])
    left, right = np.nanmin(every), np.nanmax(every)
    if name == "skill":  # a ratio, whose intervals may be as long as they like
        left, right = max(left, worst), min(right, 2 * best)
    margin = 0.03 * (right - left or abs(right) or 1)  # all may be worse than the training mean
    return left - margin, right + margin


def _legend(rows, name):
    what = "skill: share of what knowing the condition adds to the training mean" if name == "skill" else "KL (nats)"
    marks = [f"{rows.index[rows['reference']][0]}: the reference"] if rows["reference"].any() else []
    marks += ["hollow: fits cut at the cap of epochs"] if (rows["capped"] > 0).any() else []
    return "\n".join([what, *(["; ".join(marks)] if marks else [])])


def _title(rows):
    about = rows.iloc[0]
    of = {"subject": "people", "fold": "folds"}[about["unit"]]
    by = "a trial counts once" if about["weight"] == "trials" else "a window counts once"
    return f"{100 * about['level']:g} % bootstrap intervals over {about['people']} {of}; {by}"
