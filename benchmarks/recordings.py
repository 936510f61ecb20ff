"""Time and memory of reading a day of an Empatica E4: `python benchmarks/recordings.py --hours 24`.

Memory is what the process needs beyond what it had once the library was loaded, beside the signals in float64.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import neurokit2  # noqa: F401 - its memory is not the reader's
import numpy as np
import pandas as pd
from machine import peak

import helo
from helo.data import recordings  # noqa: F401

FILES = {"BVP": (64, 1), "EDA": (4, 1), "TEMP": (4, 1), "ACC": (32, 3)}
START = 1_500_000_000.0


def write(root: Path, hours: float) -> int:
    """One person's folder and ratings; gives the bytes of the signals in float64."""
    rng, size = np.random.default_rng(0), 0
    (root / "P1").mkdir()
    for name, (rate, channels) in FILES.items():
        time_of = np.arange(int(3600 * hours * rate)) / rate
        x = {
            "BVP": 50 * np.sin(2 * np.pi * 1.1 * time_of) + rng.normal(0, 1, len(time_of)),
            "EDA": 2 + 0.5 * np.sin(time_of / 90) + rng.normal(0, 0.02, len(time_of)),
            "TEMP": 33 + np.sin(time_of / 3600) + rng.normal(0, 0.01, len(time_of)),
        }.get(name, np.round(rng.normal(0, 10, (len(time_of), 3))))
        table = pd.DataFrame(x.reshape(len(time_of), channels))
        head = "".join(", ".join([f"{value:.6f}"] * channels) + "\n" for value in (START, rate))
        (root / "P1" / f"{name}.csv").write_text(head + table.to_csv(index=False, header=False, float_format="%.4f"))
        size += 8 * table.size
    rows = [["P1", f"clip {k}", 900.0 * k + 60, 600.0, 1, 2, k % 5] for k in range(int(4 * hours))]
    columns = ["person", "trial", "onset", "duration", "emotion.happy", "emotion.sad", "emotion.calm"]
    pd.DataFrame(rows, columns=columns).to_csv(root / "ratings.csv", index=False)
    return size


def read(folder: str) -> None:
    """Load the folder, in a process that has written nothing."""
    before, started = peak(), time.perf_counter()
    data = helo.load("recordings", folder, step=60, cache=False)
    seconds = time.perf_counter() - started
    more = (peak() - before) / 1e6
    print(f"{data}\n{seconds:.0f} s, {more:.0f} MB beyond the library's")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=24)
    parser.add_argument("--read", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        read(options.read)
        return
    with tempfile.TemporaryDirectory() as folder:
        size = write(Path(folder), options.hours)
        print(f"{options.hours:g} h of an E4, {size / 1e6:.0f} MB of signals in float64", flush=True)
        subprocess.run([sys.executable, __file__, "--read", folder], check=True)


if __name__ == "__main__":
    main()
