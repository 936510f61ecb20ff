"""Who is ahead, with the same budget for all? `python benchmarks/comparison.py SET [--wesad PATH] [--emowalk PATH] ...`

Every trained system has 8 candidates of settings (`helo.evaluation.candidates`); in each of five outer folds by subject
the training people, in three groups that validate in turns, choose one, and the three models answer together; the
chosen one is trained with three seeds. The test people have no say. One model after another is kept in
benchmarks/results/comparison-SET.csv (people and conditions) and fits-SET.csv (every fit), with the digest of the code
and the data it was made by; made.csv says when, and with which PyTorch. The command goes on where it was stopped, on
another machine too, and makes again what other code made. `--leave-one-out MODELS` is the same with every person a fold
of their own (SET-loo). The set `page` writes docs/results.md and figures/forest-SET.png from what is kept, without a
computation.
"""

from __future__ import annotations

import argparse
import datetime
import fcntl
import hashlib
import io
import os
import time
import warnings
from importlib.metadata import version
from pathlib import Path

import pandas as pd
from machine import describe

import helo
from helo import models
from helo.evaluation.fits import code_of
from helo.files import atomic_write, code_digest
from helo.training.checkpoints import layout_to_json

RESULTS = Path(__file__).parent / "results"
BUDGET = {"nested": 3, "choose_from": 8, "seeds": (0, 1, 2), "epochs": 300, "patience": 15}
FOLDS = 5
#: rows a seed that are kept by condition; a set with more of them keeps people alone
MOST = 200
#: options of `helo.load`; the folder comes from the command line
SETS: dict[str, dict] = {
    "simulated": {},
    "pairing": {},
    "matching": {},
    "emowalk": {},
    "wesad": {"context": 120, "tokens": 5},
    # all twelve sentences are three times the work; these are the first but IEO, which is spoken at three levels
    "crema-d": {"sentences": ("DFA", "IOM", "ITH", "ITS")},
    "circumplex": {"windows": 30, "votes": 10},
}
#: cheap ones first, so that a run that is cut short has a table; then the others by what a step costs
ORDER = ("mean", "ridge", "kernel-ridge", "sa-bfgs", "aa-knn", "mixture", "mlp", "early", "helo", "late", "tensor")
ORDER += ("fbp", "low-rank-tensor", "physiological-only", "behavioral-only", "hfgcn", "lmam", "gban", "name-guided")
ORDER += ("helo-no-ot", "helo-no-r", "mpt-hcl", "connection", "jmt", "aimdit", "foalnet", "m2fnet")
COLUMNS = ["model", "seed", "fold", "subject", "condition", "windows", "trials", "chebyshev", "clark", "canberra"]
COLUMNS += ["kl", "cosine", "intersection", "kl_mean", "kl_ceiling", "kl_trial", "kl_mean_trial", "kl_ceiling_trial"]
COLUMNS += ["epochs", "capped", "choice", "seconds"]


def digest(model: str, data: helo.EmotionData) -> str:
    """What a model's rows were made by: its code, the evaluation's, the data and the budget."""
    key = hashlib.sha256(repr((FOLDS, sorted(BUDGET.items()), layout_to_json(data.layout))).encode())
    for m in data.signals:
        key.update(data.signals[m].tobytes() + data.masks[m].tobytes())
    key.update(data.distributions.tobytes())
    for names in (data.subjects, data.trials, data.conditions):
        key.update(repr(None if names is None else list(map(str, names))).encode())
    rows = ["helo.data.splits", "helo.evaluation.contest", "helo.evaluation.people", "helo.evaluation.references"]
    key.update(code_digest(modules=rows).encode())
    return hashlib.sha256(key.hexdigest().encode() + code_of(model).encode()).hexdigest()[:12]


def read(file: Path) -> pd.DataFrame:
    text = {"subject": str, "condition": str, "code": str}
    return pd.read_csv(file, dtype=text, keep_default_na=False, na_values=["nan"]) if file.exists() else pd.DataFrame()


def keep(file: Path, rows: pd.DataFrame, model: str) -> None:
    """Put a model's rows in the place of its older ones."""
    old = read(file)
    if len(old):
        rows = pd.concat([old[old["model"] != model], rows])
    content = io.StringIO()
    rows.to_csv(content, index=False, float_format="%.5g", na_rep="nan")
    atomic_write(file, content.getvalue().encode())


def made(name: str, model: str) -> None:
    """Put down when a set's rows of a model were made, and with which PyTorch."""
    file, key = RESULTS / "made.csv", ["set", "model"]
    today = {"set": name, "model": model, "date": str(datetime.date.today()), "torch": version("torch").split("+")[0]}
    with file.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # other sets may be made meanwhile
        rows = pd.concat([read(file), pd.DataFrame([today])]).drop_duplicates(key, keep="last")
        atomic_write(file, rows.sort_values("set", kind="stable").to_csv(index=False).encode())


def contest(name: str, data: helo.EmotionData, names: list[str], folds: int | None, workers: int, folder: Path) -> None:
    """Each model with its budget, one after another; those that are kept are left alone."""
    people, fits = (RESULTS / f"{what}-{name}.csv" for what in ("comparison", "fits"))
    for model in names:
        code, kept = digest(model, data), read(people)
        if len(kept) and (kept.loc[kept["model"] == model, "code"] == code).any():
            print(f"{model}: kept", flush=True)
            continue
        started = time.perf_counter()
        try:
            table = helo.evaluate(
                [model], data, folds=folds, workers=workers, folder=folder, progress=os.isatty(2), **BUDGET
            )
        except (ValueError, FloatingPointError) as error:
            print(f"{model}: left out, {error}", flush=True)
            continue
        done = pd.DataFrame(table.attrs["fits"]).assign(code=code)
        rows = table[COLUMNS].assign(code=code)
        if len(rows) > MOST * table["seed"].nunique():  # 91 actors x 6 emotions, 12 people x 35 meanings
            rows = over_conditions(rows)
        keep(fits, done, model)
        made(name, model)
        keep(people, rows, model)
        weighted = (table["kl"] * table["windows"]).sum() / table["windows"].sum()
        took = (time.perf_counter() - started) / 60
        print(f"{model}: KL {weighted:.4f}, {len(done)} fits, {took:.1f} minutes", flush=True)


def over_conditions(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of people, their conditions averaged: by windows, what counts trials by trials."""
    by = ["model", "seed", "fold", "subject"]
    sums = rows.copy()
    means = [
        c for c in COLUMNS if c not in (*by, "condition", "windows", "trials", "epochs", "capped", "choice", "seconds")
    ]
    for column in means:
        sums[column] *= sums["trials" if column.endswith("_trial") else "windows"]
    first = dict.fromkeys(("epochs", "capped", "choice", "code"), "first")
    total = dict.fromkeys(("windows", "trials", "seconds"), "sum")
    total |= dict.fromkeys(means, lambda part: part.sum(min_count=1))  # of nothing known nothing is known
    merged = sums.groupby(by, sort=False).agg(total | first).reset_index()
    for column in means:
        merged[column] /= merged["trials" if column.endswith("_trial") else "windows"]
    return merged.assign(condition="")[[*COLUMNS, "code"]]


def everybody() -> list[str]:
    """All systems, and HeLo without transport and without R beside it."""
    known = [n for n in (*models.systems(), "helo-no-ot", "helo-no-r") if n != "uniform"]
    return sorted(known, key=lambda n: (ORDER.index(n) if n in ORDER else len(ORDER), known.index(n)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", metavar="SET", help=f"{', '.join(SETS)}; or page")
    for name in ("wesad", "emowalk", "crema-d"):
        parser.add_argument(f"--{name}", default="", help=f"folder of {name}")
    parser.add_argument("--models", default="", help="names, separated by commas; default all")
    parser.add_argument("--leave-one-out", default="", metavar="MODELS", help="these, every person a fold")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("runs/comparison"), help="of fits on this machine")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", ".*is missing; used")
    if options.sets == ["page"]:
        from results_page import write

        write(SETS, RESULTS, everybody())
        return
    print(describe(), flush=True)
    for name in options.sets:
        root = getattr(options, name.replace("-", "_"), "")
        data = helo.load(name, **SETS[name], **({"root": root} if root else {}))
        print(data, flush=True)
        names = options.models.split(",") if options.models else everybody()
        if options.leave_one_out:
            contest(f"{name}-loo", data, options.leave_one_out.split(","), None, options.workers, options.folder)
        else:
            contest(name, data, names, FOLDS, options.workers, options.folder)


if __name__ == "__main__":
    main()
