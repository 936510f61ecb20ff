"""How many threads a model computes with on a CPU; nowhere else in this library is it decided."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from helo.models import EmotionModel

#: a model, or a stack, that holds fewer numbers than this computes on one thread
SMALL = 1_000_000


@contextmanager
def threads_for(models: Sequence[EmotionModel], device: torch.device) -> Iterator[None]:
    """Inside, small models on a CPU have one thread, others what the process was given; afterwards as before.

    A small model's operations are too short for threads to share: a second one makes HeLo's epoch at best a fifth
    shorter, and where others compute on the same cores it takes 4 to 11 times as long, for threads that wait for each
    other spin. Processes are how small models use many cores (`helo.evaluate`, sweeps). A process is given threads by
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
        yield
    finally:
        torch.set_num_threads(given)
