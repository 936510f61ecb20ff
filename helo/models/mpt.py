"""MPT-HCL: multimodal prompt Transformer with hybrid contrastive learning.

Zou et al., "Multimodal Prompt Transformer with Hybrid Contrastive Learning for Emotion Recognition in Conversation",
https://arxiv.org/abs/2310.04456 (abstract only): a design after the abstract.

The strong modality is encoded deeply; the weak ones pass feature filters and become prompt tokens, keys and values of
EVERY attention layer of the strong modality's Transformer. Hybrid contrastive learning: unsupervised on the fused
vector, and supervised on labels.

Open: which modality is strong (here the data set's query, else the first), the filter (here a gated bottleneck,
LayerNorm(W_up GELU(W_down y) * sigmoid(W_gate y)), so that prompts are of the strong modality's size), the weights, and
the two views of the unsupervised part (here the fused vector with two draws of dropout).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from helo import losses
from helo.data.emotion_data import Layout
from helo.models.base import Prediction
from helo.models.blocks import TransformerBlock, masked_mean, stood_in
from helo.models.dropout import Dropout
from helo.models.fusion import FusionModel, Stream


class PromptTransformer(FusionModel):
    """The MPT-HCL network: one stream a modality.

    Args: as `FusionModel`, and
        depth: layers of the strong modality's Transformer.
        unsupervised_weight: weight of the contrast between two views.
        supervised_weight: weight of the contrast by labels.
    """

    stackable = False  # its contrast is between the windows of a batch
    parts = {
        "prompts": "none: the strong modality attends to itself",
        "filters": "the weak modalities' tokens as they are",
    }
    choices = {"width": (64, 32, 128), "depth": (2, 1), "supervised_weight": (0.1, 0.0, 0.5)}

    def __init__(
        self,
        layout: Layout,
        width: int = 64,
        heads: int = 4,
        depth: int = 2,
        dropout: float = 0.3,
        unsupervised_weight: float = 0.05,
        supervised_weight: float = 0.1,
        input_dropout: float = 0.0,
    ):
        super().__init__(layout, width, width, dropout, per_modality=True, input_dropout=input_dropout)
        self.weights = {"kl": 1.0, "unsupervised": unsupervised_weight, "supervised": supervised_weight}
        self.strong = layout.modalities.index(layout.query) if layout.query else 0
        self.filters = nn.ModuleList(_Filter(width) for _ in layout.modalities)
        self.layers = nn.ModuleList(TransformerBlock(width, heads, dropout) for _ in range(depth))
        self.view = Dropout(dropout)

    def fuse(self, streams: Sequence[Stream]) -> tuple[Tensor, dict[str, Tensor]]:
        x, mask = streams[self.strong]
        mask = stood_in(mask, torch.cat([there for _, there in streams], 1), 1)
        weak = []
        for k, (y, there) in enumerate(streams):
            if k != self.strong:
                prompt = self.part("filters", self.filters[k](y), y)
                weak.append((prompt, self.part("prompts", there, partial(torch.zeros_like, there))))
        for layer in self.layers:
            assert isinstance(layer, TransformerBlock)
            keys = torch.cat([x, *(y for y, _ in weak)], 1)
            there = torch.cat([mask, *(m for _, m in weak)], 1)
            attended, _ = layer.attend(x, keys, there)
            x = layer.norm(attended + layer.feed(attended))
        vector = masked_mean(x, mask)
        return vector, {"vector": vector}

    def losses(self, prediction: Prediction[Tensor], truth: Tensor) -> dict[str, Tensor]:
        terms = super().losses(prediction, truth)
        vector = prediction.hidden["vector"]
        if self.weights["unsupervised"]:
            a, b = (nn.functional.normalize(self.view(vector), dim=-1) for _ in range(2))
            terms["unsupervised"] = losses.alignment(a @ b.T / 0.1, torch.eye(len(a), device=a.device))
        if self.weights["supervised"]:
            terms["supervised"] = losses.contrast(vector, losses.same_class(truth))
        return terms


class _Filter(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.down, self.up, self.gate = (
            nn.Linear(width, width // 2),
            nn.Linear(width // 2, width),
            nn.Linear(width, width),
        )
        self.norm = nn.LayerNorm(width)  # without it a prompt is a tenth of a token, and is not heard

    def forward(self, x):
        return self.norm(self.up(nn.functional.gelu(self.down(x))) * torch.sigmoid(self.gate(x)))
