"""Baselines: what a model must beat before its architecture means anything.

All are solved in closed form or by scikit-learn, then live as buffers, so that they are saved, loaded and asked like
any other model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from helo.data.emotion_data import EmotionData, Layout
from helo.data.splits import Split
from helo.measures import kl
from helo.models.base import EmotionModel, Prediction
from helo.models.blocks import masked_mean


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
    """The mean distribution of the training side, whatever the signals: the zero of skill."""

    def solve(self, data: EmotionData, split: Split) -> None:
        rows = training_side(split)
        self.answer.copy_(torch.as_tensor(data.distributions[rows]).mean(0).clamp_min(1e-12))


class LinearInputs(EmotionModel):
    """What the closed-form models see: each feature's mean and standard deviation over a window's tokens."""

    closed_form = True

    def summary(self, signals: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Tensor:
        """(B, 2 * all features)."""
        parts = []
        for m, x in self.standardise(signals, masks).items():
            mean = masked_mean(x, masks[m])
            variance = masked_mean((x - mean.unsqueeze(1)) ** 2, masks[m])
            parts += [mean, variance.sqrt()]
        return torch.cat(parts, 1)

    def inputs(self, data: EmotionData, rows: np.ndarray) -> np.ndarray:
        """The summary of these windows, (rows, 2 * all features), float64."""
        signals = {m: torch.as_tensor(x[rows]) for m, x in data.signals.items()}
        masks = {m: torch.as_tensor(x[rows]) for m, x in data.masks.items()}
        return self.summary(signals, masks).double().numpy()


class _Linear(LinearInputs):
    """A linear map of the summary."""

    weight: Tensor
    bias: Tensor
    strength: Tensor

    def __init__(self, layout: Layout, outputs: int):
        super().__init__(layout)
        inputs = 2 * sum(features for _, features in layout.shapes.values())
        self.register_buffer("weight", torch.zeros(outputs, inputs))
        self.register_buffer("bias", torch.zeros(outputs))
        self.register_buffer("strength", torch.zeros(()))

    def linear(self, signals: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Tensor:
        return nn.functional.linear(self.summary(signals, masks), self.weight, self.bias)

    def keep(self, weight: np.ndarray, bias: np.ndarray, strength: float) -> None:
        self.weight.copy_(torch.as_tensor(weight))
        self.bias.copy_(torch.as_tensor(bias))
        self.strength.fill_(strength)


class Ridge(_Linear):
    """Ridge regression of the centred log-distribution; p = softmax(W x + b).

    The strength is the one with the lowest KL in an inner validation that leaves training subjects out (trials where
    there is one subject).
    """

    def __init__(self, layout: Layout):
        super().__init__(layout, len(layout.emotions))

    def solve(self, data: EmotionData, split: Split) -> None:
        from sklearn.linear_model import Ridge as Solver

        rows = training_side(split)
        x, truth = self.inputs(data, rows), data.distributions[rows].astype(np.float64)
        target = np.log(np.maximum(truth, 1e-4))
        target -= target.mean(1, keepdims=True)

        def answer(strength, fit, ask):
            return _softmax(Solver(alpha=strength).fit(x[fit], target[fit]).predict(x[ask]))

        best = _inner_validation(answer, np.logspace(0, 5, 11), truth, _groups(data, rows))
        solved = Solver(alpha=best).fit(x, target)
        self.keep(solved.coef_, solved.intercept_, best)

    def forward(self, signals: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Prediction[Tensor]:
        return Prediction.from_logits(self.linear(signals, masks))


class ConditionMixture(_Linear):
    """Logistic regression of the condition, then the mixture of the conditions' mean distributions.

    p = sum_c P(c | x) mean_c. It is told the conditions' names in training, which no other model is: a rival to know,
    not one on equal terms.
    """

    means: Tensor

    def __init__(self, layout: Layout, conditions: int = 0):
        super().__init__(layout, max(conditions, 1))
        self.register_buffer("means", torch.zeros(max(conditions, 1), len(layout.emotions)))

    def solve(self, data: EmotionData, split: Split) -> None:
        from sklearn.linear_model import LogisticRegression

        if data.conditions is None:
            raise ValueError(f"{data.name}: conditions are not known; the condition mixture cannot be fitted")
        rows = training_side(split)
        x, truth, condition = (
            self.inputs(data, rows),
            data.distributions[rows].astype(np.float64),
            data.conditions[rows],
        )
        names = np.unique(condition)
        if len(names) < 2:
            raise ValueError(f"{data.name}: the training side holds one condition, {names[0]!r}; expected at least two")

        def solver(strength):
            return LogisticRegression(C=1 / strength, max_iter=1000)

        def answer(strength, fit, ask):
            means = np.stack([truth[fit][condition[fit] == c].mean(0) for c in np.unique(condition[fit])])
            return solver(strength).fit(x[fit], condition[fit]).predict_proba(x[ask]) @ means

        best = _inner_validation(answer, np.logspace(0, 3, 7), truth, _groups(data, rows))
        solved = solver(best).fit(x, condition)
        weight, bias = solved.coef_, solved.intercept_
        if len(names) == 2:  # scikit-learn keeps one row for two classes
            weight, bias = np.concatenate([0 * weight, weight]), np.concatenate([0 * bias, bias])
        # a condition that only the test side holds keeps weight 0 and can never be chosen
        absent = len(self.bias) - len(names)
        self.keep(np.pad(weight, ((0, absent), (0, 0))), np.pad(bias, (0, absent), constant_values=-1e9), best)
        self.means[: len(names)] = torch.as_tensor(np.stack([truth[condition == c].mean(0) for c in names]))

    def forward(self, signals: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Prediction[Tensor]:
        mixed = self.linear(signals, masks).softmax(-1) @ self.means
        return Prediction.from_logits(mixed.clamp_min(1e-12).log())


class NearestNeighbours(_Linear):
    """AA-kNN (Geng, IEEE TKDE 2016): the mean distribution of the k nearest training windows.

    k is the one with the lowest KL in an inner validation, as in `Ridge`.
    """

    points: Tensor
    labels: Tensor

    def __init__(self, layout: Layout):
        super().__init__(layout, 1)
        self.register_buffer("points", torch.zeros(0, self.weight.shape[1]))
        self.register_buffer("labels", torch.zeros(0, len(layout.emotions)))

    def solve(self, data: EmotionData, split: Split) -> None:
        from sklearn.neighbors import KNeighborsRegressor

        rows = training_side(split)
        x, truth = self.inputs(data, rows), data.distributions[rows].astype(np.float64)

        def answer(k, fit, ask):
            return KNeighborsRegressor(min(int(k), len(fit))).fit(x[fit], truth[fit]).predict(x[ask])

        best = _inner_validation(answer, (1, 3, 5, 9, 15, 25, 45, 80), truth, _groups(data, rows))
        self.strength.fill_(min(best, len(rows)))
        self.points, self.labels = (torch.as_tensor(v, dtype=torch.float32) for v in (x, truth))

    def forward(self, signals: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Prediction[Tensor]:
        distance = torch.cdist(self.summary(signals, masks), self.points, compute_mode="donot_use_mm_for_euclid_dist")
        nearest = distance.topk(int(self.strength), largest=False).indices
        return Prediction.from_logits(self.labels[nearest].mean(1).clamp_min(1e-12).log())

    def _load_from_state_dict(self, state_dict, prefix, *rest):
        # how many training windows there were is known from the file alone
        for name in ("points", "labels"):
            if prefix + name in state_dict:
                setattr(self, name, torch.empty_like(state_dict[prefix + name]))
        super()._load_from_state_dict(state_dict, prefix, *rest)


class MaximumEntropy(_Linear):
    """SA-BFGS (Geng, IEEE TKDE 2016): p = softmax(W x + b) with the least KL on the training windows, by L-BFGS."""

    def __init__(self, layout: Layout):
        super().__init__(layout, len(layout.emotions))

    def solve(self, data: EmotionData, split: Split) -> None:
        from scipy.optimize import minimize

        rows = training_side(split)
        x, truth = self.inputs(data, rows), data.distributions[rows].astype(np.float64)
        x = np.c_[x, np.ones(len(x))]
        shape = (truth.shape[1], x.shape[1])

        def loss(flat):
            logits = x @ flat.reshape(shape).T
            shifted = logits - logits.max(1, keepdims=True)
            log = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
            return -(truth * log).sum() / len(x), ((np.exp(log) - truth).T @ x / len(x)).ravel()

        solved = minimize(loss, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 600}).x
        self.keep(solved.reshape(shape)[:, :-1], solved.reshape(shape)[:, -1], 0.0)

    def forward(self, signals: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Prediction[Tensor]:
        return Prediction.from_logits(self.linear(signals, masks))


def training_side(split: Split) -> np.ndarray:
    """A baseline stops nowhere early, so the validation windows serve as training windows."""
    return np.concatenate([split.train, split.validation])


def _groups(data, rows):
    subjects = data.subjects[rows]
    return subjects if len(np.unique(subjects)) > 1 else data.trial_ids[rows]


def _inner_validation(
    answer: Callable[[float, np.ndarray, np.ndarray], np.ndarray], strengths, truth: np.ndarray, groups: np.ndarray
) -> float:
    """The strength with the lowest KL when up to five folds of groups are left out in turn."""
    from sklearn.model_selection import GroupKFold

    folds = min(5, len(np.unique(groups)))
    if folds < 2:
        return float(np.median(strengths))
    parts = list(GroupKFold(folds).split(truth, groups=groups))
    errors = [sum(kl(truth[ask], answer(s, fit, ask)).sum() for fit, ask in parts) for s in strengths]
    return float(strengths[int(np.argmin(errors))])


def _softmax(logits):
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    return shifted / shifted.sum(1, keepdims=True)
