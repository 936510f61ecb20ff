"""M2FNet: multi-modal fusion network.

Chudasama et al., "M2FNet: Multi-modal Fusion Network for Emotion Recognition in Conversation",
https://arxiv.org/abs/2206.02187.

A Transformer encoder per modality, multi-head attention fusion of the streams, a classifier. The feature extractors are
trained with an adaptive-margin triplet loss and with two terms that keep their features from shrinking onto each other,
variance and covariance (as VICReg, Bardes et al., ICLR 2022). No code of the authors is known to us.

Decided here: the extractors are the encoders, so each modality's encoded mean z has the three losses, beside KL instead
of before it; which stream asks (every stream asks all the others); and the margin's form: the window with the most
similar label is the positive, the nearest that has no strongest emotion in common the negative, and the margin is the
difference of their label similarities. A window without a modality takes no part in that modality's losses. With
u = z / |z|, and C the covariance of z over the batch

    triplet     mean_i max(0, |u_i - u_pos| - |u_i - u_neg| + (Y_i,pos - Y_i,neg))
    variance    mean_j max(0, 1 - sqrt(C_jj))
    covariance  sum_{j != k} C_jk^2 / d

The mean of the triplets is over windows that have a possible negative; under the roots stand 1e-8 and 1e-4 more, for
their slope at 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

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
        variance_weight: weight of the variance term.
        covariance_weight: weight of the covariance term.
    """

    stackable = False  # its triplets and covariances are among the windows of a batch
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
        variance_weight: float = 0.05,
        covariance_weight: float = 0.01,
        input_dropout: float = 0.0,
    ):
        count = len(layout.modalities)
        super().__init__(layout, count * width, width, dropout, per_modality=True, input_dropout=input_dropout)
        self.weights = {
            "kl": 1.0,
            "triplet": triplet_weight,
            "variance": variance_weight,
            "covariance": covariance_weight,
        }
        self.encode = nn.ModuleList(TransformerBlock(width, heads, dropout) for _ in range(count))
        self.ask = nn.ModuleList(CrossAttention(width, heads, dropout) for _ in range(count))

    def fuse(self, streams: Sequence[Stream]) -> tuple[Tensor, dict[str, Any]]:
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
        return torch.cat(means(fused), 1), {"extracted": means(streams), "there": [mask.any(1) for _, mask in streams]}

    def losses(self, prediction: Prediction[Tensor], truth: Tensor) -> dict[str, Tensor]:
        terms = super().losses(prediction, truth)
        pairs = zip(prediction.hidden["extracted"], prediction.hidden["there"], strict=True)
        extracted = [(z[there], truth[there]) for z, there in pairs if there.any()]
        if not extracted:
            return terms
        if self.weights["triplet"]:
            triplets = Triplets(truth)
            own = (triplets if len(y) == len(truth) else Triplets(y) for _, y in extracted)
            terms["triplet"] = torch.stack([t.loss(z) for t, (z, _) in zip(own, extracted, strict=True)]).mean()
        for name, loss in (("variance", variance), ("covariance", covariance)):
            if self.weights[name]:
                terms[name] = torch.stack([loss(z) for z, _ in extracted]).mean()
        return terms


def variance(vectors: Tensor) -> Tensor:
    """mean_j max(0, 1 - sqrt(C_jj)) of the covariance of vectors (B, d)."""
    return (1 - vectors.var(0, correction=0).add(1e-4).sqrt()).clamp_min(0).mean()


def covariance(vectors: Tensor) -> Tensor:
    """sum_{j != k} C_jk^2 / d of the covariance of vectors (B, d)."""
    centred = vectors - vectors.mean(0)
    c = centred.T @ centred / len(vectors)
    return ((c**2).sum() - (c.diagonal() ** 2).sum()) / len(c)


class Triplets:
    """What a batch's labels say about its triplets, the same for every modality.

    Args:
        truth: distributions, shape (B, L).
    """

    def __init__(self, truth: Tensor):
        self.similar = losses.label_similarity(truth)
        self.positive = self.similar.clone().fill_diagonal_(-1).argmax(1)
        self.other = ~losses.same_class(truth).bool()  # who may be a negative
        self.rows = self.other.any(1) & (len(truth) > 2)

    def loss(self, vectors: Tensor) -> Tensor:
        """Triplet loss whose margin is the difference of label similarities; 0 for a batch of one strongest emotion.

        Args:
            vectors: a modality's, shape (B, d).
        """
        u = nn.functional.normalize(vectors, dim=-1)
        if not self.rows.any():
            return u.sum() * 0
        with torch.no_grad():  # all distances only to find the nearest, by differences: products would round near ones
            far = torch.cdist(u, u, compute_mode="donot_use_mm_for_euclid_dist")
            negative = far.masked_fill_(~self.other, torch.inf).argmin(1)
        index = torch.arange(len(u), device=u.device)
        margin = (self.similar[index, self.positive] - self.similar[index, negative]).clamp_min(0)
        # the square root's slope is endless at 0
        near, away = (((u - u[k]) ** 2).sum(1).add(1e-8).sqrt() for k in (self.positive, negative))
        return (near - away + margin).clamp_min(0)[self.rows].mean()
