"""Where events come from when nobody wears a sensor, and the loop that turns events into answers."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

import numpy as np

from helo.data.emotion_data import Recording
from helo.live.arrivals import Event
from helo.live.log import Log
from helo.live.session import Answer, Session
from helo.live.setup import Setup

#: seconds of samples without a stamp that can be true, after which there will be none
LONG = 10.0


class Replay:
    """A recording, sent as sensors would send it: in pieces, each when its last sample has been measured.

    Iterate over it once. `unplugged` and `speed` may be changed on the way.

    Args:
        recording: the raw signals.
        setup: which modalities to send.
        speed: 1: as fast as it was recorded; infinite: as fast as it can be taken.
        piece: seconds of a piece.
        start: seconds of the recording to begin at; the events' times begin at 0 all the same.
        seconds: how many to send; None: to the end.

    Raises:
        ValueError: the recording lacks a modality of the setup, or has it at another rate; speed or piece not above 0.
    """

    def __init__(
        self,
        recording: Recording,
        setup: Setup,
        speed: float = np.inf,
        piece: float = 0.25,
        start: float = 0.0,
        seconds: float | None = None,
    ):
        missing = [m for m in setup.rates if m not in recording.signals]
        other = {
            m: recording.rates[m] for m in setup.rates if m not in missing and recording.rates[m] != setup.rates[m]
        }
        if missing or other:
            raise ValueError(f"the recording lacks {missing} and has {other} Hz; expected {setup.rates}")
        if not (speed > 0 and piece > 0):
            raise ValueError(f"speed is {speed} and piece {piece} s; expected positive numbers")
        lasts = max(len(recording.signals[m]) / recording.rates[m] for m in setup.rates)
        if not 0 <= start < lasts:
            raise ValueError(f"start is {start} s; expected 0 to {lasts:g}, what the recording lasts")
        self.recording, self.setup, self.speed, self.piece, self.start = recording, setup, speed, piece, start
        #: modalities whose sensor is off: nothing comes of them
        self.unplugged: set[str] = set()
        longest = lasts - start
        self.seconds = longest if seconds is None else min(seconds, longest)

    def __iter__(self) -> Iterator[Event]:
        first = {m: round(self.start * rate) for m, rate in self.setup.rates.items()}
        sent = dict.fromkeys(first, 0)
        due = time.monotonic()
        for k in range(1, int(np.ceil(self.seconds / self.piece - 1e-9)) + 1):
            arrived = min(k * self.piece, self.seconds)
            if np.isfinite(self.speed):
                wait = self.piece / self.speed
                due = max(due, time.monotonic() - wait) + wait  # what was missed while nobody asked is not made up for
                time.sleep(max(0.0, due - time.monotonic()))
            else:
                due = time.monotonic()
            for m, rate in self.setup.rates.items():
                stop = int(arrived * rate + 1e-6)
                samples = self.recording.signals[m][first[m] + sent[m] : first[m] + stop]
                stamps = np.arange(sent[m], sent[m] + len(samples)) / rate
                sent[m] = stop
                if len(samples) and m not in self.unplugged:
                    yield Event(arrived, m, stamps, samples)
            yield Event(arrived)


def replay(recording: Recording, setup: Setup, speed: float = np.inf, **options: float) -> Replay:
    """A recording as a source of events; arguments as of `Replay`."""
    return Replay(recording, setup, speed, **options)


def run(
    session: Session, source: Iterable[Event], every: float = 1.0, log: Log | None = None, seconds: float = np.inf
) -> Iterator[Answer]:
    """Answers at 1, 2, 3 ... times `every` seconds, each as soon as an empty event says that so much time has gone by.

    An answer does not wait for what is late: that is in the next one. Answers to windows of which nothing is kept any
    more, when time has leapt, are left out.

    Args:
        session: who listens.
        source: what comes, in the order of arrival.
        every: seconds between two answers.
        log: keeps what came and what was answered.
        seconds: when to end; so much after the first event where no sample of use has come.

    Raises:
        ValueError: samples come, and in the first LONG seconds of them no sensor has a stamp near its arrival.
    """
    due, first, since, far = 1, None, np.inf, None
    for event in source:
        first = event.arrived if first is None else first
        if event.modality:
            if log is not None:
                log.came(event)
            session.take(event)
            apart = np.abs(event.arrived - np.asarray(event.stamps, np.float64))
            if session.start is None and event.modality in session.arrivals and np.isfinite(apart).any():
                since = event.arrived if far is None else since
                far = event.modality, float(np.nanmin(apart))
            continue
        if session.start is None:
            if event.arrived - first > seconds:
                return
            if far and event.arrived - since > LONG:
                m, off = far
                raise ValueError(
                    f"{m!r}: stamps are {off:.4g} s from their arrival, and none is near in {LONG:g} s; expected "
                    "times of the layer's clock (local_clock(), not time.time())"
                )
            continue
        now = event.arrived - session.start
        due = max(due, int(np.ceil((now - session.keep) / every)))
        if due * every > seconds + 1e-9:
            return
        while now >= due * every - 1e-9:
            answer = session.answer(due * every, now)
            if log is not None:
                log.answered(answer, now)
            yield answer
            due += 1
            if due * every > seconds + 1e-9:
                return
