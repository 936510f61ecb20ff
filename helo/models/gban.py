"""GBAN: gated bidirectional alignment network.

Liu et al., "Group Gated Fusion on Attention-based Bidirectional Alignment for Multimodal Emotion Recognition",
https://arxiv.org/abs/2201.06309.

Sequences s_1..s_K and t_1..t_L of two recurrent encoders with last states h_s, h_t. Alignment both ways:

    alpha_j = softmax_i tanh(s_i . t_j),   s~_j = sum_i alpha_ji s_i,   a_s = mean_j s~_j,   and mirrored for a_t

Group gated fusion: p_m = tanh(W a_m), z_p = sigmoid(W_z [a_s; a_t]); q_m = tanh(W h_m), z_q = sigmoid(W_z' [h_s; h_t]);

    h = z_p p_s + (1 - z_p) p_t + z_q q_s + (1 - z_q) q_t

Open: the kind of recurrent encoder (here a GRU, and its state at the last token that is there).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from helo.data.emotion_data import Layout
from helo.models.blocks import masked_mean, masked_softmax
from helo.models.fusion import FusionModel, Stream


class GBAN(FusionModel):
    """The GBAN network.

    Args: as `FusionModel`, and
        width: d, width of tokens, states and the fused vector.
    """

    stackable = False  # torch.func has no rule for its GRU
    parts = {
        "alignment": "every state of the other stream alike",
        "aligned": "its mean over the windows",
        "last states": "their mean over the windows",
        "gates": "one half: both streams alike",
    }
    choices = {"width": (64, 32, 128)}

    def __init__(self, layout: Layout, width: int = 64, dropout: float = 0.3, input_dropout: float = 0.0):
        super().__init__(layout, width, width, dropout, input_dropout=input_dropout)
        self.recurrent = nn.ModuleList(nn.GRU(width, width, batch_first=True) for _ in range(2))
        self.aligned, self.last = _Gate(width), _Gate(width)

    def fuse(self, streams: Sequence[Stream]) -> tuple[Tensor, dict[str, Tensor]]:
        (s, s_mask), (t, t_mask) = streams
        s, t = self.recurrent[0](s)[0], self.recurrent[1](t)[0]
        scores = torch.tanh(s @ t.mT)  # (B, K, L)
        scores = self.part("alignment", scores, lambda: torch.zeros_like(scores))
        to_t = masked_softmax(scores.mT, s_mask.unsqueeze(1)) @ s  # (B, L, d)
        to_s = masked_softmax(scores, t_mask.unsqueeze(1)) @ t  # (B, K, d)
        gate = partial(self.part, "gates")
        aligned = self.aligned(masked_mean(to_t, t_mask), masked_mean(to_s, s_mask), gate)
        last = self.last(_last_state(s, s_mask), _last_state(t, t_mask), gate)
        return self.part("aligned", aligned) + self.part("last states", last), {}


class _Gate(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first, self.second, self.gate = (
            nn.Linear(width, width),
            nn.Linear(width, width),
            nn.Linear(2 * width, width),
        )

    def forward(self, a, b, part):
        z = torch.sigmoid(self.gate(torch.cat([a, b], 1)))
        z = part(z, lambda: torch.full_like(z, 0.5))
        return z * torch.tanh(self.first(a)) + (1 - z) * torch.tanh(self.second(b))


def _last_state(x, mask):
    """State at the last token that is there, (B, d); 0 where none is."""
    position = (mask * torch.arange(1, mask.shape[1] + 1, device=mask.device)).amax(1)
    last = x[torch.arange(len(x), device=x.device), (position - 1).clamp_min(0)]
    return last * (position > 0).unsqueeze(1)
