"""What describes a file's content: a header's fields, a model's options, a table's schema, results as JSON."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path

from test_table import frame

import helo
from fuzzing.changes import CELLS, INTERESTING, JSON, change_bytes, change_json
from fuzzing.pickles import size
from fuzzing.stored import split_file
from fuzzing.trial import Reader, written
from fuzzing.writers import parquet_bytes, safetensors_bytes
from helo.checksums import sealed

_VALUES = [True, False, None, 0, -1, 1, 2, 3, 10**5, 10**6, 2**31, 2**62, 10**400, 0.5, 1e-320, 1e-5, 1e308, -1e308]
_VALUES += [float("inf"), float("-inf"), float("nan"), "", "true", "inf", "x" * 5000, "\x1b[31m", [], {}, [1], {"a": 1}]
_TYPES = ["F64", "F32", "F16", "BF16", "I64", "I32", "I8", "U8", "BOOL", "F8_E4M3", "x", "", None, 1]


def hostile(rng, whole: bytes) -> bytes:
    """A safetensors file of ours, in which one to three fields of header or configuration say something else."""
    header, body = split_file(whole)
    ((key, said),) = header["__metadata__"].items()
    about = json.loads(said)
    for _ in range(rng.integers(1, 4)):
        match rng.integers(5):
            case 0 | 1:  # an option, a setting
                group = [
                    g for g in (about.get("options"), about.get("settings"), about) if isinstance(g, dict) and g
                ] or [{"x": 1}]
                group = group[rng.integers(len(group))]
                group[list(group)[rng.integers(len(group))]] = value(rng)
            case 2:
                about = change_json(rng, about)
                about = about if isinstance(about, dict) else {"model": about}
            case 3:
                tensor(rng, header)
            case 4:
                header["__metadata__"][str(CELLS[rng.integers(len(CELLS))])] = "x" * size(rng, 100_000)
    sign = rng.random() < 0.8  # as a forger does; a checksum keeps the others out
    if sign:
        about = {"sha256": "0" * 64} | {name: x for name, x in about.items() if name != "sha256"}
    header["__metadata__"][key] = json.dumps(about) if rng.random() < 0.95 else "[" * size(rng, 100_000)
    content = safetensors_bytes(rng, header, body)
    return sealed(content) if sign else content


def value(rng):
    return _VALUES[rng.integers(len(_VALUES))] if rng.random() < 0.9 else JSON[rng.integers(len(JSON))]


def tensor(rng, header):
    names = [name for name in header if name != "__metadata__"]
    name = names[rng.integers(len(names))]
    about = dict(header[name])
    numbers = [INTERESTING[k] for k in rng.integers(len(INTERESTING), size=int(rng.integers(4)))]
    match rng.integers(6):
        case 0:
            about["dtype"] = _TYPES[rng.integers(len(_TYPES))]
        case 1:
            about["shape"] = numbers
        case 2:
            about["data_offsets"] = numbers
        case 3:
            header["x" * size(rng, 100_000)] = header.pop(name)
            return
        case 4:
            other = names[rng.integers(len(names))]
            header[name], header[other] = header[other], header[name]
            return
        case 5:
            header |= {f"x{k}": about | {"shape": [0], "data_offsets": [0, 0]} for k in range(size(rng, 10_000))}
            return
    header[name] = about


def parquet() -> Reader:
    """The footer of a Parquet file, and what pandas writes into it."""
    kept = {}

    def prepare(folder):
        kept["plain"] = parquet_bytes(None, frame())
        (folder / "own.parquet").write_bytes(kept["plain"])

    def broken(rng):
        if rng.random() < 0.4:
            return "own.parquet", described(rng)
        (length,) = struct.unpack("<I", kept["plain"][-8:-4])
        start = len(kept["plain"]) - 8 - length
        footer = change_bytes(rng, kept["plain"][start:-8])
        told = len(footer) if rng.random() < 0.9 else INTERESTING[rng.integers(len(INTERESTING))] % 2**32
        return "own.parquet", kept["plain"][:start] + footer + struct.pack("<I", told) + b"PAR1"

    return Reader(prepare, written(broken), lambda folder: helo.load("table", folder / "own.parquet"))


def described(rng):
    import pyarrow as pa
    import pyarrow.parquet as pq

    whole = pa.Table.from_pandas(frame())
    about = json.loads(whole.schema.metadata[b"pandas"])
    for _ in range(rng.integers(1, 4)):
        about = change_json(rng, about)
    more = {CELLS[rng.integers(24)].encode() or b"x": b"y" * size(rng, 100_000)}
    whole = whole.replace_schema_metadata({b"pandas": json.dumps(about).encode(), **more})
    file = io.BytesIO()
    pq.write_table(whole, file)
    return file.getvalue()


def results() -> Reader:
    """A sweep's folder: its plan, results, errors and versions, of which one says something else."""
    from helo.batch.collection import collect

    kept = {}

    def prepare(folder):
        runs = {f"run-{k}": {"seed": k, "width": 32} for k in range(3)}
        kept["sweep.json"] = {"notebook": "02_train.ipynb", "runs": runs}
        for run in runs:
            kept[f"{run}/result.json"] = {"kl": 0.1, "each": {"a": 1, "b": [1, 2]}, "people": "[]"}
            kept[f"{run}/versions.json"] = {"code": "x", "seconds": 1.5}
            kept[f"{run}/parameters.json"] = {"notebook": "02_train.ipynb", "parameters": runs[run]}
            (folder / run).mkdir()
        for name, content in kept.items():
            (folder / name).write_text(json.dumps(content))

    def broken(rng):
        name = sorted(kept)[rng.integers(len(kept))]
        content = kept[name]
        for _ in range(rng.integers(1, 4)):
            content = change_json(rng, content)
        text = json.dumps(content).encode()
        ways = (text, text, text, change_bytes(rng, text), b"[" * size(rng, 100_000), b'{"a":' * size(rng, 100_000))
        ways += (
            b"9" * size(rng, 100_000),
            b'{"kl": 1e999, "kl": -Infinity, "\\ud800": "\\ud800"}',
            b'{"a": 1' + b"0" * 400 + b"}",
        )
        return name, ways[rng.integers(len(ways))]

    def load(folder: Path):
        table = collect(folder)
        table.to_parquet(io.BytesIO())
        return table

    return Reader(prepare, broken, load, tuple(["sweep.json", "run-0/result.json", "run-1", "run-2/versions.json"]))
