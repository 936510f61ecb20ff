"""Parts that the models share; every one respects masks, so padding changes nothing."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from helo.models.dropout import Dropout, kept
from helo.precision import in_float32, reduced, widened


class TokenEncoder(nn.Module):
    """One linear map from a modality's features to tokens of width d.

    A modality with tokens of its own keeps them: (B, N, F) -> (B, N, d), with a learned offset per token that tells
    channels or time segments apart. A vector (one token) is expanded: Linear(F -> tokens * d).

    Args:
        own: tokens the modality has.
        features: F.
        width: d.
        expand: tokens a vector becomes.
    """

    def __init__(self, own: int, features: int, width: int, expand: int):
        super().__init__()
        self.tokens = own if own > 1 else expand
        self.expands = own == 1
        self.linear = nn.Linear(features, width * (expand if own == 1 else 1))
        self.offset = nn.Parameter(0.02 * torch.randn(self.tokens, width))

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        x = self.linear(x)  # (B, N, d), or (B, 1, tokens * d)
        if self.expands:
            x = x[:, 0].unflatten(-1, (self.tokens, -1))
            mask = mask[:, :1].expand(-1, self.tokens)
        offset = self.offset[: x.shape[1]]
        # tokens beyond those the model was built for can only be padding
        offset = nn.functional.pad(offset, (0, 0, 0, x.shape[1] - len(offset)))
        return x + offset, mask


class Attention(nn.Module):
    """Multi-head attention softmax(Q K^T / sqrt(d / heads)) V over the keys that are there.

    Args:
        width: d, a multiple of heads.
        heads: number of heads.
        dropkey: share of keys hidden at random in training (Li et al., CVPR 2023); never at prediction.
    """

    def __init__(self, width: int, heads: int, dropkey: float = 0.0):
        super().__init__()
        if width % heads:
            raise ValueError(f"width is {width} and heads {heads}; expected a width that is a multiple of heads")
        self.heads, self.dropkey = heads, dropkey
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, y: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, n, d) attends to y (B, m, d) where mask (B, m) is True -> (B, n, d) and the map (B, heads, n, m)."""
        asked = reduced(x)
        answering = asked if y is x else reduced(y)
        q, k, v = (
            f(t).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for f, t in ((self.query, asked), (self.key, answering), (self.value, answering))
        )  # (B, heads, tokens, d / heads)
        logits = widened(q @ k.mT) / q.shape[-1] ** 0.5
        weights = masked_softmax(logits, mask[:, None, None], self.dropkey * self.training)
        return self.out((weights @ v).transpose(1, 2).flatten(2)), weights


class CrossAttention(nn.Module):
    """LayerNorm(x + Attention(x, y, y)): the residual stays on the query."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0, dropkey: float = 0.0):
        super().__init__()
        self.attention = Attention(width, heads, dropkey)
        self.dropout = Dropout(dropout)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, y: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        attended, weights = self.attention(x, y, mask)
        return self.norm(x + self.dropout(attended)), weights


def alone(cross: nn.Module, x: Tensor) -> Tensor:
    """What is left of a cross-attention for a knock-out: the queries, which have attended to nothing."""
    assert isinstance(cross, CrossAttention)
    return cross.norm(x)


class TransformerBlock(nn.Module):
    """Self-attention, then a feed-forward layer of width 2d, each with a residual and LayerNorm after it."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0, dropkey: float = 0.0):
        super().__init__()
        self.attend = CrossAttention(width, heads, dropout, dropkey)
        self.feed = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), Dropout(dropout), nn.Linear(2 * width, width), Dropout(dropout)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x, _ = self.attend(x, x, mask)
        return self.norm(x + self.feed(x))


@in_float32
def masked_softmax(logits: Tensor, mask: Tensor, drop: float = 0.0) -> Tensor:
    """Softmax over the last axis where mask is True; all 0 where nothing is.

    `drop` hides that share of the entries at random.
    """
    if drop:
        mask = mask & kept(logits, drop)
    # the lowest number swallows a logit that is added to it; to fill it in takes seven times as long
    lowest = torch.zeros_like(mask, dtype=logits.dtype).masked_fill(~mask, torch.finfo(logits.dtype).min)
    weights = (logits + lowest).softmax(-1)
    return weights * mask


def stood_in(mask: Tensor, others: Tensor, count: int) -> Tensor:
    """The mask (B, n) of one side's tokens; of a window that has none, and others (B, m), the first `count` are there.

    What is missing is 0 after standardising, so these are tokens of the training windows' mean. Where everything is
    carried to one side, or asked by it, a window without that side would else lose all others with it: one answer for
    all such windows.
    """
    first = torch.arange(mask.shape[1], device=mask.device) < count
    return mask | (~mask.any(1, keepdim=True) & others.any(1, keepdim=True) & first)


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean of the tokens that are there: (B, N, d), (B, N) -> (B, d); 0 where none is."""
    weight = mask.to(x).unsqueeze(-1)
    return (x * weight).sum(1) / weight.sum(1).clamp_min(1)


def side_by_side(x: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, int]]) -> Tensor:
    """Every feature of every token as one vector: modality -> (B, N, F) to (B, sum of tokens * features).

    Args:
        x: by modality, 0 where a token is not there.
        shapes: by modality, (tokens, features); tokens beyond those can only be padding.
    """
    own = (nn.functional.pad(x[m], (0, 0, 0, tokens - x[m].shape[1])) for m, (tokens, _) in shapes.items())
    return torch.cat([tokens.flatten(1) for tokens in own], 1)
