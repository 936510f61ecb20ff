"""Label correlation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from helo.views.figures import by_similarity
from helo.views.panels import INK, NAMES, PHYSIOLOGICAL, axis, finish, panels, room

#: up to so many emotions the four panels stand in one row; more need wider cells, and two rows
_ROW = 12
#: how far a scale of differences may reach; the least that holds them all is taken
_BOUNDS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)


def correlation(
    target: np.ndarray, learned: np.ndarray, distributions: np.ndarray, emotions: Sequence[str], pair: tuple[int, int]
) -> go.Figure:
    """Label correlation: of the data, learned, their difference; and one pair of emotions, window by window.

    Emotions that go together in R* stand together; the difference has a scale of its own, in steps.

    Args:
        target: R*, shape (L, L).
        learned: R(E), shape (L, L).
        distributions: shape (n, L).
        emotions: names of the L emotions.
        pair: the two emotions of the scatter.
    """
    order, (i, j), difference = by_similarity(target), pair, learned - target
    names = [emotions[k] for k in order]
    high = np.abs(difference).max()
    bound = next((b for b in _BOUNDS if b >= high), float(high))
    titles = ["R*, training", "R(E), learned", "difference", "every window"]
    one_row = len(names) <= _ROW
    places: dict[str, Any] = {"column_widths": [0.24, 0.24, 0.24, 0.28], "horizontal_spacing": 0.03} if one_row else {}
    label = room(names, 10)
    size = 14 * len(names)  # of a matrix, in pixels
    inside = 190 if one_row else 2 * size + label + 40
    places |= {} if one_row else {"vertical_spacing": (label + 40) / inside, "horizontal_spacing": 0.04}
    frame = panels(*((1, 4) if one_row else (2, 2)), subplot_titles=titles, **places)
    matrix = {"type": "heatmap", "x": names, "y": names}
    matrix |= {"hovertemplate": "%{y}, %{x}: %{z:.2f}<extra></extra>"}
    small = NAMES | {"tickfont": {"size": 10 if one_row else 9}}  # names that would touch are left out
    traces, layout = [], {}
    for k, z in enumerate((target, learned, difference), 1):
        n, scale = axis(k), "coloraxis2" if k == 3 else "coloraxis"
        place = {"z": z[np.ix_(order, order)], "xaxis": f"x{n}", "yaxis": f"y{n}", "coloraxis": scale}
        traces.append(matrix | place)
        layout[f"xaxis{n}"] = small | {"tickangle": -90}
        layout[f"yaxis{n}"] = small | {"autorange": "reversed", "showticklabels": k == 1 or (k == 3 and not one_row)}
    traces.append(_pair(np.asarray(distributions)[:, i], np.asarray(distributions)[:, j]))
    layout["xaxis4"] = {"title": f"share of {emotions[i]}", "rangemode": "tozero"}
    layout["yaxis4"] = {"title": f"share of {emotions[j]}", "rangemode": "tozero", "side": "right"}
    gap = np.abs(difference)[~np.eye(len(names), dtype=bool)].mean()
    title = (
        f"{emotions[i]} and {emotions[j]}: {target[i, j]:.2f} in R*, {learned[i, j]:.2f} learned; "
        f"mean difference {gap:.3f}"
    )
    margin = {"l": label, "r": 70, "t": 70, "b": label + 65}
    bars = _bars(1, bound, -(label + 15) / inside)
    return finish(frame, traces, title, inside + 70 + margin["b"], margin=margin, **bars, **layout)


def _pair(x, y):
    """The shares of two emotions in every window."""
    points = {"mode": "markers", "marker": {"size": 5, "color": PHYSIOLOGICAL, "opacity": 0.35}}
    points |= {"hovertemplate": "%{x:.3f}, %{y:.3f}<extra></extra>"}
    return {"type": "scatter", "x": x, "y": y, "xaxis": "x4", "yaxis": "y4"} | points


def _bars(correlation, difference, below):
    """The scale that both matrices share, and that of their difference, side by side under the panels."""
    found = {}
    for name, bound, title, x in (("", correlation, "correlation", 0.2), ("2", difference, "difference", 0.62)):
        bar = {"title": {"text": title, "side": "bottom"}, "orientation": "h", "thickness": 8, "len": 0.34}
        bar |= {"x": x, "y": below, "yanchor": "top", "ypad": 0, "tickvals": [-bound, 0, bound], "outlinecolor": INK}
        colors = {"colorscale": "RdBu_r", "cmin": -bound, "cmax": bound, "colorbar": bar}
        found[f"coloraxis{name}"] = colors
    return found
