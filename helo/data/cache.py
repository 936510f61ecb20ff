"""Extracted features on disk, so that the second load of a data set takes a moment."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path

import numpy as np

from helo.data.emotion_data import EmotionData
from helo.files import atomic_write, code_digest


def cache_folder() -> Path:
    """$HELO_CACHE, or ~/.cache/helo."""
    return Path(os.environ.get("HELO_CACHE") or Path.home() / ".cache" / "helo")


def cached(name: str, options: dict, files: Iterable[Path], make: Callable[[], EmotionData]) -> EmotionData:
    """The data set `make()` builds, from the cache where it was built before.

    The key is the options, the name, size and time of every source file, and the code and packages that extract
    features, so a changed file, option or library never yields an old result.

    Args:
        name: name of the data set, the beginning of the file's name.
        options: everything the result depends on, as JSON.
        files: the source files.
        make: builds the data set.
    """
    key = hashlib.sha256(json.dumps([name, options], sort_keys=True).encode())
    for file in sorted(files):
        stat = file.stat()
        key.update(f"{file.resolve()}|{stat.st_size}|{stat.st_mtime_ns}\n".encode())
    for package in ("neurokit2", "numpy", "scipy"):
        key.update(f"{package} {version(package)}".encode())
    key.update(code_digest("data/*.py").encode())
    path = cache_folder() / f"{name}-{key.hexdigest()[:16]}.safetensors"
    if path.exists():
        try:
            return read(path)
        except Exception as error:  # a damaged cache is rebuilt, whatever is wrong with it
            warnings.warn(f"{path}: unreadable cache ({error}); building it again", stacklevel=3)
    data = make()
    try:
        write(data, path)
    except OSError as error:
        warnings.warn(f"{path}: could not write the cache ({error}); the next load will be slow again", stacklevel=3)
    return data


_ARRAYS = ("distributions", "subjects", "trials", "conditions", "starts")
_GROUPS = ("signals", "masks", "truth")


def write(data: EmotionData, path: Path) -> None:
    """Write a data set as one safetensors file, atomically; the raw recordings are not kept."""
    from safetensors.numpy import save

    arrays: dict[str, np.ndarray] = {}
    about: dict[str, object] = {}
    for field in dataclasses.fields(data):
        value = getattr(data, field.name)
        if field.name in _GROUPS:
            arrays |= {f"{field.name}/{m}": np.ascontiguousarray(x) for m, x in value.items()}
        elif field.name in _ARRAYS and value is not None and value.dtype.kind == "U":
            names, codes = np.unique(value, return_inverse=True)
            arrays[field.name], about[field.name] = codes.astype(np.int32), names.tolist()
        elif field.name in _ARRAYS and value is not None:
            arrays[field.name] = np.ascontiguousarray(value)
        elif field.name not in (*_ARRAYS, "recording"):
            about[field.name] = value
    atomic_write(path, save(arrays, metadata={"emotion_data": json.dumps(about)}))


def read(path: Path) -> EmotionData:
    """The data set that `write` wrote."""
    from safetensors import safe_open

    with safe_open(str(path), framework="np") as file:
        fields = json.loads(file.metadata()["emotion_data"]) | {group: {} for group in _GROUPS}
        for key in file.keys():  # noqa: SIM118 - safe_open is no mapping
            group, _, name = key.partition("/")
            if group in _GROUPS:
                fields[group][name] = file.get_tensor(key)
            elif isinstance(fields.get(key), list):
                fields[key] = np.array(fields[key])[file.get_tensor(key)]
            else:
                fields[key] = file.get_tensor(key)
    return EmotionData(**fields)
