"""Many fits: those that can be trained as one are, each is kept in a file, and what is kept is not made again."""

from __future__ import annotations

import hashlib
import io
import json
import re
import sys
import time
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from helo.data.emotion_data import EmotionData
from helo.data.split import Split
from helo.files import atomic_write, code_digest
from helo.measures import kl
from helo.models import build, is_closed_form, origin
from helo.training.checkpoints import layout_to_json
from helo.training.loop import fit
from helo.training.member import Run, data_digest, device_for
from helo.training.prediction import predict
from helo.training.stacking import fit_together


@dataclass
class Fitted:
    """What is kept of a fit.

    Args:
        answers: distributions of the split's test windows, (n, L).
        validation_kl: KL on the split's validation windows, with the ratings as they are; NaN without any, and where
            the model learned from them too (closed form, `refit`).
        validation_windows: how many these are.
        epochs: the best epoch; 0 for closed-form models.
        capped: as `Run.capped`.
        seconds: what it took; a stack's fits share its time.
        fault: why there are no answers, where its numbers were not finite from the first epoch: they are NaN then, and
            its validation_kl is infinite.
        broke: what was no longer finite in a later epoch, which ended training; the best one before it answers.
    """

    answers: np.ndarray
    validation_kl: float
    validation_windows: int
    epochs: int
    capped: bool
    seconds: float
    fault: str = ""
    broke: str = ""


@dataclass(frozen=True)
class Job:
    """Fits of one model with the same settings, which are trained as one where that pays."""

    model: str
    options: Mapping[str, Any]
    training: Mapping[str, Any]
    fits: Sequence[tuple[Split, int]]  # split and seed

    def divided(self, data: EmotionData, processes: int) -> list[Job]:
        """The same fits as jobs that a process can take at once.

        All of them on a GPU; on a CPU at most 15, of a model that is small enough for that to pay
        (`benchmarks/stacked.py`).
        """
        size = max(1, min(_together(data, self), -(-len(self.fits) // processes)))
        return [replace(self, fits=self.fits[k : k + size]) for k in range(0, len(self.fits), size)]


def on_gpu(training: Mapping[str, Any]) -> bool:
    """Whether fits with these settings run on a GPU."""
    return device_for(training.get("device")).type == "cuda"


def _together(data, job):
    model = build(job.model, data, **job.options)
    if not model.stackable:
        return 1
    if on_gpu(job.training):
        return sys.maxsize
    return 15 if sum(p.numel() for p in model.parameters()) < 1_000_000 else 1


def run_job(data: EmotionData, job: Job, folder: Path | None, progress: bool = False) -> list[Fitted]:
    """The fits of a job; those that a file holds are read. `progress` shows the epochs of the others."""
    training = dict(job.training)
    if is_closed_form(job.model):  # the one setting that changes what it is fitted to
        training = {k: v for k, v in training.items() if k == "centre_people"}
    job = replace(job, training=training)
    named = {k: v for k, v in training.items() if k not in ("on_epoch", "checkpoint")}
    files = [_file(data, job, split, seed, named, folder, "npz") for split, seed in job.fits]
    results = [_read(file) for file in files]
    todo = [k for k, kept in enumerate(results) if kept is None]
    made = _fitted(data, replace(job, fits=[job.fits[k] for k in todo]), named, progress) if todo else []
    for k, kept in zip(todo, made, strict=True):
        results[k], file = kept, files[k]
        if file is not None:
            _write(file, kept)
    return [kept for kept in results if kept is not None]


def _fitted(data: EmotionData, job: Job, named: dict, progress: bool) -> list[Fitted]:
    """Train the fits and ask them; one that diverges has lost, and takes none of those beside it with it."""
    started = time.perf_counter()
    try:
        with warnings.catch_warnings():
            for said in (".*cap of .* epochs", ".*training ends with the weights of epoch"):
                warnings.filterwarnings("ignore", said)  # said once, of all, by whoever asked for all
            runs = _runs(data, job, named, progress)
        learned = bool(job.training.get("refit")) or runs[0].model.closed_form
        results = [_asked(data, split, run, learned) for (split, _), run in zip(job.fits, runs, strict=True)]
    except FloatingPointError as error:
        if len(job.fits) > 1:
            return [alone for one in job.fits for alone in _fitted(data, replace(job, fits=[one]), named, progress)]
        split, _ = job.fits[0]
        none = np.full((len(split.test), data.distributions.shape[1]), np.nan, np.float32)
        results = [Fitted(none, float("inf"), len(split.validation), 0, False, 0.0, str(error))]
    seconds = (time.perf_counter() - started) / max(1, len(results))
    return [replace(result, seconds=seconds) for result in results]


def _asked(data: EmotionData, split: Split, run: Run, learned: bool) -> Fitted:
    """What a trained model says to its test windows, and how good it is on its validation windows, if not `learned`."""

    def said(rows):  # two calls: the released HeLo's answers hang on the windows that are asked together
        return predict(run.model, data, rows, explain=False, precision=run.precision).distributions

    answers, score = said(split.test), float("nan")
    if len(split.validation) and not learned:
        truth = data.distributions[split.validation].astype(np.float64)
        score = float(kl(truth, said(split.validation).astype(np.float64)).mean())
    return Fitted(answers, score, len(split.validation), run.best_epoch, run.capped, 0.0, broke=run.fault)


def _runs(data: EmotionData, job: Job, named: dict, progress: bool) -> list[Run]:
    """A run for each (split, seed); several are trained at once, in halves where the memory is too small for all."""
    models = [build(job.model, data, seed=seed, **job.options) for _, seed in job.fits]
    training = dict(job.training)
    folder = training.pop("checkpoint", None)
    files = [_file(data, job, split, seed, named, folder, "safetensors") for split, seed in job.fits]
    if len(models) == 1:
        (split, seed), file = job.fits[0], files[0]
        return [fit(models[0], data, split, seed=seed, checkpoint=file, progress=progress, **training)]
    splits, seeds = zip(*job.fits, strict=True)
    try:
        return fit_together(models, data, splits, seeds=seeds, checkpoint=files, progress=progress, **training)
    except torch.OutOfMemoryError:
        half = len(models) // 2
    del models  # on a GPU they hold the whole stack
    first, second = (replace(job, fits=part) for part in (job.fits[:half], job.fits[half:]))
    return _runs(data, first, named, progress) + _runs(data, second, named, progress)


def code_of(model: str) -> str:
    """Hash of the code that a fit of a model is made by: its own, what it uses, and the training."""
    module, preset = origin(model)
    code = code_digest("training/*.py", modules=[module, "helo.evaluation.fits"])
    return hashlib.sha256(f"{preset}{code}".encode()).hexdigest() if preset else code


def _file(data, job, split, seed, training, folder, kind):
    """Where a fit, or its checkpoint, is kept: the name says what it was made from."""
    if folder is None:
        return None
    who = [list(map(str, names)) for names in (data.subjects, data.trials, data.conditions) if names is not None]
    inputs = [data.name, layout_to_json(data.layout), data_digest(data, split), who, split.test.tolist()]
    inputs.append(code_of(job.model))
    about = json.dumps([job.model, dict(job.options), seed, training, inputs], sort_keys=True, default=str)
    key = hashlib.sha256(about.encode()).hexdigest()[:12]
    # a person's name may hold anything; the hash tells fits apart
    named = re.sub(r"[^\w.=+-]", "_", split.name, flags=re.ASCII)[:80]
    return Path(folder) / f"{job.model}-{named}-seed{seed}-{key}.{kind}"


def _write(file, kept):
    content = io.BytesIO()
    np.savez(content, **asdict(kept))
    atomic_write(file, content.getvalue())


def _read(file):
    if file is None or not file.exists():
        return None
    content = io.BytesIO(file.read_bytes())
    try:
        with np.load(content, allow_pickle=False) as kept:
            return Fitted(kept["answers"], **{name: kept[name].item() for name in kept.files if name != "answers"})
    except (ValueError, TypeError, EOFError, KeyError, OSError, RuntimeError, zipfile.BadZipFile):  # zipfile's own, too
        warnings.warn(f"{file}: not a kept fit of helo.evaluate, or half of one; it is made anew", stacklevel=2)
        return None
