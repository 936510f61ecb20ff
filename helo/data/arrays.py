"""Arrays of numbers and text out of .npz and .mat files that nobody vouches for.

numpy's and SciPy's own readers trust what a file declares: an object array in an .npz is a pickle, a few kilobytes may
declare or unpack to gigabytes, and a .mat file of cells within cells ends SciPy's reader by a crash of the process.
These readers take numbers and text, never more of them than the file can honestly hold, and refuse the rest or say what
it is.

| limit | value | raised by |
|---|---|---|
| bytes of a file | 2 GB | `HELO_MEMORY=8` in the environment, gigabytes |
| bytes it unpacks to, sparse arrays and text in full | 64 MiB or 100 times its size, at most 2 GB | `HELO_MEMORY` |
| arrays of a file | 100,000 | |
| cells of a MATLAB cell array | a million | |
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import numpy as np

from helo.files import MissingFile
from helo.reading import is_raised, memory, regular, way_out

#: A file may unpack to a hundred times its size, or to this, whichever is more. Real recordings stay below ten times.
FREE = 64 * 2**20
#: most arrays of a file, and most cells of a cell array: each takes time, however small it is
ARRAYS, CELLS = 100_000, 1_000_000


class Refused(ValueError):
    """The file declares or unpacks to more than it can honestly hold, or holds what is not data."""


def room(size: int) -> int:
    """Bytes that a packed file of `size` bytes may unpack to; all of $HELO_MEMORY where the user has set it."""
    return memory() if is_raised() else min(memory(), max(FREE, 100 * size))


@contextmanager
def open_zip(path: str | Path) -> Iterator[zipfile.ZipFile]:
    """A zip file whose members together unpack to no more than `room`, and whose names stay inside it.

    Raises:
        MissingFile: no such file.
        Refused: a zip bomb, or a member whose name leads out of the archive.
        ValueError: not a readable zip file.
    """
    path = regular(path, expected="a zip file")
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(path, archive)
            yield archive
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        NotImplementedError,
        RuntimeError,
        struct.error,
        UnicodeError,
    ) as error:
        if isinstance(error, MissingFile):  # of another file, while this one was open
            raise
        raise ValueError(f"{path}: not a readable zip file ({type(error).__name__}: {error})") from None


def _check_members(path, archive):
    size, total = path.stat().st_size, sum(member.file_size for member in archive.infolist())
    if total > room(size):
        raise Refused(
            f"{path}: refused, {size} bytes would unpack to {total}; expected at most {room(size)}; {way_out(total)}"
        )
    names = archive.namelist()
    if len(names) > ARRAYS or len(set(names)) < len(names):
        raise Refused(f"{path}: refused, {len(names)} members; expected at most {ARRAYS}, each name once")
    for name in names:
        parts = name.replace("\\", "/").split("/")
        if ".." in parts or parts[0] == "" or ":" in parts[0]:
            raise Refused(f"{path}: refused, member {name[:200]!r} leads out of the archive")


def read_npz(path: str | Path) -> dict[str, np.ndarray]:
    """All arrays of an .npz file, by name; numbers, truth values and text.

    Raises:
        MissingFile: no such file.
        Refused: an object array (a pickle), a zip bomb, or an array that declares more than its bytes.
        ValueError: not a readable .npz file.
    """
    with open_zip(path) as archive:
        found = {}
        for name in archive.namelist():
            if not name.endswith(".npy"):
                raise ValueError(f"{path}: holds {name!r}; expected arrays (.npy) only")
            with archive.open(name) as file:
                found[name.removesuffix(".npy")] = _npy(f"{path}: array {name.removesuffix('.npy')!r}", file)
        return found


def _npy(where, file):
    try:
        version = np.lib.format.read_magic(file)
        header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, fortran, dtype = header(file)
    except (zlib.error, zipfile.BadZipFile):
        raise
    except Exception as error:  # the header is a Python literal and may be broken in any way
        raise ValueError(f"{where} has no readable header ({type(error).__name__}: {str(error)[:200]})") from None
    if dtype.kind not in "biufcUS":
        raise Refused(f"{where} is of type {str(dtype)[:50]}; refused, only numbers and text are read, never a pickle")
    content = file.read()
    return _shaped(where, content, dtype, shape, "F" if fortran else "C")


def _shaped(where, content, dtype, shape, order):
    """The declared array, if its bytes are all there and no others."""
    size = dtype.itemsize
    for length in shape:
        if length < 0:
            raise Refused(f"{where} has shape {_short(shape)}; expected lengths of at least 0")
        size *= int(length)
    if size != len(content) or dtype.itemsize == 0 or len(shape) > 8:
        raise Refused(f"{where} declares {_short(shape)} of {dtype}, {size} bytes, and holds {len(content)}")
    return np.frombuffer(content, dtype).reshape(shape, order=order)


def _short(shape):
    return str(tuple(shape))[:80]


# MATLAB's level 5 format: https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_MATRIX, _COMPRESSED, _CELL, _CHAR, _SPARSE, _OBJECT = 14, 15, 1, 4, 5, 17
_OTHERS = {_CELL: "a cell array", 2: "a structure", 3: "an object", 16: "a function", _OBJECT: "an object"}
_TEXTS = {2: "latin1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}


def read_mat(path: str | Path) -> dict[str, np.ndarray]:
    """Numeric arrays, text and cells of text of a .mat file (MATLAB 5 to 7.2), by name; all else is passed over.

    A sparse array is given in full. A text array of r rows gives r strings, without the spaces that pad them.

    Raises:
        MissingFile: no such file.
        Refused: a compressed variable unpacks to more than the file can honestly hold, or declares more than its bytes.
        ValueError: not a readable .mat file, or one of version 7.3.
    """
    return read_mat_and_others(path)[0]


def read_mat_and_others(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """As `read_mat`; and what else the file holds, name -> what it is, such as "a structure"."""
    path = regular(path, expected="a .mat file")
    return _parse(path.read_bytes(), str(path))


def parse_mat(content: bytes, source: str, most: int | None = None) -> dict[str, np.ndarray]:
    """As `read_mat`, of a file's content; `source` names it in errors; `most` bytes, for one that was packed itself."""
    return _parse(content, source, most)[0]


def _parse(content, source, most=None):
    if content[:19] == b"MATLAB 7.3 MAT-file" or content[:8] == b"\x89HDF\r\n\x1a\n":
        raise ValueError(f"{source}: a MATLAB 7.3 file; save it with the option -v7")
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    if order is None or len(content) < 128:
        raise ValueError(f"{source}: not a MATLAB 5 to 7.2 file (no 'IM' or 'MI' at byte 126)")
    found: dict[str, np.ndarray] = {}
    others: dict[str, str] = {}
    most = left = most or room(len(content))
    try:
        for kind, body in _elements(memoryview(content)[128:], order):
            if kind == _COMPRESSED:
                unpacked = zlib.decompressobj().decompress(body, left)
                left -= len(unpacked)
                kind, body = next(_elements(memoryview(unpacked), order), (None, None)) if left > 0 else (None, None)
            if kind == _MATRIX and len(body):
                name, value = _variable(body, order, left)
                if (name and (name in found or name in others)) or len(found) + len(others) >= ARRAYS:
                    raise Refused(f"variable {name[:50]!r} is there twice, or one of more than {ARRAYS}")
                if isinstance(value, str):
                    others[name] = value
                else:
                    found[name] = value
                    left -= 0 if value.base is not None else value.nbytes  # made here, beside the file's own bytes
            if left <= 0:
                raise Refused(f"unpacks to more than {most} bytes; {way_out(10 * most)}")
    except Refused as error:
        raise Refused(f"{source}: refused, {error}") from None
    except (struct.error, zlib.error, ValueError, LookupError, OverflowError) as error:
        raise ValueError(f"{source}: not a readable .mat file ({type(error).__name__}: {error})") from None
    others.pop("", None)  # what MATLAB keeps for itself
    return found, others


def _elements(view, order):
    """Type and bytes of one data element after the other."""
    at = 0
    while at + 8 <= len(view):
        kind, size = struct.unpack_from(order + "II", view, at)
        if kind >> 16:  # up to four bytes are kept within the tag
            kind, size, start, step = kind & 0xFFFF, kind >> 16, at + 4, 8
            if size > 4:
                raise ValueError(f"a small element of {size} bytes; expected at most 4")
        else:
            start, step = at + 8, 8 + size + (0 if kind == _COMPRESSED else -size % 8)
        if start + size > len(view):
            raise ValueError(f"an element declares {size} bytes where {len(view) - start} are left")
        yield kind, view[start : start + size]
        at += step


def _variable(body, order, most, inside=False):
    """Name and array; in the place of one that is no array of numbers or text, what it is."""
    rest = _elements(body, order)
    parts = list(islice(rest, 3))
    if len(parts) < 3 or len(parts[0][1]) < 8:
        raise ValueError("an array without flags, shape or name")
    flags = struct.unpack_from(order + "I", parts[0][1])[0]
    kind, is_complex = flags & 0xFF, bool(flags & 0x800)
    name = bytes(parts[1 if kind == _OBJECT else 2][1]).decode("latin1")
    where = f"variable {name[:50]!r}"
    if kind == _OBJECT:  # has no shape: name, system, class
        return name, f"an object of MATLAB's class {bytes(next(rest, (0, b''))[1]).decode('latin1')[:50]!r}"
    shape = [int(length) for length in np.frombuffer(parts[1][1], order + "i4")]
    if kind in _CLASSES:
        value = _numbers(where, next(rest, (0, b"")), order, shape)
        needed = value.size * (16 if is_complex else np.dtype(_CLASSES[kind]).itemsize)
        if needed > memory():  # whole numbers are stored in fewer bytes than they take here
            raise Refused(f"{where} has shape {_short(shape)}, {needed} bytes; {way_out(needed)}")
        if is_complex:
            value = value.astype(np.complex128)
            value.imag = _numbers(where, next(rest, (0, b"")), order, shape)
            return name, value
        return name, value.astype(_CLASSES[kind], copy=False)
    if kind == _SPARSE:
        return name, "a sparse array of complex numbers" if is_complex else _sparse(where, rest, order, shape, most)
    if kind == _CHAR:
        return name, _text(where, next(rest, (2, b"")), order, shape, most)
    if kind == _CELL and not inside:
        cells = [
            _variable(item, order, most, inside=True)[1]
            for code, item in islice(rest, CELLS)
            if code == _MATRIX and len(item)
        ]
        if cells and all(isinstance(c, np.ndarray) and c.dtype.kind == "U" and c.size == 1 for c in cells):
            if next(rest, None) is not None:
                raise Refused(f"{where} has more than {CELLS} cells")
            return name, _texts(where, [str(c[0]) for c in cells], most)
    return name, _OTHERS.get(kind, "of an unknown class")


def _numbers(where, element, order, shape):
    code, content = element
    if code not in _TYPES:
        raise ValueError(f"{where} is stored as type {code}; expected numbers")
    return _shaped(where, content, np.dtype(order + _TYPES[code]), shape, "F")


def _sparse(where, parts, order, shape, most):
    """A sparse array in full, of the entries' rows, where each column begins among them, and their values."""
    rows, columns, values = (next(parts, (0, b"")) for _ in range(3))
    if len(shape) != 2 or min(shape) < 0 or 8 * shape[0] * shape[1] > most:
        told = f"; {way_out(8 * shape[0] * shape[1])}" if len(shape) == 2 and min(shape) >= 0 else ""
        raise Refused(f"{where} is sparse, of shape {_short(shape)}; expected at most {most} bytes in full{told}")
    starts = _numbers(where, columns, order, [shape[1] + 1]).astype(np.int64)
    count = int(starts[-1])
    row, value = (np.frombuffer(part, order + _TYPES[code])[:count] for code, part in (rows, values))
    sound = starts[0] == 0 and (np.diff(starts) >= 0).all() and len(row) == len(value) == count
    if not sound or (count and not 0 <= row.min() <= row.max() < shape[0]):
        raise Refused(f"{where} is sparse, and its {count} entries lie outside its shape {_short(shape)}")
    full = np.zeros(shape)
    full[row, np.repeat(np.arange(shape[1]), np.diff(starts))] = value
    return full


def _texts(where, texts, most):
    """Strings as an array, in which each is as wide as the widest."""
    needed = 4 * len(texts) * max(map(len, texts))
    if needed > most:
        raise Refused(f"{where} has {len(texts)} texts, the longest of {needed // 4 // len(texts)} letters: too many")
    return np.array(texts)


def _text(where, element, order, shape, most):
    code, content = element
    encoding = _TEXTS.get(code, "latin1")
    if encoding in ("utf-16", "utf-32"):
        encoding += "-le" if order == "<" else "-be"
    letters = bytes(content).decode(encoding)
    rows = shape[0] if len(shape) == 2 else -1
    if rows < 0 or rows * shape[1] != len(letters):
        raise Refused(f"{where} declares {_short(shape)} letters and holds {len(letters)}")
    if not letters:
        return np.array([""])
    return _texts(where, ["".join(letters[row::rows]).rstrip() for row in range(rows)], most)
