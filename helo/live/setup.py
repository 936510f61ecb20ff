"""What a model must be told of the sensors that it is to listen to, in a small file beside the model's."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from helo.data.causal_windows import Cut, Person, signals_of
from helo.data.emotion_data import EmotionData
from helo.files import write_json
from helo.reading import expanded, regular, shown

#: most bytes of a setup
_SIZE = 2**20


@dataclass(frozen=True)
class Setup:
    """How raw signals become the windows that a model was trained on.

    Args:
        rates: modality -> samples per second.
        channels: modality -> how many.
        units: modality -> unit of the samples.
        features: modality -> names of its features.
        tokens: consecutive segments of a window.
        length: seconds of a token.
        step: seconds between two looks at the person's past, by which features are normalised; 0: they are not.
        emotions: names of the L emotions.
    """

    rates: dict[str, float]
    channels: dict[str, int]
    units: dict[str, str]
    features: dict[str, tuple[str, ...]]
    tokens: int
    length: float
    step: float
    emotions: tuple[str, ...]

    @property
    def cut(self) -> Cut:
        """Tokens, their length and the step."""
        return Cut(self.tokens, self.length, self.step)

    def person(self, keep: float | None = None) -> Person:
        """Somebody new, of whom nothing has come yet; `keep` seconds of signals are kept, None: all."""
        return Person(signals_of(self.rates, self.features, keep), self.cut)

    @classmethod
    def of(cls, data: EmotionData, step: float) -> Setup:
        """The setup of a data set of `helo.load(..., features="causal")`.

        Args:
            data: the data set.
            step: as it was loaded with (seconds; WESAD's default is 30, the simulated study's 12), or 0 with
                normalise="none".

        Raises:
            ValueError: not causal features, or of another step: the first person's windows come out otherwise; or
                nobody has all the sensors.
        """
        if data.recording is None or data.starts is None or data.window is None:
            raise ValueError(f"{data.name}: has no raw recordings with times; load it with features='causal'")
        subject, recording = _whole(data)
        tokens = {x.shape[1] for x in data.signals.values()}
        if len(tokens) > 1:
            raise ValueError(f"{data.name}: modalities have {sorted(tokens)} tokens; expected as many of each")
        (count,) = tokens
        setup = cls(
            {m: float(recording.rates[m]) for m in data.signals},
            {m: recording.signals[m].shape[1] for m in data.signals},
            {m: recording.units.get(m, "") for m in data.signals},
            dict(data.features),
            count,
            data.window / count,
            float(step),
            data.emotions,
        )
        rows = np.flatnonzero(data.subjects == subject)
        if recording.parts:  # of the first session or run; the later ones begin anew
            first = rows[data.starts[rows] + data.window <= recording.parts[0] + 1e-6]
            rows = first if len(first) else rows
        row = rows[np.argsort(data.starts[rows], kind="stable")][min(3, len(rows) - 1)]
        end = float(data.starts[row] + data.window)
        person = setup.person()
        for m in data.signals:
            person.push(m, recording.signals[m][: int(end * setup.rates[m]) + 1])
        for m, (values, mask) in person.window(end).items():
            if not (np.array_equal(values, data.signals[m][row]) and np.array_equal(mask, data.masks[m][row])):
                raise ValueError(
                    f"{data.name}: {m!r} of window {row} comes out otherwise with a step of {step:g} s; "
                    "expected features='causal', and the step it was loaded with"
                )
        return setup

    def save(self, path: str | Path) -> None:
        """Write it as JSON, whole or not at all."""
        write_json(expanded(path), asdict(self))

    @classmethod
    def load(cls, path: str | Path) -> Setup:
        """Read what `save` wrote.

        Raises:
            MissingFile: no such file.
            ValueError: not a setup.
        """
        file = regular(expanded(path), _SIZE, "a setup of live.Setup.save")
        try:
            return cls.from_json(json.loads(file.read_text()))
        except Exception as error:  # JSON from outside can be anything
            raise ValueError(f"{path}: not a setup of this version ({shown(error, 300)})") from None

    @classmethod
    def from_json(cls, about: dict[str, Any]) -> Setup:
        """Of what JSON gives back."""
        made = cls(
            {str(m): float(rate) for m, rate in about["rates"].items()},
            {str(m): int(count) for m, count in about["channels"].items()},
            {str(m): str(unit) for m, unit in about["units"].items()},
            {str(m): tuple(map(str, names)) for m, names in about["features"].items()},
            int(about["tokens"]),
            float(about["length"]),
            float(about["step"]),
            tuple(map(str, about["emotions"])),
        )
        if not (set(made.rates) == set(made.channels) == set(made.units) == set(made.features)):
            raise ValueError("rates, channels, units and features name other modalities")
        numbers = [*made.rates.values(), *made.channels.values(), made.length, made.tokens]
        if not all(0 < x < 1e5 for x in numbers) or not 0 <= made.step < 1e5:
            raise ValueError(f"rates {made.rates}, tokens {made.tokens} of {made.length} s, step {made.step} s")
        made.person(keep=made.cut.window)  # its features are known
        return made


def _whole(data):
    """The first person who has all the sensors, and what they recorded."""
    for subject in dict.fromkeys(data.subjects.tolist()):
        recording = data.recording(subject)
        if set(data.signals) <= set(recording.signals):
            return subject, recording
    raise ValueError(f"{data.name}: nobody's recording has all of {list(data.signals)}")
