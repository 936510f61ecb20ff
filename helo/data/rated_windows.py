"""What ratings say of the windows of a recording: those of its trial, or the mean of what was rated meanwhile."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np

from helo.data.findings import CAUTION
from helo.data.recorded import Report
from helo.data.signals import window_starts

#: least share of a window that must be rated, where ratings go on in time
RATED = 0.5


class Rated(NamedTuple):
    """k rated times of one part, in time order.

    Args:
        starts, stops: shape (k,), in seconds from the recording's start; NaN where unknown.
        trials: name of each one's trial.
        conditions: what was shown; None where nothing says so.
        values: shape (k, L), above the floor; NaN where a rating is missing.
        rows: which row of the table each comes from.
        clips: whether trials are called by their clips: not by a number, nor a kind of event for want of a name.
    """

    starts: np.ndarray
    stops: np.ndarray
    trials: list[str]
    conditions: list[str] | None
    values: np.ndarray
    rows: list[int]
    clips: bool


class Labels(NamedTuple):
    """Windows of one part.

    Args:
        starts: shape (n,), in seconds from its start.
        trials, clips, conditions: names, one a window; conditions None where nothing says so. The second viewing of
            a clip is a trial of another name.
        ratings: shape (n, L).
    """

    starts: np.ndarray
    trials: list[str]
    clips: list[str]
    conditions: list[str] | None
    ratings: np.ndarray


def labels(
    where: str,
    rated: Rated,
    card: Mapping,
    window: float,
    step: float,
    length: float,
    excluded: Mapping[str, str],
    report: Report,
    others: Collection[str] = (),
) -> Labels:
    """Windows and their ratings.

    Over trials, a window has its trial's ratings. Over time, it has the mean of those that it covers, each counting by
    the time it covers, sum_k t_k r_k / sum_k t_k; windows that are rated for less than `RATED` of their length, or at
    the floor throughout, are left out.

    Args:
        where: the person, and the part, for messages.
        rated: the ratings.
        card: the checked card's `ratings`.
        window, step: in seconds.
        length: of the recording; windows lie within it.
        excluded: trial -> reason.
        report: what is left out is told to it.
        others: names of the person's trials in other parts; a trial of the same name is another viewing: "name 2".
    """
    use = _usable(where, rated, card, length, excluded, report)
    none = Labels(np.zeros(0), [], [], None, np.zeros((0, rated.values.shape[1])))
    if not use.any():
        return none
    kept = np.flatnonzero(use)
    make = _over_time if card["over"] == "time" else _over_trials
    name = _Names({*others, *rated.trials}, others)
    found = [x for x in make(where, rated, kept, card, window, step, length, report, name) if len(x[0])]
    if not found:
        return none
    counts = [len(x[0]) for x in found]
    trials, clips, shown = (
        [name for x, n in zip(found, counts, strict=True) for name in [x[k]] * n] for k in (1, 2, 3)
    )
    conditions = None if rated.conditions is None else shown
    if rated.conditions and not all(shown):
        row = next(rated.rows[k] for k in kept if not rated.conditions[k])
        told = f"{where}: row {row} names none, so that no window of the study has one"
        report.note(CAUTION, "no condition", "ratings", told)
    starts, ratings = (np.concatenate([x[k] for x in found]) for k in (0, 4))
    return Labels(starts, trials, clips, conditions, ratings)


def _usable(where, rated, card, length, excluded, report):
    """Rows that can be used. Of the others it is told why, once a kind where ratings go on in time."""
    values, starts, stops, trials = rated.values, rated.starts, rated.stops, np.array(rated.trials, dtype=object)
    missing, total = np.isnan(values).sum(1), np.nansum(values, 1) + card["smoothing"] * values.shape[1]
    faults = {  # the first that holds is told
        "nobody": (missing == values.shape[1], lambda k: ""),  # a pause, a fixation cross
        "excluded": (np.isin(trials, list(excluded)), lambda k: excluded[trials[k]]),
        "onset": (~np.isfinite(starts), lambda k: "its onset is empty; expected seconds"),
        "duration": (
            ~(stops > starts),
            lambda k: f"its duration is {stops[k] - starts[k]:g} s; expected seconds above 0",
        ),
        "missing": (missing > 0, lambda k: f"{missing[k]} of its {values.shape[1]} ratings are missing"),
        "outside": (
            (stops <= 0) | (starts >= length),
            lambda k: f"is outside the recording, {starts[k]:.1f} to {stops[k]:.1f} s of {length:.1f} s",
        ),
        "name": (trials == "", lambda k: "its trial has no name"),
        "floor": (
            (total <= 0) & (card["over"] == "trial"),
            lambda k: "all its ratings are at the floor; expected one above",
        ),
    }
    first = np.select([mask for mask, _ in faults.values()], np.arange(len(faults)), len(faults))
    for code, (kind, (_, tell)) in enumerate(faults.items()):
        rows = np.flatnonzero(first == code)
        if kind == "nobody" or not len(rows):
            continue
        if kind == "excluded":
            for name in dict.fromkeys(trials[rows]):
                report.note(CAUTION, "excluded by the card", "trials", f"{where}, {name}: {excluded[name]}")
        elif card["over"] == "time":
            more = f" (and {len(rows) - 1} more rows)" if len(rows) > 1 else ""
            report.leave_out(f"{where}, {trials[rows[0]]} (row {rated.rows[rows[0]]})", tell(rows[0]) + more)
        else:
            for k in rows:
                report.leave_out(f"{where}, {trials[k] or 'a trial'} (row {rated.rows[k]})", tell(k))
    return first == len(faults)


class _Names:
    """Names of viewings, each once: the second of a name is "name 2", unless the table has a trial of that name."""

    def __init__(self, there: Collection[str], used: Collection[str]):
        self.there, self.used = set(there), set(used)

    def __call__(self, name: str) -> str:
        own = name
        for k in itertools.count(2):
            if own not in self.used and (own == name or own not in self.there):
                break
            own = f"{name} {k}"
        self.used.add(own)
        return own


def _over_trials(where, rated, kept, card, window, step, length, report, names):
    for k in kept:
        name = rated.trials[k]
        own = names(name)
        times = window_starts(max(rated.starts[k], 0.0), min(rated.stops[k], length), window, step)
        if not len(times):
            lasts = min(rated.stops[k], length) - max(rated.starts[k], 0.0)
            report.leave_out(f"{where}, {own}", f"lasts {lasts:.1f} s within the recording; a window has {window:g} s")
        shown = name if rated.conditions is None else rated.conditions[k]
        yield times, own, name if rated.clips else own, shown, np.tile(rated.values[k], (len(times), 1))


def _over_time(where, rated, kept, card, window, step, length, report, names):
    trials = np.array(rated.trials)
    for name in dict.fromkeys(trials[kept].tolist()):
        rows = kept[trials[kept] == name]
        starts = rated.starts[rows]
        # a time is rated once
        stops = np.minimum(np.minimum(rated.stops[rows], np.append(starts[1:], np.inf)), max(length, starts[-1]))
        begin, end = max(starts[0], 0.0), min(stops.max(), length)
        times = window_starts(begin, end, window, step)
        means, share = window_means(times, window, starts, stops, rated.values[rows])
        good = (share >= RATED) & (means.sum(1) + card["smoothing"] * means.shape[1] > 0)
        if not good.all() or not len(times):
            told = f"lasts {end - begin:.1f} s; a window has {window:g} s"
            if len(times):
                least = f"rated for less than {RATED:.0%} of their time, or at the floor"
                told = f"{(~good).sum()} of {len(good)} windows are {least}"
            report.leave_out(f"{where}, {name}", told)
        shown = name if rated.conditions is None else rated.conditions[rows[0]]
        own = names(name)
        yield times[good], own, name if rated.clips else own, shown, means[good]


def window_means(
    times: np.ndarray, window: float, starts: np.ndarray, stops: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The mean rating of each window over its rated time, and the rated share of it.

    Args:
        times: starts of the windows, shape (n,).
        window: their length.
        starts, stops: of k ratings in time order, none of which overlap.
        values: shape (k, L).

    Returns:
        Shapes (n, L), 0 where nothing is rated, and (n,).
    """
    places = np.stack([starts, stops], 1).ravel()
    lengths = (stops - starts)[:, None]
    whole = np.concatenate([values, np.ones((len(values), 1))], 1) * lengths
    so_far = np.concatenate([np.zeros((1, whole.shape[1])), whole.cumsum(0)])  # integral up to the end of each rating
    before = np.stack([so_far[:-1], so_far[1:]], 1).reshape(-1, whole.shape[1])
    sums = np.stack([
        np.interp(times + window, places, x) - np.interp(times, places, x) for x in before.T
    ], 1)  # fmt: skip
    return sums[:, :-1] / np.maximum(sums[:, -1:], 1e-12), sums[:, -1] / window
