"""Ratings of a study of raw recordings: who felt what, from when to when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from helo.data.columns import check_spelling, names, numbers, short, some
from helo.data.csv_files import read_csv
from helo.data.rated_windows import Rated
from helo.data.recorded import Part
from helo.data.table_ratings import ratings as table_ratings
from helo.files import MissingFile
from helo.reading import regular

#: most bytes of a table of ratings
TABLE = 2**27
#: what a file's name says of a recording -> what a table's column for it may be called too
COLUMNS = {"ses": ("session", "session_id"), "task": ("task_id",), "run": ("run_id",)}


class Table:
    """Tables of ratings, read once each.

    Args:
        root: the study's folder.
        card: the checked card's `ratings`.
        raters: whose ratings, where the card has several tables; None: the first.
        told: what to call the card in errors.

    Raises:
        ValueError: raters that the card does not have.
    """

    def __init__(self, root: Path, card: Mapping, raters: str | None, told: str):
        self.root, self.card, self.told = root, card, told
        self.emotions: tuple[str, ...] = ()
        self._kept: dict[Path, dict] = {}
        table = card["table"]
        known = list(table) if isinstance(table, dict) else []
        if raters is not None and raters not in known:
            expected = f"one of {known}" if known else "none: the card has one table for all"
            raise ValueError(f"raters is {short(raters)}; expected {expected}")
        self.pattern = table[raters or known[0]] if known else table
        self.shared = bool(self.pattern) and "{person}" not in self.pattern and not card["track"]
        self._values_of_all: np.ndarray | None = None
        if self.shared:  # a fault in it is everybody's
            path = root / self.pattern
            self._values_of_all = self._values(path, self._read(path))
            if self._values_of_all is None:
                raise ValueError(self._nothing(path))

    def of(self, person: str, part: Part, zero: float) -> Rated:
        """What a person rated in one part.

        Args:
            person: the name.
            part: the recording.
            zero: where the recording starts, on its clock.

        Raises:
            MissingFile: no table.
            ValueError: a table, or a row, that says nothing; the message names file, column and row.
        """
        if self.card["track"]:
            return self._track(person, part, zero)
        files = [self.root / self.pattern.replace("{person}", person)] if self.pattern else list(part.events)
        if not files:
            raise MissingFile("no events: expected a file *_events.tsv or *_beh.tsv beside the signals")
        told = None
        for path in files:
            table = self._read(path)
            rows = self._rows_of(path, table, person) if self.shared else np.arange(len(next(iter(table.values()))))
            rows = self._rows_in(path, table, rows, part) if self.pattern else rows
            values = self._values(path, table) if self._values_of_all is None else self._values_of_all
            if values is not None:
                if self.pattern is None and self.card["onset"] not in table:
                    table = self._with_times(path, table, files)
                return self._rated(path, table, rows, values, part, person, zero)
            told = told or path
        raise ValueError(self._nothing(told))

    def _nothing(self, path):
        return f"{path}: no emotions; expected columns emotion.<name> or emotion_<name>, or emotions in {self.told}"

    def _read(self, path):
        if path not in self._kept:
            if not self.shared:
                self._kept.clear()  # one person's at a time
            said = [str(self.card.get(what)) for what in ("person", "trial")]
            shown = (str(self.card.get("condition")), "condition", "trial_type")
            self._kept[path] = read_csv(regular(path, TABLE, "a table of ratings"), said, shown)
        return self._kept[path]

    def _with_times(self, path, table, files):
        """Ratings without an onset, with those of the events: the n-th of a trial's name has the n-th event's."""
        other = next((f for f in files if f != path and self.card["onset"] in self._read(f)), None)
        if other is None:
            raise ValueError(
                f"{path}: no column {self.card['onset']!r}, and no events file that says when; found {some(table)}"
            )
        events = self._read(other)
        wanted = self.card.get("trial")
        usual = [wanted] if isinstance(wanted, str) else ["trial", "trial_type", "condition", "stim_file"]
        key = next((c for c in usual if c in events and c in table), None)
        if key is None:
            raise ValueError(
                f"{path}: no column that {other.name} has too and that names the trial; found {some(table)}"
            )
        places = {name: k for k, name in enumerate(_counted(names(other, key, events[key])))}
        found = [places.get(name, -1) for name in _counted(names(path, key, table[key]))]
        columns = [c for c in (self.card["onset"], self.card["duration"]) if isinstance(c, str) and c in events]
        times = {c: np.append(numbers(other, c, events[c]), np.nan)[found] for c in columns}
        return table | times

    def _rows_of(self, path, table, person):
        column = self.card["person"]
        if column not in table:
            raise ValueError(f"{path}: no column {column!r} that says who; found {some(table)}. Name it in {self.told}")
        who = np.array([name.removeprefix("sub-") for name in names(path, column, table[column])])  # as BIDS has it
        person = person.removeprefix("sub-")
        check_spelling(path, column, [person, *np.unique(who)])
        rows = np.flatnonzero(who == person)
        if not len(rows):
            raise ValueError(f"{path}: no row of {person!r} in {column!r}; found {some(np.unique(who))}")
        return rows

    def _rows_in(self, path, table, rows, part):
        """Of a person's rows those of one part, by the columns that say which session, task or run."""
        used: list[str] = []
        named = {*part.about, *(name for other in part.others for name in other)}
        for name in sorted(named):
            column = next((c for c in (name, *COLUMNS.get(name, ())) if c in table), None)
            if column is None or column in (self.card.get("trial"), self.card.get("condition")):
                continue
            said = np.array([cell.removeprefix(f"{name}-") for cell in names(path, column, table[column])])
            own = part.about.get(name, "")
            check_spelling(path, column, [own, *np.unique(said)])
            if not (said[rows] == own).any():
                raise ValueError(f"{path}: no row of {own!r} in {column!r}; found {some(np.unique(said[rows]))}")
            rows, used = rows[said[rows] == own], [*used, name]
        same = [o for o in part.others if all(o.get(n, "") == part.about.get(n, "") for n in used)]
        if same:
            apart = sorted(n for n in named if len({about.get(n, "") for about in (part.about, *same)}) > 1)
            raise ValueError(
                f"{path}: {len(same) + 1} recordings and one table; which row belongs to which? expected a column "
                f"for {some(apart)}"
            )
        return rows

    def _values(self, path, table):
        """Ratings of all rows above the floor, (rows, emotions); None where the table has none."""
        emotions = self.card["emotions"] or self._usual(path, table)
        if not self.card["emotions"] and len(emotions) < 2:
            return None
        if self.pattern is None and not set(emotions.values()) <= set(table):
            return None  # the other file of a part in BIDS may have them
        about = {"emotions": emotions, "scale": self.card["scale"]}
        columns = {c: x for c, x in table.items() if not c.startswith("vote.")}
        found, named, _ = table_ratings(path, columns, about, self.card["floor"], self.told)
        if self.emotions and tuple(named) != self.emotions:
            raise ValueError(f"{path}: emotions are {some(named)}; expected {some(self.emotions)}, as before")
        self.emotions = tuple(named)
        return found

    def _usual(self, path, table):
        """Emotion -> column, by the first of the usual beginnings that two columns have."""
        found: dict[str, str] = {}
        for stem in ("emotion.", "emotion_", "rating_"):
            own = {c[len(stem) :]: c for c in table if c.startswith(stem) and len(c) > len(stem) and c.count(".") < 2}
            if twice := [e for e in own if e in found]:
                told = f"{found[twice[0]]!r} and {own[twice[0]]!r}"
                raise ValueError(f"{path}: {told} both rate {twice[0]!r}; name the emotions' columns in {self.told}")
            found = own if len(found) < 2 and own else found
        return found

    def _rated(self, path, table, rows, values, part, person, zero):
        starts = _column(path, table, self.card["onset"], self.told)[rows]
        clock = self.card["clock"]
        if clock == "recording":
            starts = starts - (0 if part.origin is None else zero - part.origin)
        elif isinstance(clock, dict):  # a Unix time in float64 knows no more than a microsecond
            starts = np.round(starts + (self._zero(person) - zero), 6)
        else:
            starts = np.round((_pressed(path, rows, starts, part.tags()) if clock == "tags" else starts) - zero, 6)
        duration = self.card["duration"]
        if isinstance(duration, str):
            given = _column(path, table, duration, self.told)[rows] if duration in table else np.full(len(rows), np.nan)
        else:
            given = np.full(len(rows), float(duration))
        if self.card["stamp"] == "end":
            starts = starts - given
        order = np.argsort(starts, kind="stable")
        rows, starts, given = rows[order], starts[order], given[order]
        timed = starts[np.isfinite(starts)]  # without a duration, until what begins later; a marker begins with it
        until = np.append(timed, np.inf)[np.searchsorted(timed, starts, "right").clip(max=len(timed))]
        stops = np.where(np.isnan(given), until, starts + given)
        trials, conditions, clips = self._trials(path, table, rows, part, person)
        _once(path, starts, trials, rows, ~np.isnan(values[rows]).all(1))
        return Rated(starts, stops, trials, conditions, values[rows], rows.tolist(), clips)

    def _trials(self, path, table, rows, part, person):
        wanted, over = self.card.get("trial"), self.card["over"]
        if isinstance(wanted, dict):
            trials, column = [self._named(wanted, person)] * len(rows), None
        else:
            column = wanted or next((c for c in ("trial", "trial_type", "condition") if c in table), None)
            if column is not None and column not in table:
                raise ValueError(
                    f"{path}: no column {column!r} for the trial; found {some(table)}. Name it in {self.told}"
                )
            if column is None and over == "trial":
                raise ValueError(
                    f"{path}: no column 'trial' or 'trial_type'; found {some(table)}. Name it in {self.told}"
                )
            trials = _cells(path, column, table, rows) if column else [part.name or "recording"] * len(rows)
        shown = self.card.get("condition") or next((c for c in ("condition", "trial_type") if c in table), None)
        shown = shown or (column if over == "trial" else None)  # what a trial is called, everybody's is
        if shown is not None and shown not in table:
            raise ValueError(f"{path}: no column {shown!r} for the condition; found {some(table)}")
        clips = isinstance(wanted, dict) or (column in ("trial", wanted) and not any(map(str.isdecimal, trials)))
        return trials, _cells(path, shown, table, rows) if shown else None, clips

    def _named(self, wanted, person):
        """A person's only trial, as the card calls it."""
        if person not in wanted:
            raise ValueError(f"{self.told}: trial has no name for {person!r}; found {some(wanted)}")
        return wanted[person]

    def _zero(self, person):
        """Where a person's ratings count from, in a table of the card's."""
        about = self.card["clock"]
        path = self.root / about["table"]
        table = read_csv(regular(path, TABLE, "a table of times"))
        for column in (about["person"], about["column"]):
            if column not in table:
                raise ValueError(f"{path}: no column {column!r}; found {some(table)}")
        who = [name.removeprefix("sub-") for name in names(path, about["person"], table[about["person"]])]
        row = np.flatnonzero(np.array(who) == person.removeprefix("sub-"))
        if len(row) != 1:
            raise ValueError(f"{path}: {len(row)} rows of {person!r} in {about['person']!r}; expected one")
        return float(numbers(path, about["column"], table[about["column"]])[row[0]]) * about["factor"]

    def _track(self, person, part, zero):
        """Ratings that were recorded as a signal is: a joystick, a slider."""
        emotions, floor = self.card["emotions"], self.card["floor"]
        path, given = part.track(list(emotions.values()))
        values, rate = np.concatenate([s.values for s in given], 1), given[0].rate
        low, high = self.card["scale"] or (-np.inf, np.inf)
        fits = f"'floor: {np.floor(values.min(initial=floor, where=values < floor)):g}' in {self.told} would fit"
        for wrong, why in (  # as of a table
            ((values < low) | (values > high), f"the card's scale is {low:g} to {high:g}"),
            (values < floor, f"expected at least the floor, {floor:g}; {fits}; a missing one is n/a"),
        ):
            for row, k in np.argwhere(wrong)[:1]:
                told = f"the rating of {list(emotions)[k]!r} in {list(emotions.values())[k]!r} at {row / rate:.2f} s"
                raise ValueError(f"{path}: {told} is {values[row, k]:g}; {why}")
        self.emotions = tuple(emotions)
        starts = (given[0].start - zero) + np.arange(len(values)) / rate
        wanted = self.card.get("trial")
        trials = [self._named(wanted, person) if isinstance(wanted, dict) else part.name or "recording"]
        return Rated(
            starts,
            starts + 1 / rate,
            trials * len(values),
            None,
            values - floor,
            list(range(len(values))),
            isinstance(wanted, dict),
        )


def _once(path, starts, trials, rows, rated):
    """No two rows that rate one time: the later would stand for both."""
    seen: dict[tuple, int] = {}
    for start, trial, row, there in zip(starts.tolist(), trials, rows.tolist(), rated.tolist(), strict=True):
        other = seen.setdefault((start, trial), row) if there and np.isfinite(start) else row
        if other != row:
            raise ValueError(
                f"{path}: rows {other} and {row} both rate {short(trial)} from {start:g} s of the recording on; "
                "expected one row for a time, several people's ratings as their mean or in a table each"
            )


def _counted(values):
    """Names with how often each was there before."""
    seen: Counter[str] = Counter()
    for name in values.tolist():
        yield name, seen[name]
        seen[name] += 1


def _column(path, table, column, told):
    if column not in table:
        raise ValueError(f"{path}: no column {column!r}; found {some(table)}. Name it in {told}")
    return numbers(path, column, table[column])


def _cells(path, column, table, rows):
    return names(path, column, table[column])[rows].tolist()


def _pressed(path, rows, number, tags):
    """Times of presses of the button that a table counts from 1; NaN for a row without one, as of a pause."""
    none = np.isnan(number)
    whole = none | ((number == np.round(number)) & (number >= 1) & (number <= len(tags)))
    if not whole.all():
        k = np.argmin(whole)
        told = f"an onset in row {rows[k]} is press {number[k]:g}; tags.csv holds {len(tags)} presses, counted from 1"
        raise ValueError(f"{path}: {told}")
    return np.append(tags, np.nan)[np.where(none, 0, number).astype(int) - 1]
