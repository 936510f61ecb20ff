"""Factorised bilinear pooling with frame attention.

Zhou et al., "Exploring Emotion Features and Fusion Strategies for Audio-Video Emotion Recognition" (EmotiW 2019),
https://arxiv.org/abs/2012.13912.

Within a stream of frames f_i: alpha_i = sigmoid(f_i . q) gives f' = sum alpha_i f_i / sum alpha_i;
beta_i = sigmoid([f_i; f'] . q1) gives f = sum alpha_i beta_i [f_i; f'] / sum alpha_i beta_i. Across streams

    z = SumPool_k((U^T a) * (V^T b)),   signed square root, L2-normalised

Decided here: U and V have biases; dropout on the product; the square root is sign(z) (sqrt(|z| + 1e-4) - 1e-2), whose
slope at 0 has an end; and the normalised vector is scaled by sqrt(d), so that its elements, not its length, are of size
1 and the head starts as that of the other systems does.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from helo.data.emotion_data import Layout
from helo.models.dropout import Dropout
from helo.models.fusion import FusionModel, Stream


class FactorisedBilinear(FusionModel):
    """The network with both attentions and factorised bilinear pooling.

    Args: as `FusionModel`, and
        width: d, width of every token and of z.
        factors: k, how many products are summed for each element of z.
    """

    parts = {
        "frame attention": "every token alike",
        "first factor": "its mean over the windows: the bilinear term is linear in the second",
        "second factor": "its mean over the windows: the bilinear term is linear in the first",
    }
    choices = {"width": (64, 32, 128), "factors": (4, 2, 8)}

    def __init__(
        self, layout: Layout, width: int = 64, factors: int = 4, dropout: float = 0.3, input_dropout: float = 0.0
    ):
        super().__init__(layout, width, width, dropout, input_dropout=input_dropout)
        self.factors = factors
        self.attend = nn.ModuleList(_FrameAttention(width) for _ in range(2))
        self.expand = nn.ModuleList(nn.Linear(2 * width, factors * width) for _ in range(2))
        self.dropout = Dropout(dropout)

    def fuse(self, streams: Sequence[Stream]) -> tuple[Tensor, dict[str, Tensor]]:
        weigh = partial(self.part, "frame attention")
        a, b = (f(attend(*s, weigh)) for f, attend, s in zip(self.expand, self.attend, streams, strict=True))
        a, b = self.part("first factor", a), self.part("second factor", b)
        z = self.dropout(a * b).unflatten(1, (-1, self.factors)).sum(2)
        z = z.sign() * ((z.abs() + 1e-4).sqrt() - 1e-2)
        return nn.functional.normalize(z, dim=-1) * z.shape[1] ** 0.5, {}


class _FrameAttention(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.own, self.relation = nn.Linear(width, 1, bias=False), nn.Linear(2 * width, 1, bias=False)

    def forward(self, f, mask, part):
        there = mask.unsqueeze(-1).to(f)
        alpha = part(torch.sigmoid(self.own(f)) * there, lambda: there)
        mean = (alpha * f).sum(1, keepdim=True) / alpha.sum(1, keepdim=True).clamp_min(1e-6)
        both = torch.cat([f, mean.expand_as(f)], -1)
        weight = part(alpha * torch.sigmoid(self.relation(both)), lambda: there)
        return (weight * both).sum(1) / weight.sum(1).clamp_min(1e-6)
