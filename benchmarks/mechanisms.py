"""Do the mechanisms do anything? `python benchmarks/mechanisms.py WHAT [--wesad PATH] [--workers 2]`

    knockout      every fusion system, trained on the control studies and WESAD, without each of its parts
    sensitivity   KL and the plan's mass in common with the truth against noise, moments, epsilon and transport weight
    labels        label correlation where it has a reason to help: many emotions, few windows, noisy ratings
    pages         docs/knockout.md and figures/sensitivity.png from what is kept, without a computation

One row a fit (and part) is kept in benchmarks/results/WHAT.csv with the code's digest: the command goes on where it was
stopped, and fits again what was made by other code. Every model has the same epochs, patience and batch, chosen for
none; its own settings are its defaults. People of the test fold are in no training or validation side.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import io
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed
from machine import describe
from tqdm import tqdm

import helo
from helo import models
from helo.evaluation.fits import code_of
from helo.files import atomic_write, code_digest
from helo.measures import kl
from helo.models import is_closed_form
from helo.training import fit_together

RESULTS = Path(__file__).parent / "results"
TRAINING = {"epochs": 60, "patience": 20, "batch_size": 64, "learning_rate": 1e-3, "weight_decay": 1e-4}
#: recordings of a dozen people are learned by heart at that rate: the library's own defaults, for people never seen
REAL = {"epochs": 60, "patience": 20, "centre_people": True}
#: what the sensitivity is asked of, and its values; the second is the study's or the model's default
AXES = {
    "noise": (0.0, 0.2, 0.4, 0.8),
    "moments": (2, 4, 8),
    "epsilon": (0.01, 0.05, 0.2, 1.0),
    "transport_weight": (0.0, 0.03, 0.1, 0.3),
}
OF_THE_STUDY = ("noise", "moments")
RIVALS = ("early", "jmt", "foalnet")
SEEDS = (0, 1)
SMALL = {"width": 64, "dropout": 0.3}
LABELS = {
    "helo": ("helo", SMALL),
    "without L_CC": ("helo", SMALL | {"correlation_weight": 0.0}),
    "without R": ("helo", SMALL | {"steer": False}),
    "without both": ("helo", SMALL | {"correlation_weight": 0.0, "steer": False}),
    "early": ("early", {}),
}
#: the control study as the sensitivity asks it: smaller, so that a fit takes half a minute
SMALLER = {"subjects": 8, "windows": 300}
PAGE = """# What each mechanism does: every fusion system without each of its parts

`python benchmarks/mechanisms.py knockout --wesad PATH`, then `... pages`; every fit is a row of
[benchmarks/results/knockout.csv](../benchmarks/results/knockout.csv).

One trained model a row, its part taken out without training again (`helo.knockout`). **Change** is how far its
answers move on average, 1 being as far as they lie from their own mean: a part near 0 does nothing in that model.
The last column is what it costs, with the range of a bootstrap over the test people, who are two or three. Every
system has the same budget (at most 60 epochs, patience 20; on the control studies batch 64, learning rate .001,
decay .0001, on WESAD `helo.fit`'s defaults and `centre_people`) and its default settings: the page compares parts
within a model, not models. A KL that rises without a part says that this model, as it was trained, uses it; it does
not say that a model trained without it would be worse. On WESAD this is one model and three people; HeLo, as nine
of the other systems, does not reach the training mean there, while the mean of three of its models, over all people,
is well below it ([results.md](results.md)): read its parts with that in mind.
"""
ON_LABELS = """## Label correlation where it has a reason to help

`circumplex`: 24 emotions on a circle, 8 people, shares that are mostly chance (`python benchmarks/mechanisms.py
labels`). KL to the shares that the votes were drawn from, mean over 24 people of three studies; in brackets the
difference to HeLo with its 95 % bootstrap interval over people. All are trained anew, at most 200 epochs.
"""


def study(name: str, wesad: str = "", **options):
    """Data and its first fold by subject, of four; WESAD's, of five."""
    warnings.filterwarnings("ignore", ".*is missing; used")
    if name == "matching, rule pair":
        name, options = "matching", options | {"rule": "pair"}
    data = helo.load(name, **({"root": wesad} if name == "wesad" else {}), **options)
    return data, helo.splits.by_subject(data, folds=5 if name == "wesad" else 4)[0]


def in_common(data, split, plans) -> float:
    """Mass that the plans have in common with the true coupling: mean over windows of sum_ij min(T_ij, T*_ij)."""
    if plans is None or "coupling" not in data.truth:
        return float("nan")
    return float(np.minimum(plans, data.truth["coupling"][split.test]).sum((1, 2)).mean())


def knocked_out(name: str, model: str, wesad: str) -> list[dict]:
    """One system on one study: a row a part and a modality, and the intact model's."""
    data, split = study(name, wesad)
    network = helo.build(model, data, seed=0)
    run = helo.fit(network, data, split, progress=False, **(REAL if name == "wesad" else TRAINING))
    answer = helo.predict(network, data, split.test)
    intact = {"epochs": len(run.history), "mass": in_common(data, split, answer.plans)}
    mean = helo.evaluation.reference_kl(data, split)[0]
    table = helo.knockout(network, data, split)
    intact |= {"kl_mean": mean, "people": len(np.unique(data.subjects[split.test])), "windows": len(split.test)}
    return [{"part": part} | row.to_dict() | intact for part, row in table.iterrows()]


def sensitive(model: str, axis: str, value: float, seed: int) -> list[dict]:
    """One model on `matching` with one thing changed."""
    value = int(value) if axis == "moments" else value
    data, split = study("matching", **SMALLER, **({axis: value} if axis in OF_THE_STUDY else {}))
    network = helo.build(model, data, seed=seed, **({} if axis in OF_THE_STUDY else {axis: value}))
    run = helo.fit(network, data, split, seed=seed, progress=False, **TRAINING)
    answer = helo.predict(network, data, split.test)
    score = helo.score(data.distributions[split.test], answer.distributions)["kl"]
    mean = helo.evaluation.reference_kl(data, split)[0]
    mass = in_common(data, split, answer.plans)
    return [{"kl": score, "kl_mean": mean, "mass": mass, "epochs": len(run.history)}]


def with_labels(model: str, windows: int, votes: int, seed: int) -> list[dict]:
    """A variant of HeLo, or a rival, on `circumplex`: each person's KL to the shares that the votes were drawn from."""
    data = helo.load("circumplex", windows=windows, votes=votes, seed=seed)
    splits = helo.splits.by_subject(data, folds=4)
    name, options = LABELS[model]
    networks = [helo.build(name, data, seed=seed, **options) for _ in splits]
    training = TRAINING | {"batch_size": 32, "epochs": 200}
    runs = fit_together(networks, data, splits, seeds=[seed] * len(splits), progress=False, **training)
    rows = []
    for run, split in zip(runs, splits, strict=True):
        said = helo.predict(run.model, data, split.test).distributions
        true = data.truth["distributions"][split.test]
        for person in np.unique(data.subjects[split.test]):
            own = data.subjects[split.test] == person
            rows.append({"person": person, "kl": float(kl(true[own], said[own]).mean()), "epochs": len(run.history)})
    return rows


def digest(what: str, job: dict) -> str:
    """The code that a job's rows are made by: its model's, its training's, its study's."""
    study = {"sensitivity": "matching", "labels": "circumplex"}.get(what) or job["name"].split(",")[0]
    model = LABELS[job["model"]][0] if what == "labels" else job["model"]
    rows = [f"helo.data.{study}", "helo.data.splits", "helo.evaluation.references"]
    rows += ["helo.evaluation.knockout"] if what == "knockout" else []
    settings = {"knockout": (TRAINING, REAL), "sensitivity": (TRAINING, SMALLER), "labels": (TRAINING, LABELS)}[what]
    return hashlib.sha256(f"{settings}{code_digest(modules=rows)}{code_of(model)}".encode()).hexdigest()[:12]


def keep(what: str, jobs: list[dict], function, workers: int) -> None:
    """Run what is not kept yet, and keep it as it comes; older rows stay until theirs are made again."""
    file, names = RESULTS / f"{what}.csv", list(jobs[0])
    as_written = dict.fromkeys(names, str)

    def read():
        return pd.read_csv(file, dtype=as_written) if file.exists() else pd.DataFrame(columns=[*names, "code"])

    def of(job):
        return (kept[names] == [str(v) for v in job.values()]).all(axis=1)

    kept = read()
    left = [job for job in jobs if not (kept.loc[of(job), "code"] == digest(what, job)).any()]
    print(f"{what}: {len(jobs) - len(left)} of {len(jobs)} kept; {describe()}", flush=True)
    work = Parallel(n_jobs=workers, return_as="generator_unordered")(delayed(_timed)(function, job) for job in left)
    for job, rows in tqdm(work, total=len(left), desc=what):
        about, kept = {k: str(v) for k, v in job.items()} | {"code": digest(what, job)}, read()  # others keep rows too
        kept = pd.concat([kept[~of(job)], pd.DataFrame([about | row for row in rows])])
        order = kept.sort_values(names, kind="stable")
        content = io.StringIO()
        order.to_csv(content, index=False, float_format="%.6g")
        atomic_write(file, content.getvalue().encode())


def _timed(function, job):
    torch.set_num_threads(1)
    started = time.perf_counter()
    rows = function(**job)
    seconds = time.perf_counter() - started
    return {k: v for k, v in job.items() if k != "wesad"}, [row | {"seconds": seconds} for row in rows]


def systems() -> list[str]:
    """Every fusion system that declares parts, and the release; early fusion and the two-layer network, without any."""
    names = [n for n in (*models.systems(), "helo-release") if not is_closed_form(n)]
    return [*(n for n in names if helo.build(n, study("pairing")[0]).parts), "early", "mlp"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("knockout", "sensitivity", "labels", "pages"))
    parser.add_argument("--wesad", default="", help="WESAD's folder; without it the study is left out")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    if options.what == "knockout":
        studies = ("matching", "pairing", *(("wesad",) if options.wesad else ()))
        jobs = [{"name": study, "model": model} for study in studies for model in systems()]
        jobs += [{"name": "matching, rule pair", "model": model} for model in ("helo", "early", "jmt", "late")]
        keep("knockout", jobs, functools.partial(knocked_out, wesad=options.wesad), options.workers)
    elif options.what == "sensitivity":
        jobs = [
            {"model": model, "axis": axis, "value": value, "seed": seed}
            for axis, values in AXES.items()
            for value in values
            for model in (("helo", *RIVALS) if axis in OF_THE_STUDY else ("helo",))
            for seed in SEEDS
        ]
        keep("sensitivity", jobs, sensitive, options.workers)
    elif options.what == "labels":
        jobs = [
            {"model": model, "windows": windows, "votes": votes, "seed": seed}
            for windows, votes in ((15, 10), (30, 10), (30, 200), (120, 10))
            for model in LABELS
            for seed in (0, 1, 2)
        ]
        keep("labels", jobs, with_labels, options.workers)
    else:
        pages()


def pages() -> None:
    """Write docs/knockout.md and figures/sensitivity.png."""
    table = pd.read_csv(RESULTS / "knockout.csv")
    lines = [PAGE]
    for name, part in table.groupby("name", sort=False):
        first = part.iloc[0]
        who = f"{first.windows} windows of {first.people} test people"
        lines.append(f"## {name}\n\nKL of the training mean {first.kl_mean:.4f}; {who}.\n")
        lines.append(
            "| model | KL | part | what stands in its place | change | KL without it | worse by [range over people] |"
        )
        lines.append("|---|---|---|---|---|---|---|")
        order = part.groupby("model")["kl"].first().sort_values().index
        for model in order:
            for k, row in enumerate(part[part["model"] == model].itertuples()):
                who = f"{model}{' (cut at the cap)' if row.epochs >= TRAINING['epochs'] else ''} | {row.kl:.4f}"
                lines.append(
                    f"| {who if k == 0 else ' | '} | {row.part} | {row.instead} | {row.change:.2g} | "
                    f"{row.kl_without:.4f} | {row.worse:+.4f} [{row.worse_low:+.4f}, {row.worse_high:+.4f}] |"
                )
        lines.append("")
    lines += labels_table(pd.read_csv(RESULTS / "labels.csv"))
    atomic_write(Path("docs/knockout.md"), "\n".join(lines).encode())
    sensitivity(pd.read_csv(RESULTS / "sensitivity.csv"))


def labels_table(table: pd.DataFrame) -> list[str]:
    """KL to the true shares by model, and what leaving a part out costs, over the people of all seeds."""
    lines = [ON_LABELS, "| windows a person, votes | " + " | ".join(LABELS) + " |", "|---|" + "---|" * len(LABELS)]
    for (windows, votes), part in table.groupby(["windows", "votes"]):
        by_person = part.pivot_table(index=["seed", "person"], columns="model", values="kl")
        cells = []
        for model in LABELS:
            cell = f"{by_person[model].mean():.4f}"
            if model != "helo":
                worse = (by_person[model] - by_person["helo"]).to_numpy()
                low, high = helo.evaluation.interval_over_people(worse, np.arange(len(worse)))
                cell += f" ({worse.mean():+.4f} [{low:+.4f}, {high:+.4f}])"
            cells.append(cell)
        lines.append(f"| {windows}, {votes} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def sensitivity(table: pd.DataFrame) -> None:
    """KL and mass in common against each axis: a line a model, its seeds as dots."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib.figure import Figure

    from helo import figures

    figure = Figure(figsize=(12, 5.2), layout="constrained")
    panels = figure.subplots(2, len(AXES), sharey="row")
    colours = dict(zip(("helo", *RIVALS), ("#0072B2", "#777777", "#D55E00", "#009E73"), strict=True))
    for column, axis in enumerate(AXES):
        part = table[table["axis"] == axis]
        for row, measure in enumerate(("kl", "mass")):
            panel = panels[row][column]
            for model, own in part.groupby("model", sort=False):
                if own[measure].isna().all():
                    continue
                place = [AXES[axis].index(v) for v in own["value"]]
                front = {"zorder": 3 if model == "helo" else 2}
                panel.plot(place, own[measure], "o", ms=3, color=colours[model], alpha=0.5, **front)
                middle = own.groupby("value")[measure].mean()
                steps = [AXES[axis].index(v) for v in middle.index]
                panel.plot(steps, middle, color=colours[model], label=model, **front)
            if measure == "kl":
                means = part.groupby("value")["kl_mean"].first()
                panel.plot([AXES[axis].index(v) for v in means.index], means, "k:", label="training mean")
                panel.set_ylim(0, 1.05 * table[["kl", "kl_mean"]].max().max())
            else:
                moments = AXES[axis] if axis == "moments" else [4] * len(AXES[axis])
                panel.plot(range(len(moments)), 1 / np.array(moments), "k:", label="even plan")
                panel.set_ylim(0, 1.03)
                panel.set_xlabel(axis.replace("_", " "))
            panel.set_xticks(range(len(AXES[axis])), [f"{v:g}" for v in AXES[axis]])
            panel.spines[["top", "right"]].set_visible(False)
    panels[0][0].set_ylabel("KL, test people (nats)")
    panels[1][0].set_ylabel("plan's mass in common\nwith the true coupling")
    panels[0][0].legend(frameon=False, fontsize=8, loc="upper left", ncols=2)
    panels[1][0].legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0, 0.27))
    figures.save(figure, "figures/sensitivity.png")


if __name__ == "__main__":
    main()
