"""How far something is that takes time: one line, wherever it is watched from. Nowhere else is its look decided.

- a terminal: on stderr, drawn anew in its place;
- JupyterLab and its like: the same in the cell's output, on stdout, since stderr is red there;
- papermill, voila before its page stands, a pipe: nobody sees a line drawn anew, so lines of a log, ten seconds apart
  at least.

Nothing is shown of what ends within a second.
"""

from __future__ import annotations

import contextvars
import sys
import threading
import time
from collections.abc import Collection, Iterable
from typing import ClassVar

from tqdm import tqdm

EVERY = 10.0  # seconds between two lines of a log
_TIMES = "{unit} {n:.0f} of {total}, {elapsed} so far, {remaining} left{postfix}"


class _Log:
    """A stream that keeps a line now and then of what tqdm draws."""

    last = -EVERY  # when the last line was written, whoever wrote it

    def __init__(self, stream):
        self.stream = stream

    def write(self, text: str) -> None:
        line, now = text.strip(), time.monotonic()
        if line and now - _Log.last >= EVERY:
            _Log.last = now
            self.stream.write(f"{line}\n")

    def flush(self) -> None:
        self.stream.flush()


def _look():
    """tqdm's arguments for where this process is watched from."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    kernel = getattr(shell, "kernel", None)
    stream = sys.stderr if kernel is None else sys.stdout
    # who could be asked a question is there to look; papermill and nbconvert say that nobody can
    drawn = stream.isatty() if kernel is None else kernel.get_parent().get("content", {}).get("allow_stdin", False)
    return {
        "file": stream if drawn else _Log(stream),
        "bar_format": ("{desc} {bar:16} " if drawn else "{desc}: ") + _TIMES,
        "leave": False,
        "delay": 1,
        "mininterval": 0.3,
        "miniters": 0,
        "smoothing": 0,
    }


class Progress:
    """A line that says how many of how many, with the time so far and the time left.

    Inside another one there is still one line, the outer's: it says at its end how far the inner is, and moves with it.

    Args:
        what: what takes time.
        unit: what is counted, such as "epoch".
        total: how many there will be, at most.
        done: how many were done before.
        shown: False shows nothing.
        worth: how many of an outer line's units the whole of this one is.
    """

    _outermost: ClassVar[Progress | None] = None

    def __init__(self, what: str, unit: str, total: int, done: int = 0, shown: bool = True, worth: float = 0.0):
        self.what, self.unit, self.total, self.done, self.worth = what, unit, total, done, worth
        self.outer = Progress._outermost
        self.bar = tqdm(
            total=total, initial=done, desc=what, unit=unit, disable=not shown or bool(self.outer), **_look()
        )
        self.shown, self.left = shown, threading.Event()

    def __enter__(self) -> Progress:
        if not self.bar.disable:
            Progress._outermost = self
            context = contextvars.copy_context()  # it says whose cell is written to
            threading.Thread(target=context.run, args=(self._tick,), name="progress", daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self.left.set()
        self.bar.close()
        if Progress._outermost is self:
            Progress._outermost = None

    def to(self, done: int, note: str = "") -> None:
        """So many are done; `note` is said beside it."""
        self.done = done
        if self.shown and self.outer:
            self.outer._move(self.worth * done / self.total, f"{self.what}: {self.unit} {done} of {self.total}")
        else:
            self._move(0.0, note)

    def _move(self, within, note):
        self.bar.set_postfix_str(note, refresh=False)
        self.bar.update(max(0.0, self.done + within - self.bar.n))

    def _tick(self):
        """Time passes, where one step takes long, too."""
        while not self.left.wait(1):
            self.bar.refresh()


def each(things: Collection, what: str, unit: str) -> Iterable:
    """The things, one by one, with a line that says how many of them have been taken."""
    return tqdm(things, desc=what, unit=unit, **_look())
