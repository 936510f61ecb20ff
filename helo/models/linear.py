"""Linear models of what a window's features say together: maximum entropy, and the mixture of known conditions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from helo.data.emotion_data import EmotionData, Layout
from helo.data.split import Split
from helo.measures import floored
from helo.models.base import Prediction
from helo.models.baselines import LinearInputs, groups, inner_validation, softmax, training_side


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


class ConditionMixture(_Linear):
    """Logistic regression of the condition, then the mixture of the conditions' mean distributions.

    p = sum_c P(c | x) mean_c, no share of a mean below about .01 / L, as the references' (`helo.measures.floored`). It
    is told the conditions' names in training, which no other model is: a rival to know, not one on equal terms.
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

        def answers(fit, ask):
            means = _condition_means(truth[fit], condition[fit])
            for strength in np.logspace(0, 3, 7):
                if len(means) == 1:  # all left to train on met one condition
                    yield strength, np.tile(means, (len(ask), 1))
                    continue
                yield strength, solver(strength).fit(x[fit], condition[fit]).predict_proba(x[ask]) @ means

        best = inner_validation(answers, truth, groups(data, split), otherwise=10**1.5)
        solved = solver(best).fit(x, condition)
        weight, bias = solved.coef_, solved.intercept_
        if len(names) == 2:  # scikit-learn keeps one row for two classes
            weight, bias = np.concatenate([0 * weight, weight]), np.concatenate([0 * bias, bias])
        # a condition that only the test side holds keeps weight 0 and can never be chosen
        absent = len(self.bias) - len(names)
        if absent < 0:
            raise ValueError(
                f"mixture: built for {len(self.bias)} conditions; {data.name}'s training side holds {len(names)}"
            )
        self.keep(np.pad(weight, ((0, absent), (0, 0))), np.pad(bias, (0, absent), constant_values=-1e9), best)
        self.means[: len(names)] = torch.as_tensor(_condition_means(truth, condition))

    def forward(self, signals: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Prediction[Tensor]:
        mixed = self.linear(signals, masks).softmax(-1) @ self.means
        return Prediction.from_logits(mixed.clamp_min(1e-12).log())


def _condition_means(truth, condition):
    return floored(np.stack([truth[condition == c].mean(0) for c in np.unique(condition)]))


class MaximumEntropy(_Linear):
    """SA-BFGS (Geng, IEEE TKDE 2016): p = softmax(W x + b) with the least KL on the training windows, by L-BFGS.

    The penalty, strength / 2 |W|^2 beside the mean KL, is ours; the paper has none. Without it (0 is among the ten
    strengths) a study of few people is learned by heart. The strength is chosen inside, by training people who are left
    out in turn (trials, where the people asked are known). python-ldl's `SA_BFGS` has neither penalty nor intercept,
    and starts from weights drawn from 0..1: where features outnumber windows, what was drawn stays in the answer
    (SJAFFE, a fifth: KL 1.25; ours without a penalty .115, with the chosen one .048). `pyldl` with that algorithm is
    its way, of the same inputs.
    """

    def __init__(self, layout: Layout):
        super().__init__(layout, len(layout.emotions))

    def solve(self, data: EmotionData, split: Split) -> None:
        rows = training_side(split)
        x, truth = self.inputs(data, rows), data.distributions[rows].astype(np.float64)

        def answers(fit, ask):
            start = None
            for strength in _PENALTIES:
                start = weight, bias = _least_kl(x[fit], truth[fit], strength, start)
                yield strength, softmax(x[ask] @ weight.T + bias)

        best = inner_validation(answers, truth, groups(data, split), otherwise=_PENALTIES[4])
        weight, bias = _least_kl(x, truth, best)
        self.keep(weight, bias, best)

    def forward(self, signals: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Prediction[Tensor]:
        return Prediction.from_logits(self.linear(signals, masks))


#: from strong to weak, so that each solution is a start for the next
_PENALTIES = (3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0001, 0.0)


def _least_kl(x, truth, strength, start=None):
    """W (L, features) and b (L,) of the least mean KL + strength / 2 |W|^2."""
    from scipy.optimize import minimize

    shape = (truth.shape[1], x.shape[1])
    x = np.c_[x, np.ones(len(x))]

    def loss(flat):
        both = flat.reshape(shape[0], -1)
        shrunk = np.c_[strength * both[:, :-1], np.zeros(len(both))]
        logits = x @ both.T
        shifted = logits - logits.max(1, keepdims=True)
        log = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
        value = -(truth * log).sum() / len(x) + (shrunk * both).sum() / 2
        return value, ((np.exp(log) - truth).T @ x / len(x) + shrunk).ravel()

    first = np.zeros((shape[0], shape[1] + 1)) if start is None else np.c_[start]
    solved = minimize(loss, first.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 600}).x
    both = solved.reshape(shape[0], -1)
    return both[:, :-1], both[:, -1]
