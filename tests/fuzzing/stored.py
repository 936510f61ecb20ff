"""What this library writes: models, checkpoints, entries of the cache."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from conftest import random_data

import helo
from fuzzing.changes import change_bytes, change_json
from fuzzing.trial import Reader
from fuzzing.writers import safetensors_bytes
from helo.checksums import sealed
from helo.data.cache import cached
from helo.data.splits import Split
from helo.training.checkpoints import weights

MODELS = ("helo", "foalnet", "ridge", "aa-knn", "mixture", "early", "gban", "tensor")


def data_and_split():
    return random_data(conditions=["x", "y"] * 20), Split("s", np.arange(20), np.arange(20, 30), np.arange(30, 40))


def split_file(whole: bytes) -> tuple[dict, bytes]:
    """Header and tensors of a safetensors file."""
    size = int.from_bytes(whole[:8], "little")
    return json.loads(whole[8 : 8 + size]), whole[8 + size :]


class Stored(NamedTuple):
    """files(folder) writes some; load(folder) reads the one called `name`, or the only one where that is None."""

    files: Callable[[Path], Iterator[Path]]
    load: Callable[[Path], object]
    name: str | None = "file"
    writes: bool = False

    def reader(self, change, numbers: bool) -> Reader:
        """change(rng, content) breaks a valid file's content."""
        kept, names = {}, []

        def prepare(folder):
            paths = list(self.files(folder))
            kept["files"] = [path.read_bytes() for path in paths]
            names[:] = [self.name or paths[0].relative_to(folder).as_posix()]
            (folder / names[0]).write_bytes(kept["files"][0])

        def broken(rng):
            # other numbers are seen where the valid file is the first
            whole = kept["files"][0 if numbers else rng.integers(len(kept["files"]))]
            return names[0], change(rng, whole)

        return Reader(prepare, broken, self.load, names, numbers=numbers_of if numbers else None, writes=self.writes)


def mutated(rng, whole: bytes) -> bytes:
    header, body = split_file(whole)
    size = len(whole) - 8 - len(body)
    if rng.random() < 0.3:
        return change_bytes(rng, whole[: 8 + size]) + body
    if rng.random() < 0.2:
        return whole[: 8 + size] + change_bytes(rng, body)
    if rng.random() < 0.3:
        return safetensors_bytes(rng, change_json(rng, header), body)
    (key,) = header["__metadata__"]  # our configuration, JSON within JSON
    about = json.loads(header["__metadata__"][key])
    for _ in range(rng.integers(1, 4)):
        about = change_json(rng, about)
    if isinstance(about, dict) and rng.random() < 0.8:  # signed anew, as a forger does
        about = {"sha256": "0" * 64} | {name: x for name, x in about.items() if name != "sha256"}
        header["__metadata__"] = {key: json.dumps(about)}
        return sealed(safetensors_bytes(rng, header, body))
    header["__metadata__"] = {key: json.dumps(about)}
    return safetensors_bytes(rng, header, body)


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


def use_entry(folder):
    """A data set through the cache: a damaged entry is made again."""
    os.environ["HELO_CACHE"] = str(folder / "cache")
    return cached("study", {"seed": 0}, [Path(__file__)], lambda: data_and_split()[0])


def entry(folder):
    """The only entry of a cache; its name is known once it is there."""
    use_entry(folder)
    (path,) = (folder / "cache").glob("*.safetensors")
    yield path


def numbers_of(found) -> bytes:
    """What was loaded, bit by bit: distributions, weights, or a data set."""
    if isinstance(found, str):
        return found.encode()
    if isinstance(found, np.ndarray):
        return found.tobytes()
    if isinstance(found, dict):
        return b"".join(name.encode() + x.numpy().tobytes() for name, x in found.items())
    arrays = [found.distributions, *found.signals.values(), *found.masks.values()]
    each = (found.subjects, found.trials, found.clips, found.conditions, found.starts)
    names = [x if x is None else x.tolist() for x in each]
    about = (found.name, found.emotions, found.roles, found.query, found.window, found.features, found.tokens)
    return b"".join(x.tobytes() for x in arrays) + repr((names, about)).encode()


KINDS = {
    "model": Stored(models, use_model),
    "checkpoint": Stored(checkpoint, use_checkpoint, writes=True),
    "cache": Stored(entry, use_entry, None, writes=True),
}
