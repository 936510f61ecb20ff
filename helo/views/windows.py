"""One window of a data set."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from helo.data.emotion_data import EmotionData, Recording
from helo.views.figures import standardised
from helo.views.palette import ORANGE
from helo.views.panels import ABSENT, NAMES, axis, bars, finish, panels

#: most points a raw signal is drawn with
_POINTS = 2000
_SD = {"title": {"text": "SD from the data set's mean", "side": "top"}, "orientation": "h", "thickness": 8}
_SD |= {"len": 0.25, "y": -0.28, "ypad": 0}


def window(data: EmotionData, index: int, recording: Recording | None = None) -> go.Figure:
    """One window: raw signals in time, features token by token, and the rated distribution.

    Args:
        data: the data set.
        index: which window.
        recording: its subject's raw signals, from `data.recording(subject)`; None leaves them out.

    Returns:
        A row per modality; the window is shaded in its raw signal, tokens that are not there are grey.
    """
    modalities = list(data.signals)
    rows, raw = len(modalities), recording is not None and data.starts is not None and data.window is not None
    specs: list[list] = [[{}] * (1 + raw) + [{"rowspan": rows} if r == 0 else None] for r in range(rows)]
    spaces = {"horizontal_spacing": 0.14, "vertical_spacing": 0.16 / rows}
    frame = panels(rows, 2 + raw, specs=specs, column_widths=[0.4] * raw + [0.34, 0.26], **spaces)
    traces: list[dict] = []
    shapes: list[dict] = []
    layout: dict[str, dict] = {}
    for r, m in enumerate(modalities):
        # plotly numbers the axes row by row; the distribution is the last of the first row
        first, last = (1 if r == 0 else r * (1 + raw) + 2), r == rows - 1
        if raw:
            lines, shade, own = _raw(recording, m, data, index, axis(first))
            own[f"xaxis{axis(first)}"] |= {"title": "time in the recording (s)" if last else "", "showticklabels": last}
            traces += lines
            shapes.append(shade)
            layout |= own
        n = axis(first + raw)
        scale = {"showscale": r == 0, "colorbar": _SD | {"x": 0.53 if raw else 0.2}}
        traces += _features(data, m, index, n, scale)
        layout[f"xaxis{n}"] = NAMES | {"title": "token" if last else "", "showticklabels": last, "tickangle": -30}
        layout[f"yaxis{n}"] = NAMES | {"tickfont": {"size": 9}, "title": "" if raw else m}
    n = axis(2 + raw)
    traces.append(bars(data.emotions, data.distributions[index]) | {"xaxis": f"x{n}", "yaxis": f"y{n}"})
    layout[f"xaxis{n}"] = {"title": "rated share of the distribution", "rangemode": "tozero"}
    layout[f"yaxis{n}"] = NAMES | {"autorange": "reversed"}
    share = np.mean([data.masks[m][index].mean() for m in modalities])
    title = f"{data.subjects[index]}, {data.trials[index]}, window {index}: {share:.0%} of the tokens are there"
    # room for every name of a dozen features
    height = 190 + rows * max(130, 25 + 12 * min(12, max(map(len, data.features.values()))))
    return finish(frame, traces, title, height, shapes=shapes, margin={"l": 60, "r": 30, "t": 60, "b": 110}, **layout)


def _features(data, m, index, n, scale):
    """A modality's features token by token on axes n, and grey where a token is not there."""
    place = {"type": "heatmap", "x": data.tokens[m], "y": data.features[m], "xaxis": f"x{n}", "yaxis": f"y{n}"}
    colors = {"colorscale": "RdBu_r", "zmin": -3, "zmax": 3} | scale
    hover = {"hoverongaps": False, "hovertemplate": "%{y}, %{x}: %{z:.2f}<extra></extra>"}
    there = data.masks[m][index][:, None]
    absent = np.where(there, np.nan, np.ones_like(data.signals[m][index])).T
    grey = {"colorscale": [[0, ABSENT], [1, ABSENT]], "showscale": False, "hoverinfo": "skip"}
    return [place | colors | hover | {"z": standardised(data, m, index).T}, place | grey | {"z": absent}]


def _raw(recording, m, data, index, n):
    """Lines of the signal around the window, the window's shade, and both axes."""
    start, length = float(data.starts[index]), float(data.window)
    begin, end = max(0.0, start - length / 4), start + 1.25 * length
    signal, rate = recording.signals.get(m), recording.rates.get(m, 1.0)
    first = int(begin * rate)
    part = np.zeros((0, 1)) if signal is None else signal[first : int(end * rate)]
    keep = _extremes(part)
    line = {"type": "scatter", "mode": "lines", "name": m, "line": {"width": 1}, "xaxis": f"x{n}", "yaxis": f"y{n}"}
    line |= {"hovertemplate": "%{x:.1f} s: %{y:.3g}<extra></extra>"}
    lines = [line | {"x": (first + row) / rate, "y": part[row, k]} for k, row in enumerate(keep.T)]
    where = {"xref": f"x{n}", "yref": f"y{n} domain", "x0": start, "x1": start + length, "y0": 0, "y1": 1}
    shade = {"type": "rect", "fillcolor": ORANGE, "opacity": 0.15, "line": {"width": 0}} | where
    unit = f" ({recording.units[m]})" if m in recording.units else ""
    return lines, shade, {f"xaxis{n}": {"range": [begin, end]}, f"yaxis{n}": {"title": f"{m}{unit}"}}


def _extremes(x):
    """Samples to draw, shape (k, channels): all, or each bin's lowest and highest, so that no peak is lost."""
    n, channels = x.shape
    if n <= _POINTS:
        return np.repeat(np.arange(n)[:, None], channels, 1)
    size = -(-n // (_POINTS // 2))
    bins = np.pad(x, ((0, -n % size), (0, 0)), mode="edge").reshape(-1, size, channels)
    first = np.arange(len(bins))[:, None] * size
    pair = np.stack([first + bins.argmin(1), first + bins.argmax(1)], 1)  # (bins, 2, channels)
    return np.sort(pair, 1).reshape(-1, channels).clip(max=n - 1)
