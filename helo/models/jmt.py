"""JMT: joint multimodal transformer.

Waligora et al., "Joint Multimodal Transformer for Emotion Recognition in the Wild", https://arxiv.org/abs/2403.10488.

Streams a and b, L2-normalised per token, and a joint stream j = W [a; b]. A self-attention encoder for each of the
three; six cross-attentions (query x, keys and values y, x != y) with one set of weights per query stream and no
residual; their six outputs, in the order ab ba ja aj jb bj, go as a sequence through a Transformer block and one more
self-attention without a residual, whose last token is the fused vector.

The authors' code (PoloWlg/Joint-Multimodal-Transformer-6th-ABAW) was read. Decided here: its streams have the same
steps and it fuses step by step; here they may differ, so a joint token stands for each token of a, beside the masked
mean of b, and each cross-attention's output is averaged over its tokens before the six meet; in a window without a, one
token stands in for it (`helo.models.blocks.stood_in`). Normalised tokens are scaled by sqrt(d), the length that
encoders expect. A LayerNorm on the fused vector, which an average without a residual leaves small. Heads, dropout, GELU
for ReLU are this package's. The paper's loss (1 - concordance of continuous targets) gives way to KL.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from helo.data.emotion_data import Layout
from helo.models.blocks import Attention, TransformerBlock, masked_mean, masked_softmax, stood_in
from helo.models.fusion import FusionModel, Stream


class JMT(FusionModel):
    """The JMT network.

    Args: as `FusionModel`.
    """

    parts = {
        "joint stream": "its mean over the windows",
        "cross-attention": "the three streams' tokens, which have asked nothing",
        "last attention": "the last of the six outputs as it is",
    }
    choices = {"width": (64, 32, 128), "heads": (4, 2)}

    def __init__(
        self, layout: Layout, width: int = 64, heads: int = 4, dropout: float = 0.3, input_dropout: float = 0.0
    ):
        super().__init__(layout, width, width, dropout, input_dropout=input_dropout)
        self.joint = nn.Linear(2 * width, width)
        self.encode = nn.ModuleList(TransformerBlock(width, heads, dropout) for _ in range(3))
        self.cross = nn.ModuleList(_MeanAttention(width, heads) for _ in range(3))
        self.encode_six = TransformerBlock(width, heads, dropout)
        self.last, self.norm = Attention(width, heads), nn.LayerNorm(width)

    def fuse(self, streams: Sequence[Stream]) -> tuple[Tensor, dict[str, Tensor]]:
        # normalised to the length a token of unit variance has, which the encoders expect
        (a, a_mask), (b, b_mask) = (
            (nn.functional.normalize(x, dim=-1) * x.shape[-1] ** 0.5, mask) for x, mask in streams
        )
        # joint tokens stand at a's: a window without any would lose b with them
        a_mask = stood_in(a_mask, b_mask, 1)
        beside = masked_mean(b, b_mask).unsqueeze(1).expand_as(a)
        joint = self.part("joint stream", self.joint(torch.cat([a, beside], -1)))
        three = [
            (f(x, m), m) for f, (x, m) in zip(self.encode, ((a, a_mask), (b, b_mask), (joint, a_mask)), strict=True)
        ]
        six = []
        for k, other in ((0, 1), (1, 0), (2, 0), (0, 2), (2, 1), (1, 2)):
            (x, mask), (y, there) = three[k], three[other]
            asked = self.cross[k](x, y, there, mask)
            six.append(self.part("cross-attention", asked, partial(masked_mean, x, mask)))
        tokens = torch.stack(six, 1)  # (B, 6, d)
        there = torch.ones_like(tokens[..., 0], dtype=torch.bool)
        encoded = self.encode_six(tokens, there)
        last = self.last(encoded[:, -1:], encoded, there)[0][:, 0]
        return self.norm(self.part("last attention", last, tokens[:, -1])), {}


class _MeanAttention(Attention):
    """The mean of `Attention` over the queries.

    Value and output maps are linear, so that the mean comes first: of a head's weights, and with them of y's tokens.
    """

    def forward(self, x, y, there, mask):  # type: ignore[override]  # and where the queries are
        """x (B, n, d), tokens where mask, asks y (B, m, d), tokens where there -> (B, d); 0 where x has none."""
        q, k = (f(t).unflatten(-1, (self.heads, -1)).transpose(1, 2) for f, t in ((self.query, x), (self.key, y)))
        weights = masked_softmax(q @ k.mT / q.shape[-1] ** 0.5, there[:, None, None])  # (B, heads, n, m)
        share = mask / mask.sum(1, keepdim=True).clamp_min(1)
        weights = (weights * share[:, None, :, None]).sum(2)  # (B, heads, m)
        mean = torch.einsum("bhd,hed->bhe", weights @ y, self.value.weight.unflatten(0, (self.heads, -1)))
        mean = mean + weights.sum(-1, keepdim=True) * self.value.bias.unflatten(0, (self.heads, -1))
        return nn.functional.linear(mean.flatten(1), self.out.weight) + mask.any(1, keepdim=True) * self.out.bias
