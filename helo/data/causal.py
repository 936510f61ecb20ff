"""Features of a window from samples up to its end only, from signals that come piece by piece.

One object a signal: `push` takes samples as they come, `window` gives the features of the window that ends at a time.
What it gives does not depend on how the samples were cut into pieces, bit for bit; nor on what came after the window's
end. A whole recording goes through the same objects (`helo.data.causal_windows`). The features are those of
`helo.data.signals`, by name and meaning, and differ in this:

| signal | what sees the past alone | how late it is |
|---|---|---|
| pulse | band-pass 0.5-8 Hz, first order (a steeper one bends the wave) | 0.07 s at 1.2 Hz |
| | beats (`helo.data.causal_beats`) | known half a second after the peak |
| | its size's sway: band-passes 0.6-3 and 0.06-0.45 Hz, second order | 0.2 s, and 1 s at 0.25 Hz |
| skin conductance | tonic and phasic: 0.05 Hz, second order | tonic 4.5 s, phasic 1.3 s at 0.1 Hz |
| temperature | blocks of samples, about 4 Hz | half a block |
| movement | band-passes 0.1-0.5, 0.5-3, 3-10 Hz, second order | 1 s, 0.15 s, 0.05 s in their middle |
| any other, as the action units of a face | the mean of a token's samples | not |

The delays are the filters' group delays.

A sample that is NaN has been lost: filters go on with the last that was there, and begin with the first that is. A
token that lacks more than LOST of its samples is masked.
"""

from __future__ import annotations

import numpy as np

from helo.data.causal_beats import Beats
from helo.data.causal_filters import Blocks, Fading, Filter, Kept
from helo.data.signals import rise_per_minute

#: share of a token's samples that may be lost
LOST = 0.1
SWAY = "pulse sway (1/min)"
_EPS = 1e-6
#: of movement: bands in Hz, and quantiles of its seconds
_BANDS = ((0.1, 0.5), (0.5, 3.0), (3.0, 10.0))
_QUANTILES = ((0.2, "quiet"), (0.5, "usual"), (0.9, "moving"))


class Signal:
    """One signal on its way; a subclass says which features its tokens have.

    Args:
        rate: samples per second.
        names: of the features.
        keep: seconds that are kept, at least those of a window; None: all.
    """

    #: names of the features where they are always the same
    NAMES: tuple[str, ...] = ()

    def __init__(self, rate: float, names: tuple[str, ...], keep: float | None = None):
        if self.NAMES and names != self.NAMES:
            raise ValueError(f"features are {list(names)}; {type(self).__name__} has {list(self.NAMES)}")
        self.rate, self.names, self.keep = rate, tuple(names), keep
        self._last: np.ndarray | None = None
        self._there = self._kept(rate)

    def _kept(self, rate: float) -> Kept:
        return Kept(None if self.keep is None else int(self.keep * rate) + 2)

    @property
    def count(self) -> int:
        """Samples that have come since the beginning."""
        return self._there.count

    def push(self, samples: np.ndarray) -> None:
        """Add samples, shape (n, channels); NaN where one was lost."""
        samples = np.asarray(samples, np.float64)
        if not len(samples):
            return
        there = np.isfinite(samples).all(1)
        if not there.all():
            where = np.maximum.accumulate(np.where(there, np.arange(len(there)), -1))
            before = np.full(samples.shape[1], np.nan) if self._last is None else self._last
            samples = np.where((where >= 0)[:, None], samples[where], before)
        if np.isfinite(samples[-1]).all():
            self._last = samples[-1]
        self._there.push(there)
        self.filter(samples)

    def filter(self, x: np.ndarray) -> None:
        """Pass samples without gaps through the filters, shape (n, channels)."""
        raise NotImplementedError

    def features(self, end: float, tokens: int, length: float) -> tuple[np.ndarray, np.ndarray]:
        """Features (tokens, features) of the window that ends at `end`, and which tokens have them (tokens,)."""
        raise NotImplementedError

    def window(self, end: float, tokens: int, length: float) -> tuple[np.ndarray, np.ndarray]:
        """Features and mask of `tokens` tokens of `length` seconds, the last of which ends at `end`.

        Returns:
            Features, shape (tokens, features), 0 where masked, and the mask, shape (tokens,).
        """
        masked = np.zeros((tokens, len(self.names))), np.zeros(tokens, bool)
        if not self.count:
            return masked
        there = self.seen(end, tokens, length) >= 1 - LOST
        if not there.any():
            return masked
        values, have = self.features(end, tokens, length)
        mask = there & have & np.isfinite(values).all(1)
        return np.where(mask[:, None], values, 0), mask

    def seen(self, end: float, tokens: int, length: float) -> np.ndarray:
        """Share of each token's samples that have come and are still kept, shape (tokens,)."""
        if not self.count:
            return np.zeros(tokens)
        where = numbers(end, tokens, length, self.rate)
        there = np.stack([self._there.cut(row[0], row[-1] + 1) for row in where])
        return (there & (where >= self._there.first) & (where < self.count)).mean(1)

    def _cut(self, kept: Kept, rate: float, end: float, tokens: int, length: float) -> np.ndarray:
        return np.stack([kept.cut(row[0], row[-1] + 1) for row in numbers(end, tokens, length, rate)])


def numbers(end: float, tokens: int, length: float, rate: float) -> np.ndarray:
    """Numbers of the samples of each token, shape (tokens, samples): those that lie before the token's end.

    Sample i is at i / rate seconds; the first ones are negative where the window begins before the recording.
    """
    count = max(1, int(length * rate + _EPS))
    ends = np.floor((end - length * np.arange(tokens - 1, -1, -1)) * rate + _EPS).astype(int)
    return ends[:, None] + np.arange(-count, 0)


class Pulse(Signal):
    """`helo.data.signals.pulse`, or `breathing_pulse` where the names have its sway."""

    OWN = ("heart rate (bpm)", "SDNN (log s)", "RMSSD (log s)", "pulse size (log SD)")

    def __init__(self, rate: float, names: tuple[str, ...], keep: float | None = None):
        super().__init__(rate, names, keep)
        if self.names not in (self.OWN, (*self.OWN, SWAY)):
            raise ValueError(f"features are {list(names)}; a pulse has {list(self.OWN)}, and may have {SWAY!r}")
        self._clean, self._wave = Filter(1, (0.5, 8.0), "bandpass", rate), self._kept(rate)
        self._beats = Beats(rate, keep)
        if SWAY in self.names:
            self._band, self._slower = Filter(2, (0.6, 3.0), "bandpass", rate), Blocks(rate)
            self._level = Fading(60.0, self._slower.rate)
            self._sway = Filter(2, (0.06, 0.45), "bandpass", self._slower.rate)
            self._breath = self._kept(self._slower.rate)

    def filter(self, x: np.ndarray) -> None:
        clean = self._clean(x)[:, 0]
        self._wave.push(clean)
        self._beats.push(clean)
        if SWAY in self.names:
            size = self._slower(np.abs(self._band(clean[:, None]))[:, 0])
            if len(size):
                self._breath.push(self._sway(np.log(size + 1e-3 * self._level(size) + 1e-9)[:, None]))

    def features(self, end: float, tokens: int, length: float) -> tuple[np.ndarray, np.ndarray]:
        where = numbers(end, tokens, length, self.rate)
        values, mask = np.zeros((tokens, len(self.names))), np.zeros(tokens, bool)
        at, interval, plausible = self._beats.known(int(where[-1, -1]) + 1)
        for t, row in enumerate(where):
            here = slice(*np.searchsorted(at, (row[0], row[-1] + 1)))
            good, all_x = plausible[here], interval[here]
            x, successive = all_x[good], np.diff(all_x)[good[1:] & good[:-1]]
            if len(successive):
                values[t, :3] = (
                    60 / x.mean(),
                    np.log(x.std() + 1e-3),
                    np.log(np.sqrt((successive**2).mean()) + 1e-3),
                )
                mask[t] = True
        values[:, 3] = np.log(self._cut(self._wave, self.rate, end, tokens, length).std(1) + 1e-6)
        if SWAY in self.names and self._breath.count:
            values[:, 4] = _sway(self._cut(self._breath, self._slower.rate, end, tokens, length), self._slower.rate)
        return values, mask


class SkinConductance(Signal):
    """`helo.data.signals.electrodermal`."""

    NAMES = ("level (log uS)", "slope (uS/min)", "phasic SD (log uS)", "phasic peak (uS)", "total rise (log uS)")

    def __init__(self, rate: float, names: tuple[str, ...], keep: float | None = None):
        super().__init__(rate, names, keep)
        self._slower = Blocks(rate)
        slow = self._slower.rate
        self._low, self._high = Filter(2, 0.05, "lowpass", slow), Filter(2, 0.05, "highpass", slow)
        self._all = self._kept(slow)

    def filter(self, x: np.ndarray) -> None:
        slow = self._slower(x)[:, :1]
        if len(slow):
            self._all.push(np.concatenate([slow, self._low(slow), self._high(slow)], 1))

    def features(self, end: float, tokens: int, length: float) -> tuple[np.ndarray, np.ndarray]:
        if not self._all.count:
            return np.zeros((tokens, 5)), np.zeros(tokens, bool)
        raw, tonic, phasic = np.moveaxis(self._cut(self._all, self._slower.rate, end, tokens, length), 2, 0).copy()
        slope = 60 * (tonic[:, -1] - tonic[:, 0]) / length
        rise = np.maximum(np.diff(raw, axis=1), 0).sum(1)
        values = [np.log(np.maximum(tonic.mean(1), 1e-3)), slope, np.log(phasic.std(1) + 1e-3), phasic.max(1)]
        return np.stack([*values, np.log(rise + 1e-3)], 1), np.ones(tokens, bool)


class Temperature(Signal):
    """`helo.data.signals.temperature`."""

    NAMES = ("mean (degC)", "slope (degC/min)")

    def __init__(self, rate: float, names: tuple[str, ...], keep: float | None = None):
        super().__init__(rate, names, keep)
        self._slower = Blocks(rate)
        self._all = self._kept(self._slower.rate)

    def filter(self, x: np.ndarray) -> None:
        slow = self._slower(x)[:, 0]
        if len(slow):
            self._all.push(slow)

    def features(self, end: float, tokens: int, length: float) -> tuple[np.ndarray, np.ndarray]:
        if not self._all.count:
            return np.zeros((tokens, 2)), np.zeros(tokens, bool)
        t = self._cut(self._all, self._slower.rate, end, tokens, length)
        return np.stack([t.mean(1), rise_per_minute(t, self._slower.rate)], 1), np.ones(tokens, bool)


class Movement(Signal):
    """`helo.data.signals.movement`, of three-axis acceleration in g.

    Raises:
        ValueError: fewer than 10 samples a second.
    """

    NAMES = (
        "movement (log g)",
        *(f"{low:g}-{high:g} Hz {which} (log g)" for low, high in _BANDS for _, which in _QUANTILES),
        "sway (1/min)",
    )

    def __init__(self, rate: float, names: tuple[str, ...], keep: float | None = None):
        super().__init__(rate, names, keep)
        if rate < 10:
            raise ValueError(f"acceleration is sampled at {rate:g} Hz; expected at least 10 Hz to see movement")
        self._slower = Blocks(rate, 32)
        slow = self._slower.rate
        self._bands = [Filter(2, (low, min(high, 0.45 * slow)), "bandpass", slow) for low, high in _BANDS]
        self._all = self._kept(slow)

    def filter(self, x: np.ndarray) -> None:
        slow = self._slower(x)
        if len(slow):
            self._all.push(np.concatenate([slow, *(band(slow) for band in self._bands)], 1))

    def features(self, end: float, tokens: int, length: float) -> tuple[np.ndarray, np.ndarray]:
        if not self._all.count:
            return np.zeros((tokens, len(self.names))), np.zeros(tokens, bool)
        rate = self._slower.rate
        raw, *bands = np.split(self._cut(self._all, rate, end, tokens, length), 4, 2)
        values = [np.log(np.linalg.norm(raw.std(1), axis=-1) + 1e-3)]
        second = round(rate)
        whole = raw.shape[1] // second * second
        for band in bands:
            power = (band[:, :whole] ** 2).sum(2)
            seconds = np.log(np.sqrt(power.reshape(tokens, -1, second).mean(2)) + 1e-4)
            values += [np.quantile(seconds, quantile, axis=1) for quantile, _ in _QUANTILES]
        return np.stack([*values, _sway(bands[0], rate)], 1), np.ones(tokens, bool)


class Average(Signal):
    """The mean of each channel over a token: of a stream of features, as action units of a face are."""

    def __init__(self, rate: float, names: tuple[str, ...], keep: float | None = None):
        super().__init__(rate, names, keep)
        self._all = self._kept(rate)

    def filter(self, x: np.ndarray) -> None:
        if x.shape[1] != len(self.names):
            raise ValueError(f"{x.shape[1]} channels for the features {list(self.names)}; expected a channel for each")
        self._all.push(x)

    def features(self, end: float, tokens: int, length: float) -> tuple[np.ndarray, np.ndarray]:
        return self._cut(self._all, self.rate, end, tokens, length).mean(1), np.ones(tokens, bool)


#: modality -> what takes its samples; another is an `Average`
KINDS: dict[str, type[Signal]] = {"bvp": Pulse, "eda": SkinConductance, "temp": Temperature, "acc": Movement}


def _sway(x, rate):
    """Frequency per minute of what is in tokens (tokens, samples, axes): see `helo.data.signals`."""
    speed, size = ((y**2).sum(2) for y in (np.gradient(x, 1 / rate, axis=1), x))
    return 60 * np.sqrt(np.median(speed, 1) / (np.median(size, 1) + 1e-12)) / (2 * np.pi)
