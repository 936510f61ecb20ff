"""Anything changed a little: bytes, text, arrays, tables, JSON."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd

INTERESTING = [0, 1, 2, 127, 128, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1, 2**64 - 1]
CELLS = [
    "",
    " ",
    "nan",
    "NaN",
    "inf",
    "-inf",
    "-1",
    "0",
    "1e308",
    "1e999",
    "-1e-320",
    "9" * 400,
    "0x10",
    "1_000",
    "1,5",
    "True",
    "None",
    "'",
    '"',
    '""',
    "\\",
    "=1+1",
    "\x00",
    "é",
    "\u202e",
    "\ud800".encode("utf-8", "surrogatepass").decode("latin1"),
    "../../etc/passwd",
    "a" * 5000,
    "{0.__class__}",
    "%s%n",
    "*",
    "[",
    "&a",
    "*a",
    "!!python/object/apply:os.system ['true']",
    "<<: *a",
    "- " * 2000,
    "[" * 3000,
    "__import__('os').system('true')",
    "cos\nsystem\n(S'true'\ntR.",
    "1" + "0" * 4400,
    "2020-13-45",
    "~",
    "? :",
    "|\n x",
]
JSON = [
    None,
    True,
    0,
    -1,
    1.5,
    float("nan"),
    float("inf"),
    10**9,
    10**30,
    "",
    "x",
    "a" * 10_000,
    [],
    {},
    [[]],
    [1, 2, 3],
    {"a": 1},
]


class Runs:
    """Runs a command when it is unpickled the ordinary way."""

    def __reduce__(self):
        return os.system, ("true",)


def change_bytes(rng, content: bytes) -> bytes:
    data = bytearray(content)
    for _ in range(rng.integers(1, 9)):
        at, n = int(rng.integers(len(data) + 1)), int(2 ** rng.uniform(0, 8))
        match rng.integers(8):
            case 0 if data:
                data[at % len(data)] ^= 1 << rng.integers(8)
            case 1:
                data[at : at + n] = rng.bytes(min(n, len(data) - at))
            case 2:
                del data[at : at + n]
            case 3:
                data[at:at] = rng.bytes(n)
            case 4:
                data[at:at] = data[at : at + n] * int(rng.integers(1, 20))
            case 5:
                size, order = int(rng.choice([1, 2, 4, 8])), str(rng.choice(["little", "big"]))
                value = INTERESTING[rng.integers(len(INTERESTING))] % 2 ** (8 * size)
                data[at : at + size] = value.to_bytes(size, order)
            case 6 if rng.random() < 0.3:
                del data[at:]
            case 7:
                # the first kilobyte holds most of the structure
                data[at % max(1, min(len(data), 1024)) : at % max(1, min(len(data), 1024)) + 1] = rng.bytes(1)
    return bytes(data)


def change_text(rng, content: bytes) -> bytes:
    text = content.decode("latin1")
    separator = ";" if text.count(";") > text.count(",") else ","
    lines = text.split("\n")
    for _ in range(rng.integers(1, 5)):
        row = int(rng.integers(len(lines)))
        cells = lines[row].split(separator)
        column = int(rng.integers(len(cells)))
        match rng.integers(9):
            case 0 | 1 | 2:
                cells[column] = CELLS[rng.integers(len(CELLS))]
            case 3:
                del cells[column]
            case 4:
                cells.insert(column, cells[column])
            case 5:
                lines.insert(row, lines[rng.integers(len(lines))])
                continue
            case 6:
                del lines[row : row + int(rng.integers(1, 4))]
                lines = lines or [""]
                continue
            case 7:
                other = int(rng.integers(len(cells)))
                cells[column], cells[other] = cells[other], cells[column]
            case 8:
                cells[column] += CELLS[rng.integers(len(CELLS))]
        lines[row] = separator.join(cells)
    return "\n".join(lines).encode("utf-8" if rng.random() < 0.5 else "latin1", "replace")


def change_value(rng, x):
    """Another array in place of an array."""
    x = np.array(x)
    special = [np.nan, np.inf, -np.inf, 1e300, -1, 0, 1e-320, 2**53]
    match rng.integers(14):
        case 0:
            return (
                x.astype(rng.choice(["i1", "u1", "i4", "f4", "c16", "?", "S8", "U8"])) if x.dtype.kind in "fiu" else x
            )
        case 1:
            return np.zeros((0, *x.shape[1:]))
        case 2:
            return x.reshape(-1)
        case 3:
            return x[None]
        case 4:
            return x.T
        case 5:
            return x[: int(rng.integers(len(x) + 1))] if x.ndim else x
        case 6 | 7 | 8 if x.size and x.dtype.kind == "f":
            x = x.copy()
            x.reshape(-1)[rng.integers(x.size, size=int(rng.integers(1, 4)))] = rng.choice(special)
            return x
        case 9:
            return np.full(x.shape, rng.choice(special))
        case 10:
            return np.array(CELLS[: int(rng.integers(1, len(CELLS)))])
        case 11:
            return np.array([{}, [], None, Runs()], dtype=object)
        case 12 if x.ndim:
            return np.concatenate([x, x])
    return np.array(rng.normal(size=tuple(rng.integers(0, 4, rng.integers(0, 4)))))


def change_arrays(rng, content: dict) -> dict:
    content = dict(content)
    for _ in range(rng.integers(1, 4)):
        names = list(content)
        if not names:
            break
        name = names[rng.integers(len(names))]
        match rng.integers(6):
            case 0:
                del content[name]
            case 1:
                content[str(rng.choice(["x", "eda.mean", "emotion.a", "vote.a", "subject"]))] = content[name]
            case 2:
                content[name] = content[names[rng.integers(len(names))]]
            case _:
                content[name] = change_value(rng, content[name])
    return content


def change_json(rng, value):
    """Some value within nested dictionaries and lists replaced."""
    if isinstance(value, dict | list) and value and rng.random() < 0.85:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = keys[rng.integers(len(keys))]
        value = value.copy()
        if rng.random() < 0.1:
            value.pop(key)
        elif rng.random() < 0.1 and isinstance(value, dict):
            value[str(CELLS[rng.integers(len(CELLS))])] = value[key]
        else:
            value[key] = change_json(rng, value[key])
        return value
    if isinstance(value, int) and rng.random() < 0.5:
        return int(rng.choice([value + 1, -value, 10**6, 2**31, 2**62, 0]))
    return JSON[rng.integers(len(JSON))]


def change_tree(rng, content):
    """One leaf of a nested dictionary of arrays replaced."""
    content = dict(content)
    key = list(content)[rng.integers(len(content))]
    value = content[key]
    if isinstance(value, dict) and value and rng.random() < 0.9:
        content[key] = change_tree(rng, value)
    elif rng.random() < 0.1:
        content[key] = Runs()
    elif isinstance(value, np.ndarray) and rng.random() < 0.7:
        content[key] = change_value(rng, value)
    else:
        content[key] = JSON[rng.integers(len(JSON))]
    return content


def change_frame(rng, table):
    table = table.copy()
    for _ in range(rng.integers(1, 4)):
        c = table.columns[rng.integers(len(table.columns))]
        match rng.integers(7):
            case 0:
                table = table.drop(columns=c)
            case 1:
                table = table.rename(columns={c: CELLS[rng.integers(len(CELLS))] or "x"})
            case 2:
                table[c] = [CELLS[rng.integers(24)] for _ in range(len(table))]
            case 3:
                table[c] = [[1.0, 2.0]] * len(table)
            case 4:
                table[c] = pd.Timestamp("2020-01-01")
            case 5:
                table[c] = rng.choice([np.nan, np.inf, -1, 1e300], len(table))
            case 6:
                table = table.iloc[: int(rng.integers(len(table) + 1))]
        if not len(table.columns):
            break
    return table
