"""What every model here is: the same batch in, one `Prediction` out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from helo.data.emotion_data import EmotionData, Layout
from helo.data.splits import Split
from helo.losses import kl_divergence
from helo.models.dropout import Dropout


@dataclass
class Prediction:
    """What a model says of B windows.

    Tensors from a model's forward, numpy arrays from `helo.predict`.

    Args:
        distributions: shape (B, L), rows on the simplex.
        log_distributions: their logarithms, shape (B, L).
        plans: transport plans (B, n, m), where the model has them.
        costs: the costs they solve, (B, n, m).
        attention: attention maps by name, (B, ...).
        hidden: what the model's auxiliary losses need; empty in what `helo.predict` gives.
    """

    distributions: Any
    log_distributions: Any
    plans: Any = None
    costs: Any = None
    attention: dict[str, Any] = field(default_factory=dict)
    hidden: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_logits(cls, logits: Tensor, **explanation) -> Prediction:
        log = logits.log_softmax(-1)
        return cls(log.exp(), log, **explanation)


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
    #: True where several can be trained as one (`helo.training.stacking`): no window of a batch has a say in another's
    #: answer or loss, and nothing is random in training but `Dropout`.
    stackable = False
    #: False for adapters to libraries whose objects have no format but pickle.
    can_be_saved = True

    def __init__(self, layout: Layout, input_dropout: float = 0.0):
        super().__init__()
        self.layout = layout
        self.input_dropout = Dropout(input_dropout)
        #: name of a loss -> its weight in the total
        self.weights: dict[str, float] = {"kl": 1.0}
        #: whether `prepare` has taken its constants from a training side
        self.register_buffer("prepared", torch.zeros((), dtype=torch.bool))
        for i, (_, features) in enumerate(layout.shapes.values()):
            self.register_buffer(f"mean_{i}", torch.zeros(features))
            self.register_buffer(f"scale_{i}", torch.ones(features))

    def forward(self, signals: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Prediction:
        """Predict B windows: signals[m] (B, tokens, features) and masks[m] (B, tokens), True where a token is there."""
        raise NotImplementedError

    def losses(self, prediction: Prediction, truth: Tensor) -> dict[str, Tensor]:
        """Loss terms by name, before weighting; truth (B, L)."""
        return {"kl": kl_divergence(prediction.log_distributions, truth)}

    def total(self, losses: Mapping[str, Tensor]) -> Tensor:
        """sum_k weight_k loss_k; a term of weight 0 does not take part."""
        return sum(self.weights[name] * loss for name, loss in losses.items() if self.weights[name] != 0)

    def prepare(self, data: EmotionData, split: Split) -> None:
        """Take what is constant in training from the training windows: here, each feature's mean and scale."""
        for i, m in enumerate(self.layout.modalities):
            there = torch.as_tensor(data.signals[m][split.train][data.masks[m][split.train]])
            if len(there):
                sd = there.std(0, correction=0)
                getattr(self, f"mean_{i}").copy_(there.mean(0))
                getattr(self, f"scale_{i}").copy_(torch.where(sd > 1e-6, sd, 1))

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
