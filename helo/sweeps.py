"""Notebooks as batch runs: parameters checked before anything starts, the result written last."""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from helo.files import atomic_write

RESULT = "result.json"


def record(folder: str | Path, **result) -> Path:
    """Write a run's result.json, atomically: the last call of every notebook, and the only sign that a run succeeded.

    Args:
        folder: the run's folder.
        **result: plain numbers, text, lists and dictionaries; numpy numbers are turned into plain ones.
    """
    path = Path(folder) / RESULT
    text = json.dumps(result, indent=2, default=lambda x: x.tolist() if hasattr(x, "tolist") else str(x))
    atomic_write(path, (text + "\n").encode())
    return path


def check_parameters(notebook: str | Path, parameters: dict) -> dict:
    """Compare parameters with a notebook's parameters cell; returns them as JSON would give them back.

    Raises:
        ValueError: a name the notebook does not have, or a value of another type than its default.
    """
    import papermill

    known = papermill.inspect_notebook(str(notebook))
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        raise ValueError(f"{notebook}: unknown parameters {unknown}; the notebook has {sorted(known)}")
    # papermill writes numpy numbers and tuples as strings
    plain = json.loads(json.dumps(parameters, default=lambda x: x.tolist() if hasattr(x, "tolist") else str(x)))
    types = {"int": (int,), "float": (int, float), "str": (str,), "bool": (bool,)}
    for name, value in plain.items():
        declared = known[name]["inferred_type_name"]
        if declared in types and (
            not isinstance(value, types[declared]) or (isinstance(value, bool) and declared != "bool")
        ):
            raise ValueError(
                f"{notebook}: parameter {name!r} is {value!r} ({type(value).__name__}); expected {declared}"
            )
    return plain


def check_injected(cells: Sequence[str]) -> None:
    """Stop a notebook that was given a parameter it does not have; papermill alone would only log a warning.

    Args:
        cells: IPython's `In`, the sources of the cells run so far.

    Raises:
        ValueError: the cell that papermill injected sets a name that the cell before it, the notebook's own
            parameters, does not.
    """
    for declared, injected in pairwise(cells):
        if injected.startswith("# Parameters\n"):
            unknown = sorted(_assigned(injected) - _assigned(declared))
            if unknown:
                raise ValueError(f"unknown parameters {unknown}; the notebook has {sorted(_assigned(declared))}")


def run_one(notebook: str | Path, folder: str | Path, parameters: dict, progress: bool = True) -> dict:
    """Execute a notebook with parameters in a folder of its own, and give its result.

    Args:
        notebook: one of notebooks/, with a cell tagged "parameters" that has `output`.
        folder: receives the executed notebook and what the notebook writes; it is passed as `output`.
        parameters: values for the parameters cell.
        progress: show papermill's progress bar.

    Returns:
        The content of result.json.

    Raises:
        ValueError: parameters the notebook does not have.
        papermill.PapermillExecutionError: a cell failed; the executed notebook shows where.
        RuntimeError: the notebook ended without writing its result.
    """
    import papermill

    notebook, folder = Path(notebook), Path(folder)
    parameters = check_parameters(notebook, {**parameters, "output": str(folder)})
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RESULT).unlink(missing_ok=True)
    backend = os.environ.pop(
        "MPLBACKEND", None
    )  # the kernel's own backend is headless and puts pictures into the cells
    try:
        papermill.execute_notebook(
            str(notebook), str(folder / notebook.name), parameters, kernel_name="python3", progress_bar=progress,
            store_widget_state=False,
        )  # fmt: skip
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    if not (folder / RESULT).exists():
        raise RuntimeError(f"{notebook}: ended without writing {folder / RESULT}")
    return json.loads((folder / RESULT).read_text())


def _assigned(source):
    targets = []
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Assign):
            targets += statement.targets
        elif isinstance(statement, ast.AnnAssign):
            targets.append(statement.target)
    return {target.id for target in targets if isinstance(target, ast.Name)}
