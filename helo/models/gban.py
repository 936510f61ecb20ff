"""GBAN: gated bidirectional alignment network.

Liu et al., "Group Gated Fusion on Attention-based Bidirectional Alignment for Multimodal Emotion Recognition",
Interspeech 2020, https://arxiv.org/abs/2201.06309; the whole paper and the authors' code (ppfliu/emotion-recognition)
were read.

Encoders (section 2.1): convolution, ReLU, max-pooling and a bidirectional LSTM make of each sequence states s_i =
[forward; backward] and a last state h. Alignment of two sequences s_1..s_K and t_1..t_L both ways (2.2):

    alpha_j = softmax_i tanh(s_i . t_j),   s~_j = sum_i alpha_ji s_i,   a_s = mean_j s~_j,   and mirrored for a_t

Group gated fusion (2.3), with a W for each: p_m = tanh(W a_m), z_p = sigmoid(W_z [a_s; a_t]); q_m = tanh(W h_m),
z_q = sigmoid(W_z' [h_s; h_t]);

    h = z_p p_s + (1 - z_p) p_t + z_q q_s + (1 - z_q) q_t

Weights start by Xavier's normal rule, as in section 3.2. Decided here: each modality has an encoder of its own, for one
sequence does not go on in the next; a stream's states are those of its modalities, its last state the mean of theirs.
One convolution of three tokens and one pooling of two, for few tokens (the code: four of four tokens for speech, three
side by side for text). A last state is each direction's own last (the code takes the backward one's first). The code
aligns by Keras' additive attention; here by the paper's dot product. Without one of the streams nothing is aligned, and
the other is heard by its last state alone. h goes through a LayerNorm, which the paper has not: a sum of small gated
states left the head at the training mean on WESAD (KL .0707 without, .0621 with it).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from helo.data.emotion_data import Layout
from helo.models.blocks import masked_mean, masked_softmax
from helo.models.fusion import FusionModel, Stream, compact, two_streams


class GBAN(FusionModel):
    """The GBAN network.

    Args: as `FusionModel`, and
        width: d, width of tokens, states and the fused vector; even, for half of a state is each direction's.

    Raises:
        ValueError: width is odd.
    """

    parts = {
        "alignment": "every state of the other stream alike",
        "aligned": "its mean over the windows",
        "last states": "their mean over the windows",
        "gates": "one half: both streams alike",
    }
    choices = {"width": (64, 32, 128)}

    def __init__(self, layout: Layout, width: int = 64, dropout: float = 0.3, input_dropout: float = 0.0):
        if width % 2:
            raise ValueError(f"gban: width is {width}; expected an even one, half for each direction")
        sides = two_streams(layout)
        super().__init__(layout, width, width, dropout, per_modality=True, input_dropout=input_dropout)
        self.sides = [[layout.modalities.index(m) for m in side] for side in sides]
        self.encode = _Sequences(len(layout.modalities), width)
        self.aligned, self.last = _Gate(width), _Gate(width)
        self.norm = nn.LayerNorm(width)

    def fuse(self, streams: Sequence[Stream]) -> tuple[Tensor, dict[str, Tensor]]:
        states, there, last = self.encode([compact(*stream) for stream in streams])
        (s, s_mask, h_s), (t, t_mask, h_t) = (_together(states[k], there[k], last[k]) for k in self.sides)
        scores = torch.tanh(s @ t.mT)  # (B, K, L)
        scores = self.part("alignment", scores, lambda: torch.zeros_like(scores))
        to_t = masked_softmax(scores.mT, s_mask.unsqueeze(1)) @ s  # (B, L, d)
        to_s = masked_softmax(scores, t_mask.unsqueeze(1)) @ t  # (B, K, d)
        gate = partial(self.part, "gates")
        aligned = self.aligned(masked_mean(to_t, t_mask), masked_mean(to_s, s_mask), gate)
        return self.norm(self.part("aligned", aligned) + self.part("last states", self.last(h_s, h_t, gate))), {}


class _Sequences(nn.Module):
    """Convolution, pooling and bidirectional LSTM of every modality at once, each with its own weights.

    Written out, for `torch.func.vmap` has no rule for torch's LSTM, and so that all modalities and both directions take
    a step together.
    """

    def __init__(self, modalities, width):
        super().__init__()
        half = width // 2
        self.convolve = _xavier(modalities, 3 * width, width)
        self.convolve_bias = nn.Parameter(torch.zeros(modalities, 1, width))
        # forward, then backward; the gates of each: in, forget, cell, out
        self.enter, self.recur = _xavier(2 * modalities, width, half, 4), _xavier(2 * modalities, half, half, 4)
        bias = torch.zeros(2 * modalities, 1, 4 * half)
        bias[..., half : 2 * half] = 1  # a forget gate that starts open, as Keras' does
        self.bias = nn.Parameter(bias)

    def forward(self, streams):
        """States (P, B, K, d), where they are (P, B, K), and the last ones (P, B, d)."""
        longest = max(x.shape[1] for x, _ in streams)
        longest += longest % 2
        x = torch.stack([nn.functional.pad(x, (0, 0, 0, longest - x.shape[1])) for x, _ in streams])
        mask = torch.stack([nn.functional.pad(mask, (0, longest - mask.shape[1])) for _, mask in streams])
        around = nn.functional.pad(x, (0, 0, 1, 1))
        around = torch.cat([around[:, :, k : k + longest] for k in range(3)], -1)  # (P, B, T, 3 d)
        found = torch.relu((around.flatten(1, 2) @ self.convolve + self.convolve_bias).unflatten(1, x.shape[1:3]))
        pooled = (found * mask.unsqueeze(-1)).unflatten(2, (-1, 2)).amax(3)
        return self.recurrent(pooled, mask.unflatten(2, (-1, 2)).any(3))

    def recurrent(self, x, mask):
        steps = x.shape[2]
        both = torch.cat([x, x.flip(2)])  # (2 P, B, K, d)
        there = torch.cat([mask, mask.flip(2)]).unsqueeze(-1)
        entered = ((both.flatten(1, 2) @ self.enter) + self.bias).unflatten(1, both.shape[1:3])
        state = cell = torch.zeros_like(both[:, :, 0, : self.recur.shape[1]])
        states = []
        for k in range(steps):
            i, f, g, o = (entered[:, :, k] + state @ self.recur).chunk(4, -1)
            now = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
            cell = torch.where(there[:, :, k], now, cell)
            state = torch.where(there[:, :, k], torch.sigmoid(o) * torch.tanh(now), state)
            states.append(state)
        forward, backward = torch.stack(states, 2).chunk(2)
        return torch.cat([forward, backward.flip(2)], -1), mask, torch.cat(state.chunk(2), -1)


class _Gate(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first, self.second = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.gate = nn.Linear(2 * width, width, bias=False)
        for linear in (self.first, self.second, self.gate):
            nn.init.xavier_normal_(linear.weight)

    def forward(self, a, b, part):
        z = torch.sigmoid(self.gate(torch.cat([a, b], 1)))
        z = part(z, lambda: torch.full_like(z, 0.5))
        return z * torch.tanh(self.first(a)) + (1 - z) * torch.tanh(self.second(b))


def _xavier(count, inputs, outputs, side_by_side=1):
    scale = (2 / (inputs + outputs)) ** 0.5
    return nn.Parameter(scale * torch.randn(count, inputs, side_by_side * outputs))


def _together(states, there, last):
    """A stream of its modalities (p, B, K, d): their states one beside the other, the mean of their last states."""
    present = there.any(2).to(last).unsqueeze(-1)
    mean = (last * present).sum(0) / present.sum(0).clamp_min(1)
    return states.transpose(0, 1).flatten(1, 2), there.transpose(0, 1).flatten(1, 2), mean
