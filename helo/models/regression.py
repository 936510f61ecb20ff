"""Regressions of the distribution: ridge, and kernel ridge.

A regression gives L values z for a window, and they are made a distribution in one of two ways, with a floor f:

    logarithms   regress log max(l, f) without its mean over the emotions;   p = softmax(z)
    shares       regress l itself;                                           p = max(z, f) / sum_k max(z_k, f)

Least squares on shares aims at the mean share, which is where KL is least as well; on logarithms at their mean, which a
label of zero, as votes have, pulls as far as the floor lets it. Which way, which floor, which of the two views of a
window (`LinearInputs`), and how much is shrunk is chosen inside, by training people who are left out in turn; by
trials, where the people asked are known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from helo.data.emotion_data import EmotionData, Layout
from helo.data.split import Split
from helo.models.base import Prediction
from helo.models.baselines import LinearInputs, groups, inner_validation, softmax, training_side

_LOG_FLOORS, _SHARE_FLOORS = (1e-4, 1e-3, 1e-2, 3e-2, 1e-1), (1e-4, 1e-3, 1e-2, 3e-2)


class Choice(NamedTuple):
    """What is chosen inside; `width` is the kernel's, 0 where there is none."""

    tokens: bool
    logarithms: bool
    floor: float
    strength: float
    width: float = 0.0


class Regression(LinearInputs):
    """What both regressions share: their targets, their answers, and what was chosen, kept as buffers."""

    tokens: Tensor
    logarithms: Tensor
    floor: Tensor
    strength: Tensor
    width: Tensor

    def __init__(self, layout: Layout):
        super().__init__(layout)
        for name in ("tokens", "logarithms"):
            self.register_buffer(name, torch.zeros((), dtype=torch.bool))
        for name in ("floor", "strength", "width"):
            self.register_buffer(name, torch.zeros(()))

    def values(self, x: Tensor) -> Tensor:
        """z, (B, L), from the chosen view of the windows."""
        raise NotImplementedError

    def forward(self, signals: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Prediction[Tensor]:
        z = self.values((self.token_by_token if self.tokens else self.summary)(signals, masks))
        return Prediction.from_logits(z if self.logarithms else z.clamp_min(self.floor).log())

    def views(self, data: EmotionData, rows: np.ndarray) -> dict[bool, np.ndarray]:
        """Whether token by token -> the windows; of vectors alone both views say the same, so there is one."""
        several = any(own > 1 for own, _ in self.layout.shapes.values())
        return {tokens: self.inputs(data, rows, tokens) for tokens in ((False, True) if several else (False,))}

    def keep(self, choice: Choice) -> None:
        for name, value in choice._asdict().items():
            getattr(self, name).fill_(value)


class Ridge(Regression):
    """Ridge regression: z = W x + b, W shrunk by one of eleven strengths from 1 to 100,000."""

    weight: Tensor
    bias: Tensor

    def __init__(self, layout: Layout):
        super().__init__(layout)
        self.register_buffer("weight", torch.zeros(len(layout.emotions), 0))
        self.register_buffer("bias", torch.zeros(len(layout.emotions)))

    def solve(self, data: EmotionData, split: Split) -> None:
        rows = training_side(split)
        views, truth = self.views(data, rows), data.distributions[rows].astype(np.float64)
        targets = _targets(truth)
        varying = {tokens: x[:, x.any(0)] for tokens, x in views.items()}

        def answers(fit, ask):
            for tokens, x in varying.items():
                strengths = np.logspace(0, 5, 11)
                for strength, (weight, bias) in zip(strengths, _ridge(x[fit], targets[fit], strengths), strict=True):
                    yield from _answers(x[ask] @ weight + bias, tokens, strength)

        best = inner_validation(answers, truth, groups(data, split), Choice(False, False, 1e-2, 1000.0))
        ((weight, bias),) = _ridge(views[best.tokens], targets, [best.strength])
        self.keep(best)
        self.weight = torch.as_tensor(_of(weight, best).T, dtype=self.bias.dtype).contiguous()
        self.bias.copy_(torch.as_tensor(_of(bias, best)))

    def values(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight, self.bias)

    def _load_from_state_dict(self, state_dict, prefix, *rest):
        stored = {name.removeprefix(prefix): x for name, x in state_dict.items()}
        self.make_room(stored, weight=(len(self.bias), self.count_inputs(bool(stored.get("tokens")))))
        super()._load_from_state_dict(state_dict, prefix, *rest)


class KernelRidge(Regression):
    """Kernel ridge regression: z = sum_i a_i exp(-|x - x_i|^2 / (2 F w^2)) + the mean target, F features in the view.

    The strength is one of eight from .03 to 100, the width w one of four from .5 to 4. The x_i are the training
    windows, at most 500 of them, evenly drawn (with all of them it is kernel ridge regression, with fewer the subset
    of regressors, Rasmussen & Williams 2006, ch. 8): minimise |Y - K_n a|^2 + strength a^T K a.
    """

    points: Tensor
    weight: Tensor
    mean: Tensor

    def __init__(self, layout: Layout):
        super().__init__(layout)
        # in float64: the weights of neighbours nearly cancel
        for name, shape in (("points", (0, 0)), ("weight", (0, len(layout.emotions))), ("mean", len(layout.emotions))):
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64))

    def solve(self, data: EmotionData, split: Split) -> None:
        rows = training_side(split)
        views, truth = self.views(data, rows), data.distributions[rows].astype(np.float64)
        targets = _targets(truth)
        strengths = np.logspace(-1.5, 2, 8)

        def answers(fit, ask):
            for tokens, x in views.items():
                for width in (0.5, 1.0, 2.0, 4.0):
                    points = _evenly(x[fit])
                    kernel = _kernel(x[ask], points, width)
                    for strength, weight in zip(
                        strengths, _kernel_ridge(x[fit], points, targets[fit], width, strengths), strict=True
                    ):
                        yield from _answers(kernel @ weight + targets[fit].mean(0), tokens, strength, width)

        best = inner_validation(answers, truth, groups(data, split), Choice(False, False, 1e-2, 1.0, 1.0))
        points = _evenly(views[best.tokens])
        (weight,) = _kernel_ridge(views[best.tokens], points, targets, best.width, [best.strength])
        self.keep(best)
        self.points, self.weight = torch.as_tensor(points), torch.as_tensor(_of(weight, best)).contiguous()
        self.mean.copy_(torch.as_tensor(_of(targets.mean(0), best)))

    def values(self, x: Tensor) -> Tensor:
        distance = torch.cdist(x.double(), self.points, compute_mode="donot_use_mm_for_euclid_dist")
        kernel = torch.exp(-(distance**2) / (2 * max(x.shape[1], 1) * self.width.double() ** 2))
        return (kernel @ self.weight + self.mean).to(x)

    def _load_from_state_dict(self, state_dict, prefix, *rest):
        stored = {name.removeprefix(prefix): x for name, x in state_dict.items()}
        inputs = self.count_inputs(bool(stored.get("tokens")))
        self.make_room(stored, points=(None, inputs), weight=(None, len(self.mean)))
        super()._load_from_state_dict(state_dict, prefix, *rest)


def _targets(truth: np.ndarray) -> np.ndarray:
    """What is regressed for every way, side by side: the shares, then the logarithms with each floor; (n, 6 L)."""
    logs = [np.log(np.maximum(truth, floor)) for floor in _LOG_FLOORS]
    return np.concatenate([truth, *(log - log.mean(1, keepdims=True) for log in logs)], 1)


def _of(columns: np.ndarray, choice: Choice) -> np.ndarray:
    """The columns, of those for all targets, that are the choice's."""
    place = 1 + _LOG_FLOORS.index(choice.floor) if choice.logarithms else 0
    return np.split(columns, 1 + len(_LOG_FLOORS), axis=-1)[place]


def _answers(z: np.ndarray, tokens: bool, strength: float, width: float = 0.0) -> Iterator[tuple[Choice, np.ndarray]]:
    """Every way to make a distribution of the values for all targets."""
    for floor in _LOG_FLOORS:
        choice = Choice(tokens, True, floor, float(strength), width)
        yield choice, softmax(_of(z, choice))
    for floor in _SHARE_FLOORS:
        choice = Choice(tokens, False, floor, float(strength), width)
        shares = np.maximum(_of(z, choice), floor)
        yield choice, shares / shares.sum(1, keepdims=True)


def _ridge(x, targets, strengths):
    """Ridge regression's weights (features, targets) and intercepts for each strength; the one product of the features
    with themselves, or of the windows where these are fewer, serves all strengths."""
    from scipy.linalg import solve

    varies = x.any(0)  # of a single token the deviations are all 0
    centre, mean = x[:, varies].mean(0), targets.mean(0)
    x, y = x[:, varies] - centre, targets - mean
    few = len(x) < x.shape[1]
    product, right = (x @ x.T, y) if few else (x.T @ x, x.T @ y)
    places = np.diag_indices_from(product)
    diagonal = product[places]
    for strength in strengths:
        product[places] = diagonal + strength
        own = solve(product, right, assume_a="pos")
        weight = np.zeros((len(varies), targets.shape[1]))
        weight[varies] = x.T @ own if few else own
        yield weight, mean - centre @ weight[varies]


def _evenly(x, most=500):
    return x[np.linspace(0, len(x) - 1, min(most, len(x))).round().astype(int)]


def _kernel(x, points, width):
    from sklearn.metrics.pairwise import rbf_kernel

    return rbf_kernel(x, points, gamma=1 / (2 * max(x.shape[1], 1) * width**2))


def _kernel_ridge(x, points, targets, width, strengths):
    """The weights for each strength: with K = B^-T B^-1 it is ridge regression on K_n B, whose one decomposition
    serves all strengths."""
    values, vectors = np.linalg.eigh(_kernel(points, points, width))
    there = values > 1e-10 * values[-1]
    basis = vectors[:, there] / np.sqrt(values[there])
    features = _kernel(x, points, width) @ basis
    spread, turn = np.linalg.eigh(features.T @ features)
    turned, basis = turn.T @ (features.T @ (targets - targets.mean(0))), basis @ turn
    return [basis @ (turned / (np.maximum(spread, 0) + strength)[:, None]) for strength in strengths]
