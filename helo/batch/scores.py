"""Scores of a sweep by model, of what is whole: a model that lacks a run has none yet, and is named."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from helo.batch.collection import by_person, fitted
from helo.batch.plan import axes, columns, notebooks_of, read_plan
from helo.batch.sweeps import status
from helo.evaluation import summarise, to_markdown

if TYPE_CHECKING:
    import pandas as pd

#: what runs of one table may differ in
_WITHIN = ("model", "seed", "fold")


def scores(folder: Path, results: pd.DataFrame) -> Iterator[str]:
    """A table of models for each setting of the other axes, as text; nothing where the results have no people.

    A mean over the folds that happen to be done is one of other people. A model that lacks a run of a setting among the
    results is left out of its table, whatever the reason; where runs do not say their model, the setting has no table.

    Args:
        folder: of the sweep.
        results: from `collect`.
    """
    if not {*_WITHIN, "people"} <= set(results):
        return
    each = results[fitted(results)]  # a folder may hold runs of other notebooks too
    each = each.assign(notebook=each["run"].map(notebooks_of(folder)))
    varied = [n for n in axes(folder) if n in each and n not in _WITHIN]
    varied = ["notebook"] * (each["notebook"].nunique() > 1) + varied
    plan, states, here = read_plan(folder)["runs"], status(folder), set(each["run"])
    settings, lacking = _settings(folder), dict[str, list]()
    for run in plan:
        if run not in here:
            state = "done meanwhile, or without people" if states[run] == "done" else states[run]
            lacking.setdefault(settings[run], []).append((plan[run].get("model"), state))
    for values, part in each.groupby(varied, dropna=False) if varied else [((), each)] if len(each) else []:
        told = ", ".join(f"{name} {value}" for name, value in zip(varied, values, strict=True) if value == value)
        own = [
            missing
            for setting in sorted({settings[run] for run in part["run"]})
            for missing in lacking.get(setting, [])
        ]
        yield f"\n{told}\n\n{_table(part, own)}"


def _settings(folder):
    """Run -> what runs of one table share: their notebook, and all parameters but those that a table is over."""
    names = notebooks_of(folder)
    return {
        run: json.dumps(
            [names[run], {k: v for k, v in columns(parameters).items() if k not in _WITHIN}], sort_keys=True
        )
        for run, parameters in read_plan(folder)["runs"].items()
    }


def _table(part, lacking):
    models = {model for model, _ in lacking}
    states = ", ".join(f"{n} {state}" for state, n in Counter(state for _, state in lacking).items())
    missing = f"{len(lacking)} of its runs {'is' if len(lacking) == 1 else 'are'} missing ({states})"
    whole = part[~part["model"].isin(models)] if None not in models else part[:0]
    if whole.empty:
        return f"no scores yet: {missing}"
    try:
        shown = to_markdown(summarise(by_person(whole)).sort_values("kl"))
    except ValueError as error:  # a sweep that was not made for one table
        return f"no scores yet: {error}"
    return shown + (f"\n\nLeft out: {', '.join(sorted(models))}. {missing}" if lacking else "")
