"""One person's recordings as windows of features: the signals are read, used and forgotten one recording at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from helo.data import signals as features
from helo.data.columns import some
from helo.data.findings import CAUTION
from helo.data.rated_windows import Labels, labels
from helo.data.recorded import Part, Person, Report, Samples, span, together
from helo.data.recordings_card import KINDS
from helo.data.recordings_check import bridged, events_outside, examine, gaps_of, unusable
from helo.data.recordings_ratings import Table

#: values (samples times channels) that are filtered at a time, and seconds beyond them that filters see
BLOCK, MARGIN = 2**20, 120.0
_FAILS = (ValueError, IndexError, KeyError, TypeError, ArithmeticError, np.linalg.LinAlgError)


class Cut(NamedTuple):
    """How recordings are cut.

    Args:
        window, step, context: in seconds.
        tokens: segments of a window with its context.
        normalise: what features are centred and scaled by: "recording", "causal", "subject", "none".
    """

    window: float
    step: float
    tokens: int
    context: float
    normalise: str

    @property
    def whole(self) -> float:
        """Seconds of a window with its context."""
        return self.window + 2 * self.context


class Windows(NamedTuple):
    """One person's n windows.

    Args:
        labels: of each part.
        starts: shape (n,), in seconds since the person's first part began, later parts following each other.
        values, masks: by modality, shapes (n, tokens, features) and (n, tokens).
        names: of the features, by modality.
    """

    labels: list[Labels]
    starts: np.ndarray
    values: dict[str, np.ndarray]
    masks: dict[str, np.ndarray]
    names: dict[str, tuple[str, ...]]


class _Part(NamedTuple):
    """One part: its labels, and by modality features of the windows, then of windows all over it."""

    labels: Labels
    everywhere: np.ndarray
    features: dict[str, features.Features]


class Cutter:
    """Makes windows of a person's recordings.

    Args:
        card: the checked card.
        table: the ratings.
        cut: how the recordings are cut.
        report: what is wrong or left out is told to it.
    """

    def __init__(self, card: Mapping, table: Table, cut: Cut, report: Report):
        self.card, self.table, self.cut, self.report = card, table, cut, report
        self._rates: dict[str, dict[float, list[str]]] = {}  # signal -> rate -> who has it

    def windows(self, person: Person) -> Windows:
        """Windows, features and ratings of all parts of a person's.

        Raises:
            ValueError: no window is left; or, in a strict reading, a part of it would be left out.
        """
        if not person.parts:
            raise ValueError("no signals: expected files *_physio.tsv.gz or *_eeg.edf, .bdf, .vhdr")
        if self.cut.normalise == "causal" and not person.ordered:
            raise ValueError(
                f"the order of {some(part.name for part in person.parts)} is not known, and normalise='causal' needs "
                "it; expected numbers in the names, or acq_time in scans.tsv or sessions.tsv"
            )
        parts, offsets, end = [], [], 0.0
        named: set[str] = set()  # what the ratings call the trials, and then what the viewings are called here
        used: set[str] = set()
        for part in person.parts:
            where = f"{person.name}, {part.name}" if part.name else person.name
            try:
                length, found = self._part(person, part, where, named, used)
            except (ValueError, OSError) as error:
                if len(person.parts) == 1:
                    raise
                self.report.leave_out(where, error)
                continue
            if found is not None:
                parts.append(found)
                offsets.append(end)
            end += length
        self._tell_unknown(person.name, named)
        if not any(len(part.labels.starts) for part in parts):
            raise ValueError(f"no rated time holds a window of {self.cut.window:g} s")
        return self._joined(person.name, parts, offsets)

    def _tell_unknown(self, person, trials):
        """What the card excludes of a person and nothing is called."""
        for name in self.card["exclude"].get(person, {}):
            if name not in self.card["signals"] and name not in trials:
                told = f"{person}: no signal or trial of that name; the trials are {some(sorted(trials - {''}))}"
                self.report.note(CAUTION, "excluded by the card, but not there", name, told)

    def tell_rates(self) -> None:
        """Signals that are sampled at one rate here and at another there: not all features of theirs compare."""
        for m, rates in self._rates.items():
            if max(rates) > 1.001 * min(rates):  # less is a clock's own error
                for rate, held in sorted(rates.items(), key=lambda pair: -len(pair[1])):
                    self.report.note(CAUTION, "rates that differ", m, f"{rate:g} Hz of {some(held)}")

    def _part(self, person, part, where, named, used):
        """A part's length, and what it holds: None where it is left out, though its time passes."""
        excluded = self.card["exclude"].get(person.name, {})
        signals = usable(where, part, self.card, excluded, self.report)
        zero, length = span(signals)
        try:
            return length, self._windows(person, part, where, signals, zero, length, named, used)
        except (ValueError, OSError) as error:
            if len(person.parts) == 1:
                raise
            self.report.leave_out(where, error)
            return length, None

    def _windows(self, person, part, where, signals, zero, length, named, used):
        excluded = self.card["exclude"].get(person.name, {})
        kinds = {m: self.card["signals"][m]["kind"] for m in signals}
        examine(where, signals, kinds, zero, length, self.report)
        for m in signals:  # by name: the samples are let go one by one below
            self._rates.setdefault(m, {}).setdefault(signals[m].rate, []).append(where)
        rated = self.table.of(person.name, part, zero)
        events_outside(where, rated.starts, rated.stops, length, self.report)
        about = self.card["ratings"]
        own = labels(where, rated, about, self.cut.window, self.cut.step, length, excluded, self.report, used)
        named.update(rated.trials)
        used.update(rated.trials, own.trials)
        everywhere = features.window_starts(0, length, self.cut.window, self.cut.step)
        everywhere = everywhere if self.cut.normalise in ("recording", "causal") else everywhere[:0]
        found: dict[str, features.Features] = {}
        if not len(own.starts) and not len(everywhere):
            return _Part(own, everywhere, found)
        times = np.concatenate([own.starts, everywhere]) - self.cut.context
        tokens = features.Tokens.of(times, self.cut.whole, self.cut.tokens)
        for m in sorted(signals, key=lambda m: -signals[m].values.nbytes):  # the largest first, so that later find room
            try:
                found[m] = features_of(KINDS[kinds[m]][0], signals.pop(m), tokens, zero, length)
            except _FAILS as error:
                self.report.leave_out(f"{where}, {m}", f"no features ({type(error).__name__}: {error})")
        if not found:
            raise ValueError("no signal gives features")
        return _Part(own, everywhere, found)

    def _joined(self, person, parts, offsets):
        starts = np.concatenate([part.labels.starts + at for part, at in zip(parts, offsets, strict=True)])
        everywhere = np.concatenate([part.everywhere + at for part, at in zip(parts, offsets, strict=True)])
        seen = np.searchsorted(everywhere, starts + 1e-6, side="right") if self.cut.normalise == "causal" else None
        values, masks, names = {}, {}, {}
        for m in [m for m in self.card["signals"] if any(m in part.features for part in parts)]:
            names[m] = next(part.features[m].names for part in parts if m in part.features)
            own, whole = [], []
            for part in parts:
                there, n = part.features.get(m), len(part.labels.starts)
                if there is not None and there.names != names[m]:
                    self.report.leave_out(f"{person}, {m}", "its features differ between the parts; expected the same")
                    there = None
                if there is None:
                    there = _nothing(n + len(part.everywhere), self.cut.tokens, names[m])
                own.append((there.values[:n], there.mask[:n]))
                whole.append((there.values[n:], there.mask[n:]))
            (x, mask), (around, around_mask) = (
                [np.concatenate([pair[k] for pair in pairs]) for k in (0, 1)] for pairs in (own, whole)
            )
            if self.cut.normalise == "subject":
                around, around_mask = x, mask
            if self.cut.normalise != "none":
                x = features.normalise_by_recording(x, mask, around, around_mask, seen)
            values[m], masks[m] = x, mask
        return Windows([part.labels for part in parts], starts - self.cut.context, values, masks, names)


def _nothing(windows, tokens, names):
    return features.Features(np.zeros((windows, tokens, len(names))), np.zeros((windows, tokens), bool), names)


def usable(where: str, part: Part, card: Mapping, excluded: Mapping[str, str], report: Report) -> dict[str, Samples]:
    """The signals of one part that can be used.

    Raises:
        ValueError: none.
    """
    read, used = part.read(report), {}
    for name in [m for m in card["signals"] if m in read]:
        samples = read.pop(name)
        if name in excluded:
            report.note(CAUTION, "excluded by the card", name, f"{where}: {excluded[name]}")
        elif why := unusable(samples):
            report.leave_out(f"{where}, {name}", why)
        else:
            used[name] = samples
    if not used:
        raise ValueError(f"no signal can be used; expected one of {some(card['signals'])}")
    kept = together(used)
    for name in [m for m in used if m not in kept]:
        apart = used.pop(name).start - min(s.start for s in kept.values())
        told = f"begins {abs(apart):.0f} s {'before' if apart < 0 else 'after'} {some(kept)}"
        report.leave_out(f"{where}, {name}", f"{told}, and is never there with them")
    return used


def features_of(
    feature: Callable, samples: Samples, cut: features.Tokens, zero: float, length: float
) -> features.Features:
    """Features of one signal; a token that it does not hold whole, or that has a gap, is masked.

    Args:
        feature: one of `helo.data.signals`.
        samples: the signal.
        cut: tokens, in seconds from the recording's start.
        zero: the recording's start on its clock.
        length: of the recording, in seconds.

    Raises:
        ValueError: the signal is shorter than a token.
    """
    lead = round(samples.start - zero, 6)  # how much later than the recording the signal begins
    lasts = len(samples.values) / samples.rate
    if (latest := _latest(samples, cut.length)) < 0:
        raise ValueError(f"lasts {lasts:.1f} s, and a token {cut.length:g} s")
    starts = cut.starts - lead
    held = (starts >= max(0, -lead) - 1e-6) & (starts + cut.length <= min(lasts, length - lead) + 1e-6)
    for begin, end in gaps_of(samples):
        held &= (starts + cut.length <= begin) | (starts >= end)
    found = _in_blocks(feature, bridged(samples), features.Tokens(starts.clip(0, latest), cut.length))
    mask = found.mask & held & np.isfinite(found.values).all(2)
    names = found.names
    if samples.channels:
        names = tuple(f"{samples.channels[int(name.split()[0]) - 1]} {name.partition(' ')[2]}" for name in names)
    return features.Features(np.where(mask[..., None], found.values, 0), mask, names)


def _latest(samples, length):
    """The latest start of a token of that length: at the signal's rate, and at those that features average it down to.

    A token's start and length are rounded to samples, and averaging by blocks loses what is left at the end.
    """
    latest = len(samples.values) / samples.rate - length
    for target in (samples.rate, 4, 20, 32):
        block = int(samples.rate // target)
        block = block if block >= 4 else 1
        rate = samples.rate / block
        latest = min(latest, (len(samples.values) // block - max(1, round(length * rate)) + 0.49) / rate)
    return latest


def _in_blocks(feature, samples, cut):
    """Long signals piece by piece, so that filters need little memory beside the signal itself.

    What differs at the seams is what a filter remembers after `MARGIN`, and a beat detector's mean level.
    """
    x, rate = samples.values, samples.rate
    size = BLOCK // (1 if samples.channels else x.shape[1])
    if samples.channels or len(x) <= size:  # features of many channels take one after another
        return feature(x, rate, cut)
    block = (cut.starts.min(1) * rate // size).astype(int)
    blocks = math.lcm(*(max(1, int(rate // target)) for target in (4, 20, 32)))
    found: list = [None] * len(block)
    for k in np.unique(block):
        rows = np.flatnonzero(block == k)
        first = max(0, int((cut.starts[rows].min() - MARGIN) * rate))
        first -= first % blocks  # what features average is cut as in the whole signal
        last = min(len(x), int((cut.starts[rows].max() + cut.length + MARGIN) * rate))
        own = feature(x[first:last], rate, features.Tokens(cut.starts[rows] - first / rate, cut.length))
        for row, values, mask in zip(rows, own.values, own.mask, strict=True):
            found[row] = values, mask
    values, masks = (np.stack([row[k] for row in found]) for k in (0, 1))
    return features.Features(values, masks, own.names)
