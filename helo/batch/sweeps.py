"""Many runs of a notebook: one after another, in local processes, or on any Dask cluster.

    runs = grid(model=["helo", "early"], seed=[0, 1, 2])
    sweep("notebooks/02_train.ipynb", runs, "runs/first", workers=2)
    table = collect("runs/first")

A run is a folder (helo.batch.folders) named by `run_id`; the folder of the sweep holds them, and sweep.json, the list
of its runs.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from helo.batch import runs
from helo.batch.collection import by_person, collect, fitted
from helo.batch.parameters import check_injected, check_parameters, declared
from helo.batch.plan import PLAN, add_to_plan, axes, grid, read_plan, read_sweep, run_id
from helo.batch.runs import DiskFull, FolderInUse, KernelDied, record, run_one
from helo.batch.workers import executor
from helo.reading import expanded

__all__ = [
    "PLAN",
    "axes",
    "by_person",
    "check_injected",
    "check_parameters",
    "collect",
    "fitted",
    "grid",
    "read_plan",
    "read_sweep",
    "record",
    "run_id",
    "run_one",
    "status",
    "sweep",
]


def sweep(
    notebook: str | Path,
    many: Sequence[dict],
    folder: str | Path,
    *,
    workers: int = 1,
    scheduler: str | None = None,
    gpu: bool = False,
    retry_failed: bool = False,
    limit: float | None = None,
    cold: bool = False,
    progress: bool = True,
) -> dict[str, str]:
    """Run a notebook once for each set of parameters; what is done already is not run again.

    A run that fails keeps its error and its notebook and does not stop the others. Killed at any moment, the same call
    goes on where it was. Two calls on one folder share the work, and its list of runs holds both calls'. Every kernel
    computes on one thread ($OMP_NUM_THREADS if that is set).

    Args:
        notebook: the notebook.
        many: the parameters of each run; `grid` makes them.
        folder: of the sweep; every run gets a folder in it.
        workers: processes on this machine; 1: one run after another in this process.
        scheduler: address of a Dask scheduler whose workers run the notebooks; its workers see `notebook` and `folder`
            under the same paths, and have one thread each.
        gpu: one GPU for each notebook: two local workers and more get one each, a scheduler's have the resource "GPU";
            a single process uses what it sees.
        retry_failed: also run again what has failed.
        limit: seconds after which a run is ended, and has failed; None: none.
        cold: every kernel is a new interpreter, in place of one forked from a process that has done the imports
            (helo.batch.warm; Linux alone).
        progress: show a progress bar, and what is waited for.

    Returns:
        run -> "done", "failed", "damaged" or "interrupted", in the order of `many`.

    Raises:
        ValueError: parameters the notebook does not have, or an OMP_NUM_THREADS that is no number, before anything
            starts; a worker with other code or another notebook.
        OSError: the folder cannot be written, the disk is full, the scheduler cannot be reached; what is done stays.
    """
    notebook, folder = expanded(notebook).resolve(), expanded(folder).resolve()
    known = declared(notebook)
    _threads()
    if "output" not in known or any("output" in parameters for parameters in many):
        raise ValueError(f"{notebook}: 'output' is each run's folder, a parameter set by the sweep alone")
    _check_options(limit, workers, scheduler)
    checked = [check_parameters(notebook, parameters, known) for parameters in many]
    plan = {run_id(notebook, parameters): parameters for parameters in checked}
    add_to_plan(folder, notebook, plan)
    if retry_failed:
        for run in plan:
            if not (folder / run).is_symlink():
                (folder / run / runs.ERROR).unlink(missing_ok=True)
    states = {run: runs.state(folder / run) for run in plan}
    _run_all(notebook, folder, plan, states, (workers, scheduler, gpu), limit, cold, progress)
    return states


def _check_options(limit, workers, scheduler):
    if limit is not None and not 0 < limit < float("inf"):
        raise ValueError(f"limit is {limit}; expected a number of seconds above 0, or None")
    if scheduler is not None and workers != 1:
        raise ValueError(f"workers is {workers} and scheduler {scheduler!r}; expected one: a scheduler has its own")


def _run_all(notebook, folder, plan, states, where, limit, cold, progress):
    """Run what is neither done nor failed, until nothing is left; `states` follows."""
    left = [run for run, state in states.items() if state not in ("done", "failed")]
    failed, waited = Counter(states.values())["failed"], set[str]()

    def tell(text: str) -> None:
        if progress:
            tqdm.write(text, file=sys.stderr)

    with (
        tqdm(total=len(plan), initial=len(plan) - len(left), desc=folder.name, unit="run", disable=not progress) as bar,
        executor(_attempt, tell, *(where if left else (1, None, False))) as each,
    ):
        bar.set_postfix(failed=failed)
        while left:
            jobs = [(str(notebook), str(folder), run, plan[run], limit, cold) for run in left]
            for run, state in each(jobs):
                states[run] = state
                if state != "running":
                    failed += state == "failed"
                    bar.set_postfix(failed=failed, refresh=False)
                    bar.update()
            left = [run for run in left if states[run] == "running"]  # by another driver, or one that is just dying
            holders = {runs.holder(folder / run) for run in left}
            if holders - waited:
                tell(f"waiting for {len(left)} runs that others are running: {left[0]}{runs.holder(folder / left[0])}")
            waited |= holders
            if left:
                time.sleep(1)


def status(folder: str | Path) -> dict[str, str]:
    """run -> "done", "running", "failed", "damaged", "interrupted" or "waiting", in the order of the sweep."""
    folder = expanded(folder)
    return {run: runs.state(folder / run) for run in read_plan(folder)["runs"]}


def _threads():
    """How many a kernel has: $OMP_NUM_THREADS, of whose list (2,1: one a level) the first; else one."""
    text = os.environ.get("OMP_NUM_THREADS") or "1"
    first = text.partition(",")[0].strip()
    if not (first.isdecimal() and int(first)):
        raise ValueError(f"OMP_NUM_THREADS is {text!r}; expected a whole number of at least 1, or nothing")
    return int(first)


def _attempt(notebook, folder, run, parameters, limit=None, cold=False):
    """One run, in whatever process: its state afterwards."""
    path, threads = Path(folder) / run, _threads()
    if run_id(notebook, parameters) != run:
        raise ValueError(f"{notebook}: the notebook has changed since the sweep began, or this worker has other code")
    if path.is_symlink() or path.is_file():  # not the folder this sweep made: its target is somebody else's
        return "damaged"
    try:
        with runs.claim(path) as lock:
            if (path / runs.RESULT).exists() and runs.fault(path) is None:  # by another driver in the meantime
                return "done"
            if (path / runs.ERROR).exists():
                return "failed"
            with_output = {**parameters, "output": str(path)}
            how = {"progress": False, "threads": threads, "limit": limit, "warm": not cold}
            runs.execute(Path(notebook), path, with_output, lock, **how)
        return "done"
    except FolderInUse:
        return "running"
    except (KernelDied, DiskFull):
        return "interrupted"
    except OSError as error:
        if runs.is_of_the_disk(error):
            raise  # no run's fault, and the next run would meet it too
        return "failed"
    except Exception:  # told in the run's error.json, or by `fault`
        return "failed"
