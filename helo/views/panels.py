"""What the pictures share: panels with their axes, put together as plain data, which is much the faster way."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from helo.views.palette import BLUE, GREEN, VERMILION, emotion_colours

PHYSIOLOGICAL, BEHAVIORAL, CARRIED, ABSENT = BLUE, GREEN, VERMILION, "#DDDDDD"
NAMES: dict[str, Any] = {"type": "category"}  # names, even if they look like numbers
_AXIS: dict[str, Any] = {
    "showline": True,
    "linecolor": "#444444",
    "ticks": "outside",
    "zeroline": False,
    "showgrid": False,
}
#: of plotly itself: never offer to send a picture, which may show recordings of people, to its makers' servers
CONFIG: dict[str, Any] = {"responsive": True, "displaylogo": False, "showSendToCloud": False, "plotlyServerURL": ""}
_FRAMES: dict[str, dict] = {}


def axis(number: int) -> str:
    """plotly's name for an axis: the first has no number."""
    return "" if number == 1 else str(number)


def bars(emotions: Sequence[str], shares: np.ndarray, name: str = "rated") -> dict[str, Any]:
    """Horizontal bars, each in its emotion's colour."""
    colors = {"color": list(emotion_colours(emotions).values())}
    bar = {"type": "bar", "orientation": "h", "hovertemplate": "%{y}: %{x:.3f}<extra></extra>"}
    return bar | {"y": list(emotions), "x": shares, "marker": colors, "name": name}


def panels(rows: int, columns: int, **arguments: Any) -> dict[str, Any]:
    """plotly's layout of panels: axes with their domains, and titles. The same for every draw, so it is kept."""
    key = json.dumps([rows, columns, arguments])
    if key not in _FRAMES:
        _FRAMES[key] = make_subplots(rows, columns, **arguments).layout.to_plotly_json()
    return _FRAMES[key]


def finish(frame: dict[str, Any], traces: Sequence[dict], title: str, height: int, **layout: Any) -> go.Figure:
    """The figure: frame, traces, and `layout` on top, put together as plain data, which is much the faster way."""
    axes = {}
    for name in (name for name in frame if name[1:5] == "axis"):
        own = layout.pop(name, {})
        axes[name] = frame[name] | _AXIS | own | {"title": {"font": {"size": 12}, "text": own.get("title", "")}}
    titles = [note | {"font": {"size": 12}, "yshift": 4} for note in frame.get("annotations", ())]
    style = {
        "title": {"text": title, "font": {"size": 14}},
        "autosize": True,  # as wide as the cell
        "height": height,
        "plot_bgcolor": "white",
        "font": {"size": 11},
        "showlegend": False,
        "margin": {"l": 60, "r": 30, "t": 70, "b": 60},
        "annotations": titles,
    }
    return go.Figure({"data": traces, "layout": style | layout | axes})
