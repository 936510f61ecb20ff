"""Evaluation: protocol x model x seed -> one table, with settings chosen by training people."""

from __future__ import annotations

import inspect
import numbers
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from helo.data.emotion_data import EmotionData
from helo.data.split import Split, within
from helo.data.splits import by_protocol
from helo.evaluation.attempts import attempts, unfed
from helo.evaluation.contest import Contest
from helo.evaluation.fits import on_gpu
from helo.evaluation.shares import remember, remembered, shares
from helo.files import plain
from helo.models import available, defaults, exists
from helo.models.options import check
from helo.precision import PRECISIONS
from helo.progress import Progress
from helo.reading import expanded, shown
from helo.training.loop import fit
from helo.training.member import COUNTS, counted

if TYPE_CHECKING:
    import pandas as pd


def evaluate(
    models: str | Sequence[str] | Mapping[str, dict],
    data: EmotionData,
    *,
    protocol: str | Split | Sequence[Split] = "subjects",
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
        protocol: of `helo.splits.by_protocol`, such as "subjects" or "both"; or a split, as of `transfer`, or several.
        seeds: of first weights, batches, dropout and of who validates whom; the folds stay the same. Closed-form models
            use the first alone.
        folds: None: one subject at a time; five for other protocols, and where every window is a person of its own.
        nested: 2 or more: as many groups of training people (`helo.splits.nested`), a model for each, stopped early by
            it; the answer is their mean. 0: one model, stopped by the split's own validation side.
        choose_from: candidates of settings for each trained model (`helo.evaluation.candidates`; of closed forms two);
            each fold's training people choose one, by the KL on all validation sides with the first seed. 1: defaults.
        calibrate: trials of each test person, the first ones, that are given in training (protocol "subjects").
        workers: processes; each computes on one thread. 0: one a core where there are four fits a core and more, else,
            and on a GPU, this process alone. What can be stacked is so where that is faster (`helo.evaluation.shares`).
        folder: of finished fits; a second call of the same code and settings goes on from there.
        progress: show how many fits are done (`helo.progress`).
        **training: arguments of `helo.fit`, the same for all. `checkpoint` is a folder here, with a file for each fit.

    Returns:
        One row per model, seed, fold, subject and condition: as `person_scores` gives them, with "epochs" (mean of the
        models' best), "capped" (share of the fold's models whose training ended at its cap of epochs), "choice" (the
        candidate) and "seconds" (the fold's, divided by windows). `attrs["fits"]` has a row for each trained model,
        with "broke" if its numbers broke; `attrs["left_out"]` says what failed or could not be fed, and why.

    Raises:
        ValueError: unknown model or argument, one out of range; splits that test what they train on; no model is left.
    """
    seeds = _whole(seeds)
    entries = _entries(models)
    _check(entries, seeds, training, nested, choose_from, folder)
    splits = _splits(data, protocol, folds, calibrate, choose_from > 1 and not nested)
    unable = {label: error for label, entry in entries.items() if (error := unfed(entry, data, splits))}
    _tell_lost(unable, entries, "cannot be fed")
    common = (data, splits, seeds, nested, choose_from, training)
    contests = [Contest(label, entry, *common) for label, entry in entries.items() if label not in unable]
    about = f"{data.name} by {protocol if isinstance(protocol, str) else 'given splits'}"
    with Progress(about, "fit", sum(c.total for c in contests), shown=progress) as bar:
        failed = _run(contests, data, workers or _workers(contests, training), folder and expanded(folder), bar)
    table = _table(contests, failed)
    _tell_lost(failed, entries, "failed", len(unable))
    _tell_ended([contest for contest in contests if contest.label not in failed])
    table.attrs["left_out"] = {label: shown(error, 500) for label, error in (unable | failed).items()}
    return table


def _splits(data, protocol, folds, calibrate, validated):
    """The protocol's, or the given ones; five for rows without people, where one at a time would be as many as rows."""
    if isinstance(protocol, str):
        alone = protocol == "subjects" and len(np.unique(data.subjects)) == len(data)
        splits = by_protocol(data, protocol, folds or (5 if alone and len(data) > 5 else None), calibrate)
    else:
        splits = _given(data, protocol, folds, calibrate)
    if validated and (unwatched := [split.name for split in splits if not len(split.validation)]):
        raise ValueError(f"choose_from is above 1, and split {unwatched[0]!r} has no validation windows")
    names = [split.name for split in splits]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(
            f"{data.name}: {len(twice)} splits have the name of another, as {twice[0]!r}; expected one each"
        )
    return splits


def _given(data, protocol, folds, calibrate):
    splits = [protocol] if isinstance(protocol, Split) else list(protocol)
    if not splits or not all(isinstance(split, Split) for split in splits):
        raise ValueError(f"protocol is {shown(protocol, 100)}; expected the name of a protocol, or splits")
    if folds or calibrate:
        raise ValueError(
            f"folds is {folds} and calibrate {calibrate}; given splits say both, expected neither beside them"
        )
    for split in splits:
        within(data, split)
        if both := int(np.isin(split.test, split.seen).sum()):
            raise ValueError(f"split {split.name!r}: {both} of {len(split.test)} test windows are on the training side")
    return splits


def _table(contests, failed):
    """The rows of the contests that came to an end; the others join those that failed."""
    import pandas as pd

    rows, fits = [], []
    for contest in (c for c in contests if c.label not in failed):
        try:
            rows += contest.rows()
            fits += contest.fits()
        except FloatingPointError as error:
            failed[contest.label] = error
    table = pd.DataFrame(rows)
    table.attrs["fits"] = fits
    return table


def _tell_lost(lost, entries, what, before=0):
    """A warning of the models that are left out, besides those before; an error where none is left."""
    if len(entries) == 1:
        for error in lost.values():
            raise error
    told = "; ".join(f"{label}: {shown(error, 300)}" for label, error in lost.items())
    if len(lost) + before == len(entries):
        raise ValueError(f"no model is left of {list(entries)}: {told}")
    if lost:
        warnings.warn(f"{len(lost)} of {len(entries)} models {what} and are left out: {told}", stacklevel=3)


def _entries(models):
    """label -> {"model": name, **options}."""
    if not isinstance(models, Mapping):
        names = [models] if isinstance(models, str) else list(models)
        if wrong := [name for name in names if not isinstance(name, str) or names.count(name) > 1]:
            raise ValueError(
                f"models has {shown(wrong[0], 99)!r}; expected each name once, or label -> {{'model': name, **options}}"
            )
        models = {name: {"model": name} for name in names}
    if wrong := [label for label, entry in models.items() if not isinstance(entry, Mapping)]:
        raise ValueError(f"{wrong[0]}: {shown(models[wrong[0]], 100)!r}; expected {{'model': name, **options}}")
    return {label: {name: _lists(value) for name, value in entry.items()} for label, entry in models.items()}


def _whole(seeds: Any) -> list[int]:
    seeds = [seeds] if isinstance(seeds, numbers.Integral) else list(seeds)
    if not all(isinstance(seed, numbers.Integral) and int(seed) >= 0 for seed in seeds):
        raise ValueError(f"seeds is {seeds}; expected whole numbers from 0 on")
    return [int(seed) for seed in seeds]


def _lists(value):
    """Arrays as lists: a large one's text leaves numbers out, and a kept fit would answer for another array."""
    if isinstance(value, Mapping):
        return {name: _lists(part) for name, part in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_lists, value))
    return plain(value) if hasattr(value, "tolist") else value


def _check(entries, seeds, training, nested, choose_from, folder):
    if folder is not None and training.get("on_epoch") is not None:
        raise ValueError("folder and on_epoch: what on_epoch ends, a kept fit does not know; expected one of them")
    if not seeds or not entries:
        raise ValueError(f"models is {list(entries)} and seeds {seeds}; expected at least one of each")
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds is {list(seeds)}; expected different ones")
    if nested == 1 or nested < 0 or choose_from < 1:
        raise ValueError(
            f"nested is {nested} and choose_from {choose_from}; expected 0 or at least 2 groups, at least 1 candidate"
        )
    if choose_from > 1 and training.get("refit"):
        raise ValueError(
            f"choose_from is {choose_from} with refit: a model would be chosen by windows it was trained on again; "
            "expected one of the two"
        )
    if own := sorted(set(training) & {"model", "split", "seed"}):
        raise ValueError(f"{own}: helo.evaluate gives these to helo.fit itself, by its models, protocol and seeds")
    known = [name for name in inspect.signature(fit).parameters if name not in ("model", "data", "split", "seed")]
    unknown = sorted(set(training) - set(known))
    if unknown:
        raise ValueError(f"helo.fit does not take {unknown}; its arguments are {known}")
    for name in COUNTS:
        if name in training and (name, training[name]) != ("epochs", None):
            counted(name, training[name])
    if (precision := training.get("precision", "auto")) not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}; expected one of {list(PRECISIONS)}")
    for label, entry in entries.items():
        name = entry.get("model")
        if not exists(name):
            raise ValueError(f"{label}: unknown model {name!r}; expected one of {list(available())}")
        options, takes = {k: v for k, v in entry.items() if k != "model"}, defaults(name)
        if unknown := sorted(set(options) - set(takes)):
            raise ValueError(f"{label}: model {name!r} does not take {unknown}; its options are {list(takes)}")
        check(label, takes | options)


def _workers(contests, training):
    from joblib import cpu_count

    many = sum(contest.total for contest in contests) >= 4 * cpu_count()
    return cpu_count() if many and not on_gpu(training) else 1


def _run(contests, data, workers, folder, bar):
    """Run what the contests want, in two rounds, and give each its fits; label -> error of those that failed."""
    failed: dict[str, Exception] = {}
    known = remembered(folder)
    for wanted in (Contest.first_round, Contest.second_round):
        jobs = []
        for contest in (c for c in contests if c.label not in failed):
            try:
                for job, keys in wanted(contest):
                    left, parts = iter(keys), shares(data, job, workers, known)
                    jobs += [(contest, part, [next(left) for _ in part.fits]) for part in parts]
            except (ValueError, FloatingPointError) as error:  # no people to validate, or no candidate is finite
                failed[contest.label] = error
        remember(folder, known)
        jobs = [job for job in jobs if job[0].label not in failed]
        results = attempts(data, [(contest.label, job) for contest, job, _ in jobs], failed, workers, folder, bar)
        for (contest, _, keys), outcome in zip(jobs, results, strict=True):
            if isinstance(outcome, Exception):
                failed.setdefault(contest.label, outcome)
            else:
                contest.done |= dict(zip(keys, outcome, strict=True))
            bar.to(bar.done + len(keys))
    return failed


def _tell_ended(contests):
    """What was trained less than it might have been."""
    _tell_capped(contests)
    _tell_broken(contests)


def _tell_broken(contests):
    """Say once whose fits ended because their numbers were no longer finite: what answers is an epoch before that."""
    told = []
    for contest in contests:
        broke = [f.broke for f in contest.done.values() if f.broke]
        if broke:
            told.append(f"{contest.label} ({len(broke)} of {len(contest.done)} fits, such as: {shown(broke[0], 200)})")
    if told:
        warnings.warn(
            f"training ended early, its numbers no longer finite, for {'; '.join(told)}: what counts is the best epoch "
            "before that",
            stacklevel=4,
        )


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
            stacklevel=4,
        )
