"""A cross-validation of HeLo fold by fold, by processes, as one stacked model, and by `helo.evaluate`, which chooses
among these: `python benchmarks/stacked.py`; with `--seeds 3 --ways evaluate` 15 folds x 3 seeds.

Folds by subject x --seeds on the simulated study (15 folds), or on random windows of DMER's sizes (8), --epochs each.
The ways take turns; the median over the turns counts.

    one by one   `helo.fit`, one after the other
    processes    the same, a process a core, a thread each (not on a GPU)
    stacked      `helo.training.fit_together`, all at once
    both         a process a core, each with its share of the models as one stack (not on a GPU)
    evaluate     `helo.evaluate`, as users have it: it asks every model too, and makes the table
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings

import torch
from joblib import Parallel, cpu_count, delayed, parallel_config
from machine import beside, describe, rows
from training import study

import helo
from helo.training.stacking import fit_together

FIRST = "one by one"


def one_by_one(data, jobs, training):
    return [helo.fit(helo.build("helo", data, seed=seed), data, split, seed=seed, **training) for split, seed in jobs]


def stacked(data, jobs, training):
    splits, seeds = zip(*jobs, strict=True)
    return fit_together([helo.build("helo", data, seed=seed) for seed in seeds], data, splits, seeds=seeds, **training)


def spread(way, data, jobs, training):
    """The jobs on a process a core."""
    cores = min(cpu_count(), len(jobs))
    parts = [jobs[k::cores] for k in range(cores)] if way is stacked else [[job] for job in jobs]
    with parallel_config("loky", inner_max_num_threads=1):  # as `evaluate` has them, so that no turn starts processes
        Parallel(n_jobs=cores)(delayed(way)(data, part, training) for part in parts)


def evaluated(data, jobs, training):
    splits, seeds = {split.name: split for split, _ in jobs}, sorted({seed for _, seed in jobs})
    helo.evaluate("helo", data, protocol=list(splits.values()), seeds=seeds, nested=0, **training)


WAYS = {
    FIRST: one_by_one,
    "stacked": stacked,
    "processes": lambda *job: spread(one_by_one, *job),
    "both": lambda *job: spread(stacked, *job),
    "evaluate": evaluated,
}


def in_turns(ways, repeats, *job) -> dict[str, float]:
    """Median seconds of each way; but for the first, each has a turn before, which starts processes and kernels."""
    times: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(repeats + 1):
        for way in ways if turn else ways[1:]:
            started = time.perf_counter()
            WAYS[way](*job)
            if turn:
                times[way].append(time.perf_counter() - started)
    return {way: statistics.median(seconds) for way, seconds in times.items()}


def load(name):
    if name == "dmer":
        return study(512)
    return helo.load("simulated", subjects=15, seed=0) if name == "simulated" else helo.load("table", name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", default="simulated", help="simulated, dmer, or a file of your own (`table`)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batches", type=int, nargs="+", default=[32, 128])
    parser.add_argument("--ways", nargs="+", default=list(WAYS)[1:], help="beside one by one")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", ".*cap of")
    ways = [FIRST, *(way for way in options.ways if options.device == "cpu" or way not in ("processes", "both"))]
    data = load(options.study)
    splits = helo.splits.by_subject(data)
    jobs = [(split, seed) for split in splits for seed in range(options.seeds)]
    print(describe())
    print(f"{len(jobs)} models, {len(data)} windows, {options.epochs} epochs, on {options.device}\n", flush=True)
    print("| batch | way | seconds | times as fast as one by one |\n|---|---|---|---|")
    told = []
    for batch in options.batches:
        training = {"epochs": options.epochs, "batch_size": batch, "progress": False, "device": options.device}
        taken = in_turns(ways, options.repeats, data, jobs, training)
        for way, seconds in taken.items():
            print(f"| {batch} | {way} | {seconds:.1f} | {taken[FIRST] / seconds:.2f} |", flush=True)
        gains = {way: taken[FIRST] / seconds for way, seconds in taken.items() if way != FIRST}
        goal = 2.5 if options.study == "simulated" and options.device == "cpu" else 0.0
        found = [f"{way} {beside(gain, goal) if way == 'evaluate' else f'{gain:.2f}'}" for way, gain in gains.items()]
        sizes = {"simulated": "the simulated study", "dmer": "DMER's sizes"}.get(options.study, data.name)
        what = f"{len(splits)} folds x {options.seeds} seeds of HeLo, {sizes}, batch {batch}, beside fold by fold"
        told.append((what, f"times as fast: {', '.join(found)}", f"evaluate {goal}" if goal else ""))
    rows(told)


if __name__ == "__main__":
    main()
