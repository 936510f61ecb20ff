"""A notebook's parameters cell, and what is given in its place."""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

from helo.files import MissingFile, plain


def check_parameters(notebook: str | Path, parameters: dict, known: dict | None = None) -> dict:
    """Compare parameters with a notebook's parameters cell; returns them as JSON would give them back.

    Args:
        notebook: the notebook.
        parameters: name -> value.
        known: the notebook's parameters, from `papermill.inspect_notebook`; None looks.

    Raises:
        MissingFile: no such notebook.
        ValueError: a name the notebook does not have, or a value of another type than its default.
    """
    known = declared(notebook) if known is None else known
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        raise ValueError(f"{notebook}: unknown parameters {unknown}; the notebook has {sorted(known)}")
    # papermill writes numpy numbers and tuples as strings
    given = json.loads(json.dumps(parameters, default=plain))
    types = {"int": (int,), "float": (int, float), "str": (str,), "bool": (bool,)}
    for name, value in given.items():
        kind = known[name]["inferred_type_name"]
        if kind in types and (not isinstance(value, types[kind]) or (isinstance(value, bool) and kind != "bool")):
            raise ValueError(f"{notebook}: parameter {name!r} is {value!r} ({type(value).__name__}); expected {kind}")
        if kind == "float":
            given[name] = float(value)  # 1 and 1.0 are the same run
    return given


def declared(notebook: str | Path) -> dict:
    """A notebook's parameters cell: name -> type, default and comment."""
    import papermill

    if not Path(notebook).is_file():
        raise MissingFile(f"{notebook}: no such notebook")
    return papermill.inspect_notebook(literal(notebook))


def defaults(known: dict) -> dict:
    """The values that a parameters cell gives itself: name -> value, of those that JSON has."""
    found = {}
    for name, about in known.items():
        with suppress(ValueError, SyntaxError, TypeError):
            found[name] = json.loads(json.dumps(ast.literal_eval(about["default"])))
    return found


def literal(path: str | Path) -> str:
    """A path as papermill takes it, which fills in what stands in braces."""
    return str(path).replace("{", "{{").replace("}", "}}")


def check_injected(cells: Sequence[str]) -> None:
    """Stop a notebook that a sweep or papermill gave a parameter it does not have; run by hand, do nothing.

    papermill puts a cell "# Parameters" with the values of a run behind the notebook's own parameters cell. A name that
    is misspelt there sets a variable nobody reads: papermill logs a warning, and the run goes on with the default. So
    every notebook begins with `sweeps.check_injected(In)`, where `In` is what IPython calls the cells run so far.

    Args:
        cells: `In`, the sources of the cells run so far, in their order.

    Raises:
        ValueError: the injected cell sets a name that the cell before it, the notebook's own parameters, does not.
    """
    for declared, injected in pairwise(cells):
        if injected.startswith("# Parameters\n"):
            unknown = sorted(_assigned(injected) - _assigned(declared))
            if unknown:
                raise ValueError(f"unknown parameters {unknown}; the notebook has {sorted(_assigned(declared))}")


def _assigned(source):
    targets = []
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Assign):
            targets += statement.targets
        elif isinstance(statement, ast.AnnAssign):
            targets.append(statement.target)
    return {target.id for target in targets if isinstance(target, ast.Name)}
