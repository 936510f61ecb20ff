"""The transport of one window."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
import torch

from helo import transport as ot
from helo.data.emotion_data import EmotionData
from helo.models.helo import HeLo
from helo.training.threads import few_threads
from helo.views.answers import one, resting
from helo.views.panels import ABSENT, BEHAVIORAL, CARRIED, NAMES, PHYSIOLOGICAL, axis, finish, panels

#: a flow is drawn where it is more than this many times the even plan's
MARGIN = 1.25
# how wide a flow is drawn: from this multiple of the even plan's on
_WIDTHS = {MARGIN: 1.0, 1.5: 2.0, 2.0: 3.5, 3.0: 5.5}
_TITLES = (
    "cost 1 − cos",
    "plan, Wasserstein",
    "plan, Gromov",
    f"flows above {MARGIN:g} × even",
    "mass of each token",
    "● body, ■ behavior, × carried",
)


def transport(model: HeLo, data: EmotionData, index: int, epsilon: float | None = None) -> go.Figure:
    """What HeLo's transport does in one window.

    Cost; the Wasserstein plan it gives; the Gromov plan, which knows only how tokens relate within each side; and of
    the one that the model uses: the flows above `MARGIN` times the even plan's, its marginals beside the even ones
    asked for, and the tokens in the plane of their two main directions, with what the barycentric map carries to every
    behavioral token. Plans are multiples of the even plan u v^T, in colors of one scale for every window and epsilon.

    Args:
        model: a trained HeLo.
        data: the data set.
        index: which window.
        epsilon: entropy of the transport; default the model's.
    """
    epsilon = model.epsilon if epsilon is None else epsilon
    solved, error = _solve(model, data, index, epsilon)
    x, y, u, v, own = (solved[k] for k in ("x", "y", "u", "v", "own"))
    tokens = model.plan_tokens(data)
    rows, columns = ([_named(*names) for names in side] for side in tokens)
    frame = panels(2, 3, subplot_titles=_TITLES, horizontal_spacing=0.12, vertical_spacing=0.26)
    even = u[:, None] * v
    traces, layout = _matrices(solved["cost"], [solved["plan"], solved["gromov"]], even, rows, columns)
    lines, places = _flows(_multiples(own, even), rows, tokens[1])
    traces += [*lines, *_marginals(own, u, v, rows, columns)]
    traces += _plane(x[u > 0], y[v > 0], solved["carried"][(v > 0) & u.any()])
    layout |= places | {
        "xaxis5": {"showticklabels": False, "title": "body, then behavior; line: asked for"},
        "yaxis5": {"title": "mass", "rangemode": "tozero", "nticks": 4},
        "xaxis6": {"title": "first main direction"},
        "yaxis6": {"title": "second main direction"},
    }
    title = f"{data.subjects[index]}, {data.trials[index]}, window {index}; ε = {epsilon:.3g}"
    return finish(frame, traces, f"{title}, marginal error {error:.1e}", 680, shapes=_absent(), **layout)


def _named(stream, token):
    """A token's name; a stream that asks itself is named once."""
    query, _, key = stream.partition(" to ")
    return f"{query if query == key else stream} {token}"


@few_threads
@torch.no_grad()
def _solve(model, data, index, epsilon):
    """Both sides' tokens x and y, their marginals, the cost, both plans, the model's own and what it carries."""
    x, x_mask, y, y_mask = resting(model).both_sides(*one(data, index, model))
    u, v = ot.uniform_marginal(x_mask), ot.uniform_marginal(y_mask)
    cost = ot.cosine_cost(x, y)
    plan = ot.plan(cost, epsilon, u, v, model.iterations)
    gromov = ot.gromov_plan(ot.cosine_cost(x, x), ot.cosine_cost(y, y), epsilon, u, v, model.iterations)
    own = gromov if model.transport == "gromov" else plan
    solved = {"x": x, "y": y, "u": u, "v": v, "cost": cost, "plan": plan, "gromov": gromov, "own": own}
    solved["carried"] = ot.barycentric_map(own, x)
    return {name: t[0].cpu().numpy() for name, t in solved.items()}, float(ot.marginal_error(own, u, v))


def _multiples(plan, even):
    """A plan as multiples of the even one; NaN where a token is missing."""
    return np.divide(plan, even, out=np.full(plan.shape, np.nan), where=even > 0)


def _size(rows):
    """Of the tokens' names: as large as as many of them leave room for, to be read from a projector."""
    return 12 if len(rows) <= 8 else 9


def _matrices(cost, plans, even, rows, columns):
    """The cost and both plans as heatmaps, and their axes.

    No multiple of the even plan is larger than the number of tokens on the smaller side: that is where the plans' scale
    ends, at both ends of the logarithm.
    """
    most = max(1.0, float(np.log2(min(even.shape))))
    whole = np.arange(-int(most), int(most) + 1)
    named = [f"{2**k}" if k > 0 else f"1/{2**-k}" if k else "even" for k in whole]
    if most == int(most):
        named[0] = f"≤ {named[0]}"  # what is less has the same colour
    ticks = {"tickvals": whole, "ticktext": named}
    shown = [_multiples(plan, even) for plan in plans]
    logs = [np.log2(np.maximum(z, 2**-most)) for z in shown]
    small, traces, layout = NAMES | {"tickfont": {"size": _size(rows)}}, [], {}
    for k, z in enumerate((cost, *logs), 1):
        n = axis(k)
        bar = {"thickness": 8, "len": 0.4, "y": 0.81, "x": 0.265 if k == 1 else 1.0, "tickfont": {"size": 11}}
        matrix = {"type": "heatmap", "z": z, "x": columns, "y": rows, "xaxis": f"x{n}", "yaxis": f"y{n}"}
        if k == 1:
            scale = {"colorscale": "Cividis", "zmin": 0, "zmax": 2, "colorbar": bar}
            scale["hovertemplate"] = "cost %{z:.3f}: %{y} to %{x}<extra></extra>"
        else:
            scale = {"colorscale": "RdBu_r", "zmin": -most, "zmax": most, "showscale": k == 2}
            scale |= {"colorbar": bar | ticks | {"title": {"text": "× even"}}, "hoverongaps": False}
            scale["customdata"] = np.stack([plans[k - 2], shown[k - 2]], -1)
            scale["hovertemplate"] = (
                "mass %{customdata[0]:.4f}, %{customdata[1]:.2f} × even: %{y} to %{x}<extra></extra>"
            )
        traces.append(matrix | scale)
        layout[f"xaxis{n}"] = small | {"tickangle": -45, "title": "behavioral token"}
        layout[f"yaxis{n}"] = small | {"autorange": "reversed", "showticklabels": k == 1}
        layout[f"yaxis{n}"]["title"] = "physiological token" if k == 1 else ""
    return traces, layout


def _absent():
    """Grey behind the matrices: what is seen of it are the tokens that are missing."""
    panel = {"type": "rect", "x0": 0, "x1": 1, "y0": 0, "y1": 1, "layer": "below", "line": {"width": 0}}
    return [panel | {"xref": f"x{n} domain", "yref": f"y{n} domain", "fillcolor": ABSENT} for n in ("2", "3")]


def _marginals(plan, u, v, rows, columns):
    """The mass of each token as bars, that asked for as a line on each."""
    sides = [PHYSIOLOGICAL] * len(rows) + [BEHAVIORAL] * len(columns)
    mass = {"x": [f"{name} " for name in rows] + columns, "xaxis": "x5", "yaxis": "y5"}
    found = {"type": "bar", "y": np.concatenate([plan.sum(1), plan.sum(0)]), "marker": {"color": sides}}
    line = {"mode": "markers", "marker": {"symbol": "line-ew-open", "size": 14, "color": "black", "line": {"width": 2}}}
    return mass | found, mass | line | {"type": "scatter", "y": np.concatenate([u, v]), "name": "asked for"}


def _flows(multiples, rows, behavioral):
    """Lines from the tokens of the left to those of the right, where the plan exceeds the even one; and their axes.

    Labels stand outside of the lines. A trace for every width, so that their number is always the same.
    """
    n, m = multiples.shape
    columns, streams = [_named(*names) for names in behavioral], list(dict.fromkeys(stream for stream, _ in behavioral))
    short = [token for _, token in behavioral] if len(streams) == 1 else columns  # the axis names the only stream
    left, right = (np.linspace(0, 1, k) if k > 1 else np.array([0.5]) for k in (n, m))
    widest = np.searchsorted(list(_WIDTHS), np.nan_to_num(multiples), side="left")  # 0: not above the margin
    place: dict[str, Any] = {"type": "scatter", "xaxis": "x4", "yaxis": "y4"}
    traces = []
    for k, (least, width) in enumerate(_WIDTHS.items(), 1):
        i, j = np.nonzero(widest == k)
        x, y = np.tile([0.0, 1.0, np.nan], len(i)), np.stack([left[i], right[j], np.full(len(i), np.nan)], 1).ravel()
        line = {"mode": "lines", "line": {"color": CARRIED, "width": width}, "opacity": 0.8, "hoverinfo": "skip"}
        traces.append(place | line | {"name": f"flows above {least:g}", "x": x, "y": y})
    i, j = np.nonzero(widest)
    middle = {"mode": "markers", "marker": {"size": 10, "opacity": 0}, "x": np.full(len(i), 0.5)}
    told = [f"{rows[a]} to {columns[b]}: {multiples[a, b]:.2f} × even" for a, b in zip(i, j, strict=True)]
    traces.append(place | middle | {"y": (left[i] + right[j]) / 2, "text": told, "hoverinfo": "text"})
    labels = [""] * n + [f" {name}" for name in short]
    ends: dict[str, Any] = {
        "mode": "markers+text",
        "text": labels,
        "textposition": "middle right",
        "textfont": {"size": _size(rows)},
    }
    ends |= {"x": np.repeat([0.0, 1.0], [n, m]), "y": np.concatenate([left, right]), "hoverinfo": "skip"}
    marker = {"symbol": "square", "size": 7, "color": [PHYSIOLOGICAL] * n + [BEHAVIORAL] * m}
    ends |= {"cliponaxis": False, "marker": marker}
    none = {"mode": "text", "x": [0.5], "y": [0.5], "text": ["none" if not len(i) else ""], "hoverinfo": "skip"}
    traces += [place | ends, place | none]
    plain = {"showline": False, "ticks": "", "fixedrange": True}
    across = plain | {
        "range": [-0.04, 2.0],
        "showticklabels": False,
        "title": f"body to {streams[0] if len(streams) == 1 else 'behavior'}",
    }
    names = {"tickvals": left, "ticktext": [f"{name}  " for name in rows], "tickfont": {"size": _size(rows)}}
    down = plain | names | {"range": [1.05, -0.05]}
    return traces, {"xaxis4": across, "yaxis4": down}


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
    place = {"type": "scatter", "xaxis": "x6", "yaxis": "y6"}
    links = {"x": lines[0], "y": lines[1], "mode": "lines", "line": {"color": "#BBBBBB", "width": 1}}
    marks = (
        ("body", x, PHYSIOLOGICAL, "circle"),
        ("behavior", y, BEHAVIORAL, "square"),
        ("carried", carried, CARRIED, "x"),
    )
    points = [
        {"name": name, "x": p[:, 0], "y": p[:, 1], "mode": "markers"}
        | {"marker": {"color": color, "symbol": symbol, "size": 7}}
        for name, p, color, symbol in marks
    ]
    return [place | trace for trace in (links | {"hoverinfo": "skip"}, *points)]
