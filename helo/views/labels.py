"""Label correlation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from helo.views.panels import NAMES, PHYSIOLOGICAL, axis, finish, panels


def correlation(
    target: np.ndarray, learned: np.ndarray, distributions: np.ndarray, emotions: Sequence[str], pair: tuple[int, int]
) -> go.Figure:
    """Label correlation: of the data, learned, their difference; and one pair of emotions, window by window.

    Args:
        target: R*, shape (L, L).
        learned: R(E), shape (L, L).
        distributions: shape (n, L).
        emotions: names of the L emotions.
        pair: the two emotions of the scatter.
    """
    titles = ["R*, training people", "R(E), learned", "difference", "shares in every window"]
    frame = panels(1, 4, subplot_titles=titles, horizontal_spacing=0.05, column_widths=[0.24, 0.24, 0.24, 0.28])
    names, (i, j) = list(emotions), pair
    matrix = {"type": "heatmap", "x": names, "y": names, "coloraxis": "coloraxis"}
    matrix |= {"hovertemplate": "%{y}, %{x}: %{z:.2f}<extra></extra>"}
    small = NAMES | {"tickfont": {"size": 9 if len(names) < 16 else 8}, "dtick": 1}
    traces, layout = [], {}
    for k, z in enumerate((target, learned, learned - target), 1):
        n = axis(k)
        traces.append(matrix | {"z": z, "xaxis": f"x{n}", "yaxis": f"y{n}"})
        layout[f"xaxis{n}"] = small | {"tickangle": -90}
        layout[f"yaxis{n}"] = small | {"autorange": "reversed", "showticklabels": k == 1}
    x, y = np.asarray(distributions)[:, i], np.asarray(distributions)[:, j]
    points = {"mode": "markers", "marker": {"size": 5, "color": PHYSIOLOGICAL, "opacity": 0.35}}
    points |= {"hovertemplate": "%{x:.3f}, %{y:.3f}<extra></extra>"}
    traces.append({"type": "scatter", "x": x, "y": y, "xaxis": "x4", "yaxis": "y4"} | points)
    layout["xaxis4"] = {"title": f"share of {names[i]}", "rangemode": "tozero"}
    layout["yaxis4"] = {"title": f"share of {names[j]}", "rangemode": "tozero", "side": "right"}
    gap = np.abs(learned - target)[~np.eye(len(names), dtype=bool)].mean()
    title = (
        f"{names[i]} and {names[j]}: {target[i, j]:.2f} in R*, {learned[i, j]:.2f} learned; "
        f"mean difference of all pairs {gap:.3f}"
    )
    bar = {"title": {"text": "correlation", "side": "top"}, "orientation": "h", "thickness": 8}
    bar |= {"x": 0.35, "y": -0.55, "len": 0.3}
    colors = {"colorscale": "RdBu_r", "cmin": -1, "cmax": 1, "colorbar": bar}
    return finish(frame, traces, title, 460, coloraxis=colors, **layout)
