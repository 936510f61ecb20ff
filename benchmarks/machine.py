"""What a benchmark ran on, the memory it took, and the rows that docs/speed.md has of it."""

import os
import platform
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

import torch

#: what `speed_page.py` looks for in a benchmark's output: the lines below it are rows of the page
HEAD = "| what | found | goal |"


def describe(*packages: str) -> str:
    """Processor, cores, card, and versions."""
    cpu = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        "",
    )
    card = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ", no GPU"
    found = ", ".join(f"{name} {version(name)}" for name in ("torch", *packages))
    cpu = f"{cpu or platform.machine()} ({torch.backends.cpu.get_cpu_capability()})"  # two of one name may not be alike
    cores = f"{cpu}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"
    return f"{cores}{card}; Python {platform.python_version()}, {found}"


def peak() -> float:
    """Most memory this process ever held, in bytes (Linux). `getrusage` would count its parent's, too."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmHWM"))
    return 1024 * float(line.split()[1])


def rows(found: Iterable[tuple[str, str, str]]) -> None:
    """Print what was measured, what was found, and what the goal is."""
    print(f"\n{HEAD}\n|---|---|---|")
    for row in found:
        print(f"| {' | '.join(row)} |", flush=True)


def beside(found: float, goal: float) -> str:
    """A speed, and whether it is below its goal."""
    return f"{found:.2f}" + (" (**missed**)" if found < goal else "")
