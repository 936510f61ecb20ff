"""Pictures with matplotlib and seaborn; each takes arrays and gives a Figure. `save` writes it."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

from helo.data.emotion_data import EmotionData, Recording
from helo.files import atomic_write
from helo.views.beside import by_person
from helo.views.comparisons import critical_difference, knockout, protocols
from helo.views.forest import forest
from helo.views.palette import BLUE, GREEN, ORANGE, PINK, VERMILION, emotion_colours

__all__ = [
    "answers",
    "by_person",
    "condition_means",
    "critical_difference",
    "curves",
    "emotion_colours",
    "forest",
    "heatmaps",
    "history",
    "knockout",
    "plan",
    "protocols",
    "recording",
    "save",
    "standardised",
    "window",
]


def save(figure: Figure, path: str | Path, dpi: int = 120) -> Path:
    """Write a figure, whole or not at all, and close it; no date inside, so that the same picture is the same file.

    Args:
        figure: the picture.
        path: with a suffix (.png, .pdf, .svg), that format; without one, PNG to look at and PDF to print.
        dpi: dots per inch of a PNG.

    Returns:
        The path of the first file written.
    """
    path = Path(path)
    paths = [path] if path.suffix else [path.with_suffix(".png"), path.with_suffix(".pdf")]
    for target in paths:
        content, dated = BytesIO(), {"png": "Software", "pdf": "CreationDate", "svg": "Date"}.get(target.suffix[1:])
        figure.savefig(
            content, format=target.suffix[1:], dpi=dpi, bbox_inches="tight", metadata={dated: None} if dated else {}
        )
        atomic_write(target, content.getvalue())
    plt.close(figure)
    return paths[0]


def recording(data: Recording, start: float, seconds: float, shade: Sequence[tuple[float, float]] = ()) -> Figure:
    """Raw signals over time, one panel a modality, with units; `shade` marks spans such as windows (start, stop)."""
    figure, axes = plt.subplots(len(data.signals), 1, figsize=(9, 1.5 * len(data.signals)), sharex=True, squeeze=False)
    for axis, (name, x) in zip(axes[:, 0], data.signals.items(), strict=True):
        first = int(start * data.rates[name])
        part = x[first : first + int(seconds * data.rates[name])]
        axis.plot(first / data.rates[name] + np.arange(len(part)) / data.rates[name], part, lw=0.8)
        axis.set_ylabel(f"{name}\n({data.units[name]})")
        for a, b in shade:
            axis.axvspan(a, b, color=ORANGE, alpha=0.15, lw=0)
    axes[-1, 0].set_xlabel("time in the recording (s)")
    axes[-1, 0].set_xlim(start, start + seconds)
    figure.align_ylabels()
    figure.tight_layout()
    return figure


def condition_means(data: EmotionData) -> Figure:
    """Mean emotion distribution of every condition, as a heatmap."""
    if data.conditions is None:
        raise ValueError(f"{data.name}: conditions are not known; expected a name for each window")
    names = list(dict.fromkeys(data.conditions))
    means = np.stack([data.distributions[data.conditions == c].mean(0) for c in names])
    figure, axis = plt.subplots(figsize=(2 + 0.42 * len(data.emotions), 1.4 + 0.32 * len(names)))
    sns.heatmap(
        means,
        xticklabels=data.emotions,
        yticklabels=names,
        cmap="cividis",
        ax=axis,
        cbar_kws={"label": "mean share of the distribution"},
    )
    axis.set(xlabel="emotion", ylabel="condition")
    axis.tick_params(axis="y", rotation=0)
    _slant(axis)
    return figure


def standardised(data: EmotionData, modality: str, index: int) -> np.ndarray:
    """One window's features in standard deviations from the data set's mean, (tokens, features); NaN where missing."""
    mean, scale = _spread(data, modality)
    there = data.masks[modality][index][:, None]
    return np.where(there, (data.signals[modality][index] - mean) / scale, np.nan)


@functools.lru_cache(16)
def _spread(data, modality):
    there = data.signals[modality][data.masks[modality]]
    sd = there.std(0)
    return there.mean(0), np.where(sd > 1e-6, sd, 1)


def window(data: EmotionData, index: int) -> Figure:
    """One window: its standardised features, token by token, and the rated distribution."""
    signals = list(data.signals)
    widths = [1.0] * len(signals) + [1.3]
    figure, axes = plt.subplots(
        1, len(signals) + 1, figsize=(2.9 * len(widths), max(2.8, 0.9 + 0.17 * len(data.emotions))), width_ratios=widths
    )
    for axis, m in zip(axes, signals, strict=False):
        sns.heatmap(
            standardised(data, m, index).T,
            cmap="RdBu_r",
            center=0,
            vmin=-3,
            vmax=3,
            ax=axis,
            cbar=axis is axes[-2],
            yticklabels=data.features[m],
            xticklabels=data.tokens[m],
            cbar_kws={"label": "SD from the mean"},
        )
        axis.set(title=m, xlabel="token")
        axis.tick_params(labelsize=7)
        axis.tick_params(axis="y", rotation=0)
    _bars(axes[-1], data.emotions, {"rated": data.distributions[index]})
    figure.suptitle(f"{data.subjects[index]}, {data.trials[index]}, window {index}")
    figure.tight_layout()
    return figure


def history(rows: Sequence[Mapping[str, float]], best_epoch: int, reference: float | None = None) -> Figure:
    """Loss terms over epochs, the best epoch marked; `reference` is the training mean's KL on the validation side."""
    epochs = [row["epoch"] for row in rows]
    terms = [k for k in rows[0] if k.startswith("train_") and k not in ("train_kl",)]
    terms = [k for k in terms if any(row[k] for row in rows)]
    figure, axes = plt.subplots(1, 1 + len(terms), figsize=(4.2 * (1 + len(terms)), 3), squeeze=False)
    axis = axes[0, 0]
    axis.plot(epochs, [row["train_kl"] for row in rows], label="training")
    if "validation_kl" in rows[0]:
        axis.plot(epochs, [row["validation_kl"] for row in rows], label="validation")
    if reference is not None:
        axis.axhline(reference, color="#999999", ls="--", label="training mean, validation")
    axis.axvline(best_epoch, color="k", lw=0.8, ls=":", label=f"best, epoch {best_epoch}")
    axis.set(xlabel="epoch", ylabel="KL divergence (nats)", yscale="log")
    axis.legend(frameon=False, fontsize=8)
    names = {"train_correlation": "L_CC", "train_transport": "transport cost <T, C>"}
    for axis, term in zip(axes[0, 1:], terms, strict=True):
        axis.plot(epochs, [row[term] for row in rows], color=GREEN)
        axis.set(xlabel="epoch", ylabel=names.get(term, term.removeprefix("train_")))
        axis.set_ylim(bottom=0)
    figure.tight_layout()
    return figure


def answers(truth: np.ndarray, prediction: np.ndarray, emotions: Sequence[str], titles: Sequence[str]) -> Figure:
    """Rated beside predicted distributions, one panel a window."""
    figure, axes = plt.subplots(
        1, len(truth), figsize=(4 * len(truth), 0.9 + 0.22 * len(emotions)), sharex=True, squeeze=False
    )
    for axis, l, p, title in zip(axes[0], truth, prediction, titles, strict=True):
        _bars(axis, emotions, {"rated": l, "predicted": p})
        axis.set_title(title, fontsize=9)
    axes[0, 0].legend(frameon=False, fontsize=8)
    for axis in axes[0, 1:]:
        axis.set_yticklabels([])
    figure.tight_layout()
    return figure


def plan(values: np.ndarray, rows: Sequence[str], columns: Sequence[str], title: str = "") -> Figure:
    """A transport plan (or its mean) as a heatmap with both marginals."""
    figure = plt.figure(figsize=(3.2 + 0.32 * len(columns), 2.4 + 0.26 * len(rows)))
    grid = figure.add_gridspec(2, 2, width_ratios=(5, 1), height_ratios=(1, 5), wspace=0.06, hspace=0.08)
    main = figure.add_subplot(grid[1, 0])
    sns.heatmap(values, cmap="cividis", vmin=0, xticklabels=columns, yticklabels=rows, ax=main, cbar=False)
    main.set(xlabel="behavioral token", ylabel="physiological token")
    main.tick_params(labelsize=7)
    _slant(main)
    top = figure.add_subplot(grid[0, 0])
    top.bar(np.arange(len(columns)) + 0.5, values.sum(0), color=GREEN, width=0.9)
    top.set(xlim=(0, len(columns)), xticks=[], ylabel="mass")
    top.set_title(title, fontsize=10)
    side = figure.add_subplot(grid[1, 1])
    side.barh(np.arange(len(rows)) + 0.5, values.sum(1), color=BLUE, height=0.9)
    side.set(ylim=(len(rows), 0), yticks=[], xlabel="mass")
    for axis in (top, side):
        sns.despine(ax=axis)
        axis.tick_params(labelsize=7)
    figure.colorbar(main.collections[0], ax=[main, side, top], label="mass moved", fraction=0.05, pad=0.03)
    return figure


def heatmaps(
    panels: Mapping[str, np.ndarray],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    label: str,
    xlabel: str,
    ylabel: str,
    centred: bool = False,
    shared: bool = True,
) -> Figure:
    """Matrices side by side, on one colour scale (`shared`) or each on its own; `centred` is diverging around 0."""
    size = max(len(rows), len(columns))
    cell = 0.3 if size <= 16 else 0.2 if size <= 30 else 5 / size
    margin = 0.5 + 0.07 * max(len(str(name)) for name in rows)
    width = len(panels) * (cell * len(columns) + (0.35 if shared else 1.1)) + margin + 0.9
    figure, axes = plt.subplots(
        1, len(panels), figsize=(width, cell * len(rows) + 1.5), squeeze=False, layout="constrained"
    )
    low = min(np.nanmin(x) for x in panels.values())
    high = max(np.nanmax(x) for x in panels.values())
    bound = max(abs(low), abs(high))
    for k, (axis, (title, x)) in enumerate(zip(axes[0], panels.items(), strict=True)):
        scale = {"center": 0, "vmin": -bound, "vmax": bound} if centred else {"vmin": low, "vmax": high}
        if not shared:
            scale = {}
        sns.heatmap(
            x,
            cmap="RdBu_r" if centred else "cividis",
            ax=axis,
            square=True,
            **scale,
            xticklabels=columns,
            yticklabels=rows if k == 0 else False,
            cbar=not shared or k == len(panels) - 1,
            cbar_kws={"label": label, "shrink": 0.8},
        )
        axis.set(xlabel=xlabel, ylabel=ylabel if k == 0 else "")
        axis.set_title(title, fontsize=10)
        axis.tick_params(labelsize=7)
        _slant(axis)
    return figure


def curves(x: Sequence[float], lines: Mapping[str, Sequence[float]], xlabel: str, ylabel: str) -> Figure:
    """Named lines over a common axis."""
    figure, axis = plt.subplots(figsize=(5.5, 3))
    for k, (name, y) in enumerate(lines.items()):
        axis.plot(x, y, label=name, color=(BLUE, VERMILION, GREEN, PINK)[k % 4])
    axis.set(xlabel=xlabel, ylabel=ylabel)
    axis.set_ylim(bottom=0)
    axis.legend(frameon=False, fontsize=8)
    sns.despine(ax=axis)
    figure.tight_layout()
    return figure


def _bars(axis, emotions, series):
    """Horizontal bars, one group an emotion: rated ones in the emotion's colour, predictions as outlined marks."""
    y = np.arange(len(emotions))
    colours = list(emotion_colours(emotions).values())
    for name, values in series.items():
        if name == "rated":
            axis.barh(y, values, color=colours, height=0.75, label=name)
        else:
            axis.plot(values, y, "D", mfc="white", mec="k", ms=4, label=name)
    axis.set_yticks(y, emotions, fontsize=7)
    axis.invert_yaxis()
    axis.set_xlabel("share of the distribution")
    sns.despine(ax=axis)


def _slant(axis):
    axis.set_xticklabels(axis.get_xticklabels(), rotation=45, ha="right", rotation_mode="anchor")
