"""Models by name: `build("helo", data)` gives a torch.nn.Module for that data's modalities and emotions."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import numpy as np
import torch

from helo.data.emotion_data import EmotionData, Layout
from helo.models.aimdit import AIMDiT
from helo.models.base import EmotionModel, Prediction
from helo.models.baselines import TrainingMean, Uniform
from helo.models.connection import ConnectionVectors
from helo.models.fbp import FactorisedBilinear
from helo.models.foalnet import FoalNet
from helo.models.gban import GBAN
from helo.models.helo import HeLo
from helo.models.hfgcn import HFGCN
from helo.models.jmt import JMT
from helo.models.linear import ConditionMixture, MaximumEntropy
from helo.models.lmam import LMAM
from helo.models.m2fnet import M2FNet
from helo.models.mpt import PromptTransformer
from helo.models.named import NameGuided
from helo.models.neighbours import NearestNeighbours
from helo.models.options import check
from helo.models.regression import KernelRidge, Ridge
from helo.models.release import HeLoRelease
from helo.models.simple import Early, Late, LowRankTensorial, SideBySide, SingleStream, Tensorial

__all__ = [
    "EmotionModel",
    "Prediction",
    "ablations",
    "available",
    "build",
    "choices",
    "defaults",
    "exists",
    "is_closed_form",
    "origin",
    "systems",
]

# name -> the class, and the options that make the name
_SYSTEMS: dict[str, tuple[type[EmotionModel], dict]] = {
    "helo": (HeLo, {}),
    "foalnet": (FoalNet, {}),
    "gban": (GBAN, {}),
    "jmt": (JMT, {}),
    "fbp": (FactorisedBilinear, {}),
    "lmam": (LMAM, {}),
    "mpt-hcl": (PromptTransformer, {}),
    "m2fnet": (M2FNet, {}),
    "connection": (ConnectionVectors, {}),
    "aimdit": (AIMDiT, {}),
    "hfgcn": (HFGCN, {}),
    "name-guided": (NameGuided, {}),
    # simple rivals
    "early": (Early, {}),
    "mlp": (SideBySide, {}),
    "late": (Late, {}),
    "tensor": (Tensorial, {}),
    "low-rank-tensor": (LowRankTensorial, {}),
    "physiological-only": (SingleStream, {"stream": 0}),
    "behavioral-only": (SingleStream, {"stream": 1}),
    # closed form
    "uniform": (Uniform, {}),
    "mean": (TrainingMean, {}),
    "ridge": (Ridge, {}),
    "kernel-ridge": (KernelRidge, {}),
    "mixture": (ConditionMixture, {}),
    "aa-knn": (NearestNeighbours, {}),
    "sa-bfgs": (MaximumEntropy, {}),
}
# HeLo without one of its parts, or with another form of it, and as its released code effectively computes it
_ABLATIONS: dict[str, tuple[type[EmotionModel], dict]] = {
    "helo-no-cross": (HeLo, {"cross_attention": False}),
    "helo-no-ot": (HeLo, {"transport": "none", "transport_weight": 0.0}),
    "helo-gromov": (HeLo, {"transport": "gromov"}),
    "helo-detached": (HeLo, {"detach_plan": True}),
    "helo-no-lcc": (HeLo, {"correlation_weight": 0.0}),
    "helo-no-r": (HeLo, {"steer": False}),
    "helo-release": (HeLoRelease, {}),
}
_MODELS = _SYSTEMS | _ABLATIONS
# need a package of their own; known to `build`, not among `available()`
_OPTIONAL = {"pyldl": "helo.models.pyldl:PyLDL"}


def systems() -> tuple[str, ...]:
    """Models of their own: HeLo and its neighbours, the simple rivals, the closed forms."""
    return tuple(_SYSTEMS)


def ablations() -> tuple[str, ...]:
    """HeLo without one of its parts, or with another form of it, and as its released code computes it."""
    return tuple(_ABLATIONS)


def available() -> tuple[str, ...]:
    """All names `build` knows, first `systems()`, then `ablations()`; besides "pyldl", the adapter to python-ldl."""
    return tuple(_MODELS)


def exists(name: str) -> bool:
    """Whether `build` knows a name."""
    return name in _MODELS or name in _OPTIONAL


def is_closed_form(name: str) -> bool:
    """Whether a model is solved in one step, so that a seed changes nothing."""
    return _kind(name)[0].closed_form


def origin(name: str) -> tuple[str, dict[str, Any]]:
    """The module that a model's class is from, and the options that its name fixes."""
    kind, preset = _kind(name)
    return kind.__module__, dict(preset)


def defaults(name: str) -> dict[str, Any]:
    """A model's options and their defaults, those that its name fixes left out."""
    kind, preset = _kind(name)
    about = list(inspect.signature(kind).parameters.items())[1:]  # without the layout
    return {option: value.default for option, value in about if option not in preset}


def choices(name: str) -> dict[str, tuple]:
    """What of a model's own options a nested choice may draw from: option -> values."""
    kind, preset = _kind(name)
    return {option: values for option, values in kind.choices.items() if option not in preset}


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
    kind, preset = _kind(name)
    defaults = {option: about.default for option, about in list(inspect.signature(kind).parameters.items())[1:]}
    known = [option for option in defaults if option not in preset]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(f"model {name!r} does not take {unknown}; its options are {known}")
    check(name, defaults | preset | options)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = kind(layout, **preset, **options)
    model.name, model.seed, model.options = name, seed, dict(options)
    return model


def _kind(name):
    if name in _MODELS:
        return _MODELS[name]
    if name not in _OPTIONAL:
        raise ValueError(f"unknown model {name!r}; expected one of {list(_MODELS)}")
    module, _, kind = _OPTIONAL[name].partition(":")
    return getattr(importlib.import_module(module), kind), {}
