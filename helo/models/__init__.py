"""Models by name: `build("helo", data)` gives a torch.nn.Module for that data's modalities and emotions."""

from __future__ import annotations

import inspect

import numpy as np
import torch

from helo.data.emotion_data import EmotionData, Layout
from helo.models.base import EmotionModel, Prediction
from helo.models.baselines import ConditionMixture, Ridge, TrainingMean, Uniform
from helo.models.helo import HeLo

__all__ = ["EmotionModel", "Prediction", "available", "build", "is_closed_form"]

_MODELS: dict[str, type[EmotionModel]] = {
    "helo": HeLo,
    "uniform": Uniform,
    "mean": TrainingMean,
    "ridge": Ridge,
    "mixture": ConditionMixture,
}


def available() -> tuple[str, ...]:
    """Names `build` knows."""
    return tuple(_MODELS)


def is_closed_form(name: str) -> bool:
    """Whether a model is solved in one step, so that a seed changes nothing."""
    return _MODELS[name].closed_form


def build(name: str, data: EmotionData, seed: int = 0, **options) -> EmotionModel:
    """A model for a data set's modalities, roles and emotions.

    Args:
        name: one of `available()`.
        data: the data set; only its layout is looked at (and, for "mixture", the number of its conditions).
        seed: of the first weights; the global random state is left alone.
        **options: the model's own arguments, such as width or epsilon.

    Raises:
        ValueError: unknown name or option, or data the model cannot take.
    """
    if name == "mixture" and data.conditions is not None:
        options = {"conditions": len(np.unique(data.conditions))} | options
    return from_layout(name, data.layout, seed, options)


def from_layout(name: str, layout: Layout, seed: int, options: dict) -> EmotionModel:
    """As `build`, from the layout alone: what a saved model is rebuilt from."""
    if name not in _MODELS:
        raise ValueError(f"unknown model {name!r}; expected one of {list(_MODELS)}")
    known = list(inspect.signature(_MODELS[name]).parameters)[1:]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(f"model {name!r} does not take {unknown}; its options are {known}")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = _MODELS[name](layout, **options)
    model.name, model.seed, model.options = name, seed, dict(options)
    return model
