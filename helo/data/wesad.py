"""WESAD (Schmidt et al., ICMI 2018): 15 people; baseline, stress, amusement and two meditations.

Reads the release's own layout, `Sx/Sx.pkl` and `Sx/Sx_quest.csv`. A window's emotion distribution is the PANAS
questionnaire of its condition: 24 ratings from 1 to 5, divided by their sum. Wrist BVP, EDA and TEMP (and ECG, EMG,
EDA, Resp and Temp of the chest) are physiological; ACC, the body's movement, is behavioral.

Limits: a pickle as `helo.data.pickles` says (2 GB, raised by `HELO_MEMORY=8` in the environment, gigabytes), a
questionnaire 1 MiB, a recording 4 hours. An hour of the wrist takes about 2 seconds, the chest longer. Memory: the
largest pickle, its signals in float64 and the features of all.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from helo.data import signals as features
from helo.data.cache import cached
from helo.data.columns import short
from helo.data.emotion_data import BEHAVIORAL, PHYSIOLOGICAL, EmotionData, Recording, ratings_to_distributions
from helo.data.pickles import read_arrays
from helo.data.wesad_people import CODES, EMOTIONS, people_of, read_panas
from helo.progress import each
from helo.reading import expanded

LABEL_RATE = 700.0
#: longest recording; the release's last two
HOURS = 4

# modality -> (site, key in the pickle, rate in Hz, factor to the unit, unit, role, feature function)
_MODALITIES = {
    "bvp": ("wrist", "BVP", 64.0, 1.0, "a.u.", PHYSIOLOGICAL, features.breathing_pulse),
    "eda": ("wrist", "EDA", 4.0, 1.0, "uS", PHYSIOLOGICAL, features.electrodermal),
    "temp": ("wrist", "TEMP", 4.0, 1.0, "degC", PHYSIOLOGICAL, features.temperature),
    "acc": ("wrist", "ACC", 32.0, 1 / 64, "g", BEHAVIORAL, features.movement),
    "chest_ecg": ("chest", "ECG", 700.0, 1.0, "mV", PHYSIOLOGICAL, features.heart),
    "chest_emg": ("chest", "EMG", 700.0, 1.0, "mV", PHYSIOLOGICAL, features.muscle),
    "chest_eda": ("chest", "EDA", 700.0, 1.0, "uS", PHYSIOLOGICAL, features.electrodermal),
    "chest_resp": ("chest", "Resp", 700.0, 1.0, "%", PHYSIOLOGICAL, features.respiration),
    "chest_temp": ("chest", "Temp", 700.0, 1.0, "degC", PHYSIOLOGICAL, features.temperature),
    "chest_acc": ("chest", "ACC", 700.0, 1.0, "g", BEHAVIORAL, features.movement),
}
_SITES = {"wrist": ("wrist",), "chest": ("chest",), "both": ("wrist", "chest")}


def load(
    root: str | Path,
    site: str = "wrist",
    window: float = 60.0,
    step: float = 30.0,
    tokens: int = 5,
    context: float = 120.0,
    normalise: str = "recording",
    cache: bool = True,
) -> EmotionData:
    """Load WESAD as windows of features.

    Args:
        root: the folder that holds S2, S3, ...
        site: "wrist" (Empatica E4), "chest" (RespiBAN) or "both".
        window: length of a window in seconds; it lies whole within one condition.
        step: seconds between the starts of two windows.
        tokens: consecutive segments a window, with its context, is cut into.
        context: seconds before and after the window that are looked at too, beyond the condition's ends where need be;
            `starts` and `window` of the data set then include them.
        normalise: every feature is centred and scaled without labels: "recording" by the person's whole recording,
            pauses between the conditions included; "causal" by its part up to the window's end (and context);
            "subject" by the person's windows alone; "none". Only the normalisation of "causal" is causal: filters and
            beats are found in the whole recording (`helo.data.signals`), so it does not measure live use.
        cache: keep the features on disk for the next load.

    Raises:
        MissingFile: the folder or one of its files is missing.
        ValueError: a file is too large, or its content is not the release's; the message names file, field, found and
            expected.
    """
    root = expanded(root)
    if site not in _SITES:
        raise ValueError(f"site is {site!r}; expected one of {list(_SITES)}")
    if normalise not in ("recording", "causal", "subject", "none"):
        raise ValueError(f"normalise is {normalise!r}; expected 'recording', 'causal', 'subject' or 'none'")
    if not (window > 0 and step > 0 and context >= 0 and tokens >= 1 and (window + 2 * context) / tokens >= 2):
        raise ValueError(
            f"window {window} s, step {step} s, context {context} s, tokens {tokens}: "
            "expected positive lengths and tokens of at least 2 s"
        )
    subjects = people_of(root)
    options = {"site": site, "window": window, "step": step, "tokens": tokens}
    options |= {"context": context, "normalise": normalise}
    sources = [root / s / f"{s}{end}" for s in subjects for end in (".pkl", "_quest.csv")]

    def make():
        return _extract(root, subjects, **options)

    data = cached("wesad", options, sources, make) if cache else make()
    return dataclasses.replace(data, recording=lambda subject: recording(root, subject, site))


def recording(root: str | Path, subject: str, site: str = "wrist") -> Recording:
    """The raw signals of one subject."""
    raw, _ = _read_signals(expanded(root) / subject / f"{subject}.pkl", site)
    return Recording(raw, {m: _MODALITIES[m][2] for m in raw}, {m: _MODALITIES[m][4] for m in raw})


def _read_signals(path, site):
    """Signals (samples, channels) by modality, and the labels at 700 Hz."""
    content = read_arrays(path)
    if not isinstance(content, dict) or not isinstance(content.get("signal"), dict):
        raise ValueError(f"{path}: no dictionary 'signal'; expected WESAD's 'signal', 'label' and 'subject'")
    subject = content.get("subject")
    if not isinstance(subject, str) or subject != path.stem:
        raise ValueError(f"{path}: 'subject' is {_kind(subject)}; expected {path.stem!r}")
    label = content.get("label")
    if not isinstance(label, np.ndarray) or label.ndim != 1 or label.dtype.kind not in "iu" or not len(label):
        raise ValueError(f"{path}: 'label' is {_kind(label)}; expected a one-dimensional array of integers")
    seconds = len(label) / LABEL_RATE
    if seconds > HOURS * 3600:
        raise ValueError(f"{path}: 'label' lasts {seconds / 3600:.1f} hours; expected at most {HOURS}")
    signals = {}
    for modality, (place, key, rate, factor, *_) in _MODALITIES.items():
        if place not in _SITES[site]:
            continue
        held = content["signal"].get(place)
        x = held.get(key) if isinstance(held, dict) else None
        channels = 3 if key == "ACC" else 1
        if not isinstance(x, np.ndarray) or x.dtype.kind not in "fiu" or x.shape[1:] != (channels,):
            raise ValueError(
                f"{path}: signal['{place}']['{key}'] is {_kind(x)}; expected a numeric array (samples, {channels})"
            )
        if abs(len(x) / rate - seconds) > 2:
            raise ValueError(
                f"{path}: signal['{place}']['{key}'] lasts {len(x) / rate:.1f} s at {rate:g} Hz; "
                f"expected the labels' {seconds:.1f} s"
            )
        if not np.isfinite(x).all():
            sample = int(np.argmin(np.isfinite(x).all(1)))
            raise ValueError(
                f"{path}: signal['{place}']['{key}'] is NaN or Inf at {sample / rate:.2f} s; expected numbers"
            )
        signals[modality] = x * factor if factor != 1 else x
    return signals, label


def _kind(value):
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}"
    return short(value) if isinstance(value, str) else type(value).__name__


def _condition_runs(path, label, order):
    """(condition, start, stop) in seconds, from the label's runs of 1 to 4 in time order."""
    edges = np.flatnonzero(label[1:] != label[:-1]) + 1
    starts, stops = np.r_[0, edges], np.r_[edges, len(label)]
    known = np.isin(label[starts], (1, 2, 3, 4))
    found, expected = label[starts[known]], [CODES[name] for name in order]
    if found.tolist() != expected:
        more = f" and {len(found) - 9} more" if len(found) > 9 else ""
        raise ValueError(
            f"{path}: the labels run through the codes {found[:9].tolist()}{more}; "
            f"expected {expected} from the questionnaire's order {order}"
        )
    return list(zip(order, starts[known] / LABEL_RATE, stops[known] / LABEL_RATE, strict=True))


def _extract(root, subjects, site, window, step, tokens, context, normalise):
    columns: dict[str, list] = {name: [] for name in ("subjects", "trials", "starts", "ratings")}
    parts: dict[str, list] = {}
    names = {}
    for subject in each(subjects, "WESAD", "subject"):
        path = root / subject / f"{subject}.pkl"
        panas = read_panas(root / subject / f"{subject}_quest.csv")
        raw, label = _read_signals(path, site)
        shortest = min(len(x) / _MODALITIES[m][2] for m, x in raw.items())
        runs = _condition_runs(path, label, list(panas))
        starts = {name: features.window_starts(a, min(b, shortest), window, step) for name, a, b in runs}
        for name, times in starts.items():
            columns["subjects"] += [subject] * len(times)
            columns["trials"] += [name] * len(times)
            columns["ratings"] += [panas[name]] * len(times)
        times = np.concatenate(list(starts.values()))
        columns["starts"].append(times - context)
        if not len(times):
            continue
        of_all = _features(path, raw, times, shortest, window, step, tokens, context, normalise)
        for modality, own, there, named in of_all:
            parts.setdefault(modality, []).append((own, there))
            names[modality] = named
    if not parts:
        raise ValueError(f"{root}: no condition holds a window of {window} s; choose a shorter window")
    values = {m: np.concatenate([own for own, _ in parts[m]]) for m in _MODALITIES if m in parts}
    masks = {m: np.concatenate([there for _, there in parts[m]]) for m in values}
    who = np.array(columns["subjects"])
    if normalise == "subject":
        values = {m: features.normalise_by_subject(x, masks[m], who) for m, x in values.items()}
    length = (window + 2 * context) / tokens
    to = " to " if context else "-"
    segments = tuple(f"{k * length - context:g}{to}{(k + 1) * length - context:g} s" for k in range(tokens))
    roles = {role: tuple(m for m in values if _MODALITIES[m][5] == role) for role in (PHYSIOLOGICAL, BEHAVIORAL)}
    return EmotionData(
        name="wesad",
        signals=values,
        masks=masks,
        distributions=ratings_to_distributions(np.array(columns["ratings"]), str(root), EMOTIONS),
        emotions=EMOTIONS,
        subjects=who,
        trials=np.array(columns["trials"]),
        conditions=np.array(columns["trials"]),
        starts=np.concatenate(columns["starts"]),
        window=window + 2 * context,
        roles=roles,
        query="eda" if "eda" in values else "chest_eda",  # never missing a token
        features={m: names[m] for m in values},
        tokens={m: segments for m in values},
    )


def _features(path, raw, times, shortest, window, step, tokens, context, normalise):
    """Of each modality of one person: features and mask of the windows at `times`, and the features' names."""
    n = len(times)
    # windows over the whole recording, to normalise by
    everywhere = features.window_starts(0, shortest, window, step)
    everywhere = everywhere if normalise in ("recording", "causal") else everywhere[:0]
    seen = np.searchsorted(everywhere, times + 1e-6, side="right") if normalise == "causal" else None
    cut = features.Tokens.of(np.concatenate([times, everywhere]) - context, window + 2 * context, tokens)
    if cut.length > shortest:
        raise ValueError(
            f"{path}: lasts {shortest:.0f} s; tokens of {cut.length:g} s, with that context, do not fit into it"
        )
    # a token that the recording does not hold whole is masked, and cut where there is something to cut
    held = (cut.starts >= -1e-6) & (cut.starts + cut.length <= shortest + 1e-6)
    cut = features.Tokens(cut.starts.clip(0, shortest - cut.length), cut.length)
    for modality in sorted(raw, key=lambda m: -raw[m].nbytes):  # the largest goes first, so that later ones find room
        feature = _MODALITIES[modality][6](raw.pop(modality), _MODALITIES[modality][2], cut)
        mask = feature.mask & held
        own, there = feature.values[:n], mask[:n]
        if len(everywhere):
            own = features.normalise_by_recording(own, there, feature.values[n:], mask[n:], seen)
        yield modality, own, there, feature.names
