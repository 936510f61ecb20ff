"""A summary as the table that pages show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from helo.measures import HIGHER_IS_BETTER, MEASURES

if TYPE_CHECKING:
    import pandas as pd


def to_markdown(summary: pd.DataFrame) -> str:
    """The table of `summarise` as Markdown, in the summary's order; the header names every bracket.

    KL and skill with their intervals over people; KL's difference to the reference with its interval, p (Wilcoxon's
    signed-rank test over people, Holm's correction) and for how many people the model is better; the other measures'
    means; "cut at the cap", how many fits ended at the cap of epochs, where there are any. Below stands why a skill or
    an interval is missing, and which models were left out.

    Raises:
        ValueError: the summary is empty.
    """
    if summary.empty:
        raise ValueError("the summary is empty; expected one row per model")
    about = summary.iloc[0]
    of = {"subject": "people", "fold": "folds"}[about["unit"]]
    bracket = f"[{100 * about['level']:g} % over {about['people']} {of}]"
    by_trial = " by trial" if about["weight"] == "trials" else ""
    reference = summary.index[summary["reference"]]
    names = {name: str(name).replace("|", "\\|") for name in summary.index}
    columns = {
        "model": list(names.values()),
        f"KL{by_trial} ↓ {bracket}": _intervals(summary, "kl", "{:z.4f}"),
        f"skill{by_trial} ↑ {bracket}": _intervals(summary, "skill", "{:z.2f}"),
    }
    if len(reference) and summary["difference"].notna().any():
        columns |= {
            f"KL − KL of {names[reference[0]]} {bracket}": _intervals(summary, "difference", "{:+z.4f}"),
            "p (Holm)": [_p(p) for p in summary["p_holm"]],
            "better for": ["" if np.isnan(b) else f"{b:.0f} of {about['people']}" for b in summary["better"]],
        }
    for name in (name for name in MEASURES if name != "kl" and name in summary):
        columns[f"{name} {'↑' if name in HIGHER_IS_BETTER else '↓'}"] = [f"{x:.4f}" for x in summary[name]]
    columns["seeds"] = [str(n) for n in summary["seeds"]]
    if (summary["capped"] > 0).any():
        columns["cut at the cap"] = [
            f"{100 * max(share, 0.01):.0f} % of fits" if share else "" for share in summary["capped"]
        ]
    lines = [list(columns), ["---"] * len(columns), *zip(*columns.values(), strict=True)]
    return "\n".join(["| " + " | ".join(line) + " |" for line in lines] + _notes(summary))


def _intervals(summary, name, form):
    cells = []
    for mean, low, high in summary[[name, f"{name}_low", f"{name}_high"]].to_numpy(float):
        value = "" if np.isnan(mean) else form.format(mean)
        cells.append(value if np.isnan(low) else f"{value} [{form.format(low)}, {form.format(high)}]")
    return cells


def _p(p):
    return "" if np.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


def _notes(summary):
    notes = summary["skill_note"][summary["skill_note"] != ""]
    told = [f"{', '.join(own.index)}: {note}." for note, own in notes.groupby(notes, sort=False)]
    if len(told) == 1 and len(notes) == len(summary):
        told = [f"For all models: {notes.iloc[0]}."]
    told += [f"Left out: {label}. {reason}" for label, reason in summary.attrs.get("left_out", {}).items()]
    return ["", *told] if told else []
