"""Which fits of a job are trained as one, and in how many parts processes take them; what is faster is measured."""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from helo.data.emotion_data import EmotionData
from helo.evaluation.fits import Job, on_gpu
from helo.files import write_json
from helo.models import build
from helo.training.loop import fit
from helo.training.member import most_epochs
from helo.training.stacking import fit_together

#: fits that are tried as one on a CPU; a larger stack gains little more, and is a large part to wait for
STACK = 15
#: weights between which it is measured whether a stack pays: with fewer a step is mostly calls, which a stack shares;
#: with more it is products, which it does not, and its weights leave the cache
OPEN = 100_000, 4_000_000
#: part of a process's steps that measuring may take, and how much faster the other way must be to be taken
COST, GAIN = 0.01, 1.1


def shares(data: EmotionData, job: Job, processes: int, known: dict[str, int] | None = None) -> list[Job]:
    """A job's fits as jobs, each of which a process trains as one; as many for each process, and as large as can be.

    How many fits a part has changes no bit of them, as long as there are two; trained one by one their sums are taken
    in another order. `Job.divided` says by the model's size which it is. Where processes share much work, and the size
    leaves it open (`OPEN`), a few steps of both are timed first.

    Args:
        data: the data set.
        job: its fits.
        processes: that take parts.
        known: what was found before (`remembered`) of such data with these options and batch; is added to.
    """
    most = len(job.divided(data, 1)[0].fits)
    if processes > 1 and _worth_asking(data, job, processes):
        known = {} if known is None else known
        sizes = {m: x.shape[1:] for m, x in data.signals.items()}, len(data.emotions)
        settings = job.training.get("batch_size"), job.training.get("precision")
        about = repr((data.name, *sizes, job.model, sorted(job.options.items()), *settings, most))
        if about not in known:
            known[about] = _faster(data, job, most)
        most = known[about]
    if most == 1:
        return [replace(job, fits=[one]) for one in job.fits]
    full = -(-len(job.fits) // most)
    parts = max(1, min(-(-full // processes) * processes, len(job.fits) // 2))
    bounds = np.linspace(0, len(job.fits), parts + 1).round().astype(int)
    return [replace(job, fits=job.fits[a:b]) for a, b in pairwise(bounds)]


def remembered(folder: Path | None) -> dict[str, int]:
    """What was found faster when a folder of fits was begun: whoever goes on there takes the same sums."""
    file = folder and folder / "shares.json"
    try:
        kept = json.loads(file.read_bytes()) if file and file.exists() else {}
        return {about: size for about, size in kept.items() if size in (1, STACK)}
    except (ValueError, AttributeError):  # a damaged one is measured anew
        return {}


def remember(folder: Path | None, known: dict[str, int]) -> None:
    """Keep what was found in a folder of fits."""
    if folder and known != remembered(folder):
        write_json(folder / "shares.json", known)


def _worth_asking(data, job, processes):
    """Whether a CPU's stack may pay or not, and what is measured is a small part of what it decides on."""
    model = build(job.model, data, **job.options)
    weights = sum(p.numel() for p in model.parameters())
    if not model.stackable or on_gpu(job.training) or not OPEN[0] <= weights < OPEN[1] or len(job.fits) < STACK:
        return False
    batch = _batch(job.training)
    epochs = [job.training.get("epochs") or most_epochs(split, batch) for split, _ in job.fits]
    steps = sum(n * -(-len(split.train) // batch) for n, (split, _) in zip(epochs, job.fits, strict=True))
    return COST * steps / processes >= 3 * (STACK + 1)


def _batch(training: Mapping[str, Any]) -> int:
    return training.get("batch_size") or inspect.signature(fit).parameters["batch_size"].default


def _faster(data, job, most):
    """`STACK` or 1: what takes a fit less time; what the model's size said where the difference is small."""
    given = torch.get_num_threads()
    torch.set_num_threads(1)  # as a process beside others has
    try:
        taken = {size: _seconds(data, job, size) for size in (1, STACK)}
    except (RuntimeError, FloatingPointError):  # memory, or a fault that training will tell
        return most
    finally:
        torch.set_num_threads(given)
    other = 1 if most > 1 else STACK
    return other if taken[other] * GAIN < taken[min(most, STACK)] else most


def _seconds(data, job, size):
    """Seconds of this thread that a step of a fit takes, among so many: the least of two, after a first one."""
    some, batch, ends = job.fits[:size], _batch(job.training), []
    splits = [replace(split, train=split.train[:batch], validation=split.validation[:0]) for split, _ in some]
    models = [build(job.model, data, seed=seed, **job.options) for _, seed in some]
    training = {k: job.training[k] for k in ("batch_size", "precision") if k in job.training}
    training |= {"epochs": 3, "device": "cpu", "progress": False}
    training["on_epoch"] = lambda *_: ends.append(time.thread_time())  # others on the machine do not count
    if size == 1:
        fit(models[0], data, splits[0], **training)
    else:
        fit_together(models, data, splits, seeds=range(size), **training)
    return float(np.diff(ends[size - 1 :: size]).min()) / size
