"""A comparison person by person: a model's dot beside the reference's, and the difference with its interval."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from helo.views.beside import ALL, GREY, compared
from helo.views.palette import BLUE, VERMILION
from helo.views.panels import finish, panels

if TYPE_CHECKING:
    import pandas as pd


def by_person(table: pd.DataFrame, model: str, reference: str, order: str = "difference") -> go.Figure:
    """KL of every person: the model's dot joined to the reference's, the others in grey; right, the difference.

    The band on the right is the 95 % bootstrap interval of the mean difference over people
    (`helo.evaluation.paired_test`), the diamond at the foot that mean.

    Args, Raises:
        As `helo.views.beside.sorted_people`; the model is not the reference.
    """
    wide, test, title = compared(table, model, reference, order)
    names = [str(name) for name in wide.index]
    one, other = wide[model].to_numpy(), wide[reference].to_numpy()
    rest = [name for name in wide if name not in (model, reference)]
    gap = one - other
    frame = panels(1, 2, shared_yaxes=True, column_widths=[0.6, 0.4], horizontal_spacing=0.04)

    def dots(x, y, name, colour, panel="", size=9, **more):
        marker = {"color": colour, "size": size, "symbol": more.pop("symbol", "circle")}
        hover = "%{y}, " + name + ": %{x:.4f}<extra></extra>"
        place = {"xaxis": f"x{panel}", "yaxis": f"y{panel}"}
        shown = {"type": "scatter", "mode": "markers", "x": x, "y": y, "name": name, "marker": marker}
        return shown | place | {"hovertemplate": hover} | more

    lines = _joined(one, other, names)
    traces = [
        dots(wide[name].to_numpy(), names, name, GREY, size=5, showlegend=False) for name in rest
    ] + [
        {"type": "scatter", "mode": "lines", "x": lines[0], "y": lines[1], "line": {"color": "#777777", "width": 1.5},
         "hoverinfo": "skip", "showlegend": False},
        dots(other, names, reference, VERMILION),
        dots(one, names, model, BLUE),
        dots(gap, names, "difference", [BLUE if d < 0 else VERMILION for d in gap], "2", showlegend=False),
    ]  # fmt: skip
    if test is not None:
        far = {"type": "data", "symmetric": False, "array": [test["high"] - test["difference"]],
               "arrayminus": [test["difference"] - test["low"]], "thickness": 2}  # fmt: skip
        mean = dots([test["difference"]], [ALL], "mean difference", "black", "2", 11, symbol="diamond")
        traces.append(mean | {"error_x": far, "showlegend": False})
    shapes = [_vertical(0, 0, "#888888")] + ([] if test is None else [_vertical(test["low"], test["high"], BLUE)])
    rows = {"type": "category", "categoryorder": "array", "categoryarray": [*names, ALL][::-1], "dtick": 1}
    return finish(
        frame,
        traces,
        title,
        height=190 + 22 * (len(names) + 1),
        shapes=shapes,
        showlegend=True,
        legend={"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom"},
        xaxis={"title": "KL (nats), less is better", "rangemode": "tozero"},
        xaxis2={"title": f"KL of {model} − KL of {reference}"},
        yaxis=rows | {"title": wide.index.name},
        yaxis2=rows,
        margin={"l": 70, "r": 30, "t": 100, "b": 60},
    )


def _joined(one, other, names):
    """Line segments from dot to dot, as one line with gaps."""
    x = np.column_stack([other, one, np.full(len(one), np.nan)]).ravel()
    return [None if np.isnan(v) else float(v) for v in x], [y for name in names for y in (name, name, None)]


def _vertical(low, high, colour):
    """A line or band over the whole height of the right panel."""
    style = {"fillcolor": colour, "opacity": 0.12, "line": {"width": 0}, "layer": "below"}
    if low == high:
        style = {"line": {"color": colour, "width": 1}, "layer": "below"}
    return {"type": "rect", "xref": "x2", "yref": "paper", "x0": low, "x1": high, "y0": 0, "y1": 1} | style
