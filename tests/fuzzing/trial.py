"""One broken file tried: what a reader is, what is allowed, and what counts as a fault."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

SECONDS = 10
#: bytes beyond what the process had: resident for a file of less than `SMALL`, address space for any
RESIDENT, ADDRESSES, SMALL = 512 * 2**20, 2 * 10**9, 5_000_000
#: most letters of a message
MESSAGE = 2000
FAULTS = ("hang", "crash", "executed", "raw error", "memory", "silent difference")

Content = bytes | Callable[[Path], object]


class Reader(NamedTuple):
    """How a reader is tried.

    Args:
        prepare: prepare(folder) writes valid files.
        broken: broken(rng) gives the name of a file below the folder and its broken content: bytes, or a function that
            puts something there; thirdly, where below the folder the reader is sent instead of to the folder itself.
        load: load(folder) reads.
        files: the names of all that it opens.
        numbers: the numbers of what was loaded, as bytes. Where given, a broken file that loads must give the valid
            file's.
        writes: whether reading writes files too, beside the broken one.
    """

    prepare: Callable[[Path], object]
    broken: Callable[[np.random.Generator], tuple]
    load: Callable[[Path], object]
    files: Sequence[str] = ()
    numbers: Callable[[object], bytes] | None = None
    writes: bool = False


class Outcome(NamedTuple):
    """ "loaded", "error" or one of `FAULTS`; what was said; what it took."""

    kind: str
    told: str = ""
    seconds: float = 0.0
    megabytes: float = 0.0


def one_of(rng, *ways):
    return ways[rng.integers(len(ways))]()


def written(broken):
    """As `broken`, of what SciPy, pandas and pyarrow are able to write at all."""

    def again(rng):
        while True:
            try:
                return broken(rng)
            except (ValueError, TypeError, KeyError, IndexError, OSError, OverflowError, AttributeError):
                continue

    return again


class Forbidden(BaseException):
    """Something was executed, sent or written."""


class Hang(BaseException):
    pass


_guard = {"reads": False, "on": False}
_ROOT = not os.geteuid()
_FORBIDDEN = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.fork",
    "subprocess.Popen",
    "socket.",
    "pickle.find_class",
    "shutil.",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.mkdir",
    "os.chmod",
    "os.symlink",
    "ctypes.dlopen",
    "urllib.",
)


def _audit(event, arguments):
    if not _guard["reads"]:
        return
    if event in ("open", "os.listdir", "os.scandir") and _ROOT and isinstance(arguments[0], str | bytes | os.PathLike):
        with suppress(FileNotFoundError, NotADirectoryError, ValueError):  # root reads what others may not
            if not os.stat(arguments[0]).st_mode & 0o777:
                raise PermissionError(errno.EACCES, "Permission denied", os.fspath(arguments[0]))
    if not _guard["on"]:
        return
    writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    if writes or event.startswith(_FORBIDDEN):
        raise Forbidden(f"{event} {str(arguments)[:200]}")


def guard() -> None:
    """Stop what takes too long, what takes too much, and what a file should not make anybody do; for good."""

    def on_alarm(*_):
        raise Hang(f"more than {SECONDS} s")

    signal.signal(signal.SIGALRM, on_alarm)
    sys.addaudithook(_audit)
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() if _PROC else 0
    if _PROC:
        resource.setrlimit(resource.RLIMIT_AS, (now + ADDRESSES, resource.RLIM_INFINITY))


_PROC = Path("/proc/self/clear_refs").exists()


def _memory(name):
    """This process's memory now or at most ("VmRSS", "VmHWM"), bytes."""
    if not _PROC:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def remove(path: Path) -> None:
    """Whatever is there, if anything is."""
    if path.is_dir() and not path.is_symlink():
        path.chmod(0o700)
        shutil.rmtree(path)
    elif path.is_symlink() or path.exists():
        path.unlink()


def put(path: Path, content: Content) -> None:
    """Bytes, or what a function makes, in the place of what is there."""
    remove(path)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        content(path)


def attempt(reader: Reader, folder: Path, rng: np.random.Generator, valid: bytes | None = None) -> Outcome:
    """Put one broken file in a valid one's place, read it, put the valid one back."""
    name, content, *under = reader.broken(rng)
    path, aside = folder / name, folder / ".aside"
    if path.exists():
        path.rename(aside)
    try:
        put(path, content)
        size = len(content) if isinstance(content, bytes) else SMALL
        return _read(reader, folder.joinpath(*under), folder, size, valid)
    finally:
        remove(path)
        if aside.exists():
            aside.rename(path)


def _read(reader, where, folder, size, valid):
    if _PROC:
        Path("/proc/self/clear_refs").write_text("5")
    before, started = _memory("VmRSS"), time.perf_counter()
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    _guard.update(reads=True, on=not reader.writes)
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            found = reader.load(where)
            signal.setitimer(signal.ITIMER_REAL, 0)
        kind, told = "loaded", ""
        if valid is not None and reader.numbers is not None and reader.numbers(found) != valid:
            kind, told = "silent difference", "other numbers than the valid file's"
    except ValueError as error:
        kind, told = "error", str(error)
        if str(folder) not in told:
            kind, told = "raw error", f"{type(error).__name__} names no file: {told}"
    except MemoryError as error:
        kind, told = "memory", f"MemoryError: {error}"
    except Hang as error:
        kind, told = "hang", str(error)
    except Forbidden as error:
        kind, told = "executed", str(error)
    except Exception as error:
        kind, told = "raw error", f"{type(error).__name__}: {error}"
    finally:
        _guard.update(reads=False, on=False)
        signal.setitimer(signal.ITIMER_REAL, 0)
    seconds, grown = time.perf_counter() - started, _memory("VmHWM") - before
    if kind in ("loaded", "error"):
        messages = [told, *(str(w.message) for w in warned if issubclass(w.category, UserWarning))]
        wrong = [text for text in messages if len(text) > MESSAGE or not text.isprintable()]
        if wrong:
            kind, told = "raw error", f"a message of {len(wrong[0])} letters or with codes: {wrong[0][:100]!r}"
    if kind in ("loaded", "error") and grown > RESIDENT and size < SMALL:
        kind, told = "memory", f"{size} bytes; {told}"
    return Outcome(kind, told[:500], seconds, grown / 1e6)
