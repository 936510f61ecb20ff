"""The parts of `benchmarks/gpu.sh`, each in its own time; one table with card and versions at the end.

A part that fails or takes too long is a row that says so, and the others go on. On a machine without a GPU the same
runs on the CPU, and the table says that its figures are of the CPU. `--small` is for looking whether it all works.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from machine import describe
from speed_page import table

ROOT = Path(__file__).parent.parent
NOTEBOOKS = ("02_train", "03_transport", "04_correlation")
#: part -> seconds it may take: 505 in all, and half a minute for setting up
LIMITS = {"test": 70, **dict.fromkeys(NOTEBOOKS, 80), "training": 45, "stacked": 70, "transport": 80}
EPOCHS = 15  # of a notebook: as they are, 04 alone would take minutes; so they train instead of opening shipped models


def command(part: str, study: str, output: Path, small: bool) -> list[str]:
    """How a part is run; `study` is a file that stands for the simulated study, or ""."""
    if part == "test":
        return ["-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "tests/test_gpu.py"]
    if part in NOTEBOOKS:
        place = output / part
        place.mkdir(parents=True, exist_ok=True)
        given = {"interactive": "False", "output": str(place), "epochs": "2" if small else str(EPOCHS)}
        given |= {"dataset": "table", "root": study} if study else {}
        words = [word for name, value in given.items() for word in ("-p", name, value)]
        return [
            "-m",
            "papermill",
            f"notebooks/{part}.ipynb",
            f"{place}/n.ipynb",
            "-k",
            "python3",
            "--no-progress-bar",
            *words,
        ]
    program = {
        "training": "training.py --steps 1 --repeats 1" if small else "training.py",
        "stacked": f"stacked.py --seeds {1 if small else 5} --ways stacked --batches 128 --epochs 2 --repeats 1",
        "transport": "transport.py --sizes 1 --repeats 1" if small else "transport.py --sizes 6 --repeats 3",
    }[part]
    name, *words = program.split()
    return [f"benchmarks/{name}", *words, *(["--study", study] if study and part == "stacked" else [])]


def run(part: str, study: str, output: Path, small: bool, limit: float) -> list[tuple[str, str, str]]:
    """A part's rows: what, what was found, seconds of those it may take."""
    started = time.perf_counter()
    words = ["timeout", "--kill-after=5", str(limit), sys.executable, *command(part, study, output, small)]
    done = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(done.stdout, flush=True)
    seconds = f"{time.perf_counter() - started:.0f} s of {limit:.0f}"
    if done.returncode:
        last = (done.stdout.strip().splitlines() or ["nothing was printed"])[-1]
        why = f"took longer than {limit:.0f} s" if done.returncode in (124, 137) else f"failed: {last[:200]}"
        return [(part, why.replace("|", "/"), seconds)]
    if part == "test":
        return [(f"`tests/{part}_gpu.py`", done.stdout.strip().splitlines()[-1].strip("= "), seconds)]
    if part in NOTEBOOKS:
        result = json.loads((output / part / "result.json").read_text())
        kl = result.get("kl", result.get("scores", {}).get("kl"))
        return [(f"notebook {part}, papermill", f"done; KL {kl:.4f}", seconds)]
    return [(f"{part}: {what}", found, seconds) for what, found, *_ in table(done.stdout)]


def fetch(folder: Path) -> None:
    """Write the simulated study of 15 people as a table of features, and say what the folder weighs."""
    import helo

    data = helo.load("simulated", subjects=15, seed=0)
    signals = {m: np.where(data.masks[m][..., None], x, np.nan) for m, x in data.signals.items()}
    about = {"subject": data.subjects, "trial": data.trials, "condition": data.conditions, "start": data.starts}
    np.savez_compressed(
        folder / "study.npz", **signals, **about, ratings=data.distributions, emotions=np.array(data.emotions)
    )
    files = sorted(folder.iterdir())
    print(f"{folder}: {len(files)} files, {sum(f.stat().st_size for f in files) / 2**20:.1f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"some of {', '.join(LIMITS)}; default all")
    parser.add_argument("--small", action="store_true", help="tiny sizes, to see whether it works")
    parser.add_argument("--limit", type=float, help="seconds of each part, instead of its own")
    parser.add_argument("--output", type=Path, default=Path(tempfile.gettempdir()) / "helo-gpu")
    parser.add_argument("--fetch", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.fetch:
        fetch(options.fetch)
        return
    if unknown := set(options.parts) - set(LIMITS):
        parser.error(f"unknown parts {sorted(unknown)}; expected some of {list(LIMITS)}")
    started, found = time.perf_counter(), []
    for part in options.parts or LIMITS:
        print(f"\n# {part}\n", flush=True)
        found += run(
            part, os.environ.get("HELO_STUDY", ""), options.output, options.small, options.limit or LIMITS[part]
        )
    print(f"\n{describe()}; {time.perf_counter() - started:.0f} s")
    if not torch.cuda.is_available():
        print("no GPU: figures are of the CPU")
    if options.small:
        print("tiny sizes: figures say nothing about speed")
    print("\n| what | found | took |\n|---|---|---|")
    print("\n".join(f"| {' | '.join(row)} |" for row in found))


if __name__ == "__main__":
    main()
