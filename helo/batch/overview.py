"""A sweep as one HTML page: every run with its state, parameters, numbers, pictures, notebook or error."""

from __future__ import annotations

import html
import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from helo.batch import runs
from helo.batch.sweeps import read_plan, status
from helo.files import atomic_write

if TYPE_CHECKING:
    import pandas as pd


def overview(folder: str | Path, table: pd.DataFrame) -> Path:
    """Write index.html into a sweep's folder.

    Args:
        folder: of the sweep.
        table: its results, from `helo.sweeps.collect`.
    """
    folder, plan, states = Path(folder), read_plan(folder), status(folder)
    results = {row["run"]: row for row in table.to_dict("records")}
    parts = []
    for run, parameters in plan["runs"].items():
        told = {k: v for k, v in results.get(run, {}).items() if k not in parameters and k != "run" and _short(v)}
        lines = [f"<h3>{_text(parameters)}</h3><p class={states[run]}>{states[run]}: {_text(told)}</p>"]
        if states[run] == "failed":
            error = json.loads((folder / run / runs.ERROR).read_text())
            lines.append(f"<pre>{html.escape(error['error'])}</pre>")
        for picture in sorted((folder / run).glob("*.png")):
            lines.append(f'<a href="{run}/{picture.name}"><img loading=lazy src="{run}/{picture.name}"></a>')
        links = sorted(path.name for path in (folder / run).glob("*") if path.suffix in (".ipynb", ".txt", ".json"))
        lines.append("<p>" + " ".join(f'<a href="{run}/{name}">{html.escape(name)}</a>' for name in links) + "</p>")
        parts.append(f"<section>{''.join(lines)}</section>")
    counts = ", ".join(f"{n} {state}" for state, n in Counter(states.values()).items())
    page = (
        f"<!doctype html><meta charset='utf-8'><title>{html.escape(folder.name)}</title>"
        "<style>body{font:16px sans-serif;margin:2rem}section{border-top:1px solid #ccc}img{height:12rem}"
        ".failed,.interrupted{color:#b00}</style>"
        f"<h1>{html.escape(folder.name)}</h1><p>{html.escape(plan['notebook'])}: {counts}</p>{''.join(parts)}"
    )
    atomic_write(folder / "index.html", page.encode())
    return folder / "index.html"


def _short(value):
    return not isinstance(value, str) or 0 < len(value) < 60


def _text(values):
    shown = (f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in values.items() if v == v)
    return html.escape(", ".join(shown))
