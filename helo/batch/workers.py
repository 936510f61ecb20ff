"""Who runs a sweep's runs: this process, processes of this machine, or the workers of a Dask scheduler."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from helo.batch import runs

Job = tuple[str, ...]  # for `attempt`: notebook, folder, run, parameters, limit, cold
GONE = "the scheduler is gone; what is done stays, and the same call goes on from there"
WAIT = 10.0  # seconds between two looks for workers


@contextmanager
def executor(
    attempt: Callable, tell: Callable[[str], None], workers: int, scheduler: str | None, gpu: bool
) -> Iterator[Callable[[Sequence[Job]], Iterator[tuple[str, str]]]]:
    """A function that takes jobs and yields (run, state) as they end.

    Args:
        attempt: does a job, in whatever process; gives a state.
        tell: says a line to whoever waits.
        workers, scheduler, gpu: as in `helo.sweeps.sweep`.
    """
    if scheduler is None and workers == 1:
        yield lambda jobs: ((job[2], attempt(*job)) for job in jobs)
        return
    from distributed import Client

    with nullcontext(scheduler) if scheduler else _local_cluster(workers, gpu) as cluster, Client(cluster) as client:
        yield lambda jobs: _on_cluster(client, attempt, tell, jobs, {"GPU": 1} if gpu else None)


def _answer(attempt, *job):
    """What a job gives or raises: raised in a worker, it would be printed there with its traceback."""
    logging.getLogger("distributed.worker").addFilter(_no_heartbeat)  # once: it is there or it is not
    try:
        return attempt(*job)
    except (ValueError, OSError) as error:
        return error


def _no_heartbeat(record):
    """A heartbeat on its way when a cluster ends is lost: nothing has failed, and its traceback would say so."""
    return "during heartbeat" not in record.getMessage()


def _on_cluster(client, attempt, tell, jobs, resources):
    # no result of an earlier sweep, or of another driver's, may answer for this one: keys are new
    futures = {client.submit(_answer, attempt, *job, pure=False, resources=resources): job for job in jobs}
    try:
        for future in _as_they_end(client, list(futures), tell, gpu=bool(resources)):
            run = futures[future][2]
            if future.status == "finished":
                answer: Any = future.result()
                if isinstance(answer, Exception):
                    raise answer
                yield run, answer
            elif future.status == "error" and type(future.exception()).__name__ == "KilledWorker":
                yield run, "interrupted"
            elif future.status == "error":
                future.result()
            else:
                raise ConnectionError(GONE)
    except BaseException:  # Ctrl-C too; cancelling alone would leave the kernels running
        with suppress(Exception):
            client.cancel(list(futures))
            client.run(runs.stop, [str(Path(folder) / run) for _, folder, run, *_ in jobs])
        raise


def _as_they_end(client, left, tell, gpu):
    """Futures as they end; says once when there is nobody to do them."""
    from distributed import CancelledError, wait

    told = False
    while left:
        try:
            done = wait(left, timeout=WAIT, return_when="FIRST_COMPLETED").done
        except TimeoutError:
            able = [w for w in client.run_on_scheduler(_resources) if not gpu or w.get("GPU")]
            if not able and not told:
                who = "a Dask worker with a GPU" if gpu else "a Dask worker"
                tell(f"waiting for {who}: {client.scheduler.address} has none")
            told = not able
            continue
        except CancelledError:
            raise ConnectionError(GONE) from None
        yield from done
        left = [future for future in left if future not in done]


def _resources(dask_scheduler=None):
    return [dict(worker.resources) for worker in dask_scheduler.workers.values()]


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
