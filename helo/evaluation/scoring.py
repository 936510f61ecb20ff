"""Evaluation: protocol x model x seed -> one table, with settings chosen by training people."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from helo.data.emotion_data import EmotionData
from helo.data.splits import Split, by_protocol
from helo.evaluation.contest import Contest
from helo.evaluation.fits import on_gpu, run_all
from helo.models import available, exists
from helo.progress import Progress
from helo.training.loop import fit

if TYPE_CHECKING:
    import pandas as pd


def evaluate(
    models: str | Sequence[str] | Mapping[str, dict],
    data: EmotionData,
    *,
    protocol: str | Sequence[Split] = "subjects",
    seeds: int | Sequence[int] = (0,),
    folds: int | None = None,
    nested: int = 3,
    choose_from: int = 1,
    calibrate: int = 0,
    workers: int = 0,
    folder: str | Path | None = None,
    progress: bool = True,
    **training,
) -> pd.DataFrame:
    """Fit and score every model on every fold with every seed.

    Args:
        models: names, or label -> {"model": name, **options} to compare one model's settings.
        data: the data set.
        protocol: of `helo.splits.by_protocol`, such as "subjects" or "both"; or splits, such as `transfer`'s.
        seeds: of first weights, batches, dropout and of who validates whom; the folds stay the same. Closed-form models
            use the first alone.
        folds: number of folds; None is the protocol's default (one subject at a time; five otherwise).
        nested: 2 or more: the training side's people in that many groups (`helo.splits.nested`), a model for each,
            stopped early by it; the answer is their mean. 0: one model, stopped by the split's own validation side.
        choose_from: candidates of settings for each trained model (`helo.evaluation.candidates`), of which each fold's
            training people choose one, by the KL on all validation sides, with the first seed. Test people have no say.
            1: its defaults.
        calibrate: trials of each test person, the first ones, that are given in training (protocol "subjects").
        workers: processes; each computes on one thread. 0: one a core where there are four fits a core and more, else,
            and on a GPU, this process alone. What can be stacked is trained as one (`helo.training.stacking`).
        folder: where finished fits are kept; a second call of the same code and settings goes on from there.
        progress: show how many fits are done (`helo.progress`).
        **training: arguments of `helo.fit`, the same for all. `checkpoint` is a folder here, with a file for each fit.

    Returns:
        One row per model, seed, fold, subject and condition: as `person_scores` gives them, with "epochs" (mean of the
        models' best), "capped" (share of the fold's models whose training ended at its cap of epochs), "choice" (the
        candidate) and "seconds" (the fold's, divided by windows). `summarise` gives means and intervals over people.
        Its `attrs["fits"]` has a row for each trained model with candidate, settings and validation KL.

    Raises:
        ValueError: unknown model, protocol or training argument; none to run; a choice without validation windows.
    """
    seeds = [int(s) for s in ([seeds] if isinstance(seeds, int) else seeds)]
    entries = _entries(models)
    _check(entries, seeds, training, nested, choose_from)
    splits = by_protocol(data, protocol, folds, calibrate) if isinstance(protocol, str) else list(protocol)
    if choose_from > 1 and not nested and not all(len(split.validation) for split in splits):
        raise ValueError(
            f"choose_from is {choose_from}, and protocol {protocol!r} has folds without validation windows"
        )
    common = (data, splits, seeds, nested, choose_from, training)
    contests = [Contest(label, entry, *common) for label, entry in entries.items()]
    about = f"{data.name} by {protocol if isinstance(protocol, str) else 'given splits'}"
    with Progress(about, "fit", sum(c.total for c in contests), shown=progress) as bar:
        _run(contests, data, workers or _workers(contests, training), None if folder is None else Path(folder), bar)
    _tell_capped(contests)
    return _table(contests)


def _table(contests):
    import pandas as pd

    table = pd.DataFrame([row for contest in contests for row in contest.rows()])
    table.attrs["fits"] = [row for contest in contests for row in contest.fits()]
    return table


def _entries(models):
    """label -> {"model": name, **options}."""
    models = [models] if isinstance(models, str) else models
    return models if isinstance(models, Mapping) else {name: {"model": name} for name in models}


def _check(entries, seeds, training, nested, choose_from):
    if not seeds or not entries:
        raise ValueError(f"models is {list(entries)} and seeds {seeds}; expected at least one of each")
    if nested == 1 or nested < 0 or choose_from < 1:
        raise ValueError(
            f"nested is {nested} and choose_from {choose_from}; expected 0 or at least 2 groups, at least 1 candidate"
        )
    known = list(inspect.signature(fit).parameters)
    unknown = sorted(set(training) - set(known))
    if unknown:
        raise ValueError(f"helo.fit does not take {unknown}; its arguments are {known}")
    for label, entry in entries.items():
        if not exists(entry.get("model")):
            raise ValueError(f"{label}: unknown model {entry.get('model')!r}; expected one of {list(available())}")


def _workers(contests, training):
    from joblib import cpu_count

    many = sum(contest.total for contest in contests) >= 4 * cpu_count()
    return cpu_count() if many and not on_gpu(training) else 1


def _run(contests, data, workers, folder, bar):
    """Run what the contests want, in two rounds, and give each its fits."""
    for wanted in (Contest.first_round, Contest.second_round):
        jobs = []
        for contest in contests:
            for job, keys in wanted(contest):
                left = iter(keys)
                jobs += [(contest, part, [next(left) for _ in part.fits]) for part in job.divided(data, workers)]
        results = run_all(data, [job for _, job, _ in jobs], workers, folder, bar.shown)
        for (contest, _, keys), fits in zip(jobs, results, strict=True):
            contest.done |= dict(zip(keys, fits, strict=True))
            bar.to(bar.done + len(fits))


def _tell_capped(contests):
    """Say once which models were still learning when their epochs ended: their rank is that of a cap."""
    cut = {}
    for contest in contests:
        answering = [
            f
            for fold in range(len(contest.splits))
            for s in contest.seeds
            for f in contest.of(contest.choice(fold), fold, s)
        ]
        if any(f.capped for f in answering):
            cut[contest.label] = f"{contest.label} ({sum(f.capped for f in answering)} of {len(answering)} fits)"
    if cut:
        warnings.warn(
            f"training ended at the cap of epochs, before its validation KL had stopped falling, for "
            f"{', '.join(cut.values())}: more epochs may change their place",
            stacklevel=3,
        )
