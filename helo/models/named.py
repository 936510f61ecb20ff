"""Label-name-guided fusion, after "From Text to Pixels".

Zhao et al., "From Text to Pixels: A Context-Aware Semantic Synergy Solution for Infrared and Visible Image Fusion",
https://arxiv.org/abs/2401.00421, fuses images under the guidance of text. What carries over: the MEANING of the labels'
names steers the attention over the tokens of the first stream, then over those of the second.

Open: everything else. No text encoder can be shipped in a thin library, so a name is the hashed counts of its letter
trigrams, which knows that "irritable" and "irritated" are near and nothing of meaning; give `names` vectors of your own
encoder, one row an emotion, where you have one. Names are brought to a mean length of sqrt(their width), that of a
token of unit variance: of length 1 they would hardly steer.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from helo.data.emotion_data import Layout
from helo.models.blocks import CrossAttention, alone
from helo.models.fusion import FusionModel, Stream


class NameGuided(FusionModel):
    """Attention of the labels' names over the tokens of one stream, then of the other.

    Args: as `FusionModel`, and
        names: vectors of the labels' names, one row an emotion; None hashes their letters.

    Raises:
        ValueError: `names` has not one row an emotion.
    """

    parts = {
        "names": "every label asks with the name of the one before it",
        "first stream": "the labels, which have not attended to it",
        "second stream": "the labels, which have not attended to it",
    }
    choices = {"width": (64, 32, 128), "heads": (4, 2)}

    def __init__(
        self,
        layout: Layout,
        width: int = 64,
        heads: int = 4,
        dropout: float = 0.3,
        names: Sequence[Sequence[float]] | None = None,
        input_dropout: float = 0.0,
    ):
        emotions = len(layout.emotions)
        super().__init__(layout, emotions * width, width, dropout, input_dropout=input_dropout)
        vectors = torch.tensor([_trigrams(name) for name in layout.emotions] if names is None else names).to(
            torch.get_default_dtype()
        )
        if vectors.ndim != 2 or len(vectors) != emotions:
            found = tuple(vectors.shape)
            raise ValueError(f"name-guided: names has shape {found}; expected ({emotions} emotions, any width)")
        length = vectors.norm(dim=-1, keepdim=True)
        length = length if names is None else length.mean()  # one's own keep their proportions
        self.register_buffer("names", vectors / length.clamp_min(1e-12) * vectors.shape[1] ** 0.5)
        self.project = nn.Linear(vectors.shape[1], width)
        self.ask = nn.ModuleList(CrossAttention(width, heads, dropout) for _ in range(2))

    def fuse(self, streams: Sequence[Stream]) -> tuple[Tensor, dict[str, Tensor]]:
        x = self.project(self.names).expand(len(streams[0][0]), -1, -1)  # (B, L, d)
        x = self.part("names", x, partial(x.roll, 1, 1))
        for name, ask, stream in zip(("first stream", "second stream"), self.ask, streams, strict=True):
            x = self.part(name, ask(x, *stream)[0], partial(alone, ask, x))
        return x.flatten(1), {}


def _trigrams(name, size=64):
    vector = [0.0] * size
    padded = f"^{name.lower()}$"
    for k in range(len(padded) - 2):
        vector[zlib.crc32(padded[k : k + 3].encode()) % size] += 1.0
    length = sum(x * x for x in vector) ** 0.5
    return [x / max(length, 1.0) for x in vector]
