"""A model that listens to one person: what came goes in, and at any time its answer to the window that just ended."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch

from helo.live.arrivals import Arrivals, Event
from helo.live.setup import Setup
from helo.models import EmotionModel
from helo.training.threads import threads_for, where

#: seconds kept beyond a window and the patience: how far signals may come ahead of the answers
_AHEAD = 60.0
#: samples go into the person's past this many seconds at a time, before they are forgotten
_SOON = 10.0
#: lateness in seconds, share of lost samples, and strangeness from which on an answer says so
_SILENT, _LOST, _STRANGE = 2.0, 0.02, 1.0


class Confidence(Protocol):
    """What says how sure a model is, such as `helo.evaluation.confidence`'s: a band, and how strange inputs are."""

    @property
    def emotions(self) -> tuple[str, ...]:
        """Names of the L emotions."""
        ...

    @property
    def band(self) -> float:
        """How far a rated share may lie from the answer's, for every emotion: 0 to 1, which excludes nothing."""
        ...

    def by_modality(self, signals: Mapping[str, np.ndarray], masks: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """How far each modality of n windows lies from training: above 1, farther than any training person's."""
        ...


@dataclass(frozen=True, eq=False)
class Answer:
    """What a model says of the window that ends at `time`, and on what.

    Args:
        time: end of the window, in seconds since the session's beginning.
        distribution: shape (L,); None where no sensor has a token in the window.
        there: modality -> which of its tokens are there, shape (tokens,).
        silent: modality -> seconds between its newest sample and the window's end; infinite: none has come yet.
        lost: modality -> share of the window's samples that are not there.
        clock: modality -> seconds its clock has fallen behind (`Arrivals.shift`), already taken off.
        strange: modality -> how far its features lie from training; empty without a confidence.
        band: how far each rated share may lie from the answer's; None without a confidence.
        delay: seconds from the window's end to the answer: of a replay, what it took to compute.
    """

    time: float
    distribution: np.ndarray | None
    there: dict[str, np.ndarray]
    silent: dict[str, float]
    lost: dict[str, float]
    clock: dict[str, float]
    strange: dict[str, float] = field(default_factory=dict)
    band: float | None = None
    delay: float = 0.0

    @property
    def seen(self) -> dict[str, float]:
        """Modality -> share of its tokens that are there, 0 to 1."""
        return {m: float(there.mean()) for m, there in self.there.items()}

    @property
    def told(self) -> list[str]:
        """What is not as it should be, in words; empty where all is well."""
        found = []
        for m, share in self.seen.items():
            if self.silent[m] > _SILENT:
                since = f"silent for {self.silent[m]:.0f} s" if np.isfinite(self.silent[m]) else "has not come yet"
                found.append(f"{m}: {since}" + ("" if share else ", not seen"))
            elif share < 1:
                found.append(f"{m}: {share:.0%} of its tokens are there")
            elif self.lost[m] > _LOST:
                found.append(f"{m}: {self.lost[m]:.0%} of its samples are lost")
            if self.strange.get(m, 0) > _STRANGE:
                found.append(f"{m}: {self.strange[m]:.1f} times as far from training as any training person")
        return found


class Session:
    """One person, one model.

    Args:
        model: a trained model.
        setup: how signals become its windows.
        patience: seconds to wait for a late sample; an answer never waits.
        confidence: says how sure the model is; None: nothing does.
        start: stamp at which the recording begins, in seconds; None: the first that is near its arrival
            (`Event.beginning`); what comes before that is passed over.

    Raises:
        ValueError: the model, or the confidence, takes other modalities, tokens, features or emotions than the setup
            makes.
    """

    def __init__(
        self,
        model: EmotionModel,
        setup: Setup,
        *,
        patience: float = 2.0,
        confidence: Confidence | None = None,
        start: float | None = None,
    ):
        shapes = {m: (setup.tokens, len(setup.features[m])) for m in setup.features}
        if model.layout.shapes != shapes or model.layout.emotions != setup.emotions:
            raise ValueError(
                f"the setup makes (tokens, features) {shapes} for {len(setup.emotions)} emotions; "
                f"the model takes {model.layout.shapes} for {len(model.layout.emotions)}"
            )
        if confidence is not None:
            _check(confidence, setup)
        self.model, self.setup, self.patience = model.eval(), setup, patience
        self.confidence, self.start = confidence, start
        #: seconds of signals that are kept
        self.keep = setup.cut.window + patience + _AHEAD + setup.cut.length + 2 * _SOON
        self._person = setup.person(self.keep)
        self.arrivals = {m: Arrivals(rate, patience) for m, rate in setup.rates.items()}

    def take(self, event: Event) -> None:
        """Take samples; a modality that the model does not know is passed over.

        Raises:
            ValueError: another number of channels than the setup's.
        """
        if event.modality not in self.arrivals or not len(event.stamps):
            return
        expected = (len(event.stamps), self.setup.channels[event.modality])
        if event.samples.shape != expected:
            raise ValueError(f"{event.modality!r}: samples have shape {event.samples.shape}; expected {expected}")
        self.start = event.beginning if self.start is None else self.start
        if self.start is None:
            return
        stamps = np.asarray(event.stamps, np.float64) - self.start
        self._push(
            event.modality, self.arrivals[event.modality].take(stamps, event.samples, event.arrived - self.start)
        )

    def _push(self, modality, samples):
        """Samples in order, piece by piece: what is soon forgotten goes into the past, whether or not it is asked."""
        signal = self._person.signals[modality]
        piece = max(1, int(_SOON * signal.rate))
        for k in range(0, len(samples), piece):
            self._person.push(modality, samples[k : k + piece])
            self._person.look(signal.count / signal.rate - self.keep + self.setup.cut.length + 1.5 * _SOON)

    def answer(self, end: float, now: float | None = None) -> Answer:
        """The answer to the window that ends at `end`; answers go forward in time.

        Args:
            end: in seconds since the beginning.
            now: when this is asked, in the same seconds; None: at the window's end.
        """
        began, now = time.perf_counter(), end if now is None else now
        with threads_for([self.model], where(self.model)):  # a log gone through anew has the same bits by it
            made, distribution, strange = self._looked(end, now)
        cut = self.setup.cut
        came = {m: self._person.signals[m].seen(end, cut.tokens, cut.length) for m in made}
        return Answer(
            time=end,
            distribution=distribution,
            there={m: mask for m, (_, mask) in made.items()},
            silent={m: max(0.0, end - a.newest - 1 / a.rate) for m, a in self.arrivals.items()},
            lost={m: 1 - float(share.mean()) for m, share in came.items()},
            clock={m: a.shift for m, a in self.arrivals.items()},
            strange=strange,
            band=None if self.confidence is None else self.confidence.band,
            delay=now - end + time.perf_counter() - began,
        )

    def _looked(self, end, now):
        """The window that ends at `end`, what the model says of it, and how strange each modality is."""
        for m, arrivals in self.arrivals.items():
            while len(given := arrivals.give_up(now)):
                self._push(m, given)
        made = self._person.window(end)
        signals = {m: values[None] for m, (values, _) in made.items()}
        masks = {m: mask[None] for m, (_, mask) in made.items()}
        if not any(mask.any() for mask in masks.values()):
            return made, None, {}
        known = {} if self.confidence is None else self.confidence.by_modality(signals, masks)
        return made, self._asked(signals, masks), {m: float(far[0]) for m, far in known.items()}

    def _asked(self, signals, masks):
        device = where(self.model)
        with torch.inference_mode():
            said = self.model.respond(
                {m: torch.as_tensor(x, device=device) for m, x in signals.items()},
                {m: torch.as_tensor(x, device=device) for m, x in masks.items()},
            )
        return said.distributions[0].cpu().numpy()


def _check(confidence, setup):
    """Ask about a window of which nothing is there: a confidence says itself what it does not know."""
    if tuple(confidence.emotions) != setup.emotions:
        raise ValueError(f"the confidence is of emotions {list(confidence.emotions)}; expected {list(setup.emotions)}")
    signals = {m: np.zeros((1, setup.tokens, len(names))) for m, names in setup.features.items()}
    try:
        confidence.by_modality(signals, {m: np.zeros((1, setup.tokens), bool) for m in signals})
    except ValueError as error:
        raise ValueError(f"the confidence is of other modalities or features than the model: {error}") from None
