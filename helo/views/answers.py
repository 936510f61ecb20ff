"""A model's answer to one window, and to a changed one."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TypeVar

import numpy as np
import plotly.graph_objects as go
import torch

from helo.data.emotion_data import EmotionData
from helo.measures import score
from helo.models import EmotionModel
from helo.training.threads import few_threads
from helo.views.panels import CARRIED, NAMES, bars, finish, panels

Model = TypeVar("Model", bound=EmotionModel)


def answer(
    model: EmotionModel,
    data: EmotionData,
    index: int,
    instead: Mapping[str, int | None] | None = None,
    all_kl: np.ndarray | None = None,
) -> go.Figure:
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
    titles = ["distribution", "this window among all", "measures"]
    places = {"column_widths": [0.42, 0.26, 0.32], "horizontal_spacing": 0.1, "specs": [[{}, {}, {"type": "table"}]]}
    frame = panels(1, 3, subplot_titles=titles, **places)
    among = np.array([scores[0]["kl"]]) if all_kl is None else all_kl
    traces = [
        *_shares(data.emotions, truth, said),
        *_rank([s["kl"] for s in scores], np.sort(among)),
        _measures(scores),
    ]
    told = "; ".join(f"{m} {'dropped' if k is None else f'from window {k}'}" for m, k in instead.items()) or "nothing"
    title = f"{data.subjects[index]}, {data.trials[index]}, window {index}; changed: {told}"
    layout = {
        "legend": {"orientation": "h", "x": 0, "y": -0.18, "yanchor": "top"},
        "margin": {"l": 60, "r": 30, "t": 70, "b": 90},
        "xaxis": {"title": "share of the distribution", "rangemode": "tozero"},
        "yaxis": NAMES | {"autorange": "reversed"},
        "xaxis2": {"title": "window, from best to worst"},
        "yaxis2": {"title": "KL divergence (nats)", "rangemode": "tozero"},
    }
    return finish(frame, traces, title, 190 + 18 * max(12, len(data.emotions)), showlegend=True, **layout)


def _shares(emotions, truth, said):
    """The rated distribution as bars, what the model said as marks on them."""
    looks = (("predicted", "diamond", "black"), ("predicted, changed", "circle-open", CARRIED))
    mark = {"type": "scatter", "y": list(emotions), "mode": "markers"}
    marks = [
        mark | {"name": name, "x": p, "marker": {"symbol": symbol, "color": color, "size": 8}}
        for (name, symbol, color), p in zip(looks, said, strict=True)
    ]
    return [bars(emotions, truth), *marks]


def _rank(own, ranked):
    """Every window's KL from best to worst, and where this window stands, as it is and changed."""
    second = {"type": "scatter", "xaxis": "x2", "yaxis": "y2", "showlegend": False}
    line = {"x": np.arange(1, len(ranked) + 1), "y": ranked, "mode": "lines", "line": {"color": "#777777"}}
    place = 1 + int(np.searchsorted(ranked, own[0] - 1e-9))
    marker = {"symbol": ["diamond", "circle-open"], "color": ["black", CARRIED], "size": 8}
    return second | line, second | {"x": [place] * 2, "y": own, "mode": "markers", "marker": marker}


def _measures(scores):
    columns = [list(scores[0]), *[[f"{value:.3f}" for value in s.values()] for s in scores]]
    header = {"values": ["", "predicted", "changed"]}
    return {"type": "table", "domain": {"x": [0.76, 1], "y": [0, 1]}, "cells": {"values": columns}, "header": header}


@few_threads
@torch.no_grad()
def what_if(model: EmotionModel, data: EmotionData, index: int, instead: Mapping[str, int | None]) -> np.ndarray:
    """Predict one window with modalities dropped (None) or taken from another window; shape (1, L)."""
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
    """A batch of one window, where the model is: its signals and masks."""
    device = next((t.device for t in (*model.parameters(), *model.buffers())), torch.device("cpu"))
    signals, masks = (
        {m: torch.as_tensor(x[index : index + 1], device=device) for m, x in group.items()}
        for group in (data.signals, data.masks)
    )
    return signals, masks
