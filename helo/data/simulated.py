"""A simulated study whose label correlation and physiological-behavioral coupling are known.

People watch clips and rate eight emotions from 1 to 5. A clip has a valence and an arousal; a person feels them with
deviations of their own. Moments of emotion happen during a clip: the face shows the emotion at once, the body answers
`LAG` seconds later with a skin conductance response and a change of heart rate (waveforms by NeuroKit2's simulators).
So the true label correlation can be computed, and the true coupling is: face now, body one token later.

People differ as real ones do, so that a split by windows flatters whoever remembers (15 nearest neighbours: KL .052
beside .087 by subject; on WESAD .036 beside .074):

- baseline: heart rate, skin conductance and temperature drift slowly through the session, and so does the resting face:
  windows near in time look alike whatever is felt;
- reactivity: how far heart, skin and each action unit go with the same emotion;
- rating style: emotions a person always rates high or low, and how much of the scale a person uses. No signal shows it.

Not everything is linear. Faces of pleasant emotions have a smile in common, of unpleasant ones a frown; the body tells
arousal, and the heart a little of pleasure (it slows down with what is unpleasant): an emotion is what both say
together. Every third clip is mixed, and shows an emotion and its opposite in turn: which ones, only the moments tell,
each with the response that follows it. The sizes are chosen so that strangers, the leak, the label correlation and what
the streams have in common can all be found, not so that a system wins.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from helo.data import signals as features
from helo.data.cache import cached
from helo.data.emotion_data import BEHAVIORAL, PHYSIOLOGICAL, EmotionData, Recording, ratings_to_distributions

# emotion -> (valence, arousal)
EMOTIONS = {
    "happy": (0.9, 0.3),
    "excited": (0.6, 0.9),
    "inspired": (0.7, 0.4),
    "calm": (0.7, -0.7),
    "sad": (-0.8, -0.4),
    "tired": (-0.3, -0.9),
    "afraid": (-0.6, 0.9),
    "angry": (-0.8, 0.6),
}
ACTION_UNITS = (
    "cheeks up",
    "lip corners up",
    "brows up",
    "brows down",
    "lids wide",
    "lids low",
    "lips down",
    "lips tight",
)
LAG = 4.0  # seconds from the face to the body
# what is felt and rated, standard deviations: a person's valence and arousal of a clip, and the rest of what is felt
# there (in valence and arousal), then the style: an emotion's level and the logarithm of the scale's use; slips
FELT, OWN, TRAIT, STRETCH, SLIP = 0.2, 0.1, 0.6, 0.4, 0.1
SCALE = 1.8  # rating points for a unit of valence or arousal
GAIN = 0.3  # SD of the logarithm of how far a person's heart, skin and action units go
# SD of a session's drift: beats a minute, logarithm of microsiemens, degrees, intensity; over so many seconds
DRIFT = {"heart": 2.0, "eda": 0.4, "temp": 0.5, "face": 0.1}
DRIFT_TIME = 300.0
RATES = {"bvp": 64.0, "eda": 8.0, "temp": 4.0, "face": 4.0}
UNITS = {"bvp": "a.u.", "eda": "uS", "temp": "degC", "face": "intensity"}

_COORDINATES = np.array(list(EMOTIONS.values()))  # (8, 2)
_SMILE, _FROWN = np.eye(8)[[0, 1]].sum(0), np.eye(8)[[3, 6]].sum(0)
# what each emotion looks like beyond a smile or a frown: rows emotions, columns ACTION_UNITS
_OWN_FACE = np.array(
    [
        [1, 1, 0, 0, 0, 0, 0, 0],
        [1, 1, 1, 0, 1, 0, 0, 0],
        [0, 1, 1, 0, 0, 0, 0, 0],
        [0, 1, 0, 0, 0, 1, 0, 0],
        [0, 0, 1, 0, 0, 1, 1, 0],
        [0, 0, 0, 0, 0, 1, 0, 0],
        [0, 0, 1, 0, 1, 0, 1, 1],
        [0, 0, 0, 1, 0, 0, 0, 1],
    ],
    float,
)
_FACE = 0.3 * np.where(_COORDINATES[:, :1] > 0, _SMILE, _FROWN) + 0.7 * _OWN_FACE


def load(
    subjects: int = 12,
    clips: int = 10,
    seconds: float = 72.0,
    window: float = 24.0,
    step: float = 12.0,
    seed: int = 0,
    cache: bool = True,
) -> EmotionData:
    """Simulate a study: subjects x clips, wrist signals (bvp, eda, temp) and a face stream.

    Args:
        subjects: number of people, at least 2.
        clips: number of clips everybody watches, at least 2.
        seconds: length of a clip.
        window: length of a window in seconds, a multiple of 4; its tokens last 4 s.
        step: seconds between the starts of two windows.
        seed: of everything that is random.
        cache: keep the result on disk for the next load.

    Returns:
        The data set; `truth["label_correlation"]` (8, 8) is the Pearson correlation of the rated distributions over
        endlessly many people who see these clips, `truth["coupling"]` (n, tokens, tokens) the share of each window's
        emotional moments that body token i and face token j have in common, summing to 1.

    Raises:
        ValueError: a number out of range.
    """
    if subjects < 2 or clips < 2:
        raise ValueError(f"subjects is {subjects} and clips {clips}; expected at least 2 of each")
    if window < 8 or window % LAG or window > seconds or step <= 0:
        raise ValueError(
            f"window {window} s, step {step} s, clip {seconds} s: "
            "expected a window of at least 8 s, a multiple of 4 s, no longer than a clip, and a positive step"
        )
    if int(subjects) != subjects or int(clips) != clips:
        raise ValueError(f"subjects is {subjects} and clips {clips}; expected whole numbers")
    options = dict(
        subjects=int(subjects),
        clips=int(clips),
        seconds=float(seconds),
        window=float(window),
        step=float(step),
        seed=int(seed),
    )

    def make():
        return _extract(**options)

    data = cached("simulated", options, [], make) if cache else make()
    study = {k: options[k] for k in ("subjects", "clips", "seconds", "seed")}
    return dataclasses.replace(data, recording=lambda subject: _recording(subject, **study))


def _recording(subject, **study):
    names = [f"P{s + 1}" for s in range(study["subjects"])]
    if subject not in names:
        raise ValueError(f"simulated: no subject {subject!r}; expected one of {names}")
    return Recording(_Study(**study).signals(names.index(subject)), RATES, UNITS, {"face": ACTION_UNITS})


class _Study:
    """Everything that is drawn at random, from one seed."""

    def __init__(self, subjects, clips, seconds, seed):
        self.seconds, self.seed = seconds, seed
        rng = np.random.default_rng((seed, 1))
        # clips fill the valence-arousal plane evenly, so that a few of them hold the whole range
        angle = 2 * np.pi * (np.arange(clips) + rng.uniform(0, 1)) / clips
        mixed = np.arange(clips) % 3 == 2
        radius = np.where(np.arange(clips) % 2 & ~mixed, 1.0, 1.6)
        one = radius[:, None] * np.c_[np.cos(angle), np.sin(angle)]
        self.clips = np.stack([one, np.where(mixed[:, None], -one, one)], 1)  # (clips, its two sides, 2)
        self.felt, self.ratings = _rate(np.random.default_rng((seed, 2)), self.clips, subjects)  # (subjects, clips, 8)
        # a moment every 6 s or so, the same for all who watch the clip
        self.moments = []
        for _ in range(clips):
            gaps = rng.uniform(4, 8, size=int(seconds // 4) + 1)
            times = rng.uniform(0, 4) + np.cumsum(gaps)
            self.moments.append(times[times < seconds - 2])
        strong = np.maximum(self.felt - 1, 0) ** 2 + 0.05  # what is felt strongly is shown more often
        self.shown = [
            [_draw(rng, strong[s, c], len(self.moments[c])) for c in range(clips)] for s in range(subjects)
        ]  # [subject][clip] -> emotion of each moment

    def signals(self, subject):
        """Raw signals of one subject over all clips, one after the other: modality -> (samples, channels)."""
        import neurokit2 as nk

        rng = np.random.default_rng((self.seed, 3, subject))
        total = self.seconds * len(self.clips)
        t = {m: np.arange(round(total * rate)) / rate for m, rate in RATES.items()}
        arousal_now = np.zeros_like(t["temp"])
        drift = {m: _drift(rng, t[m], len(ACTION_UNITS)) for m in ("temp", "eda", "face")}
        heart, skin, *expressive = np.exp(rng.normal(0, GAIN, 2 + len(ACTION_UNITS)))
        rate = 68 + rng.normal(0, 6) + DRIFT["heart"] * drift["temp"][:, 0]
        eda = (2 + rng.uniform(0, 4)) * np.exp(DRIFT["eda"] * drift["eda"][:, 0])
        face = rng.normal(0, 0.25, (len(t["face"]), len(ACTION_UNITS))) + DRIFT["face"] * drift["face"]
        response = (
            nk.eda_simulate(duration=16, sampling_rate=int(RATES["eda"]), scr_number=1, noise=0, random_state=1) - 1
        )
        response = response[: np.argmax(response) + round(4 * RATES["eda"])]
        peak = np.argmax(response)
        for c, moments in enumerate(self.moments):
            begin, mood = c * self.seconds, (self.felt[subject, c] - 1) @ _COORDINATES / 8
            inside = (t["temp"] >= begin) & (t["temp"] < begin + self.seconds)
            arousal_now[inside] = mood[1]
            rate[inside] += 10 * heart * (mood[1] + 0.5 * mood[0])
            for time, emotion in zip(begin + moments, self.shown[subject][c], strict=True):
                valence, arousal = _COORDINATES[emotion]
                shown = np.abs(t["face"] - time) < 1.25
                face[shown] += expressive * _FACE[emotion] * rng.uniform(0.7, 1.3)
                rate += 12 * heart * (arousal + 0.5 * valence) * np.exp(-0.5 * ((t["temp"] - time - LAG) / 1.2) ** 2)
                first = round((time + LAG) * RATES["eda"]) - peak
                stop = min(first + len(response), len(eda))
                here = slice(max(first, 0), max(first, stop))  # none of it where the last clip ends before
                size = skin * rng.uniform(0.8, 1.2) * 0.4 * np.exp(1.2 * arousal)
                eda[here] += size * response[here.start - first : here.stop - first]
        warmth = 33 + rng.normal(0, 0.7) + DRIFT["temp"] * drift["temp"][:, 1]
        warmth -= np.cumsum(arousal_now - arousal_now.mean()) / RATES["temp"] * 0.004
        # one beat a second from NeuroKit2, read at the speed of this heart
        beats = np.cumsum(np.interp(t["bvp"], t["temp"], rate)) / RATES["bvp"] / 60
        steady = nk.ppg_simulate(
            duration=int(np.ceil(beats[-1])) + 2,
            sampling_rate=64,
            heart_rate=60,
            ibi_randomness=0.03,
            frequency_modulation=0.01,
            motion_amplitude=0.02,
            powerline_amplitude=0,
            random_state=int(rng.integers(2**31)),
        )
        bvp = np.interp(beats, np.arange(len(steady)) / 64, steady) + rng.normal(0, 0.02, len(beats))
        eda = eda + rng.normal(0, 0.01, len(eda))
        warmth = warmth + rng.normal(0, 0.01, len(warmth))
        return {"bvp": bvp[:, None], "eda": eda[:, None], "temp": warmth[:, None], "face": face}

    def coupling(self, clip, starts, tokens):
        """Body token x face token shares of the moments in each window, (windows, tokens, tokens)."""
        result = np.zeros((len(starts), tokens, tokens))
        for w, start in enumerate(starts):
            for time in self.moments[clip] - start:
                result[w] += np.outer(_share(time + LAG, 1.2, tokens), _share(time, 0.7, tokens))
            result[w] = result[w] / result[w].sum() if result[w].sum() > 1e-6 else 1 / tokens**2
        return result


def label_correlation(clips: np.ndarray, seed: int = 0, people: int = 20000) -> np.ndarray:
    """Pearson correlation of the distributions of very many people who see these clips, shape (8, 8)."""
    ratings = _rate(np.random.default_rng((seed, 4)), clips, people)[1].reshape(-1, len(EMOTIONS))
    return np.corrcoef(ratings / ratings.sum(1, keepdims=True), rowvar=False)


def _rate(rng, clips, people):
    """What is felt, and how it is rated from 1 to 5, (people, clips, 8) each.

    An emotion is felt as the nearer of a clip's two sides asks for. Rating adds the person's style, slips and rounding.
    """
    sides = clips + rng.normal(0, FELT, (people, len(clips), 1, 2))
    match = (sides @ _COORDINATES.T).max(2)
    match += rng.normal(0, OWN, match.shape)
    trait = rng.normal(0, TRAIT, (people, 1, len(EMOTIONS)))
    stretch = np.exp(rng.normal(0, STRETCH, (people, 1, 1)))
    rated = stretch * match + trait + rng.normal(0, SLIP, match.shape)
    return 2.2 + SCALE * match, np.clip(np.round(2.2 + SCALE * rated), 1, 5)


def _drift(rng, times, count):
    """Slow curves of mean 0 and SD 1, splines through normal values every DRIFT_TIME seconds, (times, count)."""
    from scipy.interpolate import CubicSpline

    knots = np.arange(times[0] - 2 * DRIFT_TIME, times[-1] + 3 * DRIFT_TIME, DRIFT_TIME)
    x = CubicSpline(knots, rng.normal(size=(len(knots), count)))(times)
    return (x - x.mean(0)) / x.std(0)


def _draw(rng, weights, count):
    return rng.choice(len(weights), size=count, p=weights / weights.sum())


def _share(time, width, tokens):
    """How much of a bump at `time` (s, from the window's start) falls into each token of LAG seconds."""
    centre = LAG * (np.arange(tokens) + 0.5)
    grid = centre[:, None] + LAG * (np.arange(40) + 0.5) / 40 - LAG / 2
    return np.exp(-0.5 * ((grid - time) / width) ** 2).mean(1)


def _extract(subjects, clips, seconds, window, step, seed):
    study = _Study(subjects, clips, seconds, seed)
    tokens = round(window / LAG)
    within = features.window_starts(0, seconds, window, step)
    starts = (seconds * np.arange(clips)[:, None] + within).ravel()
    cut = features.Tokens.of(starts, window, tokens)
    kinds = {"bvp": features.pulse, "eda": features.electrodermal, "temp": features.temperature, "face": _action_units}
    values: dict[str, list] = {m: [] for m in kinds}
    there: dict[str, list] = {m: [] for m in kinds}
    names = {}
    for s in range(subjects):
        for m, raw in study.signals(s).items():
            feature = kinds[m](raw, RATES[m], cut)
            values[m].append(feature.values)
            there[m].append(feature.mask)
            names[m] = feature.names
    who = np.repeat([f"P{s + 1}" for s in range(subjects)], len(starts))
    clip = np.tile(np.repeat([f"clip {c + 1}" for c in range(clips)], len(within)), subjects)
    ratings = np.repeat(study.ratings, len(within), axis=1).reshape(-1, len(EMOTIONS))
    coupling = np.concatenate([study.coupling(c, within, tokens) for c in range(clips)])
    masks = {m: np.concatenate(x) for m, x in there.items()}
    segments = tuple(f"{k * LAG:g}-{(k + 1) * LAG:g} s" for k in range(tokens))
    return EmotionData(
        name="simulated",
        signals={m: features.normalise_by_subject(np.concatenate(x), masks[m], who) for m, x in values.items()},
        masks=masks,
        distributions=ratings_to_distributions(ratings, "simulated", list(EMOTIONS)),
        emotions=tuple(EMOTIONS),
        subjects=who,
        trials=clip,
        conditions=clip,
        starts=np.tile(starts, subjects),
        window=window,
        roles={PHYSIOLOGICAL: ("bvp", "eda", "temp"), BEHAVIORAL: ("face",)},
        query="eda",
        features=names,
        tokens={m: segments for m in kinds},
        truth={
            "label_correlation": label_correlation(study.clips, seed),
            "coupling": np.tile(coupling, (subjects, 1, 1)).astype(np.float32),
        },
    )


def _action_units(signal, rate, tokens):
    x = tokens.cut(signal, rate).mean(2)
    return features.Features(x, np.ones(x.shape[:2], bool), ACTION_UNITS)
