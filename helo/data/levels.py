"""Features of tracks that say something by their level: action units of a face, a gaze, a posture."""

from __future__ import annotations

import numpy as np

from helo.data.signals import Features, Tokens


def level(signal: np.ndarray, rate: float, tokens: Tokens) -> Features:
    """Mean and standard deviation of every channel, in its own unit.

    Args:
        signal: shape (samples, channels).
        rate: samples per second.
        tokens: where the tokens lie.

    Returns:
        Two features a channel, named "1 mean" and "1 SD".
    """
    cut = tokens.cut(signal, rate)
    values = np.stack([cut.mean(2), cut.std(2)], 3)  # (windows, tokens, channels, 2)
    names = tuple(f"{channel + 1} {what}" for channel in range(signal.shape[1]) for what in ("mean", "SD"))
    return Features(values.reshape(*tokens.starts.shape, -1), np.ones(tokens.starts.shape, bool), names)
