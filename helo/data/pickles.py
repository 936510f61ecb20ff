"""Read a pickle of numpy arrays, and nothing else.

A pickle is a program: loading one can run any command. WESAD is published as pickles, so this reader replaces every
name a pickle may ask for by a harmless stand-in: arrays of plain numbers are rebuilt from their bytes, anything else is
refused. numpy's own `__setstate__` is never called, since a forged state can damage the process.
"""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path

import numpy as np


class UnsafePickle(ValueError):
    """The pickle asks for something other than numpy arrays."""


class _Type:
    """Stands for numpy.ndarray where a pickle names it as the class to build."""

    __slots__ = ()


class _Dtype:
    """numpy.dtype of plain numbers; its state may set the byte order and nothing else."""

    __slots__ = ("_value",)
    _value: np.dtype

    def __call__(self, name, *_):
        made = _Dtype()
        made._value = np.dtype(_text(name))
        if made._value.kind not in "biufc":
            raise UnsafePickle(f"holds an array of type {made._value}; expected plain numbers")
        return made

    def __setstate__(self, state: tuple) -> None:
        order = _text(state[1])
        if order not in "<>=|" or any(part is not None for part in state[2:5]):
            raise UnsafePickle("describes a number in a way that numpy's own pickles never do")
        self._value = self._value.newbyteorder(order)


class _Array:
    """numpy's _reconstruct; the array is a view of the bytes in its state, so nothing is allocated for a mere shape."""

    __slots__ = ("_value",)

    def __call__(self, kind, shape, code):
        if not isinstance(kind, _Type):
            raise UnsafePickle("builds an array in a way that numpy's own pickles never do")
        return _Array()

    def __setstate__(self, state):
        _, shape, dtype, fortran, content = state
        if not isinstance(dtype, _Dtype) or not isinstance(content, bytes):
            raise UnsafePickle("fills an array with something other than the bytes of numbers")
        self._value = np.frombuffer(content, dtype._value).reshape(shape, order="F" if fortran else "C")


class _NoBytes:
    """bytes(), by which Python 3 writes the content of an empty array into old protocols."""

    __slots__ = ()

    def __call__(self):
        return b""


class _Bytes:
    """_codecs.encode, by which Python 3 writes bytes into old protocols."""

    __slots__ = ()

    def __call__(self, text, encoding="latin1"):
        return text.encode("latin1")


_ADMITTED = {
    ("numpy", "ndarray"): _Type,
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("_codecs", "encode"): _Bytes,
    ("__builtin__", "bytes"): _NoBytes,
}


class _Bounded(io.BufferedReader):
    """A file that refuses to read further than it reaches, so that a declared size costs nothing."""

    def __init__(self, path):
        super().__init__(io.FileIO(path))
        self.size = os.path.getsize(path)

    def read(self, size=-1):
        if size is not None and size > self.size - self.tell():
            raise EOFError(f"declares {size} bytes where {self.size - self.tell()} are left")
        return super().read(size)


# The pure-Python unpickler: its memo is a dictionary, so a hostile index cannot make it allocate gigabytes, and an
# object's bytes are one read, so it is no slower on a file of a few large arrays.
class _Unpickler(pickle._Unpickler):
    # protocol 5's bytearray is made before it is read, at any size a file cares to declare
    dispatch = {code: load for code, load in pickle._Unpickler.dispatch.items() if code != pickle.BYTEARRAY8[0]}

    def find_class(self, module, name):
        if (module, name) not in _ADMITTED:
            raise UnsafePickle(f"asks for {module}.{name}; only numpy arrays are read, since a pickle can run code")
        return _ADMITTED[module, name]()


def read_arrays(path: str | Path) -> object:
    """Load a pickle of numpy arrays in dictionaries, lists, numbers and text (Python 2 or 3).

    Args:
        path: the file.

    Returns:
        What was pickled; byte strings of Python 2 as str, tuples as lists, arrays read-only.

    Raises:
        UnsafePickle: the file asks for anything but numpy arrays of plain numbers.
        ValueError: the file is truncated or is not a pickle.
    """
    try:
        with _Bounded(path) as file:
            return _as_values(_Unpickler(file, encoding="bytes").load())
    except UnsafePickle as error:
        raise UnsafePickle(f"{path}: refused, it {error}") from None
    except (OSError, KeyboardInterrupt):
        raise
    except EOFError as error:
        raise ValueError(f"{path}: truncated pickle ({error or 'it ends before its last value'})") from None
    except Exception as error:  # a broken pickle can fail anywhere inside the unpickler
        raise ValueError(f"{path}: not a readable pickle of numpy arrays ({type(error).__name__}: {error})") from None


def _text(value):
    return value.decode("latin1") if isinstance(value, bytes) else value


def _as_values(value, count=None):
    """The stand-ins' arrays, and byte strings as text."""
    count = [0] if count is None else count
    count[0] += 1
    if count[0] > 10_000:  # lists that hold one list many times over can stand for more values than there are atoms
        raise UnsafePickle("holds more than 10,000 values outside its arrays")
    if isinstance(value, _Array):
        return value._value
    if isinstance(value, (_Dtype, _Type, _Bytes, _NoBytes)):
        raise UnsafePickle("holds a piece of an array outside an array")
    if isinstance(value, dict):
        return {_text(k): _as_values(v, count) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_values(v, count) for v in value]
    return _text(value)
