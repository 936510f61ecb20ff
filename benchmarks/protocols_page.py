"""The tables of docs/protocols.md and figures/protocols.png from the kept rows of protocols.py, nothing trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from helo import figures
from helo.evaluation import paired_test
from helo.files import atomic_write
from helo.views.palette import BLUE, GREEN, ORANGE, PINK, VERMILION

matplotlib.use("agg")
SETS = {"wesad": "WESAD, wrist", "emowalk": "EmoWalk", "crema-d": "CREMA-D votes, four sentences"}
MODELS = ("mean", "pooled", "ridge", "sa-bfgs", "mlp", "helo")
COLOURS = {"mean": "#666666", "pooled": VERMILION, "ridge": GREEN, "sa-bfgs": PINK, "mlp": ORANGE, "helo": BLUE}
BEGIN, END = "<!-- benchmarks/protocols.py page -->\n", "<!-- end -->\n"


def novelty(rows: pd.DataFrame) -> pd.DataFrame:
    """For each set, protocol and model: KL, and how much lower than the training mean's, with an interval."""
    found = []
    for (name, protocol), own in rows[rows.protocol != "calibrate"].groupby(["set", "protocol"], sort=False):
        tested = paired_test(own, "mean")
        for model, part in own.groupby("model", sort=False):
            row = {"set": name, "protocol": protocol, "model": model, "kl": mean(part)}
            found.append(row | (gained(tested.loc[model]) if model in tested.index else {}))
    return ordered(pd.DataFrame(found))


def curve(rows: pd.DataFrame) -> pd.DataFrame:
    """For each set, model and number of given trials: KL, and how much lower than with none, with an interval."""
    found = []
    for (name, model), own in rows[rows.protocol == "calibrate"].groupby(["set", "model"], sort=False):
        tested = paired_test(own.assign(model=own.given.astype(str)), "0")
        for given, part in own.groupby("given"):
            row = {"set": name, "model": model, "given": given, "kl": mean(part)}
            found.append(row | (gained(tested.loc[str(given)]) if given else {}))
    return ordered(pd.DataFrame(found))


def gained(beside: pd.Series) -> dict[str, float]:
    """How much lower the KL is than what it is set beside, from a row of `paired_test`."""
    gain = {"gain": -beside["difference"], "low": -beside["high"], "high": -beside["low"]}
    return gain | {"better": int(beside["better"]), "people": int(beside["people"])}


def mean(rows: pd.DataFrame) -> float:
    return float(np.average(rows["kl"], weights=rows["windows"]))


def ordered(table: pd.DataFrame) -> pd.DataFrame:
    order = {name: k for k, name in enumerate((*SETS, "subjects", "both", *MODELS))}
    by = [c for c in ("set", "model", "protocol", "given") if c in table]
    return table.sort_values(by, key=lambda c: c.map(order) if c.name != "given" else c).reset_index(drop=True)


def tables(told: pd.DataFrame, curves: pd.DataFrame) -> str:
    """Both as Markdown."""
    lines = [
        "| set | model | person new: KL | gain over the mean | person and clip new: KL | gain over the mean |",
        "|---|---|---|---|---|---|",
    ]
    for (name, model), own in told.groupby(["set", "model"], sort=False):
        cells = [f"{r.kl:.4f} | {gain(r)}" for r in own.itertuples()]
        lines.append(f"| {SETS[name]} | `{model}` | {' | '.join(cells)} |")
    lines += [
        "",
        "| set | model | none given: KL | gain with the first k trials given, k = 1, 2, ... |",
        "|---|---|---|---|",
    ]
    for (name, model), own in curves.groupby(["set", "model"], sort=False):
        none, *given = own.itertuples()
        lines.append(f"| {SETS[name]} | `{model}` | {none.kl:.4f} | {'; '.join(gain(r) for r in given)} |")
    return "\n".join(lines) + "\n"


def gain(row: Any) -> str:
    """A row of either table, from `itertuples`."""
    if np.isnan(row.gain):
        return ""
    return f"{row.gain:+.4f} [{row.low:+.4f}, {row.high:+.4f}], {row.better:.0f} of {row.people:.0f}".replace("-", "−")


def picture(told: pd.DataFrame, curves: pd.DataFrame) -> Figure:
    """Above what a model gains over the mean under both protocols, below its KL against the trials that are given."""
    figure = Figure(figsize=(11, 6.4), layout="constrained")
    for column, (name, title) in enumerate((n, t) for n, t in SETS.items() if n in set(told["set"])):
        above, below = (figure.add_subplot(2, 3, 1 + column + 3 * row) for row in (0, 1))
        own = told[(told["set"] == name) & told.gain.notna()]
        models = list(dict.fromkeys(own.model))
        above.axvline(0, color="#999999", lw=1, ls="--")
        for protocol, fill, shift in (("subjects", True, -0.15), ("both", False, 0.15)):
            for r in own[own.protocol == protocol].itertuples():
                y = models.index(r.model) + shift
                above.hlines(y, r.low, r.high, color=COLOURS[r.model], lw=1.5)
                above.plot(r.gain, y, "o", color=COLOURS[r.model], mfc=COLOURS[r.model] if fill else "white", ms=6)
        above.plot([], [], "o", color="black", label="new person")
        above.plot([], [], "o", color="black", mfc="white", label="new person and new clip")
        above.set_yticks(range(len(models)), models)
        above.invert_yaxis()
        above.set_title(title, fontsize=11)
        above.set_xlabel("gain over the training mean (KL, nats)")
        for model, part in curves[curves["set"] == name].groupby("model", sort=False):
            below.plot(part.given, part.kl, "o-", color=COLOURS[model], ms=5, lw=1.5, label=model)
        below.set_xticks(sorted(set(curves[curves["set"] == name].given)))
        below.set_xlabel("first trials of the new person that are given")
        below.set_ylabel("KL (nats)" if column == 0 else "")
        for axis in (above, below):
            axis.spines[["top", "right"]].set_visible(False)
        if column == 0:
            (marks, said), (lines, named) = above.get_legend_handles_labels(), below.get_legend_handles_labels()
    figure.legend(marks + lines, said + named, loc="outside lower center", ncols=8, frameon=False, fontsize=9)
    return figure


def write(rows: pd.DataFrame, root: Path = Path()) -> None:
    """The tables between the page's two marks, and the picture, in the repository `root`."""
    told, curves = novelty(rows), curve(rows)
    page = root / "docs/protocols.md"
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    _, after = rest.split(END)
    atomic_write(page, (before + BEGIN + "\n" + tables(told, curves) + "\n" + END + after).encode())
    figures.save(picture(told, curves), root / "figures/protocols.png", dpi=100)
