"""The frame every fusion system shares: streams of tokens in, one vector out, a head on it.

A two-stream system (voice and face, in its paper) takes the physiological modalities as one stream and the behavioral
ones as the other; where one role is empty, the first modality and the rest. A stream is the tokens of its modalities as
a set: the last token of one is no neighbour of the next one's first. A system that reads sequences takes one stream a
modality, `compact`, and puts its sides together itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from helo.data.emotion_data import BEHAVIORAL, PHYSIOLOGICAL, EmotionData, Layout
from helo.data.split import Split
from helo.models.base import EmotionModel, Prediction
from helo.models.blocks import TokenEncoder, masked_mean
from helo.models.dropout import Dropout

Stream = tuple[Tensor, Tensor]  # tokens (B, T, d) and their mask (B, T)


class FusionModel(EmotionModel):
    """Encoders, a fusion, a two-layer head.

    A system implements `fuse`, and `losses` where it has more than KL. What all systems' users choose is said here,
    once; a system's own docstring tells the rest.

    Args:
        layout, input_dropout: as `EmotionModel`.
        width: d, width of every token.
        heads (of systems with attention): attention heads, a divisor of width.
        dropout: share of activations dropped in training.

        vector: width of the fused vector; this and the next are the system's, not its user's.
        per_modality: one stream a modality instead of two streams.

    Raises:
        ValueError: a system of two streams, and one modality alone.
    """

    stackable = True

    def __init__(
        self,
        layout: Layout,
        vector: int,
        width: int,
        dropout: float,
        per_modality: bool = False,
        input_dropout: float = 0.0,
    ):
        super().__init__(layout, input_dropout)
        self.groups = [(m,) for m in layout.modalities] if per_modality else two_streams(layout)
        self.encoders = nn.ModuleList(TokenEncoder(own, features, width, 1) for own, features in layout.shapes.values())
        self.head = head(vector, width, len(layout.emotions), dropout)

    def prepare(self, data: EmotionData, split: Split) -> None:
        """Feature scales and the first answer, the training windows' mean distribution."""
        super().prepare(data, split)
        start_at_mean(self.head, data, split)

    def streams(self, signals: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> list[Stream]:
        """Tokens and mask of every stream."""
        x = self.standardise(signals, masks)
        encoded = {m: f(x[m], masks[m]) for m, f in zip(self.layout.modalities, self.encoders, strict=True)}
        return [
            (torch.cat([encoded[m][0] for m in group], 1), torch.cat([encoded[m][1] for m in group], 1))
            for group in self.groups
        ]

    def forward(self, signals: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Prediction[Tensor]:
        vector, hidden = self.fuse(self.streams(signals, masks))
        return Prediction.from_logits(self.head(vector), hidden=hidden)

    def fuse(self, streams: Sequence[Stream]) -> tuple[Tensor, dict[str, Any]]:
        """The fused vector (B, vector), and what auxiliary losses need by name."""
        raise NotImplementedError


def compact(x: Tensor, mask: Tensor) -> Stream:
    """Tokens of a modality that are there moved to the front, in order, so that no neighbour or state sees a gap."""
    order = (~mask).to(torch.uint8).argsort(dim=1, stable=True)
    mask = mask.gather(1, order)
    return x.gather(1, order.unsqueeze(-1).expand_as(x)) * mask.unsqueeze(-1), mask


def two_streams(layout: Layout) -> list[tuple[str, ...]]:
    """Physiological and behavioral modalities; where one role is empty, the first modality and the rest.

    Raises:
        ValueError: a single modality, which nothing can be fused with.
    """
    if len(layout.modalities) < 2:
        raise ValueError(f"fusion found one modality, {layout.modalities[0]!r}; expected at least two")
    roles = [layout.roles[PHYSIOLOGICAL], layout.roles[BEHAVIORAL]]
    return roles if all(roles) else [layout.modalities[:1], layout.modalities[1:]]


def head(vector: int, width: int, emotions: int, dropout: float) -> nn.Sequential:
    """Two layers from a fused vector to the logits of the emotions."""
    last = nn.Linear(width, emotions)
    with torch.no_grad():
        last.weight.mul_(0.1)  # so that the first answer is near the bias
    return nn.Sequential(Dropout(dropout), nn.Linear(vector, width), nn.GELU(), Dropout(dropout), last)


def linear_head(vector: int, emotions: int, dropout: float) -> nn.Sequential:
    """One layer from a fused vector to the logits of the emotions, for systems whose paper has a linear classifier."""
    last = nn.Linear(vector, emotions)
    with torch.no_grad():
        last.weight.mul_(0.1)
    return nn.Sequential(Dropout(dropout), last)


def start_at_mean(layers: nn.Sequential, data: EmotionData, split: Split) -> None:
    """Let a head's first answer be the training windows' mean distribution."""
    with torch.no_grad():
        mean = torch.as_tensor(data.distributions[split.train]).mean(0)
        last = layers[-1]
        assert isinstance(last, nn.Linear)
        last.bias.copy_(mean.clamp_min(1e-6).log())


def means(streams: Sequence[Stream]) -> list[Tensor]:
    """The masked mean of every stream, each (B, d)."""
    return [masked_mean(*stream) for stream in streams]
