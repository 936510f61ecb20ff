"""What a run's folder says: its files, its lock, its state.

    params.json      notebook and parameters        versions.json   code, packages, machine, seconds
    <name>.ipynb     the notebook as executed       log.txt         what it printed, attempt by attempt
    result.json      written last: the only sign of success         error.json   of a run that failed

and whatever the notebook writes: metrics, pictures, checkpoint. The process that runs a folder, its kernel and the
supervisor between them hold the folder's lock; the operating system frees it when they die, however they die. A link, a
device or a broken file in the place of one of these is told, and neither followed nor taken for a result.
"""

from __future__ import annotations

import errno
import json
import os
import platform
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from helo.files import write_json

RESULT, ERROR, PARAMETERS, VERSIONS, LOG, LOCK = (
    "result.json",
    "error.json",
    "params.json",
    "versions.json",
    "log.txt",
    ".lock",
)
PENDING = ".result.json"  # what the notebook recorded, until everything else is in its place
LARGEST = 256_000_000  # bytes of a JSON file that is read


class FolderInUse(RuntimeError):
    """Another process is running in this folder."""


def record(folder: str | Path, **result) -> Path:
    """Write a run's result.json, atomically: the last call of every notebook, and the only sign that a run succeeded.

    Args:
        folder: the run's folder.
        **result: plain numbers, text, lists and dictionaries; numpy numbers are turned into plain ones.
    """
    # under run_one the result waits until the executed notebook is saved too
    path = Path(folder) / os.environ.get("HELO_RESULT", RESULT)
    write_json(path, result)
    return path


def read_json(path: Path) -> dict:
    """The dictionary in a JSON file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no regular file, too large, no JSON, or no dictionary; names the file.
    """
    size = os.stat(path).st_size
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError(f"{path}: a folder, a pipe or a device; expected a file")
    if size > LARGEST:
        raise ValueError(f"{path}: {size} bytes; expected at most {LARGEST}")
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: {'empty' if not size else f'no whole JSON ({error})'}; expected a result") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: holds a {type(content).__name__}; expected a dictionary")
    return content


@contextmanager
def claim(folder: Path, wait: bool = False) -> Iterator[int]:
    """Hold a folder's lock, made for one holder on one machine or on a file system with locks; gives its descriptor.

    Args:
        folder: of the run, made if missing.
        wait: for another holder to end, in place of an error.

    Raises:
        FolderInUse: another process, or the kernel it left, holds it.
        ValueError: the lock is no regular file.
    """
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    lock = _open_lock(folder, os.O_RDWR | os.O_CREAT)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise FolderInUse(f"{folder}: another process is running here{holder(folder)}") from None
        with suppress(OSError):  # a full disk: then nobody learns who it is
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"process {os.getpid()} on {platform.node()}".encode(), 0)
        yield lock
    finally:
        os.close(lock)


def holder(folder: Path) -> str:
    """ " (process 123 on a-machine)" of who holds a folder's lock, or held it last; "" if it does not say."""
    with suppress(OSError, ValueError):
        lock = _open_lock(folder, os.O_RDONLY)
        try:
            told = os.read(lock, 200).decode(errors="replace")
        finally:
            os.close(lock)
        return f" ({told})" if told.startswith("process ") and told.isprintable() else ""
    return ""


def state(folder: Path) -> str:
    """What a run's folder says: "done", "running", "failed", "damaged", "interrupted" or "waiting".

    "damaged" is a link or a file in the place of the folder, or a result.json or a lock that is none (`fault` says
    which). With a broken result it is run again, but never through a link or with a broken lock.
    """
    told = fault(folder)
    if told is None and (folder / RESULT).exists():
        return "done"
    if folder.is_symlink():
        return "damaged"
    if _locked(folder):
        return "running"
    if told:
        return "damaged"
    if (folder / ERROR).exists():
        return "failed"
    return "interrupted" if (folder / PARAMETERS).exists() else "waiting"


def fault(folder: Path) -> str | None:
    """What is wrong with a run's folder, naming the file; None if nothing is."""
    if folder.is_symlink():
        return f"{folder}: a link; expected the run's own folder. Nothing is read or written through it; remove it"
    if folder.exists() and not folder.is_dir():
        return f"{folder}: a file; expected the run's own folder. Remove it"
    try:
        if os.path.lexists(folder / LOCK):
            os.close(_open_lock(folder, os.O_RDONLY))
        if os.path.lexists(folder / RESULT):
            read_json(folder / RESULT)
    except (OSError, ValueError) as error:
        return str(error)
    return None


def _open_lock(folder, how):
    try:
        lock = os.open(folder / LOCK, how | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)  # a pipe would wait for its writer
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise ValueError(f"{folder / LOCK}: a link, a folder or a device; expected a file") from None
        raise
    if not stat.S_ISREG(os.fstat(lock).st_mode):
        os.close(lock)
        raise ValueError(f"{folder / LOCK}: a pipe or a device; expected a file")
    return lock


def _locked(folder):
    import fcntl

    try:
        lock = _open_lock(folder, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
