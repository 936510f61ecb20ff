"""Arrays of numbers and text out of .npz and .mat files that nobody vouches for.

numpy's and SciPy's own readers trust what a file declares: an object array in an .npz is a pickle, a few kilobytes may
declare or unpack to gigabytes, and a .mat file of cells within cells ends SciPy's reader by a crash of the process.
These readers take numbers and text, never more of them than the file can honestly hold, and refuse or pass over the
rest.
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

#: A file may unpack to a hundred times its size, or to this, whichever is more. Real recordings stay below ten times.
FREE = 64 * 2**20


class Refused(ValueError):
    """The file declares or unpacks to more than it can honestly hold, or holds what is not data."""


def room(size: int) -> int:
    """Bytes that a packed file of `size` bytes may unpack to."""
    return max(FREE, 100 * size)


@contextmanager
def open_zip(path: str | Path) -> Iterator[zipfile.ZipFile]:
    """A zip file whose members together unpack to no more than `room`, and whose names stay inside it.

    Raises:
        MissingFile: no such file.
        Refused: a zip bomb, or a member whose name leads out of the archive.
        ValueError: not a readable zip file.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFile(f"{path}: no such file")
    try:
        with zipfile.ZipFile(path) as archive:
            total = sum(member.file_size for member in archive.infolist())
            if total > room(path.stat().st_size):
                raise Refused(
                    f"{path}: refused, {path.stat().st_size} bytes would unpack to {total}; "
                    f"expected at most {room(path.stat().st_size)}"
                )
            for name in archive.namelist():
                parts = name.replace("\\", "/").split("/")
                if ".." in parts or parts[0] == "" or ":" in parts[0]:
                    raise Refused(f"{path}: refused, member {name!r} leads out of the archive")
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
_MATRIX, _COMPRESSED, _CELL, _CHAR = 14, 15, 1, 4
_TEXTS = {2: "latin1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}


def read_mat(path: str | Path) -> dict[str, np.ndarray]:
    """Numeric arrays, text and cells of text of a .mat file (MATLAB 5 to 7.2), by name; all else is passed over.

    A text array of r rows gives r strings, without the spaces that pad them.

    Raises:
        MissingFile: no such file.
        Refused: a compressed variable unpacks to more than the file can honestly hold, or declares more than its bytes.
        ValueError: not a readable .mat file, or one of version 7.3.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFile(f"{path}: no such file")
    content = path.read_bytes()
    return parse_mat(content, str(path))


def parse_mat(content: bytes, source: str) -> dict[str, np.ndarray]:
    """As `read_mat`, of a file's content; `source` names it in errors."""
    if content[:19] == b"MATLAB 7.3 MAT-file" or content[:8] == b"\x89HDF\r\n\x1a\n":
        raise ValueError(f"{source}: a MATLAB 7.3 file; save it with the option -v7")
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    if order is None or len(content) < 128:
        raise ValueError(f"{source}: not a MATLAB 5 to 7.2 file (no 'IM' or 'MI' at byte 126)")
    found, left = {}, room(len(content))
    try:
        for kind, body in _elements(memoryview(content)[128:], order):
            if kind == _COMPRESSED:
                unpacked = zlib.decompressobj().decompress(body, left)
                left -= len(unpacked)
                if left <= 0:
                    raise Refused(f"unpacks to more than {room(len(content))} bytes")
                kind, body = next(_elements(memoryview(unpacked), order), (None, None))
            if kind == _MATRIX and len(body):
                name, value = _variable(body, order)
                if value is not None:
                    found[name] = value
    except Refused as error:
        raise Refused(f"{source}: refused, {error}") from None
    except (struct.error, zlib.error, ValueError, LookupError) as error:
        raise ValueError(f"{source}: not a readable .mat file ({type(error).__name__}: {error})") from None
    return found


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


def _variable(body, order, inside=False):
    rest = _elements(body, order)
    parts = list(islice(rest, 3))
    if len(parts) < 3 or len(parts[0][1]) < 8:
        raise ValueError("an array without flags, shape or name")
    flags = struct.unpack_from(order + "I", parts[0][1])[0]
    shape = [int(length) for length in np.frombuffer(parts[1][1], order + "i4")]
    name = bytes(parts[2][1]).decode("latin1")
    kind, is_complex = flags & 0xFF, bool(flags & 0x800)
    where = f"variable {name[:50]!r}"
    if kind in _CLASSES:
        value = _numbers(where, next(rest, (0, b"")), order, shape)
        if is_complex:
            value = value.astype(np.complex128)
            value.imag = _numbers(where, next(rest, (0, b"")), order, shape)
            return name, value
        return name, value.astype(_CLASSES[kind])
    if kind == _CHAR:
        return name, _text(where, next(rest, (2, b"")), order, shape)
    if kind == _CELL and not inside:
        cells = [_variable(item, order, inside=True)[1] for code, item in rest if code == _MATRIX and len(item)]
        if cells and all(isinstance(c, np.ndarray) and c.dtype.kind == "U" and c.size == 1 for c in cells):
            return name, np.array([str(c[0]) for c in cells])
    return name, None


def _numbers(where, element, order, shape):
    code, content = element
    if code not in _TYPES:
        raise ValueError(f"{where} is stored as type {code}; expected numbers")
    return _shaped(where, content, np.dtype(order + _TYPES[code]), shape, "F")


def _text(where, element, order, shape):
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
    return np.array(["".join(letters[row::rows]).rstrip() for row in range(rows)])
