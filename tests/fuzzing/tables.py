"""Wide, long and repeated tables: long cells, many columns, one name many times, many emotions, odd numbers."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np

import helo
from fuzzing.changes import CELLS
from fuzzing.pickles import size
from fuzzing.trial import Reader, written
from fuzzing.writers import mat_bytes, npz_bytes
from helo.data.check import check, findings_table, holdings

_NUMBERS = (
    "1",
    "0",
    "-1",
    "0.5",
    "nan",
    "inf",
    "-inf",
    "1e308",
    "-1e308",
    "1e309",
    "1e-320",
    "3.5e38",
    "9" * 30,
    "9" * 400,
    "1,5",
    "1.234,5",
    "1,234",
    "1,234.5",
    "1 000",
    "1_000",
    "1e",
    "0x1p3",
    "True",
    "٣",
    "",
    "999",
)
_FLOATS = (0.0, 1.0, -1.0, np.nan, np.inf, -np.inf, 1e308, -1e308, 1e-320, 3.5e38, 2.0**53, 999.0)
_HEADS = ("eda.x", "face.y", "note", "emotion.a", "vote.r", "subject", "eda.f.1", "emotion.a.r", "eda", "")


def table(rng, limit: int) -> list[tuple[str, list[str]]]:
    """Columns of text, name and cells; valid, and one or two things in it hostile. No more letters than the limit."""
    n = size(rng, min(100_000, limit // 50))
    people = int(rng.choice([1, 2, 3, n]))
    columns = [
        ("subject", [f"p{k % people}" for k in range(n)]),
        ("trial", [str(k * 4 // n) for k in range(n)]),
        ("eda.x", _random(rng, n)),
        ("face.y", _random(rng, n)),
        ("emotion.a", [str(x) for x in rng.integers(1, 6, n)]),
        ("emotion.b", [str(x) for x in rng.integers(0, 6, n)]),
    ]
    for _ in range(rng.integers(1, 3)):
        columns = _HOSTILE[rng.integers(len(_HOSTILE))](rng, columns, n, limit)
    return columns


def _random(rng, n):
    return [f"{x:.3g}" for x in rng.normal(size=n)]


def long_cells(rng, columns, n, limit):
    """A column, or one cell of it, of up to 100 kB."""
    letters = "xé\x1b\u202e "[rng.integers(5)] * min(size(rng, 100_000), limit // n)
    at, name = int(rng.integers(len(columns))), _HEADS[rng.integers(len(_HEADS))]
    cells = [letters] * n if rng.random() < 0.5 else [letters if k == n // 2 else "" for k in range(n)]
    return [*columns[:at], (name, cells), *columns[at + (rng.random() < 0.5) :]]


def many_columns(rng, columns, n, limit):
    count = min(size(rng, 120_000), max(1, limit // (8 * n)))
    name = ("eda.f{}", "eda.f.{}", "m{}.f", "emotion.e{}", "vote.r{}", "emotion.a.r{}", "x{}", "eda", "", "trial", "{}")
    name = name[rng.integers(len(name))]
    cells = [str(x) for x in rng.integers(0, 3, n)]
    return [*columns, *((name.format(k), cells) for k in range(count))]


def long_names(rng, columns, n, limit):
    letters = "x.\x1b\u202e*"[rng.integers(5)] * min(size(rng, 100_000), limit)
    return [*columns, (str(rng.choice(["", "eda.", "emotion.", "vote.", "eda.f."])) + letters, ["1"] * n)]


def odd_numbers(rng, columns, n, limit):
    at = int(rng.integers(len(columns)))
    odd = [_NUMBERS[k] for k in rng.integers(len(_NUMBERS), size=int(rng.integers(1, 4)))]
    cells = list(columns[at][1])
    for k in range(n) if rng.random() < 0.5 else [int(rng.integers(n))]:
        cells[k] = odd[k % len(odd)]
    return [*columns[:at], (columns[at][0], cells), *columns[at + 1 :]]


def many_names(rng, columns, n, limit):
    """As many people, clips, votes or spellings as rows."""
    name = str(rng.choice(["subject", "trial", "condition", "vote.r", "vote.s", "start"]))
    form = str(rng.choice(["{}", "P{}", "0{}", "é{}", "{}.0", "1e{}", " {} "]))
    spread = int(rng.choice([1, 2, n]))
    return [*(c for c in columns if c[0] != name), (name, [form.format(k % spread) for k in range(n)])]


def odd_cells(rng, columns, n, limit):
    at = int(rng.integers(len(columns)))
    cells = list(columns[at][1])
    cells[int(rng.integers(n))] = CELLS[rng.integers(len(CELLS))]
    return [*columns[:at], (columns[at][0], cells), *columns[at + 1 :]]


def lost(rng, columns, n, limit):
    at = int(rng.integers(len(columns)))
    return [*columns[:at], *columns[at + 1 :]] or columns


_HOSTILE: tuple[Callable, ...] = (long_cells, many_columns, long_names, odd_numbers, odd_numbers, many_names)
_HOSTILE += (odd_cells, lost)


def limit(rng) -> int:
    """Most letters of a file: a megabyte, rarely three hundred."""
    return 300_000_000 if rng.random() < 0.0005 else int(10 ** rng.uniform(3, 6.3))


def csv(rng) -> bytes:
    columns = table(rng, limit(rng))
    comma = str(rng.choice([",", ";", "\t", "|", ", "], p=[0.6, 0.2, 0.1, 0.05, 0.05]))
    names = comma.join(name for name, _ in columns)
    rows = [comma.join(row) for row in zip(*(cells for _, cells in columns), strict=True)]
    for _ in range(rng.integers(3) if rng.random() < 0.3 else 0):
        at = int(rng.integers(len(rows)))
        torn = (rows[at] + comma, rows[at].rpartition(comma)[0], "", '"' + rows[at], rows[at].replace(comma, ";", 1))
        torn += (comma.join([rows[at]] * size(rng, 1000)), rows[at].replace("1", '"1\n"', 1), "\0" + rows[at])
        rows[at] = torn[rng.integers(len(torn))]
    end = str(rng.choice(["\n", "\r\n", "\r"], p=[0.9, 0.05, 0.05]))
    content = end.join([names, *rows, ""])
    encoding = str(rng.choice(["utf-8", "utf-8-sig", "utf-16", "latin1"], p=[0.9, 0.04, 0.03, 0.03]))
    return content.encode(encoding, "replace")


def votes(rng) -> bytes:
    """CREMA-D's table, in which a cell, a column or the number of rows is hostile."""
    clips, most = size(rng, 3000), limit(rng)
    header = ["", *"ADFHNS", "fileName", "numResponses"]
    rows = [
        [str(100000 * kind + clip), "1", "2", "0", "0", "0", str(kind), f"1{clip:03}_IEO_ANG_XX", "4"]
        for kind in (1, 2, 3)
        for clip in range(1, clips + 1)
    ]
    letters = "x_é\x1b0"[rng.integers(5)] * min(size(rng, 100_000), most // len(rows))
    at, row = int(rng.integers(len(header))), int(rng.integers(len(rows)))
    match rng.integers(6):
        case 0:
            rows = [[*r[:at], letters, *r[at + 1 :]] for r in rows]
        case 1:
            rows[row][at] = letters
        case 2:
            rows[row][at] = _NUMBERS[rng.integers(len(_NUMBERS))].replace(",", ".")
        case 3:
            extra = min(size(rng, 120_000), max(1, most // (2 * len(rows))))
            header = [*header, *[str(rng.choice(["x", "A", ""]))] * extra]
            rows = [[*r, *["1"] * extra] for r in rows]
        case 4:
            rows[row] = rows[row][:at]
        case 5:
            header[at] = letters.replace(",", "")
    return "\n".join(",".join(line) for line in [header, *rows, []]).encode()


def parquet(rng) -> bytes:
    """Columns of many types, plain or as dictionaries of few long words."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = table(rng, limit(rng))[:20_000]
    arrays, names = [], []
    for name, cells in columns:
        column = pa.array(cells)
        if name.startswith(("eda", "face", "emotion", "start")) and rng.random() < 0.9:
            numbers = np.array([_number(c) for c in cells])
            kinds = ("f8", "f4", "i8", "u1", "f2")
            column = pa.array(numbers.astype(kinds[rng.integers(5)] if np.isfinite(numbers).all() else "f8"))
        way = rng.integers(12)
        if way == 0:
            column = column.dictionary_encode()
        elif way == 1:  # few bytes that stand for many
            words = pa.array(["x" * size(rng, 100_000), "y"])
            column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(cells), np.int32)), words)
        elif way == 2 and rng.random() < 0.2:
            column = pa.array([[1.0]] * len(cells)) if rng.random() < 0.5 else pa.array([None] * len(cells))
        arrays.append(column)
        names.append(name)
    file = io.BytesIO()
    about = (
        {b"pandas": rng.bytes(20), b"x" * size(rng, 1000): b"y" * size(rng, 100_000)} if rng.random() < 0.1 else None
    )
    whole = pa.Table.from_arrays(arrays, schema=pa.schema(zip(names, (a.type for a in arrays), strict=True), about))
    kind = str(rng.choice(["none", "gzip", "snappy", "zstd"]))
    pq.write_table(whole, file, compression=kind, use_dictionary=bool(rng.random() < 0.5), write_statistics=False)
    return file.getvalue()


def _number(cell):
    try:
        return float(cell)
    except ValueError:
        return _FLOATS[len(cell) % len(_FLOATS)]


def arrays(rng) -> dict:
    """For .npz and .mat: arrays of any shape beside, or in the place of, a valid table's."""
    n, most = size(rng, 20_000), limit(rng)
    features, emotions = min(size(rng, 20_000), max(1, most // (8 * n))), min(size(rng, 5000), max(2, most // (8 * n)))
    found = {
        "subject": np.array([f"p{k % 3}" for k in range(n)]),
        "trial": np.arange(n) * 4 // n,
        "eda": rng.normal(size=(n, 2, 2)),
        "face": rng.normal(size=(n, features)),
        "ratings": rng.integers(1, 6, (n, max(2, emotions))).astype(float),
        "emotions": np.array([f"e{k}" for k in range(max(2, emotions))]),
    }
    for _ in range(rng.integers(1, 3)):
        name = list(found)[rng.integers(len(found))]
        match rng.integers(8):
            case 0:
                x = np.asarray(found[name])
                if x.dtype.kind == "f" and x.size:
                    x = x.copy()
                    x.reshape(-1)[rng.integers(x.size, size=3)] = _FLOATS[rng.integers(len(_FLOATS))]
                found[name] = x
            case 1:
                found[name] = np.full(np.shape(found[name]), _FLOATS[rng.integers(len(_FLOATS))])
            case 2:
                words = ["x" * min(size(rng, 100_000), max(1, most // 4)), "y"]
                found[str(rng.choice(["note", "subject", "emotions", "trial", "vote.a"]))] = np.array(words)
            case 3:
                count = min(size(rng, 3000), max(1, most // (300 + 8 * n)))
                found |= {f"eda.{k}": np.ones(n) for k in range(count)}
            case 4:
                found[name] = np.zeros(tuple(rng.integers(0, 4, rng.integers(0, 7))))
            case 5:
                found["emotions"] = np.array(["a"] * max(2, emotions))
            case 6:
                long = "xé\x1b*"[rng.integers(4)] * min(30 if rng.random() < 0.5 else size(rng, 60_000), most)
                found[long] = np.ones(n)
            case 7:
                found[name] = np.asarray(found[name])[: int(rng.integers(n + 1))]
    return found


def distributions(rng) -> dict:
    """For the label-distribution sets."""
    n, most = size(rng, 20_000), limit(rng)
    width, labels = (min(size(rng, 20_000), max(1, most // (8 * n))) for _ in range(2))
    found = {"features": rng.normal(size=(n, width)), "labels": np.full((n, labels), 1 / labels)}
    name = str(rng.choice(["features", "labels", "x"]))
    match rng.integers(6):
        case 0 if name != "x":
            found[name][int(rng.integers(n))] = _FLOATS[rng.integers(len(_FLOATS))]
        case 1:
            found[name] = np.array(["x" * size(rng, 100_000), "y"])
        case 2:
            found[name] = np.zeros(tuple(rng.integers(0, 4, rng.integers(0, 7))))
        case 3:
            found |= {f"x{k}": np.ones(1) for k in range(min(size(rng, 3000), most // 300))}
    return found


def checked(dataset: str, name: str) -> Callable:
    """Reads, and looks for what is wrong as `python -m helo check` does; what that prints is bounded too."""

    def load(folder):
        data = helo.load(dataset, folder / name)
        shown = holdings(data) + findings_table(check(data))
        if not shown.replace("\n", "").isprintable() or max(map(len, shown.split("\n"))) > 2000:
            raise AssertionError(f"a check shows {shown[:100]!r}")
        return data

    return load


def wide(of: Callable[[], Reader], name: str, content: Callable, dataset: str = "table") -> Callable[[], Reader]:
    """The family for one reader, whose valid file is that of the family by mutation."""

    def make() -> Reader:
        return Reader(of().prepare, written(lambda rng: (name, content(rng))), checked(dataset, name), (name,))

    return make


def mat(rng) -> bytes:
    return mat_bytes(rng, {name[:31] if name[:1].isalpha() else "x": x for name, x in arrays(rng).items()})


def npz(rng) -> bytes:
    return npz_bytes(rng, arrays(rng))


def ldl(rng) -> bytes:
    return mat_bytes(rng, distributions(rng))
