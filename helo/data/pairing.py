"""A control task: the emotion lies in the PAIRING of body and face, and in neither alone.

Each of two streams shows one of four signs, all equally likely whatever the emotion; the strongest emotion is the sum
of both signs modulo 4. A model of one stream, or of the two streams' answers (late fusion), can do no better than the
mean.
"""

from __future__ import annotations

import numpy as np

from helo.data.emotion_data import BEHAVIORAL, PHYSIOLOGICAL, EmotionData

EMOTIONS = ("happy", "calm", "sad", "angry")


def load(
    subjects: int = 8, windows: int = 100, tokens: int = 4, noise: float = 0.5, strength: float = 0.7, seed: int = 0
) -> EmotionData:
    """Simulate the task.

    Args:
        subjects: number of people, at least 2.
        windows: windows of each; every window is a trial of its own.
        tokens: tokens of each stream, at least 2; all show the stream's sign.
        noise: standard deviation added to every feature.
        strength: share of the strongest emotion; the rest is divided equally. 1/4 to 1.
        seed: of everything that is random.

    Raises:
        ValueError: a number out of range.
    """
    if subjects < 2 or windows < 1 or tokens < 2 or noise < 0 or not 0.25 <= strength <= 1:
        raise ValueError(
            f"subjects {subjects}, windows {windows}, tokens {tokens}, noise {noise}, strength {strength}: expected at "
            "least 2 subjects, 1 window, 2 tokens, noise of at least 0 and a strength from 0.25 to 1"
        )
    rng = np.random.default_rng(seed)
    n = subjects * windows
    body, face = rng.integers(0, 4, (2, n))
    strongest = (body + face) % 4

    def shown(sign):
        return np.eye(4)[sign][:, None] + rng.normal(0, noise, (n, tokens, 4))

    rest = (1 - strength) / 3
    return EmotionData(
        name="pairing",
        signals={"body": shown(body), "face": shown(face)},
        distributions=rest + (strength - rest) * np.eye(4)[strongest],
        emotions=EMOTIONS,
        subjects=np.repeat([f"P{s + 1}" for s in range(subjects)], windows),
        trials=np.tile(np.arange(windows), subjects).astype(str),
        conditions=np.array(EMOTIONS)[strongest],
        roles={PHYSIOLOGICAL: ("body",), BEHAVIORAL: ("face",)},
    )
