"""Evaluation: protocol x model x seed -> one table."""

from __future__ import annotations

import hashlib
import inspect
import json
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from tqdm import tqdm

from helo.data.emotion_data import EmotionData
from helo.data.splits import Split, by_protocol
from helo.files import atomic_write, code_digest
from helo.measures import kl, score, skill
from helo.models import available, build, exists, is_closed_form
from helo.training.loop import fit
from helo.training.member import data_digest
from helo.training.prediction import predict
from helo.training.stacking import fit_together

if TYPE_CHECKING:
    import pandas as pd

#: training settings to choose from where models of different kinds are compared, the default first
SETTINGS = (
    {"learning_rate": 3e-4, "weight_decay": 1e-2},
    {"learning_rate": 1e-3, "weight_decay": 1e-3},
    {"learning_rate": 1e-3, "weight_decay": 1e-4},
)


def evaluate(
    models: Sequence[str] | Mapping[str, dict],
    data: EmotionData,
    *,
    protocol: str = "subjects",
    seeds: Sequence[int] = (0,),
    folds: int | None = None,
    workers: int = 0,
    folder: str | Path | None = None,
    progress: bool = True,
    choices: Sequence[Mapping] = (),
    **training,
) -> pd.DataFrame:
    """Fit and score every model on every fold with every seed.

    Args:
        models: names, or label -> {"model": name, **options} to compare one model's settings.
        data: the data set.
        protocol: "subjects", "trials", or "windows" (which leaks).
        seeds: of first weights, batches and dropout; the folds stay the same. Closed-form models use the first alone.
        folds: number of folds; None is the protocol's default (one subject at a time; five otherwise).
        workers: processes; each computes on one thread. 0: one a core where there are four fits a core and more, else,
            and on a GPU, this process alone. Folds and seeds of a model that can be stacked are trained as one
            (`helo.training.stacking`): all of a process's on a GPU; on a CPU at most 15, where the model has fewer than
            a million weights.
        folder: where finished results are kept, a stack's all together; a second call of the same code and settings
            goes on from there.
        progress: show a progress bar.
        choices: training settings to choose from, such as `SETTINGS`. Every fit is made once with each, and the one
            with the lowest KL on the fold's validation windows is kept: test people have no say.
        **training: arguments of `helo.fit`, such as epochs, the same for all. `checkpoint` is a folder here, with a
            file for each fit.

    Returns:
        One row per model, seed and fold: the six measures over all the fold's test windows, the fold's "skill" with its
        "kl_mean" and "kl_ceiling", "windows", "epochs", "choice" (which of `choices` was kept) and "seconds".
        `summarise` gives means and deviations.

    Raises:
        ValueError: unknown model, protocol or training argument; no model or no seed; choices without validation
            windows.
    """
    import pandas as pd

    seeds = [int(s) for s in ([seeds] if isinstance(seeds, int) else seeds)]
    models = [models] if isinstance(models, str) else models
    if not seeds or not models:
        raise ValueError(f"models is {models} and seeds {seeds}; expected at least one of each")
    entries = models if isinstance(models, Mapping) else {name: {"model": name} for name in models}
    _check(entries, training, choices)
    jobs, workers = _jobs(entries, data, _splits(data, protocol, folds, choices), seeds, workers, training)
    results = _results(jobs, workers, data, training, choices, None if folder is None else Path(folder))
    total, table = sum(len(fits) for *_, fits in jobs), []
    with tqdm(total=total, desc=f"{data.name} by {protocol}", unit="fit", disable=not progress) as bar:
        for rows in results:
            table += rows
            bar.update(len(rows))
    return pd.DataFrame(table)


def _check(entries, training, choices):
    known = list(inspect.signature(fit).parameters)
    unknown = sorted(set(training).union(*choices) - set(known))
    if unknown:
        raise ValueError(f"helo.fit does not take {unknown}; its arguments are {known}")
    for label, entry in entries.items():
        if not exists(entry.get("model")):
            raise ValueError(f"{label}: unknown model {entry.get('model')!r}; expected one of {list(available())}")


def _splits(data, protocol, folds, choices):
    splits = by_protocol(data, protocol, folds)
    if choices and not all(len(split.validation) for split in splits):
        raise ValueError(f"choices need validation windows to choose by; protocol {protocol!r} has folds without them")
    return splits


def _jobs(entries, data, splits, seeds, workers, training):
    """(label, entry, fits), the fits those that are trained as one; and how many processes share them."""
    from joblib import cpu_count

    asked = {label: seeds[:1] if is_closed_form(entry["model"]) else seeds for label, entry in entries.items()}
    if not workers:
        count = len(splits) * sum(map(len, asked.values()))
        workers = 1 if _device(training).type == "cuda" or count < 4 * cpu_count() else cpu_count()
    jobs = []
    for label, entry in entries.items():
        fits = [(split, seed) for split in splits for seed in asked[label]]
        size = min(_together(data, entry, training), -(-len(fits) // workers))
        jobs += [(label, entry, fits[k : k + size]) for k in range(0, len(fits), size)]
    return jobs, workers


def _results(jobs, workers, data, training, choices, folder):
    """Each job's rows, in this process or as the processes finish them."""
    if workers == 1:
        yield from (_rows(data, label, entry, fits, training, choices, folder) for label, entry, fits in jobs)
        return
    from joblib import Parallel, delayed, parallel_config

    each = (delayed(_in_worker)(data, label, entry, fits, training, choices, folder) for label, entry, fits in jobs)
    with parallel_config("loky", inner_max_num_threads=1):
        processes = Parallel(n_jobs=workers, return_as="generator")
    with warnings.catch_warnings():
        # joblib replaces a worker that has grown; nothing is lost
        warnings.filterwarnings("ignore", "A worker stopped")
        yield from processes(each)


def reference_kl(data: EmotionData, split: Split) -> tuple[float, float]:
    """KL of the training mean and of the ceiling on a split's test windows.

    The ceiling knows each test window's true condition and answers the training side's mean for it (the training mean
    where the training side has no such condition). NaN where conditions are unknown.
    """
    seen = np.concatenate([split.train, split.validation])
    truth = data.distributions[split.test].astype(np.float64)
    mean = data.distributions[seen].astype(np.float64).mean(0)
    low = float(kl(truth, np.broadcast_to(mean, truth.shape)).mean())
    if data.conditions is None:
        return low, float("nan")
    ceiling = np.broadcast_to(mean, truth.shape).copy()
    for condition in np.unique(data.conditions[split.test]):
        same = seen[data.conditions[seen] == condition]
        if len(same):
            ceiling[data.conditions[split.test] == condition] = data.distributions[same].astype(np.float64).mean(0)
    return low, float(kl(truth, ceiling).mean())


def _device(training):
    return torch.device(training.get("device") or ("cuda" if torch.cuda.is_available() else "cpu"))


def _together(data, entry, training):
    """How many fits of a model are trained as one stack: all of them on a GPU.

    On a CPU, 15 of a model that is small enough for that to pay (`benchmarks/stacked.py`).
    """
    model = build(entry["model"], data, **_options(entry))
    if not model.stackable:
        return 1
    if _device(training).type == "cuda":
        return sys.maxsize
    return 15 if sum(p.numel() for p in model.parameters()) < 1_000_000 else 1


def _in_worker(*job):
    # processes share large arrays read-only, and nothing here writes to them
    warnings.filterwarnings("ignore", "The given NumPy array is not writable")
    return _rows(*job)


def _rows(data, label, entry, fits, training, choices, folder):
    """The table's rows of some (split, seed) of a model; those that a file holds are read."""
    tried_settings: list[dict] = [training | choice for choice in choices] or [training]
    if is_closed_form(entry["model"]):  # the one setting that changes what it is fitted to
        tried_settings = [{k: v for k, v in tried_settings[0].items() if k == "centre_people"}]
    files = [_file(data, entry, split, seed, tried_settings, folder) for split, seed in fits]
    rows = [json.loads(file.read_text()) | {"model": label} if file and file.exists() else None for file in files]
    todo = [k for k, row in enumerate(rows) if row is None]
    started = time.perf_counter()
    runs = [_runs(data, entry, [fits[k] for k in todo], settings) for settings in tried_settings]
    for k, tried in zip(todo, zip(*runs, strict=True), strict=True):
        split, seed = fits[k]
        lowest = [min((epoch.get("validation_kl", 0.0) for epoch in run.history), default=0.0) for run in tried]
        choice = int(np.argmin(lowest))
        answer = predict(tried[choice].model, data, split.test, explain=False)
        low, ceiling = reference_kl(data, split)
        measures = score(data.distributions[split.test], answer.distributions)
        row: dict[str, Any] = {"model": label, "seed": seed, "fold": split.name} | measures
        row |= {"skill": skill(measures["kl"], low, ceiling), "kl_mean": low, "kl_ceiling": ceiling}
        row |= {"windows": len(split.test), "epochs": tried[choice].best_epoch, "choice": choice}
        rows[k] = row | {"seconds": (time.perf_counter() - started) / len(todo)}
        if files[k] is not None:
            atomic_write(files[k], json.dumps(rows[k]).encode())
    return rows


def _runs(data, entry, fits, settings):
    """A run for each (split, seed); several are trained at once, in halves where the memory is too small for all."""
    models = [build(entry["model"], data, seed=seed, **_options(entry)) for _, seed in fits]
    settings = dict(settings)
    folder = settings.pop("checkpoint", None)
    named = {k: v for k, v in settings.items() if k != "on_epoch"}  # a function has another address in every process
    files = [_file(data, entry, split, seed, named, folder, "safetensors") for split, seed in fits]
    if len(fits) < 2:
        return [
            fit(model, data, split, seed=seed, checkpoint=file, progress=False, **settings)
            for model, (split, seed), file in zip(models, fits, files, strict=True)
        ]
    splits, seeds = zip(*fits, strict=True)
    try:
        return fit_together(models, data, splits, seeds=seeds, checkpoint=files, progress=False, **settings)
    except torch.OutOfMemoryError:
        half = len(fits) // 2
    del models  # on a GPU they hold the whole stack
    settings |= {"checkpoint": folder}
    return _runs(data, entry, fits[:half], settings) + _runs(data, entry, fits[half:], settings)


def _file(data, entry, split, seed, training, folder, kind="json"):
    """Where a row, or a checkpoint, is kept: the name says what it was made from."""
    if folder is None:
        return None
    who = [list(map(str, names)) for names in (data.subjects, data.trials, data.conditions) if names is not None]
    inputs = [
        data.name,
        data_digest(data, split),
        who,
        split.test.tolist(),
        code_digest("*.py", "evaluation/*.py", "training/*.py", "models/*.py"),
    ]
    job = json.dumps([entry["model"], _options(entry), seed, training, inputs], sort_keys=True, default=str)
    key = hashlib.sha256(job.encode()).hexdigest()[:12]
    return Path(folder) / f"{entry['model']}-{split.name}-seed{seed}-{key}.{kind}"


def _options(entry):
    return {k: v for k, v in entry.items() if k != "model"}
