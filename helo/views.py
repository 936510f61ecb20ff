"""Interactive pictures with plotly, for looking and for batch runs: arrays, data or a model in, a plotly Figure out.

`helo.explore` puts sliders on them. Saved pictures are `helo.figures`' business.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots

from helo import transport as ot
from helo.data.emotion_data import EmotionData, Recording
from helo.figures import emotion_colours, standardised
from helo.measures import score
from helo.models import EmotionModel
from helo.models.helo import HeLo

PHYSIOLOGICAL, BEHAVIORAL, CARRIED, ABSENT = "#0072B2", "#009E73", "#D55E00", "#DDDDDD"
#: most points a raw signal is drawn with
_POINTS = 2000
_SD = {"title": {"text": "SD from the data set's mean", "side": "top"}, "orientation": "h", "thickness": 8, "len": 0.25, "y": -0.28, "ypad": 0}


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
    specs = [[{}] * (1 + raw) + [{"rowspan": rows} if r == 0 else None] for r in range(rows)]
    frame = _frame(
        rows, 2 + raw, specs=specs, column_widths=[0.4] * raw + [0.34, 0.26], horizontal_spacing=0.14,
        vertical_spacing=0.16 / rows,
    )  # fmt: skip
    traces, shapes, layout = [], [], {}
    for r, m in enumerate(modalities):
        # plotly numbers the axes row by row; the distribution is the last of the first row
        first, last = (1 if r == 0 else r * (1 + raw) + 2), r == rows - 1
        n = _axis(first)
        if raw:
            lines, shape, x, y = _raw(recording, m, data, index, n)
            traces += lines
            shapes.append(shape)
            layout |= {f"xaxis{n}": x | {"title": "time in the recording (s)" if last else "", "showticklabels": last}, f"yaxis{n}": y}
            n = _axis(first + 1)
        there = data.masks[m][index][:, None]
        place = {"x": data.tokens[m], "y": data.features[m], "xaxis": f"x{n}", "yaxis": f"y{n}", "type": "heatmap"}
        shown = {"colorscale": "RdBu_r", "zmin": -3, "zmax": 3, "showscale": r == 0, "colorbar": _SD | {"x": 0.53 * raw + 0.2 * (not raw)}}
        traces.append(place | shown | {
            "z": standardised(data, m, index).T, "hoverongaps": False,
            "hovertemplate": "%{y}, %{x}: %{z:.2f}<extra></extra>",
        })  # fmt: skip
        absent = np.where(there, np.nan, np.ones_like(data.signals[m][index])).T
        traces.append(place | {"z": absent, "colorscale": [[0, ABSENT], [1, ABSENT]], "showscale": False, "hoverinfo": "skip"})
        layout[f"xaxis{n}"] = _NAMES | {"title": "token" if last else "", "showticklabels": last, "tickangle": -30}
        layout[f"yaxis{n}"] = _NAMES | {"tickfont": {"size": 9}, "title": "" if raw else m}
    n = _axis(2 + raw)
    traces.append(_bars(data.emotions, data.distributions[index]) | {"xaxis": f"x{n}", "yaxis": f"y{n}"})
    layout[f"xaxis{n}"] = {"title": "rated share of the distribution", "rangemode": "tozero"}
    layout[f"yaxis{n}"] = _NAMES | {"autorange": "reversed"}
    share = np.mean([data.masks[m][index].mean() for m in modalities])
    title = f"{data.subjects[index]}, {data.trials[index]}, window {index}: {share:.0%} of the tokens are there"
    return _finish(frame, traces, title, 190 + 130 * rows, shapes=shapes, margin={"l": 60, "r": 30, "t": 60, "b": 110}, **layout)


def _raw(recording, m, data, index, axis):
    """Lines of the signal around the window, the window's shade, and both axes."""
    start, length = float(data.starts[index]), float(data.window)
    begin, end = max(0.0, start - length / 4), start + 1.25 * length
    signal, rate = recording.signals.get(m), recording.rates.get(m, 1.0)
    first = int(begin * rate)
    part = np.zeros((0, 1)) if signal is None else signal[first : int(end * rate)]
    keep = _extremes(part)
    lines = [
        {
            "type": "scatter", "x": (first + keep[:, k]) / rate, "y": part[keep[:, k], k], "mode": "lines", "name": m,
            "line": {"width": 1}, "xaxis": f"x{axis}", "yaxis": f"y{axis}", "hovertemplate": "%{x:.1f} s: %{y:.3g}<extra></extra>",
        }
        for k in range(part.shape[1])
    ]  # fmt: skip
    shade = {
        "type": "rect", "x0": start, "x1": start + length, "y0": 0, "y1": 1, "xref": f"x{axis}", "yref": f"y{axis} domain",
        "fillcolor": "#E69F00", "opacity": 0.15, "line": {"width": 0},
    }  # fmt: skip
    unit = f" ({recording.units[m]})" if m in recording.units else ""
    return lines, shade, {"range": [begin, end]}, {"title": f"{m}{unit}"}


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


def history(
    rows: Sequence[Mapping[str, float]], best_epoch: int | None = None, reference: float | None = None
) -> go.Figure:
    """Losses over epochs: KL of training and validation on the left, the other terms on the right.

    Args:
        rows: `Run.history`, whole or what there is so far.
        best_epoch: marked, where given.
        reference: the training mean's KL on the validation windows, a dashed line.
    """
    frame = _frame(1, 2, horizontal_spacing=0.12)
    epochs = [row["epoch"] for row in rows]
    traces = [
        {"type": "scatter", "x": epochs, "y": [row.get(key) for row in rows], "name": name, "line": {"color": color}}
        for key, name, color in (("train_kl", "training", PHYSIOLOGICAL), ("validation_kl", "validation", CARRIED))
    ]
    names = {"train_correlation": "L_CC", "train_transport": "transport cost"}
    others = [key for key in (rows[0] if rows else ()) if key.startswith("train_") and key != "train_kl"]
    for key in others:
        traces.append({"type": "scatter", "x": epochs, "y": [row[key] for row in rows], "xaxis": "x2", "yaxis": "y2",
                       "name": names.get(key, key.removeprefix("train_"))})  # fmt: skip
    shapes = []
    if reference is not None:
        shapes.append({"type": "line", "x0": 0, "x1": 1, "xref": "x domain", "y0": reference, "y1": reference, "line": {"dash": "dash"},
                       "label": {"text": "training mean, validation", "textposition": "end"}})  # fmt: skip
    if best_epoch:
        shapes.append({"type": "line", "x0": best_epoch, "x1": best_epoch, "y0": 0, "y1": 1, "yref": "y domain",
                       "line": {"dash": "dot"}})  # fmt: skip
    title = f"epoch {epochs[-1]}" if epochs else "no epochs"
    title += f", best: {best_epoch} (dotted)" if best_epoch else ""
    return _finish(
        frame, traces, title, 340, showlegend=True, shapes=shapes,
        xaxis={"title": "epoch", "rangemode": "tozero"}, xaxis2={"title": "epoch", "rangemode": "tozero"},
        yaxis={"title": "KL divergence (nats)"}, yaxis2={"title": "other loss terms", "rangemode": "tozero"},
    )  # fmt: skip


def transport(model: HeLo, data: EmotionData, index: int, epsilon: float | None = None, strongest: int = 8) -> go.Figure:
    """What HeLo's transport does in one window.

    Cost; the Wasserstein plan it gives; the Gromov plan, which knows only how tokens relate within each side; and of the
    one that the model uses: its marginals beside the even ones asked for, the strongest flows, and the tokens in the
    plane of their two main directions, with what the barycentric map carries to every behavioral token.

    Args:
        model: a trained HeLo.
        data: the data set.
        index: which window.
        epsilon: entropy of the transport; default the model's.
        strongest: flows drawn in color; the others are grey.
    """
    epsilon = model.epsilon if epsilon is None else epsilon
    with torch.no_grad():
        x, x_mask, y, y_mask = _resting(model).both_sides(*_one(data, index, model))
        u, v = ot.uniform_marginal(x_mask), ot.uniform_marginal(y_mask)
        cost = ot.cosine_cost(x, y)
        plan = ot.plan(cost, epsilon, u, v, model.iterations)
        gromov = ot.gromov_plan(ot.cosine_cost(x, x), ot.cosine_cost(y, y), epsilon, u, v, model.iterations)
        own = gromov if model.transport == "gromov" else plan
        error = float(ot.marginal_error(own, u, v))
        carried = ot.barycentric_map(own, x)
    x, y, carried, cost, plan, gromov, own, u, v = (
        t[0].cpu().numpy() for t in (x, y, carried, cost, plan, gromov, own, u, v)
    )
    named_rows, named_columns = model.plan_tokens(data)
    rows, columns = [" ".join(names) for names in named_rows], [" ".join(names) for names in named_columns]

    titles = ["cost 1 − cos", "plan, Wasserstein", "plan, Gromov", "mass of each token (blue body, green behavior)",
              "strongest flows", "tokens, and what is carried (orange)"]  # fmt: skip
    frame = _frame(
        2, 3, subplot_titles=titles, horizontal_spacing=0.1, vertical_spacing=0.22,
        specs=[[{}, {}, {}], [{}, {"type": "domain"}, {}]],
    )  # fmt: skip
    high = float(max(plan.max(), gromov.max()))
    traces, layout = [], {}
    for k, (z, unit) in enumerate(((cost, "cost"), (plan, "mass"), (gromov, "mass")), 1):
        n = _axis(k)
        traces.append({
            "type": "heatmap", "z": z, "colorscale": "Cividis", "showscale": k < 3, "xaxis": f"x{n}", "yaxis": f"y{n}",
            "colorbar": {"title": {"text": unit}, "thickness": 8, "len": 0.4, "y": 0.81, "x": 0.27 if k == 1 else 1.0},
            "hovertemplate": f"{unit} %{{z:.4f}}: %{{y}} to %{{x}}<extra></extra>", "x": columns, "y": rows,
        } | ({} if k == 1 else {"zmin": 0, "zmax": high}))  # fmt: skip
        layout[f"xaxis{n}"] = _NAMES | {"tickfont": {"size": 9}, "tickangle": -45, "title": "behavioral token"}
        layout[f"yaxis{n}"] = _NAMES | {
            "autorange": "reversed", "tickfont": {"size": 9}, "showticklabels": k == 1, "title": "physiological token" if k == 1 else ""
        }  # fmt: skip
    names = [f"{name} " for name in rows] + columns
    sides = [PHYSIOLOGICAL] * len(rows) + [BEHAVIORAL] * len(columns)
    mass = {"x": names, "xaxis": "x4", "yaxis": "y4"}
    traces.append(mass | {"type": "bar", "y": np.concatenate([own.sum(1), own.sum(0)]), "marker": {"color": sides}})
    traces.append(mass | {"type": "scatter", "mode": "markers", "y": np.concatenate([u, v]), "name": "asked for",
                          "marker": {"symbol": "line-ew-open", "color": "black", "size": 8}})  # fmt: skip
    layout |= {"xaxis4": {"showticklabels": False, "title": "token; the line is what was asked for"},
               "yaxis4": {"title": "mass", "rangemode": "tozero"}}  # fmt: skip
    traces += [*_plane(x[u > 0], y[v > 0], carried[(v > 0) & u.any()]), _flows(own, rows, columns, strongest, frame)]
    layout |= {"xaxis5": {"title": "first main direction"}, "yaxis5": {"title": "second main direction"}}
    title = f"{data.subjects[index]}, {data.trials[index]}, window {index}; ε = {epsilon:.3g}, marginal error {error:.1e}"
    return _finish(frame, traces, title, 700, **layout)


def _flows(plan, rows, columns, strongest, frame):
    n, m = plan.shape
    colors = np.full(n * m, "rgba(200,200,200,0.25)", dtype=object)
    colors[np.argsort(-plan, axis=None, kind="stable")[:strongest]] = "rgba(213,94,0,0.75)"
    places = {"x": [0.001] * n + [0.999] * m, "y": [*np.linspace(0.02, 0.98, n), *np.linspace(0.02, 0.98, m)]}
    (left, right), (top, bottom) = (frame[f"{axis}axis{k}"]["domain"] for axis, k in (("x", 2), ("y", 4)))
    return {
        "type": "sankey", "arrangement": "fixed", "textfont": {"size": 9}, "domain": {"x": [left, right], "y": [top, bottom]},
        "node": {"label": rows + columns, "color": [PHYSIOLOGICAL] * n + [BEHAVIORAL] * m, "pad": 2, "thickness": 8, **places},
        "link": {
            "source": np.repeat(np.arange(n), m), "target": n + np.tile(np.arange(m), n),
            "value": np.maximum(plan, 1e-6).ravel(), "color": list(colors),
        },
    }  # fmt: skip


def _plane(x, y, carried):
    """The two main directions of all tokens; a line joins a behavioral token with what is carried to it."""
    both = np.concatenate([x, y])
    if len(both) < 3:  # no plane
        x = y = carried = np.zeros((0, 2))
    else:
        center = both.mean(0)
        axes = np.linalg.svd(both - center, full_matrices=False)[2][:2]
        axes *= np.where(axes[np.arange(2), np.abs(axes).argmax(1)] < 0, -1, 1)[:, None]  # a sign that does not jump
        x, y, carried = ((t - center) @ axes.T for t in (x, y, carried))
    joined = y[: len(carried)]  # nothing is carried where one side is missing
    lines = [np.stack([joined[:, k], carried[:, k], np.full(len(carried), np.nan)], 1).ravel() for k in (0, 1)]
    place = {"type": "scatter", "xaxis": "x5", "yaxis": "y5"}
    links = {"x": lines[0], "y": lines[1], "mode": "lines", "line": {"color": "#BBBBBB", "width": 1}, "hoverinfo": "skip"}
    marks = (("body", x, PHYSIOLOGICAL, "circle"), ("behavior", y, BEHAVIORAL, "square"), ("carried", carried, CARRIED, "x"))
    points = [
        {"name": name, "x": p[:, 0], "y": p[:, 1], "mode": "markers", "marker": {"color": color, "symbol": symbol, "size": 7}}
        for name, p, color, symbol in marks
    ]
    return [place | trace for trace in (links, *points)]


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
    frame = _frame(1, 4, subplot_titles=titles, horizontal_spacing=0.05, column_widths=[0.24, 0.24, 0.24, 0.28])
    names, (i, j) = list(emotions), pair
    traces, layout = [], {}
    for k, z in enumerate((target, learned, learned - target), 1):
        n = _axis(k)
        traces.append({"type": "heatmap", "z": z, "x": names, "y": names, "coloraxis": "coloraxis", "xaxis": f"x{n}",
                       "yaxis": f"y{n}", "hovertemplate": "%{y}, %{x}: %{z:.2f}<extra></extra>"})  # fmt: skip
        small = _NAMES | {"tickfont": {"size": 9 if len(names) < 16 else 8}, "dtick": 1}
        layout[f"xaxis{n}"] = small | {"tickangle": -90}
        layout[f"yaxis{n}"] = small | {"autorange": "reversed", "showticklabels": k == 1}
    x, y = np.asarray(distributions)[:, i], np.asarray(distributions)[:, j]
    traces.append({"type": "scatter", "x": x, "y": y, "mode": "markers", "xaxis": "x4", "yaxis": "y4",
                   "marker": {"size": 5, "color": PHYSIOLOGICAL, "opacity": 0.35}, "hovertemplate": "%{x:.3f}, %{y:.3f}<extra></extra>"})  # fmt: skip
    layout["xaxis4"] = {"title": f"share of {names[i]}", "rangemode": "tozero"}
    layout["yaxis4"] = {"title": f"share of {names[j]}", "rangemode": "tozero", "side": "right"}
    off = ~np.eye(len(names), dtype=bool)
    gap = np.abs(learned - target)[off].mean()
    title = f"{names[i]} and {names[j]}: {target[i, j]:.2f} in R*, {learned[i, j]:.2f} learned; mean difference of all pairs {gap:.3f}"
    bar = {"title": {"text": "correlation", "side": "top"}, "orientation": "h", "thickness": 8, "x": 0.35, "len": 0.3, "y": -0.55}
    colors = {"colorscale": "RdBu_r", "cmin": -1, "cmax": 1, "colorbar": bar}
    return _finish(frame, traces, title, 460, coloraxis=colors, **layout)


def answer(
    model: EmotionModel, data: EmotionData, index: int, instead: Mapping[str, int | None] | None = None,
    all_kl: np.ndarray | None = None,
) -> go.Figure:  # fmt: skip
    """Rated beside predicted distribution of one window, and what the model would say of a changed one.

    Args:
        model: a trained model.
        data: the data set.
        index: which window.
        instead: modality -> None to drop it, or the window to take it from.
        all_kl: KL of all windows looked at, to see this one among them.
    """
    instead = instead or {}
    said = np.concatenate([what_if(model, data, index, {}), what_if(model, data, index, instead)])
    truth = data.distributions[index]
    scores = [score(truth[None], p[None]) for p in said]
    frame = _frame(
        1, 3, column_widths=[0.42, 0.26, 0.32], horizontal_spacing=0.1, specs=[[{}, {}, {"type": "table"}]],
        subplot_titles=["distribution", "this window among all", "measures"],
    )  # fmt: skip
    traces = [_bars(data.emotions, truth)]
    looks = (("predicted", "diamond", "black"), ("predicted, changed", "circle-open", CARRIED))
    for (name, symbol, color), p in zip(looks, said, strict=True):
        traces.append({"type": "scatter", "x": p, "y": list(data.emotions), "mode": "markers", "name": name,
                       "marker": {"symbol": symbol, "color": color, "size": 8}})  # fmt: skip
    ranked = np.sort(np.array([scores[0]["kl"]]) if all_kl is None else all_kl)
    place = 1 + int(np.searchsorted(ranked, scores[0]["kl"] - 1e-9))
    second = {"type": "scatter", "xaxis": "x2", "yaxis": "y2", "showlegend": False}
    traces.append(second | {"x": np.arange(1, len(ranked) + 1), "y": ranked, "mode": "lines", "line": {"color": "#777777"}})
    traces.append(second | {"x": [place] * 2, "y": [s["kl"] for s in scores], "mode": "markers",
                            "marker": {"symbol": ["diamond", "circle-open"], "color": ["black", CARRIED], "size": 8}})  # fmt: skip
    columns = [list(scores[0]), *[[f"{value:.3f}" for value in s.values()] for s in scores]]
    traces.append({"type": "table", "domain": {"x": [0.76, 1], "y": [0, 1]}, "cells": {"values": columns},
                   "header": {"values": ["", "predicted", "changed"]}})  # fmt: skip
    told = "; ".join(f"{m} {'dropped' if k is None else f'from window {k}'}" for m, k in instead.items()) or "nothing"
    title = f"{data.subjects[index]}, {data.trials[index]}, window {index}; changed: {told}"
    return _finish(
        frame, traces, title, 190 + 18 * max(12, len(data.emotions)), showlegend=True,
        legend={"orientation": "h", "x": 0, "y": -0.18, "yanchor": "top"}, margin={"l": 60, "r": 30, "t": 70, "b": 90},
        xaxis={"title": "share of the distribution", "rangemode": "tozero"}, yaxis=_NAMES | {"autorange": "reversed"},
        xaxis2={"title": "window, from best to worst"}, yaxis2={"title": "KL divergence (nats)", "rangemode": "tozero"},
    )  # fmt: skip


@torch.no_grad()
def what_if(model: EmotionModel, data: EmotionData, index: int, instead: Mapping[str, int | None]) -> np.ndarray:
    """Predict one window with modalities dropped (None) or taken from another window; shape (1, L)."""
    for m in instead:
        if m not in data.signals:
            raise ValueError(f"{data.name}: no modality {m!r}; it has {list(data.signals)}")
    signals, masks = _one(data, index, model)
    for m, other in instead.items():
        if other is None:
            signals[m], masks[m] = torch.zeros_like(signals[m]), torch.zeros_like(masks[m])
        else:
            taken, there = _one(data, other, model)
            signals[m], masks[m] = taken[m], there[m]
    return _resting(model)(signals, masks).distributions.cpu().numpy()


def _resting(model):
    """The model without dropout; a copy of one that is being trained."""
    return copy.deepcopy(model).eval() if model.training else model


def _one(data, index, model):
    device = next((t.device for t in (*model.parameters(), *model.buffers())), torch.device("cpu"))
    return tuple(
        {m: torch.as_tensor(x[index : index + 1], device=device) for m, x in group.items()}
        for group in (data.signals, data.masks)
    )


def _axis(number):
    """plotly's name for an axis: the first has no number."""
    return "" if number == 1 else str(number)


def _bars(emotions, shares, name="rated"):
    colors = list(emotion_colours(emotions).values())
    return {"type": "bar", "y": list(emotions), "x": shares, "orientation": "h", "marker": {"color": colors}, "name": name,
            "hovertemplate": "%{y}: %{x:.3f}<extra></extra>"}  # fmt: skip


def _frame(rows, columns, **arguments):
    """plotly's layout of panels: axes with their domains, and titles. The same for every draw, so it is kept."""
    key = json.dumps([rows, columns, arguments])
    if key not in _FRAMES:
        _FRAMES[key] = make_subplots(rows, columns, **arguments).layout.to_plotly_json()
    return _FRAMES[key]


_FRAMES: dict[str, dict] = {}
_NAMES = {"type": "category"}  # names, even if they look like numbers
_AXIS = {"showline": True, "linecolor": "#444444", "ticks": "outside", "zeroline": False, "showgrid": False}


def _finish(frame, traces, title, height, **layout):
    """The figure: frame, traces, and `layout` on top, put together as plain data, which is much the faster way."""
    axes = {}
    for name in (name for name in frame if name[1:5] == "axis"):
        own = layout.pop(name, {})
        axes[name] = frame[name] | _AXIS | own | {"title": {"font": {"size": 12}, "text": own.get("title", "")}}
    titles = [note | {"font": {"size": 12}, "yshift": 4} for note in frame.get("annotations", ())]
    style = {
        "title": {"text": title, "font": {"size": 14}}, "width": 980, "height": height, "plot_bgcolor": "white", "font": {"size": 11},
        "showlegend": False, "margin": {"l": 60, "r": 30, "t": 70, "b": 60}, "annotations": titles,
    }  # fmt: skip
    return go.Figure({"data": traces, "layout": style | layout | axes})
