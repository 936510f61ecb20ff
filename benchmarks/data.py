"""How long WESAD takes to load, and how much memory: `python benchmarks/data.py --root WESAD`, first from the
recordings to features, then from the cache.

Without --root: one generated subject with 600 MB of wrist and chest signals, written as Python 2 wrote the release:
time, and the most memory the process ever held beyond its imports.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from machine import describe, peak, rows

import helo


class _Python2Pickler(pickle._Pickler):
    """Bytes as Python 2's strings, as in the release; Python 3 would write text, twice as large in memory."""

    def save_string(self, value):
        self.write(pickle.BINSTRING + struct.pack("<i", len(value)) + value)
        self.memoize(value)

    dispatch = pickle._Pickler.dispatch | {bytes: save_string}


def write(root: Path, gigabytes: float) -> Path:
    """S2 in the release's layout, with wrist and chest signals of that size."""
    bytes_per_second = 700 * (7 * 8 + 4 + 4) + 8 * (32 * 3 + 64 + 4 + 4)
    seconds = int(gigabytes * 1e9 / bytes_per_second)
    rng = np.random.default_rng(0)
    n, t = 700 * seconds, np.arange(64 * seconds) / 64
    beats = np.zeros(n)
    beats[::560] = 1  # 75 a minute
    label = np.zeros(n, np.int32)
    for k, code in enumerate((1, 2, 4, 3, 4)):
        label[n * k // 5 + 7000 : n * (k + 1) // 5] = code
    wrist = {
        "ACC": rng.integers(-64, 64, (32 * seconds, 3)).astype(float),
        "BVP": 50 * np.sin(2 * np.pi * 1.1 * t)[:, None],
        "EDA": 2 + 0.1 * rng.random((4 * seconds, 1)),
        "TEMP": 33 + 0.1 * rng.random((4 * seconds, 1)),
    }
    noise = rng.normal(0, 0.01, (n, 1))
    chest = {
        "ACC": np.repeat(noise, 3, 1),
        "ECG": np.convolve(beats, np.hanning(40), "same")[:, None] + noise,
        "EMG": noise,
        "EDA": 3 + noise,
        "Temp": (33 + noise).astype(np.float32),
        "Resp": np.sin(2 * np.pi * 0.25 * np.arange(n) / 700)[:, None],
    }
    path = root / "S2" / "S2.pkl"
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        _Python2Pickler(file, 2).dump({"signal": {"wrist": wrist, "chest": chest}, "label": label, "subject": "S2"})
    rows = ["# PANAS;" + ";".join(["1"] * (26 if k == 1 else 24)) for k in range(5)]
    (root / "S2" / "S2_quest.csv").write_text("\n".join(["# ORDER;Base;TSST;Medi 1;Fun;Medi 2", *rows]) + "\n")
    return path


def measure(root: str, site: str, cache: bool) -> None:
    """Print seconds and bytes of one load in this process; imports and the first use of libraries are not counted."""
    import neurokit2  # noqa: F401

    before, started = peak(), time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = helo.load("wesad", root=root, site=site, cache=cache)
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "bytes": peak() - before, "windows": len(data)}))


def apart(*arguments, **environment) -> dict:
    """`measure` in a process of its own."""
    command = [sys.executable, __file__, "--measure", *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | environment)
    return json.loads(done.stdout.splitlines()[-1])


def wesad(root: str, repeats: int, folder: str) -> list[tuple[str, str, str]]:
    """Rows of WESAD's folder, read anew and from the cache."""
    told = []
    size = sum(path.stat().st_size for path in Path(root).rglob("*.pkl")) / 1e6
    for label, cache, most in (
        (f"wrist, {size:.0f} MB, first", "no cache", 20),
        ("again, from the cache", "cache", 0.5),
    ):
        if cache == "cache":
            apart(root, "wrist", cache, HELO_CACHE=folder)
        found = [apart(root, "wrist", cache, HELO_CACHE=folder) for _ in range(repeats)]
        seconds, memory = (statistics.median(f[key] for f in found) for key in ("seconds", "bytes"))
        print(f"| {label}: {found[0]['windows']} windows | {seconds:.2f} | {memory / 1e6:.0f} |", flush=True)
        missed = " (**missed**)" if seconds > most else ""
        told.append((f"WESAD's recordings to features, {label}", f"{seconds:.2f} s{missed}", f"{most} s"))
    return told


def one(gigabytes: float, folder: str) -> tuple[str, str, str]:
    """The row of one person's file, of this size."""
    path = write(Path(folder) / "release", gigabytes)
    size = path.stat().st_size
    found = apart(str(path.parent.parent), "both", "no cache")
    times = found["bytes"] / size
    about = f"wrist and chest of one person, {size / 1e6:.0f} MB: {found['windows']} windows"
    print(f"| {about} | {found['seconds']:.1f} | {found['bytes'] / 1e6:.0f}, {times:.2f} times the file |")
    memory = f"{found['seconds']:.1f} s, memory {times:.2f} times the file" + (" (**missed**)" if times > 2 else "")
    return f"one person with {size / 1e6:.0f} MB of wrist and chest signals", memory, "2 times the file"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", help="WESAD's folder: how long it takes; without it, one person's large file")
    parser.add_argument(
        "--gigabytes", type=float, default=0.6, help="of that file; above .65 it lasts longer than is read"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        root, site, cache = options.measure
        measure(root, site, cache == "cache")
        return
    print(describe("neurokit2"), "\n\n| load | seconds | memory (MB) |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        told = wesad(options.root, options.repeats, folder) if options.root else [one(options.gigabytes, folder)]
    rows(told)


if __name__ == "__main__":
    main()
