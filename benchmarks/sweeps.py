"""What a sweep costs beside bare papermill in a loop, and what a second process gains: `python benchmarks/sweeps.py`.

Overhead: notebooks that do nothing, by a loop over papermill and by `sweep`. Warm kernels: notebooks that import what
notebooks/02_train.ipynb imports, and compute for one second and for five; what the sweep's kernels are forked from
starts within the time. Scaling: notebooks that compute on one thread, by `sweep` with one process and with two; the
start and end of Dask are in the time. The ways take turns, each time in a process of its own; its imports are not
counted. Memory is the proportional share of `/proc/PID/smaps_rollup`: what many kernels share counts once among them.
"""

from __future__ import annotations

import argparse
import ast
import json
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

IMPORTING = Path(__file__).parent.parent / "notebooks" / "02_train.ipynb"
CELLS = (
    'a: int = 0  # number\nseconds: float = 0.0  # of computing\noutput: str = ""  # folder',
    # of the process's own time: a busy machine does not make the work smaller
    "import json, os, time\nstart = time.process_time()\n"
    "while time.process_time() - start < seconds:\n    sum(range(10_000))",
    """def share(pid):
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return next(int(line.split()[1]) / 1000 for line in file if line.startswith("Pss:"))
def parent(pid):
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])
pids = [os.getpid(), os.getppid(), parent(os.getppid())]  # kernel, supervisor, what both are forked from or the run
name = os.environ.get('HELO_RESULT', 'result.json')
with open(f'{output}/{name}', 'w') as file:
    json.dump({'a': a, 'memory': [share(pid) for pid in pids]}, file)""",
)


def imports(notebook: Path) -> str:
    """A cell with all that a notebook's cells import first of all."""
    cells = [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]
    statements = [node for cell in cells for node in ast.parse("".join(cell["source"])).body]
    return "\n".join(ast.unparse(node) for node in statements if isinstance(node, ast.Import | ast.ImportFrom))


def once(way: str, runs: int, seconds: float, importing: bool) -> tuple[float, list[float]]:
    """Seconds for all runs in this process, by "papermill", by a sweep with that many workers, or by a "cold" one.

    Also the last run's memory in MB: kernel, supervisor, what both are forked from.
    """
    import papermill

    from helo import sweeps

    with tempfile.TemporaryDirectory() as folder:
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
        if importing:
            notebook.cells.insert(1, nbformat.v4.new_code_cell(imports(IMPORTING)))
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
            how = {"cold": True} if way == "cold" else {"workers": int(way)}
            states = sweeps.sweep(path, many, Path(folder) / "s", **how, progress=False)
            assert set(states.values()) == {"done"}
        took = time.perf_counter() - started
        last = max(Path(folder).rglob("result.json"), key=lambda path: path.stat().st_mtime)
        return took, json.loads(last.read_text())["memory"]


def in_turns(
    ways: tuple[str, ...], runs: int, seconds: float, times: int, importing: bool
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Each way in turn, so that what else the machine does hits all; seconds, and memory of the last turn."""
    took: dict[str, list[float]] = {way: [] for way in ways}
    memory = {}
    for _ in range(times):
        for way in ways:
            command = [sys.executable, __file__, "--way", way, "--runs", str(runs), "--seconds", str(seconds)]
            command += ["--importing"] * importing
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            seconds_took, memory[way] = json.loads(done.stdout.splitlines()[-1])
            took[way].append(seconds_took)
    return took, memory


#: ways of each part, the first of which the others are compared with
PARTS = {
    "overhead": {"papermill": "papermill in a loop", "1": "sweep", "cold": "sweep --cold"},
    "warm": {"papermill": "papermill in a loop", "1": "sweep", "cold": "sweep --cold"},
    "scaling": {"1": "sweep, 1 process", "2": "sweep, 2 processes"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=3, help="of each measurement")
    parser.add_argument("--runs", type=int, default=12, help="notebooks of one measurement")
    parser.add_argument("--seconds", type=float, default=5.0, help="of computing in a notebook, for the scaling")
    parser.add_argument("--part", choices=PARTS, action="append", help="which; all without one")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--importing", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    if options.way:
        print(json.dumps(once(options.way, options.runs, options.seconds, options.importing)))
        return
    packages = ", ".join(f"{name} {version(name)}" for name in ("papermill", "distributed", "ipykernel"))
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    print(
        f"{platform.platform()}, {os.cpu_count()} cores, load {load}; Python {platform.python_version()}, {packages}\n"
    )
    print("| notebooks | way | seconds per run, median (range) | as fast as the first | MB |\n|---|---|---|---|---|")
    for part in options.part or PARTS:
        for seconds in {"warm": (1.0, 5.0), "overhead": (0.0,), "scaling": (options.seconds,)}[part]:
            table(PARTS[part], part == "warm", seconds, options)


def table(ways: dict[str, str], importing: bool, seconds: float, options: argparse.Namespace) -> None:
    """Measure and print a row for each way."""
    took, memory = in_turns(tuple(ways), options.runs, seconds, options.times, importing)
    what = f"{options.runs} of {seconds:.0f} s computing" + ", imports of 02_train" * importing
    first = took[next(iter(ways))]
    for way, name in ways.items():
        each = [t / options.runs for t in took[way]]
        faster = [a / b for a, b in zip(first, took[way], strict=True)]
        told = f"{statistics.median(each):.2f} ({min(each):.2f}-{max(each):.2f})"
        shown = f"{statistics.median(faster):.2f} ({min(faster):.2f}-{max(faster):.2f})"
        kernel, supervisor, zygote = memory[way]
        held = f"kernel {kernel:.0f}"
        if importing and way not in ("papermill", "cold"):
            held += f" + supervisor {supervisor:.0f} + what both are forked from {zygote:.0f}"
        print(f"| {what} | {name} | {told} | {shown} | {held} |", flush=True)


if __name__ == "__main__":
    main()
