"""What is gained as a new person's first trials are given; `helo.figures` has it with the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.figure import Figure

from helo.views.palette import BLUE, GREEN, PINK, VERMILION
from helo.views.written import as_written

if TYPE_CHECKING:
    import pandas as pd


@as_written
def gains(curve: pd.DataFrame) -> Figure:
    """Gain against the number of trials given, with intervals over people; each model beside the next.

    Args:
        curve: from `helo.evaluation.calibration_gain`.

    Raises:
        ValueError: it has no rows.
    """
    if curve.empty:
        raise ValueError(f"the curve is empty; left out were {curve.attrs.get('left_out', {})}")
    models, most = list(dict.fromkeys(curve["model"])), int(curve["trials"].max())
    figure, axis = plt.subplots(figsize=(6.5, 3.2))
    axis.axhline(0, color="#999999", lw=1, ls="--", zorder=0)
    for k, model in enumerate(models):
        own = curve[curve["model"] == model]
        beside = own["trials"] + 0.08 * (k - (len(models) - 1) / 2)
        colour, form = (BLUE, VERMILION, GREEN, PINK)[k % 4], "os^Dv"[k // 4 % 5]
        axis.vlines(beside, own["gain_low"], own["gain_high"], color=colour, lw=1.2)
        axis.plot(beside, own["gain"], f"{form}-", color=colour, ms=5, lw=1.2, label=str(model))
    axis.set_xticks(range(most + 1))
    axis.set(xlabel="first trials of the new person in training", ylabel="gain: KL with none given\nminus KL (nats)")
    people = int(curve["people"].iloc[0])
    axis.set_title(f"bars: 95 % intervals over {people} people", fontsize=9)
    axis.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    sns.despine(ax=axis)
    figure.tight_layout()
    return figure
