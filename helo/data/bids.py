"""The Brain Imaging Data Structure, as far as recordings of emotions need it.

`sub-*/[ses-*]/*/`: `*_physio.tsv.gz` (no header; a JSON file says SamplingFrequency, StartTime, Columns and Units per
column), `*_events.tsv` (onset, duration, trial_type, a column a rated emotion), `*_beh.tsv`, and `*_eeg.edf`, `.bdf` or
`.vhdr`. Files that differ only by their `recording-` label were recorded together: they have one clock, whose 0 is that
of the events. JSON further up (`task-film_physio.json` at the root) holds for all files below that it names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from helo.data import eeg
from helo.data.bids_order import in_order
from helo.data.columns import check_spelling, short, some
from helo.data.recorded import Part, Person, Report, Samples, check_length, check_rate
from helo.data.sample_files import read
from helo.data.units import factor_of
from helo.files import MissingFile
from helo.reading import regular

#: Name of a signal -> what its column may be called.
NAMES = {
    "bvp": ("bvp", "ppg", "pulse", "cardiac", "pleth", "photoplethysmogram"),
    "ecg": ("ecg", "ekg"),
    "eda": ("eda", "gsr", "scl", "skin_conductance"),
    "temp": ("temp", "temperature", "skin_temperature"),
    "resp": ("resp", "rsp", "respiratory", "respiration", "breathing"),
    "emg": ("emg",),
    "hr": ("hr", "heart_rate", "heartrate"),
    "acc": ("acc_x", "acc_y", "acc_z"),
}
#: most bytes of a JSON file, most columns it may name
JSON, COLUMNS = 2**20, 1000
_SAMPLES = ("_physio.tsv.gz", "_physio.tsv", "_stim.tsv.gz", "_stim.tsv")
_EEG = ("_eeg.edf", "_eeg.bdf", "_eeg.vhdr")
_EVENTS = ("_events.tsv", "_beh.tsv")
_ALL = (*_SAMPLES, *_EEG, *_EVENTS)
#: what distinguishes a person's recordings, and comes first in their names
_FIRST = ("ses", "task", "acq", "run")


def people_of(root: Path, card: Mapping) -> list[Person]:
    """Everybody who has a folder sub-*, with a part for each session and run that has signals.

    Raises:
        MissingFile: no folder sub-*.
        ValueError: two folders whose names would count as one person.
    """
    folders = [p for p in root.glob("sub-*") if p.is_dir() and len(p.name) > 4]
    if not folders:
        raise MissingFile(f"{root}: holds no folder sub-...; expected a study in BIDS")
    check_spelling(root, "its people", sorted(p.name[4:] for p in folders))
    folders.sort(key=_natural)
    return [Person(p.name[4:], *_parts(root, p, card)) for p in folders]


def _natural(path):
    return [int(k) for k in re.findall(r"\d{1,9}", path.name)], path.name


def entities(path: Path) -> dict[str, str]:
    """What a file's name says: {"sub": "01", "task": "film"}."""
    return dict(pair.split("-", 1) for pair in path.name.split(".")[0].split("_") if "-" in pair)


def _parts(root, folder, card):
    """A person's sessions and runs, and whether it is known in which order they were."""
    held: dict[tuple, list[Path]] = {}
    for path in sorted(p for p in folder.rglob("*") if p.name.endswith(_ALL) and p.name[0] != "."):
        about = entities(path)
        names = [*(name for name in _FIRST if name in about), *sorted(set(about) - {*_FIRST, "sub", "recording"})]
        held.setdefault(tuple((name, about[name]) for name in names), []).append(path)
    signals = {k: files for k, files in held.items() if any(f.name.endswith((*_SAMPLES, *_EEG)) for f in files)}
    for key in [k for k in held if k not in signals]:  # events of a wider name belong to the one recording that it fits
        fits = [k for k in signals if set(key) <= set(k)]
        if len(fits) == 1:
            signals[fits[0]] = [*signals[fits[0]], *held[key]]
    order, known = in_order(folder, signals)
    return tuple(_part(root, folder.name[4:], key, signals[key], card, order) for key in order), known


def _part(root, person, key, files, card, order):
    name = " ".join("-".join(pair) for pair in key) if len(order) > 1 else ""
    where = f"{person}, {name}" if name else person

    def signals(report: Report) -> dict[str, Samples]:
        found: dict[str, Samples] = {}
        sidecars = {}
        for path in (f for f in files if f.name.endswith(_SAMPLES)):
            try:
                sidecars[path] = sidecar(root, path)
            except (ValueError, OSError) as error:
                report.leave_out(f"{where}, {path.name}", error)
        for path, about in sidecars.items():
            found |= _signals(path, about, card, where, report, found)
        for path in (f for f in files if f.name.endswith(_EEG) and "eeg" in card["signals"]):
            try:
                found["eeg"] = eeg.read(path, card["signals"]["eeg"])
            except (ValueError, OSError) as error:
                report.leave_out(f"{where}, eeg", error)
        if len(sidecars) == sum(f.name.endswith(_SAMPLES) for f in files):
            _tell_absent(where, files, sidecars, card, report)
        return found

    def track(columns: list[str]) -> tuple[Path, list[Samples]]:
        for path in (f for f in files if f.name.endswith(_SAMPLES)):
            about = sidecar(root, path)
            if set(columns) <= set(about["Columns"]):
                xs = _read(path, about, columns)
                return path, [Samples(x[:, None], about["SamplingFrequency"], about["StartTime"]) for x in xs]
        raise ValueError(f"{where}: no file has the columns {some(columns)}, which the card names as ratings")

    events = tuple(f for suffix in _EVENTS for f in files if f.name.endswith(suffix))
    others = tuple(dict(other) for other in order if other != key)
    return Part(name, signals, events, 0.0, track=track, about=dict(key), others=others)


def sidecar(root: Path, path: Path) -> dict:
    """What JSON says of a file of samples: SamplingFrequency, StartTime, Columns, and a dictionary for each column.

    Raises:
        ValueError: no JSON, or one that lacks a field; the message names it.
    """
    about: dict = {}
    own, kind = entities(path), path.name.split(".")[0].rpartition("_")[2]
    chain = [path.parent, *path.parent.parents]
    seen = []
    for folder in reversed(chain[: chain.index(root) + 1]):
        for file in sorted(folder.glob(f"*{kind}.json")):
            if file.name.split(".")[0].rpartition("_")[2] == kind and entities(file).items() <= own.items():
                about |= _json(file)
                seen.append(file)
    if not seen:
        raise MissingFile(
            f"{path}: no {path.name.split('.')[0]}.json beside it; expected SamplingFrequency, StartTime and Columns"
        )
    told = seen[-1]
    for name in ("SamplingFrequency", "StartTime", "Columns"):
        if name not in about:
            raise ValueError(f"{told}: no field {name!r}; expected SamplingFrequency, StartTime and Columns")
    about["SamplingFrequency"] = check_rate(f"{told}: SamplingFrequency", about["SamplingFrequency"])
    if type(about["StartTime"]) not in (int, float) or not abs(about["StartTime"]) < 1e9:
        raise ValueError(f"{told}: StartTime is {short(about['StartTime'])}; expected seconds")
    names = about["Columns"]
    if not isinstance(names, list) or not all(isinstance(n, str) and n for n in names) or len(set(names)) < len(names):
        raise ValueError(f"{told}: Columns is {short(names)}; expected the columns' names, each once")
    return about


def _json(path):
    try:
        found = json.loads(regular(path, JSON, "a JSON file").read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        if str(path) in str(error):
            raise
        raise ValueError(f"{path}: not readable as JSON ({short(str(error))})") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path}: holds {short(found)}; expected fields and values")
    return found


def _signals(path, about, card, where, report, others):
    """The card's signals in one file, each column read once."""
    columns = {name: _columns(entry, name, about["Columns"]) for name, entry in card["signals"].items()}
    for name in [name for name, found in columns.items() if found and name in others]:
        report.leave_out(f"{where}, {path.name}", f"another file of this recording has {name!r} too")
    columns = {name: found for name, found in columns.items() if found and name not in others}
    wanted = [c for found in columns.values() for c in found]
    if not wanted:
        return {}
    try:
        arrays = dict(zip(wanted, _read(path, about, wanted), strict=True))
    except (ValueError, OSError) as error:
        report.leave_out(f"{where}, {', '.join(columns)}", error)
        return {}
    found = {}
    for name, own in columns.items():
        entry = card["signals"][name]
        try:
            told = f"{path}: {own[0]!r}"
            rate = check_rate(f"{told}: SamplingFrequency", about["SamplingFrequency"], entry["least"])
            if "rate" in entry and rate != entry["rate"]:
                raise ValueError(f"{told}: SamplingFrequency is {rate:g}; the card expects {entry['rate']:g}")
            x = np.stack([arrays.pop(c) for c in own], 1) if len(own) > 1 else arrays.pop(own[0])[:, None]
            check_length(told, len(x), rate)
            described = about.get(own[0])
            unit = described.get("Units") if isinstance(described, dict) else None
            factor, offset = factor_of(told, entry, unit)
            channels = tuple(own) if entry["kind"] == "level" else ()
            x = x * factor + offset if (factor, offset) != (1, 0) else x
            found[name] = Samples(x, rate, float(about["StartTime"]), channels)
        except ValueError as error:
            report.leave_out(f"{where}, {name}", error)
    return found


def _tell_absent(where, files, sidecars, card, report):
    """Signals that the card asks for and no file has."""
    for name in [name for name, entry in card["signals"].items() if entry["asked"]]:
        if name == "eeg":
            here = any(f.name.endswith(_EEG) for f in files)
        else:
            here = any(_columns(card["signals"][name], name, about["Columns"]) for about in sidecars.values())
        if not here:
            report.leave_out(f"{where}, {name}", "no file has it; the card names it")


def _columns(entry, name, there):
    """The columns of a signal, as the card names them or as they are usually called; none where it is not here."""
    if "columns" in entry:
        return entry["columns"] if set(entry["columns"]) <= set(there) else []
    lower = {c.lower(): c for c in there}
    usual = [lower[n] for n in NAMES.get(name, ()) if n in lower]
    return (usual if len(usual) == 3 else []) if name == "acc" else usual[:1]


def _read(path, about, columns):
    places = [about["Columns"].index(c) for c in columns]
    return read(path, len(about["Columns"]), places, delimiter="\t")
