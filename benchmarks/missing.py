"""What an answer loses where a modality is missing: HeLo and early fusion. `python benchmarks/missing.py`

The simulated study, 12 people in four folds, one model a fold, trained with everything or with gaps (30 % of all
windows without the face and, drawn by themselves, 30 % without eda, HeLo's query); asked with everything, without the
face, without eda. Prints a table for docs/method.md: KL, mean over people with 95 % bootstrap intervals, and what HeLo
has beyond early fusion. Some two minutes.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

import helo
from helo.evaluation import interval_over_people
from helo.measures import kl

TRAINING = {"epochs": 25, "batch_size": 32, "learning_rate": 1e-3, "seed": 0, "progress": False}
ASKED: dict[str, list[str]] = {"all there": [], "without face": ["face"], "without eda": ["eda"]}
GAPS = {"face": 0.3, "eda": 0.3}


def with_gaps(data: helo.EmotionData, seed: int = 0) -> helo.EmotionData:
    """The data as if modalities had not been recorded in some windows."""
    rng = np.random.default_rng(seed)
    gone = {m: rng.random(len(data)) < share for m, share in GAPS.items()}
    masks = {m: mask & ~gone[m][:, None] if m in gone else mask for m, mask in data.masks.items()}
    return dataclasses.replace(data, masks=masks)


def by_person(model: str, seen: helo.EmotionData, asked: helo.EmotionData) -> dict[str, np.ndarray]:
    """Each person's KL by what is missing, shape (people,); the model is trained on `seen`."""
    losses = {name: np.empty(len(asked)) for name in ASKED}
    for split in helo.splits.by_subject(asked, folds=4):
        network = helo.build(model, seen, seed=0)
        helo.fit(network, seen, split, **TRAINING)
        for name, without in ASKED.items():
            said = helo.predict(network, asked, split.test, without=without).distributions
            losses[name][split.test] = kl(asked.distributions[split.test], said)
    return {
        name: np.array([loss[asked.subjects == p].mean() for p in np.unique(asked.subjects)])
        for name, loss in losses.items()
    }


def told(values: np.ndarray, sign: str = "") -> str:
    low, high = interval_over_people(values, np.arange(len(values)))
    return f"{values.mean():{sign}.4f} [{low:{sign}.4f}, {high:{sign}.4f}]"


def main() -> None:
    torch.set_num_threads(1)
    data = helo.load("simulated")
    print("| | " + " | ".join(ASKED) + " |\n|---|" + "---|" * len(ASKED))
    for training, seen in (("", data), ("trained with gaps: ", with_gaps(data))):
        found = {model: by_person(model, seen, data) for model in ("helo", "early")}
        for model, losses in found.items():
            print(f"| {training}{model} | " + " | ".join(told(losses[name]) for name in ASKED) + " |")
        more = [told(found["helo"][name] - found["early"][name], "+") for name in ASKED]
        print(f"| {training}helo - early | " + " | ".join(more) + " |", flush=True)


if __name__ == "__main__":
    main()
