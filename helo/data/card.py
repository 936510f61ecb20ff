"""The card of your own data: what the names of its columns do not say. `helo.data.table` shows one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from helo.data import signals as signals_of
from helo.data.columns import COLUMNS, short, some
from helo.data.emotion_data import BEHAVIORAL, PHYSIOLOGICAL
from helo.files import MissingFile

#: What a modality's name, or a part of it between underscores, says about its role.
ROLES = {
    PHYSIOLOGICAL: {
        "bvp",
        "ecg",
        "eda",
        "eeg",
        "emg",
        "fnirs",
        "gsr",
        "heart",
        "hr",
        "hrv",
        "physiology",
        "ppg",
        "pulse",
        "resp",
        "rsp",
        "scr",
        "skin",
        "temp",
        "temperature",
    },
    BEHAVIORAL: {
        "acc",
        "audio",
        "behavior",
        "body",
        "face",
        "gaze",
        "gesture",
        "gyro",
        "motion",
        "mouse",
        "movement",
        "posture",
        "speech",
        "text",
        "video",
        "voice",
    },
}
#: What raw samples are, and so which features of `helo.signals` are computed. Each window is filtered by itself.
KINDS = {
    "pulse": signals_of.pulse,
    "heart": signals_of.heart,
    "electrodermal": signals_of.electrodermal,
    "temperature": signals_of.temperature,
    "movement": signals_of.movement,
    "muscle": signals_of.muscle,
    "respiration": signals_of.respiration,
}
_KEYS = {"name", "window", "modalities", "emotions", "query", "ignore", *COLUMNS}


def read_card(path: Path, card: str | Path | Mapping | None) -> tuple[dict, str]:
    """The checked card, with emotions as name -> column, and what to call it in errors."""
    if card is None:
        beside = path.with_suffix(".yaml")
        card = beside if beside.is_file() else {}
    told = "the card" if isinstance(card, Mapping) else str(card)
    card = dict(card) if isinstance(card, Mapping) else _read_yaml(Path(card).expanduser())

    def expect(good, key, what):
        if not good:
            raise ValueError(f"{told}: {key!r} is {short(card.get(key))}; expected {what}")

    unknown = [str(key)[:50] for key in card if key not in _KEYS]
    if unknown:
        raise ValueError(f"{told}: unknown {some(unknown)}; expected {sorted(_KEYS)}")
    for key in ("name", "query", *COLUMNS):
        expect(key not in card or (isinstance(card[key], str) and card[key]), key, "text")
    if "window" in card:
        number = isinstance(card["window"], (int, float)) and not isinstance(card["window"], bool)
        expect(number and 0 < card["window"] < 1e9, "window", "seconds above 0")
    expect(_texts(card.get("ignore", [])), "ignore", "a list of columns")
    emotions = card.get("emotions", {})
    if isinstance(emotions, list) and _texts(emotions):
        card["emotions"] = emotions = {e: f"emotion.{e}" for e in emotions}
    expect(
        isinstance(emotions, dict) and _texts([*emotions, *emotions.values()]),
        "emotions",
        "a list of names, or name: column",
    )
    modalities = card.get("modalities", {})
    expect(
        isinstance(modalities, dict) and _texts(list(modalities)), "modalities", "modality: {columns: [...], role: ...}"
    )
    for m, entry in modalities.items():
        good = isinstance(entry, dict) and set(entry) <= {"columns", "role", "rate", "kind", "tokens"}
        if not good or not _texts(entry.get("columns", ["x"])) or entry.get("role", BEHAVIORAL) not in tuple(ROLES):
            raise ValueError(
                f"{told}: modality {m!r} is {short(entry)}; "
                "expected {columns: [...], role: physiological or behavioral}"
            )
        if set(entry) & {"rate", "kind", "tokens"}:
            rate, count = entry.get("rate"), entry.get("tokens", 1)
            good = type(rate) in (int, float) and 0.1 <= rate <= 100_000 and type(count) is int and 1 <= count <= 1000
            if not good or entry.get("kind") not in tuple(KINDS):
                raise ValueError(
                    f"{told}: modality {m!r} has rate {short(rate)}, kind {short(entry.get('kind'))} and tokens "
                    f"{short(count)}; expected samples per second, one of {list(KINDS)}, and 1 to 1000"
                )
    return card, told


def _read_yaml(path):
    import yaml

    class Loader(yaml.SafeLoader):
        """No aliases: a few lines of them can stand for billions of values."""

        def compose_node(self, parent, index):
            if self.check_event(yaml.AliasEvent):
                raise ValueError("aliases are not read")
            return super().compose_node(parent, index)

    if not path.is_file():
        raise MissingFile(f"{path}: no such file; expected a card in YAML")
    if path.stat().st_size > 2**20:
        raise ValueError(f"{path}: {path.stat().st_size} bytes; expected a card of at most a megabyte")
    try:
        card = yaml.load(path.read_bytes(), Loader)  # a SafeLoader: builds text, numbers, lists and dictionaries only
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError, TypeError, LookupError, AttributeError) as error:
        raise ValueError(f"{path}: not a readable card ({type(error).__name__}: {str(error)[:300]})") from None
    if not isinstance(card, dict):
        raise ValueError(f"{path}: holds {short(card)}; expected keys and values, such as subject: participant")
    return card


def _texts(values):
    return isinstance(values, list) and all(isinstance(v, str) and v for v in values)
