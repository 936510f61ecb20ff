"""One training step of HeLo at DMER's sizes, and one answer, beside the plain ways: `python benchmarks/training.py`.

18 x 5 EEG, 28 GSR, 27 PPG and 768 video features, 10 emotions, width 128, batches of 128. The ways take turns; the
median over the turns counts, and beside it the least time on the CPU, which others on the machine disturb less.

    helo, auto     as `helo.fit` trains: data in memory once, batches by index, transport with the implicit gradient,
                   dropout from bytes; products in bfloat16 where the device has it (`helo.precision`)
    helo, float32  the same in float32
    unrolled       as that, but the plan by 20 iterations in the log domain that autograd passes through, and torch's
                   dropout
    loader         a plain loop around that: a DataLoader over windows, Adam, the loss read after every step
    loader, autocast   the same with forward and losses under `torch.autocast`, bfloat16

An answer is `helo.predict`, or the unrolled model called on batches of 512, under `torch.autocast` or not.
"""

from __future__ import annotations

import argparse
import statistics
import time
from unittest.mock import patch

import numpy as np
import torch
from machine import beside, describe, rows

import helo
from helo import transport
from helo.data.splits import Split
from helo.models.dropout import Dropout
from helo.precision import has_bfloat16

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


def unrolled(cost, epsilon, u, v, iterations, *_):
    """20 iterations in the log domain, as most code has it."""
    log_u, log_v = u.clamp_min(1e-30).log(), v.clamp_min(1e-30).log()
    f, g = torch.zeros_like(u), torch.zeros_like(v)
    for _ in range(20):
        f = log_u - torch.logsumexp(-cost / epsilon + g[:, None], 2)
        g = log_v - torch.logsumexp(-cost / epsilon + f[:, :, None], 1)
    return (-cost / epsilon + f[:, :, None] + g[:, None]).exp()


def torch_dropout(self, x):
    return torch.nn.functional.dropout(x, self.share, self.training)


def now() -> np.ndarray:
    """Seconds on the clock, and on the CPU."""
    return np.array([time.perf_counter(), time.process_time()])


def by_fit(data, split, options, precision="auto") -> np.ndarray:
    """Seconds a step in `helo.fit`, of the second epoch; validation not counted: there is none."""
    marks: list[np.ndarray] = []
    helo.fit(
        helo.build("helo", data, width=128),
        data,
        split,
        epochs=2,
        batch_size=BATCH,
        progress=False,
        device=options.device,
        precision=precision,
        on_epoch=lambda *_: marks.append(now()),
    )
    return (marks[1] - marks[0]) / (len(split.train) // BATCH)


def by_loader(data, split, options, autocast=False) -> np.ndarray:
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
        started = now()
        for x, mask, target in loader:
            x, mask = ({m: v.to(options.device) for m, v in group.items()} for group in (x, mask))
            with torch.autocast(torch.device(options.device).type, torch.bfloat16, enabled=autocast):
                loss = model.total(model.losses(model(x, mask), target.to(options.device)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()
    return (now() - started) / len(loader)


def answer(data, model, options, precision) -> np.ndarray:
    """Seconds that `helo.predict` takes for all windows."""
    started = now()
    helo.predict(model, data, device=options.device, explain=False, precision=precision)
    return now() - started


@torch.no_grad()
def plain_answer(data, model, options, autocast) -> np.ndarray:
    """Seconds that the model called on batches takes."""
    started = now()
    model.to(options.device).eval()
    for k in range(0, len(data), 512):
        x, masks = (
            {m: torch.as_tensor(v[k : k + 512], device=options.device) for m, v in group.items()}
            for group in (data.signals, data.masks)
        )
        with torch.autocast(torch.device(options.device).type, torch.bfloat16, enabled=autocast):
            model(x, masks).distributions.float().cpu().numpy()
    return now() - started


def products(data, split, options) -> float:
    """Seconds a step of `helo` that go into matrix products, which every way shares."""
    kinds = {"aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm"}
    with torch.profiler.profile() as profile:
        by_fit(data, split, options)  # two epochs
    spent = sum(e.self_cpu_time_total + e.self_device_time_total for e in profile.key_averages() if e.key in kinds)
    return spent / 1e6 / (2 * (len(split.train) // BATCH))


def plainly(way, *arguments, **options) -> np.ndarray:
    """A way of computing with the unrolled plan and torch's dropout."""
    with patch.object(transport, "plan", unrolled), patch.object(Dropout, "forward", torch_dropout):
        return way(*arguments, **options)


def table(title: str, times: dict[str, list[np.ndarray]]) -> dict[str, float]:
    """Medians of the clock (returned), least of the CPU, and how much faster the first way is by each."""
    middle = {way: 1000 * statistics.median(t[0] for t in turns) for way, turns in times.items()}
    least = {way: 1000 * min(t[1] for t in turns) for way, turns in times.items()}
    first = next(iter(times))
    print(f"\n| {title} | ms | least ms of CPU | {first} is faster by | by CPU |\n|---|---|---|---|---|")
    for way in times:
        gains = f"{middle[way] / middle[first]:.2f} | {least[way] / least[first]:.2f}"
        print(f"| {way} | {middle[way]:.0f} | {least[way]:.0f} | {gains} |")
    return middle


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    data = study(BATCH * options.steps)
    everything = np.arange(len(data))
    split = Split("all", everything, everything[:0], everything[:1])
    trained = helo.build("helo", data, width=128)
    trained.prepare(data, split)
    print(describe())
    steps = {
        "helo, auto": lambda: by_fit(data, split, options),
        "helo, float32": lambda: by_fit(data, split, options, "float32"),
        "unrolled": lambda: plainly(by_fit, data, split, options, "float32"),
        "loader": lambda: plainly(by_loader, data, split, options),
        "loader, autocast": lambda: plainly(by_loader, data, split, options, autocast=True),
    }
    answers = {
        "answer, auto": lambda: answer(data, trained, options, "auto"),
        "answer, float32": lambda: answer(data, trained, options, "float32"),
        "plain": lambda: plainly(plain_answer, data, trained, options, False),
        "plain, autocast": lambda: plainly(plain_answer, data, trained, options, True),
    }
    middle: dict[str, float] = {}
    for title, ways in {"a training step": steps, f"an answer to {len(data)} windows": answers}.items():
        if not has_bfloat16(torch.device(options.device)):  # emulated, a step under autocast takes minutes
            ways = {way: run for way, run in ways.items() if "autocast" not in way}
        times: dict[str, list[np.ndarray]] = {way: [] for way in ways}
        for _ in range(options.repeats):
            for way, run in ways.items():
                times[way].append(run())
        middle |= table(title, times)
    shared = 1000 * statistics.median(products(data, split, options) for _ in range(options.repeats))
    print(f"\nmatrix products of a step of helo, auto: {shared:.0f} ms")
    rows(told(middle, shared, len(data)))


def told(ms: dict[str, float], products: float, windows: int) -> list[tuple[str, str, str]]:
    """The rows of docs/speed.md."""

    def faster(way: str, other: str) -> str:
        cast = f"{other}, autocast"
        second = f"and {beside(ms[cast] / ms[way], 1.4)} times as fast" if cast in ms else "times; no bfloat16 here"
        return f"{ms[way]:.0f} ms; {beside(ms[other] / ms[way], 2.5)} {second}"

    loop = "a plain PyTorch loop (DataLoader, 20 unrolled iterations, torch's dropout)"
    return [
        (
            f"training step at DMER's sizes, width 128, beside {loop} in float32, and under autocast",
            f"{faster('helo, auto', 'loader')}; {products:.0f} ms are matrix products",
            "2.5; 1.4",
        ),
        (
            "the same step in float32, beside the plain loop",
            f"{ms['helo, float32']:.0f} ms; {ms['loader'] / ms['helo, float32']:.2f} times as fast",
            "",
        ),
        (
            f"answers to {windows} such windows, beside the plain model in float32, and under autocast",
            faster("answer, auto", "plain"),
            "2.5; 1.4",
        ),
    ]


if __name__ == "__main__":
    main()
