"""The demo: notebooks 01 to 04 on the embedded data set, their pictures, and one page of what came out."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from helo.batch import notebooks as own
from helo.batch.notebook_page import notebook_page
from helo.batch.offline import filled
from helo.batch.sweeps import run_one
from helo.files import atomic_write
from helo.reading import expanded

NOTEBOOKS = ("01_explore", "02_train", "03_transport", "04_correlation")


def run(output: Path, figures: Path, notebooks: Path | None = None, epochs: int = 100) -> Iterator[str]:
    """Run the notebooks, one after another; gives lines to print.

    Args:
        output: folder for the executed notebooks and index.html.
        figures: folder for the pictures.
        notebooks: folder of the notebooks; None: helo's own.
        epochs: most epochs of every training.

    Raises:
        ValueError: no such folder of notebooks; or a cell of one failed.
    """
    from papermill import PapermillExecutionError

    output, figures = expanded(output), expanded(figures)
    notebooks = expanded(notebooks or own.folder())
    if not notebooks.is_dir():
        raise ValueError(f"{notebooks}: no such folder; expected that of the notebooks")
    (output / "02_train" / "checkpoint.safetensors").unlink(missing_ok=True)  # of a demo of older code, cut short
    results = {}
    for name in NOTEBOOKS:
        started = time.perf_counter()
        parameters = {} if name == "01_explore" else {"epochs": epochs}
        try:
            results[name] = run_one(notebooks / f"{name}.ipynb", output / name, parameters)
        except PapermillExecutionError as error:
            told = f"In [{error.exec_count}]: {error.ename}: {error.evalue}"
            raise ValueError(f"{name}, {told}; {output / name / f'{name}.ipynb'} shows where") from None
        yield f"{name}: {time.perf_counter() - started:.0f} s"
        for picture in sorted((output / name).glob("*.png")):
            figures.mkdir(parents=True, exist_ok=True)
            shutil.copy(picture, figures / picture.name)
    report = _report(output, results)
    yield f"\n{results['02_train']['table']}\n"
    yield f"report: {report}\npictures: {figures}/"


def _report(output: Path, results: dict) -> Path:
    """index.html: the scores and links to the executed notebooks as pages."""
    library = os.path.relpath(Path(__file__).parents[2], output)
    for name in results:
        text = notebook_page(output / name / f"{name}.ipynb").replace('href="../', f'href="{library}/')
        text = re.sub(r'(?<=<a )href="([^"#:]+)"', lambda link: link[0] * (output / link[1]).exists(), text)
        atomic_write(output / f"{name}.html", text.encode(errors="replace"))
    lines = results["02_train"]["table"].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    del rows[1]  # Markdown's ruler
    notes = " ".join(line for line in lines if not line.startswith("|"))
    page = filled("demo.html", "runs.css", rows=rows, notes=notes, notebooks=list(results))
    atomic_write(output / "index.html", page)
    return output / "index.html"
