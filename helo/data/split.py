"""What a split is, and what its test side has in common with its training side."""

from __future__ import annotations

from dataclasses import dataclass

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
        Number of test windows whose "subject", "clip" (by whomever: `data.trials`), "trial" (subject and clip, and so
        label, unless that went on in time) or "signal" (overlap in time within a subject's recording) is also on the
        training side. "signal" is left out if start times are unknown.
    """
    seen, test = split.seen, split.test
    found = {
        what: int(np.isin(names[test], names[seen]).sum())
        for what, names in (("subject", data.subjects), ("clip", data.trials), ("trial", data.trial_ids))
    }
    if data.starts is not None and data.window is not None:
        overlapping = 0
        for subject in np.unique(data.subjects[test]):
            train = np.sort(data.starts[seen[data.subjects[seen] == subject]])
            own = data.starts[test[data.subjects[test] == subject]]
            if len(train):
                after = np.searchsorted(train, own)
                gap_before = own - train[np.maximum(after - 1, 0)]
                gap_after = train[np.minimum(after, len(train) - 1)] - own
                near = np.minimum(np.abs(gap_before), np.abs(gap_after))
                overlapping += int((near < data.window - 1e-9).sum())
        found["signal"] = overlapping
    return found
