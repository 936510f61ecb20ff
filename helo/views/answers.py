"""A model's answer to one window, and to a changed one."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
import plotly.graph_objects as go
import torch

from helo.data.emotion_data import PHYSIOLOGICAL, EmotionData
from helo.evaluation.confidence import Confidence
from helo.measures import score
from helo.models import EmotionModel
from helo.models.helo import HeLo
from helo.training.threads import few_threads
from helo.views.panels import CARRIED, CLEAR, INK, NAMES, bars, finish, panels, room

Model = TypeVar("Model", bound=EmotionModel)

#: pixels that the table takes
_MEASURES = 84
#: after a change, and on top of it as predicted: both are seen where they are the same, on any bar and in any theme
_MARKERS = (
    {"symbol": "circle", "color": "white", "size": 14, "line": {"color": CARRIED, "width": 2}},
    {"symbol": "diamond", "color": "white", "size": 8, "line": {"color": "black", "width": 1.2}},
)


def answer(
    model: EmotionModel | Sequence[EmotionModel],
    data: EmotionData,
    index: int,
    instead: Mapping[str, int | None] | None = None,
    all_kl: np.ndarray | None = None,
    sure: Confidence | None = None,
) -> go.Figure:
    """Rated beside predicted distribution of one window, and what the model would say of a changed one.

    Args:
        model: a trained model, or several that answer together: their mean, and a thick bar one spread to either side.
        data: the data set.
        index: which window.
        instead: modality -> None to drop it, or the window to take it from.
        all_kl: KL of all windows looked at, to see this one among them.
        sure: what calibration people say: whiskers from each emotion's least to its largest share in the band around
            the answer (`Confidence.bounds`), and a line that tells what is unlike training in the window.

    Raises:
        ValueError: `instead` names a modality that the data set does not have.
    """
    instead = instead or {}
    models = [model] if isinstance(model, EmotionModel) else list(model)
    each = np.stack([np.concatenate([what_if(m, data, index, {}), what_if(m, data, index, instead)]) for m in models])
    said = each.mean(0)
    truth = data.distributions[index]
    scores = [score(truth[None], p[None]) for p in said]
    rows = 15 * max(10, len(data.emotions))  # pixels
    inside = rows + _MEASURES + 75
    places = {"column_widths": [0.62, 0.38], "horizontal_spacing": 0.12, "row_heights": [rows, _MEASURES]}
    specs = [[{}, {}], [{"type": "table", "colspan": 2}, None]]
    titles = ["distribution", "this window among all", ""]
    frame = panels(2, 2, subplot_titles=titles, specs=specs, vertical_spacing=75 / inside, **places)
    among = np.array([scores[0]["kl"]]) if all_kl is None else all_kl
    traces = [
        *_shares(data.emotions, truth, said, each[:, 0].std(0) if len(models) > 1 else None, sure),
        *_rank([s["kl"] for s in scores], np.sort(among)),
        _measures(scores, inside),
    ]
    told = "; ".join(f"{m} {'dropped' if k is None else f'from window {k}'}" for m, k in instead.items()) or "nothing"
    notes = [_stands_in(models[0], instead), *([] if sure is None else _sureness(sure, data, index))]
    notes += [f"thick bars: one standard deviation of the {len(models)} models"] if len(models) > 1 else []
    notes = [note for note in notes if note]
    top = 105 + 16 * max(0, len(notes) - 1)
    title = f"{data.subjects[index]}, {data.trials[index]}, window {index}; changed: {told}"
    title += "".join(f"<br><sup>{note}</sup>" for note in notes)
    layout = {
        "legend": {"orientation": "h", "traceorder": "reversed", "x": 0, "y": 1 + 38 / inside, "yanchor": "bottom"},
        "margin": {"l": room(data.emotions), "r": 30, "t": top, "b": 10},
        "xaxis": {"title": "share of the distribution", "rangemode": "tozero"},
        "yaxis": NAMES | {"range": [len(data.emotions) - 0.4, -0.6], "dtick": 1},
        "xaxis2": {"title": "window, from best to worst"},
        "yaxis2": {"title": "KL divergence (nats)", "rangemode": "tozero"},
    }
    return finish(frame, traces, title, inside + top + 10, showlegend=True, **layout)


def _stands_in(model, instead):
    """HeLo asks everything by its query and carries everything to behavior: what takes their place where they are."""
    if not isinstance(model, HeLo):
        return ""
    dropped = {m for m, k in instead.items() if k is None}
    body = [m for m in model.layout.roles[PHYSIOLOGICAL] if m not in dropped]
    told = []
    if model.cross_attention and model.query in dropped and body:
        told.append(f"{model.query} is the query: its training mean asks {' and '.join(body)}")
    if model.transport != "none" and set(model.behavioral) <= dropped and body:
        told.append(f"{' and '.join(model.behavioral)} is all the behavior: its training mean receives what is carried")
    return "; ".join(told)


def _sureness(sure, data, index):
    """What the whiskers are, and what is strange about the window as it was recorded."""
    rows = slice(index, index + 1)
    found = sure.warnings(*({m: x[rows] for m, x in group.items()} for group in (data.signals, data.masks)))
    held = (
        f"whiskers hold all rated shares in {sure.level:.0%} of a new person's windows; {sure.people} people calibrated"
    )
    return held if sure.band < 1 else f"whiskers: {sure.promise}", *(
        f"unlike training: {text}" for text in found if text
    )


def _shares(emotions, truth, said, spread, sure):
    """The rated distribution as bars, what the model said as marks on them, and how sure that is."""
    mark = {"type": "scatter", "y": list(emotions), "mode": "markers", "cliponaxis": False}
    marks = [
        mark | {"name": name, "x": p, "marker": marker}
        for name, marker, p in zip(("predicted, changed", "predicted"), _MARKERS, said[::-1], strict=True)
    ]
    if sure is not None:
        low, high = sure.bounds(said[0])
        ends = {"type": "data", "symmetric": False, "array": high - said[0], "arrayminus": said[0] - low}
        marks[1]["error_x"] = ends | {"color": INK, "thickness": 1.5, "width": 3}
    if spread is not None:
        thick = {"type": "data", "array": spread, "color": "black", "thickness": 4, "width": 0}
        invisible = {"name": "spread of the models", "x": said[0], "marker": {"opacity": 0}, "error_x": thick}
        marks.insert(1, mark | invisible | {"showlegend": False, "hoverinfo": "skip"})
    return [bars(emotions, truth), *marks]


def _rank(own, ranked):
    """Every window's KL from best to worst, and where this window stands, as it is and changed."""
    second = {"type": "scatter", "xaxis": "x2", "yaxis": "y2", "showlegend": False}
    line = {"x": np.arange(1, len(ranked) + 1), "y": ranked, "mode": "lines", "line": {"color": "#777777"}}
    place = 1 + int(np.searchsorted(ranked, own[0] - 1e-9))
    marks = [
        second | {"x": [place], "y": [kl], "mode": "markers", "marker": marker}
        for kl, marker in zip(own[::-1], _MARKERS, strict=True)
    ]
    return second | line, *marks


def _measures(scores, inside):
    """A column a measure, a row an answer."""
    columns = [["predicted", "changed"], *([f"{s[name]:.3f}" for s in scores] for name in scores[0])]
    looks = {"fill": {"color": CLEAR}, "line": {"color": "rgba(119,119,119,0.4)"}, "align": "left", "height": 24}
    looks |= {"font": {"color": INK, "size": 10}}
    widths = [16 + 6 * max(map(len, names)) for names in (columns[0], *([name, "0.000"] for name in scores[0]))]
    domain = {"x": [0, 1], "y": [0, _MEASURES / inside]}
    cells, header = looks | {"values": columns}, looks | {"values": ["", *scores[0]]}
    return {"type": "table", "domain": domain, "cells": cells, "header": header, "columnwidth": widths}


@few_threads
@torch.no_grad()
def what_if(model: EmotionModel, data: EmotionData, index: int, instead: Mapping[str, int | None]) -> np.ndarray:
    """Predict one window with modalities dropped (None) or taken from another window; shape (1, L).

    Raises:
        ValueError: `instead` names a modality that the data set does not have.
    """
    for m in instead:
        if m not in data.signals:
            raise ValueError(f"{data.name}: no modality {m!r}; it has {list(data.signals)}")
    signals, masks = one(data, index, model)
    for m, other in instead.items():
        if other is None:
            signals[m], masks[m] = torch.zeros_like(signals[m]), torch.zeros_like(masks[m])
        else:
            taken, there = one(data, other, model)
            signals[m], masks[m] = taken[m], there[m]
    return resting(model)(signals, masks).distributions.cpu().numpy()


def resting(model: Model) -> Model:
    """The model without dropout; a copy of one that is being trained."""
    return copy.deepcopy(model).eval() if model.training else model


def one(data: EmotionData, index: int, model: EmotionModel) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """A batch of one window, where the model is: its signals and masks of what the model hears."""
    device = next((t.device for t in (*model.parameters(), *model.buffers())), torch.device("cpu"))
    signals, masks = (
        {m: torch.as_tensor(x[index : index + 1], device=device) for m, x in group.items()}
        for group in (data.signals, data.masks)
    )
    return signals, model.heard(masks)
