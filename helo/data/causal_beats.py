"""Beats of a pulse wave as they come, without what comes after them."""

from __future__ import annotations

from collections import deque

import numpy as np

from helo.data.causal_filters import Delay, Fading, Kept, Mean


class Beats:
    """Elgendi's detector of systolic peaks, run forward.

    The band-passed wave's positive part is squared. Where its mean over PEAK seconds (a systolic peak) exceeds that
    over BEAT seconds (a beat) by OFFSET of the signal's mean, there is a block of interest; the wave's highest sample
    in it is the beat, if it lies REFRACTORY seconds after the last. As published, both means are centred and the
    signal's mean is the whole recording's; here the shorter one waits for the longer, so that a beat is known BEAT / 2
    seconds after its block ends, half a second after the peak, and the signal's mean fades over FADING seconds.

    An interval between two beats is plausible by itself (SHORTEST to LONGEST seconds) and within JUMP of the median of
    the last AROUND such intervals, of which it is one: of those before it only, other than in `helo.data.signals`.

    Source: Elgendi, Norton, Brearley, Abbott and Schuurmans, "Systolic Peak Detection in Acceleration
    Photoplethysmograms Measured from Emergency Responders in Tropical Conditions", PLoS ONE 8(10): e76585, 2013.

    Args:
        rate: samples per second.
        keep: seconds of beats that are kept; None: all.
    """

    PEAK, BEAT, OFFSET, REFRACTORY, FADING = 0.111, 0.667, 0.02, 0.3, 10.0
    SHORTEST, LONGEST, JUMP, AROUND = 0.33, 1.5, 0.25, 11
    #: a block longer than so many seconds is looked at from its end; seconds that are taken at once
    BLOCK, PIECE = 2.0, 10.0

    def __init__(self, rate: float, keep: float | None = None):
        peak, beat = (max(1, round(seconds * rate)) for seconds in (self.PEAK, self.BEAT))
        self._rate, self._keep, self._peak = rate, keep, peak
        self._short, self._long = Mean(peak), Mean(beat)
        self._wait, self._level = Delay((beat - peak) // 2), Fading(self.FADING, rate)
        self._late = (beat - peak) // 2 + (peak - 1) // 2
        self._wave = Kept(round((self.BLOCK + self.BEAT + self.PIECE) * rate) + 1)
        self._seen, self._block, self._last = 0, -1, -(10**9)
        self._around: deque[float] = deque(maxlen=self.AROUND)
        #: sample of the beat, sample at which it is known, interval before it in seconds, whether that is plausible
        self._found: deque[tuple[int, int, float, bool]] = deque()

    def push(self, wave: np.ndarray) -> None:
        """Add samples of the band-passed wave, shape (n,)."""
        size = max(1, int(self.PIECE * self._rate))
        for start in range(0, len(wave), size):  # so that the wave of a block is still kept when it ends
            self._push(wave[start : start + size])

    def _push(self, wave):
        self._wave.push(wave)
        power = np.maximum(wave, 0) ** 2
        high = self._wait(self._short(power)) > self._long(power) + self.OFFSET * self._level(power)
        edges = np.flatnonzero(high != np.concatenate([[self._block >= 0], high[:-1]]))
        for n in (self._seen + edges).tolist():
            if self._block < 0:
                self._block = n
            else:
                self._ended(self._block, n)
                self._block = -1
        self._seen += len(wave)

    def _ended(self, start, stop):
        """A block of interest lies at samples start - late to stop - late, and is known at `stop`."""
        first, last = max(start, stop - round(self.BLOCK * self._rate), self._late) - self._late, stop - self._late
        if stop - start < self._peak or last <= first:
            return
        at = first + int(np.argmax(self._wave.cut(first, last)))
        if at - self._last <= self.REFRACTORY * self._rate:
            return
        interval = (at - self._last) / self._rate
        plausible = self.SHORTEST < interval < self.LONGEST
        if plausible:
            self._around.append(interval)
            plausible = abs(interval / float(np.median(self._around)) - 1) < self.JUMP
        self._found.append((at, stop, interval, plausible))
        self._last = at
        while self._keep is not None and self._found[0][0] < at - self._keep * self._rate:
            self._found.popleft()

    def known(self, stop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Beats known from the samples before `stop`: their samples, intervals before them in s, whether plausible."""
        found = [(at, interval, good) for at, known, interval, good in self._found if known < stop]
        at, interval, good = zip(*found, strict=True) if found else ((), (), ())
        return np.array(at, int), np.array(interval, float), np.array(good, bool)
