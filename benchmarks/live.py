"""An hour of listening: how long from a window's end to its answer, and how much memory.

    python benchmarks/live.py [--minutes 60] [--model helo]

An hour of signals, the recording of one person of the simulated study over and over, at the speed it can be taken. The
model is not trained: that changes no time. Memory is the process's resident set.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import psutil
from machine import describe

import helo
from helo import live
from helo.data.emotion_data import Recording


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--model", default="helo")
    asked = parser.parse_args()
    data = helo.load("simulated", features="causal")
    setup = live.Setup.of(data, step=12.0)
    raw = data.recording("P1")
    seconds = 60 * asked.minutes
    long = {m: np.resize(x, (round(seconds * raw.rates[m]), x.shape[1])) for m, x in raw.signals.items()}
    source = live.replay(Recording(long, raw.rates, raw.units), setup)
    process, started, delays, memory = psutil.Process(), time.perf_counter(), [], {}
    for answer in live.run(live.Session(helo.build(asked.model, data), setup), source):
        delays.append(1000 * answer.delay)
        if answer.time % 300 == 0:
            memory[answer.time / 60] = process.memory_info().rss / 1e6
    print(describe("mne-lsl"))
    print(f"{asked.model}: {len(delays)} answers in {time.perf_counter() - started:.0f} s")
    told = ", ".join(
        f"{name} {np.percentile(delays, q):.0f}" for name, q in (("median", 50), ("99 %", 99), ("most", 100))
    )
    print(f"from a window's end to its answer, ms: {told}")
    print("resident memory, MB: " + ", ".join(f"{minute:.0f} min {mb:.0f}" for minute, mb in memory.items()))


if __name__ == "__main__":
    main()
