"""M2FNet: multi-modal fusion network.

Chudasama et al., "M2FNet: Multi-modal Fusion Network for Emotion Recognition in Conversation",
https://arxiv.org/abs/2206.02187.

A Transformer encoder per modality, multi-head attention fusion of the streams, a classifier; features trained with an
adaptive-margin triplet loss.

Open: which stream asks (here every stream asks all the others in turn), and the margin's form. Here the triplets are
made in the batch: the window with the most similar label is the positive, the nearest of another strongest emotion the
negative, and the margin is the difference of their label similarities:

    L = mean_i max(0, |z_i - z_pos| - |z_i - z_neg| + (Y_i,pos - Y_i,neg))
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from helo import losses
from helo.data.emotion_data import Layout
from helo.models.base import Prediction
from helo.models.blocks import CrossAttention, TransformerBlock, alone
from helo.models.fusion import FusionModel, Stream, means


class M2FNet(FusionModel):
    """The M2FNet network: one stream a modality.

    Args: as `FusionModel`, and
        triplet_weight: weight of the triplet loss.
    """

    stackable = False  # its triplets are among the windows of a batch
    parts = {
        "encoders": "every modality's tokens as they are",
        "cross-attention": "every modality's tokens, which have attended to nothing",
    }
    choices = {"width": (64, 32, 128), "triplet_weight": (0.1, 0.0, 0.5)}

    def __init__(
        self,
        layout: Layout,
        width: int = 64,
        heads: int = 4,
        dropout: float = 0.3,
        triplet_weight: float = 0.1,
        input_dropout: float = 0.0,
    ):
        count = len(layout.modalities)
        super().__init__(layout, count * width, width, dropout, per_modality=True, input_dropout=input_dropout)
        self.weights = {"kl": 1.0, "triplet": triplet_weight}
        self.encode = nn.ModuleList(TransformerBlock(width, heads, dropout) for _ in range(count))
        self.ask = nn.ModuleList(CrossAttention(width, heads, dropout) for _ in range(count))

    def fuse(self, streams: Sequence[Stream]) -> tuple[Tensor, dict[str, Tensor]]:
        streams = [
            (self.part("encoders", encode(x, mask), x), mask)
            for encode, (x, mask) in zip(self.encode, streams, strict=True)
        ]
        fused = []
        for k, (x, mask) in enumerate(streams):
            others = [s for j, s in enumerate(streams) if j != k] or [(x, mask)]
            y, there = torch.cat([o[0] for o in others], 1), torch.cat([o[1] for o in others], 1)
            asked = self.part("cross-attention", self.ask[k](x, y, there)[0], partial(alone, self.ask[k], x))
            fused.append((asked, mask))
        vector = torch.cat(means(fused), 1)
        return vector, {"vector": vector}

    def losses(self, prediction: Prediction[Tensor], truth: Tensor) -> dict[str, Tensor]:
        terms = super().losses(prediction, truth)
        if self.weights["triplet"]:
            terms["triplet"] = adaptive_triplet(prediction.hidden["vector"], truth)
        return terms


def adaptive_triplet(vectors: Tensor, truth: Tensor) -> Tensor:
    """Triplet loss whose margin is the difference of label similarities; 0 for a batch of one strongest emotion."""
    z = nn.functional.normalize(vectors, dim=-1)
    # the square root's slope is endless at 0
    distance = ((z[:, None] - z[None]) ** 2).sum(-1).add(1e-8).sqrt()
    similar = losses.label_similarity(truth)
    own = torch.eye(len(z), dtype=torch.bool, device=z.device)
    other = ~losses.same_class(truth).bool()
    rows = other.any(1) & (len(z) > 2)
    if not rows.any():
        return distance.sum() * 0
    positive = similar.masked_fill(own, -1).argmax(1)
    negative = distance.detach().masked_fill(~other, torch.inf).argmin(1)
    index = torch.arange(len(z), device=z.device)
    margin = (similar[index, positive] - similar[index, negative]).clamp_min(0)
    return (distance[index, positive] - distance[index, negative] + margin).clamp_min(0)[rows].mean()
