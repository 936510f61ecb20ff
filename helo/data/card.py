"""The card of your own data: what the names of its columns do not say. `helo.data.table` shows one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from fnmatch import translate
from itertools import accumulate
from pathlib import Path

from helo.data import signals as signals_of
from helo.data.columns import COLUMNS, short, some
from helo.data.emotion_data import BEHAVIORAL, PHYSIOLOGICAL
from helo.reading import regular

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
        "behaviour",
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
#: What raw samples are, and so which features of `helo.data.signals` are computed. Each window is filtered by itself.
KINDS = {
    "pulse": signals_of.pulse,
    "heart": signals_of.heart,
    "electrodermal": signals_of.electrodermal,
    "temperature": signals_of.temperature,
    "movement": signals_of.movement,
    "muscle": signals_of.muscle,
    "respiration": signals_of.respiration,
}
#: How many channels a kind of signal has; 0: any number. Kinds that are not here have one.
CHANNELS = {"movement": 3, "walking": 3, "eeg": 0, "level": 0}
_KEYS = {"name", "window", "modalities", "emotions", "scale", "query", "ignore", *COLUMNS}
#: most bytes of a card, and letters of one of its values: YAML reads some numbers in quadratic time
CARD, VALUE = 2**16, 1000
#: most brackets within each other: what takes YAML minutes is nested
DEPTH = 50
#: most patterns times columns that are looked at
MATCHES = 10_000_000


def read_card(path: Path, card: str | Path | Mapping | None) -> tuple[dict, str]:
    """The checked card, with emotions as name -> column, and what to call it in errors."""
    told = "the card"
    if card is None:
        beside = [path.with_suffix(suffix) for suffix in (".yaml", ".yml") if path.with_suffix(suffix).exists()]
        if len(beside) > 1:
            raise ValueError(f"{path}: there are two cards, {beside[0].name} and {beside[1].name}; expected one")
        card = beside[0] if beside else {}
        told = str(beside[0]) if beside else f"a card ({path.stem}.yaml beside it, or card=...)"
    elif not isinstance(card, Mapping):
        told = str(card)
    card = dict(card) if isinstance(card, Mapping) else read_yaml(card)

    def expect(good, key, what):
        if not good:
            raise ValueError(f"{told}: {key!r} is {short(card.get(key))}; expected {what}")

    unknown = [str(key)[:50] for key in card if key not in _KEYS]
    if unknown:
        raise ValueError(f"{told}: unknown {some(unknown)}; expected {sorted(_KEYS)}")
    for key in ("name", "query", *COLUMNS):
        expect(key not in card or (isinstance(card[key], str) and card[key]), key, "text")
    if "window" in card:
        expect(_number(card["window"]) and 0 < card["window"] < 1e9, "window", "seconds above 0")
    expect(_texts(card.get("ignore", [])), "ignore", "a list of columns")
    emotions = card.get("emotions", {})
    if isinstance(emotions, list) and _texts(emotions) and len(set(emotions)) == len(emotions):
        card["emotions"] = emotions = {e: f"emotion.{e}" for e in emotions}
    good = isinstance(emotions, dict) and _texts([*emotions, *emotions.values()])
    good = good and len(set(emotions.values())) == len(emotions)
    expect(good, "emotions", "a list of names, or name: column, each once")
    scale = card.get("scale", [0, 1])
    good = isinstance(scale, list) and len(scale) == 2 and all(map(_number, scale)) and scale[0] < scale[1]
    expect(good, "scale", "the least and the most of a rating, [1, 9]")
    modalities = card.get("modalities", {})
    expect(
        isinstance(modalities, dict) and _texts(list(modalities)), "modalities", "modality: {columns: [...], role: ...}"
    )
    card["modalities"] = {m: _modality(told, m, entry) for m, entry in modalities.items()}
    return card, told


def _modality(told, m, entry):
    """The checked entry of a modality; its role alone may stand for it, in American or British spelling."""
    entry = {"role": entry} if isinstance(entry, str) else entry
    good = isinstance(entry, dict) and set(entry) <= {"columns", "role", "rate", "kind", "tokens"}
    if good and isinstance(entry.get("role"), str):
        entry = entry | {"role": entry["role"].lower().replace("behaviour", "behavior")}
    if not good or not _texts(entry.get("columns", ["x"])) or entry.get("role", BEHAVIORAL) not in tuple(ROLES):
        raise ValueError(
            f"{told}: modality {m!r} is {short(entry)}; expected {{columns: [...], role: physiological or behavioral}}"
        )
    raw = set(entry) & {"rate", "kind"} or type(entry.get("tokens")) is int
    if "tokens" in entry and not raw:
        named = [str(name) for name in entry["tokens"]] if isinstance(entry["tokens"], list) else []
        if not _texts(named) or len(set(named)) < len(named) or not named:
            raise ValueError(f"{told}: tokens of {m!r} are {short(entry['tokens'])}; expected their names, each once")
        entry = entry | {"tokens": named}
    if raw:
        rate, count = entry.get("rate"), entry.get("tokens", 1)
        good = _number(rate) and 0.1 <= rate <= 100_000 and type(count) is int and 1 <= count <= 1000
        if not good or entry.get("kind") not in tuple(KINDS):
            raise ValueError(
                f"{told}: modality {m!r} has rate {short(rate)}, kind {short(entry.get('kind'))} and tokens "
                f"{short(count)}; expected samples per second, one of {list(KINDS)}, and 1 to 1000"
            )
    return entry


def check_channels(where: str, kind: str, found: int) -> None:
    """Refuse channels that a kind's features would pass over, and too few of them.

    Raises:
        ValueError: found and expected.
    """
    if (expected := CHANNELS.get(kind, 1)) not in (0, found):
        raise ValueError(f"{where} has {found} channels; expected {expected} for kind {kind!r}")


def matching(names: Sequence[str], patterns: Sequence[str], told: str) -> list[str]:
    """The names that one of the patterns fits.

    Raises:
        ValueError: so many patterns that looking at them would take minutes.
    """
    plain, wild = set(patterns), [p for p in patterns if set(p) & set("*?[")]
    if len(wild) * len(names) > MATCHES:
        raise ValueError(f"{told}: {len(wild)} patterns for {len(names)} columns; expected fewer")
    fits = re.compile("|".join(map(translate, wild))).match if wild else lambda name: None
    return [name for name in names if name in plain or fits(name)]


def read_yaml(path: str | Path) -> dict:
    """The keys and values of a small YAML file.

    Raises:
        MissingFile: no such file.
        ValueError: no regular file of at most `CARD` bytes, or none that can be read as keys and values.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        """No aliases: a few lines of them can stand for billions of values. No long values, and no key twice."""

        def compose_node(self, parent, index):
            if self.check_event(yaml.AliasEvent):
                raise ValueError("aliases are not read")
            if self.check_event(yaml.ScalarEvent) and len(self.peek_event().value) > VALUE:
                raise ValueError(f"a value of {len(self.peek_event().value)} letters; expected at most {VALUE}")
            return super().compose_node(parent, index)

        def construct_mapping(self, node, deep=False):
            keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            if repeated := [key for key, count in Counter(keys).items() if count > 1]:
                raise ValueError(f"{some(repeated)} more than once")
            return super().construct_mapping(node, deep)

    content = regular(path, CARD, "a card in YAML").read_bytes()
    if max(accumulate((c in b"[{") - (c in b"]}") for c in content)) > DEPTH:
        raise ValueError(f"{path}: not a readable card (over {DEPTH} brackets within each other)")
    try:
        card = yaml.load(content, Loader)  # a SafeLoader: builds text, numbers, lists and dictionaries only
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError, TypeError, LookupError, AttributeError) as error:
        raise ValueError(f"{path}: not a readable card ({type(error).__name__}: {str(error)[:300]})") from None
    if not isinstance(card, dict):
        raise ValueError(f"{path}: holds {short(card)}; expected keys and values, such as subject: participant")
    return card


def _number(value):
    return type(value) in (int, float) and -1e300 < value < 1e300


def _texts(values):
    return isinstance(values, list) and all(isinstance(v, str) and v for v in values)
