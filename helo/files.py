"""Files written whole or not at all, and the fingerprint of this library's own."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path


class MissingFile(FileNotFoundError, ValueError):
    """A file or folder that was named is not there: bad input, as any other."""


def atomic_write(path: Path, content: bytes) -> None:
    """Write a whole file or nothing: into a temporary neighbour, then renamed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def code_digest(*patterns: str) -> str:
    """Hash of files of this library, so that results of older code are never taken for today's."""
    package = Path(__file__).parent
    key = hashlib.sha256()
    for path in sorted(path for pattern in patterns for path in package.glob(pattern)):
        key.update(path.read_bytes())
    return key.hexdigest()


def write_json(path: Path, content: dict) -> None:
    """Write a dictionary as JSON, whole or not at all; numpy numbers become plain ones."""
    atomic_write(path, (json.dumps(content, indent=2, default=plain) + "\n").encode())


def plain(x: object) -> object:
    """A numpy number or array as JSON knows it, anything else as text."""
    return x.tolist() if hasattr(x, "tolist") else str(x)
