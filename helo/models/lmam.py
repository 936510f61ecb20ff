"""LMAM: low-rank matching attention between modalities.

Shou et al., "A Low-rank Matching Attention based Cross-modal Feature Fusion Method for Conversational Emotion
Recognition", https://arxiv.org/abs/2306.17799.

A modality is the memory M; tokens x_t of every modality, its own too, ask it:

    alpha_t = softmax_s tanh((W x_t + b) . M_s),   o_t = sum_s alpha_ts M_s,   W = U V^T of rank r << d

    M'_t = M_t + GELU(o_t of its own tokens + o of the others)

The authors' code (yuntaoshou/LMAM) was read. Decided here: the code's memory is the text; here every modality in turn,
each with its W, and their means side by side are the fused vector. There all modalities have the same steps and o_t
joins M_t; here they may differ, so another modality's o is the mean over its tokens. The code keeps W at full rank.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from helo.data.emotion_data import Layout
from helo.models.blocks import masked_mean, masked_softmax
from helo.models.fusion import FusionModel, Stream, means


class LMAM(FusionModel):
    """The LMAM network: one stream a modality.

    Args: as `FusionModel`, and
        rank: r.
    """

    parts = {
        "matching": "every token of the memory alike",
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
        for k, (memory, mask) in enumerate(streams):
            asked = self.up[k](self.down[k](torch.cat([x for x, _ in streams], 1)))
            asked = self.part("matching", asked, partial(torch.zeros_like, asked))
            answers = masked_softmax(torch.tanh(asked @ memory.mT), mask.unsqueeze(1)) @ memory
            found = torch.zeros_like(memory)
            for j, answer in enumerate(answers.split([x.shape[1] for x, _ in streams], 1)):
                found = found + (answer if j == k else masked_mean(answer, streams[j][1]).unsqueeze(1))
            found = self.part("what is matched", found, partial(torch.zeros_like, found))
            matched.append((memory + nn.functional.gelu(found), mask))
        return torch.cat(means(matched), 1), {}
