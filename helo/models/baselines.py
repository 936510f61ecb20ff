"""Baselines: what a model must beat before its architecture means anything.

All are solved at once, without epochs (some by an iterative solver of SciPy or scikit-learn), then live as buffers, so
that they are saved, loaded and asked like any other model. What there is to choose (a strength, a width, k) is chosen
inside, by `inner_validation`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from helo.data.emotion_data import EmotionData, Layout
from helo.data.split import Split
from helo.measures import floored, kl
from helo.models.base import EmotionModel, Prediction
from helo.models.blocks import masked_mean, side_by_side

Option = TypeVar("Option")


class Uniform(EmotionModel):
    """Every emotion equally: p_j = 1 / L."""

    closed_form = True
    answer: Tensor

    def __init__(self, layout: Layout):
        super().__init__(layout)
        count = len(layout.emotions)
        self.register_buffer("answer", torch.full((count,), 1 / count))

    def solve(self, data: EmotionData, split: Split) -> None:
        """Nothing to learn."""

    def forward(self, signals: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Prediction[Tensor]:
        size = len(next(iter(signals.values())))
        return Prediction.from_logits(self.answer.log().expand(size, -1))


class TrainingMean(Uniform):
    """The training side's mean distribution, whatever the signals, no share below about .01 / L: the zero of skill."""

    def solve(self, data: EmotionData, split: Split) -> None:
        rows = training_side(split)
        self.answer.copy_(torch.as_tensor(floored(data.distributions[rows].astype(np.float64).mean(0))))


class LinearInputs(EmotionModel):
    """What the closed-form models see, one vector a window.

    The summary is each feature's mean and standard deviation over the tokens that are there; a modality without any has
    the training mean and a deviation of 0. Token by token it is every feature of every token, where a token that is not
    there counts as the training mean.
    """

    closed_form = True

    def summary(self, signals: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Tensor:
        """(B, 2 * all features)."""
        parts = []
        for m, x in self.standardise(signals, masks).items():
            mean = masked_mean(x, masks[m])
            variance = masked_mean((x - mean.unsqueeze(1)) ** 2, masks[m])
            parts += [mean, variance.sqrt()]
        return torch.cat(parts, 1)

    def token_by_token(self, signals: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Tensor:
        """(B, sum of tokens * features)."""
        return side_by_side(self.standardise(signals, masks), self.layout.shapes)

    def inputs(self, data: EmotionData, rows: np.ndarray, tokens: bool = False) -> np.ndarray:
        """The summary of these windows, or their features token by token, (rows, features), float64."""
        signals = {m: torch.as_tensor(x[rows]) for m, x in data.signals.items()}
        masks = {m: torch.as_tensor(x[rows]) for m, x in data.masks.items()}
        return (self.token_by_token if tokens else self.summary)(signals, masks).double().numpy()

    def count_inputs(self, tokens: bool = False) -> int:
        """Length of the summary, or of a window token by token."""
        return sum((own if tokens else 2) * features for own, features in self.layout.shapes.values())

    def make_room(self, stored: Mapping[str, Tensor], **shapes: tuple[int | None, int]) -> None:
        """Buffers of a size that the file alone knows, by name: rows, None for as many as all have, and columns.

        Raises:
            ValueError: the file's have another shape.
        """
        free = next((len(stored[name]) for name, (rows, _) in shapes.items() if rows is None and name in stored), 0)
        for name, (rows, columns) in shapes.items():
            expected = (free if rows is None else rows, columns)
            if name in stored and stored[name].numel() and stored[name].shape != expected:
                raise ValueError(f"{name} is of shape {tuple(stored[name].shape)}; expected {expected}")
            if name in stored:
                setattr(self, name, torch.empty_like(stored[name]))


def training_side(split: Split) -> np.ndarray:
    """A baseline stops nowhere early, so the validation windows serve as training windows."""
    return np.concatenate([split.train, split.validation])


def groups(data: EmotionData, split: Split) -> np.ndarray:
    """Who is left out together on the training side: the person of each window; the trial, where there is one person.

    The trial too where most of the split's validation windows (test windows, where it has none) are of people who are
    trained on: a strength is chosen for the question that is asked, as the networks' last epoch is.
    """
    rows = training_side(split)
    subjects, asked = data.subjects[rows], data.subjects[split.validation if len(split.validation) else split.test]
    known = len(asked) > 0 and np.isin(asked, data.subjects[split.train]).mean() > 0.5
    return data.trial_ids[rows] if known or len(np.unique(subjects)) < 2 else subjects


def inner_validation(
    answers: Callable[[np.ndarray, np.ndarray], Iterable[tuple[Option, np.ndarray]]],
    truth: np.ndarray,
    groups: np.ndarray,
    otherwise: Option,
) -> Option:
    """The option with the lowest KL when up to five folds of groups are left out in turn; of equals the first.

    Args:
        answers: from the rows to fit and the rows to answer, every option and its distributions of the latter, in the
            same order each time.
        truth: distributions, shape (n, L).
        groups: who is left out together, shape (n,).
        otherwise: the option to take where there is one group only.
    """
    from sklearn.model_selection import GroupKFold

    folds = min(5, len(np.unique(groups)))
    if folds < 2:
        return otherwise
    errors: dict[Option, float] = {}
    for fit, ask in GroupKFold(folds).split(truth, groups=groups):
        for option, answer in answers(fit, ask):
            errors[option] = errors.get(option, 0.0) + kl(truth[ask], answer).sum()
    return min(errors, key=errors.__getitem__)


def softmax(logits: np.ndarray) -> np.ndarray:
    """exp(x_j) / sum_k exp(x_k), by row."""
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    return shifted / shifted.sum(1, keepdims=True)
