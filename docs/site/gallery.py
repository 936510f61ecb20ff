"""Pictures, and under each the call that makes it: read from the cells of the notebooks that save them."""

from __future__ import annotations

import ast
import re
import shutil
from pathlib import Path

import lessons
import nbformat
from pages import ROOT, write

#: figures of other places than a notebook's cell: name -> what it shows, the call
OTHERS = {
    "forest-wesad": ("skill of the systems with intervals over people", "figures.forest(summary, title)"),
    "sensitivity": ("what the matching hangs on", "python benchmarks/mechanisms.py pages"),
    "growth": ("time and memory of a training step", "python benchmarks/growth.py"),
    "dashboard": ("all explorers under tabs", "make dashboard"),
    "explorer_01_explore": ("every window of everybody, with sliders", "explore.windows(data)"),
    "explorer_02_train": ("an answer, and what if a modality were missing", "explore.answers(model, data, split.test)"),
    "explorer_03_transport": ("cost, plan, flows and carried tokens", "explore.transport(model, data, split.test)"),
    "explorer_04_correlation": (
        "label correlation over the epochs",
        "explore.correlation(snapshots, target, data, run.best_epoch)",
    ),
    "explorer_training": (
        "training as it runs, and a button that keeps the best epoch",
        "await explore.train(model, data, split)",
    ),
    "explorer_08_live": (
        "a model that listens, a sensor unplugged",
        "Listening(session, live.replay(recording, setup))",
    ),
}


def stage(folder: Path) -> None:
    """Write the gallery; pictures come from the notebooks' runs, or from figures/ where they have not run."""
    lines = ["# Gallery\n", "Every picture has labels and units, and a call that makes it.\n"]
    for path in lessons.NOTEBOOKS:
        found = lessons.executed(path)
        shown = [_picture(name, code, found, folder) for name, code in saved(path)]
        if any(shown):
            lines += [f"\n## [{path.stem.replace('_', ' · ', 1).replace('_', ' ')}](notebooks/{path.name})\n", *shown]
    lines.append("\n## Of other places\n")
    for name, (told, call) in OTHERS.items():
        shutil.copy(ROOT / "figures" / f"{name}.png", _made(folder / "figures") / f"{name}.png")
        kind = "python" if "(" in call else ""
        lines.append(f"### {told}\n\n![{told}](figures/{name}.png)\n\n```{kind}\n{call}\n```\n")
    write(folder / "gallery.md", "\n".join(lines))


def saved(path: Path) -> list[tuple[str, str]]:
    """(name, code) of every picture that a notebook saves: the statements of its cell up to `figures.save`."""
    pictures = []
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type != "code" or "figures.save(" not in cell.source:
            continue
        kept: list[str] = []
        for statement in ast.parse(cell.source).body:
            name = re.match(r"figures\.save\(\w+, f?['\"].*/(\w+)['\"]\)", ast.unparse(statement))
            if name:
                pictures.append((name[1], "\n".join(kept)))
                kept = []
            elif not isinstance(statement, ast.Import | ast.ImportFrom):
                kept.append(ast.get_source_segment(cell.source, statement) or "")
    return pictures


def _picture(name, code, found, folder):
    source = (found or ROOT / "figures") / f"{name}.png"
    if not source.exists():
        return ""
    there = f"figures/{found.name.rpartition('-')[0]}-{name}.png" if found else f"figures/{name}.png"
    shutil.copy(source, _made(folder / "figures") / Path(there).name)
    title = name.replace("_", " ")
    return f"### {title}\n\n![{title}]({there})\n\n```python\n{code}\n```\n"


def _made(folder):
    folder.mkdir(parents=True, exist_ok=True)
    return folder
