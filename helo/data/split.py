"""What a split is, and what its test side has in common with its training side."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np

from helo.data.emotion_data import EmotionData


@dataclass(frozen=True, eq=False)
class Split:
    """Numbers of a data set's windows, or masks of all; `validation` belongs to the training side and may be empty.

    Raises:
        ValueError: a side is neither whole numbers from 0 on nor a mask.
    """

    name: str
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    def __post_init__(self):
        masks = set()
        for side in ("train", "validation", "test"):
            rows = np.asarray(getattr(self, side))
            masks |= {len(rows)} if rows.dtype == bool and rows.ndim == 1 else set()
            object.__setattr__(self, side, _numbers(f"split {self.name!r}: {side}", rows))
        if len(masks) > 1:
            told = " and ".join(map(str, sorted(masks)))
            raise ValueError(f"split {self.name!r}: masks of {told} windows; expected one number")
        object.__setattr__(self, "_masked", masks.pop() if masks else None)

    @property
    def seen(self) -> np.ndarray:
        """The training side, validation included."""
        return np.union1d(self.train, self.validation)


def _numbers(what, rows):
    if rows.ndim != 1 or not (rows.size == 0 or rows.dtype == bool or np.issubdtype(rows.dtype, np.integer)):
        raise ValueError(f"{what} has shape {rows.shape} and holds {rows.dtype}; expected windows' numbers, or a mask")
    rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64)
    if len(rows) and rows.min() < 0:
        raise ValueError(f"{what} holds {rows.min()}; expected numbers from 0 on")
    return rows


def within(data: EmotionData, split: Split) -> None:
    """Raise where a split has windows that a data set has not, or has one in two places.

    A window may be trained on twice, as a weight; what stops training, and what is tested, counts once.

    Raises:
        ValueError: names the split, the side and the number; or a mask of another number of windows.
    """
    if (masked := getattr(split, "_masked", None)) not in (None, len(data)):
        raise ValueError(f"split {split.name!r}: a mask of {masked} windows; {data.name} has {len(data)}")
    for side in ("train", "validation", "test"):
        rows = getattr(split, side)
        if len(rows) and rows.max() >= len(data):
            raise ValueError(
                f"split {split.name!r}: {side} holds window {rows.max()}; {data.name} has {len(data)}, from 0 on"
            )
        twice = np.flatnonzero(np.bincount(rows, minlength=1) > 1)
        if side != "train" and len(twice):
            raise ValueError(f"split {split.name!r}: {side} holds window {twice[0]} twice; expected it once")
    both = np.intersect1d(split.train, split.validation)
    if len(both):
        raise ValueError(
            f"split {split.name!r}: window {both[0]} ({len(both)} in all) is in train and in validation; expected "
            "windows that are not trained on to stop training"
        )


def leaks(data: EmotionData, split: Split) -> dict[str, int]:
    """How much of the test side the training side (validation included) has already seen.

    What of it is a leak depends on the question: a new person's viewing of a known clip leaks the "clip" to a study of
    emotions, but not to one of these clips; "trial" and "signal" leak to any.

    Returns:
        Number of test windows whose "subject", "clip" (by whomever: `data.clip_ids`), "trial" (one viewing, and so
        label, unless that went on in time) or "signal" (overlap in time within a subject's recording) is also on the
        training side. "signal" is left out if start times are unknown.
    """
    seen, test = split.seen, split.test
    found = {
        what: int(np.isin(names[test], names[seen]).sum())
        for what, names in (("subject", data.subjects), ("clip", data.clip_ids), ("trial", data.trial_ids))
    }
    if data.starts is not None and data.window is not None:
        found["signal"] = int(touching(data, test, seen).sum())
    return found


def touching(data: EmotionData, windows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which windows overlap one of the others in time, in the same person's recording; none where times are unknown."""
    touch = np.zeros(len(windows), bool)
    if data.starts is None or data.window is None:
        return touch
    for subject in np.unique(data.subjects[windows]):
        own = data.subjects[windows] == subject
        times = np.sort(data.starts[others[data.subjects[others] == subject]])
        if len(times):
            starts = data.starts[windows[own]]
            after = np.searchsorted(times, starts)
            before = np.abs(starts - times[np.maximum(after - 1, 0)])
            behind = np.abs(times[np.minimum(after, len(times) - 1)] - starts)
            touch[own] = np.minimum(before, behind) < data.window - 1e-9
    return touch


def apart(data: EmotionData, split: Split) -> Split:
    """The split without what overlaps in time: training windows with test and validation, validation windows with test.

    A long look back (`context`) reaches from one trial into another of the same person.

    Raises:
        ValueError: that leaves nothing to train on.
    """
    validation = split.validation[~touching(data, split.validation, split.test)]
    train = split.train[~touching(data, split.train, np.concatenate([split.test, validation]))]
    why = (
        f"{data.name}, {split.name}: every {{}} window overlaps one that is {{}} in time; are start times counted from "
    )
    why += "the beginning of each trial, instead of each person's recording?"
    if len(split.train) and not len(train):
        raise ValueError(why.format("training", "held out"))
    if len(split.validation) and not len(validation):
        warnings.warn(why.format("validation", "tested") + " Nothing is left to stop training by", stacklevel=3)
    return replace(split, train=train, validation=validation)
