"""What a pickle of numpy arrays may name, and what it gets instead: stand-ins that can do nothing but hold an array.

numpy's own `__setstate__` is never called, since a forged state can damage the process.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

_PLAIN = re.compile("[biufc][0-9]{1,2}")


class UnsafePickle(ValueError):
    """The pickle asks for something other than numpy arrays."""


def text_of(value: object) -> Any:
    """Byte strings of Python 2 as str; anything else as it is."""
    return value.decode("latin1") if isinstance(value, bytes) else value


class Type:
    """Stands for numpy.ndarray where a pickle names it as the class to build."""

    __slots__ = ()


class Dtype:
    """numpy.dtype of plain numbers; its state may set the byte order and nothing else."""

    __slots__ = ("value",)
    value: np.dtype

    def __call__(self, name, *_):
        told = text_of(name) if isinstance(name, (str, bytes)) and len(name) < 100 else "of no name"
        if not _PLAIN.fullmatch(told):
            raise UnsafePickle(f"holds an array of type {told}; expected plain numbers")
        made = Dtype()
        made.value = np.dtype(told)
        return made

    def __setstate__(self, state):
        order = state[1] if isinstance(state, tuple) and len(state) >= 5 else None
        if order not in (*"<>=|", b"<", b">", b"=", b"|") or any(part is not None for part in state[2:5]):
            raise UnsafePickle("describes a number in a way that numpy's own pickles never do")
        self.value = self.value.newbyteorder(text_of(order))


class Array:
    """numpy's _reconstruct; the array is a view of the bytes in its state, so nothing is allocated for a mere shape."""

    __slots__ = ("value",)

    def __call__(self, kind, shape, code):
        if not isinstance(kind, Type):
            raise UnsafePickle("builds an array in a way that numpy's own pickles never do")
        return Array()

    def __setstate__(self, state):
        _, shape, dtype, fortran, content = state
        if not isinstance(dtype, Dtype) or not isinstance(content, bytes):
            raise UnsafePickle("fills an array with something other than the bytes of numbers")
        if not isinstance(shape, tuple) or len(shape) > 32 or not all(isinstance(length, int) for length in shape):
            raise UnsafePickle("gives an array a shape that is none")
        self.value = np.frombuffer(content, dtype.value).reshape(shape, order="F" if fortran else "C")


class FromBuffer:
    """numpy's _frombuffer, by which protocol 5 writes an array."""

    __slots__ = ()

    def __call__(self, content, dtype, shape, order):
        made = Array()
        made.__setstate__((1, shape, dtype, order in ("F", b"F"), content))
        return made


class NoBytes:
    """bytes(), by which Python 3 writes the content of an empty array into old protocols."""

    __slots__ = ()

    def __call__(self):
        return b""


class Bytes:
    """_codecs.encode, by which Python 3 writes bytes into old protocols."""

    __slots__ = ()

    def __call__(self, text, encoding="latin1"):
        return text.encode("latin1")


#: Module and name in a pickle -> the stand-in.
ADMITTED = {
    ("numpy", "ndarray"): Type,
    ("numpy", "dtype"): Dtype,
    ("numpy.core.multiarray", "_reconstruct"): Array,
    ("numpy._core.multiarray", "_reconstruct"): Array,
    ("numpy.core.numeric", "_frombuffer"): FromBuffer,
    ("numpy._core.numeric", "_frombuffer"): FromBuffer,
    ("_codecs", "encode"): Bytes,
    ("__builtin__", "bytes"): NoBytes,
}
