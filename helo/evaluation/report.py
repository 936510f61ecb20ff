"""What `python -m helo evaluate` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helo.evaluation.markdown import to_markdown
from helo.evaluation.summary import chosen, summarise

if TYPE_CHECKING:
    import pandas as pd


def report(table: pd.DataFrame, protocol: str, nested: int, weight: str = "windows") -> str:
    """The budget, the table of models, best first by KL, and, where there was a choice, what was chosen.

    Args:
        table: from `evaluate`.
        protocol: its name.
        nested: groups of training people.
        weight: "windows" or "trials".
    """
    told = chosen(table)
    groups = f"{nested} groups of training people, a model each" if nested else "one model a fold"
    budget = f"{table['fold'].nunique()} folds by {protocol}, {groups}; candidates: at most {told['candidates'].max()}"
    lines = [f"{budget}, seeds: {table['seed'].nunique()}", ""]
    lines.append(to_markdown(summarise(table, weight=weight).sort_values("kl")))
    for model, row in told.iterrows() if (told["candidates"] > 1).any() else ():
        lines += [
            "",
            f"{model}: {row.candidates} candidates, {row.fits} fits, {row.cut} cut at the cap",
            f"  {row.chosen}",
        ]
    return "\n".join(lines)
