"""Matrices as pictures to save: correlations, attention, plans; `helo.figures` has them with the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from helo.views.palette import BLUE, GREEN
from helo.views.written import as_written


def by_similarity(correlation: np.ndarray) -> np.ndarray:
    """Order in which emotions that go together stand together; shape (L,), indices.

    Average linkage of the distances 1 - R, and of all orders of that tree the one whose neighbours are nearest
    (Bar-Joseph et al. 2001, `scipy.cluster.hierarchy.optimal_leaf_ordering`). An emotion that never varies has no
    correlation and counts as one of 0.
    """
    known = np.nan_to_num(np.asarray(correlation, float))
    if len(known) < 3:
        return np.arange(len(known))
    apart = np.clip(1 - (known + known.T) / 2, 0, None)
    np.fill_diagonal(apart, 0)
    return leaves_list(linkage(squareform(apart, checks=False), "average", optimal_ordering=True))


@as_written
def heatmaps(
    panels: Mapping[str, np.ndarray],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    label: str,
    xlabel: str,
    ylabel: str,
    centred: bool = False,
    shared: bool = True,
    order: Sequence[int] | None = None,
) -> Figure:
    """Matrices side by side, on one colour scale or each on its own; `centred` is diverging around 0.

    Of large ones two stand side by side, so that the names can be read where a notebook is narrow.

    Args:
        panels: title -> matrix; one of the title "difference" always has a scale of its own.
        rows, columns: names.
        label, xlabel, ylabel: of the colors, and of the axes.
        centred: colors diverge around 0.
        shared: one scale for all.
        order: of rows and columns, as `by_similarity` gives it; default as they come.
    """
    if order is not None:
        panels = {title: x[np.ix_(order, order)] for title, x in panels.items()}
        rows, columns = ([names[k] for k in order] for names in (rows, columns))
    own = {title for title in panels if title == "difference" or not shared}
    common = [x for title, x in panels.items() if title not in own]
    last = next((title for title in reversed(list(panels)) if title not in own), None)
    size = max(len(rows), len(columns))
    cell = 0.3 if size <= 16 else 0.2 if size <= 30 else 5 / size
    margin = 0.5 + 0.07 * max(len(str(name)) for name in rows)
    beside = min(2, len(panels)) if size > 16 else len(panels)
    below = -(-len(panels) // beside)
    width = beside * (cell * len(columns) + 0.35) + 0.75 * min(len(own), beside) + margin + 0.9
    height = below * (cell * len(rows) + 1.5)
    figure, axes = plt.subplots(below, beside, figsize=(width, height), squeeze=False, layout="constrained")
    for axis in axes.flat[len(panels) :]:
        axis.remove()
    for k, (axis, (title, x)) in enumerate(zip(axes.flat, panels.items(), strict=False)):
        alike = [x] if title in own else common
        low, high = min(map(np.nanmin, alike)), max(map(np.nanmax, alike))
        bound = max(abs(low), abs(high))
        scale = {"center": 0, "vmin": -bound, "vmax": bound} if centred else {"vmin": low, "vmax": high}
        colors = {"cmap": "RdBu_r" if centred else "cividis", "cbar": title in own or title == last}
        told = {"label": "difference" if title == "difference" else label, "shrink": 0.8}
        first = k % beside == 0
        names = {"xticklabels": columns, "yticklabels": rows if first else False}
        sns.heatmap(x, ax=axis, square=True, **scale, **colors, **names, cbar_kws=told)
        axis.set(xlabel=xlabel, ylabel=ylabel if first else "")
        axis.set_title(title, fontsize=10)
        axis.tick_params(labelsize=9)
        slant(axis)
    return figure


@as_written
def plan(values: np.ndarray, rows: Sequence[str], columns: Sequence[str], title: str = "") -> Figure:
    """A transport plan (or its mean) as a heatmap with both marginals."""
    figure = plt.figure(figsize=(3.2 + 0.32 * len(columns), 2.4 + 0.26 * len(rows)))
    grid = figure.add_gridspec(2, 2, width_ratios=(5, 1), height_ratios=(1, 5), wspace=0.06, hspace=0.08)
    main = figure.add_subplot(grid[1, 0])
    sns.heatmap(values, cmap="cividis", vmin=0, xticklabels=columns, yticklabels=rows, ax=main, cbar=False)
    main.set(xlabel="behavioral token", ylabel="physiological token")
    main.tick_params(labelsize=8)
    slant(main)
    top = figure.add_subplot(grid[0, 0])
    top.bar(np.arange(len(columns)) + 0.5, values.sum(0), color=GREEN, width=0.9)
    top.set(xlim=(0, len(columns)), xticks=[], ylabel="mass")
    top.set_title(title, fontsize=10)
    side = figure.add_subplot(grid[1, 1])
    side.barh(np.arange(len(rows)) + 0.5, values.sum(1), color=BLUE, height=0.9)
    side.set(ylim=(len(rows), 0), yticks=[], xlabel="mass")
    for axis in (top, side):
        sns.despine(ax=axis)
        axis.tick_params(labelsize=8)
    figure.colorbar(main.collections[0], ax=[main, side, top], label="mass moved", fraction=0.05, pad=0.03)
    return figure


def slant(axis: Axes) -> None:
    """Turn the names under an axis, so that long ones do not touch."""
    axis.set_xticklabels(axis.get_xticklabels(), rotation=45, ha="right", rotation_mode="anchor")
