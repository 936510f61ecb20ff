"""Transport by hand: so few tokens that every number stands in its cell and can be checked with a calculator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ipywidgets as widgets
import numpy as np
import ot
import plotly.graph_objects as go
import torch

from helo import transport
from helo.views.boxes import CONTROL
from helo.views.explore import live
from helo.views.palette import BLUE, VERMILION
from helo.views.panels import NAMES, axis, finish, panels

_BODY, _FACE, _EXTRA = ("body 1", "body 2"), ("face 1", "face 2", "face 3"), ("sum", "asked", "times")
#: clear to a pale blue: numbers are read on it in a light theme and in a dark one
_PALE, _INK = [[0, "rgba(0,114,178,0)"], [1, "rgba(0,114,178,0.3)"]], "#666666"
_LOG: dict[str, Any] = {"type": "log", "exponentformat": "power", "dtick": 2}
_ITERATIONS = 10


def scaling(cost: np.ndarray, epsilon: float, step: int) -> go.Figure:
    """Sinkhorn's algorithm on few tokens after `step` scalings, with the factors that the next one multiplies by.

    Cost, kernel exp(-C / epsilon) and the exact plan (`ot.emd`) with their numbers; the plan so far, what its rows and
    columns sum to, what was asked for, and asked / sum, by which the side whose turn it is is multiplied; the marginal
    error of every scaling, this one marked.

    Args:
        cost: shape (2, 3): tokens of the body by tokens of the face.
        epsilon: strength of the entropy.
        step: scalings done, rows and columns in turn: 0 to 20.
    """
    steps, exact, errors = _solved(cost, epsilon)
    plan = steps[step]
    titles = [
        "cost C",
        f"kernel exp(−C / {epsilon:g})",
        f"exact, ⟨T, C⟩ = {(exact * cost).sum():.3f}",
        f"after {_done(step)}, ⟨T, C⟩ = {(plan * cost).sum():.3f}" if step else "the kernel, not scaled yet",
        "marginal error",
    ]
    specs: list[list] = [[{}, {}, {}], [{"colspan": 2}, None, {}]]
    places = {"specs": specs, "horizontal_spacing": 0.12, "vertical_spacing": 0.2, "row_heights": [0.36, 0.64]}
    frame = panels(2, 3, subplot_titles=titles, **places)
    traces: list[dict] = []
    layout: dict[str, dict] = {}
    for k, (z, high) in enumerate(((cost, cost.max()), (steps[0], 1), (exact, 0.5)), 1):
        traces.append(_cells(z, high, k))
        layout |= _names(k, _BODY, _FACE, first=k == 1)
    traces += [_cells(plan, 0.5, 4), _sums(plan, rows_next=step % 2 == 0)]
    layout |= _names(4, _BODY + _EXTRA, _FACE + _EXTRA, first=True)
    error = {"type": "scatter", "xaxis": "x5", "yaxis": "y5", "hovertemplate": "after %{x}: %{y:.2e}<extra></extra>"}
    traces.append(error | {"x": np.arange(len(errors)), "y": errors, "mode": "lines+markers", "line": {"color": BLUE}})
    traces.append(error | {"x": [step], "y": [errors[step]], "mode": "markers"})
    traces[-1]["marker"] = {"color": VERMILION, "size": 12}
    layout["xaxis5"] = {"title": "scalings"}
    layout["yaxis5"] = {"range": [-7.2, 1.2]} | _LOG
    margin = {"l": 60, "r": 20, "t": 100, "b": 60}
    return finish(frame, traces, _next(plan, step), 530, margin=margin, **layout)


def scalings(cost: np.ndarray, epsilon: float, steps: Sequence[int] = (0, 1, 2, 3, 4, 20)) -> go.Figure:
    """The same without controls: the plan after some of the scalings, the exact one, and the marginal error."""
    made, exact, errors = _solved(cost, epsilon)
    shown = {f"after {_done(k)}" if k else f"kernel exp(−C / {epsilon:g})": made[k] for k in steps}
    shown = {"cost C": cost} | shown | {"exact plan": exact}
    count = len(shown) + 1
    rows = -(-count // 3)
    frame = panels(
        rows, 3, subplot_titles=[*shown, "marginal error"], horizontal_spacing=0.1, vertical_spacing=0.5 / rows
    )
    traces: list[dict] = []
    layout: dict[str, dict] = {}
    for k, (name, z) in enumerate(shown.items(), 1):
        high = 0.5 if name.startswith(("after", "exact")) else z.max()
        traces.append(_cells(z, high, k))
        layout |= _names(k, _BODY, _FACE, first=k % 3 == 1)
    line = {
        "type": "scatter",
        "x": np.arange(len(errors)),
        "y": errors,
        "mode": "lines+markers",
        "line": {"color": BLUE},
    }
    traces.append(line | {"xaxis": f"x{count}", "yaxis": f"y{count}"})
    layout[f"xaxis{count}"] = {"title": "scalings"}
    layout[f"yaxis{count}"] = {"range": [-7.2, 1.2]} | _LOG
    return finish(frame, traces, f"Rows and columns scaled in turn, ε = {epsilon:g}", 190 * rows, **layout)


def explorer(cost: np.ndarray, epsilons: Sequence[float] = (1.0, 0.5, 0.2, 0.1, 0.05)) -> widgets.VBox:
    """`scaling` with Play, Step and sliders; each is reached by Tab and moved by the arrow or the space key."""
    last = 2 * _ITERATIONS
    step = widgets.IntSlider(0, 0, last, description="scalings done", **CONTROL)
    middle = epsilons[len(epsilons) // 2]
    epsilon = widgets.SelectionSlider(options=list(epsilons), value=middle, description="epsilon", **CONTROL)
    play = widgets.Play(0, 0, last, interval=1200, tooltip="play the scalings one after the other")
    widgets.jslink((play, "value"), (step, "value"))
    forward, back, again = (
        widgets.Button(description=name, icon=icon, tooltip=told, layout={"width": "auto"})
        for name, icon, told in (
            ("Step", "step-forward", "scale the side whose turn it is"),
            ("Back", "step-backward", "take the last scaling back"),
            ("Restart", "undo", "back to the kernel"),
        )
    )
    forward.on_click(lambda _: setattr(step, "value", min(last, step.value + 1)))
    back.on_click(lambda _: setattr(step, "value", max(0, step.value - 1)))
    again.on_click(lambda _: setattr(step, "value", 0))
    box = live(lambda step, epsilon: scaling(cost, epsilon, step), step=step, epsilon=epsilon)
    box.children = (widgets.HBox([play, forward, back, again]), *box.children)
    return box


def _solved(cost, epsilon):
    """All scalings' plans, the exact plan, and every scaling's marginal error; both sides' mass is even."""
    u, v = (np.full(size, 1 / size) for size in cost.shape)
    steps = transport.scalings(torch.as_tensor(cost), epsilon, iterations=_ITERATIONS)
    errors = transport.marginal_error(steps, torch.as_tensor(u), torch.as_tensor(v))
    return steps.numpy(), ot.emd(u, v, np.asarray(cost, float)), np.maximum(errors.numpy(), 1e-7)


def _done(step):
    return f"{step} scaling{'s' * (step != 1)}" + (f" ({'columns' if step % 2 == 0 else 'rows'} last)" if step else "")


def _next(plan, step):
    """The next scaling of the first row or column, as one types it into a calculator."""
    side, name, numbers = ("column", _FACE[0], plan[:, 0]) if step % 2 else ("row", _BODY[0], plan[0])
    asked = 1 / plan.shape[1 if step % 2 else 0]
    told = " + ".join(f"{x:.3f}" for x in numbers)
    factor = asked / numbers.sum()
    return f"Next: every {side} times asked / sum.<br>{name}: {asked:.3f} / ({told}) = {factor:.3f}"


def _cells(z, high, number) -> dict[str, Any]:
    """A matrix with its numbers in its cells, on the axes of that number, clear at 0."""
    place = {"type": "heatmap", "x": _FACE, "y": _BODY, "xaxis": f"x{axis(number)}", "yaxis": f"y{axis(number)}"}
    text = {"texttemplate": "%{z:.3f}", "textfont": {"color": _INK, "size": 12}, "hoverinfo": "skip"}
    return (
        place | text | {"z": z, "zmin": 0, "zmax": high, "colorscale": _PALE, "showscale": False, "xgap": 2, "ygap": 2}
    )


def _sums(plan, rows_next):
    """Sums, what was asked for, and the next factors: beside the rows and below the columns of panel 4."""
    x: list[str] = []
    y: list[str] = []
    text: list[str] = []
    for sums, names, of_rows in ((plan.sum(1), _BODY, True), (plan.sum(0), _FACE, False)):
        asked = 1 / len(names)
        columns = [sums, np.full(len(names), asked)] + [asked / sums] * (of_rows == rows_next)
        for extra, values in zip(_EXTRA, columns, strict=False):
            x += [extra] * len(names) if of_rows else names
            y += names if of_rows else [extra] * len(names)
            text += [f"×{value:.3f}" if extra == "times" else f"{value:.3f}" for value in values]
    place = {"type": "scatter", "xaxis": "x4", "yaxis": "y4", "mode": "text", "hoverinfo": "skip"}
    return place | {"x": x, "y": y, "text": text, "textfont": {"size": 12, "color": _INK}}


def _names(number, rows, columns, first):
    """Both axes of a panel: names of the tokens, those of the rows where the panel is the first."""
    plain = NAMES | {"ticks": "", "showline": False}
    across = plain | {"categoryorder": "array", "categoryarray": list(columns), "range": [-0.5, len(columns) - 0.5]}
    down = plain | {"categoryorder": "array", "categoryarray": list(rows), "range": [len(rows) - 0.5, -0.5]}
    n = axis(number)
    return {f"xaxis{n}": across | {"side": "bottom"}, f"yaxis{n}": down | {"showticklabels": first}}
