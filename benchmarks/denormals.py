"""What weights that nothing holds cost a long training, and what it costs without denormal numbers:
`OMP_NUM_THREADS=1 python benchmarks/denormals.py`.

AIMDiT on the simulated study with one token a side, as CREMA-D has it: a query that chooses among one token has no
gradient but weight decay's. Epochs at the beginning beside epochs at the end, in turns with and without.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import statistics

from machine import describe, rows

import helo
from helo.training import loop

ENDS = 5  # epochs at each end
TRAINING = {"learning_rate": 0.003, "weight_decay": 0.001, "batch_size": 32, "progress": False}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=150)
    options = parser.parse_args()
    print(describe())
    data = helo.load("simulated")
    one = {m: x.mean(1, keepdims=True) for m, x in data.signals.items()}
    masks = {m: there.any(1, keepdims=True) for m, there in data.masks.items()}
    data = dataclasses.replace(data, signals=one, masks=masks, tokens={})
    split = helo.splits.by_subject(data, folds=4)[0]
    found, told, usual = [], [], loop.without_denormals
    for name, way in (("as they come", contextlib.nullcontext), ("as zeros", usual)):
        loop.without_denormals = way
        model = helo.build("aimdit", data)
        run = helo.fit(model, data, split, epochs=options.epochs, patience=options.epochs, **TRAINING)
        seconds = [row["seconds"] for row in run.history]
        first, last = statistics.median(seconds[:ENDS]), statistics.median(seconds[-ENDS:])
        found.append((f"epoch {options.epochs} beside the first, denormal numbers {name}", f"{last / first:.2f}", ""))
        told.append(run.history[-1]["validation_kl"])
    found.append(("difference of the last validation KL", f"{abs(told[0] - told[1]):.1g}", "0"))
    rows(found)


if __name__ == "__main__":
    main()
