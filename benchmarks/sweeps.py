"""What a sweep costs beside bare papermill in a loop, and what a second process gains: `python benchmarks/sweeps.py`.

Overhead: notebooks that do nothing, by a loop over papermill and by `sweep`. Scaling: notebooks that compute on one
thread, by `sweep` with one process and with two; the start and end of Dask are in the time. The ways take turns, each
time in a process of its own; its imports are not counted.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import nbformat

CELLS = (
    'a: int = 0  # number\nseconds: float = 0.0  # of computing\noutput: str = ""  # folder',
    # of the process's own time: a busy machine does not make the work smaller
    "import json, os, time\nstart = time.process_time()\n"
    "while time.process_time() - start < seconds:\n    sum(range(10_000))",
    "name = os.environ.get('HELO_RESULT', 'result.json')\n"
    "with open(f'{output}/{name}', 'w') as file:\n    json.dump({'a': a}, file)",
)


def once(way: str, runs: int, seconds: float) -> float:
    """Seconds for all runs in this process, by "papermill" or by a sweep with that many workers."""
    import papermill

    from helo import sweeps

    with tempfile.TemporaryDirectory() as folder:
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
        notebook.cells[0].metadata["tags"] = ["parameters"]
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        path = Path(folder) / "n.ipynb"
        nbformat.write(notebook, path)
        started = time.perf_counter()
        if way == "papermill":
            for a in range(runs):
                output = Path(folder) / str(a)
                output.mkdir()
                parameters = {"a": a, "seconds": seconds, "output": str(output)}
                papermill.execute_notebook(
                    path, output / "n.ipynb", parameters, kernel_name="python3", progress_bar=False
                )
        else:
            many = sweeps.grid(a=range(runs), seconds=[seconds])
            states = sweeps.sweep(path, many, Path(folder) / "s", workers=int(way), progress=False)
            assert set(states.values()) == {"done"}
        return time.perf_counter() - started


def in_turns(ways: tuple[str, str], runs: int, seconds: float, times: int) -> dict[str, list[float]]:
    """Each way in turn, so that what else the machine does hits both."""
    took: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(times):
        for way in ways:
            command = [sys.executable, __file__, "--way", way, "--runs", str(runs), "--seconds", str(seconds)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            took[way].append(float(done.stdout.split()[-1]))
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=3, help="of each measurement")
    parser.add_argument("--runs", type=int, default=12, help="notebooks of one measurement")
    parser.add_argument("--seconds", type=float, default=5.0, help="of computing in a notebook, for the scaling")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    if options.way:
        print(once(options.way, options.runs, options.seconds))
        return
    packages = ", ".join(f"{name} {version(name)}" for name in ("papermill", "distributed", "ipykernel"))
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    print(
        f"{platform.platform()}, {os.cpu_count()} cores, load {load}; Python {platform.python_version()}, {packages}\n"
    )
    print("| notebooks | way | seconds per run, median (range) | ratio, median |\n|---|---|---|---|")
    for ways, seconds, names in (
        (("papermill", "1"), 0.0, ("papermill in a loop", "sweep")),
        (("1", "2"), options.seconds, ("sweep, 1 process", "sweep, 2 processes")),
    ):
        took = in_turns(ways, options.runs, seconds, options.times)
        ratio = statistics.median(b / a for a, b in zip(*took.values(), strict=True))
        for way, name in zip(ways, names, strict=True):
            each = [t / options.runs for t in took[way]]
            told = f"{statistics.median(each):.2f} ({min(each):.2f}-{max(each):.2f})"
            shown = "1" if way == ways[0] else f"{ratio:.2f}" + (f", {1 / ratio:.2f} times as fast" if seconds else "")
            print(f"| {options.runs} of {seconds:.0f} s computing | {name} | {told} | {shown} |", flush=True)


if __name__ == "__main__":
    main()
