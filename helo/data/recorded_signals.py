"""One person's raw recordings as they are looked at and replayed: sessions and runs one after another."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from helo.data import bids, e4
from helo.data.columns import some
from helo.data.emotion_data import Recording
from helo.data.recorded import Person, Report, span
from helo.data.recorded_windows import usable
from helo.data.recordings_card import read_card
from helo.data.units import unit_of
from helo.reading import expanded


def people_of(root: Path, card: Mapping) -> list[Person]:
    """Everybody in a study's folder.

    Raises:
        MissingFile: nobody.
        ValueError: as the reader of that layout says.
    """
    return bids.people_of(root, card) if card["format"] == "bids" else e4.people_of(root, card)


def recording(root: str | Path, subject: str, card: str | Path | Mapping | None = None) -> Recording:
    """The raw signals of one person, sessions and runs one after another; NaN where there are no samples.

    Their clock is that of the windows' `starts`: a signal that the card excludes is not here, and a session or run
    counts with its time whether or not it has ratings. A signal has one rate, that of the first that has it; a session
    or run in which it has another is left out with a warning, and so is one of which no signal can be used.

    Raises:
        ValueError: no such person, or no signal of theirs that can be used.
    """
    root = expanded(root)
    said, _ = read_card(root, card)
    people = {p.name: p for p in people_of(root, said)}
    if subject not in people:
        raise ValueError(f"{root}: no person {subject!r}; expected one of {some(people)}")
    found: dict[str, list] = {}
    rates: dict[str, float] = {}
    channels: dict[str, tuple[str, ...]] = {}
    lengths = []
    excluded = said["exclude"].get(subject, {})
    excluded = {} if isinstance(excluded, str) else excluded
    for part in people[subject].parts:
        try:
            signals = usable(subject, part, said, excluded, Report())
        except (ValueError, OSError) as error:
            _warn(root, subject, part, f"is left out of the raw signals: {error}")
            continue
        zero, length = span(signals)
        lengths.append(length)
        for m, s in signals.items():
            if rates.setdefault(m, s.rate) != s.rate:
                told = f"{m!r} is left out of the raw signals, for it is sampled at {s.rate:g} Hz"
                _warn(root, subject, part, f"{told}; expected {rates[m]:g}, as before")
                continue
            channels |= {m: s.channels} if s.channels else {}
            found.setdefault(m, []).append((len(lengths) - 1, s, zero))
    if not found:
        raise ValueError(f"{root}: no signal of {subject!r} can be used")
    ends, signals_of = np.cumsum([0.0, *lengths]), {}
    for m, pieces in found.items():
        x = np.full((round(ends[-1] * rates[m]), pieces[0][1].values.shape[1]), np.nan)
        for k, s, zero in pieces:
            place = round((ends[k] + s.start - zero) * rates[m])
            begins, over = (round(end * rates[m]) for end in ends[k : k + 2])  # a part leaves the next ones alone
            first, last = max(begins, place), min(over, place + len(s.values))
            x[first:last] = s.values[first - place : last - place]
        signals_of[m] = x
    units, parts = {m: unit_of(said["signals"][m]) for m in signals_of}, tuple(ends[1:-1].tolist())
    return Recording(signals_of, rates, units, channels, parts, people[subject].ordered)


def _warn(root, subject, part, told):
    where = f"{subject}, {part.name}" if part.name else subject
    warnings.warn(f"{root}: {where}: {told}", stacklevel=3)
