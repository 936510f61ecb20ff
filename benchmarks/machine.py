"""What a benchmark ran on, and the memory it took."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

import torch


def describe(*packages: str) -> str:
    """Processor, cores, card, and versions."""
    cpu = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        "",
    )
    card = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ", no GPU"
    found = ", ".join(f"{name} {version(name)}" for name in ("torch", *packages))
    cores = f"{cpu or platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"
    return f"{cores}{card}; Python {platform.python_version()}, {found}"


def peak() -> float:
    """Most memory this process ever held, in bytes (Linux). `getrusage` would count its parent's, too."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmHWM"))
    return 1024 * float(line.split()[1])
