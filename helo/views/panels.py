"""What the pictures share: panels with their axes, put together as plain data, which is much the faster way."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import plotly.io
from plotly.subplots import make_subplots

from helo.views.palette import BLUE, GREEN, VERMILION, emotion_colours

PHYSIOLOGICAL, BEHAVIORAL, CARRIED, ABSENT = BLUE, GREEN, VERMILION, "#BBBBBB"
#: text and axes: on white and on the dark theme's #111 alike a contrast above 4
INK, CLEAR = "#777777", "rgba(0,0,0,0)"
NAMES: dict[str, Any] = {"type": "category"}  # names, even if they look like numbers
_AXIS: dict[str, Any] = {
    "showline": True,
    "linecolor": INK,
    "ticks": "outside",
    "tickcolor": INK,
    "zeroline": False,
    "showgrid": False,
}
_FRAMES: dict[str, dict] = {}

#: of plotly itself: never offer to send a picture, which may show recordings of people, to its makers' servers
CONFIG: dict[str, Any] = {"responsive": True, "displaylogo": False, "showSendToCloud": False, "plotlyServerURL": ""}
for _renderer in map(plotly.io.renderers.__getitem__, plotly.io.renderers):
    if hasattr(_renderer, "config"):  # those that draw in a browser
        _renderer.config = (_renderer.config or {}) | CONFIG


def axis(number: int) -> str:
    """plotly's name for an axis: the first has no number."""
    return "" if number == 1 else str(number)


def bars(emotions: Sequence[str], shares: np.ndarray, name: str = "rated", upright: bool = False) -> dict[str, Any]:
    """Bars, each in its emotion's colour; lying, so that names can be read, or upright."""
    colors = {"color": list(emotion_colours(emotions).values())}
    along, across, direction = ("x", "y", "v") if upright else ("y", "x", "h")
    hover = {"hovertemplate": f"%{{{along}}}: %{{{across}:.3f}}<extra></extra>"}
    bar = {"type": "bar", "orientation": direction, along: list(emotions), across: shares}
    return bar | hover | {"marker": colors, "name": name}


def room(names: Sequence[str], size: int = 11) -> int:
    """Pixels that the longest of these names takes beside an axis, its tick included."""
    return 14 + int(0.58 * size * max(map(len, names)))


def panels(rows: int, columns: int, **arguments: Any) -> dict[str, Any]:
    """plotly's layout of panels: axes with their domains, and titles. The same for every draw, so it is kept."""
    key = json.dumps([rows, columns, arguments])
    if key not in _FRAMES:
        _FRAMES[key] = make_subplots(rows, columns, **arguments).layout.to_plotly_json()
    return _FRAMES[key]


def finish(frame: dict[str, Any], traces: Sequence[dict], title: str, height: int, **layout: Any) -> go.Figure:
    """The figure: frame, traces, and `layout` on top, put together as plain data, which is much the faster way.

    It is as wide as the cell it stands in, from 560 pixels on, and `height` high. What must not be cut or covered
    stands in a margin or in a row of its own, whose pixels do not depend on the width. It has no background, so that
    it stands in a light theme and in a dark one.
    """
    axes = {}
    for name in (name for name in frame if name[1:5] == "axis"):
        own = layout.pop(name, {})
        axes[name] = frame[name] | _AXIS | own | {"title": {"font": {"size": 12}, "text": own.get("title", "")}}
    titles = [note | {"font": {"size": 12}, "yshift": 4} for note in frame.get("annotations", ())]
    style = {
        "title": {"text": title, "font": {"size": 14}, "y": 1 - 20 / height, "yanchor": "middle"},
        "autosize": True,
        "height": height,
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "font": {"size": 11, "color": INK},
        "modebar": {"bgcolor": CLEAR, "color": INK},
        "showlegend": False,
        "margin": {"l": 60, "r": 30, "t": 70, "b": 60},
        "annotations": titles,
    }
    return go.Figure({"data": [*map(_with_gaps, traces)], "layout": style | layout | axes})


def _with_gaps(trace: Mapping[str, Any]) -> dict[str, Any]:
    """A matrix goes to the browser as JSON, which knows no NaN: what is not there is None."""
    gaps = {k: v for k, v in trace.items() if isinstance(v, np.ndarray) and v.ndim > 1 and v.dtype.kind == "f"}
    return {**trace, **{k: np.where(np.isnan(v), np.array(None), v) for k, v in gaps.items() if np.isnan(v).any()}}
