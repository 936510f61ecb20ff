"""One window of a data set."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from helo.data.emotion_data import EmotionData, Recording
from helo.views import figures
from helo.views.palette import ORANGE
from helo.views.panels import ABSENT, NAMES, axis, bars, finish, panels, room

#: most points a raw signal is drawn with
_POINTS = 2000
#: pixels: the least height of a row, what a feature's name takes, between rows, the tokens' names, the ratings
_ROW, _NAME, _GAP, _TOKENS, _RATED = 66, 13, 20, 95, 110


def window(data: EmotionData, index: int, recording: Recording | None = None) -> go.Figure:
    """One window: raw signals in time, features token by token, and the rated distribution.

    Args:
        data: the data set.
        index: which window.
        recording: its subject's raw signals, from `data.recording(subject)`; None leaves them out.

    Returns:
        A row per modality, and one for what was rated; the window is shaded in its raw signal, whose channels stand
        one above the other, on one scale; tokens that are not there are grey. The names of tokens stand below the last
        modality that has them.
    """
    modalities = list(data.signals)
    rows, raw = len(modalities), recording is not None and data.starts is not None and data.window is not None
    named = [r == rows - 1 or data.tokens[m] != data.tokens[modalities[r + 1]] for r, m in enumerate(modalities)]
    domains, inside = _rows([len(data.features[m]) for m in modalities], named)
    specs: list[list] = [[{}] * (1 + raw) for _ in modalities] + [[{"colspan": 1 + raw}] + [None] * raw]
    frame = panels(rows + 1, 1 + raw, specs=specs, horizontal_spacing=0.03)
    traces: list[dict] = []
    shapes: list[dict] = []
    layout: dict[str, dict] = {}
    for r, m in enumerate(modalities):
        n, last = axis(1 + r * (1 + raw)), r == rows - 1
        if raw:
            lines, shade, own = _raw(recording, m, data, index, n)
            own[f"xaxis{n}"] |= {"title": "time (s)" if last else "", "showticklabels": last}
            own[f"yaxis{n}"] |= {"domain": domains[r]}
            traces += lines
            shapes.append(shade)
            layout |= own
            n = axis(2 + r * 2)
        scale = {"showscale": r == 0, "colorbar": _bar(raw, inside)}
        traces += _features(data, m, index, n, scale)
        layout[f"xaxis{n}"] = NAMES | {"title": "token" * named[r], "showticklabels": named[r], "tickangle": -30}
        names = NAMES | {"tickfont": {"size": 9}, "domain": domains[r], "autorange": "reversed"}
        layout[f"yaxis{n}"] = names | ({"side": "right"} if raw else {"title": m})
    n = axis(1 + rows * (1 + raw))
    rated = bars(data.emotions, data.distributions[index], upright=True)
    traces.append(rated | {"xaxis": f"x{n}", "yaxis": f"y{n}"})
    many = len(data.emotions) > 12
    layout[f"xaxis{n}"] = NAMES | {"tickangle": -90 if many else -30, "tickfont": {"size": 10}, "dtick": 1}
    layout[f"yaxis{n}"] = {"title": "rated share", "rangemode": "tozero", "domain": domains[-1]}
    share = np.mean([data.masks[m][index].mean() for m in modalities])
    title = f"{data.subjects[index]}, {data.trials[index]}, window {index}: {share:.0%} of the tokens are there"
    below = room(data.emotions, 10) if many else 20 + room(data.emotions, 10) // 2
    channels = [] if recording is None else [recording.channels_of(m) for m in modalities if m in recording.signals]
    features = max(room(names, 9) for names in data.features.values())
    lanes = max([60, *(40 + room(names, 9) for names in channels if len(names) > 1)])
    margin = {"l": lanes, "r": features} if raw else {"l": 40 + features, "r": 30}
    margin |= {"t": 95, "b": below}
    # a title of the bar's own would push that of the figure out of the picture
    note = {"text": "SD from the data set's mean", "x": _above(raw), "y": 1, "yshift": 38, "font": {"size": 12}}
    note |= {"xref": "paper", "yref": "paper", "xanchor": "center", "yanchor": "bottom", "showarrow": False}
    return finish(frame, traces, title, inside + 95 + below, shapes=shapes, annotations=[note], margin=margin, **layout)


def _rows(features, named):
    """Each row's part of the height, from above, and the height in pixels; the last is what was rated."""
    heights = [max(_ROW, _NAME * min(12, k)) for k in features]
    steps = [h + (_TOKENS if names else _GAP) for h, names in zip(heights, named, strict=True)]
    inside = sum(steps) + _RATED
    tops = np.cumsum([0, *steps[:-1]])
    parts = [(1 - (top + h) / inside, 1 - top / inside) for top, h in zip(tops, heights, strict=True)]
    return [[max(0.0, float(low)), float(high)] for low, high in (*parts, (0.0, _RATED / inside))], inside


def _bar(raw, inside):
    """The scale of the features' colors, above their column."""
    where = {"x": _above(raw), "y": 1 + 8 / inside, "yanchor": "bottom", "ypad": 0, "len": 0.4}
    return {"orientation": "h", "thickness": 8} | where


def _above(raw):
    """The middle of the features' column."""
    return 0.76 if raw else 0.5


def _features(data, m, index, n, scale):
    """A modality's features token by token on axes n, and grey where a token is not there."""
    place = {"type": "heatmap", "x": data.tokens[m], "y": data.features[m], "xaxis": f"x{n}", "yaxis": f"y{n}"}
    colors = {"colorscale": "RdBu_r", "zmin": -3, "zmax": 3} | scale
    hover = {"hoverongaps": False, "hovertemplate": "%{y}, %{x}: %{z:.2f}<extra></extra>"}
    there = data.masks[m][index][:, None]
    absent = np.where(there, np.nan, np.ones_like(data.signals[m][index])).T
    grey = {"colorscale": [[0, ABSENT], [1, ABSENT]], "showscale": False, "hoverinfo": "skip"}
    return [place | colors | hover | {"z": figures.standardised(data, m, index).T}, place | grey | {"z": absent}]


def _raw(recording, m, data, index, n):
    """Lines of the signal around the window, the window's shade, and both axes."""
    start, length = float(data.starts[index]), float(data.window)
    begin, end = max(0.0, start - length / 4), start + 1.25 * length
    signal, rate = recording.signals.get(m), recording.rates.get(m, 1.0)
    first = int(begin * rate)
    part = np.zeros((0, 1)) if signal is None else signal[first : int(end * rate)]
    keep, (drawn, ticks) = _extremes(part), figures.lanes(part)
    names = [m] if len(ticks) < 2 else recording.channels_of(m)
    line: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines",
        "line": {"width": 1},
        "xaxis": f"x{n}",
        "yaxis": f"y{n}",
    }
    lines = [
        line
        | {"x": (first + row) / rate, "y": drawn[row, k], "customdata": part[row, k], "name": names[k]}
        | {"hovertemplate": f"{names[k]}, %{{x:.1f}} s: %{{customdata:.3g}}<extra></extra>"}
        for k, row in enumerate(keep.T)
    ]
    where: dict[str, Any] = {
        "xref": f"x{n}",
        "yref": f"y{n} domain",
        "x0": start,
        "x1": start + length,
        "y0": 0,
        "y1": 1,
    }
    shade = {"type": "rect", "fillcolor": ORANGE, "opacity": 0.15, "line": {"width": 0}} | where
    unit = f" ({recording.units[m]})" if m in recording.units else ""
    own: dict[str, Any] = {"title": f"{m}{unit}"}
    if len(ticks) > 1:
        own |= {"tickvals": ticks, "ticktext": names, "tickfont": {"size": 9}}
    return lines, shade, {f"xaxis{n}": {"range": [begin, end]}, f"yaxis{n}": own}


def _extremes(x):
    """Samples to draw, shape (k, channels): all, or each bin's lowest and highest, so that no peak is lost."""
    n, channels = x.shape
    if n <= _POINTS:
        return np.repeat(np.arange(n)[:, None], channels, 1)
    size = -(-n // (_POINTS // 2))
    bins = np.pad(x, ((0, -n % size), (0, 0)), mode="edge").reshape(-1, size, channels)
    first = np.arange(len(bins))[:, None] * size
    least, most = (np.where(np.isnan(bins), far, bins) for far in (np.inf, -np.inf))  # NaN would be both
    pair = np.stack([first + least.argmin(1), first + most.argmax(1)], 1)  # (bins, 2, channels)
    return np.sort(pair, 1).reshape(-1, channels).clip(max=n - 1)
