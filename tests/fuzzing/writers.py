"""How each kind of file is written; with a generator of random numbers, sometimes in a way that no program writes."""

from __future__ import annotations

import io
import json
import pickle
import zipfile

import numpy as np
from scipy.io import savemat

from fuzzing.changes import INTERESTING


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


def safetensors_bytes(rng, header: dict, body: bytes) -> bytes:
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + body


def parquet_bytes(rng, table) -> bytes:
    file = io.BytesIO()
    table.to_parquet(file, compression=None if rng is None or rng.random() < 0.5 else "gzip")
    return file.getvalue()
