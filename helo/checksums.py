"""Arrays in a file that tells when it is damaged: safetensors with a SHA-256 among its metadata, never a pickle.

The checksum is that of the whole file as it is with 64 zeros where the checksum then stands: no byte is left out. It
tells a bad disk, a cut copy, another program's edit. A forger computes it anew; against others the file is its owner's
alone (0600), since what is kept this way was measured of people or learned from them.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from helo.files import atomic_write, plain
from helo.reading import regular, shown

_FIELD, _BLANK = "sha256", "0" * 64
_HEADER = 25_000_000  # most bytes of names, shapes and metadata: as Python objects they take some twenty times as many


def write(
    path: Path, kind: str, about: Mapping[str, Any], arrays: Mapping[str, Any], serialise: Callable[..., bytes]
) -> None:
    """Write arrays and what is known of them, whole or not at all, readable by the file's owner alone.

    Args:
        path: the file.
        kind: name of the metadata, which says what the file is.
        about: what is known, as JSON.
        arrays: name -> array.
        serialise: safetensors.numpy.save or safetensors.torch.save, as the arrays are.
    """
    content = serialise(arrays, metadata={kind: json.dumps({_FIELD: _BLANK} | dict(about), default=plain)})
    atomic_write(path, sealed(content), mode=0o600)


def sealed(content: bytes) -> bytes:
    """The file with its checksum in the place of its first 64 zeros, which are what the metadata begin with."""
    return content.replace(_BLANK.encode(), hashlib.sha256(content).hexdigest().encode(), 1)


def read(
    path: Path, kind: str, deserialise: Callable[[bytes], dict[str, Any]], older: bool = False
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What `write` was given: what is known of the arrays, and the arrays.

    Args:
        path: the file.
        kind: as it was written.
        deserialise: safetensors.numpy.load or safetensors.torch.load.
        older: take a file without a checksum too, as all were until November 2026, with a warning.

    Raises:
        MissingFile: no such file.
        ValueError: no regular file, not of this kind, or damaged.
    """
    path = regular(path, expected=f"a {kind} file")
    try:
        content = path.read_bytes()  # at once: the file may be replaced meanwhile
        length = int.from_bytes(content[:8], "little")
        if not 0 < length <= min(_HEADER, len(content) - 8):
            raise ValueError(f"a header of {length} bytes in a file of {len(content)}; expected {_HEADER} at most")
        about = json.loads(json.loads(content[8 : 8 + length])["__metadata__"][kind])
        said = about.pop(_FIELD, None)
        if said is not None and said != _checksum(content, 8 + length, str(said)):
            raise ValueError("damaged: its content has another SHA-256 than the one it was written with")
        if said is None and not older:
            raise ValueError("it holds no checksum: damaged, or written by an older version")
        arrays = deserialise(content)
    except Exception as error:  # what is damaged, or made up, can fail anywhere
        raise ValueError(f"{path}: not a {kind} file ({type(error).__name__}: {shown(error, 900)})") from None
    if said is None:
        told = "holds no checksum, as files of before November 2026: damage would go unseen; save it again"
        warnings.warn(f"{path}: {told}", stacklevel=3)
    return about, arrays


def _checksum(content, start, said):
    """SHA-256 of a file, zeros in the place of the one that its header holds."""
    digest = hashlib.sha256(content[:start].replace(said.encode(), _BLANK.encode(), 1))
    digest.update(memoryview(content)[start:])
    return digest.hexdigest()
