"""Answers: `predict` windows with a trained model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from helo.data.emotion_data import EmotionData
from helo.models import EmotionModel, Prediction
from helo.precision import precision_for
from helo.training.faults import suspect
from helo.training.threads import threads_for, where


def predict(
    model: EmotionModel,
    data: EmotionData,
    index: np.ndarray | None = None,
    *,
    batch_size: int = 512,
    device: str | torch.device | None = None,
    explain: bool = True,
    without: str | Sequence[str] = (),
    precision: str = "auto",
) -> Prediction[np.ndarray]:
    """Predict windows; labels are not read.

    Args:
        model: a trained model.
        data: the data set.
        index: which windows, as numbers or as a mask; default all.
        batch_size: windows at a time; changes memory alone, but for `helo-release`, whose answers hang on their batch,
            for `helo-gromov`, whose plan may turn with the last digit where few tokens are there, for parts that are
            taken out (`EmotionModel.without`), and for what "auto" takes in large models.
        device: where to compute; default where the model is.
        explain: also keep plans, costs and attention.
        without: a modality, or several, to leave out of every window, as if they had not been recorded.
        precision: of a network's products, as in `helo.fit`; what is answered is float32.

    Returns:
        A `Prediction` of numpy arrays, one row per window of `index`, in its order.

    Raises:
        ValueError: no windows; a modality in `without` that the data has not; an unknown precision; or the model was
            built for other modalities, tokens, features or emotions.
        FloatingPointError: an answer is NaN; the message names the modality and window to look at.
    """
    place = torch.device(device or where(model))
    with threads_for([model], place):
        precision = precision_for(precision, model, place, batch_size)
        answer = answers(model, data, index, batch_size, device, explain, without, precision)
    wrong = ~np.isfinite(answer.distributions).all(1)
    if wrong.any():
        rows = rows_of(data, index)[wrong]
        raise FloatingPointError(f"{model.name}: the answer to window {rows[0]} is NaN ({suspect(model, data, rows)})")
    return answer


@torch.no_grad()
def answers(
    model: EmotionModel,
    data: EmotionData,
    index: np.ndarray | None = None,
    batch_size: int = 512,
    device: str | torch.device | None = None,
    explain: bool = True,
    without: str | Sequence[str] = (),
    precision: str = "float32",
) -> Prediction[np.ndarray]:
    """As `predict`, whose arguments these are, without a look at whether the answers are numbers."""
    check_layout(model, data)
    without = [without] if isinstance(without, str) else list(without)
    unknown = sorted(set(without) - set(data.signals))
    if unknown:
        raise ValueError(f"{data.name}: cannot leave out {unknown}; its modalities are {list(data.signals)}")
    if device is not None:
        model.to(device)
    device = where(model)
    index = rows_of(data, index)
    if len(index) == 0:
        raise ValueError("no windows to predict; index is empty")
    was_training = model.training
    model.eval()
    parts = []
    for start in range(0, len(index), batch_size):
        rows = index[start : start + batch_size]
        part = model.respond(
            {m: torch.as_tensor(x[rows], device=device) for m, x in data.signals.items()},
            {m: torch.as_tensor(x[rows] & (m not in without), device=device) for m, x in data.masks.items()},
            precision,
        )
        parts.append(part if explain else Prediction(part.distributions, part.log_distributions))
    model.train(was_training)

    def join(values):
        return None if values[0] is None else torch.cat(values).cpu().numpy()

    return Prediction(
        join([p.distributions for p in parts]),
        join([p.log_distributions for p in parts]),
        join([p.plans for p in parts]),
        join([p.costs for p in parts]),
        {name: join([p.attention[name] for p in parts]) for name in parts[0].attention},
    )


def rows_of(data: EmotionData, index: np.ndarray | None) -> np.ndarray:
    """Which windows an index means: all for None, those that are True for a mask; else the index."""
    index = np.arange(len(data)) if index is None else np.asarray(index)
    if index.dtype != bool:
        return index
    if index.shape != (len(data),):
        raise ValueError(f"{data.name}: index is a mask of shape {index.shape}; expected ({len(data)},)")
    return np.flatnonzero(index)


def check_layout(model: EmotionModel, data: EmotionData) -> None:
    """Raise ValueError where a model was built for other modalities, tokens, features or emotions than the data has."""
    ours, theirs = model.layout, data.layout
    if ours.emotions != theirs.emotions:
        raise ValueError(f"{data.name}: emotions are {list(theirs.emotions)}; the model knows {list(ours.emotions)}")
    if ours.modalities != theirs.modalities:
        raise ValueError(
            f"{data.name}: modalities are {list(theirs.modalities)}; the model takes {list(ours.modalities)}"
        )
    for m, (tokens, features) in ours.shapes.items():
        found = theirs.shapes[m]
        # tokens beyond the model's may only be padding
        if found[1] != features or found[0] < tokens or data.masks[m][:, tokens:].any():
            raise ValueError(f"{data.name}: {m!r} has (tokens, features) {found}; the model takes {(tokens, features)}")
