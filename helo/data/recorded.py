"""What the readers of raw recordings hand on: one person's signals and rated times, read when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from helo.data.columns import some
from helo.data.findings import CAUTION, Finding

#: longest recording in hours
HOURS = 48
#: seconds by which the starts, or the ends, of signals may differ that were recorded together
TOGETHER = 2.0


class Samples(NamedTuple):
    """One signal.

    Args:
        values: shape (samples, channels), NaN where a sample is missing.
        rate: samples per second.
        start: when the first sample was taken, in seconds on the recording's clock.
        channels: names of the channels; () where they need none.
    """

    values: np.ndarray
    rate: float
    start: float
    channels: tuple[str, ...] = ()

    @property
    def end(self) -> float:
        """When the last sample ends, on the recording's clock."""
        return self.start + len(self.values) / self.rate


@dataclass(frozen=True)
class Part:
    """What was recorded of one person on one clock: a session, a run.

    Args:
        name: "" where the person has one part only.
        read: reads the signals that the card names: name -> Samples. Those that cannot be read are told to a `Report`.
        events: files that say when what was shown and how it was rated; empty: the card's table says so.
        origin: what "seconds of the recording" count from, on the clock of the samples; None: the recording's start.
        tags: when the person pressed a button, on the clock of the samples.
        track: reads signals that are ratings, by the names of their columns: their file, and each.
        about: what its files' names say of it: {"ses": "1", "run": "2"}.
        others: the same of the person's other parts.
    """

    name: str
    read: Callable[[Report], dict[str, Samples]]
    events: tuple = ()
    origin: float | None = None
    tags: Callable[[], np.ndarray] = lambda: np.zeros(0)
    track: Callable[[list[str]], tuple[Path, list[Samples]]] | None = None
    about: Mapping[str, str] = field(default_factory=dict)
    others: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True)
class Person:
    """A person's name and recordings, in time order; `ordered` says whether that is known."""

    name: str
    parts: tuple[Part, ...]
    ordered: bool = True


class Stopped(ValueError):
    """A strict reading met what would have been left out."""


@dataclass
class Report:
    """What is wrong with a study; with strict, the first thing that must be left out stops instead."""

    strict: bool = False
    findings: list[Finding] = field(default_factory=list)
    kinds: dict[tuple[str, str, str], list[str]] = field(default_factory=dict)

    def leave_out(self, where: str, why: object) -> None:
        """A person, trial or signal cannot be used.

        Raises:
            ValueError: in a strict reading.
        """
        if isinstance(why, Stopped):
            raise why
        if self.strict:
            raise Stopped(f"{where}: {why}")
        self.findings.append(Finding(CAUTION, "left out", where, str(why)))

    def note(self, level: str, what: str, signal: str, told: str) -> None:
        """Something to know of; the same of several people is one finding."""
        self.kinds.setdefault((level, what, signal), []).append(told)

    def found(self) -> tuple[Finding, ...]:
        """All that was told, what is left out first."""
        grouped = []
        for (level, what, where), told in self.kinds.items():
            more = f"; and {len(told) - 4} more" if len(told) > 4 else ""
            grouped.append(Finding(level, what, where, "; ".join(told[:4]) + more))
        return (*self.findings, *grouped)


def together(signals: Mapping[str, Samples]) -> dict[str, Samples]:
    """The most signals that are there at the same time, one with the next; of as many, those of the longest time."""
    groups: list[list[str]] = []
    until = -float("inf")
    for name in sorted(signals, key=lambda m: signals[m].start):
        if signals[name].start >= until:
            groups.append([])
        groups[-1].append(name)
        until = max(until, signals[name].end)
    best = max(groups, key=lambda names: (len(names), sum(signals[m].end - signals[m].start for m in names)))
    return {name: samples for name, samples in signals.items() if name in best}


def span(signals: Mapping[str, Samples]) -> tuple[float, float]:
    """Start of the recording on its clock, and its length: where all signals that begin, or end, together are there.

    A signal that begins `TOGETHER` or more after the first, or ends so before the last, does not shorten the others.
    """
    first = min(s.start for s in signals.values())
    last = max(s.end for s in signals.values())
    start = max(s.start for s in signals.values() if s.start - first < TOGETHER)
    # not end - start: a Unix time has seven digits less
    return start, min((s.start - start) + len(s.values) / s.rate for s in signals.values() if last - s.end < TOGETHER)


def check_rate(where: str, rate: Any, least: float = 0.01) -> float:
    """The rate as a number.

    Raises:
        ValueError: no number of samples per second that a sensor has, or fewer than the features need.
    """
    if type(rate) not in (int, float) or not 0 < rate <= 100_000:
        raise ValueError(f"{where} is {some([rate])}; expected samples per second, above 0 and at most 100,000")
    if float(rate) < least:
        raise ValueError(f"{where} is {rate:g}; its features need at least {least:g} samples per second")
    return float(rate)


def check_length(where: str, samples: int, rate: float) -> None:
    """Refuse a recording that nobody makes: of more than `HOURS`.

    Raises:
        ValueError: how long it would be.
    """
    if samples / rate > HOURS * 3600:
        raise ValueError(
            f"{where}: {samples} samples at {rate:g} Hz last {samples / rate / 3600:.0f} hours; expected "
            f"at most {HOURS}"
        )
