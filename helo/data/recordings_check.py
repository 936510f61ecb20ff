"""What is wrong with raw signals: gaps, flat lines, clipping, clocks that disagree, events outside the recording."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from helo.data.findings import CAUTION, FAULT
from helo.data.recorded import TOGETHER, Report, Samples

#: seconds without samples that are bridged by a straight line; more is a gap, whose tokens are masked
BRIDGED = 1.0
#: seconds without any change that a living sensor does not show, by feature function; temperature may stand still
FLAT = {
    "level": 600.0,
    "electrodermal": 60.0,
    "temperature": 600.0,
    "heart_rate": 120.0,
    "movement": 60.0,
    "walking": 60.0,
}
FLAT_OTHERS = 5.0
#: feature functions of signals that rest at a level, their largest or smallest too
RESTING = {"electrodermal", "temperature", "heart_rate", "level"}
#: share of samples at a signal's largest or smallest value, three or more in a row, from which on it is clipped
CLIPPED = 0.01
#: least share of the recording that a signal should cover
COVERED = 0.95


def runs(mask: np.ndarray) -> np.ndarray:
    """First and last-plus-one place of each run of True, shape (runs, 2)."""
    edges = np.diff(np.concatenate([[0], mask.astype(np.int8), [0]]))
    return np.stack([np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)], 1)


def gaps_of(samples: Samples) -> np.ndarray:
    """Starts and ends of the times without samples that are too long to bridge, in seconds from the first sample."""
    found = runs(np.isnan(samples.values).any(1))
    return found[np.diff(found, axis=1)[:, 0] > BRIDGED * samples.rate] / samples.rate


def unusable(samples: Samples) -> str:
    """Why a signal is no signal; "" where it is one."""
    x = samples.values
    missing = np.isnan(x).any(1)
    if missing.mean() > 0.5:
        first = int(np.argmax(missing)) / samples.rate
        return f"{missing.mean():.0%} of its samples are missing (NaN, n/a or empty), the first at {first:.2f} s"
    low, high = np.nanmin(x, 0), np.nanmax(x, 0)
    if (low == high).all():
        return f"is {low[0]:g} from beginning to end"
    if max(np.abs(low).max(), np.abs(high).max()) > 1e12:
        return f"reaches {max(np.abs(low).max(), np.abs(high).max()):g}; expected numbers of a sensor"
    return ""


def bridged(samples: Samples) -> Samples:
    """The signal with straight lines over what is missing; filters need a sample everywhere."""
    missing = np.isnan(samples.values)
    if not missing.any():
        return samples
    x, place = samples.values.copy(), np.arange(len(samples.values))
    for k in range(x.shape[1]):
        gone = missing[:, k]
        x[gone, k] = np.interp(place[gone], place[~gone], x[~gone, k])
    return samples._replace(values=x)


def examine(
    where: str, signals: Mapping[str, Samples], kinds: Mapping[str, str], zero: float, length: float, report: Report
) -> None:
    """Tell what is wrong with the signals of one recording.

    Args:
        where: the person, and the part.
        signals: those that can be used.
        kinds: signal -> feature function.
        zero, length: start of the recording, on its clock, and its length in seconds.
        report: it is told to.
    """
    _clocks(where, signals, report)
    for name, samples in signals.items():
        _missing(where, name, samples, zero, length, report)
        _flat(where, name, samples, kinds[name], report)
        _clipped(where, name, samples, kinds[name], report)


def events_outside(where: str, starts: np.ndarray, stops: np.ndarray, length: float, report: Report) -> None:
    """Tell of rated times, in seconds from its start, that a recording of some length does not hold whole."""
    far = np.isfinite(starts) & ((starts < -TOGETHER) | (np.isfinite(stops) & (stops > length + TOGETHER)))
    if far.any():
        k = int(np.argmax(far))
        told = f"{where}: {far.sum()} of {len(far)}, such as {starts[k]:.1f} to {stops[k]:.1f} s of {length:.1f} s"
        report.note(CAUTION, "events outside the recording", "ratings", told)


def _clocks(where, signals, report):
    if len(signals) < 2:
        return
    starts, stops = ({m: getattr(s, end) for m, s in signals.items()} for end in ("start", "end"))
    for what, times in (("starts", starts), ("ends", stops)):
        first, last = min(times, key=times.__getitem__), max(times, key=times.__getitem__)
        if (apart := times[last] - times[first]) >= TOGETHER:
            told = f"{where}: {last} {what} {apart:.1f} s after {first}"
            report.note(CAUTION, "clocks that disagree", "signals", told)


def _missing(where, name, samples, zero, length, report):
    gaps = gaps_of(samples)
    if len(gaps):
        start, stop = gaps[np.argmax(np.diff(gaps, axis=1))]
        told = f"{where}: {len(gaps)}, the longest {stop - start:.1f} s from {start:.1f} s"
        report.note(CAUTION, "gap", name, told)
    elif (missing := np.isnan(samples.values).any(1)).any():
        told = f"{where}: {missing.sum()}, the first at {np.argmax(missing) / samples.rate:.2f} s"
        report.note(CAUTION, "missing samples", name, told)
    covered = min(samples.end, zero + length) - max(samples.start, zero) - np.diff(gaps, axis=1).sum()
    if (share := covered / max(length, 1e-9)) < COVERED:
        report.note(CAUTION, "coverage", name, f"{where}: {max(share, 0):.0%} of {length:.0f} s")


def _flat(where, name, samples, kind, report):
    still = (np.diff(samples.values, axis=0) == 0).all(1)
    found = runs(still)
    lasts = np.diff(found, axis=1)[:, 0] / samples.rate
    if (long := lasts >= FLAT.get(kind, FLAT_OTHERS)).any():
        start = found[np.argmax(lasts), 0] / samples.rate
        share = lasts[long].sum() * samples.rate / len(samples.values)
        told = f"{where}: {share:.1%}, the longest {lasts.max():.1f} s from {start:.1f} s"
        report.note(FAULT if share > 0.5 else CAUTION, "flat line", name, told)


def _clipped(where, name, samples, kind, report):
    if kind in RESTING:
        return
    for k in range(samples.values.shape[1]):
        x = samples.values[:, k]
        for limit in (np.nanmin(x), np.nanmax(x)):
            found = runs(x == limit)
            count = np.diff(found, axis=1)[:, 0]
            share = count[count >= 3].sum() / len(x)
            if share > CLIPPED:
                report.note(CAUTION, "clipping", name, f"{where}: {share:.1%} at {limit:g}")
