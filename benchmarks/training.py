"""One training step of HeLo at DMER's sizes, beside the plain ways of writing it: `python benchmarks/training.py`.

18 x 5 EEG, 28 GSR, 27 PPG and 768 video features, 10 emotions, width 128, batches of 128. The ways take turns; the
median over the turns counts.

    helo      as `helo.fit` trains: data in memory once, batches by index, transport with the implicit gradient,
              dropout from bytes
    unrolled  the same, but the plan by 20 iterations in the log domain that autograd passes through, and torch's
              dropout
    loader    a plain loop around that: a DataLoader over windows, Adam, the loss read after every step
"""

from __future__ import annotations

import argparse
import statistics
import time
from unittest.mock import patch

import numpy as np
import torch
from machine import describe

import helo
from helo import transport
from helo.data.splits import Split
from helo.models.dropout import Dropout

SHAPES = {"eeg": (18, 5), "gsr": (1, 28), "ppg": (1, 27), "video": (1, 768)}
BATCH = 128


def study(windows: int, seed: int = 0) -> helo.EmotionData:
    """Random windows of DMER's sizes."""
    rng = np.random.default_rng(seed)
    return helo.EmotionData(
        name="random",
        signals={m: rng.normal(size=(windows, *shape)).astype(np.float32) for m, shape in SHAPES.items()},
        distributions=rng.dirichlet(np.ones(10), windows).astype(np.float32),
        emotions=[f"e{k}" for k in range(10)],
        subjects=np.arange(windows) % 8,
        trials=np.arange(windows) % 32,
        roles={"physiological": ["eeg", "gsr", "ppg"], "behavioral": ["video"]},
        query="eeg",
    )


def unrolled(cost, epsilon, u, v, iterations):
    """20 iterations in the log domain, as most code has it."""
    log_u, log_v = u.clamp_min(1e-30).log(), v.clamp_min(1e-30).log()
    f, g = torch.zeros_like(u), torch.zeros_like(v)
    for _ in range(20):
        f = log_u - torch.logsumexp(-cost / epsilon + g[:, None], 2)
        g = log_v - torch.logsumexp(-cost / epsilon + f[:, :, None], 1)
    return (-cost / epsilon + f[:, :, None] + g[:, None]).exp()


def torch_dropout(self, x):
    return torch.nn.functional.dropout(x, self.share, self.training)


def by_fit(data, split, options) -> float:
    """Seconds a step in `helo.fit`, validation not counted: there is none."""
    run = helo.fit(
        helo.build("helo", data, width=128),
        data,
        split,
        epochs=2,
        batch_size=BATCH,
        progress=False,
        device=options.device,
    )
    return run.history[-1]["seconds"] / (len(split.train) // BATCH)


def by_loader(data, split, options) -> float:
    """Seconds a step in a plain loop."""
    signals = {m: torch.as_tensor(x) for m, x in data.signals.items()}
    masks = {m: torch.as_tensor(x) for m, x in data.masks.items()}
    truth = torch.as_tensor(data.distributions)
    model = helo.build("helo", data, width=128)
    model.prepare(data, split)
    model.to(options.device).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-4, weight_decay=1e-2)
    windows = [
        ({m: x[i] for m, x in signals.items()}, {m: x[i] for m, x in masks.items()}, truth[i]) for i in range(len(data))
    ]
    loader = torch.utils.data.DataLoader(windows, batch_size=BATCH, shuffle=True)
    for _ in range(2):
        started = time.perf_counter()
        for x, mask, target in loader:
            x, mask = ({m: v.to(options.device) for m, v in group.items()} for group in (x, mask))
            loss = model.total(model.losses(model(x, mask), target.to(options.device)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()
    return (time.perf_counter() - started) / len(loader)


def products(data, split, options) -> float:
    """Seconds a step of `helo` that go into matrix products, which every way shares."""
    kinds = {"aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm"}
    with torch.profiler.profile() as profile:
        by_fit(data, split, options)  # two epochs
    spent = sum(e.self_cpu_time_total + e.self_device_time_total for e in profile.key_averages() if e.key in kinds)
    return spent / 1e6 / (2 * (len(split.train) // BATCH))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    data = study(BATCH * options.steps)
    everything = np.arange(len(data))
    split = Split("all", everything, everything[:0], everything[:1])
    print(describe())
    times = {"helo": [], "unrolled": [], "loader": []}
    for _ in range(options.repeats):
        times["helo"].append(by_fit(data, split, options))
        with patch.object(transport, "plan", unrolled), patch.object(Dropout, "forward", torch_dropout):
            times["unrolled"].append(by_fit(data, split, options))
            times["loader"].append(by_loader(data, split, options))
    fast = statistics.median(times["helo"])
    print("\n| way | ms a step | helo is faster by |\n|---|---|---|")
    for way, seconds in times.items():
        print(f"| {way} | {1000 * statistics.median(seconds):.0f} | {statistics.median(seconds) / fast:.2f} |")
    shared = 1000 * statistics.median(products(data, split, options) for _ in range(options.repeats))
    print(f"\nmatrix products, which every way shares: {shared:.0f} ms of helo's step")


if __name__ == "__main__":
    main()
