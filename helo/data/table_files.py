"""The columns of a table of windows, whatever its file: name -> array, and what else the file holds.

| limit | value | raised by |
|---|---|---|
| bytes of a file | 2 GB | `HELO_MEMORY=8` in the environment, gigabytes |
| cells times 8 bytes | 2 GB | `HELO_MEMORY` |
| bytes a packed file (.parquet, .npz, .mat) unpacks to | 64 MiB or 100 times its size | `HELO_MEMORY` |
| columns of a .csv or .parquet | 20,000 | an array for each modality (.npz, .mat) |
| letters of a cell | 10,000 | |
| letters of a name (a person's, a trial's, an emotion's, a vote's) | 200 | |
| emotions | 1,000 | |
| bytes of a card; letters of its values; its patterns times columns | 64 KiB; 1,000; 10 million | |
"""

from __future__ import annotations

from collections.abc import Callable, Container
from pathlib import Path

import numpy as np

from helo.data.arrays import read_mat_and_others, read_npz, room
from helo.data.columns import COLUMNS, WIDEST, check_names
from helo.data.csv_files import LONGEST, counts_rows, read_csv
from helo.reading import regular, way_out

Table = tuple[dict[str, np.ndarray], dict[str, str]]


def _read_parquet(path):
    """Flat columns; what is a list, a structure or a time is said by name."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise ValueError(f"{path}: Parquet needs the package pyarrow; run pip install pyarrow") from None
    size = regular(path).stat().st_size
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            header = [str(name) for name in schema.names]
            if len(header) > WIDEST:
                raise ValueError(f"{len(header)} columns; expected at most {WIDEST}")
            cells = file.metadata.num_rows * max(1, len(header))
            needed = max(cells * 8, _unpacked(file.metadata))
            if needed > room(size):
                raise ValueError(f"{size} bytes declare {cells} cells, {needed} bytes; {way_out(needed)}")
            others = {field.name: str(field.type)[:50] for field in schema if not _is_flat(pa, field.type)}
            words = [field.name for field in schema if _is_text(pa, field.type)]
        check_names(path, header)
        wanted = [name for name in header if name not in others]
        # words stay a dictionary: a long one that a million rows repeat is kept once
        with pq.ParquetFile(path, read_dictionary=words) as file:
            table = file.read(columns=wanted if others else None, use_threads=False)
        columns = {name: _values(pa, path, name, table.column(name)) for name in wanted}
    except (pa.ArrowException, ValueError, OSError, OverflowError, MemoryError, LookupError) as error:
        told = str(error).removeprefix(f"{path}: ")
        raise ValueError(f"{path}: not a readable Parquet table ({told[:300]})") from None
    if not table.num_rows:
        raise ValueError(f"{path}: 0 rows below {len(header)} column names; expected at least one row")
    for name in [name for name in columns if name.startswith("__index_level_") and counts_rows(columns[name])]:
        del columns[name]  # pandas' count of the rows
    return columns, others


def _unpacked(metadata):
    """Bytes that the file says its columns have without compression."""
    groups = (metadata.row_group(k) for k in range(metadata.num_row_groups))
    return sum(group.total_byte_size for group in groups)


def _is_text(pa, kind):
    check = pa.types
    return check.is_string(kind) or check.is_large_string(kind)


def _is_flat(pa, kind):
    check = pa.types
    if check.is_dictionary(kind):
        kind = kind.value_type
    number = check.is_integer(kind) or check.is_floating(kind) or check.is_decimal(kind) or check.is_null(kind)
    return number or check.is_boolean(kind) or _is_text(pa, kind)


def _values(pa, path, name, column):
    if pa.types.is_decimal(column.type) or pa.types.is_null(column.type):
        column = column.cast(pa.float64())
    values = column.to_pandas()
    if values.dtype != "category":
        return values.to_numpy()
    kinds = values.cat.categories.to_numpy()
    if kinds.dtype == object and len(kinds) and len(longest := max(map(str, kinds), key=len)) > LONGEST:
        raise ValueError(f"{path}: {name!r} has a cell of {len(longest)} letters; expected at most {LONGEST}")
    if kinds.dtype.kind in "fiub" and (values.cat.codes >= 0).all():
        return kinds[values.cat.codes]
    held = np.append(kinds.astype(object), np.nan)  # code -1 is an empty cell
    return held[values.cat.codes]


def _read_mat(path):
    """MATLAB knows no vectors: (n, 1) and (1, n) of what must be a column become (n,)."""
    arrays, others = read_mat_and_others(path)

    def column(name, x):
        flat = x.ndim == 2 and 1 in x.shape and (name in COLUMNS or "." in name or x.dtype.kind == "U")
        return x.ravel() if flat else x

    return {name: column(name, x) for name, x in arrays.items()}, others


#: Ending of a file's name -> its reader: name -> array, and name -> what it is of what is no array of numbers or text.
#: Only a CSV file has to be told which columns hold names (subjects, trials), and which conditions.
READERS: dict[str, Callable[[Path, Container[str], Container[str]], Table]] = {
    ".csv": lambda path, names, conditions: (read_csv(path, names, conditions), {}),
    ".parquet": lambda path, *_: _read_parquet(path),
    ".npz": lambda path, *_: (read_npz(path), {}),
    ".mat": lambda path, *_: _read_mat(path),
}
