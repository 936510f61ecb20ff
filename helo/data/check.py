"""What a data set holds and what is wrong with it: `python -m helo check PATH`."""

from __future__ import annotations

import hashlib
import math
import warnings
from pathlib import Path

import numpy as np

from helo.data import load, splits
from helo.data.audit import audit, told_by
from helo.data.emotion_data import EmotionData
from helo.data.findings import CAUTION, FAULT, Finding
from helo.data.recordings_card import is_study
from helo.files import MissingFile
from helo.reading import expanded, shown

#: Name of a feature -> what a living person can have. Features of other names are not checked.
RANGES = {
    "heart rate (bpm)": (30, 220),
    "mean (degC)": (15, 45),
    "level (log uS)": (math.log(0.01), math.log(100)),
    "phasic peak (uS)": (-10, 50),
    "breaths (1/min)": (2, 80),
    "movement (log g)": (-7, math.log(4)),  # a sensor that lies still has -6.9
}


#: fewer different distributions, and fewer people, than this are worth a word
LABELS, PEOPLE = 20, 4
#: windows between the starts of neighbouring windows of a trial from which on they are hardly in seconds
APART = 100


def check(data: EmotionData) -> list[Finding]:
    """All that is wrong with a data set, faults first. Best before normalising, so that units can be checked."""
    tests = (
        _missing,
        _people,
        _constant,
        _duplicates,
        _overlap,
        _labels,
        _balance,
        _duration,
        _units,
        audit,
        _recorded,
    )
    found = [finding for test in tests for finding in test(data)]
    return sorted(found, key=lambda f: f.level != FAULT)


def open_path(path: str | Path, dataset: str | None = None) -> EmotionData:
    """Load what lies at a path; which data set it is, the path says itself.

    Raises:
        MissingFile: nothing there.
        ValueError: nothing there that a reader knows, or its reader refuses it.
    """
    path = expanded(path)
    name, options = (dataset, {}) if dataset else _guess(path)
    if name in ("wesad", "emowalk", "recordings"):
        options = options | {"normalise": "none"}
    return load(name, path, **options)


def holdings(data: EmotionData) -> str:
    """What the data set holds, as a Markdown table."""
    rows = [
        ("windows", f"{len(data):,}" + (f" of {data.window:g} s" if data.window else "")),
        ("subjects", f"{len(np.unique(data.subjects)):,}"),
        ("trials", f"{len(np.unique(data.trial_ids)):,}"),
    ]
    for role, modalities in data.roles.items():
        for m in modalities:
            x, mask = data.signals[m], data.masks[m]
            rows.append((f"{m} ({role})", f"{x.shape[1]} x {x.shape[2]} (tokens x features), {mask.mean():.1%} there"))
    means = data.distributions.mean(0)
    rows += [(f"emotion {e}", f"{mean:.1%} on average") for e, mean in zip(data.emotions, means, strict=True)]
    return _markdown((data.name, "holds"), rows)


def findings_table(found: list[Finding]) -> str:
    """The findings as a Markdown table."""
    return _markdown(("level", "what", "where", "found"), [(f.level, f.what, f.where, f.found) for f in found])


def _markdown(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(shown(cell, 500).replace("|", "/") for cell in line) + " |" for line in lines)


def _guess(path):
    if not path.exists():
        raise MissingFile(f"{path}: no such file or folder")
    held = {p.name for p in path.iterdir()} if path.is_dir() else {path.name}
    if "tabulatedVotes.csv" in held:
        return "crema-d", {}
    if held & {"user_study_encoding.csv", "walking_data"}:
        return "emowalk", {}
    if held & {"Features", "Features.zip"} or path.name == "Features":
        return "dmer", {}
    if held & {"Aligned_data", "Aligned_data.zip"} or path.name == "Aligned_data":
        return "dmer", {"form": "raw", "faces": "none"}
    if is_study(path):  # before WESAD's, for somebody's people may be called S2, S3
        return "recordings", {}
    if any(name[0] == "S" and name[1:].isdigit() for name in held if len(name) > 1):
        return "wesad", {}
    if path.suffix.lower() == ".mat":
        from helo.data.arrays import read_mat

        return ("ldl" if {"features", "labels"} <= set(read_mat(path)) else "table"), {}
    if path.suffix.lower() in (".csv", ".parquet", ".npz"):
        return "table", {}
    raise ValueError(
        f"{path}: not a known data set; expected WESAD's S2, S3, ...; EmoWalk's walking_data; DMER's Features or "
        "Aligned_data; CREMA-D's tabulatedVotes.csv; raw recordings (recordings.yaml, sub-*, or an E4's "
        "folders); or a .csv, .parquet, .npz or .mat file (--dataset says which)"
    )


def _recorded(data):
    """What its reader has found in raw recordings."""
    yield from getattr(data, "findings", ())


def _missing(data):
    for role in ("physiological", "behavioral"):
        if not data.roles[role]:
            split = "in a card give some of a modality's columns to a second one, {columns: [...], role: " + role + "}"
            yield Finding(CAUTION, "no such role", role, f"no modality; HeLo needs one of each role: {split}")
    for m, mask in data.masks.items():
        gone = ~mask.any(1)
        if gone.any():
            who = np.unique(data.subjects, return_inverse=True)[1]
            people = int((np.bincount(who, gone) == np.bincount(who)).sum())
            whole = f", all of {people} subjects" if people else ""
            yield Finding(CAUTION, "missing modality", m, f"in {gone.sum()} of {len(data)} windows{whole}")
    nothing = ~np.any([mask.any(1) for mask in data.masks.values()], 0)
    if nothing.any():
        yield Finding(
            FAULT, "empty window", f"window {int(np.argmax(nothing))}", f"no modality in {nothing.sum()} windows"
        )


def _people(data):
    """Whether there are people enough for a split by subject; else which protocol is left."""
    people, trials, n = (len(np.unique(x)) for x in (data.subjects, data.trial_ids, np.arange(len(data))))
    if people == n:
        told = f"each of {n} windows is a person of its own: folds of rows (five, in helo.evaluate), not of people"
        yield Finding(CAUTION, "no people", "subjects", told)
    elif 1 < people < PEOPLE <= trials:
        told = (
            f"{people} people: a model of new people is trained on {people - 1}, and no interval says much; protocol "
        )
        yield Finding(CAUTION, "few people", "subjects", f"{told}'trials' tests known people on new trials")


def _constant(data):
    d = data.distributions
    lowest = np.isclose(d, d.min(1, keepdims=True), atol=1e-7)
    for k, emotion in enumerate(data.emotions):
        if np.ptp(d[:, k]) < 1e-6:
            yield Finding(FAULT, "constant emotion", emotion, f"{d[0, k]:.4f} in every window")
        elif lowest[:, k].all():
            yield Finding(CAUTION, "emotion never above the lowest", emotion, f"in all {len(d)} windows")
    for m, x in data.signals.items():
        there = data.masks[m]
        own = x[there].astype(np.float64)
        sd, size = own.std(0), np.abs(own).max(0)
        flat = sd <= np.maximum(1e-6 * size, 1e-12)  # as `EmotionModel.prepare`
        if flat.any():
            names = [data.features[m][k] for k in np.flatnonzero(flat)]
            told = f"{', '.join(names[:4])}: {flat.sum()} of {len(flat)}"
            small = flat & (sd > 1e-6 * size)
            more = (
                "; some vary by less than 1e-12, which counts as rounding: choose a larger unit" if small.any() else ""
            )
            yield Finding(CAUTION, "constant feature", m, told + more)


def _duplicates(data):
    first: dict[bytes, int] = {}
    pairs = []
    for row in range(len(data)):
        key = hashlib.blake2b(digest_size=16)
        for m, x in data.signals.items():
            key.update(x[row].tobytes() + data.masks[m][row].tobytes())
        other = first.setdefault(key.digest(), row)
        if other != row:
            pairs.append((other, row))
    if pairs:
        once = list(first.values())
        real = [m for m, x in data.signals.items() if not _counted(x[once][data.masks[m][once]])]
        measured = [(a, b) for a, b in pairs if any(data.masks[m][b].any() for m in real)]
        one, two = (measured or pairs)[0]
        labels = sum(not np.allclose(data.distributions[a], data.distributions[b], atol=1e-4) for a, b in pairs)
        told = f"{len(pairs)} windows repeat an earlier one, {labels} with another label"
        yield Finding(FAULT if measured else CAUTION, "duplicated windows", f"windows {one} and {two}", told)


def _counted(values):
    """Whether values of different windows coincide by chance, as shares of ten votes do; measured ones hardly do."""
    some = values[:10_000]
    different = np.unique(some)
    steps = np.diff(different) / max(np.ptp(different), 1e-30) if len(different) > 1 else np.ones(1)
    return len(different) < min(500, some.size // 2 + 1) or bool(steps.min() > 1 / 101)  # a slider's hundred places


def _overlap(data):
    if len(np.unique(data.trial_ids)) < 2:
        yield Finding(FAULT, "one trial", "trials", "no split can keep a trial apart")
        return
    if len(np.unique(data.subjects)) < 2:
        yield Finding(FAULT, "one subject", "subjects", "no split can test a new person; protocol 'trials' is left")
    if data.starts is None or data.window is None:
        yield Finding(
            CAUTION, "overlap unknown", "starts", "no start times or no window length; only trials are kept apart"
        )
        return
    ranks = np.lexsort((data.starts, data.trial_ids))
    same = data.trial_ids[ranks][1:] == data.trial_ids[ranks][:-1]
    steps = np.diff(data.starts[ranks])[same] / data.window
    if len(steps) and (apart := np.median(steps)) > APART:
        told = f"begin {apart * data.window:.6g} s apart, {apart:.6g} windows of {data.window:g} s"
        told += "; expected seconds, as the window's: are they milliseconds?"
        yield Finding(CAUTION, "starts far apart", "starts", f"neighbouring windows of a trial {told}")
    share = np.maximum(0, 1 - steps)
    if len(share) and np.median(share) > 0:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it leaks is what is measured
            leaking = splits.random_windows(data, folds=min(5, len(data)))[0]
        seen = splits.leaks(data, leaking)["signal"] / len(leaking.test)
        told = f"{np.median(share):.0%} of a window is its neighbour's"
        told += f"; a random split has already seen {seen:.0%} of its test"
        yield Finding(CAUTION, "overlapping windows", "signals", f"{told}: split by subject or trial")
    order = np.lexsort((data.starts, data.subjects))
    shared = (np.diff(data.starts[order]) < data.window - 1e-9) & (
        data.subjects[order][1:] == data.subjects[order][:-1]
    )
    between = int((shared & (data.trial_ids[order][1:] != data.trial_ids[order][:-1])).sum())
    if between:
        told = f"in {between} places a trial's windows reach into the next one's: protocol 'trials' leaves such out"
        yield Finding(CAUTION, "trials that overlap", "signals", told)


def _labels(data):
    distinct = len(np.unique(np.round(data.distributions, 4), axis=0))
    if distinct < min(LABELS, len(data)):
        yield Finding(CAUTION, "few labels", "emotions", f"{distinct} different distributions in {len(data)} windows")
    order = np.argsort(data.trial_ids, kind="stable")
    same = data.trial_ids[order][1:] == data.trial_ids[order][:-1]
    apart = np.abs(np.diff(data.distributions[order], axis=0)).max(1) > 1e-4
    if (same & apart).any():
        trial = data.trial_ids[order][1:][same & apart][0]
        yield Finding(CAUTION, "labels differ within a trial", trial, f"{(same & apart).sum()} neighbouring windows")


def _balance(data):
    for what, values in (("subjects", data.subjects), ("trials", data.trial_ids)):
        names, counts = np.unique(values, return_counts=True)
        if counts.max() > 5 * counts.min():
            least = names[np.argmin(counts)]
            yield Finding(CAUTION, "imbalance", what, f"{counts.min()} ({least}) to {counts.max()} windows")
    means = data.distributions.mean(0)
    if means.max() > 10 * means.min():
        low, high = data.emotions[np.argmin(means)], data.emotions[np.argmax(means)]
        yield Finding(CAUTION, "imbalance", "emotions", f"{means.min():.1%} ({low}) to {means.max():.1%} ({high})")


def _duration(data):
    """What the number of a trial's windows says of the emotion, by itself, for new people."""
    _, index, lengths = np.unique(data.trial_ids, return_inverse=True, return_counts=True)
    if len(np.unique(lengths)) < 2 or len(np.unique(data.subjects)) < 2:
        return
    plain, told = told_by(data, lengths[index])
    gain = 1 - told.mean() / max(plain.mean(), 1e-12)
    if gain > 0.02:
        count = f"the number of a trial's windows ({lengths.min()} to {lengths.max()})"
        found = f"{count} alone takes {gain:.0%} off the mean's KL"
        yield Finding(CAUTION, "duration tells the emotion", "trials", found)


def _units(data):
    for m, x in data.signals.items():
        values = x[data.masks[m]]
        quartiles = np.percentile(values, (25, 50, 75), axis=0)
        ends = (values.mean(0), values.std(0), values.min(0), values.max(0))
        for k, name in enumerate(data.features[m]):
            mean, sd, least, most = (float(end[k]) for end in ends)
            # centred and scaled, or from 0 (or -1) to 1, a feature has no unit any more
            plain = abs(mean) < 0.5 and 0.5 < sd < 1.5
            scaled = abs(most - 1) < 0.02 and min(abs(least), abs(least + 1)) < 0.02
            low, high = (-np.inf, np.inf) if plain or scaled else RANGES.get(name, (-np.inf, np.inf))
            wrong = ((values[:, k] < low) | (values[:, k] > high)).mean() if least < low or most > high else 0
            if wrong > 0.01:
                found = f"{wrong:.1%} outside {low:.3g} to {high:.3g}; {least:.3g} to {most:.3g}"
                yield Finding(FAULT, "units out of range", f"{m}, {name}", found)
                continue
            q1, middle, q3 = quartiles[:, k]
            if q3 > q1 and max(most - middle, middle - least) > 1000 * max(q3 - q1, 1e-12):
                far = np.abs(values[:, k] - middle) > 1000 * max(q3 - q1, 1e-12)
                found = f"{far.sum()} values over 1000 quartile ranges away, such as {values[np.argmax(far), k]:.3g}"
                what = (CAUTION, "values far away") if scaled else (FAULT, "units out of range")
                yield Finding(*what, f"{m}, {name}", found)
