"""Samples of one sensor as they arrive: late, twice, not at all, or by a clock of their own."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

#: a stamp farther from its arrival, in seconds, is not taken for a session's beginning
NEAR = 5.0


@dataclass(frozen=True, eq=False)
class Event:
    """Samples that arrived together, or, with nothing in it, only that time has gone on.

    Args:
        arrived: when, in seconds of this machine's clock.
        modality: of which sensor; "" for none.
        stamps: when each was measured, by the sensor's clock, in seconds, shape (n,).
        samples: shape (n, channels).
    """

    arrived: float
    modality: str = ""
    stamps: np.ndarray = field(default_factory=lambda: np.zeros(0))
    samples: np.ndarray = field(default_factory=lambda: np.zeros((0, 1)))

    @property
    def beginning(self) -> float | None:
        """The first stamp that can be true: within NEAR seconds of the arrival; None: there is none."""
        near = np.abs(self.arrived - np.asarray(self.stamps, np.float64)) <= NEAR  # NaN is not
        return float(self.stamps[np.argmax(near)]) if near.any() else None


class Arrivals:
    """Puts samples into the slots of an even grid, slot k at k / rate seconds, and passes them on in order.

    A sample goes into the slot that is nearest to its time; of two in one slot the first counts, so a sensor a little
    faster than its rate loses one now and then, and a slower one leaves a slot empty. A slot that is still empty
    `patience` seconds after its time is given up, and passed on as NaN; what arrives for it then is dropped.

    A sensor's clock that runs off is followed: the least delay between stamp and arrival within the last MINUTE in
    which anything arrived, against that of the first SETTLING seconds, is how far it has run. Where that has changed by
    more than UNSURE seconds, for delays are never quite the same, it is taken off the stamps anew. A clock that jumps
    ahead is followed with the second piece that says so; after one that jumps back, samples are dropped as too late for
    up to MINUTE. What waited behind a pause or a dead link is late too, but less so from piece to piece until all of
    it has come: delays that fall by more than STEADY seconds within the MINUTE are no clock's. A single stamp that is
    wrong moves nothing: a piece's delay is the median of what its stamps say, and two pieces in a row must have it.

    Args:
        rate: samples per second.
        patience: seconds to wait for a sample.
    """

    MINUTE, SETTLING, BUCKET, UNSURE, STEADY = 60.0, 10.0, 5.0, 0.1, 1.0
    #: a stamp so many seconds ahead of its arrival, after its clock was followed, is no time at all
    AHEAD = 1.0

    def __init__(self, rate: float, patience: float):
        self.rate, self.patience = rate, patience
        self.next = 0  # the first slot that has not been passed on
        self.lost = self.dropped = 0  # slots given up; samples that came too late, twice, or without a time
        self.newest = -np.inf  # time of the newest sample
        self._waiting: dict[int, np.ndarray] = {}
        self._channels = 0
        self._first_delay, self._followed, self._delay, self._least = np.inf, 0.0, np.inf, np.inf
        self._began: float | None = None
        # (beginning of a bucket of time, least delay in it); time in which nothing arrives has none
        self._delays: deque[list[float]] = deque(maxlen=round(self.MINUTE / self.BUCKET))

    @property
    def shift(self) -> float:
        """Seconds that the sensor's clock has fallen behind this machine's; negative: that it has run ahead."""
        return self._least - self._first_delay if np.isfinite(self._first_delay) else 0.0

    def take(self, stamps: np.ndarray, samples: np.ndarray, arrived: float) -> np.ndarray:
        """Take samples (n, channels) with their stamps (n,); gives those that can be passed on, (k, channels)."""
        samples = np.asarray(samples, np.float64)
        if not len(samples):
            return samples
        self._channels = samples.shape[1]
        stamps = np.asarray(stamps, np.float64)
        self._watch(arrived, arrived - stamps - np.arange(len(stamps) - 1, -1, -1) / self.rate)
        if abs(self.shift - self._followed) > self.UNSURE:
            self._followed = round(self.shift * self.rate) / self.rate
        times = stamps + self._followed
        good = np.isfinite(times) & (times < arrived + self.AHEAD + 1 / self.rate)
        self.dropped += int((~good).sum())
        if not good.any():
            return samples[:0]
        slots = np.floor(times[good] * self.rate + 0.5).astype(int)
        self.newest = max(self.newest, float(times[good].max()))
        even = not self._waiting and slots[0] == self.next and len(slots) == 1 + slots[-1] - slots[0]
        if even and (np.diff(slots) == 1).all():  # as nearly always
            self.next += len(slots)
            return samples[good]
        for slot, sample in zip(slots.tolist(), samples[good], strict=True):
            if slot < self.next or slot in self._waiting:
                self.dropped += 1
            else:
                self._waiting[slot] = sample
        return self._pass()

    def give_up(self, now: float) -> np.ndarray:
        """Stop waiting for what was to be measured `patience` seconds before now; gives what can be passed on.

        At most a MINUTE at once: ask again until nothing comes.
        """
        until = min(int(np.floor((now - self.patience) * self.rate)), self.next + int(self.MINUTE * self.rate) + 1)
        if until <= self.next or not self._channels:
            return np.zeros((0, max(1, self._channels)))
        given = np.full((until - self.next, self._channels), np.nan)
        for slot in [slot for slot in self._waiting if slot < until]:
            given[slot - self.next] = self._waiting.pop(slot)
        self.lost += int(np.isnan(given[:, 0]).sum())
        self.next = until
        return np.concatenate([given, self._pass()])

    def _pass(self):
        rows = []
        while self.next in self._waiting:
            rows.append(self._waiting.pop(self.next))
            self.next += 1
        return np.stack(rows) if rows else np.zeros((0, self._channels))

    def _watch(self, arrived, delays):
        """Keep the least delays of a minute, by buckets of time; each sample says what its piece's delay is."""
        delays = delays[np.isfinite(delays)]
        if not len(delays):
            return
        before, self._delay = self._delay, float(np.median(delays))
        delay = max(before, self._delay)
        if not np.isfinite(delay):  # the first piece
            return
        self._began = arrived if self._began is None else self._began
        if arrived - self._began <= self.SETTLING:
            self._first_delay = min(self._first_delay, delay)
        if not self._delays or arrived - self._delays[-1][0] >= self.BUCKET:
            self._delays.append([arrived, delay])
        self._delays[-1][1] = min(self._delays[-1][1], delay)
        least = [delay for _, delay in self._delays]
        fallen = np.max(np.maximum.accumulate(least) - least)  # as what waited does, and a clock that was set forth
        steady = len(least) == self._delays.maxlen and fallen <= self.STEADY
        if min(least) < self._least or steady:
            self._least = min(least)
