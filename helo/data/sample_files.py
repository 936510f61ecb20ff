"""Samples as text, one line a time: read in pieces into arrays of the right size, packed by gzip or not.

Memory is that of the numbers, and of `ROWS` lines. Empty cells, n/a and nan are missing samples.
"""

from __future__ import annotations

import gzip
import warnings
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from helo.data.columns import short
from helo.reading import memory, regular, way_out

#: lines that are taken at a time
ROWS = 2**16
#: most bytes of a line, most columns
LINE, COLUMNS = 100_000, 1000
#: what a missing sample may be written as, in small letters
MISSING = {"", "n/a", "na", "nan", "null", "none"}
_BROKEN = (OSError, EOFError, zlib.error)


def _open(path):
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")


def head(path: Path, lines: int = 1) -> list[str]:
    """The first lines of a file.

    Raises:
        MissingFile: no such file.
        ValueError: no regular file of at most `helo.reading.memory()` bytes, or not readable as text.
    """
    path = regular(path, expected="a file of samples")
    try:
        with _open(path) as file:
            found = [file.readline(LINE + 1) for _ in range(lines)]
        if max(map(len, found)) > LINE:
            raise ValueError(f"{path}: a line of over {LINE} bytes; expected samples, a line each time")
        return [line.decode("utf-8-sig").rstrip("\r\n") for line in found]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not readable as text ({error})") from None
    except _BROKEN as error:
        raise ValueError(f"{path}: cannot be unpacked ({short(str(error))})") from None


def count(path: Path, columns: int, delimiter: str, skip: int) -> int:
    """Samples of a file: its lines below the first few, each of which has every column or nothing at all.

    Raises:
        ValueError: damaged, a line of another width, or more bytes unpacked than `helo.reading.memory()`.
    """
    lines, size, rest, most = 0, 0, b"", memory()
    try:
        with _open(path) as file:
            size = sum(len(file.readline(LINE + 1)) for _ in range(skip))
            while block := file.read(2**16):
                size += len(block)
                if size > most:
                    raise ValueError(f"{path}: unpacks to over {most} bytes; {way_out(2 * most)}")
                whole, end, rest = (rest + block).rpartition(b"\n")
                if len(rest) > LINE:
                    raise ValueError(f"{path}: a line of over {LINE} bytes; expected samples, a line each time")
                lines += _lines(path, whole + end, columns, delimiter, skip + lines)
    except _BROKEN as error:
        raise ValueError(f"{path}: cannot be unpacked ({short(str(error))})") from None
    return lines + (_lines(path, rest + b"\n", columns, delimiter, skip + lines) if rest else 0)


def _lines(path, text, columns, delimiter, before):
    """How many whole lines these are; pandas would pass over cells too many, and fill up cells too few."""
    x = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(x == ord("\n"))
    widths = np.diff(np.searchsorted(np.flatnonzero(x == ord(delimiter)), ends), prepend=0) + 1
    for k in np.flatnonzero(widths != columns):
        if text[ends[k - 1] + 1 if k else 0 : ends[k]].strip():
            raise ValueError(
                f"{path}: not readable as {columns} columns of numbers (line {before + k + 1} has {widths[k]} columns)"
            )
    return len(ends)


def read(path: Path, columns: int, wanted: Sequence[int], delimiter: str = ",", skip: int = 0) -> list[np.ndarray]:
    """Columns of numbers.

    Args:
        path: the file; .gz is unpacked.
        columns: how many columns each line has.
        wanted: which of them to read, counted from 0.
        delimiter: what stands between two cells.
        skip: lines before the first sample.

    Returns:
        An array (samples,) for each wanted column, float64, NaN where missing.

    Raises:
        MissingFile: no such file.
        ValueError: naming file, line and what is wrong with it.
    """
    import pandas as pd

    path = regular(path, expected="a file of samples")
    _check_width(path, columns, delimiter, skip)
    rows = count(path, columns, delimiter, skip)
    if not rows:
        raise ValueError(
            f"{path}: holds no sample below its first {skip} lines" if skip else f"{path}: holds no sample"
        )
    if columns > COLUMNS:
        raise ValueError(f"{path}: {columns} columns; expected at most {COLUMNS}")
    if 8 * rows * len(wanted) > memory():
        raise ValueError(f"{path}: {rows} samples of {len(wanted)} columns; {way_out(8 * rows * len(wanted))}")
    found = [np.empty(rows) for _ in wanted]
    done = 0
    form: dict = {
        "sep": delimiter,
        "header": None,
        "names": range(columns),
        "usecols": list(wanted),
        "index_col": False,
    }
    form |= {"float_precision": "round_trip", "skipinitialspace": True, "skip_blank_lines": False, "dtype": np.float64}
    try:
        with warnings.catch_warnings(), _open(path) as file:
            warnings.simplefilter("error", pd.errors.ParserWarning)
            for _ in range(skip):
                file.readline(LINE + 1)
            for chunk in pd.read_csv(file, chunksize=ROWS, encoding="utf-8", quoting=3, **form):
                for x, column in zip(found, wanted, strict=True):
                    x[done : done + len(chunk)] = chunk[column]
                done += len(chunk)
    except (ValueError, OverflowError, MemoryError, pd.errors.ParserWarning, *_BROKEN) as error:
        told = _first_fault(path, columns, wanted, delimiter, done + skip) or short(str(error))
        raise ValueError(f"{path}: not readable as {columns} columns of numbers ({told})") from None
    for x in found:
        x[done:] = np.nan  # pandas passes over a last line without a cell
        x[np.isinf(x)] = np.nan
    return [x[:done] for x in found]


def _first_fault(path, columns, wanted, delimiter, lines):
    """Line and cell that are no number, after so many good lines; "" where the fault is another."""
    with suppress(*_BROKEN, ValueError), _open(path) as file:
        for _ in range(lines):
            file.readline(LINE + 1)
        for line in range(lines + 1, lines + ROWS + 1):
            cells = file.readline(LINE + 1).decode(errors="replace").rstrip("\r\n").split(delimiter)
            if len(cells) != columns and cells != [""]:
                return f"line {line} has {len(cells)} columns"
            for k in wanted:
                text = cells[k].strip() if k < len(cells) else ""
                try:
                    float("nan" if text.lower() in MISSING else text)
                except ValueError:
                    return f"line {line} has {short(text)}"
    return ""


def _check_width(path, columns, delimiter, skip):
    first = head(path, skip + 1)[-1]
    width = first.count(delimiter) + 1
    if first and width != columns:
        raise ValueError(f"{path}: the first sample has {width} columns; expected {columns}")
