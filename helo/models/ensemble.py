"""Several HeLos with first weights of their own, trained side by side; their mean distribution is the answer.

    p = 1/K sum_k p_k,   loss = 1/K sum_k loss_k

Few people make few labels (WESAD: 75 questionnaires), and the network that is kept after early stopping is one of many that
fit as well; their mean is steadier than any of them (Lakshminarayanan et al., NeurIPS 2017). Each member learns from its own
loss; early stopping judges the mean.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from helo.data.emotion_data import EmotionData, Layout
from helo.models.base import EmotionModel, Prediction
from helo.models.helo import HeLo
from helo.splits import Split


class Ensemble(EmotionModel):
    """The mean of K HeLos.

    Args:
        layout: modalities, roles and emotions.
        members: K.
        width, heads, depth, dropout, transport, correlation_weight, transport_weight: of every member, see `HeLo`.

    Raises:
        ValueError: no members, or as `HeLo`.
    """

    def __init__(
        self,
        layout: Layout,
        members: int = 5,
        width: int = 128,
        heads: int = 4,
        depth: int = 1,
        dropout: float = 0.5,
        transport: str = "wasserstein",
        correlation_weight: float = 1.0,
        transport_weight: float = 0.0,
    ):
        super().__init__(layout)
        if members < 1:
            raise ValueError(f"members is {members}; expected at least 1")
        self.members = nn.ModuleList(
            HeLo(
                layout, width=width, heads=heads, depth=depth, dropout=dropout, transport=transport,
                correlation_weight=correlation_weight, transport_weight=transport_weight,
            )
            for _ in range(members)
        )  # fmt: skip
        self.weights = self.members[0].weights

    def prepare(self, data: EmotionData, split: Split) -> None:
        super().prepare(data, split)
        for member in self.members:
            member.prepare(data, split)

    def forward(self, signals: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Prediction:
        """Predict B windows; plans, costs and attention are the members' means."""
        said = [member(signals, masks) for member in self.members]
        log = torch.stack([p.log_distributions for p in said]).logsumexp(0).log_softmax(-1)

        def mean(values):
            return None if values[0] is None else torch.stack(values).mean(0)

        return Prediction(
            log.exp(), log, mean([p.plans for p in said]), mean([p.costs for p in said]),
            {name: mean([p.attention[name] for p in said]) for name in said[0].attention}, {"members": said},
        )  # fmt: skip

    def learned_correlation(self) -> Tensor:
        """The members' mean R(E), (L, L)."""
        return torch.stack([member.learned_correlation() for member in self.members]).mean(0)

    def losses(self, prediction: Prediction, truth: Tensor) -> dict[str, Tensor]:
        """The members' mean of each of HeLo's losses."""
        each = [m.losses(p, truth) for m, p in zip(self.members, prediction.hidden["members"], strict=True)]
        return {name: torch.stack([terms[name] for terms in each]).mean() for name in each[0]}
