"""What every model here is: the same batch in, one `Prediction` out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from helo.data.emotion_data import BEHAVIORAL, PHYSIOLOGICAL, EmotionData, Layout
from helo.data.split import Split
from helo.losses import kl_divergence
from helo.models.dropout import Dropout
from helo.precision import products_in, widened

Array = TypeVar("Array", Tensor, np.ndarray)


@dataclass
class Prediction(Generic[Array]):
    """What a model says of B windows.

    Tensors from a model's forward, numpy arrays from `helo.predict`.

    Args:
        distributions: shape (B, L), rows on the simplex.
        log_distributions: their logarithms, shape (B, L).
        plans: transport plans (B, n, m), where the model has them.
        costs: the costs they solve, (B, n, m); of `transport="gromov"`, which solves others, the same cosine costs.
        attention: attention maps by name, (B, ...).
        hidden: what the model's auxiliary losses need; empty in what `helo.predict` gives.
    """

    distributions: Array
    log_distributions: Array
    plans: Array | None = None
    costs: Array | None = None
    attention: dict[str, Array] = field(default_factory=dict)
    hidden: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_logits(cls, logits: Tensor, **explanation: Any) -> Prediction[Tensor]:
        """Softmax of the logits, and what explains it."""
        log = widened(logits).log_softmax(-1)
        return Prediction(log.exp(), log, **explanation)


def both_roles(layout: Layout) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """HeLo's two sides: the physiological modalities, the behavioral ones, and which of the first is the query.

    Raises:
        ValueError: a role without a modality.
    """
    physiological, behavioral, query = layout.roles[PHYSIOLOGICAL], layout.roles[BEHAVIORAL], layout.query
    if not behavioral or query is None:  # where there is a physiological modality, one is the query
        raise ValueError(
            f"HeLo found physiological modalities {list(physiological)} and behavioral {list(behavioral)}; "
            "expected at least one of each"
        )
    return physiological, behavioral, query


class EmotionModel(nn.Module):
    """Base of all models.

    A subclass implements `forward` and, where it has auxiliary losses, `losses` and `weights`. A baseline that is
    solved rather than descended overrides `solve`.

    Args:
        layout: modalities, roles and emotions of the data, from `data.layout`.
        input_dropout: share of the standardised features hidden in training, each by itself, so that no answer hangs on
            one.
    """

    #: True for models that `solve` fits in one step.
    closed_form = False
    #: False for adapters to libraries whose objects have no format but pickle.
    can_be_saved = True
    #: what `helo.knockout` can take out: name of a part -> what stands in its place; `forward` asks `part` for each.
    parts: Mapping[str, str] = {}
    #: settings of its own that `helo.evaluate(choose_from=...)` may draw from: option -> values, the default first
    choices: Mapping[str, tuple] = {}
    #: What it was built from, set by `from_layout`.
    name: str
    seed: int
    options: dict[str, Any]
    #: Whether `prepare` has taken its constants from a training side.
    prepared: Tensor

    def __init__(self, layout: Layout, input_dropout: float = 0.0):
        super().__init__()
        self.layout = layout
        self._out: frozenset[str] = frozenset()
        self.input_dropout = Dropout(input_dropout)
        #: name of a loss -> its weight in the total
        self.weights: dict[str, float] = {"kl": 1.0}
        self.register_buffer("prepared", torch.zeros((), dtype=torch.bool))
        for i, (_, features) in enumerate(layout.shapes.values()):
            self.register_buffer(f"mean_{i}", torch.zeros(features))
            self.register_buffer(f"scale_{i}", torch.ones(features))

    @property
    def stackable(self) -> bool:
        """True where several can be trained as one (`helo.training.stacking`).

        No window of a batch has a say in another's answer or loss, and nothing is random in training but `Dropout`.
        """
        return False

    def forward(self, signals: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Prediction[Tensor]:
        """Predict B windows: signals[m] (B, tokens, features) and masks[m] (B, tokens), True where a token is there."""
        raise NotImplementedError

    def respond(
        self, signals: Mapping[str, Tensor], masks: Mapping[str, Tensor], precision: str = "float32"
    ) -> Prediction[Tensor]:
        """`forward` with products in that precision ("float32" or "bfloat16"); its numbers are float32 in any case.

        Tokens that are not `heard` count as missing.
        """
        with products_in(precision, next(iter(signals.values())).device):
            said = self(signals, self.heard(masks))
        return said if precision == "float32" else Prediction(**widened(vars(said)))

    def heard(self, masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The masks, without tokens of a modality that training never had: nothing has learned what they say."""
        return {m: masks[m] & (getattr(self, f"scale_{i}")[0] > 0) for i, m in enumerate(self.layout.modalities)}

    @contextmanager
    def without(self, *parts: str) -> Iterator[None]:
        """Take parts out for as long as this lasts: `with model.without("plan"): helo.predict(model, data)`.

        Raises:
            ValueError: a part the model does not have.
        """
        unknown = sorted(set(parts) - set(self.parts))
        if unknown:
            raise ValueError(f"{type(self).__name__} has no parts {unknown}; its parts are {list(self.parts)}")
        before, self._out = self._out, self._out | set(parts)
        try:
            yield
        finally:
            self._out = before

    def part(self, name: str, x: Tensor, instead: Tensor | Callable[[], Tensor] | None = None) -> Tensor:
        """What a part computes, x (B, ...); where the part is taken out, what stands in its place.

        Args:
            name: one of `parts`.
            x: what the part computes.
            instead: what stands in its place, or a function that computes it; default the mean of x over the windows,
                which keeps what every window has and loses what tells them apart.
        """
        if name not in self._out:
            return x
        if instead is None:
            return x.mean(0, keepdim=True).expand_as(x)
        return instead() if callable(instead) else instead

    def losses(self, prediction: Prediction[Tensor], truth: Tensor) -> dict[str, Tensor]:
        """Loss terms by name, before weighting; truth (B, L)."""
        return {"kl": kl_divergence(prediction.log_distributions, truth)}

    def total(self, losses: Mapping[str, Tensor]) -> Tensor:
        """sum_k weight_k loss_k; a term of weight 0 does not take part."""
        terms = [self.weights[name] * loss for name, loss in losses.items() if self.weights[name] != 0]
        return sum(terms, torch.zeros(()))

    def prepare(self, data: EmotionData, split: Split) -> None:
        """Take what is constant in training from the training windows: here, each feature's mean and scale.

        A feature that training has in one value alone has weights that learn nothing: it is scaled away. A modality
        that training never has is not `heard` later either: its scale is negative.
        """
        largest = torch.finfo(torch.float32).max
        for i, m in enumerate(self.layout.modalities):
            there = torch.as_tensor(data.signals[m][split.train][data.masks[m][split.train]])
            getattr(self, f"scale_{i}").fill_(-largest)
            if len(there):
                sd = there.std(0, correction=0)
                getattr(self, f"mean_{i}").copy_(there.mean(0))
                # beside its size, for a unit may be small (siemens, square volts); below 1e-12 it is taken for rounding
                varies = (sd > 1e-6 * there.abs().amax(0)) & (sd > 1e-12)
                getattr(self, f"scale_{i}").copy_(torch.where(varies, sd, largest))

    def solve(self, data: EmotionData, split: Split) -> None:
        """Fit in closed form; only where `closed_form` is True."""
        raise NotImplementedError

    def standardise(self, signals: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Signals centred and scaled by the training windows; 0 where masked, and where training hides them."""
        return {
            m: self.input_dropout((signals[m] - getattr(self, f"mean_{i}")) / getattr(self, f"scale_{i}"))
            * masks[m].unsqueeze(-1)
            for i, m in enumerate(self.layout.modalities)
        }
