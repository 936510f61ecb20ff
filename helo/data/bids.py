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
from helo.data.columns import check_spelling, short, some
from helo.data.findings import CAUTION
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
    return [Person(p.name[4:], _parts(root, p, card)) for p in folders]


def _natural(path):
    return [int(k) for k in re.findall(r"\d{1,9}", path.name)], path.name


def entities(path: Path) -> dict[str, str]:
    """What a file's name says: {"sub": "01", "task": "film"}."""
    return dict(pair.split("-", 1) for pair in path.name.split(".")[0].split("_") if "-" in pair)


def _parts(root, folder, card):
    held: dict[tuple, list[Path]] = {}
    for path in sorted(p for p in folder.rglob("*") if p.name.endswith(_ALL) and p.name[0] != "."):
        about = entities(path)
        key = tuple((name, about[name]) for name in ("ses", "task", "run") if name in about)
        held.setdefault(key, []).append(path)
    signals = {k: files for k, files in held.items() if any(f.name.endswith((*_SAMPLES, *_EEG)) for f in files)}
    order = sorted(signals, key=lambda key: ([int(k) for _, v in key for k in re.findall(r"\d{1,9}", v)], key))
    return tuple(_part(root, folder.name[4:], key, signals[key], card, len(order) > 1) for key in order)


def _part(root, person, key, files, card, several):
    name = " ".join("-".join(pair) for pair in key) if several else ""
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
        return found

    def track(columns: list[str]) -> list[Samples]:
        for path in (f for f in files if f.name.endswith(_SAMPLES)):
            about = sidecar(root, path)
            if set(columns) <= set(about["Columns"]):
                xs = _read(path, about, columns)
                return [Samples(x[:, None], about["SamplingFrequency"], about["StartTime"]) for x in xs]
        raise ValueError(f"{where}: no file has the columns {some(columns)}, which the card names as ratings")

    events = tuple(f for suffix in _EVENTS for f in files if f.name.endswith(suffix))
    return Part(name, signals, events, 0.0, track=track)


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
        report.note(CAUTION, "in two files", name, f"{where}: {path.name} is passed over")
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
