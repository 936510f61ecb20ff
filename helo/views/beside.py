"""Two models person by person: in order, with the paired test; and printed. `helo.figures` has it with the others."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

from helo.evaluation import paired_test, people
from helo.views.palette import BLUE, VERMILION
from helo.views.written import as_written

if TYPE_CHECKING:
    import pandas as pd

#: what people can be sorted by
ORDERS = ("difference", "model", "reference", "name")
#: what all of them are called, at the foot of the picture
ALL = "all"
GREY = "#BBBBBB"


def sorted_people(table: pd.DataFrame, model: str, reference: str, order: str = "difference") -> pd.DataFrame:
    """Each person's KL of every model, the one for whom the model gains most (or is best, as `order` says) first.

    Args:
        table: from `helo.evaluate`.
        model: the one to look at.
        reference: the one it is set beside.
        order: one of ORDERS: by the difference model - reference, by one of the two, or by the person's name.

    Returns:
        As `helo.evaluation.people`.

    Raises:
        ValueError: an unknown order, or a model that is not in the table.
    """
    wide = people(table)
    if order not in ORDERS:
        raise ValueError(f"order is {order!r}; expected one of {ORDERS}")
    for name in (model, reference):
        if name not in wide:
            raise ValueError(f"model {name!r} is not in the table; expected one of {list(wide.columns)}")
    if order == "name":
        return wide.loc[sorted(wide.index, key=_natural)]
    keys = {"difference": wide[model] - wide[reference], "model": wide[model], "reference": wide[reference]}
    return wide.loc[keys[order].sort_values(kind="stable").index]


def _natural(name):
    """P2 before P10."""
    return [(0, int(x), "") if x.isdecimal() else (1, 0, x) for x in re.split(r"(\d+)", str(name))]


def compared(table: pd.DataFrame, model: str, reference: str, order: str) -> tuple[pd.DataFrame, pd.Series | None, str]:
    """The people in order, the paired test's row (None for one person), and what it says as a title."""
    if model == reference:
        raise ValueError(f"model and reference are both {model!r}; expected two models")
    wide = sorted_people(table, model, reference, order)
    if len(wide) < 2:
        return wide, None, f"{model} beside {reference}: one {wide.index.name}, no interval"
    test: pd.Series = paired_test(table, reference).T[model]
    unit = {"subject": "people", "fold": "folds"}[str(wide.index.name)]
    interval = f"{test['difference']:+.4f} [{test['low']:+.4f}, {test['high']:+.4f}]"
    return wide, test, f"{model} − {reference}: {interval}; lower for {int(test['better'])} of {len(wide)} {unit}"


@as_written
def by_person(table: pd.DataFrame, model: str, reference: str, order: str = "difference") -> Figure:
    """`helo.views.by_person` to save: the same two panels, without hover."""
    wide, test, title = compared(table, model, reference, order)
    one, other, y = wide[model].to_numpy(), wide[reference].to_numpy(), np.arange(len(wide))
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(9, 1.7 + 0.24 * (len(wide) + 1)), sharey=True, width_ratios=(3, 2), layout="constrained"
    )
    for name in wide:
        if name not in (model, reference):
            left.plot(wide[name], y, "o", color=GREY, ms=3)
    left.hlines(y, np.minimum(one, other), np.maximum(one, other), color="#777777", lw=1.2)
    left.plot(other, y, "o", color=VERMILION, ms=6, label=reference)
    left.plot(one, y, "o", color=BLUE, ms=6, label=model)
    left.legend(frameon=False, fontsize=8, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1))
    left.set(xlabel="KL (nats), less is better", ylabel=wide.index.name, xlim=(0, None))
    right.axvline(0, color="#888888", lw=1)
    right.scatter(one - other, y, c=[BLUE if d < 0 else VERMILION for d in one - other], s=30, zorder=3)
    if test is not None:
        right.axvspan(test["low"], test["high"], color=BLUE, alpha=0.12, lw=0)
        error = [[test["difference"] - test["low"]], [test["high"] - test["difference"]]]
        right.errorbar([test["difference"]], [len(wide)], xerr=error, fmt="D", color="k", ms=6)
    right.set(xlabel=f"KL of {model} − KL of {reference}", ylim=(len(wide) + 0.6, -0.6))
    left.set_yticks([*y, len(wide)], [*map(str, wide.index), ALL], fontsize=8)
    figure.suptitle(title, fontsize=10)
    for axis in (left, right):
        axis.grid(axis="y", color="#eeeeee")
        axis.set_axisbelow(True)
    sns.despine(figure)
    return figure
