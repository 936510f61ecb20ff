"""Settings to choose from: every trained model has as many candidates, drawn from a declared space with a seed."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from helo.models import choices, defaults, is_closed_form
from helo.training.loop import fit

#: what every trained model can be given, of `helo.fit` or of the model itself: setting -> values
SHARED: dict[str, tuple] = {
    "learning_rate": (3e-4, 1e-3, 3e-3),
    "weight_decay": (1e-4, 1e-3, 1e-2),
    "batch_size": (128, 64, 32),
    "centre_people": (False, True),
    "dropout": (0.3, 0.5, 0.7),
    "input_dropout": (0.0, 0.25, 0.5),
}
_OF_THE_MODEL = ("dropout", "input_dropout")
#: what nothing can be chosen for: they read no signal, and the second is the zero of skill
_READ_NOTHING = ("uniform", "mean")
#: draws of a candidate that differs from all before it
_DRAWS = 100


@dataclass(frozen=True)
class Candidate:
    """Options of a model and arguments of `helo.fit`."""

    options: Mapping[str, Any]
    training: Mapping[str, Any]

    def __str__(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in {**self.options, **self.training}.items()) or "defaults"


def candidates(
    model: str, count: int, options: Mapping[str, Any], training: Mapping[str, Any], seed: int = 0
) -> list[Candidate]:
    """Settings for a model to be chosen from; the first are its defaults.

    The shared settings of candidate k are the same for every model, each value as often as the next; every third
    candidate also draws the model's own (`EmotionModel.choices`). A candidate that would repeat an earlier one is drawn
    anew; what was fixed by the caller is never drawn. A model solved in closed form chooses its strength inside, by its
    training people or trials; of the shared settings it knows `centre_people` alone, and has its two values for
    candidates.

    Args:
        model: its name.
        count: how many; fewer are given where a hundred draws find no other (as where most settings are fixed).
        options: of the model, fixed.
        training: arguments of `helo.fit`, fixed.
        seed: of the draw.
    """
    first = Candidate(dict(options), dict(training))
    if is_closed_form(model):
        free = count > 1 and "centre_people" not in training and model not in _READ_NOTHING
        return [first, Candidate(first.options, dict(first.training) | {"centre_people": True})] if free else [first]
    columns = {
        name: np.random.default_rng((seed, k)).permutation(np.resize(np.arange(len(values)), count - 1))
        for k, (name, values) in enumerate(SHARED.items())
    }
    drawn, known = [first], [_complete(model, first)]
    for k in range(1, count):
        shared = {name: values[columns[name][k - 1]] for name, values in SHARED.items()}
        own, again = np.random.default_rng((seed, len(SHARED), k)), np.random.default_rng((seed, len(SHARED) + 1, k))
        for _ in range(_DRAWS):
            one = _drawn(model, dict(shared), own if k % 3 == 0 else None, first)
            if (complete := _complete(model, one)) not in known:
                drawn.append(one)
                known.append(complete)
                break
            shared = {name: values[again.integers(len(values))] for name, values in SHARED.items()}
    return drawn


def _drawn(model, shared, rng, fixed):
    """The candidate of these shared settings, with the model's own if there is a generator for them."""
    chosen = {name: shared.pop(name) for name in _OF_THE_MODEL}
    if rng is not None:
        chosen |= {name: values[rng.integers(len(values))] for name, values in choices(model).items()}
    takes = defaults(model)
    chosen = {name: value for name, value in chosen.items() if name in takes}
    return Candidate(chosen | dict(fixed.options), shared | dict(fixed.training))


def _complete(model, candidate):
    """All settings that a candidate stands for, those it does not name included."""
    trained = {name: own.default for name, own in inspect.signature(fit).parameters.items() if name in SHARED}
    return {**defaults(model), **candidate.options}, {**trained, **candidate.training}
