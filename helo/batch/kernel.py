"""Stands between a run and its kernel: `python kernel.py PARENT LOCK COMMAND...`; nothing of a run outlives it.

A kernel survives the death of the process that started it, and processes the kernel started survive the kernel: they
would go on writing into a folder that the resumed run uses. This process starts the kernel in its own process group,
and kills the whole group as soon as the kernel ends or its parent is gone. All three hold the run's lock: it is free
when all of them have ended. A daemon leaves the group, and is known by the mark that all of a run's processes carry in
their environment (where the system has /proc). Needs nothing but Python, so that it starts in a moment.
"""

import os
import signal
import subprocess
import sys
import time

MARK = "HELO_RUN"  # in the environment: the run's folder of temporary files, which no other run has
PREFIX = "helo-"  # of that folder's name


def main(parent: int, lock: int, command: list[str]) -> None:
    """Run a kernel; end with it, and end it with the parent.

    Args:
        parent: process id of the run.
        lock: file descriptor of the run's lock, which the kernel inherits.
        command: the kernel's command line.
    """
    signal.signal(signal.SIGINT, lambda *_: None)  # an interrupt is for the kernel, which is in the same group
    # should this process be killed, ipykernel sees that its parent has changed
    kernel = subprocess.Popen(command, pass_fds=(lock,), env={**os.environ, "JPY_PARENT_PID": str(os.getpid())})
    while os.getppid() == parent:
        try:
            kernel.wait(0.1)
            break
        except subprocess.TimeoutExpired:
            continue
    end_all(os.environ.get(MARK, ""), alone=os.getppid() != parent)


def end_all(mark: str, alone: bool) -> None:
    """End what a run has started, this process too.

    Args:
        mark: value of `MARK` in their environment, the run's folder of temporary files.
        alone: the run itself is gone, and cannot clear that folder away.
    """
    end_marked(mark)
    if alone and os.path.basename(mark).startswith(PREFIX):
        import shutil

        shutil.rmtree(mark, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)


def end_marked(mark: str) -> None:
    """Kill every process that carries a run's mark, but not this one.

    Args:
        mark: value of `MARK` in their environment; "" marks nothing.
    """
    wanted = f"{MARK}={mark}".encode()
    for _ in range(100 if mark and os.path.isdir("/proc/self") else 0):  # again, for those born meanwhile
        found = [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and _carries(pid, wanted)]
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue
        if not found:
            return
        time.sleep(0.02)


def _carries(pid, wanted):
    if int(pid) == os.getpid():
        return False
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:  # a zombie's is empty
            return wanted in file.read().split(b"\0")
    except OSError:
        return False


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
