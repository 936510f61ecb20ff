"""In what precision products are computed: float32, or bfloat16 where the device has it and a model is large.

Only products of a network's layers take bfloat16. Weights, optimizer, transport, softmax, norms, residuals and losses
stay float32, and so does all that leaves a forward pass.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor

PRECISIONS = ("auto", "float32", "bfloat16")
#: weights, and weights times windows of a batch, from which on products gain more by bfloat16 than casting takes
LARGE, WORK = 1_000_000, 100_000_000

Result = TypeVar("Result")


def precision_for(asked: str, model: torch.nn.Module, device: torch.device, batch: int) -> str:
    """What a model's products are computed in: "float32" or "bfloat16".

    Args:
        asked: "auto" takes bfloat16 on a device that computes with it, for a model of a million weights and more with
            batches of a hundred windows at a million weights, fifty at two million. Measured on an AVX512-BF16 CPU:
            below that HeLo's step takes up to a fifth longer (width 32, batches of 16), above it is always shorter.
        model: its weights are counted.
        device: where it computes.
        batch: windows at a time.

    Raises:
        ValueError: asked for something else.
    """
    if asked not in PRECISIONS:
        raise ValueError(f"precision is {asked!r}; expected one of {list(PRECISIONS)}")
    if asked != "auto":
        return asked
    weights = sum(p.numel() for p in model.parameters())
    large = weights >= LARGE and weights * batch >= WORK
    return "bfloat16" if large and has_bfloat16(device) else "float32"


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 in hardware: CUDA's own answer; of a CPU, AVX512-BF16 or AMX."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    ask = getattr(torch.cpu, "get_capabilities", None)  # older versions of torch have no public way to tell
    known = ask() if ask is not None and device.type == "cpu" else {}
    return any(known.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


def products_in(precision: str, device: torch.device) -> AbstractContextManager:
    """Inside, products are computed in that precision."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bfloat16" else nullcontext()


def reduced(x: Tensor) -> Tensor:
    """What several products are going to read, cast for all of them at once; as it is where they take float32."""
    kind = x.device.type
    return x.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else x


def in_float32(function: Callable[..., Result]) -> Callable[..., Result]:
    """A function of tensors that is computed in float32 whatever its products would else be computed in."""

    @functools.wraps(function)
    def computed(*arguments: Any, **options: Any) -> Result:
        kind = next(x for x in (*arguments, *options.values()) if isinstance(x, Tensor)).device.type
        if not torch.is_autocast_enabled(kind):
            return function(*arguments, **options)
        with torch.autocast(kind, enabled=False):
            return function(*widened(arguments), **widened(options))

    return computed


def widened(x: Any) -> Any:
    """Tensors of bfloat16 as float32, also inside lists, tuples and mappings; anything else as it is."""
    if isinstance(x, Tensor):
        return x.float() if x.dtype == torch.bfloat16 else x
    if isinstance(x, Mapping):
        return {key: widened(value) for key, value in x.items()}
    return type(x)(map(widened, x)) if isinstance(x, (list, tuple)) else x
