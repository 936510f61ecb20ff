"""Kernels of runs: started through kernel.py, stopped by name or by a limit of time, their deaths told apart."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TextIO

from helo.batch import kernel

if TYPE_CHECKING:
    from helo.batch.warm import Zygote


class KernelDied(RuntimeError):
    """The kernel was killed, ran out of memory or crashed: nothing is known against the run itself."""


class TimeLimit(RuntimeError):
    """The run took longer than it was allowed to."""


_kernels: dict[str, int] = {}  # of this process: a run's folder -> the process group of its kernel
_stopped: set[str] = set()


def stop(folders: Collection[str]) -> None:
    """Kill this process's kernels of these runs, and those about to start."""
    _stopped.update(folders)
    for folder in set(folders) & set(_kernels):
        with suppress(ProcessLookupError):
            os.killpg(_kernels[folder], signal.SIGKILL)


@contextmanager
def supervised(
    folder: Path, lock: int, environment: dict[str, str], log: TextIO, limit: float | None, zygote: Zygote | None = None
) -> Iterator[type[Any]]:
    """A kernel manager class for one run; when it ends, so does all that the run started, and its temporary files.

    Args:
        folder: of the run.
        lock: its descriptor, which the kernel inherits.
        environment: of the kernel; its temporary files go to a folder of their own.
        log: takes what the kernel's process prints.
        limit: seconds after which the kernel is killed; None: none.
        zygote: what the kernel is forked from; None: it is a new interpreter.

    Raises:
        KernelDied: in place of nbclient's several ways to say that a kernel is gone.
        TimeLimit: the limit ended it.
    """
    from nbclient.exceptions import DeadKernelError

    _stopped.discard(str(folder))
    late = threading.Event()

    def end() -> None:
        late.set()
        stop([str(folder)])

    timer = threading.Timer(limit or 0, end)
    timer.daemon = True
    with TemporaryDirectory(prefix=kernel.PREFIX, ignore_cleanup_errors=True) as temporary, held(Path(temporary)):
        # jupyter's sockets lie there too: a path longer than 107 bytes would be none, so it is not in the run's folder
        own = {**environment, kernel.MARK: temporary, "TMPDIR": temporary}
        try:
            if limit:
                timer.start()
            yield _manager(folder, lock, own, log, temporary, zygote)
        except RuntimeError as error:
            if not isinstance(error, DeadKernelError) and "Kernel died" not in str(error):
                raise
            if late.is_set():
                log.write(f"stopped after {limit:g} s\n")
                raise TimeLimit(f"stopped after {limit:g} s, the limit of a run") from None
            log.write("the kernel died\n")
            raise KernelDied(f"{folder}: the kernel died; it was killed, ran out of memory or crashed") from None
        finally:
            timer.cancel()
            _kernels.pop(str(folder), None)
            kernel.end_marked(temporary)


@contextmanager
def held(temporary: Path) -> Iterator[None]:
    """Mark a folder of temporary files as in use; remove those that nobody holds, since all of a run was killed."""
    import fcntl

    for left in temporary.parent.glob(f"{kernel.PREFIX}*/held"):
        with suppress(OSError), left.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            rmtree(left.parent, ignore_errors=True)
    with open(temporary / "new", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (temporary / "new").rename(temporary / "held")  # never there without its lock
        yield


def _manager(folder, lock, environment, log, sockets, zygote):
    """Its kernels inherit the lock and are started through kernel.py, or as if they were."""
    from jupyter_client import AsyncKernelManager

    supervisor = [sys.executable, "-I", "-S", str(Path(kernel.__file__)), str(os.getpid()), str(lock)]

    class Kernel(AsyncKernelManager):
        # half of it passes before SIGTERM; on a busy machine an interpreter with torch takes more than jupyter's 2.5 s
        # to end, and what a notebook had written and not closed was lost
        shutdown_wait_time = 30.0
        transport = "ipc"  # sockets in a folder of its own: kernels that start at the same moment race for TCP ports
        connection_file = f"{sockets}/kernel.json"

        def format_kernel_cmd(self, extra_arguments=None):
            return supervisor + super().format_kernel_cmd(extra_arguments)

        async def start_kernel(self, **options):  # type: ignore[override]  # jupyter_client wraps it in run_sync
            if zygote is not None:
                from helo.batch.warm import Provisioner

                self.provisioner = Provisioner(kernel_id=self.kernel_id, kernel_spec=self.kernel_spec, parent=self)
                self.provisioner.zygote, self.provisioner.run_log = zygote, log
                self.provisioner.supervisor = supervisor
            await super().start_kernel(**options, env=environment, pass_fds=(lock,), stdout=log, stderr=log)
            _kernels[str(folder)] = self.provisioner.pid  # type: ignore[union-attr]  # a LocalProvisioner since the line above
            if str(folder) in _stopped:
                stop([str(folder)])

    return Kernel
