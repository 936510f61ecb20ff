"""Stands between a run and its kernel: `python kernel.py PARENT LOCK COMMAND...`; nothing of a run outlives it.

A kernel survives the death of the process that started it, and processes the kernel started survive the kernel: they
would go on writing into a folder that the resumed run uses. This process starts the kernel in its own process group,
and kills the whole group as soon as the kernel ends or its parent is gone. All three hold the run's lock: it is free
when all of them have ended. Needs nothing but Python, so that it starts in a moment.
"""

import os
import signal
import subprocess
import sys


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
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
