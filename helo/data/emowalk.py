"""EmoWalk (Quiroz, Geangu and Yong, JMIR Mental Health 2018): 44 people walk after something happy, neutral and sad.

Reads the release's own layout (github.com/juancq/emotion-recognition-walking-acc, MIT licence), its people and
their questionnaires in `helo.data.emowalk_people`, their walks here:

- `user_study_encoding.csv`: a person's condition, such as Mo-SNH, and when the three walks began and ended. Mo: a
  movie, then the walk; Mu: music, then the walk; Mw: music while walking. S, N, H: sad, neutral, happy, in time order.
- `walking_data/mo_ew10_*.csv`: the person's three walks one after another; columns condition (0 Mo, 1 Mu, 2 Mw), the
  stimulus' emotion (-1 sad, 0 neutral, 1 happy), three of acceleration without gravity (m/s2) and three of rotation
  (degrees/s) of a watch at the wrist, heart rate of a strap (1/min; 0: none). No time stamps: the walks' times give
  the rate.
- `PANAS/PANAS_mo_mu.csv`, `PANAS/PANAS_mw.csv`: 20 ratings from 1 to 5, for Mo and Mu after each stimulus and after
  each walk, for Mw once a stimulus, in time order.

A window's emotion distribution is a questionnaire of its walk, its ratings divided by their sum. Heart rate is
physiological; acceleration and rotation, how the arm swings, are behavioral. The stimulus tells little of the ratings,
so little is to be had from the signals: a data set to see whether a benchmark says so.

Limits: a person's walks 64 MiB and a million rows (11 hours), the study and a file of questionnaires 1 MiB each.
"""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path

import numpy as np

from helo.data import signals as features
from helo.data.cache import cached
from helo.data.columns import some
from helo.data.emotion_data import BEHAVIORAL, PHYSIOLOGICAL, EmotionData, Recording, ratings_to_distributions
from helo.data.emowalk_people import CONDITIONS, EMOTIONS, PANAS, QUESTIONNAIRES, STIMULI, STUDY, people_of
from helo.progress import each
from helo.reading import expanded, regular

#: most bytes of a person's walks, and most rows; the release's have 1.5 MB and 20,000
WALK, ROWS = 2**26, 1_000_000
_RATES = 20, 32  # samples a second; the release's walks have 25
# modality -> columns, unit, largest value a sensor gives
_MODALITIES = {
    "hr": (slice(8, 9), "1/min", 300),
    "acc": (slice(2, 5), "m/s2", 200),
    "gyro": (slice(5, 8), "deg/s", 4000),
}


def load(
    root: str | Path,
    window: float = 60.0,
    step: float = 30.0,
    tokens: int = 6,
    ratings: str = "stimulus",
    normalise: str = "subject",
    cache: bool = True,
) -> EmotionData:
    """Load EmoWalk as windows of features. A person without questionnaires (ew27) is left out, with a warning.

    Args:
        root: the folder that holds user_study_encoding.csv, walking_data and PANAS.
        window: length of a window in seconds; it lies whole within one walk.
        step: seconds between the starts of two windows.
        tokens: consecutive segments a window is cut into.
        ratings: the questionnaire: "stimulus", after the movie or the music, or "walk", after the walk that followed;
            music while walking has one, and it is both. After the walk the ratings do not tell the stimulus any more:
            the known condition is no better than the mean, and so no skill can be told.
        normalise: every feature is centred and scaled without labels: "subject" by the person's three walks; "causal"
            by their part up to the window's end; "none". Only the normalisation of "causal" is causal: filters see
            the whole walk (`helo.data.signals`), so it does not measure live use.
        cache: keep the features on disk for the next load.

    Raises:
        MissingFile: the folder or one of its files is missing.
        ValueError: a file's content is not the release's; the message names file, field, found and expected.
    """
    root = expanded(root)
    if ratings not in ("stimulus", "walk"):
        raise ValueError(f"ratings is {ratings!r}; expected 'stimulus' or 'walk'")
    if normalise not in ("subject", "causal", "none"):
        raise ValueError(f"normalise is {normalise!r}; expected 'subject', 'causal' or 'none'")
    if not (window > 0 and step > 0 and tokens >= 1 and window / tokens >= 2):
        raise ValueError(
            f"window {window} s, step {step} s, tokens {tokens}: expected positive lengths and tokens of at least 2 s"
        )
    everybody = people_of(root, ratings)
    people = [p for p in everybody if p.ratings is not None]
    without = ", ".join(p.name for p in everybody if p.ratings is None)
    if not people:
        raise ValueError(f"{root / PANAS}: no questionnaires of {without}; expected the release's")
    if without:
        warnings.warn(f"{root / PANAS}: no questionnaires of {without}; left out", stacklevel=2)
    options = {"window": window, "step": step, "tokens": tokens, "ratings": ratings, "normalise": normalise}
    sources = [root / STUDY, *(root / PANAS / file for file in QUESTIONNAIRES), *(p.file for p in people)]

    def make():
        return _extract(root, people, window, step, tokens, normalise)

    data = cached("emowalk", options, sources, make) if cache else make()
    return dataclasses.replace(data, recording=lambda subject: recording(root, subject))


def recording(root: str | Path, subject: str) -> Recording:
    """The raw signals of one person: the three walks one after another, without the pauses between them."""
    people = {p.name: p for p in people_of(expanded(root))}
    if subject not in people:
        raise ValueError(f"{root}: no person {subject!r}; expected one of {some(people)}")
    x, _, rate = _read_walks(people[subject])
    signals = {m: x[:, columns] for m, (columns, *_) in _MODALITIES.items()}
    return Recording(signals, dict.fromkeys(signals, rate), {m: unit for m, (_, unit, _) in _MODALITIES.items()})


def _read_walks(person):
    """The recording (samples, 9), first and last sample of each walk, and samples a second."""
    path = regular(person.file, WALK, "a person's walks")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # an empty file
            x = np.loadtxt(path, delimiter=",", ndmin=2, encoding="utf-8-sig")
    except (ValueError, UserWarning, OverflowError, MemoryError) as error:
        raise ValueError(f"{path}: not readable as rows of numbers ({str(error)[:200]})") from None
    if len(x) > ROWS:
        raise ValueError(f"{path}: over {ROWS} rows; expected at most so many")
    if x.shape[1] != 9:
        raise ValueError(
            f"{path}: {x.shape[1]} columns; expected 9: condition, emotion, 3 of acc, 3 of gyro, heart rate"
        )
    for m, (columns, unit, most) in _MODALITIES.items():
        wrong = ~(np.abs(x[:, columns]) <= most)  # NaN too
        if wrong.any():
            row = int(np.argmax(wrong.any(1)))
            raise ValueError(f"{path}: {m} in row {row + 1} is {x[row, columns]}; expected at most {most} {unit}")
    edges = np.r_[0, np.flatnonzero(np.diff(x[:, :2], axis=0).any(1)) + 1, len(x)]
    found = [f"{condition:g} {emotion:g}" for condition, emotion in x[edges[:-1], :2]]
    expected = [f"{CONDITIONS[person.condition][0]} {STIMULI[letter][0]}" for letter in person.order]
    if found != expected:
        told = f"{some(expected)}, for {person.condition}-{person.order} in {STUDY}"
        raise ValueError(f"{path}: condition and emotion run through {some(found)}; expected {told}")
    for samples, seconds, letter in zip(np.diff(edges), person.seconds, person.order, strict=True):
        if not _RATES[0] <= samples / seconds <= _RATES[1]:
            raise ValueError(
                f"{path}: the {STIMULI[letter][1]} walk has {samples} samples, {samples / seconds:.1f} a second of the "
                f"{seconds} s in {STUDY}; expected {_RATES[0]} to {_RATES[1]}"
            )
    # one rate for all: the walks' times are known to a second only
    return x, list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)), len(x) / sum(person.seconds)


def _features(x, rate, cut):
    hr, acc, gyro = (x[:, columns] for columns, *_ in _MODALITIES.values())
    return {
        "hr": features.heart_rate(hr, rate, cut),
        "acc": features.walking(acc / 9.80665, rate, cut),
        "gyro": features.walking(np.deg2rad(gyro), rate, cut, unit="rad/s"),
    }


def _extract(root, people, window, step, tokens, normalise):
    lists: dict[str, list] = {name: [] for name in ("subjects", "trials", "starts", "ratings")}
    parts: dict[str, list] = {m: [] for m in _MODALITIES}
    names = {}
    for person in each(people, "EmoWalk", "person"):
        x, walks, rate = _read_walks(person)
        for (first, last), letter, ratings in zip(walks, person.order, person.ratings, strict=True):
            # a sample less, for a token's start and length are rounded
            starts = features.window_starts(0, (last - first - 1) / rate, window, step)
            if not len(starts):
                continue
            lists["subjects"] += [person.name] * len(starts)
            lists["trials"] += [STIMULI[letter][1]] * len(starts)
            lists["ratings"] += [ratings] * len(starts)
            lists["starts"] += (first / rate + starts).tolist()
            # each walk by itself: no filter and no window sees two
            for m, found in _features(x[first:last], rate, features.Tokens.of(starts, window, tokens)).items():
                parts[m].append((found.values, found.mask))
                names[m] = found.names
    if not names:
        raise ValueError(f"{root}: no walk holds a window of {window} s; choose a shorter window")
    columns = {name: np.array(column) for name, column in lists.items()}
    values, masks = ({m: np.concatenate([own[k] for own in x]) for m, x in parts.items()} for k in (0, 1))
    for subject in np.unique(columns["subjects"]) if normalise != "none" else ():
        own = columns["subjects"] == subject
        # windows are in time order: those that have ended by the end of each
        seen = np.arange(1, own.sum() + 1) if normalise == "causal" else None
        for m, x in values.items():
            x[own] = features.normalise_by_recording(x[own], masks[m][own], x[own], masks[m][own], seen)
    length = window / tokens
    segments = tuple(f"{k * length:g}-{(k + 1) * length:g} s" for k in range(tokens))
    return EmotionData(
        name="emowalk",
        signals=values,
        masks=masks,
        distributions=ratings_to_distributions(columns["ratings"], str(root), EMOTIONS),
        emotions=EMOTIONS,
        subjects=columns["subjects"],
        trials=columns["trials"],
        conditions=columns["trials"],
        starts=columns["starts"],
        window=window,
        roles={PHYSIOLOGICAL: ("hr",), BEHAVIORAL: ("acc", "gyro")},
        features=names,
        tokens=dict.fromkeys(values, segments),
    )
