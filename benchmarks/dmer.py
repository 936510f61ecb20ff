"""A synthetic DMER of true size (73 people, 32 clips, 913 columns): time and memory of loading and training.

python benchmarks/dmer.py
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from machine import peak
from scipy.io import savemat

import helo

# the ids of the released code's list
IDS = [who for who in range(1, 81) if who not in (3, 4, 13, 16, 17, 27, 31)]


def write(root: Path, people: int) -> int:
    """Features/<id>.mat as released; clips of 20 to 30 s give 16 to 26 rows each."""
    (root / "Features").mkdir()
    total = 0
    rows = np.random.default_rng(0).integers(16, 27, 32)
    vids = np.repeat(np.arange(32.0), rows)[:, None]
    for who in IDS[:people]:
        rng = np.random.default_rng(who)
        content = {"feas": rng.normal(size=(len(vids), 913)), "vids": vids, "dis_label": rng.integers(1, 6, (32, 10))}
        savemat(root / "Features" / f"{who}.mat", content)
        total += len(vids)
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=73)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        total = write(root, options.people)
        size = sum(f.stat().st_size for f in root.rglob("*.mat")) / 1e6
        before = peak() / 1e9
        started = time.perf_counter()
        data = helo.load("dmer", root)
        seconds = time.perf_counter() - started
        print(data)
        print(f"load: {seconds:.1f} s from {size:.0f} MB; peak {peak() / 1e9:.2f} GB, {before:.2f} before")
        assert len(data) == total
    split = helo.splits.by_subject(data, folds=5)[0]
    found = helo.splits.leaks(data, split)
    model = helo.build("helo", data, seed=options.seed)
    started = time.perf_counter()
    run = helo.fit(model, data, split, epochs=options.epochs, batch_size=128, progress=False)
    seconds = (time.perf_counter() - started) / options.epochs
    print(
        f"train: {len(split.train)} windows, batches of 128, {seconds:.0f} s an epoch; peak {peak() / 1e9:.2f} GB; "
        f"leaks {found}"
    )
    print(f"train KL {[round(row['train_kl'], 4) for row in run.history]}")


if __name__ == "__main__":
    sys.exit(main())
