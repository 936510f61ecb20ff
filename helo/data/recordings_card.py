"""The card of a study of raw recordings: roles, units, features, windows and ratings. docs/recordings.md shows one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from helo.data import eeg
from helo.data import signals as signals_of
from helo.data.card import check_channels, read_yaml
from helo.data.columns import NAME, short, some
from helo.data.emotion_data import BEHAVIORAL, PHYSIOLOGICAL
from helo.data.levels import level
from helo.data.units import UNITS, unit_of

#: Studies whose card comes with the library.
PRESETS = {"k-emocon": Path(__file__).parent / "cards" / "k-emocon.yaml"}
#: A card's `kind` -> the function that makes its features, and the least rate in Hz that it needs.
KINDS = {
    "pulse": (signals_of.pulse, 20.0),
    "breathing_pulse": (signals_of.breathing_pulse, 20.0),
    "heart": (signals_of.heart, 50.0),
    "heart_rate": (signals_of.heart_rate, 0.2),
    "electrodermal": (signals_of.electrodermal, 1.0),
    "temperature": (signals_of.temperature, 0.5),
    "movement": (signals_of.movement, 10.0),
    "walking": (signals_of.walking, 10.0),
    "muscle": (signals_of.muscle, 50.0),
    "respiration": (signals_of.respiration, 7.0),
    "eeg": (eeg.bands, 100.0),
    "level": (level, 0.1),
}
#: Signals whose name says what they are: name -> (feature function, role).
KNOWN = {
    "bvp": ("breathing_pulse", PHYSIOLOGICAL),
    "ecg": ("heart", PHYSIOLOGICAL),
    "hr": ("heart_rate", PHYSIOLOGICAL),
    "eda": ("electrodermal", PHYSIOLOGICAL),
    "temp": ("temperature", PHYSIOLOGICAL),
    "emg": ("muscle", PHYSIOLOGICAL),
    "resp": ("respiration", PHYSIOLOGICAL),
    "eeg": ("eeg", PHYSIOLOGICAL),
    "acc": ("movement", BEHAVIORAL),
}
#: The files of an E4.
E4 = {"bvp": "BVP.csv", "eda": "EDA.csv", "temp": "TEMP.csv", "acc": "ACC.csv"}
_KEYS = {"name", "format", "people", "signals", "time", "only", "window", "step", "tokens", "context", "query"}
_KEYS |= {"ratings", "exclude"}
_SIGNAL = {"role", "kind", "file", "columns", "rate", "unit", "factor"}
_RATINGS = {"table", "person", "onset", "duration", "stamp", "clock", "trial", "condition", "emotions", "scale"}
_RATINGS |= {"floor", "smoothing", "over", "track"}
_ZERO = {"table", "person", "column", "factor"}


def read_card(root: Path, card: str | Path | Mapping | None) -> tuple[dict, str]:
    """The checked card with its defaults, and what to call it in errors.

    Args:
        root: the study's folder.
        card: the name of a preset, a YAML file, a dictionary, or None: recordings.yaml in the folder, or what the
            folder itself says.

    Raises:
        MissingFile: no such card.
        ValueError: naming the key, what was found and what was expected.
    """
    told = "the card"
    if card is None:
        beside = [root / f"recordings.{end}" for end in ("yaml", "yml")]
        card = next((path for path in beside if path.exists()), None) or guess(root) or {}
        told = str(card) if isinstance(card, Path) else f"the card (recordings.yaml in {root}, or card=...)"
    if isinstance(card, str) and card in PRESETS:
        card, told = PRESETS[card], f"the card {card!r}"
    if not isinstance(card, Mapping):
        told = told if told != "the card" else str(card)
        card = read_yaml(Path(card))
    card = dict(card)
    if unknown := [str(key)[:50] for key in card if key not in _KEYS]:
        raise ValueError(f"{told}: unknown {some(unknown)}; expected {sorted(_KEYS)}")
    form = card.setdefault("format", "bids" if any(root.glob("sub-*")) else "csv" if "time" in card else "e4")
    _expect(told, card, "format", form in ("bids", "e4", "csv"), "'bids', 'e4' or 'csv'")
    for key in ("name", "people", "query"):
        _expect(told, card, key, key not in card or _text(card[key]), "text")
    _inside(told, "people", card.setdefault("people", "*"))
    try:
        good = card["people"].strip("./") != "" and next(root.glob(card["people"]), root) is not None
    except (ValueError, IndexError, NotImplementedError):
        good = False
    _expect(told, card, "people", good, "folders below the study's, such as raw/*")
    for key in ("window", "step", "context"):
        good = key not in card or (_number(card[key]) and (0 if key == "context" else 0.1) <= card[key] <= 1e6)
        _expect(told, card, key, good, "seconds")
    good = "tokens" not in card or (type(card["tokens"]) is int and 1 <= card["tokens"] <= 1000)
    _expect(told, card, "tokens", good, "1 to 1000")
    card["signals"] = _signals(told, card, form)
    card["ratings"] = _ratings(told, card.get("ratings", {}), form)
    if form == "csv":
        card["time"] = _time(told, card.get("time"))
    card["only"] = _by_person(told, "only", card.get("only", {}))
    _expect(told, card, "only", form == "csv" or not card["only"], "no such key: it is for format: csv")
    card["exclude"] = _excluded(told, card.get("exclude", {}), "sub-" if form == "bids" else "")
    return card, told


def guess(root: Path) -> str:
    """The preset that a folder looks like, or nothing."""
    return "k-emocon" if (root / "e4_data").is_dir() and (root / "emotion_annotations").is_dir() else ""


def is_study(root: Path) -> bool:
    """Whether a folder looks like a study of raw recordings: a card, folders in BIDS, those of an E4, or a preset."""
    if not root.is_dir():
        return False
    if guess(root) or any((root / f"recordings.{end}").exists() for end in ("yaml", "yml")):
        return True
    held = [p for p in root.iterdir() if p.is_dir()]
    return any(p.name.startswith("sub-") or any((p / f).exists() for f in E4.values()) for p in held)


def _signals(told, card, form):
    given = card.get("signals", {})
    if isinstance(given, list) and _texts(given):
        given = {name: {} for name in given}
    _expect(told, card, "signals", isinstance(given, dict) and _texts(list(given)), "signal: {kind: ..., role: ...}")
    if not given:
        given = {name: {} for name in (KNOWN if form == "bids" else E4)}
        return {name: _signal(told, name, {}, form) | {"asked": False} for name in given}
    return {name: _signal(told, name, entry, form) | {"asked": True} for name, entry in given.items()}


def _signal(told, name, entry, form):
    kind, role = KNOWN.get(name, (None, None))
    entry = {"role": entry} if isinstance(entry, str) else entry
    if not isinstance(entry, dict) or set(entry) - _SIGNAL:
        raise ValueError(f"{told}: signal {name!r} is {short(entry)}; expected keys of {sorted(_SIGNAL)}")
    file = E4.get(name) if form == "e4" else None
    entry = {"kind": kind, "role": role, "file": file} | entry
    entry.setdefault("factor", _factor(told, name, entry) if form == "e4" else None)
    if isinstance(entry["role"], str):
        entry["role"] = entry["role"].lower().replace("behaviour", "behavior")
    wrong = {
        "kind": (entry["kind"] in tuple(KINDS), f"one of {list(KINDS)}"),
        "role": (entry["role"] in (PHYSIOLOGICAL, BEHAVIORAL), "physiological or behavioral"),
        "factor": (
            entry["factor"] is None or (_number(entry["factor"]) and entry["factor"] != 0),
            "a number other than 0",
        ),
        "unit": (_text(entry.get("unit", "x")), "text"),
        "columns": (_texts(entry.get("columns", ["x"])) and entry.get("columns", ["x"]), "names of columns"),
        "rate": (_number(entry.get("rate", 1)) and 0 < entry.get("rate", 1) <= 100_000, "samples per second"),
        "file": (form == "bids" or _text(entry["file"]), "the name of a file in a person's folder"),
    }
    for key, (good, expected) in wrong.items():
        if not good:
            raise ValueError(f"{told}: {key} of {name!r} is {short(entry.get(key))}; expected {expected}")
    if form == "csv" and not {"columns", "rate"} <= set(entry):
        raise ValueError(f"{told}: signal {name!r} has no columns or no rate; files with time stamps need both")
    if form != "bids":
        _inside(told, f"file of {name!r}", entry["file"])
    if "unit" in entry and entry["factor"] is not None and entry["kind"] in UNITS and entry["unit"] != unit_of(entry):
        raise ValueError(f"{told}: {name!r} has a factor and the unit {entry['unit']!r}; expected one of them")
    if "columns" in entry:
        check_channels(f"{told}: {name!r}", entry["kind"], len(entry["columns"]))
    return entry | {"least": KINDS[entry["kind"]][1]}


def _factor(told, name, entry):
    """What the numbers of an E4's file are multiplied by: acceleration is in 1/64 g."""
    if entry["kind"] not in ("movement", "walking") or "unit" in entry:
        return None
    if re.fullmatch(r"(.*/)?ACC\.csv(\.gz)?", str(entry["file"])):
        return 1 / 64
    raise ValueError(
        f"{told}: signal {name!r} is read from {short(entry['file'])}; expected factor: 0.015625, the E4's 1/64 g, or "
        "its unit"
    )


def _ratings(told, given, form):
    told = f"{told}, ratings"
    if not isinstance(given, dict) or set(given) - _RATINGS:
        raise ValueError(
            f"{told}: is {short(given) if not isinstance(given, dict) else some(given)}; expected keys of "
            f"{sorted(_RATINGS)}"
        )
    given = {
        "table": None if form == "bids" else "ratings.csv",
        "person": "person",
        "onset": "onset",
        "clock": "recording",
        "duration": "duration",
        "stamp": "start",
        "over": "trial",
        "floor": 0.0,
        "smoothing": 0.0,
        "track": False,
    } | given
    for key, known in (("over", ("trial", "time")), ("stamp", ("start", "end"))):
        _expect(told, given, key, given[key] in known, f"one of {known}")
    table = given["table"]
    good = table is None or _text(table) or (isinstance(table, dict) and table and _texts([*table, *table.values()]))
    _expect(told, given, "table", good, "the name of a file, or rater: file")
    for name in table.values() if isinstance(table, dict) else [table] if table else []:
        _inside(told, "table", name)
    for key in ("person", "onset", "condition"):
        _expect(told, given, key, _text(given.get(key, "x")), "the name of a column")
    duration = given["duration"]
    _expect(
        told, given, "duration", _text(duration) or (_number(duration) and 0 < duration <= 1e6), "a column, or seconds"
    )
    trial = given.get("trial", "x")
    good = _text(trial) or (isinstance(trial, dict) and _texts([str(v) for v in trial.values()]))
    _expect(told, given, "trial", good, "a column, or person: name")
    if isinstance(trial, dict):
        given["trial"] = {str(k): str(v) for k, v in trial.items()}
    clock = given["clock"]
    if isinstance(clock, dict):
        clock = given["clock"] = {"factor": 1} | clock
        good = (
            set(clock) == _ZERO
            and _texts([clock[k] for k in ("table", "person", "column")])
            and _number(clock["factor"])
        )
        _expect(told, given, "clock", good, "{table: ..., person: ..., column: ..., factor: ...}")
        _inside(told, "clock", clock["table"])
    else:
        _expect(told, given, "clock", clock in ("recording", "unix", "tags"), "'recording', 'unix' or 'tags'")
    _expect(
        told,
        given,
        "track",
        type(given["track"]) is bool and (form == "bids" or not given["track"]),
        "true or false; true for BIDS only",
    )
    return given | _emotions(told, given)


def _emotions(told, given):
    emotions = given.get("emotions", {})
    if isinstance(emotions, list) and _texts(emotions) and len(set(emotions)) == len(emotions):
        emotions = {e: e for e in emotions}
    good = isinstance(emotions, dict) and _texts([*emotions, *emotions.values()])
    _expect(told, given, "emotions", good and len(set(emotions.values())) == len(emotions), "names, or name: column")
    if given["track"] and len(emotions) < 2:
        raise ValueError(
            f"{told}: track is true and emotions are {some(emotions)}; expected at least two, name: column"
        )
    scale = given.get("scale")
    good = scale is None or (
        isinstance(scale, list) and len(scale) == 2 and all(map(_number, scale)) and scale[0] < scale[1]
    )
    _expect(told, given, "scale", good, "the least and the most of a rating, [1, 9]")
    for key in ("floor", "smoothing"):
        _expect(told, given, key, _number(given[key]), "a number")
    _expect(told, given, "smoothing", given["smoothing"] >= 0, "at least 0")
    return {"emotions": emotions, "scale": scale}


def _time(told, given):
    given = {"factor": 1} | given if isinstance(given, dict) else given
    good = isinstance(given, dict) and set(given) == {"column", "factor"}
    if not good or not (_text(given["column"]) and _number(given["factor"]) and given["factor"] > 0):
        raise ValueError(
            f"{told}: 'time' is {short(given)}; expected {{column: ..., factor: ...}}, what makes it seconds"
        )
    return given


def _by_person(told, key, given):
    if not isinstance(given, dict) or not all(isinstance(v, dict) and len(v) == 1 for v in given.values()):
        raise ValueError(f"{told}: {key!r} is {short(given)}; expected person: {{column: value}}")
    return {str(who): {str(c): str(v) for c, v in entry.items()} for who, entry in given.items()}


def _excluded(told, given, prefix):
    """Person -> reason, or person -> signal or trial -> reason."""
    good = isinstance(given, dict) and all(
        _text(v) or (isinstance(v, dict) and v and all(_text(reason) for reason in v.values())) for v in given.values()
    )
    if not good:
        raise ValueError(
            f"{told}: 'exclude' is {short(given)}; expected person: reason, or person: {{signal or trial: reason}}"
        )
    return {
        str(who).removeprefix(prefix): v if isinstance(v, str) else {str(k): why for k, why in v.items()}
        for who, v in given.items()
    }


def _inside(told, key, name):
    """A path below the study's folder."""
    if not name or re.search(r"(^|[/\\])\.\.([/\\]|$)|^[/\\~]|^[A-Za-z]:|\0", name) or len(name) > 1000:
        raise ValueError(f"{told}: {key} is {short(name)}; expected a path below the study's folder")


def _expect(told, card, key, good, what):
    if not good:
        raise ValueError(f"{told}: {key!r} is {short(card.get(key))}; expected {what}")


def _number(value):
    return type(value) in (int, float) and -1e300 < value < 1e300


def _text(value):
    return isinstance(value, str) and 0 < len(value) <= NAME


def _texts(values):
    return isinstance(values, list) and all(map(_text, values))
