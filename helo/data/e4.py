"""Folders of an Empatica E4, and others that hold a CSV file a signal: one folder a person.

The E4's own export: `BVP.csv`, `EDA.csv`, `TEMP.csv`, `ACC.csv`. Their first line is the time of the first sample in
Unix seconds (UTC), the second the rate in Hz, a column each; acceleration is in 1/64 g. `tags.csv` holds a Unix time
for each press of the button. `IBI.csv` (beats found by the device, with gaps) and `HR.csv` (computed from BVP) are
not read.

Files with a column of time stamps, as K-EmoCon has them, say in a header what their columns are. The samples are put
on a grid of the card's rate; where the time stamps leave out samples there is a gap.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from helo.data.columns import check_spelling, short, some
from helo.data.csv_files import csv_rows
from helo.data.recorded import Part, Person, Report, Samples, check_length, check_rate
from helo.data.sample_files import MISSING, head, read
from helo.data.units import factor_of
from helo.files import MissingFile
from helo.reading import regular

#: The sensor's rates in Hz; a card's `rate` admits another.
RATES = {"BVP.csv": 64.0, "EDA.csv": 4.0, "TEMP.csv": 4.0, "ACC.csv": 32.0}
TAGS = "tags.csv"
#: most bytes of tags.csv
TAG_BYTES = 2**16
#: largest number that a sensor of an E4 may give; a Unix time is more
MOST = 1e8
#: how far, as a share, the steps between time stamps may be from the card's; most samples that share one's time
PACE, TWICE = 0.05, 0.1


def people_of(root: Path, card: Mapping) -> list[Person]:
    """Everybody who has a folder, in the order of their numbers.

    Raises:
        MissingFile: no folder that holds one of the card's files.
        ValueError: two folders whose names would count as one person.
    """
    files = {entry["file"] for entry in card["signals"].values()}
    found = [p for p in root.glob(card["people"]) if p.is_dir() and any((p / name).exists() for name in files)]
    if not found:
        raise MissingFile(
            f"{root / card['people']}: no folder there holds one of {some(sorted(files))}; expected one folder a person"
        )
    folders: dict[str, Path] = {}
    for folder in sorted(found):
        if (other := folders.setdefault(folder.name, folder)) != folder:
            raise ValueError(f"{root}: {other} and {folder} would count as one person; give each a name of its own")
    check_spelling(root, "its folders", sorted(folders))
    # by the numbers in the name, as S2 comes before S10
    found.sort(key=lambda p: ([int(k) for k in re.findall(r"\d{1,9}", p.name)], p.name))
    return [Person(p.name, (_part(p, card),)) for p in found]


def _part(folder, card):
    def signals(report: Report) -> dict[str, Samples]:
        found = {}
        for name, entry in card["signals"].items():
            path = folder / entry["file"]
            try:
                found[name] = _timed(path, entry, card, folder.name) if "time" in card else _own(path, entry)
            except (ValueError, OSError) as error:
                report.leave_out(f"{folder.name}, {name}", error)
        return found

    return Part("", signals, tags=lambda: _tags(folder / TAGS))


def _own(path, entry):
    """A file as the E4 writes it."""
    first, second = ([_number(cell) for cell in line.split(",")] for line in head(path, 2))
    if len(first) != len(second) or None in first or len(set(first)) > 1:
        raise ValueError(
            f"{path}: line 1 is {short(head(path)[0])}; expected the start in Unix seconds for each column"
        )
    if None in second or len(set(second)) > 1:
        raise ValueError(f"{path}: line 2 is {short(head(path, 2)[1])}; expected the rate in Hz for each column")
    rate = check_rate(f"{path}: the rate in line 2", second[0], entry["least"])
    expected = entry.get("rate", RATES.get(path.name.removesuffix(".gz"), rate))
    if rate != expected:
        raise ValueError(
            f"{path}: the rate in line 2 is {rate:g} Hz; expected {expected:g}, the sensor's (a card may "
            "say another, rate: ...)"
        )
    wanted = 3 if entry["kind"] in ("movement", "walking") else 1
    if len(first) != wanted:
        raise ValueError(f"{path}: {len(first)} columns; expected {wanted}")
    values = np.stack(read(path, wanted, range(wanted), skip=2), 1)
    check_length(str(path), len(values), rate)
    if (far := (np.abs(values) > MOST).any(1)).any():
        row = int(np.argmax(far))
        raise ValueError(
            f"{path}: line {row + 3} holds {np.nanmax(values[row]):.10g}; expected a sample. Is it two exports?"
        )
    return Samples(_in_unit(path, values, entry), rate, first[0])


def _in_unit(path, values, entry):
    factor, offset = factor_of(str(path), entry, None)
    return values if (factor, offset) == (1, 0) else values * factor + offset


def _number(text):
    try:
        value = float(text) if text.isascii() and "_" not in text else np.nan
    except ValueError:
        return None
    return value if abs(value) < 1e15 else None


def _tags(path):
    """Times of the presses; an E4 whose button was never pressed writes an empty file."""
    if not path.exists() or (path.is_file() and not path.stat().st_size):
        return np.zeros(0)
    rows = [_number(row[0]) for _, row in csv_rows(regular(path, TAG_BYTES, "the E4's tags")) if row]
    if None in rows:
        raise ValueError(f"{path}: press {rows.index(None) + 1} is no Unix time in seconds")
    return np.sort(np.array(rows, float))


def _timed(path, entry, card, person):
    """A file with time stamps."""
    names = [name.strip().strip('"') for name in head(path)[0].split(",")]
    wanted = [card["time"]["column"], *entry["columns"]]
    if absent := [name for name in wanted if name not in names]:
        raise ValueError(f"{path}: no column {some(absent)}; found {some(names)}")
    if len(set(names)) < len(names):
        raise ValueError(f"{path}: columns {some(names)} name one twice")
    rate = check_rate(f"the card: the rate of {path.name}", entry["rate"], entry["least"])
    column, kept = _device(path, names, card, person)
    time, *values = _kept(path, names, wanted, column, kept)
    time = time * card["time"]["factor"]
    there = np.isfinite(time)
    if not there.any():
        raise ValueError(f"{path}: no time stamp in {wanted[0]!r} is a number")
    start = time[there].min()
    place = np.round((np.where(there, time, start) - start) * rate)
    check_length(str(path), int(place.max()) + 1, rate)
    if (np.diff(time[there]) < 0).any():
        row = int(np.argmax(np.diff(time[there]) < 0))
        raise ValueError(
            f"{path}: the time in sample {row + 1} goes back, from {time[there][row]:.3f} to "
            f"{time[there][row + 1]:.3f} s; expected time stamps in order"
        )
    x = np.full((int(place.max()) + 1, len(values)), np.nan)
    x[place[there].astype(int)] = _in_unit(path, np.stack(values, 1)[there], entry)
    _check_pace(path, time[there], place[there], rate)
    return Samples(x, rate, float(start), tuple(entry["columns"]) if entry["kind"] == "level" else ())


def _check_pace(path, time, place, rate):
    """Refuse another rate than the card's, and samples that would be lost: gaps lengthen a few steps alone."""
    steps = np.diff(time) * rate
    near = steps[steps <= max(rate, 10)]  # no gap: a second, or ten samples
    often = near.any() and near.mean() < 1 - PACE  # a packet may have one stamp for all its samples
    if often or (len(steps) and np.median(steps) > 1 + PACE):
        raise ValueError(
            f"{path}: {rate / (near.mean() if often else np.median(steps)):.3g} samples a second; expected {rate:g}, "
            "the card's rate. If the file holds two sensors, `only` in the card says which"
        )
    lost = len(place) - len(np.unique(place))
    if lost > TWICE * len(place):
        raise ValueError(
            f"{path}: {lost} of {len(place)} samples have the time of another at {rate:g} a second; "
            "expected time stamps a sample apart"
        )


def _device(path, names, card, person):
    """The column that must have one value, and the value, where the card says so for this person."""
    column, kept = next(iter(card["only"].get(person, {}).items()), (None, None))
    if column is not None and column not in names:
        raise ValueError(f"{path}: no column {column!r}, which the card names under only; found {some(names)}")
    return column, kept


def _kept(path, names, wanted, column, kept):
    """The wanted columns, of the rows that are kept."""
    places = [names.index(name) for name in wanted]
    if column is None:
        return read(path, len(names), places, skip=1)
    place, rows = names.index(column), []
    for line, row in csv_rows(path):
        if len(row) not in (0, len(names)):
            raise ValueError(f"{path}: line {line} has {len(row)} columns; expected {len(names)}")
        if line > 1 and row and row[place].strip() == kept:
            rows.append([_sample(path, line, row[k].strip(), len(names)) for k in places])
    if not rows:
        raise ValueError(f"{path}: no row has {kept!r} as {column!r}, which the card keeps")
    return list(np.array(rows, float).T)


def _sample(path, line, cell, columns):
    """A cell as `sample_files.read` takes it."""
    if cell.lower() in MISSING:
        return np.nan
    try:
        value = float(cell) if cell.isascii() and "_" not in cell else None
    except ValueError:
        value = None
    if value is None:
        raise ValueError(f"{path}: not readable as {columns} columns of numbers (line {line} has {short(cell)})")
    return value if np.isfinite(value) else np.nan
