"""Windows whose features and normalisation know nothing after the window's end: of a person now, and of a data set.

`Person` is one person on their way: signals come in, and at any time the window that just ended goes out, as a model
takes it. `load` puts a whole data set through the same object, so that a model learns from what it will see.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from helo.data.causal import KINDS, Average, Signal, numbers
from helo.data.emotion_data import EmotionData
from helo.progress import each

#: a feature that is farther from the person's mean, in standard deviations, is an artefact; once so many tokens say so
FARTHEST, ENOUGH = 5.0, 5


@dataclass(frozen=True)
class Cut:
    """How a person's signals become windows.

    Args:
        tokens: consecutive segments of a window.
        length: seconds of a token.
        step: seconds between two looks at the past, by which features are normalised; 0: they are not.
    """

    tokens: int
    length: float
    step: float

    @property
    def window(self) -> float:
        """Seconds of a window."""
        return self.tokens * self.length


class Past:
    """Mean and standard deviation of one person's features so far, added one after the other (Welford).

    After ENOUGH tokens another counts as no farther from the mean than FARTHEST standard deviations, in each feature
    that has varied: one artefact would otherwise make all that follows look small.
    """

    def __init__(self, features: int):
        self.count, self._mean, self._squares = 0, np.zeros(features), np.zeros(features)

    def add(self, token: np.ndarray) -> None:
        """One more token, shape (features,)."""
        if self.count >= ENOUGH:
            most = np.where(self._varies, FARTHEST * self._sd, np.inf)
            token = np.clip(token, self._mean - most, self._mean + most)
        self.count += 1
        off = token - self._mean
        self._mean = self._mean + off / self.count
        self._squares = self._squares + off * (token - self._mean)

    @property
    def _sd(self):
        return np.sqrt(self._squares / max(1, self.count))

    @property
    def _varies(self):
        return self._sd > np.maximum(1e-6 * np.abs(self._mean), 1e-12)  # beside its size: a unit may be small

    def normalised(self, values: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """(x - mean) / SD of tokens (tokens, features); 0 where masked; a feature that never varied stays centred."""
        scaled = (values - self._mean) / np.where(self._varies, self._sd, 1)
        return np.where(mask[:, None], np.clip(scaled, -FARTHEST, FARTHEST), 0)


class Person:
    """One person's signals, as they come, and the windows that they make.

    Every `cut.step` seconds since the recording's beginning the token that has just ended is added to the person's
    past, of each modality once all of its samples have come (or come as NaN): late, but whole. A window is centred and
    scaled by the past up to its end. So the first windows of a person are normalised by little, the very first by
    nothing.

    Args:
        signals: modality -> what takes its samples.
        cut: the windows.
        before: who the person was in an earlier session, whose past goes on; None: there is none.
    """

    def __init__(self, signals: Mapping[str, Signal], cut: Cut, before: Person | None = None):
        self.signals, self.cut = dict(signals), cut
        self._past: dict[str, Past] = (
            before._past if before else {m: Past(len(signal.names)) for m, signal in signals.items()}
        )
        self._looks = dict.fromkeys(self.signals, 0)

    def push(self, modality: str, samples: np.ndarray) -> None:
        """Add samples of one modality, (n, channels)."""
        self.signals[modality].push(samples)

    def look(self, end: float) -> None:
        """Add what has ended by then, and has come, to the person's past."""
        cut = self.cut
        for m, signal in self.signals.items():
            while cut.step and (at := (self._looks[m] + 1) * cut.step) <= end + 1e-6:
                if numbers(at, 1, cut.length, signal.rate)[0, -1] >= signal.count:
                    break
                self._looks[m] += 1
                values, there = signal.window(at, 1, cut.length)
                if there[0]:
                    self._past[m].add(values[0])

    def window(self, end: float) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """The window that ends at `end` seconds: modality -> values (tokens, features) float32 and mask (tokens,).

        Times may not run backwards, for what has been added to the past stays there.
        """
        self.look(end)
        made = {}
        for m, signal in self.signals.items():
            values, mask = signal.window(end, self.cut.tokens, self.cut.length)
            if self.cut.step:
                values = self._past[m].normalised(values, mask)
            made[m] = values.astype(np.float32), mask
        return made


def signals_of(
    rates: Mapping[str, float], features: Mapping[str, tuple[str, ...]], keep: float | None = None
) -> dict[str, Signal]:
    """What takes the samples of each modality.

    Args:
        rates: modality -> samples per second.
        features: modality -> names of its features.
        keep: seconds to keep; None: all.

    Raises:
        ValueError: a modality whose features are others than those that are known causally.
    """
    made = {}
    for m in features:
        try:
            made[m] = KINDS.get(m, Average)(rates[m], tuple(features[m]), keep)
        except ValueError as error:
            raise ValueError(f"modality {m!r}: {error}") from None
    return made


def causal(data: EmotionData, tokens: int, before: float = 0.0, step: float = 0.0) -> EmotionData:
    """A data set's windows anew, from its recordings, with causal features.

    A modality that a person has not is masked. One that no `KINDS` knows is averaged where its features are its
    channels, by name, as action units are; others have no causal form.

    Args:
        data: whose `recording` gives the raw signals; its windows' ends stay where they are.
        tokens: consecutive segments a window, with what is before it, is cut into.
        before: seconds before the window that are looked at too; `starts` and `window` then include them.
        step: seconds between two looks at the past by which features are normalised; 0: they are not.

    Raises:
        ValueError: no raw recordings or times, a modality whose causal features are not known, or sessions in an
            unknown order.
    """
    if data.recording is None or data.starts is None or data.window is None:
        raise ValueError(f"{data.name}: has no raw recordings with times; causal features are made of them")
    if tokens < 1 or not before >= 0 or not step >= 0:
        raise ValueError(f"tokens {tokens}, {before} s before a window, step {step} s; expected 1 or more, 0 or more")
    cut = Cut(tokens, (data.window + before) / tokens, step)
    if cut.length < 2:
        raise ValueError(f"{tokens} tokens of {cut.length:.3g} s in {cut.window:g} s; expected tokens of at least 2 s")
    values = {m: np.zeros((len(data), tokens, len(data.features[m])), np.float32) for m in data.signals}
    masks = {m: np.zeros((len(data), tokens), bool) for m in data.signals}
    for subject in each(list(dict.fromkeys(data.subjects.tolist())), f"{data.name}, causal", "subject"):
        recording, rows = data.recording(subject), np.flatnonzero(data.subjects == subject)
        features = {m: names for m, names in data.features.items() if m in recording.signals}
        for m, names in features.items():
            if m not in KINDS and tuple(recording.channels_of(m)) != tuple(names):
                raise ValueError(f"{data.name}: {m!r} has no causal features {list(names)}; {sorted(KINDS)} have")
        if step and not recording.ordered:
            raise ValueError(
                f"{data.name}, {subject}: the order of the sessions is not known, and what came before a window needs "
                "it; expected numbers in their names, acq_time in scans.tsv or sessions.tsv, or a card's exclude"
            )
        person, ended = None, data.starts[rows] + data.window
        for begin, over in pairwise((0.0, *recording.parts, np.inf)):  # no filter and no window reaches into another
            person = Person(signals_of(recording.rates, features), cut, person)
            for m in features:
                rate = recording.rates[m]
                piece = slice(round(begin * rate), round(over * rate) if over < np.inf else None)
                person.push(m, recording.signals[m][piece])
            own = rows[(ended > begin + 1e-6) & (ended <= over + 1e-6)]
            ends = data.starts[own] + data.window - begin
            for row, end in sorted(zip(own.tolist(), ends.tolist(), strict=True), key=lambda pair: (pair[1], pair[0])):
                for m, (made, there) in person.window(end).items():
                    values[m][row], masks[m][row] = made, there
            if over < np.inf:
                person.look(over - begin)
    names = tuple(f"{(k - tokens) * cut.length:g} to {(k + 1 - tokens) * cut.length:g} s" for k in range(tokens))
    return dataclasses.replace(
        data,
        signals=values,
        masks=masks,
        starts=data.starts - before,
        window=data.window + before,
        tokens={m: names for m in values},
    )


def load(source: Callable[..., EmotionData], options: dict[str, Any]) -> EmotionData:
    """A data set with causal features: what `helo.load(name, features="causal")` does.

    Context, of a source that has it, lies before the window alone, and is twice as long, so that a window has as many
    tokens of the same length as otherwise. Features are normalised by the person's past, every `step` seconds, or with
    normalise="none" not at all. What a card of recordings says of context does not count: it is an option here.

    Args:
        source: a source's `load`.
        options: its options.

    Raises:
        ValueError: normalise is neither "causal" nor "none"; or as `causal` and the source say.
    """
    known = inspect.signature(source).parameters
    if "step" not in known:
        name = source.__module__.rpartition(".")[2]
        raise ValueError(
            f"{name}: has no windows of recordings, every so many seconds; causal features are made of them"
        )
    asked: dict[str, Any] = {name: known[name].default for name in ("tokens", "context") if name in known}
    asked |= {"step": known["step"].default, "normalise": "causal"} | options
    if asked["normalise"] not in ("causal", "none"):
        raise ValueError(f"normalise is {asked['normalise']!r}; features='causal' expects 'causal' or 'none'")
    step = asked["step"] if asked["normalise"] == "causal" else 0.0
    if step is None:  # a card says it
        raise ValueError("features='causal' needs step=..., the seconds between two looks at a person's past")
    if asked.get("context", 0.0) is None:
        asked["context"] = 0.0  # a card's lies on both sides of a window
    plain = {"tokens": 1, "context": 0.0, "normalise": "none"}
    given = {name: value for name, value in plain.items() if name in known and asked[name] is not None}
    data = source(**options | given)
    (own, *_) = data.signals.values()
    tokens = own.shape[1] if asked.get("tokens") is None else int(asked["tokens"])
    return causal(data, tokens, 2 * asked.get("context", 0.0), step)
