"""Several models that answer together: the mean of what they say, and how far they disagree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from helo.data.emotion_data import EmotionData
from helo.data.split import Split
from helo.data.splits import nested
from helo.models import EmotionModel, Prediction, build
from helo.training import fit, fit_together, prediction


@dataclass
class Answer(Prediction[np.ndarray]):
    """A `Prediction` that knows how far the models that made it disagree.

    Args:
        spread: standard deviation over the models of each emotion's share, shape (n, L); None where one model answered.
    """

    spread: np.ndarray | None = None


def predict(
    model: EmotionModel | Sequence[EmotionModel],
    data: EmotionData,
    index: np.ndarray | None = None,
    *,
    batch_size: int = 512,
    device: str | torch.device | None = None,
    explain: bool = True,
    without: str | Sequence[str] = (),
    precision: str = "auto",
) -> Answer:
    """Predict windows with a trained model, or with several that answer together; labels are not read.

    With p_k the answer of model k of K, the answer and its spread are

        p = 1/K sum_k p_k,    spread_j = sqrt(1/K sum_k (p_kj - p_j)^2)

    The spread is what other training people and first weights change. Ratings lie further off: docs/uncertainty.md.

    Args:
        model: a trained model, or several of the same data: those of `helo.splits.nested`, or of other seeds.
        data: the data set.
        index: which windows, as numbers or as a mask; default all.
        batch_size: windows at a time; changes memory alone, but for `helo-release`, whose answers hang on their batch,
            for `helo-gromov`, whose plan may turn with the last digit where few tokens are there, for parts that are
            taken out (`EmotionModel.without`), and for what "auto" takes in large models.
        device: where to compute; default where the model is.
        explain: also keep plans, costs and attention, of one model.
        without: a modality, or several, to leave out of every window, as if they had not been recorded.
        precision: of a network's products, as in `helo.fit`; what is answered is float32.

    Returns:
        An `Answer` of numpy arrays, one row per window of `index`, in its order; `spread` is None for one model.
        Several models give no plans, costs or attention: those are each model's own.

    Raises:
        ValueError: no model, no windows; a modality in `without` that the data has not; an unknown precision; or a
            model was built for other modalities, tokens, features or emotions.
        FloatingPointError: an answer is NaN; the message names the modality and window to look at.
    """
    settings: dict[str, Any] = {"batch_size": batch_size, "device": device, "without": without, "precision": precision}
    if isinstance(model, EmotionModel):
        return Answer(**vars(prediction.predict(model, data, index, explain=explain, **settings)))
    if not model:
        raise ValueError("no model to ask; expected one, or a list of them")
    said = np.stack([prediction.predict(m, data, index, explain=False, **settings).distributions for m in model])
    mean = said.mean(0)
    return Answer(
        mean, np.log(np.maximum(mean, np.finfo(mean.dtype).tiny)), spread=said.std(0) if len(said) > 1 else None
    )


def members(
    model: str,
    data: EmotionData,
    split: Split,
    groups: int = 3,
    *,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
    **training: Any,
) -> tuple[list[EmotionModel], list[Split]]:
    """Models that answer together, as `helo.evaluate` makes them: each stopped by another group of training people.

    Those of closed form, which nobody stops and which `evaluate` solves once with everybody, are here each solved
    without its group, so that the group can calibrate.

    Args:
        model: a name from `helo.models.available()`.
        data: the data set.
        split: its training side is divided (`helo.splits.nested`); its test side is not touched.
        groups: how many, and so how many models.
        seed: who goes together, first weights and batches.
        options: of the model.
        **training: arguments of `helo.fit`.

    Returns:
        The models and their splits, for `predict` and `helo.evaluation.confidence`.

    Raises:
        ValueError: `refit` among the arguments.
    """
    return members_of_folds(model, data, [split], groups, seed=seed, options=options, **training)[0]


def members_of_folds(
    model: str,
    data: EmotionData,
    folds: Sequence[Split],
    groups: int = 3,
    *,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
    **training: Any,
) -> list[tuple[list[EmotionModel], list[Split]]]:
    """`members` of several splits, trained as one where the model can be (`helo.training.stacking`)."""
    if training.get("refit"):
        raise ValueError("refit trains on each model's group too, which is to stop it and to calibrate; leave it out")
    splits = [part for fold in folds for part in nested(data, fold, groups, seed)]
    seeds = [seed * groups + k for k in range(groups)] * len(folds)
    models = [build(model, data, seed=own, **(options or {})) for own in seeds]
    if models[0].stackable:
        fit_together(models, data, splits, seeds=seeds, **training)
    else:
        for one, part, own in zip(models, splits, seeds, strict=True):
            # one of closed form has no stopping to do, and would learn from these people too
            learned = replace(part, validation=part.validation[:0]) if one.closed_form else part
            fit(one, data, learned, seed=own, **training)
    return [(models[k : k + groups], splits[k : k + groups]) for k in range(0, len(models), groups)]
