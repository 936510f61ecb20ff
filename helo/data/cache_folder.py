"""Where extracted features are kept: a folder that nobody else can write, and how much may lie there.

$HELO_CACHE, or ~/.cache/helo; $HELO_CACHE_SIZE gigabytes, or 5. `python -m helo cache` lists what is kept.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from helo.files import UNFINISHED

#: gigabytes that all entries together may take, unless $HELO_CACHE_SIZE says otherwise
SIZE = 5.0


class Entry(NamedTuple):
    """A data set that is kept: its file, bytes, and when it was last used, in seconds since 1970."""

    path: Path
    size: int
    used: float


def folder() -> Path:
    """$HELO_CACHE, or ~/.cache/helo."""
    return Path(os.environ.get("HELO_CACHE") or Path.home() / ".cache" / "helo").expanduser()


def room() -> int:
    """Bytes that all entries together may take: $HELO_CACHE_SIZE gigabytes, or `SIZE`.

    Raises:
        ValueError: $HELO_CACHE_SIZE is no number from 0 on.
    """
    said = os.environ.get("HELO_CACHE_SIZE", "")
    try:
        gigabytes = float(said or SIZE)
    except ValueError:
        gigabytes = -1.0
    if not 0 <= gigabytes < 1e9:
        raise ValueError(f"HELO_CACHE_SIZE is {said[:50]!r}; expected gigabytes from 0 on, such as 5")
    return int(gigabytes * 1e9)


def made() -> str:
    """Make the folder, readable by its owner alone; what speaks against its use, or nothing.

    ~/.cache/helo of an older version is closed to others; one that $HELO_CACHE names may be shared on purpose, and
    stays as it is.

    Raises:
        OSError: it cannot be made.
    """
    path = folder()
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not os.environ.get("HELO_CACHE"):
        with suppress(OSError):
            path.chmod(0o700)
    return open_to_others(path)


def open_to_others(path: Path) -> str:
    """How somebody else can have written a file or folder; nothing where nobody can."""
    about = path.stat()
    if hasattr(os, "geteuid") and about.st_uid != os.geteuid():
        return f"belongs to another user (uid {about.st_uid})"
    if hasattr(os, "geteuid") and about.st_mode & 0o022:
        return f"others may write it (mode {about.st_mode & 0o777:o})"
    return ""


def entries(name: str = "") -> list[Entry]:
    """What is kept, the longest unused first.

    Args:
        name: of a data set, or of an entry; all without one.
    """
    found = []
    for path in folder().glob("*.safetensors"):
        kept = re.fullmatch(r"(.+)-[0-9a-f]{16}", path.stem)  # nothing else that may lie there
        if kept and name in ("", kept[1], path.stem, path.name):
            with suppress(FileNotFoundError):  # another process makes room too
                about = path.lstat()
                found.append(Entry(path, about.st_size, about.st_mtime))
    return sorted(found, key=lambda entry: (entry.used, entry.path))


def clear(name: str = "") -> list[Entry]:
    """Remove what `entries` lists; gives what is gone."""
    gone = entries(name)
    for entry in gone:
        entry.path.unlink(missing_ok=True)
    _remove_unfinished()
    return gone


def make_room(newest: Path, most: int) -> None:
    """Remove the longest unused entries until all take at most so many bytes; the newest goes last.

    Raises:
        OSError: the newest alone takes more.
    """
    _remove_unfinished()
    held = sorted(entries(), key=lambda entry: entry.path == newest)
    size = sum(entry.size for entry in held)
    for entry in held:
        if size > most:
            entry.path.unlink(missing_ok=True)
            size -= entry.size
    if any(entry.path == newest and entry.size > most for entry in held):
        raise OSError(f"larger than all of it may be, {most / 1e9:g} GB; HELO_CACHE_SIZE, in GB, says how much")


def _remove_unfinished():
    """What killed processes left half written an hour ago or longer."""
    for path in folder().glob(f".*.safetensors.*{UNFINISHED}"):
        with suppress(FileNotFoundError):  # it has its name by now
            if path.lstat().st_mtime < time.time() - 3600:
                path.unlink()
