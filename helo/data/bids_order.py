"""In which order a person's sessions and runs in BIDS were recorded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from helo.data.csv_files import read_csv
from helo.reading import regular

#: most bytes of scans.tsv, sessions.tsv
TABLE = 2**20
Key = tuple[tuple[str, str], ...]


def in_order(folder: Path, held: Mapping[Key, list[Path]]) -> tuple[list[Key], bool]:
    """The recordings of a person in time order, and whether it is known.

    By `acq_time` in `scans.tsv`, or else in `sessions.tsv`, where each recording has one; else by the numbers in their
    names (ses-1, ses-2). Names without (ses-pre, ses-post) do not say: they come by the alphabet, and so do recordings
    of the same time.

    Args:
        folder: sub-...
        held: what names say of a recording -> its files.
    """
    by_name = sorted(held, key=lambda key: ([n for _, v in key for n in _numbers(v)], key))
    for times in (_scanned(folder, held), _of_sessions(folder, held)):
        if len(times) == len(held):
            return sorted(by_name, key=times.__getitem__), len(set(times.values())) == len(held)
    sessions = {dict(key).get("ses", "") for key in held}
    told = len({_numbers(label) for label in sessions}) == len(sessions)
    return by_name, told and len({tuple(_numbers(v) for _, v in key) for key in held}) == len(held)


def _numbers(label):
    return tuple(int(k) for k in re.findall(r"\d{1,9}", label))


def _scanned(folder, held):
    """Recording -> the first time of its files."""
    times: dict = {}
    for path in sorted(folder.rglob("*_scans.tsv")):
        for name, when in _times(path, "filename").items():
            times[path.parent / name] = when
    times = _of_one_clock(times)
    first = {key: [times[f] for f in files if f in times] for key, files in held.items()}
    return {key: min(found) for key, found in first.items() if found}


def _of_sessions(folder, held):
    """Recording -> the time of its session, then the numbers in the rest of its name."""
    times: dict = {}
    for path in sorted(folder.glob("*_sessions.tsv")):
        times |= {name.removeprefix("ses-"): when for name, when in _times(path, "session_id").items()}
    times = _of_one_clock(times)
    return {
        key: (times[dict(key)["ses"]], tuple(_numbers(v) for name, v in key if name != "ses"))
        for key in held
        if dict(key).get("ses") in times
    }


def _times(path, column):
    """Name -> acq_time, those that are one; nothing where the table is none."""
    try:
        table = read_csv(regular(path, TABLE, "a table of times"))
        found = list(zip(table[column].astype(str), table["acq_time"].astype(str), strict=True))
    except (ValueError, OSError, KeyError):
        return {}
    times = {}
    for name, when in found:
        with suppress(ValueError, OverflowError):  # n/a, or the year 1
            time = datetime.fromisoformat(when.strip())
            times[name.strip()] = time if time.tzinfo is None else time.astimezone(UTC)
    return times


def _of_one_clock(times):
    """Times that have an order: all of a known zone, or none."""
    return times if len({time.tzinfo for time in times.values()}) < 2 else {}
