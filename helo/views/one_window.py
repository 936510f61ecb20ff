"""One window through a model: its signals, what meets what, what is said, what that costs, and what it hangs on."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import plotly.graph_objects as go

from helo.data.emotion_data import BEHAVIORAL as SIDE_BEHAVIORAL
from helo.data.emotion_data import PHYSIOLOGICAL as SIDE_PHYSIOLOGICAL
from helo.data.emotion_data import EmotionData, Recording
from helo.models.helo import HeLo
from helo.views.figures import standardised
from helo.views.palette import ORANGE, SKY
from helo.views.panels import BEHAVIORAL, CARRIED, INK, NAMES, PHYSIOLOGICAL, bars, finish
from helo.views.walks import Walk
from helo.views.windows import _extremes

_LEVELS = 5
#: seen on every bar and in every theme
_DIAMOND = {"symbol": "diamond", "color": "black", "size": 9, "line": {"color": "white", "width": 1}}
#: pixels: a signal, the arcs between the sides, the curve of all windows, a row of the lowest panels, between panels
_SIGNAL, _ARCS, _CURVE, _BAR, _GAP = 56, 104, 78, 17, 58
#: of the width: signals; rated and predicted; parts of the KL; left of the knocked out, right of it; attention
_LEFT, _ANSWER, _COST, _MOVED, _WORSE, _MAPS = (
    (0.03, 0.52),
    (0.66, 0.83),
    (0.85, 1),
    (0.12, 0.3),
    (0.32, 0.52),
    (0.6, 1),
)


def through(walk: Walk, row: int, recording: Recording | None = None) -> go.Figure:
    """One window from its signals to the price of its answer.

    From above: the KL of all windows, this one marked. Signals, the body above behavior, and between them arcs from
    each moment of the body to the moments of behavior where HeLo's plan puts more mass than an even plan would (the
    stronger the arc the more, up to all of a token's mass); beside them what was rated and predicted, and
    d_j log(d_j / p_j), each emotion's part of the KL. Below, each part taken out of the trained model: how far this
    answer moves, how much its KL rises; and the attention maps, the mean over heads. What a model does not have is not
    drawn.

    Args:
        walk: from `helo.views.walk`.
        row: which of its windows, from 0.
        recording: this subject's raw signals; None draws the features, token by token.
    """
    data, index = walk.data, int(walk.index[row])
    paper = _Paper()
    _curve(paper, walk, row)
    top, inner = paper.down, len(data.signals) * _SIGNAL + (_ARCS if _moments(walk) else 0)
    tall = max(inner, 15 * len(data.emotions))
    _signals(paper, walk, row, recording, tall - inner)
    _answer(paper, walk, row, top, tall)
    paper.down = top + tall + _GAP + 34  # below the name of the seconds
    top = paper.down
    tall = max(_BAR * len(walk.without), 150 if walk.attention else 0)
    _knocked(paper, walk, row, top, tall)
    _attention(paper, walk, row, top, tall)
    rank = 1 + int((walk.kl < walk.kl[row] - 1e-12).sum())
    title = f"{data.subjects[index]}, {data.trials[index]}, window {index}: KL {walk.kl[row]:.3f}"
    return paper.finish(f"{title}, number {rank} of {len(walk.kl)} from the best", top + tall)


class _Paper:
    """Panels by their place in pixels from above; plotly wants shares of a height that is known last."""

    def __init__(self):
        self.axes: list[tuple[tuple[float, float], float, float, dict, dict]] = []
        self.traces: list[dict[str, Any]] = []
        self.notes: list[tuple[float, float, str]] = []
        self.shapes: list[dict[str, Any]] = []
        self.down = 0.0

    def panel(self, across, top, tall, x, y, title="") -> dict[str, str]:
        """A panel, and the axes' names that its traces take."""
        self.axes.append((across, top, tall, x, y))
        n = "" if len(self.axes) == 1 else str(len(self.axes))
        if title:
            self.notes.append((across[0], top, title))
        return {"xaxis": f"x{n}", "yaxis": f"y{n}"}

    def finish(self, title, tall):
        frame: dict[str, Any] = {}
        layout: dict[str, Any] = {}
        for k, (across, top, height, x, y) in enumerate(self.axes, 1):
            n = "" if k == 1 else str(k)
            frame[f"xaxis{n}"] = {"domain": list(across), "anchor": f"y{n}"}
            frame[f"yaxis{n}"] = {"domain": [1 - (top + height) / tall, 1 - top / tall], "anchor": f"x{n}"}
            layout |= {f"xaxis{n}": x, f"yaxis{n}": y}
        place = {"xref": "paper", "yref": "paper", "xanchor": "left", "yanchor": "bottom", "showarrow": False}
        frame["annotations"] = [place | {"x": x, "y": 1 - top / tall, "text": text} for x, top, text in self.notes]
        margin = {"l": 60, "r": 16, "t": 64, "b": 52}
        height = int(tall + margin["t"] + margin["b"])
        return finish(frame, self.traces, title, height, margin=margin, shapes=self.shapes, barmode="overlay", **layout)


def _curve(paper, walk, row):
    """KL over the windows; a click on one goes there."""
    y = {"title": "KL", "rangemode": "tozero", "nticks": 4}
    place = paper.panel((0.03, 1), 0, _CURVE, {}, y, "KL (nats) of every window, by its number: click one to go there")
    data, each = walk.data, walk.index
    who = [f"{s}, {t}, window {k}" for k, s, t in zip(each, data.subjects[each], data.trials[each], strict=True)]
    marks = {"type": "scatter", "x": walk.index, "y": walk.kl, "mode": "markers", "marker": {"size": 4, "color": INK}}
    hover = {"text": who, "hovertemplate": "%{text}: %{y:.3f}<extra></extra>"}
    here = {"x": [walk.index[row]], "y": [walk.kl[row]], "marker": {"size": 11, "color": CARRIED, "symbol": "diamond"}}
    paper.traces += [marks | hover | place, marks | here | {"hoverinfo": "skip"} | place]
    paper.down = _CURVE + _GAP + 8


def _signals(paper, walk, row, recording, spare):
    """The body's signals, the arcs, behavior's signals, over the same time."""
    data, index = walk.data, int(walk.index[row])
    raw = recording is not None and data.starts is not None and data.window is not None
    moments = _moments(walk)
    sides = data.roles[SIDE_PHYSIOLOGICAL], data.roles[SIDE_BEHAVIORAL]
    last = [*sides[0], *sides[1]][-1]
    tall = _SIGNAL + spare / len(data.signals)
    if raw:
        seconds = [(0.0, float(data.window)), *moments.values()] if moments else [(0.0, float(data.window))]
        between = [min(a for a, _ in seconds), max(b for _, b in seconds)]
    else:
        between = [0.0, 1.0]
    unit = "seconds of the window" if raw else "tokens, in their order"
    for side, names in enumerate(sides):
        for m in names:
            x = (
                {"range": between, "title": unit}
                if m == last
                else {"range": between, "showticklabels": False, "ticks": ""}
            )
            place = paper.panel(_LEFT, paper.down, tall - 8, x, {"title": m, "nticks": 3, "tickfont": {"size": 9}})
            color = BEHAVIORAL if side else PHYSIOLOGICAL
            paper.traces += (
                _lines(data, m, index, recording, color, between, place)
                if raw
                else _features(data, m, index, color, place)
            )
            paper.down += tall
        if side == 0 and moments:
            _arcs(paper, walk, row, between, raw)


def _lines(data, m, index, recording, color, between, place):
    """Raw signal in the seconds shown, seconds from the window's start; one line a channel."""
    start, rate = float(data.starts[index]), recording.rates.get(m, 1.0)
    first = max(0, int((start + between[0]) * rate))
    signal = recording.signals.get(m)
    part = np.zeros((0, 1)) if signal is None else signal[first : int((start + between[1]) * rate)]
    line = {"type": "scatter", "mode": "lines", "line": {"width": 1.2, "color": color}, "name": m} | place
    unit = recording.units.get(m, "")
    hover = {"hovertemplate": f"{m}, channel %{{meta}}, %{{x:.1f}} s: %{{y:.3g}} {unit}<extra></extra>"}
    return [
        line
        | hover
        | {"x": (first + keep) / rate - start, "y": part[keep, k], "meta": k + 1, "opacity": 1 - 0.5 * (k > 0)}
        for k, keep in enumerate(_extremes(part).T)
    ]


def _features(data, m, index, color, place):
    """Standardised features at their tokens, where there is no raw signal."""
    values = standardised(data, m, index)
    x = (np.arange(len(values)) + 0.5) / len(values)
    mark = {"type": "scatter", "mode": "lines+markers", "marker": {"size": 4}, "line": {"width": 1, "color": color}}
    hover = {"hovertemplate": "%{meta}, %{text}: %{y:.2f} SD<extra></extra>", "text": list(data.tokens[m])}
    return [
        mark | hover | {"x": x, "y": v, "meta": n, "name": n} | place
        for n, v in zip(data.features[m], values.T, strict=True)
    ]


def _moments(walk: Walk) -> dict[tuple[str, str], tuple[float, float]]:
    """(Modality, token) -> seconds from the window's start; {} where the model has no plan between such tokens."""
    if walk.plans is None or not isinstance(walk.model, HeLo):
        return {}
    return {(m, t): _seconds(walk.data, m, k) for m, names in walk.data.tokens.items() for k, t in enumerate(names)}


def _seconds(data: EmotionData, m: str, k: int) -> tuple[float, float]:
    """From when to when a token is: by its name, as "4-8 s"; otherwise tokens share the window evenly."""
    number = r"(-?\d+(?:\.\d+)?)"
    named = re.fullmatch(rf"{number}(?:-| to ){number} s", data.tokens[m][k])
    if named:
        return float(named[1]), float(named[2])
    length, count = float(data.window or 1), len(data.tokens[m])
    return k * length / count, (k + 1) * length / count


def _arcs(paper, walk, row, between, raw):
    """From each moment of the body to the moments of behavior that the plan matches with it more than evenly."""
    model, data = walk.model, walk.data
    sides = model.plan_tokens(data)
    plan = walk.plans[row].astype(np.float64)
    u, v = plan.sum(1, keepdims=True), plan.sum(0, keepdims=True)
    most = np.minimum(u, v)  # all of a token's mass
    excess = np.divide(plan - u * v, most - u * v, out=np.zeros_like(plan), where=most - u * v > 1e-9)
    x = {"range": [0, 1] if not raw else between, "visible": False}
    streams = [list(dict.fromkeys(name for name, _ in side)) for side in sides]
    marks = [1 - 0.13 * k for k in range(len(streams[0]))] + [0.13 * k for k in range(len(streams[1]))]
    y = {"range": [-0.12, 1.12], "tickvals": marks, "ticktext": [*streams[0], *streams[1]], "tickfont": {"size": 9}}
    place = paper.panel(_LEFT, paper.down, _ARCS - 10, x, y | {"showline": False, "ticks": ""})
    spots = [
        _spots(data, model, side, names, raw, k) for k, (side, names) in enumerate(zip(sides, streams, strict=True))
    ]
    t = np.linspace(0, 1, 14)
    for level in range(_LEVELS):
        low, high = level / _LEVELS, (level + 1) / _LEVELS
        pairs = np.argwhere((excess > max(low, 0.02)) & (excess <= (high if high < 1 else 2)))
        xs, ys = [], []
        for i, j in pairs:
            (a, p), (b, q) = spots[0][i], spots[1][j]
            smooth = 3 * t**2 - 2 * t**3
            xs += [*(a + (b - a) * smooth), np.nan]
            ys += [*(p + (q - p) * t), np.nan]
        look = {"color": CARRIED, "width": 0.6 + 1.1 * level}
        line = {"type": "scatter", "mode": "lines", "line": look, "opacity": 0.25 + 0.15 * level, "hoverinfo": "skip"}
        paper.traces.append(line | {"x": np.array(xs, float), "y": np.array(ys, float), "name": "plan"} | place)
    for side, color in enumerate((PHYSIOLOGICAL, BEHAVIORAL)):
        across, down = zip(*spots[side], strict=True)
        text = [" ".join(name) for name in sides[side]]
        dot = {"type": "scatter", "mode": "markers", "marker": {"size": 6, "color": color}, "text": text}
        paper.traces.append(dot | {"x": across, "y": down, "hovertemplate": "%{text}<extra></extra>"} | place)
    paper.down += _ARCS


def _spots(data, model, side, streams, raw, k):
    """Where each token of a side stands: the middle of its time, its stream's height."""
    spots = []
    for stream, token in side:
        m = model.query if stream not in data.signals else stream
        own = [t for s, t in side if s == stream]
        at = (own.index(token) + 0.5) / len(own)
        if raw:
            names = data.tokens[m]
            at = sum(_seconds(data, m, names.index(token))) / 2 if token in names else at * float(data.window)
        spots.append((at, 1 - 0.13 * streams.index(stream) if k == 0 else 0.13 * streams.index(stream)))
    return spots


def _answer(paper, walk, row, top, tall):
    """Rated and predicted; and what each emotion adds to the KL."""
    data = walk.data
    names = {"autorange": "reversed", "dtick": 1, "tickfont": {"size": 9 if len(data.emotions) > 16 else 10}} | NAMES
    first = paper.panel(_ANSWER, top, tall, {"rangemode": "tozero", "nticks": 4}, names, "rated,<br>predicted ◆")
    truth = data.distributions[walk.index[row]]
    mark = {"type": "scatter", "mode": "markers", "marker": _DIAMOND}
    hover = {"name": "predicted", "hovertemplate": "%{y}: %{x:.3f} predicted<extra></extra>"}
    paper.traces += [bars(data.emotions, truth) | first]
    paper.traces += [mark | hover | {"x": walk.said[row], "y": list(data.emotions)} | first]
    second = paper.panel(
        _COST, top, tall, {"nticks": 3}, names | {"showticklabels": False, "ticks": ""}, "part of<br>the KL"
    )
    part = walk.shares[row]
    bar = {"type": "bar", "orientation": "h", "x": part, "y": list(data.emotions), "name": "part of the KL"}
    color = {"marker": {"color": [CARRIED if x > 0 else SKY for x in part]}}
    paper.traces.append(bar | color | {"hovertemplate": "%{y}: %{x:.4f}<extra></extra>"} | second)


def _knocked(paper, walk, row, top, tall):
    """Each part taken out: how far the answer moves, how much more it costs."""
    found = walk.knocked(row)
    if not found:
        return
    names = {"autorange": "reversed", "dtick": 1, "tickfont": {"size": 10}} | NAMES
    titles = ("answer moves by", "KL rises by")
    for k, (across, title) in enumerate(zip((_MOVED, _WORSE), titles, strict=True)):
        own = {"nticks": 3, "rangemode": "tozero", "tickangle": 0}
        above = title.replace(" ", "<br>", 1)  # on two lines neighbours do not touch where the cell is narrow
        place = paper.panel(
            across, top, tall, own, names | ({"showticklabels": False, "ticks": ""} if k else {}), above
        )
        values = [value[k] for value in found.values()]
        color = [ORANGE] * len(values) if k == 0 else [CARRIED if x > 0 else SKY for x in values]
        bar = {"type": "bar", "orientation": "h", "x": values, "y": list(found), "marker": {"color": color}}
        hover = {"name": title, "hovertemplate": f"{title} %{{x:.4f}} without %{{y}}<extra></extra>"}
        paper.traces.append(bar | hover | place)


def _attention(paper, walk, row, top, tall):
    """Every attention map, the mean over heads; rows ask, columns answer."""
    maps = {name: _flat(values[row]) for name, values in walk.attention.items()}
    wide, high = min(len(maps), 2), -(-len(maps) // 2)
    for k, (name, z) in enumerate(maps.items()):
        width = (_MAPS[1] - _MAPS[0]) / wide
        left = _MAPS[0] + (k % 2) * width
        height = tall / high
        off = {"showticklabels": False, "ticks": ""}
        y = off | {"autorange": "reversed"}
        place = paper.panel((left, left + width - 0.03), top + (k // 2) * height, height - 26, off, y, name)
        hover = {"hovertemplate": "%{y} asks %{x}: %{z:.2f}<extra></extra>"}
        labels = _labels(walk, name, z.shape)
        heat = {"type": "heatmap", "z": z, "colorscale": "Cividis", "showscale": False, "zmin": 0, "name": name}
        paper.traces.append(heat | hover | labels | place)


def _flat(weights):
    return weights.reshape(-1, *weights.shape[-2:]).mean(0)


def _labels(walk, name, shape):
    """Names of a map's rows and columns, where they are known by their number."""
    data = walk.data
    emotions, asked = list(data.emotions), name.split(" to ")
    if len(asked) == 2 and all(m in data.tokens for m in asked):
        rows, columns = ([f"{m} {t}" for t in data.tokens[m]] for m in asked)
    else:
        moments = [" ".join(t) for t in walk.model.plan_tokens(data)[1]] if _moments(walk) else []
        rows, columns = emotions, moments if name == "pooling" else emotions
    rows = rows if len(rows) == shape[0] else list(map(str, range(shape[0])))
    return {"y": rows, "x": columns if len(columns) == shape[1] else list(map(str, range(shape[1])))}
