"""How a training step of HeLo grows: `python benchmarks/growth.py` draws figures/growth.png and prints the slopes.

Time of a step (forward, backward, Adam) and the memory it needs (the data set, and what the forward pass keeps for the
backward one), against tokens per modality, emotions, windows in a batch, and subjects in the data set (30 windows each;
an epoch instead of a step). Every point is a process of its own on one thread; times are medians over three epochs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time

import numpy as np
from machine import describe, rows

START = {"tokens": 8, "emotions": 10, "batch": 64, "subjects": 16}
AXES = {
    "tokens": (4, 8, 16, 32, 64),
    "emotions": (5, 10, 20, 40, 80),
    "batch": (16, 64, 256, 1024),
    "subjects": (4, 16, 64, 256),
}


def measure(tokens: int, emotions: int, batch: int, subjects: int, epoch: bool) -> None:
    """Print milliseconds and MB of a step, or of an epoch."""
    import torch

    import helo
    from helo.data.splits import Split

    rng = np.random.default_rng(0)
    n = 30 * subjects if epoch else batch
    data = helo.EmotionData(
        name="random",
        signals={m: rng.normal(size=(n, tokens, 6)).astype(np.float32) for m in ("eeg", "eda", "ppg", "face")},
        distributions=rng.dirichlet(np.ones(emotions), n).astype(np.float32),
        emotions=[f"e{k}" for k in range(emotions)],
        subjects=np.arange(n) % subjects,
        trials=np.arange(n).astype(str),
        roles={"physiological": ["eeg", "eda", "ppg"], "behavioral": ["face"]},
    )
    model = helo.build("helo", data, width=64)
    every = np.arange(n)
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        first = slice(0, batch)
        answer = model(*({m: torch.as_tensor(x[first]) for m, x in g.items()} for g in (data.signals, data.masks)))
        model.total(model.losses(answer, torch.as_tensor(data.distributions[first])))
    memory = sum(kept.values()) + sum(x.nbytes for x in data.signals.values())
    run = helo.fit(
        model, data, Split("all", every, every[:0], every[:1]), epochs=4, batch_size=batch, progress=False, device="cpu"
    )
    print(json.dumps([1000 * statistics.median(row["seconds"] for row in run.history[1:]), memory / 1e6]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figures", default="figures")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(**json.loads(options.measure))
        return
    import matplotlib

    matplotlib.use("agg")
    from matplotlib.figure import Figure

    from helo import figures

    print(describe(), "\n")
    started = time.perf_counter()
    figure = Figure(figsize=(10, 5), layout="constrained")
    told = []
    panels = figure.subplots(2, len(AXES), sharex="col", sharey="row")
    for column, (axis, values) in enumerate(AXES.items()):
        points = []
        for value in values:
            setting = json.dumps(START | {axis: value, "epoch": axis == "subjects"})
            done = subprocess.run(
                [sys.executable, __file__, "--measure", setting], check=True, capture_output=True, text=True
            )
            points.append(json.loads(done.stdout.splitlines()[-1]))
        y = np.array(points)
        unit = "epoch" if axis == "subjects" else "step"
        for row, label in enumerate((f"time of one {unit} (ms)", "memory (MB)")):
            panel = panels[row][column]
            panel.loglog(values, np.maximum(y[:, row], 0.1), "o-", color="#0072B2")
            panel.set_xticks(values, [str(v) for v in values])
            panel.minorticks_off()
            panel.set_ylabel(label)
        panels[1][column].set_xlabel(
            {"tokens": "tokens of each modality", "batch": "windows in a batch"}.get(axis, axis)
        )
        slope = np.polyfit(np.log(values[-3:]), np.log(np.maximum(y[-3:], 0.1)), 1)[0]
        print(
            f"{axis} {values}: ms {y[:, 0].round(1).tolist()}, MB {y[:, 1].round(1).tolist()}; "
            f"last exponents: time {slope[0]:.2f}, memory {slope[1]:.2f}",
            flush=True,
        )
        what = f"time and memory of one {unit} of HeLo against {axis}, exponents from {values[-3]} to {values[-1]}"
        told.append((what, f"{slope[0]:.2f} and {slope[1]:.2f}", ""))
    figures.save(figure, f"{options.figures}/growth.png")
    print(f"\n{time.perf_counter() - started:.0f} s")
    rows(told)


if __name__ == "__main__":
    main()
