"""Many runs of a notebook: one after another, in local processes, or on any Dask cluster.

    runs = grid(model=["helo", "early"], seed=[0, 1, 2])
    sweep("notebooks/02_train.ipynb", runs, "runs/first", workers=2)
    table = collect("runs/first")

A run is a folder (helo.runs) named by `run_id`; the folder of the sweep holds them, and sweep.json, the list of its
runs.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import os
import time
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from helo.batch import runs
from helo.batch.parameters import check_injected, check_parameters, declared
from helo.batch.runs import FolderInUse, KernelDied, record, run_one
from helo.files import MissingFile, code_digest, write_json

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "axes",
    "by_person",
    "check_injected",
    "check_parameters",
    "collect",
    "grid",
    "read_sweep",
    "record",
    "run_id",
    "run_one",
    "status",
    "sweep",
]

PLAN = "sweep.json"


def grid(**axes: Sequence) -> list[dict]:
    """Every combination of the axes' values, the last axis fastest: grid(seed=[0, 1]) is [{"seed": 0}, {"seed": 1}]."""
    for name, values in axes.items():
        if isinstance(values, str) or not isinstance(values, Sequence | range) or not len(values):
            raise ValueError(f"axis {name!r} is {values!r}; expected a list with at least one value")
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def read_sweep(file: str | Path, fixed: dict | None = None) -> tuple[Path, list[dict]]:
    """Read a sweep file: the notebook, and the parameters of every run.

    The file is TOML: `notebook`, a path from the file's own folder; `[parameters]`, the same for every run; and one or
    more `[[axes]]`, each a grid of its own.

    Args:
        file: the sweep file.
        fixed: parameters that take the place of the file's; an axis of that name is left out.

    Raises:
        MissingFile: no such file.
        ValueError: not TOML, an unknown or missing key, or an axis that is no list.
    """
    file = Path(file)
    if not file.is_file():
        raise MissingFile(f"{file}: no such file; expected a sweep file")
    try:
        about = tomllib.loads(file.read_text())
        unknown = sorted(set(about) - {"notebook", "parameters", "axes"})
        if unknown or not isinstance(about.get("notebook"), str):
            raise ValueError(f"keys are {sorted(about)}; expected notebook, [parameters] and [[axes]]")
        many = [
            {**about.get("parameters", {}), **run, **(fixed or {})}
            for axes in about.get("axes", [{}])
            for run in grid(**{name: values for name, values in axes.items() if name not in (fixed or {})})
        ]
    except (ValueError, TypeError) as error:
        raise ValueError(f"{file}: {error}") from None
    return file.parent / about["notebook"], many


def run_id(notebook: str | Path, parameters: dict) -> str:
    """The name of a run: its notebook's stem, and a hash of the cells, the parameters and this library's code."""
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(Path(notebook).read_text())["cells"]]
    content = json.dumps([cells, parameters, code_digest("**/*.py")], sort_keys=True)
    return f"{Path(notebook).stem}-{hashlib.sha256(content.encode()).hexdigest()[:16]}"


def sweep(
    notebook: str | Path,
    many: Sequence[dict],
    folder: str | Path,
    *,
    workers: int = 1,
    scheduler: str | None = None,
    gpu: bool = False,
    retry_failed: bool = False,
    progress: bool = True,
) -> dict[str, str]:
    """Run a notebook once for each set of parameters; what is done already is not run again.

    A run that fails keeps its error and its notebook and does not stop the others. Killed at any moment, the same call
    goes on where it was. Two calls on one folder share the work. Every kernel computes on one thread ($OMP_NUM_THREADS
    if that is set).

    Args:
        notebook: the notebook.
        many: the parameters of each run; `grid` makes them.
        folder: of the sweep; every run gets a folder in it.
        workers: processes on this machine; 1: one run after another in this process.
        scheduler: address of a Dask scheduler whose workers run the notebooks; its workers see `notebook` and `folder`
            under the same paths, and have one thread each.
        gpu: one GPU for each notebook. Local workers get one each; a scheduler's workers have the resource "GPU".
        retry_failed: also run again what has failed.
        progress: show a progress bar.

    Returns:
        run -> "done", "failed" or "interrupted", in the order of `many`.

    Raises:
        ValueError: parameters the notebook does not have, before anything starts; a worker with other code or another
            notebook.
        OSError: the folder cannot be written, the scheduler cannot be reached; what is done stays.
    """
    notebook, folder = Path(notebook).resolve(), Path(folder).resolve()
    known = declared(notebook)
    if "output" not in known or any("output" in parameters for parameters in many):
        raise ValueError(f"{notebook}: 'output' is each run's folder, a parameter set by the sweep alone")
    checked = [check_parameters(notebook, parameters, known) for parameters in many]
    plan = {run_id(notebook, parameters): parameters for parameters in checked}
    write_json(folder / PLAN, {"notebook": str(notebook), "runs": plan})
    if retry_failed:
        for run in plan:
            (folder / run / runs.ERROR).unlink(missing_ok=True)
    states = {run: runs.state(folder / run) for run in plan}
    _run_all(notebook, folder, plan, states, (workers, scheduler, gpu), progress)
    return states


def _run_all(notebook, folder, plan, states, where, progress):
    """Run what is neither done nor failed, until nothing is left; `states` follows."""
    left = [run for run, state in states.items() if state not in ("done", "failed")]
    failed = Counter(states.values())["failed"]
    with (
        tqdm(total=len(plan), initial=len(plan) - len(left), desc=folder.name, unit="run", disable=not progress) as bar,
        _executor(*(where if left else (1, None, False))) as each,
    ):
        bar.set_postfix(failed=failed)
        while left:
            jobs = [(str(notebook), str(folder), run, plan[run]) for run in left]
            for run, state in each(jobs):
                states[run] = state
                if state != "running":
                    failed += state == "failed"
                    bar.set_postfix(failed=failed, refresh=False)
                    bar.update()
            left = [run for run in left if states[run] == "running"]  # by another driver, or one that is just dying
            if left:
                time.sleep(1)


def status(folder: str | Path) -> dict[str, str]:
    """run -> "done", "running", "failed", "interrupted" or "waiting", in the order of the sweep."""
    return {run: runs.state(Path(folder) / run) for run in read_plan(folder)["runs"]}


def collect(folder: str | Path) -> pd.DataFrame:
    """The results of a sweep's finished runs as one table, in the order of the sweep.

    Returns:
        One row per run: "run", its parameters, the content of its result ("a.b" for {"a": {"b": ...}}, lists as JSON),
        and "seconds". Where result and parameters have a name in common and differ, the result's is "result.<name>".
    """
    import pandas as pd

    rows = []
    for run, parameters in read_plan(folder)["runs"].items():
        path = Path(folder) / run
        if (path / runs.RESULT).exists():
            result = dict(_flat(json.loads((path / runs.RESULT).read_text())))
            result = {f"result.{k}" if parameters.get(k, v) != v else k: v for k, v in result.items()}
            seconds = json.loads((path / runs.VERSIONS).read_text())["seconds"]
            rows.append({"run": run, **parameters, **result, "seconds": seconds})
    return pd.DataFrame(rows)


def by_person(results: pd.DataFrame) -> pd.DataFrame:
    """Runs that each fitted one model on one fold, as `helo.evaluate` gives them: a row per person and condition.

    Args:
        results: from `collect`; "people" holds each run's rows as JSON, `helo.evaluation.person_scores`.
    """
    import pandas as pd

    shared = ("model", "seed", "fold", "capped")
    each = results.to_dict("records")
    return pd.DataFrame([{k: run[k] for k in shared} | row for run in each for row in json.loads(run["people"])])


def axes(folder: str | Path) -> list[str]:
    """Parameters that take more than one value among a sweep's runs."""
    many = read_plan(folder)["runs"].values()
    names = dict.fromkeys(name for parameters in many for name in parameters)
    return [name for name in names if len({json.dumps(parameters.get(name)) for parameters in many}) > 1]


def _attempt(notebook, folder, run, parameters):
    """One run, in whatever process: its state afterwards."""
    path = Path(folder) / run
    if run_id(notebook, parameters) != run:
        raise ValueError(f"{notebook}: the notebook has changed since the sweep began, or this worker has other code")
    try:
        with runs.claim(path) as lock:
            before = "done" if (path / runs.RESULT).exists() else "failed" if (path / runs.ERROR).exists() else None
            if before:  # by another driver in the meantime
                return before
            threads = int(os.environ.get("OMP_NUM_THREADS", 1))
            with_output = {**parameters, "output": str(path)}
            runs.execute(Path(notebook), path, with_output, lock, progress=False, threads=threads)
        return "done"
    except FolderInUse:
        return "running"
    except KernelDied:
        return "interrupted"
    except OSError:
        raise  # a full disk or a lost folder is no run's fault, and the next run would meet it too
    except Exception:  # told in the run's error.json
        return "failed"


@contextmanager
def _executor(workers, scheduler, gpu) -> Iterator:
    """A function that takes jobs and yields (run, state) as they end."""
    if scheduler is None and workers == 1:
        yield lambda jobs: ((job[2], _attempt(*job)) for job in jobs)
        return
    from distributed import Client

    with nullcontext(scheduler) if scheduler else _local_cluster(workers, gpu) as cluster, Client(cluster) as client:
        yield lambda jobs: _on_cluster(client, jobs, {"GPU": 1} if gpu else None)


def _on_cluster(client, jobs, resources):
    from distributed import as_completed

    # no result of an earlier sweep, or of another driver's, may answer for this one: keys are new
    futures = {client.submit(_attempt, *job, pure=False, resources=resources): job for job in jobs}
    try:
        for future in as_completed(futures):
            run = futures[future][2]
            if future.status == "finished":
                yield run, future.result()
            elif future.status == "error" and type(future.exception()).__name__ == "KilledWorker":
                yield run, "interrupted"
            elif future.status == "error":
                future.result()
            else:
                raise ConnectionError("the scheduler is gone; what is done stays, and the same call goes on from there")
    except BaseException:  # Ctrl-C too; cancelling alone would leave the kernels running
        with suppress(Exception):
            client.cancel(list(futures))
            client.run(runs.stop, [str(Path(folder) / run) for _, folder, run, _ in jobs])
        raise


@contextmanager
def _local_cluster(workers, gpu):
    from distributed import Nanny, Scheduler, SpecCluster

    if workers < 1:
        raise ValueError(f"workers is {workers}; expected at least 1")
    quiet = {"dashboard_address": "127.0.0.1:0", "silence_logs": logging.WARNING}
    options = {**quiet, "nthreads": 1, "memory_limit": 0}  # Dask does not see the kernels' memory
    each = [options] * workers
    if gpu:
        devices = _gpus()
        if workers > len(devices):
            raise ValueError(f"{workers} workers with one GPU each, but this machine has {len(devices)} GPUs")
        each = [
            {**options, "resources": {"GPU": 1}, "env": {"CUDA_VISIBLE_DEVICES": device}}
            for device in devices[:workers]
        ]
    spec = {i: {"cls": Nanny, "options": options} for i, options in enumerate(each)}
    one_machine = {"host": "127.0.0.1", "port": 0, "dashboard_address": "127.0.0.1:0"}
    with SpecCluster(spec, {"cls": Scheduler, "options": one_machine}, silence_logs=logging.WARNING) as cluster:
        yield cluster


def _gpus():
    if visible := os.environ.get("CUDA_VISIBLE_DEVICES"):
        return visible.split(",")
    import torch

    return [str(i) for i in range(torch.cuda.device_count())]


def read_plan(folder: str | Path) -> dict:
    """The list of a sweep's runs: "notebook", and "runs", run -> parameters."""
    file = Path(folder) / PLAN
    if not file.is_file():
        raise MissingFile(f"{file}: no such file; expected the folder of a sweep")
    return json.loads(file.read_text())


def _flat(result, before=""):
    for name, value in result.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield before + name, json.dumps(value) if isinstance(value, list) else value
