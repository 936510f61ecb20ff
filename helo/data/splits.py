"""Splits of windows into training, validation and test, by name: `helo.splits`.

`helo.data.protocols` has what a test side may share with its training side, `transfer` two data sets, `calibration` a
new person's first trials.
"""

from __future__ import annotations

import numpy as np

from helo.data.calibration import calibrated
from helo.data.emotion_data import EmotionData
from helo.data.protocols import both, by_subject, by_trial, random_windows, shuffled
from helo.data.split import Split, apart, leaks, touching
from helo.data.transfer import join, transfer

__all__ = [
    "PROTOCOLS",
    "Split",
    "apart",
    "both",
    "by_protocol",
    "by_subject",
    "by_trial",
    "calibrated",
    "join",
    "leaks",
    "nested",
    "random_windows",
    "touching",
    "transfer",
]

PROTOCOLS = {"subjects": by_subject, "both": both, "trials": by_trial, "windows": random_windows}


def by_protocol(
    data: EmotionData, protocol: str, folds: int | None = None, calibrate: int = 0, reserve: int | None = None
) -> list[Split]:
    """The splits of a protocol by its name: "subjects", "both", "trials" or "windows".

    Args:
        data: the data set.
        protocol: its name.
        folds: number of folds; None or 0 is the protocol's default: one subject at a time, or five folds (of people and
            of clips for "both").
        calibrate: number of each test person's first trials that are trained on ("subjects" alone).
        reserve: number of each test person's first trials that are not tested; None: those that are trained on.

    Raises:
        ValueError: unknown protocol, or a calibration of another than "subjects".
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"unknown protocol {protocol!r}; expected one of {list(PROTOCOLS)}")
    if (calibrate or reserve) and protocol != "subjects":
        raise ValueError(
            f"calibrate is {calibrate} with protocol {protocol!r}; expected 'subjects', whose people are new"
        )
    splits = PROTOCOLS[protocol](data, folds) if folds else PROTOCOLS[protocol](data)
    return [calibrated(data, split, calibrate, reserve) for split in splits] if calibrate or reserve else splits


def nested(data: EmotionData, split: Split, folds: int = 5, seed: int = 0) -> list[Split]:
    """A split's training side in turns as its validation side; the test side stays.

    To choose settings by all of the training side instead of the few windows that are the split's own validation side,
    and to let models that were stopped by different people answer together.

    What is held out is what the split's own validation side is (its test side, where it has none): whole people if
    these are new, whole trials if not (`by_trial`), or if there are fewer people than folds. Test people whose first
    trials were given (`calibrated`) are always trained on where people are held out. Of a split by `both` the people
    are new, their clips are not; what it left idle stays so (`both(validation=0)` holds none of the training clips
    back).

    Args:
        data: the data set.
        split: from any protocol.
        folds: number of nested folds, at most as many as the training side has trials.
        seed: who or what goes together.

    Raises:
        ValueError: fewer than two folds, or more than trials.
    """
    seen = split.seen
    groups, what = data.subjects[seen], "people"
    names = np.setdiff1d(groups, data.subjects[split.test])
    like = data.subjects[split.validation if len(split.validation) else split.test]
    if np.isin(like, data.subjects[split.train]).any() or len(names) < max(2, folds):
        groups, what = data.trial_ids[seen], "trials"
        names = np.unique(groups)
    if not 2 <= folds <= len(names):
        told = f"expected 2 to {len(names)}, the training side's {what}"
        told = told if len(names) > 1 else "the training side has a single trial, and two are needed"
        raise ValueError(
            f"{data.name}, {split.name}: folds is {folds}; {told} (in helo.evaluate, folds of the training side is "
            "`nested`)"
        )
    turns = shuffled(names, np.random.default_rng(seed))
    held = [np.isin(groups, turns[k::folds]) for k in range(folds)]
    parts = [Split(f"{split.name}-nested{k + 1}of{folds}", seen[~h], seen[h], split.test) for k, h in enumerate(held)]
    return [apart(data, part) for part in parts] if what == "trials" else parts
