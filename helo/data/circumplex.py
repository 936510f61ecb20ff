"""A control task whose labels have structure: emotions on a circle of valence and arousal, few windows, noisy ratings.

Russell, "A circumplex model of affect", Journal of Personality and Social Psychology 1980: emotions lie on a circle,
and neighbours are felt together. A window has a place on it, an angle; the body shows how aroused it is, the face how
pleasant, both with noise. The rating is a few votes drawn from the distribution around that angle, so that single
shares are mostly chance, and what is known of a neighbour says something of an emotion: a reason for label correlation
to help, if it can.
"""

from __future__ import annotations

import numpy as np

from helo.data.emotion_data import BEHAVIORAL, PHYSIOLOGICAL, EmotionData

#: in Russell's order, from pleasant over aroused, unpleasant and sleepy back; evenly placed here
EMOTIONS = (
    *("pleased", "happy", "delighted", "excited", "astonished", "aroused"),
    *("tense", "alarmed", "angry", "afraid", "annoyed", "distressed"),
    *("frustrated", "miserable", "sad", "gloomy", "depressed", "bored"),
    *("tired", "sleepy", "calm", "relaxed", "serene", "content"),
)


def load(
    subjects: int = 8,
    windows: int = 30,
    votes: int = 20,
    noise: float = 0.5,
    concentration: float = 4.0,
    tokens: int = 3,
    seed: int = 0,
) -> EmotionData:
    """Simulate the task.

    Args:
        subjects: number of people, at least 2.
        windows: windows of each; every window is a trial of its own.
        votes: votes that a rating is made of, at least 1; the fewer, the noisier.
        noise: standard deviation added to every feature.
        concentration: kappa; an emotion's share is proportional to exp(kappa cos(its angle - the window's)).
        tokens: tokens of each stream, at least 1.
        seed: of everything that is random.

    Returns:
        The data set; `truth["distributions"]` (n, L) are the shares that the votes were drawn from, and
        `truth["label_correlation"]` (L, L) is their Pearson correlation. A condition is the quadrant.

    Raises:
        ValueError: a number out of range.
    """
    if subjects < 2 or windows < 1 or votes < 1 or noise < 0 or concentration < 0 or tokens < 1:
        raise ValueError(
            f"subjects {subjects}, windows {windows}, votes {votes}, noise {noise}, concentration {concentration}, "
            f"tokens {tokens}: expected at least 2 subjects, 1 window, 1 vote, 1 token, and no negative number"
        )
    rng = np.random.default_rng(seed)
    n = subjects * windows
    angle = rng.uniform(0, 2 * np.pi, n)
    place = 2 * np.pi * np.arange(len(EMOTIONS)) / len(EMOTIONS)
    share = np.exp(concentration * np.cos(place - angle[:, None]))
    share /= share.sum(1, keepdims=True)
    maps = rng.normal(size=(2, 4))

    def shown(coordinate, how):
        return coordinate[:, None, None] * how + rng.normal(0, noise, (n, tokens, 4))

    return EmotionData(
        name="circumplex",
        signals={"body": shown(np.sin(angle), maps[0]), "face": shown(np.cos(angle), maps[1])},
        distributions=rng.multinomial(votes, share) / votes,
        emotions=EMOTIONS,
        subjects=np.repeat([f"P{s + 1}" for s in range(subjects)], windows),
        trials=np.tile(np.arange(windows), subjects).astype(str),
        conditions=np.array(["pleasant aroused", "unpleasant aroused", "unpleasant calm", "pleasant calm"])[
            (angle // (np.pi / 2)).astype(int)
        ],
        roles={PHYSIOLOGICAL: ("body",), BEHAVIORAL: ("face",)},
        truth={"distributions": share, "label_correlation": np.corrcoef(share.T)},
    )
