"""Pictures with matplotlib and seaborn; each takes arrays and gives a Figure. `save` writes it."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from io import BytesIO
from pathlib import Path
from weakref import WeakKeyDictionary

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatterMathtext

from helo.data.emotion_data import EmotionData, Recording
from helo.files import atomic_write
from helo.reading import expanded
from helo.views.beside import by_person
from helo.views.comparisons import critical_difference, knockout, protocols
from helo.views.forest import forest
from helo.views.gains import gains
from helo.views.matrices import by_similarity, heatmaps, plan, slant
from helo.views.palette import BLUE, GREEN, ORANGE, PINK, VERMILION, emotion_colours
from helo.views.written import as_written

__all__ = [
    "answers",
    "by_person",
    "by_similarity",
    "condition_means",
    "critical_difference",
    "curves",
    "emotion_colours",
    "forest",
    "gains",
    "heatmaps",
    "history",
    "knockout",
    "lanes",
    "plan",
    "protocols",
    "recording",
    "save",
    "standardised",
    "window",
]

#: data set -> modality -> mean and SD of its features, no longer than the data set is there
_spreads: MutableMapping[EmotionData, dict[str, tuple[np.ndarray, np.ndarray]]] = WeakKeyDictionary()


def save(figure: Figure, path: str | Path, dpi: int = 120) -> Path:
    """Write a figure, whole or not at all, and close it; no date inside, so that the same picture is the same file.

    Args:
        figure: the picture.
        path: with a suffix (.png, .pdf, .svg), that format; without one, PNG to look at and PDF to print.
        dpi: dots per inch of a PNG.

    Returns:
        The path of the first file written.
    """
    path = expanded(path)
    paths = [path] if path.suffix else [path.with_suffix(".png"), path.with_suffix(".pdf")]
    for target in paths:
        content, dated = BytesIO(), {"png": "Software", "pdf": "CreationDate", "svg": "Date"}.get(target.suffix[1:])
        metadata = {dated: None} if dated else {}
        with plt.rc_context({"svg.hashsalt": "helo"}):  # an SVG's ids are random otherwise
            figure.savefig(content, format=target.suffix[1:], dpi=dpi, bbox_inches="tight", metadata=metadata)
        atomic_write(target, content.getvalue())
    plt.close(figure)
    return paths[0]


@as_written
def recording(data: Recording, start: float, seconds: float, shade: Sequence[tuple[float, float]] = ()) -> Figure:
    """Raw signals over time, one panel a modality, with units; `shade` marks spans such as windows (start, stop).

    Several channels stand one above the other, on one scale, each under its name.
    """
    figure, axes = plt.subplots(len(data.signals), 1, figsize=(9, 1.5 * len(data.signals)), sharex=True, squeeze=False)
    for axis, (name, x) in zip(axes[:, 0], data.signals.items(), strict=True):
        first = int(start * data.rates[name])
        stop = max(0, first + int(seconds * data.rates[name]))
        first = max(0, first)  # a negative index would count from the recording's end
        part = x[first:stop]
        drawn, ticks = lanes(part)
        axis.plot((first + np.arange(len(part))) / data.rates[name], drawn, lw=0.8)
        if len(ticks) > 1:
            axis.set_yticks(ticks, data.channels_of(name), fontsize=9 if len(ticks) < 6 else 8)
        axis.set_ylabel(f"{name}\n({data.units[name]})")
        for a, b in shade:
            axis.axvspan(a, b, color=ORANGE, alpha=0.15, lw=0)
    axes[-1, 0].set_xlabel("time in the recording (s)")
    axes[-1, 0].set_xlim(start, start + seconds)
    figure.align_ylabels()
    figure.tight_layout()
    return figure


def lanes(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Channels of a signal (n, channels) one above the other, the first on top, on one scale; and the height of each.

    Every channel is moved so that its median stands on its height, and the heights are as far apart as the channel
    that moves most is high. A single channel stays as it is.
    """
    channels = x.shape[1]
    if channels < 2 or not len(x):
        return x, np.zeros(channels)
    heights = float(np.nanmax(np.nanmax(x, 0) - np.nanmin(x, 0)) or 1) * np.arange(channels - 1, -1, -1.0)
    return x - np.nanmedian(x, 0) + heights, heights


@as_written
def condition_means(data: EmotionData) -> Figure:
    """Mean emotion distribution of every condition, as a heatmap.

    Raises:
        ValueError: conditions are not known.
    """
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
    slant(axis)
    return figure


def standardised(data: EmotionData, modality: str, index: int) -> np.ndarray:
    """One window's features in standard deviations from the data set's mean, (tokens, features); NaN where missing."""
    mean, scale = _spread(data, modality)
    there = data.masks[modality][index][:, None]
    return np.where(there, (data.signals[modality][index] - mean) / scale, np.nan)


def _spread(data, modality):
    known = _spreads.setdefault(data, {})
    if modality not in known:
        there = data.signals[modality][data.masks[modality]]
        sd = there.std(0)
        known[modality] = there.mean(0), np.where(sd > 1e-6, sd, 1)
    return known[modality]


@as_written
def window(data: EmotionData, index: int) -> Figure:
    """One window: its standardised features, token by token, and the rated distribution."""
    signals = list(data.signals)
    rows = -(-(len(signals) + 1) // 3)
    height = max(2.4, 0.9 + 0.15 * max(len(data.emotions), *(len(names) for names in data.features.values())))
    figure, grid = plt.subplots(rows, 3, figsize=(9.5, height * rows), squeeze=False)
    axes = grid.ravel()
    for axis in axes[len(signals) + 1 :]:
        axis.remove()
    for axis, m in zip(axes, signals, strict=False):
        sns.heatmap(
            standardised(data, m, index).T,
            cmap="RdBu_r",
            center=0,
            vmin=-3,
            vmax=3,
            ax=axis,
            cbar=m == signals[-1],
            yticklabels=data.features[m],
            xticklabels=data.tokens[m],
            cbar_kws={"label": "SD from the mean"},
        )
        axis.set(title=m, xlabel="token")
        axis.tick_params(labelsize=8)
        axis.tick_params(axis="y", rotation=0)
    _bars(axes[len(signals)], data.emotions, {"rated": data.distributions[index]})
    figure.suptitle(f"{data.subjects[index]}, {data.trials[index]}, window {index}")
    figure.tight_layout()
    return figure


class _Plain(LogFormatterMathtext):
    """0.06 for 6 x 10^-2, at the ticks that matplotlib would label; 10^-5 stays."""

    def __call__(self, x, pos=None):
        said = super().__call__(x, pos)
        return f"{x:g}" if said and 1e-3 <= x < 1e4 else said


def history(rows: Sequence[Mapping[str, float]], best_epoch: int, reference: float | None = None) -> Figure:
    """Loss terms over epochs, the best epoch marked; `reference` is the training mean's KL on the validation side.

    Raises:
        ValueError: no epochs, as of a model that is solved in one step.
    """
    if not rows:
        raise ValueError("the history has no epochs; expected one at least (a closed-form model has none)")
    epochs = [row["epoch"] for row in rows]
    terms = [k for k in rows[0] if k.startswith("train_") and k not in ("train_kl",)]
    terms = [k for k in terms if any(row[k] for row in rows)]
    figure, axes = plt.subplots(1, 1 + len(terms), figsize=(3.5 * (1 + len(terms)), 3.1), squeeze=False)
    axis = axes[0, 0]
    axis.plot(epochs, [row["train_kl"] for row in rows], label="training")
    if "validation_kl" in rows[0]:
        axis.plot(epochs, [row["validation_kl"] for row in rows], label="validation")
    if reference is not None:
        axis.axhline(reference, color="#999999", ls="--", label="training mean, validation")
    axis.axvline(best_epoch, color="k", lw=0.8, ls=":", label=f"best, epoch {best_epoch}")
    axis.set(xlabel="epoch", ylabel="KL divergence (nats)", yscale="log")
    for which in (axis.yaxis.set_major_formatter, axis.yaxis.set_minor_formatter):
        which(_Plain(labelOnlyBase=False, minor_thresholds=(2, 0.5)))
    names = {"train_correlation": "L_CC", "train_transport": "transport cost <T, C>"}
    for axis, term in zip(axes[0, 1:], terms, strict=True):
        axis.plot(epochs, [row[term] for row in rows], color=GREEN)
        axis.set(xlabel="epoch", ylabel=names.get(term, term.removeprefix("train_")))
        axis.set_ylim(bottom=0)
    # below: wherever it stood inside, a curve or a line would run through it
    named = axes[0, 0].get_legend_handles_labels()
    figure.legend(*named, frameon=False, fontsize=8, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 0))
    figure.tight_layout(rect=(0, 0.08, 1, 1))
    return figure


@as_written
def answers(
    truth: np.ndarray,
    prediction: np.ndarray,
    emotions: Sequence[str],
    titles: Sequence[str],
    bounds: tuple[np.ndarray, np.ndarray] | None = None,
) -> Figure:
    """Rated beside predicted distributions (n, L), one panel a window.

    `bounds`, from `Confidence.bounds`, are drawn as whiskers, a band: each emotion's least and largest share.
    """
    figure, axes = plt.subplots(
        1, len(truth), figsize=(3.5 * len(truth), 1 + 0.25 * len(emotions)), sharex=True, squeeze=False
    )
    for k, (axis, l, p, title) in enumerate(zip(axes[0], truth, prediction, titles, strict=True)):
        _bars(axis, emotions, {"rated": l, "predicted": p})
        if bounds is not None:
            ends = [bound[k] for bound in bounds]
            y = np.arange(len(emotions))
            axis.hlines(y, *ends, color="white", lw=2.6, zorder=1.8)  # seen on a bar of any colour
            axis.hlines(y, *ends, color="#555555", lw=1, zorder=1.9, label="band around the prediction")
        axis.set_title(title, fontsize=9)
    for axis in axes[0, 1:]:
        axis.set_yticklabels([])
    if bounds is None:
        axes[0, 0].legend(frameon=False, fontsize=8)
    figure.tight_layout()
    if bounds is not None:  # below: the lines go where a legend would stand
        named = axes[0, 0].get_legend_handles_labels()
        figure.legend(*named, frameon=False, fontsize=8, ncols=3, loc="upper center", bbox_to_anchor=(0.5, 0.01))
    return figure


@as_written
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
    axis.set_yticks(y, emotions, fontsize=9)
    axis.invert_yaxis()
    axis.set_xlabel("share of the distribution")
    sns.despine(ax=axis)
