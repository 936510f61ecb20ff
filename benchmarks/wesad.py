"""HeLo on people it has never seen: WESAD, wrist, one subject left out at a time. `make benchmark-wesad WESAD=PATH`

Every choice was made on training people; a condition's name never reaches a model, but for `mixture`, the rival that is told
it. Finished fits are kept in the folder, so the command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import io
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from joblib import Parallel, delayed
from machine import describe
from tqdm import tqdm

import helo
from helo import losses
from helo.evaluation import summarise
from helo.files import atomic_write
from helo.measures import calibration, correlation_gap

MODEL = {"model": "helo-ensemble", "members": 5, "width": 64, "dropout": 0.7}
TRAINING = {"learning_rate": 3e-4, "weight_decay": 1e-2, "centre_people": True}
# what is said of it -> (options of the data set, model, training, seeds); the first is what is recommended
ROWS = {
    "HeLo, as recommended": ({}, MODEL, TRAINING, 5),
    "one HeLo instead of five": ({}, {**MODEL, "model": "helo", "members": None}, TRAINING, 5),
    "- transport": ({}, MODEL | {"transport": "none"}, TRAINING, 1),
    "- L_CC": ({}, MODEL | {"correlation_weight": 0.0}, TRAINING, 1),
    "- centring of people": ({}, MODEL, TRAINING | {"centre_people": False}, 1),
    "normalised by the windows alone": ({"normalise": "subject"}, MODEL, TRAINING, 1),
    "normalised causally (live use)": ({"normalise": "causal"}, MODEL, TRAINING, 1),
    "not normalised": ({"normalise": "none"}, MODEL, TRAINING, 1),
    "early fusion": ({}, {"model": "early"}, TRAINING, 5),
    "ridge": ({}, {"model": "ridge"}, {"centre_people": True}, 1),
    "mixture (is told the conditions)": ({}, {"model": "mixture"}, {}, 1),
}


def entry_of(model: dict) -> dict:
    return {key: value for key, value in model.items() if value is not None}


def table(root: str, label: str, options: argparse.Namespace):
    data_options, model, training, seeds = ROWS[label]
    data = helo.load("wesad", root=root, **data_options)
    return helo.evaluate(
        {label: entry_of(model)}, data, protocol="subjects", seeds=range(min(seeds, options.seeds)), workers=options.workers,
        folder=options.folder / "fits", **training,
    )  # fmt: skip


def look_closely(data: helo.EmotionData, split: helo.splits.Split, folder: Path) -> dict[str, np.ndarray]:
    """One fold of the recommended model: its answers and its label correlation."""
    file = folder / f"{split.name}.npz"
    if not file.exists():
        torch.set_num_threads(1)
        entry = entry_of(MODEL)
        model = helo.build(entry.pop("model"), data, seed=0, **entry)
        helo.fit(model, data, split, seed=0, progress=False, **TRAINING)
        content = io.BytesIO()
        answer = helo.predict(model, data, split.test, explain=False).distributions
        np.savez(content, answer=answer, learned=model.learned_correlation().detach().numpy())
        atomic_write(file, content.getvalue())
    with np.load(file) as kept:
        return dict(kept)


def correlation_gaps(data, split, learned) -> tuple[float, float]:
    """Distance from the test person's own label correlation: of R(E), and of the mean of the training people's own."""
    def own(person):
        return losses.label_correlation(torch.as_tensor(data.distributions[data.subjects == person])).numpy()

    truth = own(data.subjects[split.test[0]])
    people = np.unique(data.subjects[np.concatenate([split.train, split.validation])])
    return correlation_gap(learned, truth), correlation_gap(np.mean([own(person) for person in people], 0), truth)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", help="WESAD's folder")
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmark-wesad"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", "the rating of")
    warnings.filterwarnings("ignore", ".*is missing; used")
    print(describe(), "\n\n| | KL | skill | seeds | seconds |\n|---|---|---|---|---|")
    started, first = time.perf_counter(), None
    for label in ROWS:
        found = table(options.root, label, options)
        first = found if first is None else first
        row = summarise(found).iloc[0]
        spread = f" ± {row.skill_sd:.2f}" if np.isfinite(row.skill_sd) else ""
        print(f"| {label} | {row.kl:.4f} | {row.skill:.2f}{spread} | {row.seeds:.0f} | {found.seconds.sum():.0f} |", flush=True)
    people = first.groupby("fold", sort=False)[["kl", "kl_mean", "kl_ceiling"]].mean()
    each = (people.kl_mean - people.kl) / (people.kl_mean - people.kl_ceiling)
    print("\nskill by person:", ", ".join(f"{name.split()[-1]} {value:.2f}" for name, value in each.items()))

    data = helo.load("wesad", root=options.root)
    splits = helo.splits.by_subject(data)
    job = delayed(look_closely)
    work = Parallel(n_jobs=options.workers, return_as="generator")(job(data, s, options.folder / "answers") for s in splits)
    kept = list(tqdm(work, total=len(splits), desc="calibration", leave=False))
    answers = np.concatenate([k["answer"] for k in kept])
    truth = data.distributions[np.concatenate([s.test for s in splits])]
    bins = calibration(truth, answers)
    print("\n| predicted share | rated share | of all |\n|---|---|---|")
    for predicted, rated, weight in zip(*bins.values(), strict=True):
        print(f"| {predicted:.4f} | {rated:.4f} | {weight:.0%} |")
    print(f"\ncalibration error {np.sum(bins['weight'] * np.abs(bins['predicted'] - bins['rated'])):.4f}")
    gaps = np.array([correlation_gaps(data, s, k["learned"]) for s, k in zip(splits, kept, strict=True)])
    (learned, mean), (sd_learned, sd_mean) = gaps.mean(0), gaps.std(0, ddof=1)
    print(f"label correlation, mean difference from the test person's own: learned {learned:.3f} ± {sd_learned:.3f}, "
          f"mean of the training people's {mean:.3f} ± {sd_mean:.3f}; nearer for {(gaps[:, 0] < gaps[:, 1]).sum()} of {len(gaps)}")  # fmt: skip
    print(f"\n{(time.perf_counter() - started) / 60:.0f} minutes, finished fits not counted")


if __name__ == "__main__":
    main()
