"""Foal-Net: fusion after alignment, with a matching task.

Li et al., "Enhancing Modal Fusion by Alignment and Label Matching for Multimodal Emotion Recognition", Interspeech
2024, https://arxiv.org/abs/2408.09438.

Two streams A and B. Three losses: L = KL + w_a L_AVEL + w_m L_MEM.

- **AVEL** aligns the streams: e = LayerNorm(W1 x + Dropout(W2 GELU(W1 x))) of the streams' means, L2-normalised;
  S_ij = e^A_i . e^B_j / tau over the batch, tau learned; cross-entropy of softmax(S) with the windows that share the
  emotion, both ways.
- **Fusion**: two stacks, A asks B and B asks A; a layer is LayerNorm(q + Dropout(attention(q, other, other))), keys and
  values always the other stream's own tokens. Masked means, concatenated, a linear classifier.
- **MEM** asks whether two streams carry the same emotion: the own pair does; a window of another emotion, drawn with
  probability softmax(S), does not.

The authors' code (ASolitaryMan/Foal-Net) was read. Decided here: what is learned is log tau, and S is divided by tau
itself, at least .01 (the released code learns, and divides by, a number that starts at log(1 / .07)); the positives of
a row sum to 1 (`divide=False` is the released form); a window without a window of another emotion in its batch has no
negative, instead of itself; a window without one of the streams takes no part in AVEL and MEM; both heads of MEM judge
the negatives of both directions (there each those of its own); prediction needs no labels. For distributions "shares
the emotion" becomes 1 - the Jensen-Shannon distance, to a power that sharpens it, for AVEL (`same="distribution"`);
`same="class"` takes the strongest emotion, as the paper does; where several are tied, what both have in common over
what either has. MEM uses the strongest: a negative has none of them in common.
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
from helo.models.blocks import CrossAttention, alone, masked_mean
from helo.models.dropout import Dropout
from helo.models.fusion import FusionModel, Stream, linear_head, means


class FoalNet(FusionModel):
    """The Foal-Net network.

    Args: as `FusionModel`, and
        depth: layers of each fusion stack.
        temperature: tau of the alignment at first.
        alignment_weight: w_a, weight of AVEL.
        matching_weight: w_m, weight of MEM.
        same: "distribution" (soft targets) or "class" (the strongest emotion).
        sharpness: power of the soft targets; at 1 graded distributions all resemble each other.
        divide: divide by the number of positives.
    """

    stackable = False  # a window's partners are drawn from its batch
    parts = {
        "first asks second": "the first stream's tokens, which have attended to nothing",
        "second asks first": "the second stream's tokens, which have attended to nothing",
        "first mean": "its mean over the windows",
        "second mean": "its mean over the windows",
    }
    choices = {"width": (64, 32, 128), "alignment_weight": (1.0, 0.1, 0.0), "temperature": (0.1, 0.05, 0.5)}

    def __init__(
        self,
        layout: Layout,
        width: int = 64,
        heads: int = 4,
        depth: int = 2,
        dropout: float = 0.3,
        temperature: float = 0.1,
        alignment_weight: float = 1.0,
        matching_weight: float = 0.1,
        same: str = "distribution",
        sharpness: float = 4.0,
        divide: bool = True,
        input_dropout: float = 0.0,
    ):
        super().__init__(layout, 2 * width, width, dropout, input_dropout=input_dropout)
        self.head = linear_head(2 * width, len(layout.emotions), dropout)
        self.log_temperature = nn.Parameter(torch.tensor([temperature]).log())
        self.same, self.sharpness, self.divide = same, sharpness, divide
        self.weights = {"kl": 1.0, "alignment": alignment_weight, "matching": matching_weight}
        self.project = nn.ModuleList(_Projection(width, dropout) for _ in range(2))
        self.stacks = nn.ModuleList(
            nn.ModuleList(CrossAttention(width, heads, dropout) for _ in range(depth)) for _ in range(2)
        )
        self.match = nn.ModuleList(nn.Linear(width, 2) for _ in range(2))

    def fuse(self, streams: Sequence[Stream]) -> tuple[Tensor, dict[str, Any]]:
        aligned = [project(x) for project, x in zip(self.project, means(streams), strict=True)]
        fused = self.fused_means(streams)
        return torch.cat(fused, 1), {"aligned": aligned, "fused": fused, "streams": streams}

    def fused_means(self, streams: Sequence[Stream]) -> list[Tensor]:
        """Both stacks' masked means, each (B, d)."""
        result = []
        names = (("first asks second", "first mean"), ("second asks first", "second mean"))
        for (asks, mean), stack, (x, mask), other in zip(names, self.stacks, streams, reversed(streams), strict=True):
            assert isinstance(stack, nn.ModuleList)
            for layer in stack:
                x = self.part(asks, layer(x, *other)[0], partial(alone, layer, x))
            result.append(self.part(mean, masked_mean(x, mask)))
        return result

    @property
    def temperature(self) -> Tensor:
        """tau of the alignment as it was learned, at least .01."""
        return self.log_temperature.exp().clamp_min(0.01)

    def losses(self, prediction: Prediction[Tensor], truth: Tensor) -> dict[str, Tensor]:
        terms = super().losses(prediction, truth)
        hidden, there = prediction.hidden, _whole(prediction.hidden["streams"])
        first, second = (aligned[there] for aligned in hidden["aligned"])
        streams = [(x[there], mask[there]) for x, mask in hidden["streams"]]
        fused, truth = [x[there] for x in hidden["fused"]], truth[there]
        if not len(truth):
            return terms
        similarity = first @ second.T / self.temperature
        same = losses.same_class(truth) if self.same == "class" else losses.label_similarity(truth) ** self.sharpness
        if self.weights["alignment"]:
            terms["alignment"] = losses.alignment(similarity, same, self.divide)
        if self.weights["matching"]:
            terms["matching"] = self._matching(streams, fused, similarity.detach(), truth)
        return terms

    def _matching(self, streams, fused, similarity, truth):
        """Cross-entropy of "the same emotion?" over own pairs and hard negatives."""
        a, b = streams
        asked, answers = [fused], [torch.ones(len(truth), dtype=torch.long, device=truth.device)]
        for direction, logits in enumerate((similarity, similarity.T)):
            rows, negatives = hard_negatives(logits, truth)
            if len(rows):
                pair = ((a, rows), (b, negatives)) if direction == 0 else ((a, negatives), (b, rows))
                asked.append(self.fused_means([(x[k], mask[k]) for (x, mask), k in pair]))
                answers.append(torch.zeros(len(rows), dtype=torch.long, device=truth.device))
        answer = torch.cat(answers)
        terms = [
            nn.functional.cross_entropy(match(torch.cat([fused[k] for fused in asked])), answer)
            for k, match in enumerate(self.match)
        ]
        return sum(terms, torch.zeros(())) / len(terms)


def _whole(streams):
    """Windows that have both streams: what is not there has nothing to be aligned."""
    a, b = (mask.any(1) for _, mask in streams)
    return a & b


class _Projection(nn.Module):
    def __init__(self, width, dropout):
        super().__init__()
        self.first, self.second = (nn.Linear(width, width, bias=False) for _ in range(2))
        self.dropout, self.norm = Dropout(dropout), nn.LayerNorm(width)

    def forward(self, x):
        first = self.first(x)
        second = self.dropout(self.second(nn.functional.gelu(first)))
        return nn.functional.normalize(self.norm(first + second), dim=-1)


def hard_negatives(similarity: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """For each window one of another strongest emotion, drawn with probability softmax of the similarity.

    Args:
        similarity: shape (B, B), already divided by the temperature.
        truth: distributions, shape (B, L).

    Returns:
        The windows that have a negative, and their negatives, both (k,): a batch of one emotion has none.
    """
    other = ~losses.same_class(truth).bool()
    rows = torch.nonzero(other.any(1)).squeeze(1)
    if not len(rows):
        return rows, rows
    weights = similarity[rows].masked_fill(~other[rows], float("-inf")).softmax(1)
    return rows, torch.multinomial(weights, 1).squeeze(1)
