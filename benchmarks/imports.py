"""How long `import helo` and the first look at its functions take in a new process, beside torch, which they import:
`python benchmarks/imports.py`; the median of nine, by turns."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from machine import describe, rows

WHAT = {
    "nothing": "pass",
    "torch": "import torch",
    "helo": "import helo; helo.fit, helo.load, helo.evaluate, helo.predict",
}


def main() -> None:
    print(describe())
    taken: dict[str, list[float]] = {name: [] for name in WHAT}
    for _ in range(9):
        for name, code in WHAT.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            taken[name].append(time.perf_counter() - started)
    nothing, torch, helo = (statistics.median(times) for times in taken.values())
    missed = " (**missed**)" if helo - torch > 1 else ""
    found = f"{helo - torch:.1f} s more than torch's {torch - nothing:.1f} s{missed}"
    rows([("`import helo` and its functions in a new process", found, "at most 1 s more")])


if __name__ == "__main__":
    main()
