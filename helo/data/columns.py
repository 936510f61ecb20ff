"""Columns of numbers and text out of CSV, Parquet, NPZ and .mat files, and what a cell means."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from helo.data.arrays import read_mat, read_npz, room


def csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of every row of a CSV file.

    Raises:
        ValueError: no CSV file in UTF-8.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            yield from ((reader.line_num, row) for row in reader)
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a readable CSV file in UTF-8 ({error})") from None


def csv_header(path: Path) -> list[str]:
    """The names of a CSV file's columns, if every row has as many cells.

    A short row would be filled up: a torn file read as missing values, or a small file as billions of cells.

    Raises:
        ValueError: a row of another length, or no CSV file in UTF-8.
    """
    rows = csv_rows(path)
    _, header = next(rows, (0, []))
    wrong = next((line for line, row in rows if row and len(row) != len(header)), None)
    if wrong is not None:
        raise ValueError(f"{path}: line {wrong} has more or fewer than the header's {len(header)} cells")
    return header


def _read_csv(path):
    import pandas as pd

    header = csv_header(path)
    _no_repeats(path, header)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            kinds = {c: str for c in header if "." not in c or c.startswith("vote.")}
            table = pd.read_csv(path, dtype=kinds, index_col=False, low_memory=False, encoding="utf-8-sig")
    except (ValueError, pd.errors.ParserWarning, OverflowError, MemoryError) as error:
        raise ValueError(f"{path}: not a readable CSV file ({error})") from None
    return _columns(path, table, header)


def _read_parquet(path):
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise ValueError(f"{path}: Parquet needs the package pyarrow; run pip install pyarrow") from None
    try:
        with pq.ParquetFile(path) as file:
            header = [str(name) for name in file.schema_arrow.names]
            cells = file.metadata.num_rows * max(1, len(header))
            if cells * 8 > room(path.stat().st_size):
                raise ValueError(f"{path.stat().st_size} bytes declare {cells} cells")
            flat = all(_is_flat(pa, field.type) for field in file.schema_arrow)
            if not flat:
                raise ValueError("holds lists, structures or other types; expected columns of numbers and text")
            table = file.read(use_threads=False).to_pandas(ignore_metadata=True)
    except (pa.ArrowException, ValueError, OSError, OverflowError, MemoryError) as error:
        raise ValueError(f"{path}: not a readable Parquet table ({str(error)[:300]})") from None
    _no_repeats(path, header)
    return _columns(path, table, header)


def _is_flat(pa, kind):
    check = pa.types
    text = check.is_string(kind) or check.is_large_string(kind)
    return text or check.is_integer(kind) or check.is_floating(kind) or check.is_boolean(kind)


def _columns(path, table, header):
    if list(map(str, table.columns)) != header or not len(table):
        raise ValueError(f"{path}: {len(table)} rows below {len(header)} column names; expected at least one row")
    return {c: table.iloc[:, k].to_numpy() for k, c in enumerate(header)}


def _no_repeats(path, header):
    repeated = sorted({c for c in header if header.count(c) > 1}) if len(set(header)) < len(header) else []
    if repeated or not all(header):
        raise ValueError(f"{path}: columns {some(repeated) or 'without a name'}; expected every name once")


#: Columns that say who, which clip, what was shown and when.
COLUMNS = ("subject", "trial", "condition", "start")
#: Ending of a file's name -> its reader: name -> array.
READERS = {
    ".csv": _read_csv,
    ".parquet": _read_parquet,
    ".npz": read_npz,
    ".mat": lambda path: _squeezed(read_mat(path)),
}


def _squeezed(arrays):
    """MATLAB knows no vectors: (n, 1) and (1, n) of what must be a column become (n,)."""

    def column(name, x):
        flat = x.ndim == 2 and 1 in x.shape and (name in COLUMNS or "." in name or x.dtype.kind == "U")
        return x.ravel() if flat else x

    return {name: column(name, x) for name, x in arrays.items()}


def numbers(path: Path, column: str, values: np.ndarray) -> np.ndarray:
    """float64, NaN where empty; names the first cell that is no number."""
    if values.dtype.kind in "fiub":
        return values.astype(np.float64)
    if values.dtype.kind in "OU" and values.ndim == 1:
        import pandas as pd

        numbers = pd.to_numeric(pd.Series(values), errors="coerce").to_numpy(np.float64, na_value=np.nan)
        bad = np.isnan(numbers) & ~pd.isna(values) & (values.astype(str) != "")
        if not bad.any():
            return numbers
        row = int(np.argmax(bad))
        raise ValueError(f"{path}: row {row}, {column}, is {short(values[row])}; expected a number or an empty cell")
    raise ValueError(f"{path}: {column!r} is of type {values.dtype}; expected numbers")


def finite(path: Path, column: str, values: np.ndarray) -> np.ndarray:
    """The same numbers; names the first that is none."""
    if not np.isfinite(values).all():
        row = int(np.argmin(np.isfinite(values)))
        raise ValueError(f"{path}: row {row}, {column}, is {values[row]}; expected a number")
    return values


def one_value(path: Path, column: str, values: np.ndarray) -> np.ndarray:
    """The same values, one a window."""
    if values.ndim != 1:
        raise ValueError(f"{path}: {column!r} has shape {values.shape}; expected one value per window")
    return values


def text(values: np.ndarray) -> np.ndarray:
    """Strings, "" where empty; 3.0, a whole number beside empty cells, is "3"."""
    import pandas as pd

    if values.dtype.kind == "f":
        return np.array(["" if np.isnan(v) else f"{v:.17g}" for v in values])
    if values.dtype.kind == "O":
        return np.array(["" if pd.isna(v) else str(v) for v in values])
    return values.astype(str)


def labels(path: Path, column: str, values: np.ndarray) -> np.ndarray:
    """Names without spaces around them, none empty."""
    names = np.char.strip(text(one_value(path, column, values)))
    if (names == "").any():
        raise ValueError(f"{path}: row {int(np.argmax(names == ''))}, {column}, is empty; expected a name")
    return names


def some(names: Iterable[object]) -> str:
    """At most eight names, as an error shows them."""
    shown = [str(name)[:50] for name in names]
    return ", ".join(map(repr, shown[:8])) + (f" and {len(shown) - 8} more" if len(shown) > 8 else "")


def short(value: object) -> str:
    """A value as an error shows it."""
    return repr(value)[:100] if isinstance(value, (str, int, float, type(None))) else f"a {type(value).__name__}"
