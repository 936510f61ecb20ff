"""What a cell of a table means: a number, a name, nothing; and how an error shows it."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

#: Columns that say who, which clip, what was shown and when.
COLUMNS = ("subject", "trial", "clip", "condition", "start")
#: Cells that programs write where something is missing; "None" may be a name, of a condition or a vote for nothing.
EMPTY = frozenset(
    ("", "NA", "N/A", "n/a", "<NA>", "#NA", "#N/A", "#N/A N/A", "NaN", "nan", "-NaN", "-nan", "NULL", "null", "None")
)
EMPTY |= {"1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"}
NAMELESS = EMPTY - {"None"}
COMMA_NUMBER = re.compile(r"[-+]?\d+,\d+([eE][-+]?\d+)?")
#: most columns of a table (each costs pandas half a millisecond), most letters of a name
WIDEST, NAME = 20_000, 200


def check_names(path: Path, names: Sequence[str]) -> None:
    """Every column has a name, and no two have the same.

    Raises:
        ValueError: which have not.
    """
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if repeated or not all(names):
        raise ValueError(f"{path}: columns {some(repeated) or 'without a name'}; expected every name once")


def numbers(path: Path, column: str, values: np.ndarray) -> np.ndarray:
    """float64, NaN where empty; names the first cell that is no number."""
    if values.dtype.kind in "fiub":
        return values.astype(np.float64)
    if values.dtype.kind in "OU" and values.ndim == 1:
        import pandas as pd

        numbers = np.array([_number(value) for value in values], np.float64)
        none = np.flatnonzero(np.isnan(numbers) & ~pd.isna(values))
        wrong = [row for row in none if str(values[row]) not in EMPTY]
        if wrong:  # one cell that is no number leaves those with decimal commas as they are written
            row = next((row for row in wrong if not COMMA_NUMBER.fullmatch(str(values[row]))), wrong[0])
            found = short(values[row])
            raise ValueError(f"{path}: row {row}, {column}, is {found}; expected a number or an empty cell")
        return numbers
    raise ValueError(f"{path}: {column!r} is of type {values.dtype}; expected numbers")


def _number(value):
    """A cell's number, NaN where it is none. Not by pandas, which 1e2147483648 ends by a crash of the process."""
    if isinstance(value, str) and ("_" in value or not value.isascii()):  # Python's own 1_000
        return np.nan
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return np.nan


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
    """Strings, "" where empty; 3.0, a whole number beside empty cells, is "3".

    As objects: in numpy's own text every string is as wide as the widest.
    """
    import pandas as pd

    if values.dtype.kind == "f":
        told = ["" if np.isnan(v) else str(v).removesuffix(".0") for v in values]
    elif values.dtype.kind == "O":
        told = ["" if pd.isna(v) else str(v) for v in values]
    else:
        told = [v.decode("latin1") if isinstance(v, bytes) else str(v) for v in values]
    return np.array(told, dtype=object)


def names(path: Path, column: str, values: np.ndarray) -> np.ndarray:
    """Names without spaces around them, "" where empty.

    Raises:
        ValueError: a name of more than `NAME` letters.
    """
    stripped = [name.strip() for name in text(one_value(path, column, values))]
    if len(longest := max(stripped, key=len, default="")) > NAME:
        row = stripped.index(longest)
        raise ValueError(f"{path}: row {row}, {column}, has {len(longest)} letters; expected at most {NAME}")
    return np.array(stripped)


def labels(path: Path, column: str, values: np.ndarray) -> np.ndarray:
    """As `names`, none of them empty, none written in two ways."""
    found = names(path, column, values)
    if (found == "").any():
        raise ValueError(f"{path}: row {int(np.argmax(found == ''))}, {column}, is empty; expected a name")
    check_spelling(path, column, np.unique(found))
    return found


def check_spelling(path: Path, column: str, names: Iterable[str]) -> None:
    """No two names differ in nothing but leading zeros, capitals or spaces: they would count as two.

    Raises:
        ValueError: the first two that do.
    """
    seen: dict[object, str] = {}
    for name in map(str, names):
        other = seen.setdefault(_plain(name), name)
        if other != name:
            raise ValueError(
                f"{path}: {column} has {other!r} and {name!r}, which would count as two; write one of them everywhere"
            )


def _plain(name):
    if re.fullmatch(r"[-+]?\d{1,15}(\.0*)?", name):  # 1.10 may be the tenth of block 1
        return float(name)
    plain = re.sub(r"(?<!\d)\s+|\s+(?!\d)", "", unicodedata.normalize("NFKC", name).casefold())
    return re.sub(r"(?<![\d.])0+(?=\d)", "", re.sub(r"\s+", " ", plain))


def some(names: Iterable[object]) -> str:
    """At most eight names, as an error shows them."""
    shown = [str(name)[:50] for name in names]
    return ", ".join(map(repr, shown[:8])) + (f" and {len(shown) - 8} more" if len(shown) > 8 else "")


def short(value: object) -> str:
    """A value as an error shows it."""
    return repr(value)[:100] if isinstance(value, (str, int, float, type(None))) else f"a {type(value).__name__}"
