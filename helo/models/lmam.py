"""LMAM: low-rank matching attention between modalities.

Shou et al., "A Low-rank Matching Attention based Cross-modal Feature Fusion Method for Conversational Emotion
Recognition", https://arxiv.org/abs/2306.17799.

For a token x_t of one modality and the tokens M_s of another

    alpha_t = softmax_s tanh((W x_t + b) . M_s),   o_t = sum_s alpha_ts M_s,   W = U V^T of rank r << d

summed over the other modalities, GELU, residual. (The released code keeps W at full rank; here it is truly low.)
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from helo.data.emotion_data import Layout
from helo.models.blocks import masked_softmax
from helo.models.fusion import FusionModel, Stream, means


class LMAM(FusionModel):
    """The LMAM network: one stream a modality.

    Args: as `FusionModel`, and
        rank: r.
    """

    parts = {
        "matching": "every token of the other modality alike",
        "what is matched": "nothing: each modality by itself",
    }
    choices = {"width": (64, 32, 128), "rank": (8, 4, 16)}

    def __init__(
        self, layout: Layout, width: int = 64, rank: int = 8, dropout: float = 0.3, input_dropout: float = 0.0
    ):
        count = len(layout.modalities)
        super().__init__(layout, count * width, width, dropout, per_modality=True, input_dropout=input_dropout)
        self.down = nn.ModuleList(nn.Linear(width, rank, bias=False) for _ in range(count))
        self.up = nn.ModuleList(nn.Linear(rank, width) for _ in range(count))

    def fuse(self, streams: Sequence[Stream]) -> tuple[Tensor, dict[str, Tensor]]:
        matched = []
        for k, (x, mask) in enumerate(streams):
            asked = self.up[k](self.down[k](x))
            asked = self.part("matching", asked, partial(torch.zeros_like, asked))
            others = [
                masked_softmax(torch.tanh(asked @ y.mT), there.unsqueeze(1)) @ y
                for j, (y, there) in enumerate(streams)
                if j != k
            ]
            nothing = torch.zeros_like(x)
            found = self.part("what is matched", sum(others, nothing), nothing)
            matched.append((x + nn.functional.gelu(found), mask))
        return torch.cat(means(matched), 1), {}
