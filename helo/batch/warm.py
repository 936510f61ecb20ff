"""Kernels that start at once: forked from a process that has imported what the notebook imports (zygote.py).

A process that runs runs has one zygote, for one notebook's imports, one environment and one state of this library's
code; another of these starts another zygote. Where none can be started, where it finds that a forked kernel would not
be what a new one is, or where it does not answer, the kernel is started as ever, and the run's log says why.
"""

from __future__ import annotations

import ast
import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TextIO

from jupyter_client.provisioning import LocalProvisioner

from helo.batch import kernel, zygote
from helo.batch.plan import library_digest
from helo.batch.supervision import held

PATIENCE = 120.0  # seconds for the imports; later runs do not wait again


class Unfit(RuntimeError):
    """No kernel can be forked; says why."""


class Forked:
    """A kernel's supervisor that the zygote has forked, as `subprocess.Popen` would show it."""

    stdin = stdout = stderr = None

    def __init__(self, pid: int, connection: socket.socket, parent: Zygote):
        self.pid = pid
        self.returncode: int | None = None
        self._connection, self._parent = connection, parent

    def poll(self) -> int | None:
        """Its exit code, None while it lives: its end of the connection is open as long."""
        if self.returncode is None and select.select([self._connection], [], [], 0)[0]:
            self._connection.close()
            self._parent.forget(self.pid)
            self.returncode = -signal.SIGKILL  # how every supervisor ends
        return self.returncode

    def wait(self) -> int | None:
        """Its exit code, once it has ended."""
        if self.returncode is None:
            select.select([self._connection], [], [])
        return self.poll()

    def send_signal(self, number: int) -> None:
        """Send it a signal if it lives."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it; the zygote still holds its number."""
        self.send_signal(signal.SIGKILL)


class Zygote:
    """A process that imports, and then forks kernels.

    Args:
        names: what a notebook imports, from `imports`.
        environment: of the kernels, but for what is each run's own.
        code: `library_digest` before the zygote imports it.
    """

    def __init__(self, names: list[str], environment: dict[str, str], code: str):
        self.key = self.description(names, environment, code)
        self._names, self._environment, self._code = names, environment, code
        self._unfit: str | None = None
        self._patience = PATIENCE
        self._asking = threading.Lock()
        self._start()

    @staticmethod
    def description(names: list[str], environment: dict[str, str], code: str) -> tuple[Any, ...]:
        """What has to be the same for a kernel to be forked from a zygote."""
        return names, environment, code, os.getcwd()

    def _start(self):
        self._ready = False
        self._resources = ExitStack()
        self._channel, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._resources.enter_context(self._channel)
        try:
            with its:
                self._begin(its.fileno())
        except OSError as error:  # no room for a process, or for its folder
            self._unfit = f"what kernels are forked from cannot start: {error}"

    def _begin(self, channel):
        own = self._resources.enter_context(TemporaryDirectory(prefix=kernel.PREFIX, ignore_cleanup_errors=True))
        self._resources.enter_context(held(Path(own)))
        said = os.memfd_create("said")
        names, room = json.dumps(self._names), " " * zygote.ROOM
        with os.fdopen(said):
            process = subprocess.Popen(
                [sys.executable, zygote.__file__, str(channel), names, room],
                env={**self._environment, "TMPDIR": own, kernel.MARK: room},
                pass_fds=(channel,),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,  # Ctrl-C in a terminal is not for it
            )
        self._resources.callback(process.wait)
        self._resources.callback(process.kill)
        self.pid = process.pid

    def close(self) -> None:
        """End it, but none of its kernels."""
        self._resources.close()

    def fork(self, supervisor: list[str], command: list[str], options: dict[str, Any]) -> Forked:
        """A kernel of its own process group, as `subprocess.Popen(supervisor + command, **options)` starts one.

        Raises:
            Unfit: there will be none.
        """
        if command[:3] != [sys.executable, "-m", "ipykernel_launcher"]:
            raise Unfit(f"{command[:3]} is not ipykernel in this Python")
        if _shared(options["env"]) != _shared(self._environment):
            raise Unfit("the kernel's specification changes its environment")
        with self._asking:
            for _ in range(2):
                self._wait()
                if forked := self._ask(supervisor, command, options):
                    return forked
                self.close()  # it was killed, or idle for a minute; or a file that it had imported has changed
                self._start()
        raise Unfit("what kernels are forked from ends before it forks one")

    def _wait(self):
        """Until the imports are done."""
        if self._unfit is None and not self._ready:
            if not select.select([self._channel], [], [], self._patience)[0]:
                self._patience = 0.0
                raise Unfit(f"the imports take longer than {PATIENCE:.0f} s")
            told = self._channel.recv(10_000)
            self._unfit = json.loads(told)["unfit"] if told else "what kernels are forked from ended while it imported"
            if self._unfit is None and library_digest() != self._code:
                self._unfit = "the library's code changes"
            self._ready = True
        if self._unfit is not None:
            raise Unfit(self._unfit)

    def _ask(self, supervisor, command, options):
        environment = options["env"]
        if len(os.fsencode(environment[kernel.MARK])) >= zygote.ROOM:
            raise Unfit("the path of the run's temporary files is too long")
        cwd = str(options.get("cwd") or os.getcwd())
        wanted = {"supervisor": supervisor, "command": command, "environment": environment, "cwd": cwd}
        own, its = socket.socketpair()
        order = os.memfd_create("order")
        lock, log = options["pass_fds"][0], options["stdout"].fileno()
        with its, os.fdopen(order, "w") as file:
            json.dump(wanted, file)
            file.flush()
            os.lseek(order, 0, os.SEEK_SET)
            with suppress(OSError):
                socket.send_fds(self._channel, [b"a kernel"], [its.fileno(), order, lock, log])
        own.settimeout(PATIENCE)
        with suppress(OSError):
            if told := own.recv(20):
                own.settimeout(None)
                return Forked(int(told), own, self)
        own.close()
        return None

    def forget(self, pid: int) -> None:
        """Let the number of a kernel's supervisor go, which has ended."""
        with suppress(OSError):
            self._channel.send(str(pid).encode())


def _shared(environment):
    return {name: value for name, value in environment.items() if name not in (kernel.MARK, "TMPDIR")}


_current: Zygote | None = None


def start(notebook: Path, environment: dict[str, str], code: str) -> Zygote | None:
    """Begin the imports for a notebook's kernels, or give the zygote that has done them; None where there is none.

    Args:
        notebook: whose imports.
        environment: of its kernels, but for what is each run's own.
        code: `library_digest`.
    """
    global _current
    if sys.platform != "linux":
        return None
    names = imports(notebook)
    if _current is None or _current.key != Zygote.description(names, environment, code):
        end()
        _current = Zygote(names, environment, code)
    return _current


@atexit.register
def end() -> None:
    """End this process's zygote, if it has one."""
    global _current
    if _current is not None:
        _current.close()
    _current = None


def imports(notebook: Path) -> list[str]:
    """What the cells of a notebook import first of all: "package.module", or "package.module:name"."""
    found: dict[str, None] = {}
    for cell in json.loads(notebook.read_text())["cells"]:
        try:
            statements = ast.parse("".join(cell["source"])).body if cell["cell_type"] == "code" else []
        except SyntaxError:  # a magic command
            continue
        for node in statements:
            if isinstance(node, ast.Import):
                found |= dict.fromkeys(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found |= dict.fromkeys(f"{node.module}:{alias.name}".removesuffix(":*") for alias in node.names)
    return list(found)


class Provisioner(LocalProvisioner):
    """Jupyter's way to start a kernel: forked where that can be, a new interpreter otherwise."""

    zygote: Zygote
    supervisor: list[str]
    run_log: TextIO

    async def launch_kernel(self, cmd: list[str], **options: Any) -> Any:
        """Fork a kernel, or start one and say why."""
        count = len(self.supervisor)
        try:
            forked = self.zygote.fork(self.supervisor, cmd[count:], options)
        except (Unfit, OSError) as reason:
            self.run_log.write(f"a cold kernel: {reason}\n")
            return await super().launch_kernel(cmd, **options)
        self.process = forked  # type: ignore[assignment]  # as good as a Popen
        self.pid = self.pgid = forked.pid
        self.cwd = options.get("cwd", Path.cwd())
        return self.connection_info
