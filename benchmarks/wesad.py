"""HeLo on people it has never seen: WESAD, wrist, one subject left out at a time. `make benchmark-wesad WESAD=PATH`

For every left-out person the other fourteen are five groups, and a model is trained five times, each time stopped by
another group; the five answer together. The settings are those of CANDIDATES with the lowest KL over the fourteen: the
test person has no say. A condition's name reaches no model but `mixture`, the rival that is told it. Finished fits are
kept in the folder, so the command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import io
import json
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from joblib import Parallel, delayed
from machine import describe
from tqdm import tqdm

import helo
from helo import losses, models
from helo.data.splits import nested
from helo.evaluation import reference_kl
from helo.files import atomic_write, code_digest
from helo.measures import calibration, correlation_gap, kl, skill
from helo.training.member import data_digest
from helo.training.stacking import fit_together

GROUPS = 5
WIDE = {"context": 120, "tokens": 5}
#: (options of the data set, of HeLo, of its training), the first wins where two are as good
CANDIDATES = (
    (WIDE, {"width": 64, "dropout": 0.5, "input_dropout": 0.5}, {"batch_size": 32}),
    (WIDE, {"width": 64, "dropout": 0.7}, {"batch_size": 32}),
)
TRAINING = {"patience": 10, "centre_people": True, "progress": False}
# what is said of it: (options of the data set, model, its options, of its training, seeds); HeLo has those chosen
ROWS = {
    "**HeLo**": ({}, "helo", {}, {}, 5),
    "two-layer network on all tokens side by side": (WIDE, "mlp", {}, {}, 5),
    "early fusion": (WIDE, "early", {"dropout": 0.5, "input_dropout": 0.5}, {"batch_size": 32}, 5),
    "hfgcn": (WIDE, "hfgcn", {}, {}, 1),
    "foalnet": (WIDE, "foalnet", {}, {}, 1),
    "ridge": (WIDE, "ridge", {}, {}, 1),
    "mixture (is told the conditions)": (WIDE, "mixture", {}, {"centre_people": False}, 1),
    "HeLo without transport": ({}, "helo-no-ot", {}, {}, 1),
    "without L_CC": ({}, "helo-no-lcc", {}, {}, 1),
    "normalised causally (filters see all)": ({"normalise": "causal"}, "helo", {}, {}, 1),
    "without context": ({"context": 0}, "helo", {}, {}, 1),
    "learning the ratings as they are": ({}, "helo", {}, {"centre_people": False}, 1),
    "normalised by the conditions' windows": ({"normalise": "subject"}, "helo", {}, {}, 1),
}


def fit(data, split, model: str, options: dict, training: dict, seed: int, folder: Path) -> dict[str, np.ndarray]:
    """One person left out: the models' answers (groups, windows, emotions), KL over the others, label correlation.

    Kept in a file.
    """
    about = [
        model,
        options,
        training,
        seed,
        GROUPS,
        data_digest(data, split),
        split.test.tolist(),
        code_digest("*.py", "models/*.py"),
    ]
    about += [list(map(str, names)) for names in (data.subjects, data.trials, data.conditions)]
    key = hashlib.sha256(json.dumps(about).encode())
    file = folder / f"{model}-{split.name}-{seed}-{key.hexdigest()[:12]}.npz"
    if not file.exists():
        started = time.perf_counter()
        closed = models.is_closed_form(model)  # fitted to all others at once
        parts = [split] if closed else nested(data, split, GROUPS)
        seeds = [GROUPS * seed + k for k in range(len(parts))]
        networks = [helo.build(model, data, seed=own, **options) for own in seeds]
        if not closed and networks[0].stackable:
            runs = fit_together(networks, data, parts, seeds=seeds, **training)
        else:
            runs = [
                helo.fit(n, data, p, seed=own, **training) for n, p, own in zip(networks, parts, seeds, strict=True)
            ]
        best = [min((row["validation_kl"] for row in run.history), default=0.0) for run in runs]
        kept = {
            "answers": np.stack(
                [helo.predict(run.model, data, split.test, explain=False).distributions for run in runs]
            ),
            "others": np.average(best, weights=[len(part.validation) for part in parts]),
            "seconds": time.perf_counter() - started,
        }
        if hasattr(networks[0], "learned_correlation"):
            kept["learned"] = np.mean([n.learned_correlation().detach().cpu().numpy() for n in networks], 0)
        content = io.BytesIO()
        np.savez(content, **kept)
        atomic_write(file, content.getvalue())
    with np.load(file) as kept:
        return dict(kept)


def all_people(load, splits, model, chosen, training, seed, options) -> list[dict[str, np.ndarray]]:
    """`fit` for each left-out person, with that person's own settings."""
    jobs = (
        delayed(fit)(load(**study), split, model, own, TRAINING | extra | training, seed, options.folder)
        for split, (study, own, extra) in zip(splits, chosen, strict=True)
    )
    work = Parallel(n_jobs=options.workers, return_as="generator")(jobs)
    return list(tqdm(work, total=len(splits), desc=f"{model}, seed {seed}", leave=False))


def own_correlation(data, person) -> np.ndarray:
    return losses.label_correlation(torch.as_tensor(data.distributions[data.subjects == person])).numpy()


def correlation_gaps(data, split, learned) -> tuple[float, float]:
    """Distance from the test person's own label correlation: of R(E), and of the mean of the training people's own."""
    truth = own_correlation(data, data.subjects[split.test[0]])
    people = np.unique(data.subjects[np.concatenate([split.train, split.validation])])
    return correlation_gap(learned, truth), correlation_gap(
        np.mean([own_correlation(data, p) for p in people], 0), truth
    )


class Skill:
    """Skill over all windows, and of each person, of answers to the folds' test windows."""

    def __init__(self, data, splits):
        self.truth = [data.distributions[s.test].astype(np.float64) for s in splits]
        self.people = [s.name.removeprefix("subject-") for s in splits]
        sizes = np.array([len(t) for t in self.truth])
        self.references = np.array([reference_kl(data, s) for s in splits]) * sizes[:, None]

    def sums(self, answers) -> np.ndarray:
        return np.array([kl(t, np.asarray(a, np.float64)).sum() for t, a in zip(self.truth, answers, strict=True)])

    def __call__(self, answers) -> float:
        return skill(self.sums(answers).sum(), *self.references.sum(0))

    def by_person(self, answers) -> list[float]:
        return [skill(own, *both) for own, both in zip(self.sums(answers), self.references, strict=True)]

    def kl(self, answers) -> float:
        return self.sums(answers).sum() / sum(map(len, self.truth))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", help="WESAD's folder")
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmark-wesad"))
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", ".*is missing; used")

    @functools.cache
    def load(**study):
        return helo.load("wesad", root=options.root, **study)

    data = load()
    splits = helo.splits.by_subject(data)  # the same windows whatever the options
    measure, started = Skill(data, splits), time.perf_counter()
    print(describe())

    tried = [all_people(load, splits, "helo", [c] * len(splits), {}, 0, options) for c in CANDIDATES]
    best = np.argmin([[person["others"] for person in people] for people in tried], 0)
    chosen = [CANDIDATES[k] for k in best]
    for k, people in enumerate(tried):
        everybody = measure([p["answers"].mean(0) for p in people])
        print(
            f"\ncandidate {CANDIDATES[k]}: KL {np.mean([p['others'] for p in people]):.5f} over the others, chosen for "
            f"{(best == k).sum()} people; for everybody, seed 0: skill {everybody:.3f}",
            flush=True,
        )

    print(
        "\n| | KL | skill | of one model | of all seeds' mean answer | seeds | minutes |\n|---|---|---|---|---|---|---|"
    )
    for label, (changed, model, own, training, seeds) in ROWS.items():
        settings = chosen if model.startswith("helo") else [({}, own, {})] * len(splits)
        settings = [(study | changed, *rest) for study, *rest in settings]
        fits = [all_people(load, splits, model, settings, training, seed, options) for seed in range(seeds)]
        answers = [[person["answers"].mean(0) for person in people] for people in fits]
        mean = [np.mean(each, 0) for each in zip(*answers, strict=True)]
        skills = [measure(a) for a in answers]
        single = np.mean(
            [
                measure([person["answers"][k] for person in people])
                for people in fits
                for k in range(len(people[0]["answers"]))
            ]
        )
        spread = f" ± {np.std(skills, ddof=1):.2f}" if seeds > 1 else ""
        minutes = sum(float(person["seconds"]) for people in fits for person in people) / 60
        kl = np.mean([measure.kl(a) for a in answers])
        print(
            f"| {label} | {kl:.4f} | {np.mean(skills):.2f}{spread} | {single:.2f} | "
            f"{f'{measure(mean):.2f}' if seeds > 1 else ''} | {seeds} | {minutes:.1f} |",
            flush=True,
        )
        if label == "**HeLo**":
            first, first_answers, first_mean = fits, answers, mean

    each = np.mean([measure.by_person(a) for a in first_answers], 0)
    print(
        "\nHeLo's skill by person, mean over seeds:",
        ", ".join(f"{n} {v:.2f}" for n, v in zip(measure.people, each, strict=True)),
    )
    bins = calibration(np.concatenate(measure.truth), np.concatenate(first_mean))
    print("\n| share predicted (mean answer) | share rated |\n|---|---|")
    for predicted, rated in zip(bins["predicted"], bins["rated"], strict=True):
        print(f"| {predicted:.4f} | {rated:.4f} |")
    print(f"\ncalibration error {np.sum(bins['weight'] * np.abs(bins['predicted'] - bins['rated'])):.4f}")
    gaps = np.array([correlation_gaps(data, s, person["learned"]) for s, person in zip(splits, first[0], strict=True)])
    (learned, mean), (sd_learned, sd_mean) = gaps.mean(0), gaps.std(0, ddof=1)
    print(
        f"label correlation, mean difference from the test person's own: learned {learned:.3f} ± {sd_learned:.3f}, "
        f"mean of the training people's own {mean:.3f} ± {sd_mean:.3f}; "
        f"learned is nearer for {(gaps[:, 0] < gaps[:, 1]).sum()} of {len(gaps)} people"
    )
    print(f"\n{(time.perf_counter() - started) / 60:.0f} minutes, finished fits not counted")


if __name__ == "__main__":
    main()
