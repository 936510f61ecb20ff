"""AIMDiT: augmented modality fusion by dimension transformation.

Wu et al., "AIMDiT: Modality Augmentation and Interaction via Multimodal Dimension Transformation for Emotion
Recognition in Conversations", https://arxiv.org/abs/2407.00743 (abstract only): a design after the abstract.

MAN turns a one-dimensional feature into two dimensions and runs an Inception block over it, for variation within and
between its parts; MIN fuses the augmented features by cross-modal and self-modal Transformers.

Open: the reshape and the layers. Here each token's d features become a plane of 8 rows; the Inception block is the sum
of 1 x 1, 3 x 3 and 5 x 5 convolutions to four planes, a GELU, and a 1 x 1 convolution to one, with a residual; MIN is
one cross-attention each way and one Transformer block a stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from helo.data.emotion_data import Layout
from helo.models.blocks import CrossAttention, TransformerBlock, alone
from helo.models.fusion import FusionModel, Stream, means


class AIMDiT(FusionModel):
    """The AIMDiT network.

    Args: as `FusionModel`, and
        width: d, width of every token, a multiple of 8.

    Raises:
        ValueError: width is no multiple of 8.
    """

    parts = {
        "inception": "both streams' tokens as they are",
        "cross-attention": "both streams' tokens, which have attended to nothing",
        "self-attention": "what the cross-attention gives",
    }
    choices = {"width": (64, 32, 128), "heads": (4, 2)}

    def __init__(
        self, layout: Layout, width: int = 64, heads: int = 4, dropout: float = 0.3, input_dropout: float = 0.0
    ):
        if width % 8:
            raise ValueError(f"aimdit: width is {width}; expected a multiple of 8, the rows of a token's plane")
        super().__init__(layout, 2 * width, width, dropout, input_dropout=input_dropout)
        self.augment = nn.ModuleList(_Inception() for _ in range(2))
        self.cross = nn.ModuleList(CrossAttention(width, heads, dropout) for _ in range(2))
        self.own = nn.ModuleList(TransformerBlock(width, heads, dropout) for _ in range(2))

    def fuse(self, streams: Sequence[Stream]) -> tuple[Tensor, dict[str, Tensor]]:
        streams = [
            (self.part("inception", augment(x), x), mask)
            for augment, (x, mask) in zip(self.augment, streams, strict=True)
        ]
        fused = []
        for k, (x, mask) in enumerate(streams):
            crossed, _ = self.cross[k](x, *streams[1 - k])
            crossed = self.part("cross-attention", crossed, partial(alone, self.cross[k], x))
            fused.append((self.part("self-attention", self.own[k](crossed, mask), crossed), mask))
        return torch.cat(means(fused), 1), {}


class _Inception(nn.Module):
    def __init__(self, channels=4):
        super().__init__()
        self.branches = nn.ModuleList(nn.Conv2d(1, channels, size, padding=size // 2) for size in (1, 3, 5))
        self.join = nn.Conv2d(channels, 1, 1)

    def forward(self, x):
        # the convolution as the matrix that it is, whose rows are its answers to a single 1: faster on small planes
        kernel, bias = self.kernel()
        ones = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device).unflatten(1, (1, 8, -1))  # (d, 1, 8, d / 8)
        matrix = nn.functional.conv2d(ones, kernel, padding=2).flatten(2)  # (d, channels, d)
        planes = (x @ matrix.flatten(1)).unflatten(-1, matrix.shape[1:])  # (B, T, channels, d)
        mixed = nn.functional.gelu(planes + bias.unsqueeze(1))
        return x + (mixed * self.join.weight.flatten(1).T).sum(2) + self.join.bias

    def kernel(self):
        """Kernel (channels, 1, 5, 5) and bias (channels,) of the sum of the branches."""
        kernel = bias = torch.zeros(())
        for branch in self.branches:
            assert isinstance(branch, nn.Conv2d) and branch.bias is not None
            around = 2 - branch.kernel_size[0] // 2
            kernel = kernel + nn.functional.pad(branch.weight, (around, around, around, around))
            bias = bias + branch.bias
        return kernel, bias
