"""What a split is, and what its test side has in common with its training side."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np

from helo.data.emotion_data import EmotionData


@dataclass(frozen=True, eq=False)
class Split:
    """Index arrays into a data set's windows; `validation` belongs to the training side and may be empty."""

    name: str
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    @property
    def seen(self) -> np.ndarray:
        """The training side, validation included."""
        return np.union1d(self.train, self.validation)


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
