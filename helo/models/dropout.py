"""Dropout from random bytes: one 64-bit random number decides about eight activations.

On a CPU torch draws a random number for each activation, which takes a quarter of a training step of HeLo. Inside
`streams` several models run as one, and each draws from its own generator what it would have drawn alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from math import prod

import torch
from torch import Tensor, nn

from helo.precision import widened

# (generator, windows) of each model of the stack that is running; None where a model runs alone
_streams: ContextVar[Sequence[tuple[torch.Generator, int]] | None] = ContextVar("streams", default=None)


class Dropout(nn.Module):
    """In training, set a share of the activations to 0 and scale the others so that the mean stays.

    Args:
        share: probability to drop an activation, 0 <= share < 1; what is not 0 is rounded to a whole number of
            256ths, 1 to 255.
    """

    def __init__(self, share: float):
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.share:
            return x
        x = widened(x)
        return x * kept(x, self.share, x.dtype).mul_(256 / (256 - _dropped(self.share)))

    def extra_repr(self) -> str:
        return f"{self.share}"


def kept(x: Tensor, share: float, dtype: torch.dtype = torch.bool) -> Tensor:
    """Which entries of x (B, ...) stay, True, or 1, with probability 1 - share; of x's shape."""
    return _draw(x.shape, share, x.device, dtype) if _streams.get() is None else _Kept.apply(x.detach(), share, dtype)


@contextmanager
def streams(of_models: Sequence[tuple[torch.Generator, int]]) -> Iterator[None]:
    """Models under `torch.func.vmap` draw from these (generator, windows); windows beyond a model's own are padding."""
    before = _streams.set(of_models)
    try:
        yield
    finally:
        _streams.reset(before)


class _Kept(torch.autograd.Function):
    """`kept` for a model under vmap: what each of the models draws is put side by side."""

    @staticmethod
    def forward(x, share, dtype):
        raise RuntimeError("inside `streams` models run under torch.func.vmap")

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass  # the input is detached: there is no gradient

    @staticmethod
    def vmap(info, in_dims, x, share, dtype):
        shape = x.movedim(in_dims[0], 0).shape[1:]
        own_streams = _streams.get() or ()
        result = torch.zeros((len(own_streams), *shape), dtype=dtype, device=x.device)
        for own, (generator, windows) in zip(result, own_streams, strict=True):
            own[:windows] = _draw((windows, *shape[1:]), share, x.device, dtype, generator)
        return result, 0


def _dropped(share):
    return min(max(round(256 * share), 1), 255)


def _draw(shape, share, device, dtype, generator=None):
    count = prod(shape)
    words = torch.randint(-(2**63), 2**63 - 1, (-(-count // 8),), device=device, generator=generator)
    # straight into the type it is needed in: torch's conversions from and to bool take longer than the comparison
    out = torch.empty(shape, dtype=dtype, device=device)
    return torch.ge(words.view(torch.uint8)[:count].view(shape), _dropped(share), out=out)
