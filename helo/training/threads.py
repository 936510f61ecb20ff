"""How a model computes on a CPU: with how many threads, and without denormal numbers; decided nowhere else."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from helo.models import EmotionModel

#: a model, or a stack, that holds fewer numbers than this computes on one thread
SMALL = 1_000_000


@contextmanager
def threads_for(models: Sequence[EmotionModel], device: torch.device) -> Iterator[None]:
    """Inside, small models on a CPU have one thread, others what the process was given; afterwards as before.

    A small model's operations are too short for threads to share: a second one makes HeLo's epoch at best a fifth
    shorter, and where others compute on the same cores it takes 4 to 11 times as long, for threads that wait for each
    other spin. Those of NumPy's BLAS, which solves the models of closed form, do so too (ridge 20 times as long).
    Processes are how small models use many cores (`helo.evaluate`, sweeps). A process is given threads by
    $OMP_NUM_THREADS or by who started it; never are there more.

    Args:
        models: what is trained, or asked, at once.
        device: where they compute.
    """
    given = torch.get_num_threads()
    held = sum(x.numel() for model in models for x in (*model.parameters(), *model.buffers()))
    if device.type != "cpu" or held >= SMALL:
        yield
        return
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(given)


@contextmanager
def without_denormals() -> Iterator[None]:
    """Inside, numbers below 1.2e-38 are 0 to this thread's CPU (`on_epoch` included); afterwards as before.

    A weight that no window has a say in (the query of a modality with a single token, say) has a gradient of weight
    decay alone, and shrinks into the denormal numbers. Products of them take a CPU many times as long and change no
    answer: late epochs took twice as long as the first and more (`benchmarks/denormals.py`, docs/speed.md).
    """
    before = bool(torch.tensor(1e-39, dtype=torch.float32, device="cpu") * 0.5 == 0)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def few_threads(function: Callable) -> Callable:
    """A function whose first argument is a model: it computes with the threads that this model is given."""

    @functools.wraps(function)
    def computed(model: EmotionModel, *args: Any, **options: Any) -> Any:
        with threads_for([model], where(model)):
            return function(model, *args, **options)

    return computed


def where(model: EmotionModel) -> torch.device:
    """The device a model is on."""
    return next((t.device for t in (*model.parameters(), *model.buffers())), torch.device("cpu"))
