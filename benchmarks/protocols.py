"""What is a known clip worth, and a known person? `python benchmarks/protocols.py SET ... [--wesad PATH]`, then `page`.

The same models, each with its defaults and three groups of training people (300 epochs at most, patience 15), under
`subjects`, under `both`, where the clip is new too, and with the first k trials of the test person given. People in
five folds, clips in five or as many as there are. `pooled` knows no signals: its answer is the mean of the training
people and of the given trials, the former counting as much as was best among the training people themselves. A row of
benchmarks/results/protocols.csv is a test person, with the digest of the code and data; what other code made is made
again. `page` writes the tables of docs/protocols.md and figures/protocols.png from what is kept.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from comparison import SETS, digest
from machine import describe
from protocols_page import MODELS, write

import helo
from helo.data.splits import both, by_protocol
from helo.evaluation.people import person_scores
from helo.files import atomic_write
from helo.measures import kl

RESULTS = Path(__file__).parent / "results" / "protocols.csv"
TRAINING = {"nested": 3, "epochs": 300, "patience": 15}
FOLDS = 5
#: most trials that are given: two of WESAD's five, of EmoWalk's three, of an actor's two dozen clips
GIVEN = {"wesad": 2, "emowalk": 2, "crema-d": 2}
COLUMNS = ["set", "protocol", "given", "model", "seed", "subject", "windows", "trials", "kl", "kl_mean", "code"]
#: weights of the training people's mean, in trials; the last is nearly that mean alone
PRIOR = (*(2.0**k for k in range(-2, 11)), 1e6)


def asked(name: str, data: helo.EmotionData) -> list[tuple[str, int, list]]:
    """(protocol, trials given, splits) of a set; the curve's windows are those after its last gift."""
    most = GIVEN[name]
    curve = [("calibrate", k, by_protocol(data, "subjects", FOLDS, calibrate=k, reserve=most)) for k in range(most + 1)]
    # groups of training people validate: nothing more is held back
    return [("subjects", 0, by_protocol(data, "subjects", FOLDS)), ("both", 0, both(data, validation=0)), *curve]


def first_trials(data: helo.EmotionData, rows: np.ndarray, given: int) -> tuple[np.ndarray, np.ndarray]:
    """The means of a person's first trials, (given, L), and the windows of the later ones."""
    order = rows if data.starts is None else rows[np.argsort(data.starts[rows], kind="stable")]
    names = list(dict.fromkeys(data.trials[order].tolist()))
    told = [data.distributions[rows[data.trials[rows] == name]].astype(np.float64).mean(0) for name in names[:given]]
    return np.stack(told), rows[np.isin(data.trials[rows], names[given:])]


def pooled(data: helo.EmotionData, split: helo.splits.Split, given: int) -> np.ndarray:
    """Answers (n, L): (s mean + sum of the k given trials' means) / (s + k).

    s is what suits the training people best, each beside the mean of the others.
    """
    seen, tested = split.seen, np.unique(data.subjects[split.test])
    rest, d = seen[~np.isin(data.subjects[seen], tested)], data.distributions.astype(np.float64)
    mean = d[rest].mean(0)
    if not given:
        return np.broadcast_to(mean, (len(split.test), len(mean)))
    people = []
    for who in np.unique(data.subjects[rest]):
        mine = data.subjects[rest] == who
        people.append((d[rest[~mine]].mean(0), *first_trials(data, rest[mine], given)))

    def cost(s):
        answers = [(d[later], (s * others + told.sum(0)) / (s + len(told))) for others, told, later in people]
        return np.concatenate([kl(truth, answer) for truth, answer in answers]).mean()

    s = min(PRIOR, key=cost)
    answers = np.empty((len(split.test), len(mean)))
    for who in tested:
        told, _ = first_trials(data, seen[data.subjects[seen] == who], given)
        answers[data.subjects[split.test] == who] = (s * mean + told.sum(0)) / (s + len(told))
    return answers


def rows_of(model: str, data: helo.EmotionData, splits: list, given: int, workers: int) -> pd.DataFrame:
    """A row for each test person and fold of a model."""
    if model == "pooled":
        return pd.DataFrame([row for s in splits for row in person_scores(data, s, pooled(data, s, given))]).assign(
            model=model, seed=0
        )
    return helo.evaluate(
        [model], data, protocol=splits, workers=workers, folder=Path("runs/comparison"), progress=False, **TRAINING
    )


def by_person(rows: pd.DataFrame) -> pd.DataFrame:
    """Folds of clips and conditions of a person as one row, windows counting once."""
    sums = rows.assign(**{c: rows[c] * rows["windows"] for c in ("kl", "kl_mean")})
    sums = sums.groupby(["model", "seed", "subject"], sort=False)[["windows", "trials", "kl", "kl_mean"]].sum()
    return sums.assign(**{c: sums[c] / sums["windows"] for c in ("kl", "kl_mean")}).reset_index()


def run(name: str, data: helo.EmotionData, models: list[str], workers: int) -> None:
    """Each protocol with each model, one after another; those that are kept are left alone."""
    about = repr((None if data.starts is None else data.starts.tolist(), data.clip_ids.tolist()))
    settings = hashlib.sha256(Path(__file__).read_bytes() + about.encode()).hexdigest()[:6]
    for protocol, given, splits in asked(name, data):
        for model in models:
            if model == "pooled" and protocol != "calibrate":
                continue
            code = digest("mean" if model == "pooled" else model, data) + f"-{settings}"
            kept, key = read(), {"set": name, "protocol": protocol, "given": given, "model": model}
            mine = np.logical_and.reduce([kept[k] == v for k, v in key.items()]) if len(kept) else np.zeros(0, bool)
            if len(kept) and (mine & (kept["code"] == code)).any():
                continue
            started = time.perf_counter()
            rows = by_person(rows_of(model, data, splits, given, workers)).assign(**key, code=code)[COLUMNS]
            content = io.StringIO()
            pd.concat([kept[~mine], rows]).to_csv(content, index=False, float_format="%.5g")
            atomic_write(RESULTS, content.getvalue().encode())
            mean = np.average(rows["kl"], weights=rows["windows"])
            print(
                f"{name} {protocol} {given} {model}: KL {mean:.4f}, {time.perf_counter() - started:.0f} s", flush=True
            )


def read() -> pd.DataFrame:
    return pd.read_csv(RESULTS, dtype={"subject": str, "code": str}) if RESULTS.exists() else pd.DataFrame()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", metavar="SET", help=f"{', '.join(GIVEN)}; or page")
    for name in GIVEN:
        parser.add_argument(f"--{name}", default="", help=f"folder of {name}")
    parser.add_argument("--models", default=",".join(MODELS), help="names, separated by commas")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", ".*is missing; used|.*cap of .* epochs")
    if options.sets == ["page"]:
        write(read())
        return
    print(describe(), flush=True)
    for name in options.sets:
        data = helo.load(name, **SETS[name], root=getattr(options, name.replace("-", "_")))
        print(data, flush=True)
        run(name, data, options.models.split(","), options.workers)


if __name__ == "__main__":
    main()
