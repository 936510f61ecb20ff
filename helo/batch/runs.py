"""One run as a folder: a notebook executed with checked parameters, its result written last.

    params.json      notebook and parameters        versions.json   code, packages, machine, seconds
    <name>.ipynb     the notebook as executed       log.txt         what it printed, attempt by attempt
    result.json      written last: the only sign of success         error.json   of a run that failed

and whatever the notebook writes: metrics, pictures, checkpoint. The process that runs a folder and its kernel hold the
folder's lock; the operating system frees it when they die, however they die.
"""

from __future__ import annotations

import json
import os
import platform
import re
import signal
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory

from helo.batch.parameters import check_parameters
from helo.files import code_digest, write_json

RESULT, ERROR, PARAMETERS, VERSIONS, LOG, LOCK = (
    "result.json",
    "error.json",
    "params.json",
    "versions.json",
    "log.txt",
    ".lock",
)
PENDING = ".result.json"  # what the notebook recorded, until everything else is in its place


class FolderInUse(RuntimeError):
    """Another process is running in this folder."""


class KernelDied(RuntimeError):
    """The kernel was killed, ran out of memory or crashed: nothing is known against the run itself."""


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


def run_one(
    notebook: str | Path, folder: str | Path, parameters: dict, progress: bool = True, threads: int | None = None
) -> dict:
    """Execute a notebook with parameters in a folder of its own, and give its result.

    Args:
        notebook: one of notebooks/, with a cell tagged "parameters" that has `output`.
        folder: receives the executed notebook and what the notebook writes; it is passed as `output`.
        parameters: values for the parameters cell.
        progress: show papermill's progress bar.
        threads: of the kernel's computations; None leaves it to the environment.

    Returns:
        The content of result.json.

    Raises:
        ValueError: parameters the notebook does not have.
        FolderInUse: another process is running in the folder.
        papermill.PapermillExecutionError: a cell failed; the executed notebook and error.json show where.
        KernelDied: the kernel was killed, ran out of memory or crashed.
        RuntimeError: the notebook ended without writing its result.
    """
    folder = Path(folder)
    parameters = check_parameters(notebook, {**parameters, "output": str(folder)})
    with claim(folder) as lock:
        return execute(Path(notebook), folder, parameters, lock, progress, threads)


@contextmanager
def claim(folder: Path) -> Iterator[int]:
    """Hold a folder's lock, made for one holder on one machine or on a file system with locks; gives its descriptor.

    Raises:
        FolderInUse: another process, or the kernel it left, holds it.
    """
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderInUse(f"{folder}: another process is running here") from None
        yield lock
    finally:
        os.close(lock)


def state(folder: Path) -> str:
    """What a run's folder says: "done", "running", "failed", "interrupted" or "waiting"."""
    if (folder / RESULT).exists():
        return "done"
    if _locked(folder):
        return "running"
    if (folder / ERROR).exists():
        return "failed"
    return "interrupted" if (folder / PARAMETERS).exists() else "waiting"


def execute(notebook: Path, folder: Path, parameters: dict, lock: int, progress: bool, threads: int | None) -> dict:
    """As `run_one`, with checked parameters and the folder's lock held."""
    import papermill

    half_written = [path for path in folder.glob(".*.????????") if path.is_file()]  # by a killed run's atomic_write
    for old in (folder / RESULT, folder / ERROR, folder / PENDING, *half_written):
        old.unlink(missing_ok=True)
    write_json(folder / PARAMETERS, {"notebook": notebook.name, "parameters": parameters})
    write_json(folder / VERSIONS, about := _versions())
    started = time.perf_counter()
    environment = {**os.environ, "HELO_RESULT": PENDING}
    environment.pop("MPLBACKEND", None)  # the kernel's own backend is headless and puts pictures into the cells
    environment.setdefault("PLOTLY_RENDERER", "plotly_mimetype+notebook_connected")  # shows in an HTML report, too
    if "interactive" in papermill.inspect_notebook(str(notebook)):
        parameters = {"interactive": False} | parameters  # widgets would store 5 MB each, and nobody moves them
    if threads is not None:
        environment |= {f"{library}_NUM_THREADS": str(threads) for library in ("OMP", "MKL", "OPENBLAS")}
    try:
        with (
            open(folder / LOG, "a") as log,
            TemporaryDirectory(prefix="helo-", ignore_cleanup_errors=True) as sockets,
            _dead_kernels(folder, log),
        ):
            log.write(f"--- {about['started']}, {about['machine']}, process {os.getpid()}\n")
            papermill.execute_notebook(
                str(notebook),
                str(folder / notebook.name),
                parameters,
                kernel_name="python3",
                progress_bar=progress,
                store_widget_state=False,
                stdout_file=log,
                stderr_file=log,
                start_timeout=300,
                kernel_manager_class=_supervised(folder, lock, environment, log, sockets),
            )
        if not (folder / PENDING).exists():
            raise RuntimeError(f"{notebook}: ended without writing {folder / RESULT}")
    except (OSError, KernelDied):
        raise  # from outside; the run is tried again by the next sweep
    except Exception as error:
        write_json(folder / ERROR, _about_error(error))
        raise
    write_json(folder / VERSIONS, {**about, "seconds": round(time.perf_counter() - started, 3)})
    os.replace(folder / PENDING, folder / RESULT)
    return json.loads((folder / RESULT).read_text())


_kernels: dict[str, int] = {}  # of this process: a run's folder -> the process group of its kernel
_stopped: set[str] = set()


def stop(folders: Collection[str]) -> None:
    """Kill this process's kernels of these runs, and those about to start."""
    _stopped.update(folders)
    for folder in set(folders) & set(_kernels):
        with suppress(ProcessLookupError):
            os.killpg(_kernels[folder], signal.SIGKILL)


def _supervised(folder, lock, environment, log, sockets):
    """A kernel manager class whose kernels inherit the lock and are started through kernel.py."""
    from jupyter_client import AsyncKernelManager

    supervisor = [sys.executable, "-I", "-S", str(Path(__file__).with_name("kernel.py")), str(os.getpid()), str(lock)]

    class Kernel(AsyncKernelManager):
        transport = "ipc"  # sockets in a folder of its own: kernels that start at the same moment race for TCP ports
        connection_file = f"{sockets}/kernel.json"

        def format_kernel_cmd(self, extra_arguments=None):
            return supervisor + super().format_kernel_cmd(extra_arguments)

        async def start_kernel(self, **options):  # type: ignore[override]  # jupyter_client wraps it in run_sync
            await super().start_kernel(**options, env=environment, pass_fds=(lock,), stdout=log, stderr=log)
            _kernels[str(folder)] = self.provisioner.pid  # type: ignore[union-attr]  # a LocalProvisioner since the line above
            if str(folder) in _stopped:
                stop([str(folder)])

    return Kernel


@contextmanager
def _dead_kernels(folder, log):
    """KernelDied for nbclient's several ways to say that a kernel is gone."""
    from nbclient.exceptions import DeadKernelError

    _stopped.discard(str(folder))
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, DeadKernelError) and "Kernel died" not in str(error):
            raise
        log.write("the kernel died\n")
        raise KernelDied(f"{folder}: the kernel died; it was killed, ran out of memory or crashed") from None
    finally:
        _kernels.pop(str(folder), None)


def _locked(folder):
    import fcntl

    try:
        lock = os.open(folder / LOCK, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(lock)


def _versions():
    packages = {}
    for package in ("helo", "numpy", "pandas", "torch", "scikit-learn", "POT", "neurokit2", "papermill", "ipykernel"):
        with suppress(PackageNotFoundError):
            packages[package] = version(package)
    return {
        "code": code_digest("**/*.py"),
        "python": platform.python_version(),
        "packages": packages,
        "machine": platform.node(),
        "system": platform.platform(),
        "started": time.strftime("%Y-%m-%d %H:%M:%S %z"),
    }


def _about_error(error):
    name, value = getattr(error, "ename", type(error).__name__), getattr(error, "evalue", str(error))
    trace = re.sub(r"\x1b\[[\d;]*m", "", "\n".join(getattr(error, "traceback", ())))
    return {"error": f"{name}: {value}", "cell": getattr(error, "exec_count", None), "traceback": trace}
