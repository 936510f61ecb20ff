"""A control task: the emotion lies in WHICH moment of the body belongs to WHICH moment of the face.

A window has a few moments. Body and face both show what moment it is, by a random vector of its own, and each shows one
of four signs. A moment's emotion is the sum of its two signs modulo 4, and a window's distribution is the share of each
emotion over its moments. The body's moments stand in random order, so that a model must find out which token belongs
to which: what a transport plan is for. Neither stream alone says anything, and the signs of both without their matching
say little.
"""

from __future__ import annotations

import numpy as np

from helo.data.emotion_data import BEHAVIORAL, PHYSIOLOGICAL, EmotionData
from helo.data.pairing import EMOTIONS

#: numbers of the vector that tells a moment from others
IDENTITY = 8
#: least share of an emotion, so that KL is finite
FLOOR = 0.05


def load(
    subjects: int = 12,
    windows: int = 300,
    moments: int = 4,
    noise: float = 0.2,
    missing: bool = False,
    lag: bool = False,
    rule: str = "sum",
    seed: int = 0,
) -> EmotionData:
    """Simulate the task.

    Args:
        subjects: number of people, at least 2.
        windows: windows of each; every window is a trial of its own.
        moments: moments of a window, one token of each stream; at least 2, with `missing` at least 3.
        noise: standard deviation added to every feature.
        missing: one moment of every window, drawn at random, is not there in one of the streams; it does not count.
        lag: the body follows the face by an unknown number of tokens, round the window's end, instead of standing in
            random order: positions mislead, neighbours stay neighbours.
        rule: what a moment's emotion is: the "sum" of its signs (four each) modulo 4, of which neither stream alone
            knows anything; or the "pair" of its signs (two each), where the signs of one stream tell half.
        seed: of everything that is random.

    Returns:
        The data set; `truth["coupling"]` (n, moments, moments) is the body x face token mass of the true matching, the
        same for every moment that both show, summing to 1. A condition is the number of moments of each emotion.

    Raises:
        ValueError: a number out of range.
    """
    if subjects < 2 or windows < 1 or moments < 2 + missing or noise < 0 or rule not in ("sum", "pair"):
        raise ValueError(
            f"subjects {subjects}, windows {windows}, moments {moments}, noise {noise}, rule {rule!r}: expected at "
            f"least 2 subjects, 1 window, {2 + missing} moments, noise of at least 0 and the rule 'sum' or 'pair'"
        )
    rng = np.random.default_rng(seed)
    n, signs = subjects * windows, 4 if rule == "sum" else 2
    body, face = rng.integers(0, signs, (2, n, moments))
    emotion = (body + face) % 4 if rule == "sum" else 2 * body + face
    identity = rng.normal(size=(n, moments, IDENTITY))
    order, masks, matched = _matching(rng, n, moments, missing, lag)
    counts = (np.eye(4)[emotion] * matched.any(1)[:, :, None]).sum(1).astype(int)

    def shown(sign):
        x = np.concatenate([identity, np.eye(signs)[sign]], 2)
        return x + rng.normal(0, noise, x.shape)

    return EmotionData(
        name="matching",
        signals={"body": np.take_along_axis(shown(body), order[..., None], 1), "face": shown(face)},
        masks=masks,
        distributions=FLOOR + (1 - 4 * FLOOR) * counts / counts.sum(1, keepdims=True),
        emotions=EMOTIONS,
        subjects=np.repeat([f"P{s + 1}" for s in range(subjects)], windows),
        trials=np.tile(np.arange(windows), subjects).astype(str),
        conditions=np.array([" ".join(map(str, row)) for row in counts]),
        roles={PHYSIOLOGICAL: ("body",), BEHAVIORAL: ("face",)},
        truth={"coupling": (matched / matched.sum((1, 2), keepdims=True)).astype(np.float32)},
    )


def _matching(rng, n, moments, missing, lag):
    """The moment that each body token shows (face token j shows moment j), masks, and which tokens belong together."""
    order = rng.random((n, moments)).argsort(1)
    if lag:
        order = (np.arange(moments) - rng.integers(0, moments, (n, 1))) % moments
    matched = np.eye(moments, dtype=bool)[order]  # (n, body tokens, face tokens)
    masks = {m: np.ones((n, moments), bool) for m in ("body", "face")}
    if missing:
        gone, side = rng.integers(0, (moments, 2), (n, 2)).T
        masks["body"][order == gone[:, None]] = False
        masks["body"][side == 1] = True
        masks["face"][np.flatnonzero(side == 1), gone[side == 1]] = False
        matched &= masks["body"][:, :, None] & masks["face"][:, None]
    return order, masks, matched
