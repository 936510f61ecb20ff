"""A sweep as one HTML page: every run with its state, values and pictures, to sort, to filter and to compare."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from helo.batch import runs
from helo.batch.offline import filled
from helo.batch.pictures import embedded
from helo.batch.plan import axes, read_plan
from helo.batch.plan import columns as named
from helo.batch.sweeps import status
from helo.files import atomic_write
from helo.reading import expanded

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = 60  # a wider table is for table.parquet
SHORT, TEXT, ERROR = 60, 200, 20_000  # characters: of a result with a column, of a value shown, of an error


def overview(folder: str | Path, table: pd.DataFrame) -> Path:
    """Write index.html into a sweep's folder: one file that needs neither the network nor the folder to be read.

    Args:
        folder: of the sweep.
        table: its results, from `helo.sweeps.collect`.
    """
    folder = expanded(folder)
    plan, states = read_plan(folder), status(folder)
    results = {row["run"]: row for row in table.to_dict("records")}
    stated = {run: named(parameters) for run, parameters in plan["runs"].items()}
    values = {
        run: {**own, **results.get(run, {}), **own} for run, own in stated.items()
    }  # a table's whole numbers may be floats
    columns, shared, notes = _columns(axes(folder), values, table.attrs.get("defaults", ()))
    pictures, note = embedded(folder, list(values))
    rows = [
        {
            "run": run,
            "state": states[run],
            "told": ", ".join(f"{name} {_shown(held.get(name))}" for name in axes(folder)) or run,
            "cells": [(_shown(held.get(name)), _exact(held.get(name))) for name in columns],
            "error": _error(folder / run) if states[run] in ("failed", "damaged") else None,
            "links": [(path.name, link(path, folder)) for path in _documents(folder / run)],
            "pictures": [{**picture, "link": link(path, folder)} for path, picture in pictures[run]],
        }
        for run, held in values.items()
    ]
    counts = Counter(states.values())
    content = filled(
        "runs.html",
        "runs.css",
        "runs.js",
        title=folder.resolve().name,
        notebook=plan["notebook"],
        counts=", ".join(f"{n} {state}" for state, n in counts.most_common()),
        states=sorted(counts),
        shared=shared,
        notes=[text for text in (*notes, note) if text],
        columns=columns,
        rows=rows,
    )
    atomic_write(folder / "index.html", content)
    return folder / "index.html"


def link(path: Path, folder: Path) -> str:
    """The address of a file from a page in `folder`, whatever its name is."""
    return "./" + quote(str(path.relative_to(folder)), safe="/", errors="surrogateescape")


def _columns(varied, values, defaults):
    """Names in the order of the table: what was varied, then what was found; what is the same everywhere; notes."""
    names = dict.fromkeys(name for held in values.values() for name in held if name != "run")
    found = {name: {_shown(held.get(name)) for held in values.values()} for name in names}
    short = [name for name in names if all(len(text) <= SHORT and "\n" not in text for text in found[name])]
    told = {name: {_exact(held.get(name)) or _shown(held.get(name)) for held in values.values()} for name in short}
    told |= {name: told[name] - {""} for name in defaults if name in told}  # a run that waits will have them too
    empty = {name for name in short if found[name] == {""}}
    same = {name for name in short if len(told[name]) == 1 and name not in varied and len(values) > 1} - empty
    columns = [*varied, *(name for name in short if name not in varied and name not in same | empty)]
    left = len(columns) - COLUMNS
    notes = [f"{left} more columns stand in the table of the results alone"] if left > 0 else []
    shared = {name: (found[name] - {""}).pop() for name in short if name in same}
    return columns[:COLUMNS], shared, notes


def _shown(value):
    if value is None or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= TEXT + 1 else text[:TEXT] + " ..."


def _exact(value):
    """What is sorted and compared by where the cell shows less of it."""
    return repr(value) if isinstance(value, float) and value == value else ""


def _error(path):
    """First line and whole of what is known about a run that failed."""
    told = runs.fault(path)
    if told is None:
        try:
            about = runs.read_json(path / runs.ERROR)
            told = f"{about.get('error')}\n\n{about.get('traceback') or ''}"
        except (OSError, ValueError) as error:
            told = str(error)
    told = told.strip() or "no message"
    whole = told if len(told) <= ERROR else f"{told[: ERROR // 2]}\n...\n{told[-ERROR // 2 :]}"
    return told.splitlines()[0][:70], whole


def _documents(path):
    """A run's notebook, log and JSON files, its own alone."""
    if path.is_symlink() or not path.is_dir():
        return []
    kept = (file for file in path.iterdir() if file.suffix in (".ipynb", ".txt", ".json") and file.name[0] != ".")
    return sorted(file for file in kept if file.is_file() and not file.is_symlink())
