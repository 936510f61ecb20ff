"""One run: a notebook executed with checked parameters in a folder of its own (helo.batch.folders), result last."""

from __future__ import annotations

import errno
import os
import platform
import re
import time
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from helo.batch.folders import (
    ERROR,
    LOCK,
    LOG,
    PARAMETERS,
    PENDING,
    RESULT,
    VERSIONS,
    FolderInUse,
    claim,
    fault,
    holder,
    read_json,
    record,
    state,
)
from helo.batch.parameters import check_parameters, defaults, literal
from helo.batch.plan import library_digest
from helo.batch.supervision import KernelDied, TimeLimit, stop, supervised
from helo.files import UNFINISHED, write_json
from helo.reading import expanded

__all__ = [
    "ERROR",
    "LOCK",
    "LOG",
    "PARAMETERS",
    "PENDING",
    "RESULT",
    "VERSIONS",
    "DiskFull",
    "FolderInUse",
    "KernelDied",
    "TimeLimit",
    "claim",
    "execute",
    "fault",
    "holder",
    "is_of_the_disk",
    "read_json",
    "record",
    "run_one",
    "state",
    "stop",
]


class DiskFull(RuntimeError):
    """The notebook found no room on a disk: nothing is known against the run itself."""


def is_of_the_disk(error: OSError) -> bool:
    """Whether an error is the disk's, which every other run meets too: full, over quota, read-only, broken or gone.

    Any other OSError is a run's own: nbclient's limit of time is one, and so is a folder that the notebook deleted.
    """
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE, errno.ENODEV)


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
        MissingFile: no such notebook.
        ValueError: parameters the notebook does not have.
        FolderInUse: another process is running in the folder.
        papermill.PapermillExecutionError: a cell failed; the executed notebook and error.json show where.
        DiskFull: a cell found no room on a disk.
        KernelDied: the kernel was killed, ran out of memory or crashed.
        RuntimeError: the notebook ended without writing its result.
    """
    notebook, folder = expanded(notebook), expanded(folder)
    parameters = check_parameters(notebook, {**parameters, "output": str(folder)})
    with claim(folder) as lock:
        return execute(notebook, folder, parameters, lock, progress, threads)


def execute(
    notebook: Path,
    folder: Path,
    parameters: dict,
    lock: int,
    progress: bool,
    threads: int | None,
    limit: float | None = None,
    warm: bool = False,
) -> dict:
    """As `run_one`, with checked parameters and the folder's lock held.

    `limit`: most seconds, then TimeLimit; `warm`: the kernel is forked from a process that keeps this one company.
    """
    try:
        return _execute(notebook, folder, parameters, lock, progress, threads, limit, warm)
    except (DiskFull, KernelDied):
        raise  # from outside; the run is tried again by the next sweep
    except Exception as error:
        if isinstance(error, OSError) and is_of_the_disk(error):
            raise
        if not folder.is_symlink():  # the notebook may have done anything to its folder
            with suppress(OSError):
                write_json(folder / ERROR, _about_error(error))
        raise


def _execute(notebook, folder, parameters, lock, progress, threads, limit, warm):
    half_written = [path for path in folder.glob(f".*{UNFINISHED}") if path.is_file()]  # by a killed run's atomic_write
    links = [path for path in (folder / LOG, folder / notebook.name) if path.is_symlink()]  # not to be written through
    for old in (folder / RESULT, folder / ERROR, folder / PENDING, *half_written, *links):
        old.unlink(missing_ok=True)
    write_json(folder / PARAMETERS, {"notebook": notebook.name, "parameters": parameters})
    write_json(folder / VERSIONS, about := _versions())
    started = time.perf_counter()
    environment = _environment(threads)
    zygote = _zygote(notebook, environment, about["code"]) if warm else None  # imports while papermill is imported here

    import papermill

    known = papermill.inspect_notebook(literal(notebook))
    if "interactive" in known:
        parameters = {"interactive": False} | parameters  # widgets would store 5 MB, and nobody moves them
    with (
        open(folder / LOG, "a") as log,
        supervised(folder, lock, environment, log, limit, zygote) as manager,
    ):
        log.write(f"--- {about['started']}, {about['machine']}, process {os.getpid()}\n")
        try:
            papermill.execute_notebook(
                literal(notebook),
                literal(folder / notebook.name),
                parameters,
                kernel_name="python3",
                progress_bar=progress,
                store_widget_state=False,
                stdout_file=log,
                stderr_file=log,
                start_timeout=300,
                kernel_manager_class=manager,
            )
        except papermill.PapermillExecutionError as error:
            if re.search(_NO_ROOM, f"{error.ename}: {error.evalue}"):
                raise DiskFull(f"{folder}: {error.ename}: {error.evalue}") from None
            raise
    if folder.is_symlink():
        raise RuntimeError(f"{folder}: the notebook put a link in the place of its folder")
    if not (folder / PENDING).exists():
        raise RuntimeError(f"{notebook}: ended without writing {folder / RESULT}")
    result = read_json(folder / PENDING)
    took = round(time.perf_counter() - started, 3)
    write_json(folder / VERSIONS, {**about, "seconds": took, "defaults": defaults(known)})
    os.replace(folder / PENDING, folder / RESULT)
    return result


def _environment(threads):
    """Of the kernel."""
    environment = {**os.environ, "HELO_RESULT": PENDING}
    environment.pop("MPLBACKEND", None)  # the kernel's own backend is headless and puts pictures into the cells
    environment.setdefault("PLOTLY_RENDERER", "plotly_mimetype")  # data without a script; pages draw it themselves
    if threads is not None:
        environment |= {f"{library}_NUM_THREADS": str(threads) for library in ("OMP", "MKL", "OPENBLAS")}
    return environment


def _zygote(notebook, environment, code):
    from helo.batch import warm

    return warm.start(notebook, environment, code)


#: as Python, Rust (safetensors) and C say ENOSPC and EDQUOT
_NO_ROOM = r"\[Errno (28|122)\]|\(os error (28|122)\)|No space left on device|Disk quota exceeded"


def _versions():
    packages = {}
    for package in ("helo", "numpy", "pandas", "torch", "scikit-learn", "POT", "neurokit2", "papermill", "ipykernel"):
        with suppress(PackageNotFoundError):
            packages[package] = version(package)
    return {
        "code": library_digest(),
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
