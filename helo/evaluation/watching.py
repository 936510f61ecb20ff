"""How far the processes of an evaluation are: each writes it into a small file, and their parent's line follows it."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from helo.progress import Progress

#: of a job: fits that are done, an epoch a part of one, and what a line of its own would say
_KIND = np.dtype([("within", np.float32), ("note", "U80")])
EVERY = 0.5  # seconds between two looks


@contextmanager
def watched(bar: Progress, jobs: int) -> Iterator[tuple[str, Callable[[int], None]]]:
    """Inside, a line moves with what the processes do.

    Args:
        bar: the line, which itself counts the fits of jobs whose outcome was taken.
        jobs: how many the processes have.

    Yields:
        The file for `telling`, and a function to call with a job's number when its outcome is taken.
    """
    handle, path = tempfile.mkstemp(prefix="helo-")
    os.close(handle)
    seen, taken, ended = np.memmap(path, _KIND, "w+", shape=(jobs,)), np.zeros(jobs, bool), threading.Event()

    def follow():
        while not ended.wait(EVERY):
            waiting = seen[~taken]
            notes = [str(note) for note in waiting["note"] if note]
            bar._move(float(waiting["within"].sum()), notes[0] if notes else "")

    thread = threading.Thread(target=follow, name="watching", daemon=True)
    thread.start()
    try:
        yield path, lambda job: taken.__setitem__(job, True)
    finally:
        ended.set()
        thread.join()
        os.unlink(path)


@contextmanager
def telling(path: str, job: int, fits: int) -> Iterator[None]:
    """Inside, in a process, what is trained tells its epochs to a file of `watched`.

    Args:
        path: the file.
        job: the number of what is done.
        fits: how many it has.
    """
    seen = np.memmap(path, _KIND, "r+")
    before, Progress._outermost = Progress._outermost, _Line(seen, job)
    try:
        yield
    finally:
        Progress._outermost = before
        seen[job] = fits, ""


class _Line(Progress):
    """What stands in a process for its parent's line."""

    def __init__(self, seen: np.ndarray, job: int):
        self.seen, self.job = seen, job

    def _move(self, within, note):
        self.seen[self.job] = within, note
