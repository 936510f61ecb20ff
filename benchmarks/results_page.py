"""docs/results.md and figures/forest-SET.png from the kept results of comparison.py, without a computation."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from pathlib import Path

import matplotlib
import pandas as pd

from helo import figures
from helo.evaluation import by_condition, chosen, paired_test, summarise, to_markdown
from helo.files import atomic_write

matplotlib.use("agg")
PARTS = {"helo-no-ot": "its transport", "helo-no-r": "R"}
AFTER_ABSTRACT = ("connection", "aimdit", "mpt-hcl", "hfgcn")
NEAR = 1.05  # a candidate that lost by less might have been chosen
TOLD = "mixture"  # is told the conditions' names in training: a rival to know, not one on equal terms
TITLES = {
    "simulated": "The simulated study",
    "pairing": "`pairing`: which kind of moment goes with which",
    "matching": "`matching`: which moment belongs to which",
    "circumplex": "`circumplex`: many emotions, few windows, noisy votes",
    "emowalk": "EmoWalk: a study where little is to be had",
    "wesad": "WESAD, wrist",
    "crema-d": "CREMA-D votes, four of twelve sentences",
}
PAGE = """# Who is ahead, with the same budget for all

Written by `python benchmarks/comparison.py page` on {date} from the rows in
[benchmarks/results](../benchmarks/results): `comparison-SET.csv` (people and conditions) and `fits-SET.csv` (every
fit), each with the digest of the code that made it. `python benchmarks/comparison.py SET` makes them, or goes on
where it was stopped.

**The question** is always a person the model has never seen. Five folds by subject; the training people of a fold
are three groups that validate in turns. Every trained system has **eight candidates of settings**: its defaults,
and seven drawn from a declared space (learning rate, weight decay, batch, dropout, input dropout, learning from
ratings without a person's own tendency: the same seven for all, but that one that would repeat a system's own
defaults is drawn anew; two of them also draw the system's own options).
The training people choose one, by the KL on all three groups; the three models with it answer together; what was
chosen is trained with three seeds. A fit ends 15 epochs after its best one, and after 300 at the latest; "as given"
is learning rate 0.0003, weight decay 0.0001, batches of 128 and the system's own defaults. Closed-form systems
choose their strength inside, by their training people, and by the same three groups whether to learn from ratings
without a person's own tendency; what was chosen is solved with everybody on the training side. The test people have no
say in any choice.

In what there was to choose from they had: HeLo's form and its defaults, one of its eight candidates, were found on
`matching` and WESAD with test people's KL in sight ([method.md](method.md)), nobody searched so for the others. Read
HeLo's lead on `matching` as that it can be done, not as how much better it is. Four systems, {after_abstract},
are designs after the abstract of a paper whose text or code we did not have.

**The unit is a person.** Brackets are 95 % bootstrap intervals over people, expanded percentile intervals
(`helo/evaluation/intervals.py`); p is Wilcoxon's signed-rank test over people. The tables compare with HeLo, or with
the training mean where HeLo was not run, and a p in them is corrected for the comparisons of that table (Holm). The
sentences compare everybody with the best system (without `mixture`), which these same people made the best: **told
apart** from it, and so not the best whoever is, is a system with an interval above 0, more people worse than better,
and a p that is below .05 when multiplied by the number of comparisons (multiple comparisons with the best, Hsu 1984;
Holm's smaller factors would take the best as known beforehand). For the same reason a difference to the best looks
larger than it is. **Better**, or surely better, than the training mean is a system whose difference to it has an
interval below 0, whatever its p. **Skill** is (KL of the training mean − KL) / (KL of the training mean − KL of the
ceiling); the ceiling knows the true condition and answers the training people's mean for it: a reference, not a
bound. Above 1 the signals tell more than the condition's name, as where it is a quarter of the circle (`circumplex`)
or the emotion that an actor was asked for (CREMA-D). `mixture` is told the conditions' names in training; no other
system is. `helo-no-ot` and `helo-no-r` are HeLo without its transport and without R in its label attention, with the
same budget. A place ("6th of 23") is by KL and leaves out `mixture`, the training mean and HeLo without a part, which
the pictures and tables show.
"""


def write(sets: Iterable[str], results: Path, systems: list[str], root: Path = Path()) -> None:
    """The page, a section and a picture for each set that has rows, in the repository `root`."""
    lines = [PAGE.format(date=datetime.date.today(), after_abstract=names(AFTER_ABSTRACT))]
    made = read(results / "made.csv").set_index(["set", "model"])
    for name in (s for base in sets for s in (base, f"{base}-loo")):
        file = results / f"comparison-{name}.csv"
        if file.exists():
            table = read(file)
            missing = [] if name.endswith("-loo") else [m for m in systems if m not in set(table["model"])]
            known = {m: f"{row.date}, torch {row.torch}" for (of, m), row in made.iterrows() if of == name}
            lines += section(name, table, read(results / f"fits-{name}.csv"), known, missing, root)
    unseen = [f"`{name}`" for name in sets if not (results / f"comparison-{name}.csv").exists()]
    lines += [f"\n## Not run yet\n\nSets without a row so far: {', '.join(unseen)}.\n"] if unseen else []
    atomic_write(root / "docs/results.md", "\n".join(lines).encode())


def read(file: Path) -> pd.DataFrame:
    return pd.read_csv(file, keep_default_na=False, na_values=["nan"], dtype={"condition": str, "subject": str})


def section(
    name: str, table: pd.DataFrame, fits: pd.DataFrame, made: dict[str, str], missing: list[str], root: Path
) -> list[str]:
    """Sentences that the intervals carry, the picture, the tables, conditions, and what was chosen."""
    summary = summarise(table, "helo" if "helo" in set(table["model"]) else None).sort_values("kl")
    base = name.removesuffix("-loo")
    title = TITLES[base] + (", one person left out at a time" if name != base else "")
    if len(summary) > 3:
        figure = figures.forest(summary, title.replace("`", ""))
        figures.save(figure, root / f"figures/forest-{name}.png")
    lines = [f"\n## {title}\n", *verdict(table, summary), *cut_short(table, fits)]
    lines += [f"Not run yet with this budget: {names(missing)}.", ""] if missing else [""]
    if len(summary) > 3:
        lines += [f"![{title}: systems by skill, intervals over people](../figures/forest-{name}.png)", ""]
    lines += ["<details><summary>Table</summary>\n", to_markdown(summary), "\n</details>\n"]
    by_trial = summarise(table, summary.index[summary["reference"]][0], weight="trials").sort_values("kl")
    lines += ["<details><summary>Counting a trial once, however long</summary>\n", to_markdown(by_trial)]
    lines += ["\n</details>\n"]
    if (table["condition"] != "").all():
        shown = [m for m in dict.fromkeys((rivals(summary).index[0], "helo", TOLD)) if m in summary.index]
        lines += ["<details><summary>Where the gain lies</summary>\n", conditions(table, shown), "\n</details>\n"]
    told = chosen(table, fits)
    cells = [
        f"| {m} | {row.candidates} | {row.fits} | {row.cut} | {row.chosen} | {made.get(m, '')} |"
        for m, row in told.iterrows()
    ]
    lines += ["<details><summary>What the training people chose</summary>\n"]
    lines += [
        "| model | candidates | fits | cut at the cap | chosen | made |",
        "|---" * 6 + "|",
        *cells,
        "\n</details>",
    ]
    return lines


def rivals(summary: pd.DataFrame) -> pd.DataFrame:
    """All systems but the one that is told the conditions; HeLo without a part of its own is no other system."""
    return summary.drop(index=[TOLD, *PARTS], errors="ignore")


def verdict(table: pd.DataFrame, summary: pd.DataFrame) -> list[str]:
    """Who has the lowest KL, who is told apart from it, where HeLo stands, who is above the training mean."""
    ranked = rivals(summary)
    best, about = ranked.index[0], ranked.iloc[0]
    held = table.drop_duplicates(["fold", "subject", "condition"])["windows"].sum()
    others = [m for m in ranked.index if m not in (best, "mean")]
    part = table[~table["model"].isin([TOLD, *PARTS])]
    tested = paired_test(part, best)
    worse = (tested["low"] > 0) & (2 * tested["better"] < tested["people"])
    apart = [m for m in others if worse[m] and tested.loc[m, "p"] * len(tested) < 0.05]
    near = [m for m in others if m not in apart]
    people = table["subject"].nunique()
    skill = "" if pd.isna(about["skill"]) else f", skill {interval(about, 'skill', '.2f')}"
    lines = [
        f"{people} people, {held} windows; KL of the training mean {about['kl_mean']:.4f}"
        + ("" if pd.isna(about["kl_ceiling"]) else f", of the known condition {about['kl_ceiling']:z.4f}")
        + ". "
        f"**`{best}` has the lowest KL, {interval(about, 'kl', '.4f')}{skill}.** "
        + (f"Told apart from it: {names(apart)}. " if apart else "No other system is told apart from it. ")
        + (f"Not told apart: {names(near)}." if apart and near else "")
    ]
    if (least := 2.0 ** (1 - people) * len(tested)) > 0.05:  # everybody better for one: Wilcoxon's least p, two-sided
        above = [m for m in others if tested.loc[m, "low"] > 0]
        lines.append(
            f"{people} people cannot tell systems apart: no p is below {least:.2g} after correction, however far they "
            "lie. " + (f"The interval of the difference lies above 0 for {names(above)}." if above else "")
        )
    if "helo" in ranked.index and best != "helo":
        row, systems = tested.loc["helo"], [m for m in ranked.index if m != "mean"]
        lines.append(
            f"HeLo is number {systems.index('helo') + 1} of {len(systems)} systems by KL: {row['difference']:+.4f} "
            f"[{row['low']:+.4f}, {row['high']:+.4f}] beside `{best}`, better for {row['better']:.0f} of "
            f"{row['people']:.0f} people."
        )
    lines += without(table, summary)
    by_trial = rivals(summarise(table, best, weight="trials")).sort_values("kl")["kl"]
    first = ", ".join(f"`{m}` {by_trial[m]:.4f}" for m in by_trial.index[:3])
    lines.append(f"Counting a trial once, however long, the first three by KL are {first}.")
    if "mean" in ranked.index:
        gain = paired_test(part, "mean")
        below = [m for m in (best, *others) if m != "mean" and not gain.loc[m, "high"] < 0]
        lines.append(
            f"Not surely better than the training mean: {names(below)}."
            if below
            else "Every system here is better than the training mean."
        )
    return lines


def cut_short(table: pd.DataFrame, fits: pd.DataFrame) -> list[str]:
    """Candidates that the cap of epochs ended and that lost by little: with more epochs they might have been chosen."""
    first = fits[fits["seed"] == fits["seed"].min()].copy()
    first["sum"] = first["validation_kl"] * first["validation_windows"]
    tried = first.groupby(["model", "fold", "candidate"]).agg(
        total=("sum", "sum"), windows=("validation_windows", "sum"), capped=("capped", "max")
    )
    tried["kl"] = tried["total"] / tried["windows"]
    choice = table.drop_duplicates(["model", "fold"]).set_index(["model", "fold"])["choice"]
    told = []
    for model, own in tried[tried["capped"] > 0].groupby("model", sort=False):
        beside = [
            kl / tried.loc[(model, fold, choice[model, fold]), "kl"]
            for (_, fold, k), kl in own["kl"].items()
            if k != choice[model, fold]
        ]
        if beside and min(beside) < NEAR:
            told.append(f"`{model}` ({sum(b < NEAR for b in beside)} of {len(beside)}, {min(beside):.3f} times)")
    if not told:
        return []
    return [
        f"Candidates that ended at the cap of epochs and lost the choice by less than {100 * (NEAR - 1):.0f} % of the "
        "chosen one's validation KL, so that more epochs might have changed it (how many of a system's capped ones, "
        f"and the nearest): {', '.join(told)}."
    ]


def without(table: pd.DataFrame, summary: pd.DataFrame) -> list[str]:
    """HeLo without a part, chosen and trained anew, beside HeLo."""
    there = [name for name in PARTS if name in summary.index and "helo" in summary.index]
    tested = paired_test(table[table["model"].isin(["helo", *there])], "helo") if there else None
    told = [
        f"without {PARTS[name]} {summary.loc[name, 'kl']:.4f} ({row['difference']:+.4f} [{row['low']:+.4f}, "
        f"{row['high']:+.4f}] beside HeLo, better for {row['better']:.0f} of {row['people']:.0f} people)"
        for name in there
        for row in [tested.loc[name]]
    ]
    return [f"The KL of HeLo chosen and trained anew: {', '.join(told)}."] if told else []


def interval(row: pd.Series, name: str, form: str) -> str:
    return f"{row[name]:{form}} [{row[name + '_low']:{form}}, {row[name + '_high']:{form}}]"


def names(models: list[str]) -> str:
    return ", ".join(f"`{m}`" for m in models)


def conditions(table: pd.DataFrame, models: list[str]) -> str:
    """Gain over the training mean by condition."""
    gains = by_condition(table)
    lines = ["| condition | people | KL of the mean | " + " | ".join(f"gain of {m} [95 %]" for m in models) + " |"]
    lines.append("|---" * (3 + len(models)) + "|")
    for condition in dict.fromkeys(table["condition"]):
        rows = [gains.loc[(condition, m)] for m in models]
        cells = [f"{r['gain']:+.4f} [{r['gain_low']:+.4f}, {r['gain_high']:+.4f}]" for r in rows]
        lines.append(
            f"| {condition} | {rows[0]['people']:.0f} | {rows[0]['kl_mean']:.4f} | " + " | ".join(cells) + " |"
        )
    return "\n".join(lines)
