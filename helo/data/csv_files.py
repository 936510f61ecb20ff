"""CSV files: which character stands between cells, whether numbers have commas, and that every row is whole."""

from __future__ import annotations

import csv
import re
import warnings
from collections import Counter
from collections.abc import Container, Iterator
from pathlib import Path

import numpy as np

from helo.data.columns import COMMA_NUMBER, EMPTY, NAMELESS, WIDEST, check_names
from helo.reading import memory, regular, way_out

#: most letters of a cell, of any column
LONGEST = 10_000
#: most letters of a line
LINE = 2**25
_THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2}(,\d{3})+")


def csv_rows(path: Path, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of every row of a CSV file.

    Raises:
        MissingFile: no such file.
        ValueError: no CSV file in UTF-8, or a cell of more than `LONGEST` letters.
    """
    path = regular(path, expected="a CSV file")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(_lines(path, file), delimiter=delimiter)
            for row in reader:
                if row and len(longest := max(row, key=len)) > LONGEST:
                    raise ValueError(
                        f"{path}: line {reader.line_num} has a cell of {len(longest)} letters; "
                        f"expected at most {LONGEST}"
                    )
                yield reader.line_num, row
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a readable CSV file in UTF-8 ({error})") from None


def _lines(path, file):
    """The lines of a file, none so long that it alone would fill the memory."""
    while line := file.readline(LINE):
        if len(line) == LINE:
            raise ValueError(f"{path}: a line of {LINE} letters or more; expected rows of cells")
        yield line


def csv_header(path: Path, delimiter: str = ",") -> list[str]:
    """The names of a CSV file's columns, if every row has as many cells.

    A short row would be filled up: a torn file read as missing values, or a small file as billions of cells.

    Raises:
        MissingFile: no such file.
        ValueError: a row of another length, too many columns or cells, or no CSV file in UTF-8.
    """
    return _scan(path, delimiter)[0]


def read_csv(path: Path, names: Container[str] = (), conditions: Container[str] = ()) -> dict[str, np.ndarray]:
    """A CSV file's columns by name; commas, semicolons or tabs between cells.

    With semicolons or tabs numbers may have decimal commas. A first column without a name that counts the rows, as
    pandas writes it, is passed over. Cells that say that nothing is there (`helo.data.columns.EMPTY`) are NaN.

    Args:
        path: the file.
        names: columns whose cells stay as they are written. So do those of every column without a dot in its name.
        conditions: columns where "None" is a name, as it is among votes.

    Raises:
        MissingFile: no such file.
        ValueError: not a whole, readable CSV file; the message names the line.
    """
    import pandas as pd

    delimiter = _delimiter(path)
    header, decimal = _scan(path, delimiter)
    check_names(path, header[1:] if header[:1] == [""] else header)
    kinds = {c: str for c in header if "." not in c or c.startswith("vote.") or c in names or c in conditions}
    empty = {c: list(NAMELESS if c.startswith("vote.") or c in conditions else EMPTY) for c in header}
    form = {
        "na_values": empty,
        "keep_default_na": False,
        "sep": delimiter,
        "decimal": decimal,
        "index_col": False,
        "encoding": "utf-8-sig",
    }
    # pandas' other ways end the process by a crash where a cell is 1e2147483648, and read 1e-4294967000 as 1e296
    form |= {"float_precision": "round_trip"}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(path, dtype=kinds, names=header, header=0, low_memory=False, **form)
    except (ValueError, pd.errors.ParserWarning, OverflowError, MemoryError) as error:
        raise ValueError(f"{path}: not a readable CSV file ({error})") from None
    if not len(table):
        raise ValueError(f"{path}: 0 rows below {len(header)} column names; expected at least one row")
    columns = {c: table[c].to_numpy() for c in header}
    if decimal == ",":
        columns |= {c: _with_points(columns[c]) for c in kinds}
    if "" in columns and not counts_rows(columns.pop("")):
        raise ValueError(f"{path}: columns without a name; expected every name once")
    return columns


def _with_points(values):
    """Numbers with decimal commas with points; text as it is."""
    cells = [v if isinstance(v, str) else "" for v in values]
    if not any(map(COMMA_NUMBER.fullmatch, cells)):
        return values
    return np.array([v.replace(",", ".") if COMMA_NUMBER.fullmatch(v) else v for v in cells], dtype=object)


def counts_rows(values: np.ndarray) -> bool:
    """Whether a column holds whole numbers, all different: a table's index, which says nothing of its rows."""
    whole = all(re.fullmatch(r"\d{1,15}", str(v)) for v in values)
    return whole and len({int(v) for v in values}) == len(values)


def _delimiter(path):
    """What divides the header into most names; the comma where all say the same."""
    with regular(path, expected="a CSV file").open(newline="", encoding="utf-8-sig", errors="replace") as file:
        line = file.readline(2**20)
    outside = Counter(re.sub(r'"[^"]*"', "", line))
    return max(",;\t", key=lambda c: outside[c])


def _scan(path, delimiter):
    """The header, and the decimal point, of a file whose rows are all as long as its header and not too many."""
    rows = csv_rows(path, delimiter)
    _, header = next(rows, (0, []))
    if len(header) > WIDEST:
        raise ValueError(f"{path}: {len(header)} columns; expected at most {WIDEST}")
    most = memory()
    comma, sure = "", delimiter == ","  # a number with a comma, and whether a fraction can be told from thousands
    for count, (line, row) in enumerate(rows, 1):
        if row and len(row) != len(header):
            raise ValueError(f"{path}: line {line} has more or fewer than the header's {len(header)} cells")
        if 8 * count * len(header) > most:
            needed = 2 * path.stat().st_size
            raise ValueError(f"{path}: over {count} rows of {len(header)} columns; {way_out(max(needed, 2 * most))}")
        if not sure:
            for cell in (c.strip() for c in row if "," in c):
                if COMMA_NUMBER.fullmatch(cell) and not sure:
                    comma, sure = comma or f"{cell!r} in line {line}", not _THOUSANDS.fullmatch(cell)
    if comma and not sure:
        raise ValueError(
            f"{path}: is {comma} a whole number or a fraction? All numbers with a comma have three digits "
            "behind it; write numbers with a decimal point and without commas"
        )
    return header, "," if comma else "."
