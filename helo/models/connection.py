"""Connection vectors with inter-class contrast.

"Enhancing multimodal emotion recognition through cross-modal connection vectors and inter-class contrastive learning",
https://arxiv.org/abs/2405.17900 (abstract only): a design after the abstract.

Trainable joint vectors carry information between the encoders of two streams; two emotion classifiers; a supervised
inter-class contrastive loss.

Open: the equations. Here the joint vectors are bottleneck tokens (Nagrani et al., NeurIPS 2021): in every layer each
stream's Transformer block sees its own tokens and the joint vectors, and the joint vectors that come out are averaged
between the streams. What a classifier gets is its stream's mean plus that of the joint vectors; the contrast is between
both side by side. The answer is the mean of both classifiers' logits; each also has a KL of its own.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from helo import losses
from helo.data.emotion_data import EmotionData, Layout
from helo.data.split import Split
from helo.models.base import Prediction
from helo.models.blocks import TransformerBlock, masked_mean
from helo.models.fusion import FusionModel, head, start_at_mean


class ConnectionVectors(FusionModel):
    """The network with connection vectors.

    Args: as `FusionModel`, and
        depth: layers.
        vectors: number of connection vectors.
        classifier_weight: weight of the two classifiers' own KL.
        contrast_weight: weight of the contrastive loss.
    """

    stackable = False  # its contrast is between the windows of a batch
    parts = {
        "connection vectors": "as they were learned: nothing passes between the streams",
        "first classifier": "its answer's mean over the windows",
        "second classifier": "its answer's mean over the windows",
    }
    choices = {"width": (64, 32, 128), "depth": (2, 1), "contrast_weight": (0.1, 0.0, 0.5)}

    def __init__(
        self,
        layout: Layout,
        width: int = 64,
        heads: int = 4,
        depth: int = 2,
        vectors: int = 4,
        dropout: float = 0.3,
        classifier_weight: float = 0.5,
        contrast_weight: float = 0.1,
        input_dropout: float = 0.0,
    ):
        super().__init__(layout, width, width, dropout, input_dropout=input_dropout)
        self.weights = {"kl": 1.0, "classifiers": classifier_weight, "contrast": contrast_weight}
        self.second = head(width, width, len(layout.emotions), dropout)
        self.vectors = nn.Parameter(0.1 * torch.randn(vectors, width))
        self.layers = nn.ModuleList(
            nn.ModuleList(TransformerBlock(width, heads, dropout) for _ in range(2)) for _ in range(depth)
        )

    def prepare(self, data: EmotionData, split: Split) -> None:
        super().prepare(data, split)
        start_at_mean(self.second, data, split)

    def forward(self, signals: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Prediction[Tensor]:
        streams = self.streams(signals, masks)
        joint = self.vectors.expand(len(streams[0][0]), -1, -1)
        there = torch.ones(joint.shape[:2], dtype=torch.bool, device=joint.device)
        for blocks in self.layers:
            assert isinstance(blocks, nn.ModuleList)
            after = []
            for k, block in enumerate(blocks):
                x, mask = streams[k]
                both = block(torch.cat([joint, x], 1), torch.cat([there, mask], 1))
                after.append(both[:, : joint.shape[1]])
                streams[k] = both[:, joint.shape[1] :], mask
            joint = self.part("connection vectors", (after[0] + after[1]) / 2, joint)
        pooled = [masked_mean(x, mask) + joint.mean(1) for x, mask in streams]
        first = self.part("first classifier", self.head(pooled[0]))
        second = self.part("second classifier", self.second(pooled[1]))
        hidden = {"logits": (first, second), "vector": torch.cat(pooled, 1)}
        return Prediction.from_logits((first + second) / 2, hidden=hidden)

    def losses(self, prediction: Prediction[Tensor], truth: Tensor) -> dict[str, Tensor]:
        terms = super().losses(prediction, truth)
        if self.weights["classifiers"]:
            logits = prediction.hidden["logits"]
            first, second = (losses.kl_divergence(x.log_softmax(-1), truth) for x in logits)
            terms["classifiers"] = (first + second) / 2
        if self.weights["contrast"]:
            terms["contrast"] = losses.contrast(prediction.hidden["vector"], losses.same_class(truth))
        return terms
