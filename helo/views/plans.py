"""The transport of one window."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import torch

from helo import transport as ot
from helo.data.emotion_data import EmotionData
from helo.models.helo import HeLo
from helo.training.threads import few_threads
from helo.views.answers import one, resting
from helo.views.panels import BEHAVIORAL, CARRIED, NAMES, PHYSIOLOGICAL, axis, finish, panels

_TITLES = (
    "cost 1 − cos",
    "plan, Wasserstein",
    "plan, Gromov",
    "mass of each token (blue body, green behavior)",
    "strongest flows",
    "tokens, and what is carried (orange)",
)


def transport(
    model: HeLo, data: EmotionData, index: int, epsilon: float | None = None, strongest: int = 8
) -> go.Figure:
    """What HeLo's transport does in one window.

    Cost; the Wasserstein plan it gives; the Gromov plan, which knows only how tokens relate within each side; and of
    the one that the model uses: its marginals beside the even ones asked for, the strongest flows, and the tokens in
    the plane of their two main directions, with what the barycentric map carries to every behavioral token.

    Args:
        model: a trained HeLo.
        data: the data set.
        index: which window.
        epsilon: entropy of the transport; default the model's.
        strongest: flows drawn in color; the others are grey.
    """
    epsilon = model.epsilon if epsilon is None else epsilon
    solved, error = _solve(model, data, index, epsilon)
    x, y, u, v, own = (solved[k] for k in ("x", "y", "u", "v", "own"))
    rows, columns = ([" ".join(names) for names in side] for side in model.plan_tokens(data))
    specs = [[{}, {}, {}], [{}, {"type": "domain"}, {}]]
    frame = panels(2, 3, subplot_titles=_TITLES, horizontal_spacing=0.1, vertical_spacing=0.22, specs=specs)
    traces, layout = _matrices([solved[k] for k in ("cost", "plan", "gromov")], rows, columns)
    traces += _marginals(own, u, v, rows, columns)
    traces += _plane(x[u > 0], y[v > 0], solved["carried"][(v > 0) & u.any()])
    traces.append(_flows(own, rows, columns, strongest, frame))
    layout |= {
        "xaxis4": {"showticklabels": False, "title": "token; the line is what was asked for"},
        "yaxis4": {"title": "mass", "rangemode": "tozero"},
        "xaxis5": {"title": "first main direction"},
        "yaxis5": {"title": "second main direction"},
    }
    title = f"{data.subjects[index]}, {data.trials[index]}, window {index}; ε = {epsilon:.3g}"
    return finish(frame, traces, f"{title}, marginal error {error:.1e}", 700, **layout)


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


def _matrices(three, rows, columns):
    """The cost and both plans as heatmaps, and their axes; the plans share one scale of colors."""
    high = float(max(plan.max() for plan in three[1:]))
    small, traces, layout = NAMES | {"tickfont": {"size": 9}}, [], {}
    for k, (z, unit) in enumerate(zip(three, ("cost", "mass", "mass"), strict=True), 1):
        n = axis(k)
        bar = {"title": {"text": unit}, "thickness": 8, "len": 0.4, "y": 0.81, "x": 0.27 if k == 1 else 1.0}
        matrix = {"type": "heatmap", "z": z, "x": columns, "y": rows, "xaxis": f"x{n}", "yaxis": f"y{n}"}
        colors = {"colorscale": "Cividis", "showscale": k < 3, "colorbar": bar}
        hover = {"hovertemplate": f"{unit} %{{z:.4f}}: %{{y}} to %{{x}}<extra></extra>"}
        traces.append(matrix | colors | hover | ({} if k == 1 else {"zmin": 0, "zmax": high}))
        layout[f"xaxis{n}"] = small | {"tickangle": -45, "title": "behavioral token"}
        layout[f"yaxis{n}"] = small | {"autorange": "reversed", "showticklabels": k == 1}
        layout[f"yaxis{n}"]["title"] = "physiological token" if k == 1 else ""
    return traces, layout


def _marginals(plan, u, v, rows, columns):
    """The mass of each token as bars, that asked for as a line on each."""
    sides = [PHYSIOLOGICAL] * len(rows) + [BEHAVIORAL] * len(columns)
    mass = {"x": [f"{name} " for name in rows] + columns, "xaxis": "x4", "yaxis": "y4"}
    found = {"type": "bar", "y": np.concatenate([plan.sum(1), plan.sum(0)]), "marker": {"color": sides}}
    line = {"mode": "markers", "marker": {"symbol": "line-ew-open", "color": "black", "size": 8}}
    return mass | found, mass | line | {"type": "scatter", "y": np.concatenate([u, v]), "name": "asked for"}


def _flows(plan, rows, columns, strongest, frame):
    n, m = plan.shape
    colors = np.full(n * m, "rgba(200,200,200,0.25)", dtype=object)
    colors[np.argsort(-plan, axis=None, kind="stable")[:strongest]] = "rgba(213,94,0,0.75)"
    places = {"x": [0.001] * n + [0.999] * m, "y": [*np.linspace(0.02, 0.98, n), *np.linspace(0.02, 0.98, m)]}
    (left, right), (top, bottom) = (frame[f"{axis}axis{k}"]["domain"] for axis, k in (("x", 2), ("y", 4)))
    node = {"label": rows + columns, "color": [PHYSIOLOGICAL] * n + [BEHAVIORAL] * m, "pad": 2, "thickness": 8}
    link = {"source": np.repeat(np.arange(n), m), "target": n + np.tile(np.arange(m), n)}
    link |= {"value": np.maximum(plan, 1e-6).ravel(), "color": list(colors)}
    sankey = {"type": "sankey", "arrangement": "fixed", "textfont": {"size": 9}}
    return sankey | {"domain": {"x": [left, right], "y": [top, bottom]}, "node": node | places, "link": link}


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
