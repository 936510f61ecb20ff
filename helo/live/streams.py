"""Sensors of the Lab Streaming Layer, by way of `mne-lsl`, whose wheels bring the library with them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from helo.live.arrivals import Event
from helo.live.setup import Setup

#: most samples of one pull
_PULL = 4096


def streams(setup: Setup, names: str | Mapping[str, str], *, wait: float = 10.0, poll: float = 0.02) -> Iterator[Event]:
    """What sensors send, as it arrives; between two arrivals an empty event every `poll` seconds.

    The layer corrects stamps for the offset between the sending machine's clock and this one's. A sensor that goes away
    is waited for, and comes back by itself.

    Args:
        setup: modalities, rates and channels that are expected.
        names: name of the streams, or their source id, whose types ("bvp", "eda", ...) are then the modalities: all
            of the setup's, or those that are there; or modality -> name or source id of its stream, each of which must
            be there.
        wait: seconds to look for them.
        poll: seconds between two looks for samples.

    Raises:
        ImportError: `mne-lsl` is not installed.
        ValueError: a stream is not there, there are two of it, or it has another rate or other channels than the
            setup's; the message names it.
    """
    try:
        from mne_lsl import lsl
    except ImportError:
        raise ImportError("live streams need mne-lsl: pip install mne-lsl") from None
    found = _found(lsl, setup, names, wait)
    inlets = {m: lsl.StreamInlet(about, processing_flags=["clocksync"]) for m, about in found.items()}
    for inlet in inlets.values():
        inlet.open_stream(timeout=wait)
    return _pulled(lsl.local_clock, inlets, poll)


def _pulled(clock, inlets, poll) -> Iterator[Event]:
    try:
        while True:
            came = False
            for m, inlet in inlets.items():
                full = True
                while full:  # all that waits there, before an answer would give it up as lost
                    samples, stamps = inlet.pull_chunk(timeout=0.0, max_samples=_PULL)
                    full = len(stamps) == _PULL
                    if len(stamps):
                        came = True  # the arrays are the library's own buffers
                        yield Event(clock(), m, np.array(stamps, np.float64), np.array(samples, np.float64))
            yield Event(clock())
            if not came:
                time.sleep(poll)
    finally:
        for inlet in inlets.values():
            inlet.close_stream()


def _found(lsl: Any, setup: Setup, names: str | Mapping[str, str], wait: float) -> dict[str, Any]:
    """Modality -> what the layer knows of its stream."""
    until, by_type = time.monotonic() + wait, isinstance(names, str)
    wanted = dict.fromkeys(setup.rates, names) if isinstance(names, str) else dict(names)
    unknown = sorted(set(wanted) - set(setup.rates))
    if unknown:
        raise ValueError(f"streams are named for {unknown}; the model takes {list(setup.rates)}")
    all_found: dict[str, list[Any]] = {}
    while set(all_found) != set(wanted) and time.monotonic() < until:
        there = lsl.resolve_streams(timeout=0.5)
        for m, name in wanted.items():
            named = [x for x in there if name in (x.name, x.source_id)]
            typed = [x for x in named if x.stype == m]
            fits = typed if by_type or typed else named
            all_found |= {m: fits} if fits else {}
    for m, several in all_found.items():
        if len(several) > 1:
            who = sorted(f"source id {x.source_id!r} on {x.hostname!r}" for x in several)
            told = f"{len(several)} streams {wanted[m]!r} of {m!r}: {', '.join(who)}"
            raise ValueError(f"{told}; expected one: name it by its source id")
    found = {m: only for m, (only,) in all_found.items()}
    missing = [f"{name!r} of {m!r}" for m, name in wanted.items() if m not in found]
    if missing and not (by_type and found):
        raise ValueError(f"no stream {', '.join(missing)} within {wait:g} s; found {sorted(found)}")
    for m, about in found.items():
        rate, channels = setup.rates[m], setup.channels[m]
        if abs(about.sfreq - rate) > 0.01 * rate or about.n_channels != channels:
            raise ValueError(
                f"stream {about.name!r} of {m!r} has {about.n_channels} channels at {about.sfreq:g} Hz; "
                f"expected {channels} at {rate:g}"
            )
    return found
