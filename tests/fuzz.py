"""Thousands of broken and hostile files for every reader.

    python tests/fuzz.py --files 10000                 # all readers; prints a table, exits with 1 on any fault
    python tests/fuzz.py --files 10000 --reader table-npz --seed 3
    python tests/fuzz.py --reader dmer-mat --only 4711  # one file again, with its traceback

Valid files are changed, byte by byte and in their structure. Each must load, or end in a ValueError that names a file.
A fault is: any other exception, a crash of the process, more than 10 seconds, more than half a gigabyte, or an attempt
to run a command, open a connection, unpickle by name or write anywhere (seen by an audit hook). Every file follows from
the seed and its number.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import pickle
import resource
import signal
import subprocess
import sys
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import pandas as pd
from conftest import random_data, write_emowalk, write_wesad
from scipy.io import savemat
from test_dmer import write_features, write_raw
from test_table import arrays, frame

import helo
from helo.data.splits import Split
from helo.training.checkpoints import weights

SECONDS, MEGABYTES = 10, 512
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


CARD = """
name: my study
subject: subject
trial: trial
window: 5
modalities:
  skin: {columns: ["eda.*"], role: physiological}
  mood: {columns: [face.AU1, face.AU12], role: behavioral}
emotions: {joy: emotion.happy, grief: emotion.sad}
query: skin
ignore: [age]
"""


# --- changes ----------------------------------------------------------------------------------------------------------


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


# --- how each kind of file is written ---------------------------------------------------------------------------------


def mat_bytes(rng, content: dict) -> bytes:
    file = io.BytesIO()
    plain = {k: v for k, v in content.items() if np.asarray(v).dtype.kind != "V"}
    if rng is not None and rng.random() < 0.1:
        nested = np.array([[1.0]], dtype=object)
        for _ in range(int(rng.integers(1, 60))):
            nested = np.array([[nested]], dtype=object)
        plain["cells"] = nested
    if rng is not None and rng.random() < 0.1:
        plain["structure"] = {"a": {"b": np.eye(2)}, "c": "text"}
    plain = {
        k: (np.array([str(c) for c in v], dtype=object) if np.asarray(v).dtype.kind == "O" else v)
        for k, v in plain.items()
        if k != "cells"
    } | ({"cells": plain["cells"]} if "cells" in plain else {})
    savemat(file, plain, do_compression=rng is not None and rng.random() < 0.5)
    return file.getvalue()


def npz_bytes(rng, content: dict) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in content.items():
            one = io.BytesIO()
            np.lib.format.write_array(one, np.asarray(value), allow_pickle=True)
            data = one.getvalue()
            if rng is not None and rng.random() < 0.15:
                text = data[10:128].decode("latin1")
                for old, new in (
                    (", ", "," * int(rng.integers(1, 4))),
                    ("(", "(" * int(rng.integers(1, 60))),
                    ("False", "None"),
                    ("(", f"({INTERESTING[rng.integers(len(INTERESTING))]}, "),
                    ("<f8", "|O"),
                    ("<f8", "<U999999"),
                    ("<f8", "V9"),
                ):
                    if rng.random() < 0.3:
                        text = text.replace(old, new, 1)
                data = data[:8] + len(text[:60000]).to_bytes(2, "little") + text[:60000].encode("latin1") + data[128:]
            member = (
                f"{name}.npy"
                if rng is None or rng.random() > 0.03
                else str(rng.choice(["../x.npy", "/x.npy", "x.py", f"{name}.npy"]))
            )
            archive.writestr(member, data)
    return file.getvalue()


def pickle_bytes(rng, content) -> bytes:
    protocol = 2 if rng is None else int(rng.integers(0, 6))
    data = pickle.dumps(content, protocol)
    if rng is not None and rng.random() < 0.2:
        at = int(rng.integers(len(data)))
        snippets = [
            b"cos\nsystem\n(S'true'\ntR",
            b"cbuiltins\neval\n(S'1'\ntR",
            b"c__builtin__\nexec\n(S'1'\ntR",
            b"cnumpy\nload\n(S'x'\ntR",
            b"cnumpy\nndarray\n",
            b"cnumpy\ndtype\n(S'O'\ntR",
            b"(l" * 50,
            b"0",
            b"2" * 20,
            b"\x85" * 100,
            b"}(",
            b"u",
            b"R",
            b"b",
        ]
        data = data[:at] + snippets[rng.integers(len(snippets))] + data[at:]
    return data


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


def safetensors_bytes(rng, header: dict, body: bytes) -> bytes:
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + body


def parquet_bytes(rng, table) -> bytes:
    file = io.BytesIO()
    table.to_parquet(file, compression=None if rng is None or rng.random() < 0.5 else "gzip")
    return file.getvalue()


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


# --- the readers ------------------------------------------------------------------------------------------------------


class Reader(NamedTuple):
    """prepare(folder) writes valid files; broken(rng) gives (file, content) of a broken one; load(folder) reads."""

    prepare: Callable[[Path], None]
    broken: Callable[[np.random.Generator], tuple[str, bytes]]
    load: Callable[[Path], object]


def one_of(rng, *ways):
    return ways[rng.integers(len(ways))]()


def written(broken):
    """As `broken`, of what SciPy, pandas and pyarrow are able to write at all."""

    def again(rng):
        while True:
            try:
                return broken(rng)
            except (ValueError, TypeError, KeyError, IndexError, OSError, OverflowError, AttributeError):
                continue

    return again


def wesad() -> Reader:
    kept = {}

    def prepare(folder):
        write_wesad(folder, seconds=12.0, change=lambda c: kept.update(content=c))
        kept["pkl"] = (folder / "S2" / "S2.pkl").read_bytes()
        kept["csv"] = (folder / "S2" / "S2_quest.csv").read_bytes()

    def broken(rng):
        return one_of(
            rng,
            lambda: ("S2/S2_quest.csv", change_text(rng, kept["csv"])),
            lambda: ("S2/S2.pkl", change_bytes(rng, kept["pkl"])),
            lambda: ("S2/S2.pkl", change_bytes(rng, kept["pkl"][:1500]) + kept["pkl"][1500:]),
            lambda: ("S2/S2.pkl", pickle_bytes(rng, change_tree(rng, kept["content"]))),
        )

    return Reader(
        prepare,
        written(broken),
        lambda folder: helo.load("wesad", root=folder, window=10, step=10, tokens=1, context=0, cache=False),
    )


def emowalk() -> Reader:
    kept = {}

    def prepare(folder):
        write_emowalk(folder, seconds=12)
        kept.update({path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.csv")})

    def broken(rng):
        name = str(rng.choice(sorted(kept)))
        if name.startswith("walking_data"):  # a few rows changed, or any bytes
            cut = len(kept[name]) // 100
            return name, change_bytes(rng, kept[name][:cut]) + kept[name][cut:]
        change = change_text if rng.random() < 0.7 else change_bytes
        return name, change(rng, kept[name])

    return Reader(
        prepare,
        broken,
        lambda folder: helo.load("emowalk", root=folder, window=10, step=10, tokens=1, cache=False),
    )


def crema_d() -> Reader:
    from test_crema_d import small, write

    kept = {}

    def prepare(folder):
        kept["csv"] = (write(folder, small(4)) / "tabulatedVotes.csv").read_bytes()

    def broken(rng):
        change = change_text if rng.random() < 0.7 else change_bytes
        return "tabulatedVotes.csv", change(rng, kept["csv"])

    return Reader(prepare, broken, lambda folder: helo.load("crema-d", root=folder))


def from_mat(name, content, load) -> Reader:
    kept = {}

    def prepare(folder):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        kept["plain"], kept["content"] = mat_bytes(None, content()), content()
        (folder / name).write_bytes(kept["plain"])

    def broken(rng):
        return one_of(
            rng,
            lambda: (name, change_bytes(rng, kept["plain"])),
            lambda: (name, kept["plain"][:128] + change_bytes(rng, kept["plain"][128:600]) + kept["plain"][600:]),
            lambda: (name, change_bytes(rng, mat_bytes(rng, kept["content"]))),
            lambda: (name, mat_bytes(rng, change_arrays(rng, kept["content"]))),
        )

    return Reader(prepare, written(broken), load)


def features_content():
    kept = {}
    with tempfile.TemporaryDirectory() as folder:
        write_features(Path(folder), people=[7], rows=np.ones(32, int), change=lambda c: kept.update(c))
    return kept


def raw_content():
    kept = {}
    with tempfile.TemporaryDirectory() as folder:
        write_raw(Path(folder), people=[7], lengths=np.full(32, 6), change=lambda c: kept.update(c))
    few = np.isin
    for m, row in {"eeg": 18, "gsr": 1, "ppg": 1}.items():
        x = kept[f"{m}_datas"]
        kept[f"{m}_datas"] = x[:, few(x[row], (40, 0, 1))]
    return kept


def dmer_zip() -> Reader:
    kept = {}

    def prepare(folder):
        kept["content"] = features_content()
        kept["mat"] = mat_bytes(None, kept["content"])
        kept["zip"] = packed([("Features/7.mat", kept["mat"])])
        (folder / "Features.zip").write_bytes(kept["zip"])

    def packed(members):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name, content in members:
                archive.writestr(name, content)
        return file.getvalue()

    def hostile(rng):
        names = [
            "Features/8.mat",
            "../7.mat",
            "/7.mat",
            "..\\7.mat",
            "C:/7.mat",
            "Features/7.mat",
            "a/b/c/7.mat",
            "7.mat/",
            "x" * 300 + ".mat",
        ]
        contents = [kept["mat"], b"", b"\0" * 5_000_000, mat_bytes(rng, change_arrays(rng, kept["content"]))]
        chosen = [
            (names[rng.integers(len(names))], contents[rng.integers(len(contents))]) for _ in range(rng.integers(1, 4))
        ]
        return "Features.zip", packed(chosen)

    def broken(rng):
        tail = kept["zip"][-200:]  # the directory
        return one_of(
            rng,
            lambda: hostile(rng),
            lambda: ("Features.zip", change_bytes(rng, kept["zip"])),
            lambda: ("Features.zip", kept["zip"][:-200] + change_bytes(rng, tail)),
            lambda: ("Features.zip", change_bytes(rng, kept["zip"][:100]) + kept["zip"][100:]),
        )

    return Reader(prepare, written(broken), lambda folder: helo.load("dmer", folder))


def dmer_panas() -> Reader:
    kept = {}

    def prepare(folder):
        write_features(folder, people=[7], rows=np.ones(32, int))
        (folder / "Questionnaires").mkdir()
        kept["csv"] = "\n".join(
            [",".join(map(str, row)) for row in np.random.default_rng(0).integers(1, 6, (32, 10))]
        ).encode()
        (folder / "Questionnaires" / "7.csv").write_bytes(kept["csv"])

    def broken(rng):
        return "Questionnaires/7.csv", (change_text if rng.random() < 0.7 else change_bytes)(rng, kept["csv"])

    return Reader(prepare, broken, lambda folder: helo.load("dmer", folder, labels="panas", order="clips"))


def ldl_content():
    return {"features": np.random.default_rng(0).normal(size=(20, 5)), "labels": np.full((20, 4), 0.25)}


def table_text(name, content, load=None) -> Reader:
    kept = {}

    def prepare(folder):
        (folder / "own.csv").write_bytes(frame().to_csv(index=False).encode())
        kept["content"] = content()
        (folder / name).write_bytes(kept["content"])

    def broken(rng):
        return name, (change_text if rng.random() < 0.7 else change_bytes)(rng, kept["content"])

    return Reader(prepare, broken, load or (lambda folder: helo.load("table", folder / name)))


def table_packed(name, write, content, change) -> Reader:
    kept = {}

    def prepare(folder):
        kept["plain"] = write(None, content())
        (folder / name).write_bytes(kept["plain"])

    def broken(rng):
        return one_of(
            rng,
            lambda: (name, change_bytes(rng, kept["plain"])),
            lambda: (name, change_bytes(rng, write(rng, content()))),
            lambda: (name, write(rng, change(rng, content()))),
        )

    return Reader(prepare, written(broken), lambda folder: helo.load("table", folder / name))


MODELS = ("helo", "foalnet", "ridge", "aa-knn", "mixture", "early", "gban", "tensor")


def data_and_split():
    return random_data(conditions=["x", "y"] * 20), Split("s", np.arange(20), np.arange(20, 30), np.arange(30, 40))


def safetensors_reader(files, load) -> Reader:
    kept = {}

    def prepare(folder):
        kept["files"] = [path.read_bytes() for path in files(folder)]
        (folder / "file").write_bytes(kept["files"][0])

    def broken(rng):
        whole = kept["files"][rng.integers(len(kept["files"]))]
        size = int.from_bytes(whole[:8], "little")
        header, body = json.loads(whole[8 : 8 + size]), whole[8 + size :]
        if rng.random() < 0.3:
            return "file", change_bytes(rng, whole[: 8 + size]) + body
        if rng.random() < 0.2:
            return "file", whole[: 8 + size] + change_bytes(rng, body)
        if rng.random() < 0.3:
            return "file", safetensors_bytes(rng, change_json(rng, header), body)
        (key,) = header["__metadata__"]  # our configuration, JSON within JSON
        about = json.loads(header["__metadata__"][key])
        for _ in range(rng.integers(1, 4)):
            about = change_json(rng, about)
        header["__metadata__"] = {key: json.dumps(about)}
        return "file", safetensors_bytes(rng, header, body)

    return Reader(prepare, broken, load)


def models(folder):
    data, split = data_and_split()
    for name in MODELS:
        options = {"width": 16, "heads": 2} if name in ("helo", "foalnet") else {}
        model = helo.build(name, data, **options)
        if model.closed_form:
            helo.fit(model, data, split, progress=False)
        helo.save(model, folder / f"{name}.safetensors")
        yield folder / f"{name}.safetensors"


def use_model(folder):
    data, _ = data_and_split()
    model = helo.load_model(folder / "file")
    try:
        return helo.predict(model, data, np.arange(4)).distributions
    except (ValueError, FloatingPointError) as error:  # of another layout; weights of 1e30
        return str(error)


def new_model(data):
    return helo.build("helo", data, seed=0, width=16, heads=2, tokens=4)


def checkpoint(folder):
    data, split = data_and_split()
    helo.fit(new_model(data), data, split, epochs=1, batch_size=20, progress=False, checkpoint=folder / "checkpoint")
    yield folder / "checkpoint"


def use_checkpoint(folder):
    data, split = data_and_split()
    model = new_model(data)
    helo.fit(model, data, split, epochs=1, batch_size=20, progress=False, checkpoint=folder / "file")
    return weights(model)


READERS: dict[str, Callable[[], Reader]] = {
    "wesad": wesad,
    "emowalk": emowalk,
    "crema-d": crema_d,
    "dmer-mat": lambda: from_mat("Features/7.mat", features_content, lambda f: helo.load("dmer", f)),
    "dmer-zip": dmer_zip,
    "dmer-raw": lambda: from_mat(
        "Aligned_data/7/datas.mat", raw_content, lambda f: helo.load("dmer", f, form="raw", faces="none", cache=False)
    ),
    "dmer-panas": dmer_panas,
    "ldl": lambda: from_mat("x.mat", ldl_content, lambda f: helo.load("ldl", f / "x.mat")),
    "table-csv": lambda: table_text("own.csv", lambda: frame().to_csv(index=False).encode()),
    "table-card": lambda: table_text("own.yaml", CARD.encode, lambda f: helo.load("table", f / "own.csv")),
    "table-parquet": lambda: table_packed("own.parquet", parquet_bytes, frame, change_frame),
    "table-npz": lambda: table_packed("own.npz", npz_bytes, lambda: arrays(frame()), change_arrays),
    "table-mat": lambda: from_mat("own.mat", lambda: arrays(frame()), lambda f: helo.load("table", f / "own.mat")),
    "model": lambda: safetensors_reader(models, use_model),
    "checkpoint": lambda: safetensors_reader(checkpoint, use_checkpoint),
}


# --- trying -----------------------------------------------------------------------------------------------------------


class Forbidden(BaseException):
    """Something was executed, sent or written."""


class Hang(BaseException):
    pass


_guard = {"on": False}
_FORBIDDEN = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.fork",
    "subprocess.Popen",
    "socket.",
    "pickle.find_class",
    "shutil.",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.mkdir",
    "os.chmod",
    "os.symlink",
    "ctypes.dlopen",
    "urllib.",
)


def _audit(event, arguments):
    if not _guard["on"]:
        return
    writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    if writes or event.startswith(_FORBIDDEN):
        raise Forbidden(f"{event} {str(arguments)[:200]}")


def attempt(reader: Reader, folder: Path, rng: np.random.Generator, writes: bool) -> tuple[str, str]:
    """Write one broken file, read it, put the valid one back; gives "loaded", "error" or "fault", and what was said."""
    name, content = reader.broken(rng)
    path = folder / name
    valid = path.read_bytes()
    path.write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    _guard["on"] = not writes
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader.load(folder)
        outcome = "loaded", ""
    except ValueError as error:
        named = str(folder) in str(error)
        outcome = ("error", str(error)) if named else ("fault", f"{type(error).__name__} names no file: {error}")
    except (Exception, Hang, Forbidden) as error:
        outcome = "fault", f"{type(error).__name__}: {error}"
    finally:
        _guard["on"] = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        path.write_bytes(valid)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    if grown > MEGABYTES:
        outcome = "fault", f"{grown:.0f} MB for {len(content)} bytes; {outcome[1]}"
    return outcome


def work(names: list[str], seed: int, first: int, last: int, out: Path) -> None:
    """Try the files first..last-1 of the first reader and all of the others; one line of JSON each."""
    import faulthandler

    def on_alarm(*_):
        raise Hang(f"more than {SECONDS} s")

    signal.signal(signal.SIGALRM, on_alarm)
    faulthandler.disable()
    sys.addaudithook(_audit)
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    for name in names:
        reader = READERS[name]()
        with tempfile.TemporaryDirectory(dir=memory) as folder, out.open("a") as log:
            folder = Path(folder)
            reader.prepare(folder)
            reader.load(folder)  # all imports done, and what is valid loads
            for k in range(first, last):
                log.write(json.dumps([name, k, "fault", "the process died"]) + "\n")
                log.flush()
                outcome = attempt(reader, folder, generator(name, seed, k), name == "checkpoint")
                log.write(json.dumps([name, k, *outcome]) + "\n")
                log.flush()
        first = 0


def generator(name: str, seed: int, k: int) -> np.random.Generator:
    return np.random.default_rng((seed, list(READERS).index(name), k))


def run(names: list[str], seed: int, files: int, folder: Path) -> dict[str, dict[int, tuple[str, str]]]:
    """reader -> number of the file -> outcome, from processes that are started again after a crash or a hang."""
    out = folder / "outcomes.jsonl"
    out.unlink(missing_ok=True)
    results: dict[str, dict[int, tuple[str, str]]] = {name: {} for name in names}
    left, first = list(names), 0
    while left:
        command = [
            sys.executable,
            __file__,
            "--seed",
            str(seed),
            "--worker",
            ",".join(left),
            str(first),
            str(files),
            str(out),
        ]
        with (folder / "worker.log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | {"TQDM_DISABLE": "1"})
        size, still = -1, 0
        while process.poll() is None:
            time.sleep(0.2)
            now = out.stat().st_size if out.exists() else 0
            still = still + 1 if now == size else 0
            size = now
            if still > 300:  # a minute without a word: inside C code, where no alarm is heard
                process.kill()
        before = sum(map(len, results.values()))
        for line in out.read_text().splitlines() if out.exists() else []:
            name, k, kind, told = json.loads(line)
            results[name][k] = kind, told
        if sum(map(len, results.values())) == before:
            raise RuntimeError(f"{left[0]}: the worker failed before its first file; see {folder / 'worker.log'}")
        left = [name for name in left if len(results[name]) < files]
        first = len(results[left[0]]) if left else 0
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=1000, help="broken files for each reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reader", nargs="+", choices=list(READERS), help="default: all")
    parser.add_argument("--only", type=int, help="try this one file again, and show its traceback")
    parser.add_argument("--output", type=Path, default=Path("runs/fuzz"))
    parser.add_argument("--worker", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        names, first, last, out = options.worker
        work(names.split(","), options.seed, int(first), int(last), Path(out))
        return 0
    if options.only is not None:
        (only,) = options.reader
        reader = READERS[only]()
        with tempfile.TemporaryDirectory() as folder:
            reader.prepare(Path(folder))
            name, content = reader.broken(generator(only, options.seed, options.only))
            (Path(folder) / name).write_bytes(content)
            print(name, len(content), content[:300])
            print(reader.load(Path(folder)))
        return 0
    options.output.mkdir(parents=True, exist_ok=True)
    faults = []
    print("| reader | files | loaded | clear errors | faults | seconds |\n|---|---|---|---|---|---|", flush=True)
    for name in options.reader or READERS:
        started, counts = time.perf_counter(), dict.fromkeys(("loaded", "error", "fault"), 0)
        outcomes = run([name], options.seed, options.files, options.output)[name]
        for k, (kind, told) in outcomes.items():
            counts[kind] += 1
            if kind == "fault":
                faults.append(f"{name} --only {k}: {told[:300]}")
        seconds = time.perf_counter() - started
        print(
            f"| {name} | {options.files} | {' | '.join(map(str, counts.values()))} | {seconds:.0f} |",
            flush=True,
        )
    print("\n".join(["", *faults[:200]]))
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
