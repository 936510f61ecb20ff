"""Read a pickle of numpy arrays, and nothing else.

A pickle is a program: loading one can run any command, fill the memory or never end. WESAD is published as pickles, so
this reader knows only the opcodes that numpy's arrays in dictionaries and lists need, and replaces every name a pickle
may ask for by a harmless stand-in (`helo.data.pickle_parts`): arrays of plain numbers are rebuilt from their bytes,
anything else is refused.

| limit | value | raised by |
|---|---|---|
| bytes of a file | 2 GB | `HELO_MEMORY=8` in the environment, gigabytes |
| bytes of one array, as written (protocol 0 takes four for one) | 0.5 GB | `HELO_MEMORY`, a quarter of it |
| opcodes: steps of the program, about 40 an array | 500,000, a second | |
| values outside arrays; lists within lists | 10,000; 50 | |
| letters of a text outside arrays, keys too | 10,000 | |

Memory: the file's size, or twice that where its arrays are text (Python 3's protocols 0 to 2), and one array more.
"""

from __future__ import annotations

import codecs
import io
import os
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np

from helo.data.pickle_parts import ADMITTED, Array, Dtype, UnsafePickle, text_of
from helo.reading import memory, regular, shown, way_out

#: most opcodes of a file; most values and letters of a text outside its arrays; most lists within lists
OPCODES, VALUES, LETTERS, DEPTH = 500_000, 10_000, 10_000, 50
_Base: Any = pickle._Unpickler


class _Bounded(io.BufferedReader):
    """A file that refuses to read further than it reaches, so that a declared size costs nothing; nor much at once."""

    def __init__(self, path):
        super().__init__(io.FileIO(path))
        self.size, self.most = os.fstat(self.fileno()).st_size, memory() // 4

    def read(self, size=-1):
        left = self.size - self.tell()
        if size is not None and size > left:
            raise EOFError(f"declares {size} bytes where {left} are left")
        self._check(size)
        return super().read(size)

    def readline(self, size=LETTERS):
        """A line of a name or a number; with size=None of an array, which protocol 0 writes as text."""
        line = super().readline(LETTERS if size else self.most + 1)
        self._check(len(line))
        if size and line[-1:] != b"\n":
            if len(line) < LETTERS:
                raise EOFError("within a line")
            raise UnsafePickle(f"has a name or a number of more than {LETTERS} letters")
        return line

    def _check(self, size):
        if size > self.most:
            raise UnsafePickle(f"has over {self.most} bytes in one array; {way_out(4 * min(self.size, 2 * size))}")


# What numpy's arrays of numbers in dictionaries, lists and tuples are written with, in protocols 0 to 5.
_OPCODES = """
    PROTO FRAME STOP MARK PUT BINPUT LONG_BINPUT MEMOIZE GET BINGET LONG_BINGET GLOBAL STACK_GLOBAL REDUCE BUILD
    NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 FLOAT BINFLOAT
    STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8 UNICODE BINUNICODE SHORT_BINUNICODE
    EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST LIST APPEND APPENDS EMPTY_DICT DICT SETITEM SETITEMS
"""


class _Dispatch(dict):
    def __missing__(self, code):
        raise UnsafePickle(f"has the opcode {code:#04x}, which a pickle of numpy arrays does without")


def _counted(load):
    def one(self):
        self.left -= 1
        if self.left < 0:
            raise UnsafePickle(f"has more than {OPCODES} opcodes")
        load(self)

    return one


# The pure-Python unpickler: its memo is a dictionary, so a hostile index cannot make it allocate gigabytes, and an
# object's bytes are one read, so it is no slower on a file of a few large arrays.
class _Unpickler(_Base):
    def __init__(self, file):
        super().__init__(file, encoding="bytes")
        self.left = OPCODES
        self.made = file.size  # an honest file's texts become no more bytes than it has

    def find_class(self, module, name):
        if (module, name) not in ADMITTED:
            raise UnsafePickle(f"asks for {module}.{name}; only numpy arrays are read, since a pickle can run code")
        return ADMITTED[module, name]()

    def load_reduce(self):
        arguments = self.stack.pop()
        if not isinstance(arguments, tuple) or len(arguments) > 4:
            raise UnsafePickle("calls something in a way that numpy's own pickles never do")
        value = self.stack[-1](*arguments)
        self.made -= len(value) if isinstance(value, bytes) else 0
        if self.made < 0:
            raise UnsafePickle("makes more bytes than it has")
        self.stack[-1] = value

    def load_build(self):
        state = self.stack.pop()
        if not isinstance(self.stack[-1], (Array, Dtype)):
            raise UnsafePickle("gives a state to what is no array")
        self.stack[-1].__setstate__(state)

    def load_dict(self):
        items = self.pop_mark()
        self.append(_filled({}, items))

    def load_setitem(self):
        value, key = self.stack.pop(), self.stack.pop()
        _filled(self.stack[-1], [key, value])

    def load_setitems(self):
        items = self.pop_mark()
        _filled(self.stack[-1], items)

    def load_frame(self):
        self.read(8)  # its length; what is in it is read as it comes

    def load_string(self):
        line = memoryview(self._file_readline(None))[:-1]  # of a large array this is four times its size: no copies
        if len(line) < 2 or line[0] != line[-1] or line[0] not in b"\"'":
            raise pickle.UnpicklingError("the STRING opcode argument must be quoted")
        self.append(codecs.escape_decode(line[1:-1])[0])

    def load_unicode(self):
        line = self._file_readline(None)[:-1]
        wide = len(line) > LETTERS and re.search(rb"\\u(?!00)|\\U", line)
        self.append(_decoded(line, "raw-unicode-escape", wide))

    def load_binunicode(self):
        content = self.read(int.from_bytes(self.read(4), "little"))
        wide = len(content) > LETTERS and np.frombuffer(content, np.uint8).max() > 0xC3
        self.append(_decoded(content, "utf-8", wide))

    _own = {
        "REDUCE": load_reduce,
        "BUILD": load_build,
        "DICT": load_dict,
        "SETITEM": load_setitem,
        "SETITEMS": load_setitems,
        "FRAME": load_frame,
        "STRING": load_string,
        "UNICODE": load_unicode,
        "BINUNICODE": load_binunicode,
        "BYTEARRAY8": _Base.load_binbytes8,  # its own is made before it is read, at any size declared
    }
    dispatch = _Dispatch()
    for _name in _OPCODES.split():
        _code = getattr(pickle, _name)[0]
        dispatch[_code] = _counted(_own.get(_name, _Base.dispatch[_code]))


def _filled(target, items):
    """A dictionary with more items. The hash of a tuple of tuples may take for ever, or end the process."""
    if type(target) is not dict:
        raise UnsafePickle("sets an item of what is no dictionary")
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, (str, bytes)) or len(key) > LETTERS:
            raise UnsafePickle(f"has a dictionary whose keys are not text of at most {LETTERS} letters")
        target[key] = value
    return target


def _decoded(content, encoding, wide):
    """Text; a long one stands for bytes, and a wide letter in it would make it four times as large."""
    if wide:
        raise UnsafePickle(f"holds a text of more than {LETTERS} letters")
    return content.decode(encoding, "surrogatepass" if encoding == "utf-8" else "strict")


def read_arrays(path: str | Path) -> object:
    """Load a pickle of numpy arrays in dictionaries, lists, numbers and text (Python 2 or 3).

    Args:
        path: the file.

    Returns:
        What was pickled; byte strings of Python 2 as str, tuples as lists, arrays read-only.

    Raises:
        MissingFile: no such file.
        UnsafePickle: the file asks for anything but numpy arrays of plain numbers, or for more than the limits.
        ValueError: the file is truncated, is not a pickle, or is no regular file.
    """
    path = regular(path, expected="a pickle of numpy arrays")
    try:
        with _Bounded(path) as file:
            return _as_values(_Unpickler(file).load(), [VALUES])
    except UnsafePickle as error:
        raise UnsafePickle(shown(f"{path}: refused, it {error}")) from None
    except (OSError, KeyboardInterrupt):
        raise
    except EOFError as error:
        raise ValueError(f"{path}: truncated pickle ({error or 'it ends before its last value'})") from None
    except Exception as error:  # a broken pickle can fail anywhere inside the unpickler
        told = f"{path}: not a readable pickle of numpy arrays ({type(error).__name__}: {error})"
        raise ValueError(shown(told)) from None


def _as_values(value, left, depth=0):
    """The stand-ins' arrays, and byte strings as text."""
    left[0] -= 1
    if left[0] < 0:  # lists that hold one list many times over can stand for more values than there are atoms
        raise UnsafePickle(f"holds more than {VALUES:,} values outside its arrays")
    if depth > DEPTH:
        raise UnsafePickle(f"holds lists or dictionaries within one another, more than {DEPTH} deep")
    if isinstance(value, Array):
        return value.value
    if isinstance(value, tuple(ADMITTED.values())):
        raise UnsafePickle("holds a piece of an array outside an array")
    if isinstance(value, dict):
        found = {text_of(k): _as_values(v, left, depth + 1) for k, v in value.items()}
        if len(found) < len(value):
            raise UnsafePickle("has a key twice, as text and as bytes")
        return found
    if isinstance(value, (list, tuple)):
        return [_as_values(v, left, depth + 1) for v in value]
    if isinstance(value, (str, bytes)) and len(value) > LETTERS:
        raise UnsafePickle(f"holds a text of {len(value)} letters outside its arrays; expected at most {LETTERS}")
    return text_of(value)
