"""A few bits of what this library wrote: an error, or the same numbers, never others."""

from __future__ import annotations


def flipped(rng, whole: bytes) -> bytes:
    """Bits turned, bytes exchanged, a piece zeroed, or the end lost, as a bad disk does it."""
    data = bytearray(whole)
    header = int.from_bytes(whole[:8], "little") + 8
    end = header if rng.random() < 0.3 else len(data)
    match rng.integers(8):
        case 0:
            one, two = rng.integers(end, size=2)
            data[one], data[two] = data[two], data[one]
        case 1:
            at, length = int(rng.integers(len(data))), int(2 ** rng.uniform(0, 9))
            data[at : at + length] = bytes(min(length, len(data) - at))
        case 2:
            del data[int(rng.integers(len(data))) :]
        case _:
            for at in rng.integers(end, size=int(rng.integers(1, 4))):
                data[at] ^= 1 << rng.integers(8)
    return bytes(data)
