"""The executed notebooks as pages: pictures, plots that are alive without a kernel, and what is folded stays so."""

from __future__ import annotations

import re
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import nbformat
from pages import ROOT, moved, tree, write

NOTEBOOKS = sorted((ROOT / "notebooks").glob("0[1-9]_*.ipynb"))
RUNS = ROOT / "runs" / "docs"
_PLOT = '<div class="helo-plot"'


def run(workers: int = 2) -> None:
    """Run every notebook; one that has run with today's code and cells is not run again.

    Raises:
        RuntimeError: a notebook that failed; its folder says why.
    """
    with ProcessPoolExecutor(workers) as pool:
        states = dict(state for found in pool.map(_run, NOTEBOOKS) for state in found.items())
    failed = [name for name, state in states.items() if state != "done"]
    if failed:
        raise RuntimeError(f"{RUNS}: {failed} did not end well; error.json in their folders says why")


def _run(path):
    from helo.batch import sweeps

    return sweeps.sweep(path, [{}], RUNS, progress=False)


def executed(path: Path) -> Path | None:
    """The folder in which a notebook of today has run; None where it has not."""
    from helo.batch import sweeps
    from helo.batch.parameters import check_parameters

    folder = RUNS / sweeps.run_id(path, check_parameters(path, {}))
    return folder if (folder / "result.json").exists() else None


def stage(folder: Path) -> int:
    """Put the notebooks among the site's pages, as they were run or, where they were not, without outputs.

    Args:
        folder: of the site's sources.

    Returns:
        How many of them have run.
    """
    ran = 0
    for path in [ROOT / "notebooks" / "00_index.ipynb", *NOTEBOOKS]:
        found = executed(path) if path in NOTEBOOKS else None
        ran += found is not None
        notebook = nbformat.read((found or path.parent) / path.name, as_version=4)
        write(folder / "notebooks" / path.name, nbformat.writes(page(notebook, path.name, folder)))
    names = [f"notebooks/{path.stem}" for path in NOTEBOOKS]
    with open(folder / "notebooks.md", "a") as file:
        file.write(tree(["notebooks/00_index", *names], hidden=True, depth=1))
    return ran


def page(notebook: nbformat.NotebookNode, name: str, folder: Path) -> nbformat.NotebookNode:
    """A notebook with links of the site, plots in their places, and folded what is folded in JupyterLab."""
    from helo.batch.notebook_page import place_plots

    plots = place_plots(notebook)
    for cell in notebook.cells:
        tags = cell.metadata.setdefault("tags", [])
        if cell.cell_type == "markdown":
            cell.source = moved(cell.source, f"notebooks/{name}", f"notebooks/{name}", folder)
        elif "injected-parameters" in tags:
            tags.append("remove-cell")
        elif cell.metadata.get("jupyter", {}).get("source_hidden"):
            tags.append("hide-input")
        for output in cell.get("outputs", []):
            if "text/html" in output.get("data", {}):
                output.data["text/html"] = _html("".join(output.data["text/html"]))
    notebook.metadata.pop("widgets", None)
    if plots:
        script = '<script defer src="../_static/{}"></script>'  # once the page has its columns
        scripts = [script.format(file) for file in ("plotly.min.js", "plots.js")]
        notebook.cells.append(nbformat.v4.new_markdown_cell("\n".join(scripts)))
    return notebook


def _html(text):
    """An output's links as the site has them."""
    text = re.sub(r'href="\.\./(helo/[\w/]+)\.py"', r'href="../_modules/\1.html"', text)
    text = re.sub(r'href="\.\./notebooks/(\w+)\.ipynb"', r'href="../notebooks/\1.html"', text)
    return text if _PLOT in text else f'<div class="helo-wide">{text}</div>'
