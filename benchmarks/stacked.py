"""A cross-validation of HeLo fold by fold, by processes, and as one stacked model: `python benchmarks/stacked.py`.

Folds by subject x --seeds on the simulated study (15 folds), or on random windows of DMER's sizes (8), --epochs each.
The ways take turns; the median over the turns counts.

    one by one   `helo.fit`, one after the other
    processes    the same, a process a core, a thread each (not on a GPU)
    stacked      `helo.training.fit_together`, all at once
    both         a process a core, each with its share of the models as one stack (not on a GPU)
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from joblib import Parallel, cpu_count, delayed
from machine import describe
from training import study

import helo
from helo.training.stacking import fit_together


def one_by_one(data, jobs, training):
    return [helo.fit(helo.build("helo", data, seed=seed), data, split, seed=seed, **training) for split, seed in jobs]


def stacked(data, jobs, training):
    splits, seeds = zip(*jobs, strict=True)
    return fit_together([helo.build("helo", data, seed=seed) for seed in seeds], data, splits, seeds=seeds, **training)


def spread(way, data, jobs, training):
    """The jobs on a process a core."""
    cores = min(cpu_count(), len(jobs))
    parts = [jobs[k::cores] for k in range(cores)] if way is stacked else [[job] for job in jobs]
    Parallel(n_jobs=cores)(delayed(way)(data, part, training) for part in parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", choices=["simulated", "dmer"], default="simulated")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batches", type=int, nargs="+", default=[32, 128])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    data = helo.load("simulated", subjects=15, seed=0) if options.study == "simulated" else study(512)
    jobs = [(split, seed) for split in helo.splits.by_subject(data) for seed in range(options.seeds)]
    print(describe())
    print(f"{len(jobs)} models, {len(data)} windows, {options.epochs} epochs, on {options.device}\n")
    print("| batch | way | seconds | times as fast as one by one |\n|---|---|---|---|")
    for batch in options.batches:
        training = {"epochs": options.epochs, "batch_size": batch, "progress": False, "device": options.device}
        ways = {"one by one": one_by_one, "stacked": stacked}
        if options.device == "cpu":
            ways["processes"] = lambda *job: spread(one_by_one, *job)
            ways["both"] = lambda *job: spread(stacked, *job)
        times = {way: [] for way in ways}
        for repeat in range(options.repeats + 1):
            for way, run in ways.items():
                started = time.perf_counter()
                run(data, jobs, training)
                if repeat:  # the first turn starts processes and kernels
                    times[way].append(time.perf_counter() - started)
        slow = statistics.median(times["one by one"])
        for way, seconds in times.items():
            print(
                f"| {batch} | {way} | {statistics.median(seconds):.1f} | {slow / statistics.median(seconds):.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
