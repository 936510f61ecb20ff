"""Forward and backward through the transport plan, beside POT's batched solver: `python benchmarks/transport.py`.

Every way solves the same problems, once with the same number of iterations and once to the same tolerance of the
marginals; they take turns, and the median over the turns counts. The gradient is compared with the exact one in
float64: that of this library's plan for a great many iterations.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from itertools import chain, product

import torch
from machine import describe, peak, rows
from ot.batch import solve_batch

from helo import transport

SETTINGS = [
    (32, 4, 4),
    (256, 4, 4),
    (1024, 4, 4),
    (32, 9, 9),
    (128, 36, 36),
    (256, 18, 6),
    (32, 16, 16),
    (256, 16, 16),
    (1024, 16, 16),
    (32, 64, 64),
    (256, 64, 64),
]
EQUAL = [
    (256, 4, 4),
    (32, 9, 9),
    (256, 18, 6),
    (128, 36, 36),
    (256, 16, 16),
    (256, 32, 32),
    (32, 64, 64),
    (256, 64, 64),
]


def problem(batch, n, m, dtype=torch.float32, seed=0):
    g = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(batch, k, 8, generator=g, dtype=torch.float64) for k in (n, m))
    return transport.cosine_cost(x, y).to(dtype), torch.randn(batch, n, m, generator=g, dtype=torch.float64).to(dtype)


def ours(cost, epsilon, iterations, tolerance=0.0):
    return transport.plan(cost, epsilon, iterations=iterations, tolerance=tolerance)


def pot(cost, epsilon, iterations, tolerance=1e-30):
    return solve_batch(
        cost,
        reg=epsilon,
        max_iter=iterations,
        tol=tolerance,
        method="log_sinkhorn",
        reg_type="entropy",
        grad="autodiff",
    ).plan


WAYS = {"POT, autodiff": pot, "helo": ours}


def step(way, cost, weight, epsilon, iterations, *tolerance):
    c = cost.clone().requires_grad_()
    plan = WAYS[way](c, epsilon, iterations, *tolerance)
    (plan * weight).sum().backward()
    return plan.detach(), c.grad


def turns(device, repeats, *arguments):
    """Median milliseconds of each way; they take turns, and the first is for warming up."""
    times = {way: [] for way in WAYS}
    for turn in range(repeats + 1):
        for way in WAYS:
            started = time.perf_counter()
            step(way, *arguments)
            if device.type == "cuda":
                torch.cuda.synchronize()
            if turn:
                times[way].append(1000 * (time.perf_counter() - started))
    return [statistics.median(times[way]) for way in WAYS]


def furthest(plan):
    """The largest marginal error of a batch of plans between even masses."""
    u, v = (torch.full((len(plan), size), 1 / size) for size in plan.shape[1:])
    return float(transport.marginal_error(plan.cpu(), u, v).max())


def speed(options, device):
    print(
        "\n| batch, tokens | epsilon | POT (ms) | helo (ms) | speed "
        "| gradient's cosine: POT, helo | marginal error: POT, helo |"
    )
    print("|---|---|---|---|---|---|---|")
    ratios, least = [], {way: 1.0 for way in WAYS}
    for (batch, n, m), epsilon in ((s, e) for s in SETTINGS[: options.sizes] for e in options.epsilon):
        cost, weight = (x.to(device) for x in problem(batch, n, m))
        slow, fast = turns(device, options.repeats, cost, weight, epsilon, options.iterations)
        few = slice(0, 32)
        exact = step("helo", cost[few].double(), weight[few].double(), epsilon, 20_000)[1].flatten()
        cosines, errors = [], []
        for way in WAYS:
            plan, gradient = step(way, cost[few], weight[few], epsilon, options.iterations)
            cosine = float(torch.cosine_similarity(gradient.double().flatten(), exact, dim=0))
            cosines.append(f"{cosine:.5f}")
            least[way] = min(least[way], cosine if epsilon >= 0.1 else 1.0)
            errors.append(f"{furthest(plan):.0e}")
        ratios.append(slow / fast)
        print(
            f"| {batch} x {n} x {m} | {epsilon} | {slow:.1f} | {fast:.1f} | {slow / fast:.1f} | "
            f"{', '.join(cosines)} | {', '.join(errors)} |",
            flush=True,
        )
    epsilons = ", ".join(map(str, options.epsilon))
    sizes = f"{len(SETTINGS[: options.sizes])} sizes x epsilon {epsilons}, {options.iterations} iterations"
    told = f"its gradient beside the exact one in float64, {options.iterations} iterations, epsilon .1 and more"
    cosines = ", ".join(f"{way} {cosine:.5f}" for way, cosine in least.items())
    return [
        (f"transport plan, forward and backward, beside POT's batched autodiff; {sizes}", times(ratios), "5"),
        (told, f"least cosine: {cosines}", "0.9999"),
    ]


def times(ratios):
    return f"{statistics.median(ratios):.1f} times as fast ({min(ratios):.1f} to {max(ratios):.1f})"


def equal(options, device):
    """Until the marginals are as near as asked for: POT's own rule (the Euclidean norm of the rows' error, the worst of
    the batch, looked at every 10 iterations), and ours (the sum of all absolute errors, each problem by itself)."""
    print(
        "\n| batch, tokens | epsilon | tolerance | POT (ms) | helo (ms) | speed | marginal error: POT, helo |"
        "\n|---|---|---|---|---|---|---|"
    )
    ratios: dict[float, list[float]] = {}
    for (batch, n, m), epsilon, tolerance in product(EQUAL[: options.sizes], (0.5, 0.1, 0.05), (1e-4, 1e-6)):
        arguments = *(x.to(device) for x in problem(batch, n, m)), epsilon, 20_000, tolerance
        slow, fast = turns(device, 3, *arguments)
        ratios.setdefault(epsilon, []).append(slow / fast)
        errors = ", ".join(f"{furthest(step(way, *arguments)[0]):.0e}" for way in WAYS)
        row = f"{batch} x {n} x {m} | {epsilon} | {tolerance:.0e} | {slow:.1f} | {fast:.1f} | {slow / fast:.1f}"
        print(f"| {row} | {errors} |", flush=True)
    parts = [
        f"epsilon {e}: {min(r):.1f} to {max(r):.1f}" + (" (**missed**)" if statistics.median(r) < 4 else "")
        for e, r in ratios.items()
    ]
    what = f"the same until the marginals are off by 1e-4, and 1e-6; {len(EQUAL[: options.sizes])} sizes"
    return [(what, "; ".join([times(list(chain(*ratios.values()))), *parts]), "4")]


def added(way: str, iterations: int) -> None:
    """Print how many MB one step added to this process."""
    cost, weight = problem(256, 32, 32)
    step(way, cost, weight, 0.1, 1)
    before = peak()
    step(way, cost, weight, 0.1, iterations)
    print(json.dumps((peak() - before) / 1e6))


def memory():
    """What a step adds to a process, by iterations; of a card it would say nothing."""
    print("\n| memory one step adds, 256 x 32 x 32 (MB) | 50 iterations | 200 | 800 |")
    print("|---|---|---|---|")
    most = {}
    for way in WAYS:
        found = [
            json.loads(
                subprocess.run(
                    [sys.executable, __file__, "--peak", way, str(k)], check=True, capture_output=True
                ).stdout
            )
            for k in (50, 200, 800)
        ]
        print(f"| {way} | " + " | ".join(f"{mb:.0f}" for mb in found) + " |")
        most[way] = f"{way} {found[-1]:.0f} MB"
    what = "memory of 800 iterations, forward and backward, 256 x 32 x 32"
    return [(what, ", ".join(most.values()), "constant")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--iterations", type=int, default=50)
    parser.add_argument("--epsilon", type=float, nargs="+", default=[0.1, 0.02])
    parser.add_argument("--sizes", type=int, default=len(SETTINGS), help="the first so many alone")
    parser.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        added(options.peak[0], int(options.peak[1]))
        return
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    print(describe("POT"))
    told = speed(options, device) + equal(options, device)
    told += memory() if device.type == "cpu" else []
    print(
        "\nsmallest epsilon, in units of the largest cost, without NaN in plan and gradient (1000 iterations):", end=" "
    )
    cost, weight = problem(64, 16, 16)
    kept = [
        e
        for e in (0.1, 0.01, 0.001, 0.0001)
        if all(torch.isfinite(x).all() for x in step("helo", cost, weight, e * float(cost.max()), 1000))
    ]
    print(kept[-1])
    rows(told)


if __name__ == "__main__":
    main()
