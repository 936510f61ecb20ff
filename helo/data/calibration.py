"""A few labelled trials of a new person, to begin with."""

from __future__ import annotations

import numpy as np

from helo.data.emotion_data import EmotionData
from helo.data.split import Split, apart


def calibrated(data: EmotionData, split: Split, trials: int, reserve: int | None = None) -> Split:
    """Give each test person's first trials to the training side, and test on the person's later ones.

    First in time where start times are known, else in the order of the windows. The test windows are those after the
    first `reserve` trials, however many of these are given: with one reserve, a curve over `trials` is of the same test
    windows, and 0 is its beginning, without a gift. Trials between `trials` and `reserve` lie idle, and so do given
    windows that overlap tested ones.

    Args:
        data: the data set.
        split: whose test people are on its test side alone, as of `by_subject`.
        trials: number k of trials given of each test person.
        reserve: number K >= k of each test person's first trials that are not tested; None: k.

    Raises:
        ValueError: numbers out of range, a test person the training side knows already, or one who has no trial left.
    """
    reserve = trials if reserve is None else reserve
    if not 0 <= trials <= reserve:
        raise ValueError(f"{split.name}: trials is {trials} and reserve {reserve}; expected 0 <= trials <= reserve")
    people = np.unique(data.subjects[split.test]).tolist()
    known = [person for person in people if person in set(data.subjects[split.seen])]
    if known:
        raise ValueError(
            f"{data.name}, {split.name}: test person {known[0]!r} is on the training side too; "
            "expected people who are new, as by_subject's"
        )
    given, later = [], []
    for person in people:
        rows = split.test[data.subjects[split.test] == person]
        order = rows if data.starts is None else rows[np.argsort(data.starts[rows], kind="stable")]
        names, first = np.unique(data.trials[order], return_index=True)
        names = names[np.argsort(first)]
        if len(names) <= reserve:
            raise ValueError(
                f"{data.name}, {split.name}: {person!r} has {len(names)} trials to test; "
                f"expected more than the {reserve} that are reserved"
            )
        given.append(rows[np.isin(data.trials[rows], names[:trials])])
        later.append(rows[np.isin(data.trials[rows], names[reserve:])])
    chosen = Split(
        f"{split.name}-calibrated{trials}of{reserve}",
        np.sort(np.concatenate([split.train, *given])),
        split.validation,
        np.sort(np.concatenate(later)),
    )
    return apart(data, chosen)
