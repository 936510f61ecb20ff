"""HFGCN: hierarchical fusion graph convolutional network.

Tang et al., "Hierarchical Fusion Graph Convolutional Networks for Emotion Recognition", https://arxiv.org/abs/2109.07149
(abstract only): a design after the abstract.

Two stages: modality dependencies during fusion, then graph convolution over the sequence; the states are also projected
to the valence-arousal plane.

Open: the graphs. Here stage 1 joins every token to the tokens of the OTHER stream, weighted by a learned affinity, and
stage 2 joins every token to its neighbours in its own MODALITY (a stream's modalities are sequences side by side, not
one after another), with a matrix of its own for the one before, itself and the one after; both stages add their ReLU to
the tokens, under one LayerNorm. (The paper's second graph runs over the conversation; here over the window, so that no
other window of a batch can change an answer.) The plane is a two-dimensional bottleneck whose state is given back to
the head.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from helo.data.emotion_data import Layout
from helo.models.blocks import masked_softmax
from helo.models.dropout import Dropout
from helo.models.fusion import FusionModel, Stream, compact, means, two_streams


class HFGCN(FusionModel):
    """The two-stage graph network.

    Args: as `FusionModel`, and
        width: d, width of every node.
    """

    parts = {
        "affinity": "every token of the other stream alike",
        "edges between streams": "nothing passes between the streams",
        "edges along a modality": "every token without its neighbours",
        "plane": "its mean over the windows",
    }
    choices = {"width": (64, 32, 128)}

    def __init__(self, layout: Layout, width: int = 64, dropout: float = 0.3, input_dropout: float = 0.0):
        sides = two_streams(layout)
        super().__init__(layout, 2 * width + 2, width, dropout, per_modality=True, input_dropout=input_dropout)
        self.sides = [[layout.modalities.index(m) for m in side] for side in sides]
        self.affinity = nn.Linear(width, width, bias=False)
        self.between = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.along = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(3))
        self.norm = nn.LayerNorm(width)
        self.plane = nn.Linear(2 * width, 2)
        self.dropout = Dropout(dropout)

    def fuse(self, streams: Sequence[Stream]) -> tuple[Tensor, dict[str, Tensor]]:
        streams = [compact(*stream) for stream in streams]
        lengths = [[streams[k][0].shape[1] for k in side] for side in self.sides]
        sides = [
            (torch.cat([streams[k][0] for k in s], 1), torch.cat([streams[k][1] for k in s], 1)) for s in self.sides
        ]
        nodes = []
        for k, (x, mask) in enumerate(sides):
            other, there = sides[1 - k]
            affinity = self.affinity(x) @ other.mT / x.shape[-1] ** 0.5
            affinity = self.part("affinity", affinity, partial(torch.zeros_like, affinity))
            found = torch.relu(self.between[k](masked_softmax(affinity, there.unsqueeze(1)) @ other))
            found = self.part("edges between streams", found, partial(torch.zeros_like, found))
            x = self.norm(x + self.dropout(found))
            found = torch.relu(self.neighbours((x * mask.unsqueeze(-1)).split(lengths[k], 1)))
            found = self.part("edges along a modality", found, partial(torch.zeros_like, found))
            nodes.append((self.norm(x + found), mask))
        vector = torch.cat(means(nodes), 1)
        return torch.cat([vector, self.part("plane", torch.tanh(self.plane(vector)))], 1), {}

    def neighbours(self, modalities: Sequence[Tensor]) -> Tensor:
        """Sum over the token before, the token itself and the token after, each through its own matrix.

        Args:
            modalities: a sequence each, (B, tokens, d), 0 where no token is.
        """
        around = [nn.functional.pad(x, (0, 0, 1, 1)) for x in modalities]
        three = (torch.cat([x[:, k : k + x.shape[1] - 2] for x in around], 1) for k in range(3))
        return sum(f(y) for f, y in zip(self.along, three, strict=True))
