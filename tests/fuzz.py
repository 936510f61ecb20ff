"""Thousands of broken and hostile files for every reader.

    python tests/fuzz.py --files 10000                 # all readers; prints a table, exits with 1 on any fault
    python tests/fuzz.py --files 10000 --reader table-npz wide-csv --seed 3
    python tests/fuzz.py --reader dmer-mat --only 4711  # one file again, with its traceback

The families are in tests/fuzzing. Each file must load, or end in a ValueError that names a file, in at most 2,000
printable characters. A fault is: more than 10 seconds, a crash of the process, an attempt to run a command, open a
connection, unpickle by name or write anywhere (seen by an audit hook), any other exception, memory (half a gigabyte for
a small file, 2 GB of addresses for any), and, for what has a checksum, other numbers than the valid file's. Every file
follows from the seed and its number.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
from fuzzing import READERS
from fuzzing.trial import FAULTS, Outcome, attempt, guard, put

STILL = 100  # fifths of a second without a word, once it has begun: 20 s


def work(counts: dict[str, int], seed: int, first: int, out: Path) -> None:
    """Try so many files of each reader, of the first one from the number `first` on; one line of JSON each."""
    import faulthandler

    faulthandler.disable()
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    guarded = False
    for name, last in counts.items():
        reader = READERS[name]()
        with tempfile.TemporaryDirectory(dir=memory) as folder, out.open("a") as log:
            folder = Path(folder)
            reader.prepare(folder)
            loaded = reader.load(folder)  # all imports done, and what is valid loads
            valid = reader.numbers(loaded) if reader.numbers else None
            if not guarded:
                guard()
                guarded = True
            for k in range(first, last):
                log.write(json.dumps([name, k, "crash", "the process died"]) + "\n")
                log.flush()
                outcome = attempt(reader, folder, generator(name, seed, k), valid)
                log.write(json.dumps([name, k, *outcome]) + "\n")
                log.flush()
        first = 0


def generator(name: str, seed: int, k: int) -> np.random.Generator:
    return np.random.default_rng((seed, zlib.crc32(name.encode()), k))


def run(names: list[str], seed: int, files: int | dict[str, int], folder: Path) -> dict[str, dict[int, Outcome]]:
    """reader -> number of the file -> outcome, from processes that are started again after a crash or a hang.

    Args:
        names, seed: what to try.
        files: how many of each, or of each reader.
        folder: where the outcomes are written.
    """
    counts = files if isinstance(files, dict) else dict.fromkeys(names, files)
    out = folder / "outcomes.jsonl"
    out.unlink(missing_ok=True)
    results: dict[str, dict[int, Outcome]] = {name: {} for name in names}
    left, first = list(names), 0
    while left:
        asked = ["--worker", ",".join(f"{name}:{counts[name]}" for name in left), str(first), str(out)]
        command = [sys.executable, __file__, "--seed", str(seed), *asked]
        with (folder / "worker.log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | {"TQDM_DISABLE": "1"})
        start = size = out.stat().st_size if out.exists() else 0
        still = 0
        while process.poll() is None:
            time.sleep(0.2)
            now = out.stat().st_size if out.exists() else 0
            still = still + 1 if now == size > start else 0
            size = now
            if still > STILL:  # inside C code, where no alarm is heard
                process.kill()
        before = sum(map(len, results.values()))
        for line in out.read_text().splitlines() if out.exists() else []:
            name, k, *outcome = json.loads(line)
            results[name][k] = Outcome(*outcome)
        if still > STILL and results[name][k].kind == "crash":
            results[name][k] = Outcome("hang", "inside C code", STILL / 5)
            with out.open("a") as log:
                log.write(json.dumps([name, k, *results[name][k]]) + "\n")
        if sum(map(len, results.values())) == before:
            raise RuntimeError(f"{left[0]}: the worker failed before its first file; see {folder / 'worker.log'}")
        left = [name for name in left if len(results[name]) < counts[name]]
        first = len(results[left[0]]) if left else 0
    return results


def row(name: str, outcomes: list[Outcome], seconds: float) -> str:
    """A line of the table."""
    counts = [sum(o.kind == kind for o in outcomes) for kind in ("loaded", "error", *FAULTS)]
    slowest, most = max(o.seconds for o in outcomes), max(o.megabytes for o in outcomes)
    cells = [name, len(outcomes), *counts, f"{slowest:.1f}", f"{most:.0f}", f"{seconds:.0f}"]
    return "| " + " | ".join(map(str, cells)) + " |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=1000, help="broken files for each reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reader", nargs="+", choices=list(READERS), help="default: all")
    parser.add_argument("--only", type=int, help="try this one file again, and show its traceback")
    parser.add_argument("--output", type=Path, default=Path("runs/fuzz"))
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        names, first, out = options.worker
        counts = {name: int(count) for name, _, count in (part.partition(":") for part in names.split(","))}
        work(counts, options.seed, int(first), Path(out))
        return 0
    if options.only is not None:
        return again(*options.reader, options.seed, options.only)
    options.output.mkdir(parents=True, exist_ok=True)
    header = ["reader", "files", "loaded", "clear errors", *FAULTS, "slowest s", "most MB", "seconds"]
    print(f"| {' | '.join(header)} |\n|{'---|' * len(header)}", flush=True)
    faults = []
    for name in options.reader or READERS:
        started = time.perf_counter()
        outcomes = run([name], options.seed, options.files, options.output)[name]
        found = [(k, o) for k, o in outcomes.items() if o.kind in FAULTS]
        faults += [f"{name} --only {k}: {o.kind}, {o.seconds:.1f} s, {o.told[:300]}" for k, o in found[:20]]
        print(row(name, list(outcomes.values()), time.perf_counter() - started), flush=True)
        (options.output / "faults.txt").write_text("\n".join(faults))
    print("\n".join(["", *faults]))
    return int(bool(faults))


def again(name: str, seed: int, k: int) -> int:
    """One file again, with its traceback."""
    reader = READERS[name]()
    with tempfile.TemporaryDirectory() as folder:
        reader.prepare(Path(folder))
        file, content, *under = reader.broken(generator(name, seed, k))
        put(Path(folder) / file, content)
        print(file, under, (len(content), content[:300]) if isinstance(content, bytes) else content)
        print(reader.load(Path(folder).joinpath(*under)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
