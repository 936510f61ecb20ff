"""Pictures that set models, protocols or parts side by side; `helo.figures` has them with the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

from helo.views.palette import BLUE, GREEN, ORANGE, VERMILION
from helo.views.written import as_written

if TYPE_CHECKING:
    import pandas as pd


@as_written
def critical_difference(ranks: Mapping[str, float], width: float, over: str = "people") -> Figure:
    """Mean ranks on a line, best on the left; a bar joins models nearer than the critical difference `width`."""
    names, values = zip(*sorted(ranks.items(), key=lambda rank: rank[1]), strict=True) if len(ranks) else ((), ())
    if len(names) < 2:
        raise ValueError(f"ranks of {list(names)}; expected two models or more")
    ends = [max(k for k in range(len(values)) if values[k] - values[i] <= width) for i in range(len(values))]
    groups = [(i, end) for i, end in enumerate(ends) if end > i and (i == 0 or end > ends[i - 1])]
    half = -(-len(names) // 2)
    figure, axis = plt.subplots(figsize=(9, 1.2 + 0.24 * half + 0.14 * len(groups)))
    low = 0.5 + 0.35 * len(groups)
    axis.plot([1, len(names)], [0, 0], color="k", lw=1)
    for tick in range(1, len(names) + 1):
        axis.plot([tick, tick], [0, 0.15], color="k", lw=1)
        axis.text(tick, 0.25, str(tick), ha="center", fontsize=8)
    margin = 0.18 * len(names)
    for k, (name, value) in enumerate(zip(names, values, strict=True)):
        left = k < half
        y = -low - 0.55 * (k if left else len(names) - 1 - k)
        end = 1 - 0.05 * len(names) if left else len(names) + 0.05 * len(names)
        axis.plot([value, value, end], [0, y, y], color="#777777", lw=0.8)
        label, side = (f"{name}  {value:.1f} ", "right") if left else (f" {value:.1f}  {name}", "left")
        axis.text(end, y, label, ha=side, va="center", fontsize=8)
    for k, (i, end) in enumerate(groups):
        axis.plot([values[i] - 0.03, values[end] + 0.03], [-0.3 - 0.35 * k] * 2, color=BLUE, lw=3)
    axis.plot([1, 1 + width], [0.9, 0.9], color=BLUE, lw=3)
    axis.text(1 + width / 2, 1.05, f"critical difference {width:.2f}", ha="center", fontsize=8)
    axis.set(
        xlim=(1 - margin - 0.1 * len(names), len(names) + margin + 0.1 * len(names)), ylim=(-low - 0.55 * half, 1.5)
    )
    axis.set_xlabel(f"mean rank over {over} (1 is best)")
    axis.set(yticks=[], xticks=[])
    sns.despine(ax=axis, left=True, bottom=True)
    return figure


@as_written
def protocols(values: Mapping[str, Mapping[str, float]], label: str) -> Figure:
    """Bars of one measure, models along the axis, one colour a protocol: values[protocol][model]."""
    names = list(dict.fromkeys(name for row in values.values() for name in row))  # rows need not have one order
    figure, axis = plt.subplots(figsize=(2 + 0.75 * len(names), 3))
    width = 0.8 / len(values)
    for k, (protocol, row) in enumerate(values.items()):
        x = np.arange(len(names)) + (k - (len(values) - 1) / 2) * width
        heights = [row.get(name, np.nan) for name in names]
        axis.bar(x, heights, width, label=f"by {protocol}", color=(BLUE, GREEN, VERMILION, ORANGE)[k % 4])
    axis.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    axis.set(xlabel="model", ylabel=label)
    axis.legend(frameon=False, fontsize=8, ncols=len(values), loc="lower center", bbox_to_anchor=(0.5, 1))
    sns.despine(ax=axis)
    figure.tight_layout()
    return figure


@as_written
def knockout(table: pd.DataFrame, title: str = "") -> Figure:
    """What a model hangs on, from `helo.knockout`: how far its answers move without each part, and what that costs."""
    people = table.attrs.get("people", 5)
    among = "95 % interval over people" if people > 4 else f"range of a bootstrap over {people} people"
    among = among if people > 1 else "one person"
    y = np.arange(len(table))
    figure, (change, cost) = plt.subplots(1, 2, figsize=(9, 1.3 + 0.28 * len(table)), sharey=True)
    change.barh(y, table["change"], color=[ORANGE if n.startswith("without ") else BLUE for n in table.index])
    change.set_yticks(y, table.index, fontsize=8)
    change.set(xlabel="change of the answers\n(1: as far as they lie from their own mean)", xlim=(0, None))
    error = np.abs(table[["worse_low", "worse_high"]].to_numpy().T - table["worse"].to_numpy())
    cost.axvline(0, color="#999999", lw=0.8)
    cost.errorbar(table["worse"], y, xerr=np.nan_to_num(error), fmt="D", ms=4, color="k", lw=1, capsize=2)
    cost.set(xlabel=f"KL without it - KL intact (nats)\n{among}")
    change.invert_yaxis()
    figure.suptitle(title or f"knocked out, without training again; KL intact {table['kl'].iloc[0]:.4f}", fontsize=10)
    for axis in (change, cost):
        sns.despine(ax=axis)
    figure.tight_layout()
    return figure
