"""What a busy neighbour costs: `python benchmarks/neighbour.py`, on a machine that does nothing else.

Training and a call of the transport, first alone, then beside a process for each core but one that computes without a
pause; medians, with the threads that torch takes by itself.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
import warnings

import helo  # before torch, as `helo.waiting` says

# isort: split
import torch
from machine import describe, rows

from helo import splits, transport


def training():
    warnings.simplefilter("ignore")  # that five epochs are few
    data = helo.load("simulated")
    model = helo.build("helo", data, seed=0)
    helo.fit(model, data, splits.by_subject(data, folds=4)[0], epochs=5, progress=False)


def plan():
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(256, 32, 8, generator=generator) for _ in range(2))
    cost = transport.cosine_cost(x, y).requires_grad_()
    (transport.plan(cost, 0.1) ** 2).sum().backward()


def seconds(job, repeats=7):
    job()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        job()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def main() -> None:
    print(describe())
    jobs = {"training, HeLo, 5 epochs": training, "transport, 256 x 32 x 32, both ways": plan}
    alone = {name: seconds(job) for name, job in jobs.items()}
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range((os.cpu_count() or 2) - 1)]
    try:
        beside = {name: seconds(job) for name, job in jobs.items()}
    finally:
        for process in busy:
            process.kill()
    print("| | alone (ms) | beside (ms) | times |\n|---|---|---|---|")
    for name in jobs:
        a, b = 1000 * alone[name], 1000 * beside[name]
        print(f"| {name} | {a:.1f} | {b:.1f} | {b / a:.1f} |")
    found = "; ".join(f"{beside[name] / alone[name]:.1f}" for name in jobs)
    what = f"{'; '.join(jobs)}: beside a process on every other core, in times of alone"
    rows([(what, found, "at most 2.5")])


if __name__ == "__main__":
    main()
