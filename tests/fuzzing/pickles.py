"""Pickles by grammar: streams of opcodes that are valid, and whose structure is hostile."""

from __future__ import annotations

import struct
from collections.abc import Callable

from fuzzing.changes import INTERESTING, change_bytes
from fuzzing.trial import Reader
from helo.data.pickles import read_arrays

_DTYPE, _ENCODE = b"cnumpy\ndtype\n", b"c_codecs\nencode\n"
_RECONSTRUCT, _NDARRAY = b"cnumpy.core.multiarray\n_reconstruct\n", b"cnumpy\nndarray\n"
_FORBIDDEN = (
    b"cos\nsystem\n",
    b"cbuiltins\neval\n",
    b"c__builtin__\nexec\n",
    b"cnumpy\nload\n",
    b"cnumpy\nndarray.tofile\n",
    b"\x8c\x05posix\x8c\x06system\x93",
)


def size(rng, most: float = 2**18) -> int:
    """How many: mostly few, one time in fifty up to `most`."""
    return int(2 ** rng.uniform(0, 7)) if rng.random() < 0.98 else int(most ** rng.uniform(0.4, 1))


def utf8(text: bytes) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text


def number(rng) -> bytes:
    value = INTERESTING[rng.integers(len(INTERESTING))]
    digits = b"9" * size(rng)
    long = rng.bytes(min(255, size(rng)))
    return (
        b"K%c" % rng.integers(256),
        b"M" + rng.bytes(2),
        b"J" + rng.bytes(4),
        b"I%d\n" % value,
        b"L" + digits + b"L\n",
        b"F" + digits + b"e" + digits[:4] + b"\n",
        b"G" + rng.bytes(8),
        b"\x8a%c" % len(long) + long,
        b"\x8b" + struct.pack("<i", len(digits)) + digits,
        b"\x88",
        b"N",
    )[rng.integers(11)]


def text(rng) -> bytes:
    letters = bytes([rng.choice([0, 65, 92, 128, 255])]) * size(rng)
    declared = struct.pack("<I", int(rng.choice([len(letters), 0, 2**31, 2**32 - 1], p=[0.85, 0.05, 0.05, 0.05])))
    return (
        b"X" + declared + letters.replace(b"\xff", b"a").replace(b"\x80", b"b"),
        b"B" + declared + letters,
        b"T" + declared + letters,
        b"U%c" % min(255, len(letters)) + letters[:255],
        b"V" + b"\\u0041" * size(rng) + b"\n",
        b"S'" + b"\\x41" * size(rng) + b"'\n",
        b"\x8d" + declared + bytes(4) + b"a" * len(letters),
        b"\x8e" + declared + bytes(4) + letters,
        b"\x96" + declared + bytes(4) + letters,
    )[rng.integers(9)]


def doubled(rng) -> bytes:
    """A tuple of twice the one before: 2**n items, of which a hash or a print goes through all."""
    n = size(rng, 500)
    return (b")" if rng.random() < 0.5 else b"K\x01\x85") + b"2\x86" * n


def nested(rng) -> bytes:
    n = size(rng)
    return (
        b")" + b"\x85" * n,
        b"(" * n + b"t" * n,
        b"(" * n + b"l" * n,
        b"]" * n + b"a" * (n - 1),
        b"}" + b"K\x01}" * n + b"s" * n,
        b"\x8f(" * n + b"K\x01" + b"\x91" * n,
    )[rng.integers(6)]


def memo_bomb(rng) -> bytes:
    """Lists of ten times the list before: 10**n items."""
    n, width = int(rng.integers(1, 200)), int(rng.integers(1, 12))
    levels = [b"]q\x00"]
    levels += [b"](" + b"h%c" % (k - 1) * width + b"eq%c" % k for k in range(1, n)]
    return levels[0] + b"".join(b"0" + level for level in levels[1:])


def repeated(rng) -> bytes:
    """Many of the same: marks, values pushed and dropped, memos, protocols, frames."""
    n = size(rng, 2**21)
    return (
        b"(" * n + b"N",
        b"(" + b"N" * n + b"l",
        b"N0" * n + b"N",
        b"Nq\x01" + b"0h\x01" * n,
        b"N" + b"q\x00" * n,
        b"N" + b"\x94" * n,
        b"\x80\x04" * n + b"N",
        (b"\x95" + bytes(8)) * n + b"N",
        b"(" * n + b"1" * (n - 1) + b"N",
        b"}(" + b"K\x01N" * n + b"u",
        b"](" + b"]" * n + b"e",
    )[rng.integers(11)]


def colliding(rng) -> bytes:
    """Keys of one hash: a dictionary or a set of them takes quadratic time."""
    prime, n = 2**61 - 1, size(rng, 20_000)
    keys = [struct.pack("<BB", 0x8A, 12) + (k * prime).to_bytes(12, "little") for k in range(1, n + 1)]
    return (
        b"}(" + b"".join(key + b"N" for key in keys) + b"u"
        if rng.random() < 0.5
        else b"\x8f(" + b"".join(keys) + b"\x90"
    )


def encoded(rng) -> bytes:
    """One text encoded many times."""
    letters, n = b"a" * size(rng, 2**20), size(rng, 10_000)
    encoding = (b"latin1", b"utf-16", b"utf-32", b"idna", b"unicode_escape", b"rot13", b"zlib_codec", b"x" * 1000)
    start = utf8(letters) + b"q\x01" + utf8(encoding[rng.integers(8) if rng.random() < 0.5 else 0]) + b"q\x02"
    return start + b"00" + _ENCODE + b"q\x030(" + b"h\x03h\x01h\x02\x86R" * n + b"l"


def dtype(rng) -> bytes:
    n = size(rng, 3_000_000)
    told = (b"f8", b"i4", b"?", b"O", b"V9", b"c16", b"f8," * n, b"(" * n + b")f8", b"," * n, b"%df8" % 10**9)
    told += (b"{'a':'f8'}", b"M8[ns]", b"f8" + b" " * n, b"S%d" % 2**31, b"U" + b"9" * n, b"\xff", b"(2,3)f8", b"f8:")
    kind = told[rng.integers(len(told)) if rng.random() < 0.7 else 0]
    orders = (b"<", b">", b"=", b"|", b"x", b"<" * n)
    order = utf8(orders[rng.integers(6)])
    state = b"(K\x03" + order + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    return _DTYPE + utf8(kind) + b"K\x00K\x01\x87R" + (state if rng.random() < 0.7 else value(rng, 1) + b"b")


def array(rng) -> bytes:
    shape = b"(" + b"".join(number(rng) for _ in range(rng.integers(4))) + b"t"
    content = b"T" + struct.pack("<I", 8) + bytes(8)
    state = b"(K\x01" + (b"K\x01\x85" if rng.random() < 0.5 else shape) + dtype(rng) + b"\x89" + content + b"t"
    if rng.random() < 0.3:
        state = b"(" + b"".join(value(rng, 1) for _ in range(rng.integers(8))) + b"t"
    return _RECONSTRUCT + _NDARRAY + b"K\x00\x85U\x01b\x87R" + state + b"b"


def call(rng) -> bytes:
    """A name, called, built or filled."""
    name = _FORBIDDEN[rng.integers(len(_FORBIDDEN))] if rng.random() < 0.3 else b""
    name = name or (_DTYPE, _ENCODE, _RECONSTRUCT, _NDARRAY, b"c__builtin__\nbytes\n")[rng.integers(5)]
    ends = (b")R", value(rng, 1) + b"R", b"(" + value(rng, 1) + b"tR", b")\x81", b")}\x92", value(rng, 1) + b"b", b"")
    return name + ends[rng.integers(len(ends))]


def memo(rng) -> bytes:
    index = struct.pack("<I", int(rng.choice([0, 1, 2**16, 2**31 - 1, 2**31, 2**32 - 1])))
    ways = (b"Nr" + index, b"Np" + b"9" * size(rng) + b"\n", b"j" + index, b"g-1\n", b"h\x07", b"Np-1\n")
    return ways[rng.integers(len(ways))]


def frame(rng) -> bytes:
    length = struct.pack("<Q", INTERESTING[rng.integers(len(INTERESTING))])
    return b"\x95" + length + value(rng, 1)


def odd(rng) -> bytes:
    ways = (
        b"P%d\n" % size(rng),
        b"NQ",
        b"\x82\x01",
        b"\x97",
        b"N\x98",
        b"0",
        b"1",
        b"2",
        b"a",
        b"s",
        b"u",
        b"e",
        b"\x90",
    )
    return ways[rng.integers(len(ways))]


def container(rng, depth: int) -> bytes:
    inside = [value(rng, depth - 1) for _ in range(rng.integers(5))]
    several = b"".join(inside)
    pairs = b"".join(x + value(rng, depth - 1) for x in inside)
    ways = (
        b"(" + several + b"t",
        b"(" + several + b"l",
        b"](" + several + b"e",
        b"}(" + pairs + b"u",
        b"(" + pairs + b"d",
    )
    ways += (b"\x8f(" + several + b"\x90", b"(" + several + b"\x91", b"}" + value(rng, depth - 1) + b"Ns")
    return ways[rng.integers(len(ways))]


_WAYS: tuple[Callable, ...] = (number, number, text, doubled, nested, memo_bomb, repeated, colliding, encoded)
_WAYS += (dtype, array, array, call, call, memo, frame, odd)


def value(rng, depth: int = 3) -> bytes:
    """Opcodes that leave one value on the stack, or try to."""
    if depth > 0 and rng.random() < 0.4:
        return container(rng, depth)
    return (number, text, memo, odd)[rng.integers(4)](rng) if depth < 2 else _WAYS[rng.integers(len(_WAYS))](rng)


def stream(rng) -> bytes:
    """A whole pickle: a value, as itself, as a dictionary's value or key, or in a set."""
    content = value(rng)
    ways = (content, b"}U\x01a" + content + b"s", b"}" + content + b"K\x01s", b"\x8f(" + content + b"\x90")
    whole = b"\x80%c" % rng.integers(2, 6) + ways[rng.integers(4)] + b"."
    return change_bytes(rng, whole) if rng.random() < 0.1 else whole


def alone() -> Reader:
    return Reader(
        lambda folder: (folder / "x.pkl").write_bytes(b"\x80\x02}."),
        lambda rng: ("x.pkl", stream(rng)),
        lambda folder: read_arrays(folder / "x.pkl"),
    )


def within(wesad: Reader) -> Reader:
    """In a subject's file of WESAD: the right keys, and anything below them."""

    def broken(rng):
        keys = [b"U%c" % len(key) + key for key in (b"signal", b"label", b"subject", b"wrist", b"BVP", b"ACC")]
        signal, label, subject, wrist, *names = keys
        wrists = b"}(" + b"".join(name + value(rng, 2) for name in names) + b"u"
        signals = b"}" + wrist + (wrists if rng.random() < 0.8 else value(rng, 2)) + b"s"
        whole = b"\x80\x02}(" + signal + signals + label + value(rng, 2) + subject + b"U\x02S2u."
        return "S2/S2.pkl", whole

    return Reader(wesad.prepare, broken, wesad.load)
