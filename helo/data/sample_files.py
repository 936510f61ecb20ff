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


def count(path: Path) -> int:
    """Lines of a file, with a last one that does not end.

    Raises:
        ValueError: damaged, or more bytes unpacked than `helo.reading.memory()`.
    """
    lines, size, last, most = 0, 0, b"\n", memory()
    try:
        with _open(path) as file:
            while block := file.read(2**20):
                lines, size, last = lines + block.count(b"\n"), size + len(block), block[-1:]
                if size > most:
                    raise ValueError(f"{path}: unpacks to over {most} bytes; {way_out(2 * most)}")
    except _BROKEN as error:
        raise ValueError(f"{path}: cannot be unpacked ({short(str(error))})") from None
    return lines + (last != b"\n")


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
    rows = max(count(path) - skip, 0)
    if not rows:
        raise ValueError(
            f"{path}: holds no sample below its first {skip} lines" if skip else f"{path}: holds no sample"
        )
    if columns > COLUMNS:
        raise ValueError(f"{path}: {columns} columns; expected at most {COLUMNS}")
    if 8 * rows * len(wanted) > memory():
        raise ValueError(f"{path}: {rows} samples of {len(wanted)} columns; {way_out(8 * rows * len(wanted))}")
    _check_width(path, columns, delimiter, skip)
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
    if width != columns:
        raise ValueError(f"{path}: the first sample has {width} columns; expected {columns}")
