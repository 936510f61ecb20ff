"""Extracted features on disk, so that the second load of a data set takes a moment.

They are personal health data: the files are their owner's alone (0600), and so is the folder (0700) unless $HELO_CACHE
names one that was there; what somebody else could have put there is not read (`helo.data.cache_folder`). A file whose
checksum is wrong is built again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import stat
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from helo import checksums
from helo.data import cache_folder
from helo.data.emotion_data import EmotionData
from helo.files import code_digest
from helo.reading import shown

#: source files of up to so many bytes are known by their content, which takes 6 ms each
SMALL = 4 * 2**20


def cached(name: str, options: dict, files: Iterable[Path], make: Callable[[], EmotionData]) -> EmotionData:
    """The data set `make()` builds, from the cache where it was built before.

    The key is the options, every source file, and the code and packages that extract features, so a changed file,
    option or library never yields an old result. A file of up to `SMALL` bytes counts with its content, a larger one
    with size, inode, time of its last change and time of the last change to its entry (ctime, which no program sets):
    to read WESAD's recordings, 15 GB, takes longer than the cache may.

    Args:
        name: name of the data set, the beginning of the file's name; and of its reader in this room.
        options: everything the result depends on, as JSON.
        files: every source file.
        make: builds the data set.
    """
    files = sorted(files)
    key, room = _key(name, options, files), cache_folder.room()
    path = cache_folder.folder() / f"{name}-{key}.safetensors"
    try:
        fault = cache_folder.made()
    except OSError as error:
        fault = f"could not write the cache ({error})"
    if fault:
        warnings.warn(f"{path.parent}: {fault}; not used, the next load will be as slow", stacklevel=3)
        return make()
    if os.path.lexists(path):
        try:
            data = read(path)
            with suppress(OSError):
                os.utime(path)  # used just now
            return data
        except Exception as error:  # a damaged cache is rebuilt, whatever is wrong with it
            warnings.warn(f"{path}: unreadable cache ({shown(error, 900)}); building it again", stacklevel=3)
    data = make()
    if key == _key(name, options, files):  # no file has changed meanwhile
        try:
            write(data, path)
            cache_folder.make_room(path, room)
        except OSError as error:
            told = f"could not write the cache ({error}); the next load will be as slow"
            warnings.warn(f"{path}: {told}", stacklevel=3)
    return data


def _key(name, options, files):
    key = hashlib.sha256(json.dumps([name, options], sort_keys=True).encode())
    for file in files:
        about = file.stat()
        if stat.S_ISREG(about.st_mode) and about.st_size <= SMALL:
            state = hashlib.sha256(file.read_bytes()).hexdigest()
        else:
            state = f"{about.st_size}|{about.st_mtime_ns}|{about.st_ctime_ns}|{about.st_ino}"
        key.update(os.fsencode(file.resolve()) + f"|{state}\n".encode())
    for package in ("neurokit2", "numpy", "scipy", "pandas", "mne"):
        with suppress(PackageNotFoundError):  # without it nothing is read with it
            key.update(f"{package} {version(package)}".encode())
    reader = Path(__file__).with_name(f"{name}.py").exists()  # its code, and what it uses; else the whole room's
    key.update((code_digest(modules=[f"helo.data.{name}"]) if reader else code_digest("data/*.py")).encode())
    return key.hexdigest()[:16]


_ARRAYS = ("distributions", "subjects", "trials", "clips", "conditions", "starts")
_GROUPS = ("signals", "masks", "truth")


def write(data: EmotionData, path: Path) -> None:
    """Write a data set as one safetensors file, atomically; the raw recordings are not kept."""
    from safetensors.numpy import save

    arrays: dict[str, np.ndarray] = {}
    about: dict[str, object] = {"entry": path.name}
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
    checksums.write(path, "emotion_data", about, arrays, save)


def read(path: Path) -> EmotionData:
    """The data set that `write` wrote.

    Raises:
        ValueError: the file is damaged, of another entry, or somebody else can have written it.
    """
    from safetensors.numpy import load

    fault = "is a link" if path.is_symlink() else cache_folder.open_to_others(path)
    if fault:
        raise ValueError(fault)
    about, arrays = checksums.read(path, "emotion_data", load)
    if about.pop("entry") != path.name:
        raise ValueError("is another entry's file")
    fields = about | {group: {} for group in _GROUPS}
    for key, x in arrays.items():
        group, _, name = key.partition("/")
        if group in _GROUPS:
            fields[group][name] = x
        elif isinstance(fields.get(key), list):
            fields[key] = np.array(fields[key])[x]
        else:
            fields[key] = x
    return EmotionData(**fields)
