"""Training gives the numbers it gave before its loops became one: tests/baseline/training.json.

Recorded by `python tests/test_recorded.py`, which writes the file anew: only where other numbers are meant. In float64
but for the data, their means and SDs, so that another machine's rounding stays below the tolerance; HeLo is not among
them, whose network may change.
"""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import random_data

import helo
from helo.data.splits import Split
from helo.training import fit_together

FILE = Path(__file__).parent / "baseline" / "training.json"
SPLITS = [
    Split("a", np.arange(20), np.arange(20, 30), np.arange(30, 40)),
    Split("b", np.arange(10, 37), np.arange(37, 40), np.arange(10)),
]
UNSEEN = [Split(s.name, s.train, s.validation[:0], s.test) for s in SPLITS]
TRAINING = {"epochs": 4, "batch_size": 8, "learning_rate": 3e-3, "weight_decay": 1e-2, "progress": False}
SHORT = {"epochs": 12, "patience": 2, "learning_rate": 1e-2}
BOTH = SHORT | {"refit": True, "centre_people": True, "decay": 0.9}

# name of the recording -> (model, splits, other training arguments)
ALONE = {name: (name, SPLITS, {}) for name in ("early", "jmt", "foalnet", "gban", "hfgcn", "mlp", "ridge")}
ALONE |= {
    "early without validation": ("early", UNSEEN, {"decay": 0.5}),
    "jmt, patience": ("jmt", SPLITS, SHORT),
    "foalnet, refit": ("foalnet", SPLITS, SHORT | {"refit": True}),
    "gban, refit, centred": ("gban", SPLITS, BOTH),
    "mlp, centred": ("mlp", SPLITS, {"centre_people": True}),
    "ridge, centred": ("ridge", SPLITS, {"centre_people": True}),
}
STACKED = {
    "early, stacked": ("early", SPLITS, {}),
    "jmt, stacked, patience": ("jmt", SPLITS, SHORT),
    "hfgcn, stacked without validation": ("hfgcn", UNSEEN, {}),
    "mlp, stacked, refit, centred": ("mlp", SPLITS, BOTH),
}
INTERRUPTED = {
    "early, interrupted": ("early", SPLITS, SHORT | {"weight_decay": 0.1}),
    "foalnet, interrupted, refit": ("foalnet", SPLITS, SHORT | {"refit": True}),
}


@pytest.fixture(autouse=True)
def double_precision():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def study():
    data = random_data()
    signals = {m: x.astype(np.float64) for m, x in data.signals.items()}
    return dataclasses.replace(data, signals=signals, distributions=data.distributions.astype(np.float64))


def alone(name, splits, training):
    data = study()
    return [helo.fit(helo.build(name, data, seed=k), data, s, seed=7 + k, **training) for k, s in enumerate(splits)]


def stacked(name, splits, training):
    data = study()
    models = [helo.build(name, data, seed=k) for k in range(len(splits))]
    return fit_together(models, data, splits, seeds=[7 + k for k in range(len(splits))], **training)


def interrupted(name, splits, training, folder):
    def stop(_, row):
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    data, runs = study(), []
    for k, split in enumerate(splits):
        own = training | {"seed": 7 + k, "checkpoint": folder / f"{name}{k}"}
        with pytest.raises(KeyboardInterrupt):
            helo.fit(helo.build(name, data, seed=k), data, split, on_epoch=stop, **own)
        runs.append(helo.fit(helo.build(name, data, seed=k), data, split, **own))
    return runs


def numbers(runs):
    """What is compared: histories without times, best epochs, and sums over all answers that tell them apart."""
    data, told = study(), []
    for run in runs:
        answer = helo.predict(run.model, data, explain=False).distributions
        told.append(
            {
                "history": [{k: v for k, v in row.items() if k != "seconds"} for row in run.history],
                "best_epoch": run.best_epoch,
                "answers": float((answer**2).sum()),
                "checksum": float((answer * np.sin(np.arange(answer.size)).reshape(answer.shape)).sum()),
            }
        )
    return told


def record(folder):
    """Every recording's numbers."""
    found = {key: alone(name, splits, TRAINING | own) for key, (name, splits, own) in ALONE.items()}
    found |= {key: stacked(name, splits, TRAINING | own) for key, (name, splits, own) in STACKED.items()}
    found |= {
        key: interrupted(name, splits, TRAINING | own, folder) for key, (name, splits, own) in INTERRUPTED.items()
    }
    return {key: numbers(runs) for key, runs in found.items()}


def check(key, runs):
    expected = json.loads(FILE.read_text())[key]
    for now, then in zip(numbers(runs), expected, strict=True):
        assert now["best_epoch"] == then["best_epoch"]
        assert len(now["history"]) == len(then["history"])
        for row, its in zip(now["history"], then["history"], strict=True):
            assert row == pytest.approx(its, rel=1e-6)
        assert now["answers"] == pytest.approx(then["answers"], rel=1e-6)
        # 200 terms, 25 together, that cancel: what is off is a part of them, not of what is left: 1e-7 on another CPU
        assert now["checksum"] == pytest.approx(then["checksum"], rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("key", ALONE)
def test_alone(key):
    name, splits, own = ALONE[key]
    check(key, alone(name, splits, TRAINING | own))


@pytest.mark.parametrize("key", STACKED)
def test_stacked(key):
    name, splits, own = STACKED[key]
    check(key, stacked(name, splits, TRAINING | own))


@pytest.mark.parametrize("key", INTERRUPTED)
def test_interrupted_and_resumed(key, tmp_path):
    name, splits, own = INTERRUPTED[key]
    check(key, interrupted(name, splits, TRAINING | own, tmp_path))


if __name__ == "__main__":
    import tempfile

    torch.set_default_dtype(torch.float64)
    with tempfile.TemporaryDirectory() as folder:
        FILE.write_text(json.dumps(record(Path(folder)), indent=1) + "\n")
