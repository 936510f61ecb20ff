"""Heart and breathing rates of tokens, from the times of beats and breaths."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from helo.data.signals import Tokens


def beat_intervals(
    beats: np.ndarray, tokens: Tokens, shortest: float = 0.33, longest: float = 1.5, jump: float = 0.25
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Heart rate, SD and successive differences of the plausible beat-to-beat intervals that end in each token.

    RMSSD = sqrt(mean (x_(i+1) - x_i)^2) over intervals that share a beat: one that was removed is not bridged.
    """
    interval, end = np.diff(beats), beats[1:]
    plausible = (interval > shortest) & (interval < longest)
    if plausible.any():
        around = np.array([np.median(interval[max(0, i - 5) : i + 6]) for i in range(len(interval))])
        plausible &= np.abs(interval / around - 1) < jump
    names = ("heart rate (bpm)", "SDNN (log s)", "RMSSD (log s)")
    values, mask = np.zeros((*tokens.starts.shape, 3)), np.zeros(tokens.starts.shape, bool)
    first = np.searchsorted(end, tokens.starts)
    last = np.searchsorted(end, tokens.starts + tokens.length)
    for w, t in np.ndindex(*tokens.starts.shape):
        here = slice(first[w, t], last[w, t])
        good = plausible[here]
        x, successive = interval[here][good], np.diff(interval[here])[good[1:] & good[:-1]]
        if len(successive):
            values[w, t] = 60 / x.mean(), np.log(x.std() + 1e-3), np.log(np.sqrt((successive**2).mean()) + 1e-3)
            mask[w, t] = True
    return values, mask, names


def breathing_rate(
    peaks: np.ndarray, tokens: Tokens, shortest: float = 1.0, longest: float = 20.0
) -> tuple[np.ndarray, np.ndarray]:
    """Breaths in a token, in parts too, over the time they take; masked where plausible ones fill less than half."""
    lasts = np.diff(peaks)
    plausible = (lasts > shortest) & (lasts < longest)
    if not plausible.any():
        return np.zeros(tokens.starts.shape), np.zeros(tokens.starts.shape, bool)
    begins, ends = tokens.starts, tokens.starts + tokens.length
    counts, seconds = (np.concatenate([[0.0], np.cumsum(x * plausible)]) for x in (np.ones(len(lasts)), lasts))
    many, filled = (np.interp(ends, peaks, x) - np.interp(begins, peaks, x) for x in (counts, seconds))
    return 60 * many / np.maximum(filled, 1e-9), filled >= tokens.length / 2
