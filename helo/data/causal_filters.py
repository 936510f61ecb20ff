"""Filters that see no sample of the future, fed piece by piece: their answer does not depend on how it was cut.

Every number is computed sample after sample, or from the same samples in the same order, so that the bits are the same
whether a recording comes at once, in seconds, or in samples. A filter that sees the past alone is late:
`helo.data.causal` says by how much.
"""

from __future__ import annotations

import numpy as np
from scipy.signal import butter, sosfilt, sosfilt_zi


class Filter:
    """A one-sided Butterworth filter with its state: (samples, channels) in, as many out.

    Begins as if the first sample had always been there, so that a level that stands far from 0 makes no wave. What is
    NaN before that stays NaN.

    Args:
        order: of the filter; a band-pass has twice as many poles.
        bounds: cut-off frequencies in Hz: one, or the two of a band.
        kind: "lowpass", "highpass" or "bandpass".
        rate: samples per second.
    """

    def __init__(self, order: int, bounds: float | tuple[float, float], kind: str, rate: float):
        self._sos = butter(order, bounds, kind, fs=rate, output="sos")
        self._state: np.ndarray | None = None

    def __call__(self, x: np.ndarray) -> np.ndarray:
        before = 0 if self._state is not None else _first(np.isfinite(x).all(1))
        if before == len(x):
            return x
        if self._state is None:
            self._state = sosfilt_zi(self._sos)[:, :, None] * x[before]
        y, self._state = sosfilt(self._sos, x[before:], axis=0, zi=self._state)
        return np.concatenate([x[:before], y])


class Mean:
    """The mean of the last `width` samples, before the beginning 0: late by (width - 1) / 2 samples."""

    def __init__(self, width: int):
        self._width, self._last = width, np.zeros(width - 1)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        joined = np.concatenate([self._last, x])
        self._last = joined[len(x) :]
        total = joined[: len(x)].copy()
        for k in range(1, self._width):  # in this order for every sample, whatever piece it came in
            total += joined[k : k + len(x)]
        return total / self._width


class Delay:
    """The signal, `count` samples later; before its beginning 0."""

    def __init__(self, count: int):
        self._count, self._last = count, np.zeros(count)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        joined = np.concatenate([self._last, x])
        self._last = joined[len(joined) - self._count :]
        return joined[: len(x)]


class Fading:
    """The mean of the past, what is `seconds` old weighing 1/e: y_n = y_(n-1) + (x_n - y_(n-1)) / (seconds rate)."""

    def __init__(self, seconds: float, rate: float):
        weight = 1 / (seconds * rate)
        self._sos = np.array([[weight, 0, 0, 1, weight - 1, 0]])
        self._state: np.ndarray | None = None

    def __call__(self, x: np.ndarray) -> np.ndarray:
        before = 0 if self._state is not None else _first(np.isfinite(x))
        if before == len(x):
            return x
        if self._state is None:
            self._state = sosfilt_zi(self._sos) * x[before]
        y, self._state = sosfilt(self._sos, x[before:], zi=self._state)
        return np.concatenate([x[:before], y])


class Blocks:
    """Means of blocks of samples, so that the rate falls to about `target` Hz; unchanged below four times that.

    As `helo.data.signals` slows a signal down. A block that is not whole yet waits. Late by half a block.

    Attributes:
        rate: of what comes out, in Hz.
    """

    def __init__(self, rate: float, target: float = 4.0):
        block = int(rate // target)
        self._block = block if block >= 4 else 1
        self.rate = rate / self._block
        self._left: np.ndarray | None = None

    def __call__(self, x: np.ndarray) -> np.ndarray:
        if self._block == 1:
            return x
        joined = x if self._left is None else np.concatenate([self._left, x])
        whole = len(joined) // self._block
        self._left = joined[whole * self._block :].copy()
        cut = joined[: whole * self._block].reshape(whole, self._block, *x.shape[1:])
        total = cut[:, 0].copy()
        for k in range(1, self._block):
            total += cut[:, k]
        return total / self._block


class Kept:
    """The last samples of a signal, known by their number since its beginning.

    Args:
        most: how many are kept at least; None: all, for a recording that is there as a whole.
    """

    def __init__(self, most: int | None):
        self._most = most
        self._held: np.ndarray | None = None
        self._filled = self.first = 0  # `first`: number of the oldest that is kept

    @property
    def count(self) -> int:
        """Samples since the beginning."""
        return self.first + self._filled

    def push(self, x: np.ndarray) -> None:
        """Add samples (n, ...)."""
        if self._most is not None and len(x) > self._most:
            self.first, self._filled, x = self.count + len(x) - self._most, 0, x[-self._most :]
        if self._held is None:
            size = len(x) if self._most is None else 2 * self._most
            self._held = np.empty((max(1, size), *x.shape[1:]), x.dtype)
        if self._filled + len(x) > len(self._held):
            self._make_room(self._held, len(x))
        self._held[self._filled : self._filled + len(x)] = x
        self._filled += len(x)

    def _make_room(self, held: np.ndarray, coming: int) -> None:
        if self._most is None:
            self._held = np.empty((2 * (self._filled + coming), *held.shape[1:]), held.dtype)
            self._held[: self._filled] = held[: self._filled]
            return
        keep = min(self._filled, self._most, len(held) - coming)
        held[:keep] = held[self._filled - keep : self._filled].copy()
        self.first += self._filled - keep
        self._filled = keep

    def cut(self, first: int, stop: int) -> np.ndarray:
        """Samples `first` to `stop`; what is not there, or no longer, is the nearest that is.

        Raises:
            ValueError: nothing has been pushed.
        """
        if not self._filled or self._held is None:
            raise ValueError("no sample has come yet")
        where = np.arange(first, stop).clip(self.first, self.count - 1) - self.first
        return self._held[where]


def _first(there):
    """Number of the first True, or the length."""
    return int(np.argmax(there)) if there.any() else len(there)
