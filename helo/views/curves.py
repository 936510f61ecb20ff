"""Losses over epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from tqdm import tqdm

from helo.views.panels import CARRIED, INK, PHYSIOLOGICAL, finish, panels


def history(
    rows: Sequence[Mapping[str, float]],
    best_epoch: int | None = None,
    reference: float | None = None,
    epochs: int | None = None,
) -> go.Figure:
    """Losses over epochs: KL of training and validation on the left, the other terms on the right.

    Args:
        rows: `Run.history`, whole or what there is so far.
        best_epoch: marked, where given: training is over; 0: a model of closed form, which has no epochs.
        reference: the training mean's KL on the validation windows, a dashed line.
        epochs: how many there may be at most; while it trains, also how long they take is said.
    """
    frame = panels(1, 2, horizontal_spacing=0.14)
    x = [row["epoch"] for row in rows]
    traces: list[dict] = [
        {"type": "scatter", "x": x, "y": [row.get(key) for row in rows], "name": name, "line": {"color": color}}
        for key, name, color in (("train_kl", "training", PHYSIOLOGICAL), ("validation_kl", "validation", CARRIED))
    ]
    names = {"train_correlation": "L_CC", "train_transport": "transport cost"}
    others = [key for key in (rows[0] if rows else ()) if key.startswith("train_") and key != "train_kl"]
    second: dict[str, Any] = {"type": "scatter", "x": x, "xaxis": "x2", "yaxis": "y2"}
    traces += [
        second | {"y": [row[key] for row in rows], "name": names.get(key, key.removeprefix("train_"))} for key in others
    ]
    shapes = []
    if reference is not None:
        label = {"text": "training mean, validation", "textposition": "end"}
        ends = {"x0": 0, "x1": 1, "xref": "x domain", "y0": reference, "y1": reference}
        shapes.append({"type": "line", "line": {"dash": "dash", "color": INK}, "label": label} | ends)
    if best_epoch:
        ends = {"x0": best_epoch, "x1": best_epoch, "y0": 0, "y1": 1, "yref": "y domain"}
        shapes.append({"type": "line", "line": {"dash": "dot", "color": INK}} | ends)
    title = _title(rows, epochs, over=best_epoch is not None)
    title += f", best: {best_epoch} (dotted)" if best_epoch else ""
    layout = {
        "legend": {"orientation": "h", "x": 0, "y": 1.03, "yanchor": "bottom"},
        "margin": {"l": 60, "r": 20, "t": 90, "b": 45},
        "xaxis": {"title": "epoch", "rangemode": "tozero"},
        "xaxis2": {"title": "epoch", "rangemode": "tozero"},
        "yaxis": {"title": "KL divergence (nats)"},
        "yaxis2": {"title": "other loss terms", "rangemode": "tozero"},
    }
    return finish(frame, traces, title, 340, showlegend=True, shapes=shapes, **layout)


def _title(rows, epochs, over):
    """ "epoch 12 of at most 100, at most 00:40 left", by its last ten epochs; it may stop earlier."""
    if not rows:
        return f"epoch 0 of at most {epochs}" if epochs and not over else "no epochs"
    told = f"epoch {int(rows[-1]['epoch'])}" + (f" of at most {epochs}" if epochs else "")
    seconds = [row["seconds"] for row in rows[-10:] if "seconds" in row]
    left = (epochs or 0) - rows[-1]["epoch"]
    if not seconds or left <= 0 or over:
        return told
    return f"{told}, at most {tqdm.format_interval(left * sum(seconds) / len(seconds))} left"
