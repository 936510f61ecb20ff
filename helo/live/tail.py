"""The last seconds of raw signals, to look at while a model listens."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np

from helo.live.arrivals import Event
from helo.live.setup import Setup


class Tail:
    """Keeps what came in the last `seconds`, by the sensors' own stamps.

    Args:
        setup: the modalities.
        seconds: how much to keep.
        start: as of the `Session` that listens.
    """

    def __init__(self, setup: Setup, seconds: float, start: float | None = None):
        self.setup, self.seconds, self.start = setup, seconds, start
        self._pieces: dict[str, deque[Event]] = {m: deque() for m in setup.rates}

    def watch(self, source: Iterable[Event]) -> Iterator[Event]:
        """The same events, noted on their way."""
        for event in source:
            if event.modality in self._pieces and len(event.stamps):
                self.start = event.beginning if self.start is None else self.start
                self._pieces[event.modality].append(event)
            for pieces in self._pieces.values():
                while pieces and pieces[0].arrived < event.arrived - self.seconds - 1:
                    pieces.popleft()
            yield event

    def signal(self, modality: str) -> tuple[np.ndarray, np.ndarray]:
        """Stamps (n,) in seconds since the session's beginning and samples (n, channels), NaN where none came."""
        stamps, samples, last = [], [], np.inf
        channels, rate = self.setup.channels[modality], self.setup.rates[modality]
        for event in self._pieces[modality]:
            if event.stamps[0] > last + 2 / rate:
                # a row for each: of a single one nothing is left where a picture draws few of many samples
                missing = round(min((event.stamps[0] - last) * rate - 1, self.seconds * rate))
                stamps.append(last + np.arange(1, missing + 1) / rate)
                samples.append(np.full((missing, channels), np.nan))
            stamps.append(event.stamps)
            samples.append(event.samples)
            last = float(event.stamps[-1])
        if not stamps:
            return np.zeros(0), np.zeros((0, channels))
        return np.concatenate(stamps) - (self.start or 0.0), np.concatenate(samples)
