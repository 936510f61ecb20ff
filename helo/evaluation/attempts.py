"""What of a comparison cannot be done, and why: models that data cannot feed or that fail end no other."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from helo.data.emotion_data import BEHAVIORAL, PHYSIOLOGICAL, EmotionData
from helo.data.split import Split
from helo.evaluation.fits import Fitted, Job, run_job
from helo.evaluation.watching import telling, watched
from helo.models import build
from helo.progress import Progress

Outcome = list[Fitted] | Exception


def unfed(entry: Mapping[str, Any], data: EmotionData, splits: Sequence[Split]) -> ValueError | None:
    """Why a model cannot be trained on a data set; None where it can.

    Args:
        entry: {"model": name, **options}, options that the model has.
        data: the data set.
        splits: its folds.
    """
    try:
        build(entry["model"], data, **{k: v for k, v in entry.items() if k != "model"})
    except ValueError as error:
        if all(data.roles[role] for role in (PHYSIOLOGICAL, BEHAVIORAL)):
            return error
        return ValueError(
            f"{error}. One modality can be read as two: give some of its columns to each in a card, modalities: "
            "{skin: {columns: [...], role: physiological}, face: {columns: [...], role: behavioral}}"
        )
    if entry["model"] == "mixture":
        if data.conditions is None:
            return ValueError("it mixes the conditions' means, and no condition is known (column 'condition')")
        for split in splits:
            if len(names := np.unique(data.conditions[split.seen])) < 2:
                return ValueError(f"the training side of {split.name} holds one condition, {str(names[0])!r}")
    return None


def attempts(
    data: EmotionData,
    jobs: Sequence[tuple[str, Job]],
    lost: Mapping[str, Exception],
    workers: int,
    folder: Path | None,
    bar: Progress,
) -> Iterator[Outcome]:
    """Each job's fits, or the error that it ended in, in the jobs' order; a job that fails ends no other.

    In this process the jobs of a model that `lost` names by then are not begun; with more workers, outcomes come as
    processes finish them. `bar` shows the epochs of both.

    Raises:
        OSError: a full or broken disk is nothing that another model could do better on.
    """
    if not jobs:  # a second round of models without a choice: nothing to start processes for
        return
    if workers == 1:
        for label, job in jobs:
            yield lost[label] if label in lost else _attempt(data, job, folder, bar.shown)
        return
    from joblib import Parallel, delayed, parallel_config

    with parallel_config("loky", inner_max_num_threads=1):
        processes = Parallel(n_jobs=workers, return_as="generator")
    with warnings.catch_warnings(), watched(bar, len(jobs)) if bar.shown else nullcontext((None, id)) as (seen, taken):
        # joblib replaces a worker that has grown; nothing is lost
        warnings.filterwarnings("ignore", "A worker stopped")
        outcomes = processes(delayed(_in_worker)(data, job, folder, seen, k) for k, (_, job) in enumerate(jobs))
        for k, outcome in enumerate(outcomes):
            taken(k)
            yield outcome


def _attempt(data: EmotionData, job: Job, folder: Path | None, progress: bool = False) -> Outcome:
    try:
        return run_job(data, job, folder, progress)
    except OSError:
        raise
    except Exception as error:  # a model may fail in any way
        return error


def _in_worker(data, job, folder, seen, number):
    # processes share large arrays read-only, and nothing here writes to them
    warnings.filterwarnings("ignore", "The given NumPy array is not writable")
    with telling(seen, number, len(job.fits)) if seen else nullcontext():
        outcome = _attempt(data, job, folder, progress=bool(seen))
    if isinstance(outcome, Exception):
        try:
            pickle.loads(pickle.dumps(outcome))  # as it travels; our own, of this process
        except Exception:  # an error with fields of its own
            return RuntimeError(f"{type(outcome).__name__}: {outcome}")
    return outcome
