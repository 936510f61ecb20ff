"""DMER's files: where they are, in a folder or a zip, and arrays checked for their shape."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from helo.data.arrays import open_zip, parse_mat, room
from helo.data.columns import check_spelling
from helo.files import MissingFile
from helo.reading import memory, regular, way_out

CLIPS, REST, CHANNELS = 32, 40, 18
#: most files and folders below Features or Aligned_data
FILES = 10_000
Arrays = dict[str, np.ndarray]  # variable -> its array
COLUMNS = {"eeg": slice(0, 90), "gsr": slice(90, 118), "ppg": slice(118, 145), "video": slice(145, 913)}


def find(root: Path, name: str) -> tuple[Path, Path]:
    """The folder below which questionnaires lie, and the folder or zip file of this form."""
    if root.is_file() or (root.is_dir() and root.name == name):
        return root.parent, root
    for source in (root / name, root / f"{name}.zip"):
        if source.exists():
            return root, source
    raise MissingFile(f"{root}: holds neither {name} nor {name}.zip; expected DMER's")


@contextmanager
def people(source: Path, end: str) -> Iterator[Mapping[str, Callable[[], tuple[str, Arrays]]]]:
    """Person -> a function that reads the person's .mat file; from a folder or a zip file."""
    pattern = re.compile(rf"(?:.*/)?([0-9]{{1,4}}){re.escape(end)}")
    found: dict[str, list[tuple[str, Callable[[], bytes]]]] = {}
    if source.is_dir():
        for count, file in enumerate(source.rglob("*")):
            if count >= FILES:  # a link to the whole disk
                raise ValueError(f"{source}: over {FILES} files and folders; expected DMER's, some hundred")
            if match := pattern.fullmatch(file.relative_to(source).as_posix()):
                found.setdefault(match[1], []).append((str(file), partial(_content, file)))
        yield _only(source, end, found, None)
        return
    with open_zip(source) as archive:
        for name in archive.namelist():
            if match := pattern.fullmatch(name):
                found.setdefault(match[1], []).append((f"{source}/{name}", partial(archive.read, name)))
        # a .mat is packed itself: it may unpack to as much as all of the zip, not to a hundred times that again
        yield _only(source, end, found, room(source.stat().st_size))


def _content(path):
    return regular(path, expected="a .mat file").read_bytes()


def _only(source, end, found, most):
    if not found:
        raise MissingFile(f"{source}: holds no <id>{end}; expected DMER's")
    for who, files in found.items():
        if len(files) > 1:
            raise ValueError(f"{source}: holds {len(files)} files {who}{end}; expected one")
    check_spelling(source, "a file's name", found)

    def reader(name, content):
        return lambda: (name, parse_mat(content(), name, most))

    return {who: reader(*found[who][0]) for who in sorted(found, key=int)}


def rows_of(path: str, arrays: Arrays, width: int | None, complex_values: str) -> tuple[np.ndarray, np.ndarray]:
    """`feas` (rows, width) and each row's clip."""
    feas = arrays.get("feas")
    if feas is not None and feas.dtype.kind == "c":
        if complex_values == "refuse":
            raise ValueError(
                f"{path}: 'feas' is complex; expected real numbers (complex_values='real' takes the real part)"
            )
        arrays = arrays | {"feas": feas.real}
    feas = array_of(path, arrays, "feas", (None, width), finite=False)
    clips = array_of(path, arrays, "vids", None).ravel()
    if len(clips) != len(feas) or not len(clips):
        raise ValueError(
            f"{path}: 'vids' has {len(clips)} entries; expected one for each of the {len(feas)} rows of 'feas'"
        )
    return feas, clips_of(path, "vids", clips)


def clips_of(path: str, field: str, values: np.ndarray, also: Sequence[int] = ()) -> np.ndarray:
    """Clips' numbers as integers, each checked."""
    good = (values == np.round(values)) & (((values >= 0) & (values < CLIPS)) | np.isin(values, also))
    if not good.all():
        at = int(np.argmin(good))
        raise ValueError(f"{path}: {field!r} is {values[at]:g} at position {at}; expected a clip from 0 to {CLIPS - 1}")
    return values.astype(int)


def array_of(
    path: str, arrays: Arrays, name: str, shape: Sequence[int | None] | None, finite: bool = True
) -> np.ndarray:
    """A numeric array of the file; None in the shape admits any length."""
    x = arrays.get(name)
    if x is None or x.dtype.kind not in "fiu":
        found = "missing" if x is None else f"of type {x.dtype}"
        raise ValueError(f"{path}: {name!r} is {found}; expected an array of numbers")
    if shape is not None and (
        x.ndim != len(shape) or any(e not in (None, n) for e, n in zip(shape, x.shape, strict=True))
    ):
        told = ", ".join("rows" if e is None else str(e) for e in shape)
        raise ValueError(f"{path}: {name!r} has shape {x.shape}; expected ({told})")
    if 8 * x.size > memory():
        raise ValueError(f"{path}: {name!r} has shape {x.shape}, {8 * x.size} bytes; {way_out(8 * x.size)}")
    x = x.astype(np.float64)
    if finite and not np.isfinite(x).all():
        at = np.argwhere(~np.isfinite(x))[0].tolist()
        raise ValueError(f"{path}: {name!r} is NaN or Inf at {at}; expected numbers")
    return x
