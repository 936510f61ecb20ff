"""Splits of windows into training, validation and test, and a check for leaks between them.

Windows of one clip share a label and, where they overlap, share signal. A split that puts such windows on both sides
measures memory, not recognition; `by_subject` and `by_trial` keep them together.
"""

from __future__ import annotations

import warnings
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


def by_subject(data: EmotionData, folds: int | None = None, validation: float = 0.2, seed: int = 0) -> list[Split]:
    """Test people the model has never seen.

    Args:
        data: the data set.
        folds: number of folds; None leaves one subject out at a time.
        validation: share of the training subjects held out for early stopping (at least one; 0: none).
        seed: which subjects go where.

    Raises:
        ValueError: fewer than two subjects, or more folds than subjects.
    """
    return _grouped(data, data.subjects, "subject", folds, validation, seed)


def by_trial(data: EmotionData, folds: int | None = 5, validation: float = 0.2, seed: int = 0) -> list[Split]:
    """Test one person's viewing of a clip; a trial (subject and clip) stays together.

    The person's other clips, and other people's viewings of this one, may be in training. Arguments and errors as in
    `by_subject`, with trials in place of subjects.
    """
    return _grouped(data, data.trial_ids, "trial", folds, validation, seed)


def random_windows(data: EmotionData, folds: int = 5, validation: float = 0.2, seed: int = 0) -> list[Split]:
    """Random windows: LEAKS. Windows of one clip, with one label, stand on both sides; for comparison only."""
    warnings.warn(
        "random_windows leaks: windows of one clip stand in training and test; use by_subject or by_trial to measure",
        stacklevel=2,
    )
    return _grouped(data, np.arange(len(data)).astype(str), "window", folds, validation, seed)


def nested(data: EmotionData, split: Split, folds: int = 5, seed: int = 0) -> list[Split]:
    """The people of a split's training side in turns as its validation side; the test side stays.

    To choose settings by all of them instead of the few who are the split's own validation side, and to let the models
    that were stopped by different people answer together.

    Args:
        data: the data set.
        split: from `by_subject`.
        folds: number of nested folds, at most as many as the training side has people.
        seed: which people go together.

    Raises:
        ValueError: the training side has fewer people than folds, or fewer than two.
    """
    seen = np.union1d(split.train, split.validation)
    people = sorted(np.unique(data.subjects[seen]), key=_natural)
    if not 2 <= folds <= len(people):
        raise ValueError(
            f"{data.name}, {split.name}: folds is {folds}; expected 2 to {len(people)}, the training side's people"
        )
    shuffled = [people[i] for i in np.random.default_rng(seed).permutation(len(people))]
    held = [np.isin(data.subjects[seen], shuffled[k::folds]) for k in range(folds)]
    return [Split(f"{split.name}-nested{k + 1}of{folds}", seen[~h], seen[h], split.test) for k, h in enumerate(held)]


PROTOCOLS = {"subjects": by_subject, "trials": by_trial, "windows": random_windows}


def by_protocol(data: EmotionData, protocol: str, folds: int | None = None) -> list[Split]:
    """The splits of a protocol by its name: "subjects", "trials" or "windows".

    Args:
        data: the data set.
        protocol: its name.
        folds: number of folds; None or 0 is the protocol's default: one subject at a time, or five folds.

    Raises:
        ValueError: unknown protocol.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"unknown protocol {protocol!r}; expected one of {list(PROTOCOLS)}")
    return PROTOCOLS[protocol](data, folds) if folds else PROTOCOLS[protocol](data)


def leaks(data: EmotionData, split: Split) -> dict[str, int]:
    """How much of the test side the training side (validation included) has already seen.

    Returns:
        Number of test windows whose "subject", "trial" (and so label) or "signal" (overlap in time within a
        subject's recording) is also on the training side. "signal" is left out if start times are unknown.
    """
    seen = np.concatenate([split.train, split.validation])
    found = {
        "subject": int(np.isin(data.subjects[split.test], data.subjects[seen]).sum()),
        "trial": int(np.isin(data.trial_ids[split.test], data.trial_ids[seen]).sum()),
    }
    if data.starts is not None and data.window is not None:
        overlapping = 0
        for subject in np.unique(data.subjects[split.test]):
            train = np.sort(data.starts[seen[data.subjects[seen] == subject]])
            test = data.starts[split.test[data.subjects[split.test] == subject]]
            if len(train):
                after = np.searchsorted(train, test)
                gap_before = test - train[np.maximum(after - 1, 0)]
                gap_after = train[np.minimum(after, len(train) - 1)] - test
                near = np.minimum(np.abs(gap_before), np.abs(gap_after))
                overlapping += int((near < data.window - 1e-9).sum())
        found["signal"] = overlapping
    return found


def _grouped(data, groups, what, folds, validation, seed):
    names = sorted(np.unique(groups), key=_natural)
    if len(names) < 2:
        raise ValueError(f"{data.name}: splitting by {what} found one {what} ({names[0]}); expected at least two")
    if not 0 <= validation < 1:
        raise ValueError(f"validation is {validation}; expected a share of the training side, 0 <= validation < 1")
    if folds is not None and not 2 <= folds <= len(names):
        raise ValueError(f"{data.name}: folds is {folds}; expected 2 to {len(names)}, the number of {what}s")
    rng = np.random.default_rng(seed)
    if folds is None:
        tests = [[name] for name in names]
    else:
        shuffled = [names[i] for i in rng.permutation(len(names))]
        tests = [sorted(shuffled[k::folds], key=_natural) for k in range(folds)]
    splits = []
    for k, test in enumerate(tests):
        rest = [name for name in names if name not in set(test)]
        held = 0 if validation == 0 or len(rest) < 2 else min(max(1, round(validation * len(rest))), len(rest) - 1)
        chosen = {rest[i] for i in np.random.default_rng((seed, k)).permutation(len(rest))[:held]}
        side = np.array([0 if g in chosen else 1 for g in groups])
        side[np.isin(groups, test)] = 2
        name = f"{what}-{test[0]}" if len(test) == 1 else f"{what}s-fold{k + 1}of{len(tests)}"
        splits.append(Split(name, *(np.flatnonzero(side == s) for s in (1, 0, 2))))
    return splits


def _natural(name):
    """S2 before S10."""
    digits = "".join(c for c in name if c.isdigit())
    return (
        name.rstrip("0123456789"),
        int(digits) if digits and name.rstrip("0123456789") + digits == name else -1,
        name,
    )
