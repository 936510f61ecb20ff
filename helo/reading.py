"""Files that nobody vouches for: what is opened at all, how much of it, and what an error shows of it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from helo.files import MissingFile

#: gigabytes that one file may have, or unpack to, unless $HELO_MEMORY says otherwise
MEMORY = 2.0
#: most characters of an error's message
MESSAGE = 2000
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def memory() -> int:
    """Bytes that one file may have, or unpack to: $HELO_MEMORY gigabytes, or `MEMORY`.

    Raises:
        ValueError: $HELO_MEMORY is no number above 0.
    """
    said = os.environ.get("HELO_MEMORY", "")
    try:
        gigabytes = float(said or MEMORY)
    except ValueError:
        gigabytes = 0.0
    if not 0 < gigabytes < 1e9:
        raise ValueError(f"HELO_MEMORY is {said[:50]!r}; expected gigabytes above 0, such as 8")
    return int(gigabytes * 1e9)


def is_raised() -> bool:
    """Whether the user has said how much memory a file may take."""
    return bool(os.environ.get("HELO_MEMORY"))


def way_out(needed: float) -> str:
    """How to let a file through, as the end of an error's message."""
    return f"if you trust the file, set HELO_MEMORY={max(1, -(-int(needed) // 10**9))} (gigabytes) in the environment"


def regular(path: str | Path, limit: int | None = None, expected: str = "a file") -> Path:
    """The path of a regular file of no more than a limit, with ~ expanded; links are followed.

    A named pipe would wait for ever, a device never end, an empty file holds nothing (or is one of /proc that never
    ends); so a file is looked at before it is opened.

    Args:
        path: the file.
        limit: most bytes; None: `memory()`, which $HELO_MEMORY raises.
        expected: what should be there, for the message.

    Raises:
        MissingFile: nothing there.
        ValueError: something else than a regular file, an empty one, a path that no file can have, or more bytes than
            the limit.
    """
    path = expanded(path)
    told = shown(path, 900)
    try:
        about = path.stat()
    except OSError:
        raise MissingFile(f"{told}: no such file; expected {expected}") from None
    if not stat.S_ISREG(about.st_mode):
        kind = _KINDS.get(stat.S_IFMT(about.st_mode), "something else")
        raise ValueError(f"{told}: is {kind}; expected {expected}, a regular file")
    if not about.st_size:  # so are those of /proc, which may go on for ever
        raise ValueError(f"{told}: not {expected} (it is empty)")
    most = memory() if limit is None else limit
    if about.st_size > most:
        more = f"; {way_out(about.st_size)}" if limit is None else ""
        raise ValueError(f"{told}: {about.st_size} bytes; expected {expected} of at most {most}{more}")
    return path


def expanded(path: str | Path) -> Path:
    """The path with ~ and ~user expanded; whether anything is there is another question.

    Raises:
        ValueError: no such user, or a path where nothing can be: too long, with a null byte, a circle of links, or in a
            folder that may not be entered.
    """
    try:
        whole = Path(path).expanduser()
        whole.stat()
    except (FileNotFoundError, NotADirectoryError):
        return whole
    except (OSError, ValueError, RuntimeError) as error:
        told = getattr(error, "strerror", None) or error
        raise ValueError(f"{shown(path, 300)}: no file can be read there ({told})") from None
    return whole


def shown(text: object, most: int = MESSAGE) -> str:
    """Text that a terminal or a page can show: one line, no control codes, no more than `most` characters.

    What a file holds may carry escape codes, marks that turn the order of letters round, or megabytes.
    """
    whole = str(text)
    cut = whole[: most // 2] + " ... " + whole[-(most // 3) :] if len(whole) > most else whole
    plain = "".join(c if c.isprintable() else " " if c in "\n\r\t" else ascii(c)[1:-1] for c in cut)
    return plain if len(plain) <= most else plain[: most - 4] + " ..."
