"""What a sweep is to run: every combination of parameters, a run's name, and the list that a sweep's folder keeps."""

from __future__ import annotations

import hashlib
import itertools
import json
import tomllib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from helo.batch import notebooks
from helo.batch.folders import claim, read_json
from helo.files import MissingFile, code_digest, write_json
from helo.reading import expanded, shown

PLAN = "sweep.json"


def grid(**axes: Sequence) -> list[dict]:
    """Every combination of the axes' values, the last axis fastest: grid(seed=[0, 1]) is [{"seed": 0}, {"seed": 1}].

    Raises:
        ValueError: an axis that is no list, or empty.
    """
    for name, values in axes.items():
        if isinstance(values, str) or not isinstance(values, Sequence | range) or not len(values):
            raise ValueError(f"axis {name!r} is {values!r}; expected a list with at least one value")
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def read_sweep(file: str | Path, fixed: dict | None = None) -> tuple[Path, list[dict]]:
    """Read a sweep file: the notebook, and the parameters of every run.

    The file is TOML: `notebook`, a path from the file's own folder, or the name of one of helo's own, as "02_train";
    `[parameters]`, the same for every run; and any
    number of `[[axes]]`, each a grid of its own; without one there is a single run.

    Args:
        file: the sweep file.
        fixed: parameters that take the place of the file's; an axis of that name is left out.

    Raises:
        MissingFile: no such file, or no notebook of that name.
        ValueError: not TOML, an unknown or missing key, or an axis that is no list.
    """
    file = expanded(file)
    if not file.is_file():
        raise MissingFile(f"{file}: no such file; expected a sweep file")
    try:
        about = tomllib.loads(file.read_text())
        unknown = sorted(set(about) - {"notebook", "parameters", "axes"})
        if unknown or not isinstance(about.get("notebook"), str):
            raise ValueError(f"keys are {sorted(about)}; expected notebook, [parameters] and [[axes]]")
        tables = about.get("axes", [{}])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            raise ValueError("axes is one table; expected [[axes]], with two brackets")
        many = [
            {**about.get("parameters", {}), **run, **(fixed or {})}
            for axes in tables
            for run in grid(**{name: values for name, values in axes.items() if name not in (fixed or {})})
        ]
    except (ValueError, TypeError) as error:
        raise ValueError(f"{file}: {error}") from None
    notebook = about["notebook"]
    return file.parent / notebook if notebook.endswith(".ipynb") else notebooks.find(notebook), many


def run_id(notebook: str | Path, parameters: dict) -> str:
    """The name of a run: its notebook's stem, and a hash of the cells, the parameters and this library's code."""
    read = json.loads(expanded(notebook).read_text())
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in read["cells"]]
    content = json.dumps([cells, parameters, library_digest()], sort_keys=True)
    return f"{Path(notebook).stem}-{hashlib.sha256(content.encode()).hexdigest()[:16]}"


def library_digest() -> str:
    """Hash of all in this library that a result can come from: its code, shipped models and cards of data sets."""
    key = hashlib.sha256(code_digest("**/*.py").encode())
    package = Path(__file__).parents[1]
    for path in sorted((*package.glob("pretrained/*.safetensors"), *package.glob("data/cards/*.yaml"))):
        key.update(path.name.encode() + path.read_bytes())
    return key.hexdigest()


def axes(folder: str | Path) -> list[str]:
    """Parameters that take more than one value among a sweep's runs, as the table calls them."""
    many = [columns(parameters) for parameters in read_plan(folder)["runs"].values()]
    names = dict.fromkeys(name for parameters in many for name in parameters)
    return [name for name in names if len({json.dumps(parameters.get(name)) for parameters in many}) > 1]


def notebooks_of(folder: str | Path) -> dict[str, str]:
    """Run -> what to call its notebook: the name, or the path where another of that name is there too."""
    plan = read_plan(folder)
    of = plan.get("of")
    of = {run: path for run, path in of.items() if isinstance(path, str)} if isinstance(of, dict) else {}
    names = {run: run.rpartition("-")[0] for run in plan["runs"]}
    there = {(Path(path).stem, path) for path in set(of.values()) if Path(path).is_file()}
    twice = {name for name, n in Counter(name for name, _ in there).items() if n > 1}
    return {run: of.get(run, name) if name in twice else name for run, name in names.items()}


def columns(parameters: dict) -> dict:
    """A run's parameters as the table of results has them: "run" is the run's name there."""
    return {"parameter.run" if name == "run" else name: value for name, value in parameters.items()}


def read_plan(folder: str | Path) -> dict:
    """The list of a sweep's runs: "notebook", and "runs", run -> parameters.

    Raises:
        MissingFile: no such file.
        ValueError: the file is damaged, or names a run that is no folder of the sweep's.
    """
    file = expanded(Path(folder) / PLAN)
    if not file.is_file():
        raise MissingFile(f"{shown(file)}: no such file; expected the folder of a sweep")
    try:
        plan = read_json(file)
    except OSError as error:
        raise ValueError(f"{shown(file)}: cannot be read ({error.strerror or error})") from None
    listed = plan.get("runs")
    if not isinstance(plan.get("notebook"), str) or not isinstance(listed, dict):
        raise ValueError(f"{shown(file)}: keys are {shown(sorted(plan), 500)}; expected notebook and runs")
    for run, parameters in listed.items():
        plain = run not in ("", ".", "..") and Path(run).name == run and len(run.encode(errors="replace")) <= 255
        if not plain or not isinstance(parameters, dict):
            told = f"run {run[:300]!r} with {parameters!r:.200}"
            raise ValueError(f"{shown(file)}: {told}; expected a folder's name and parameters")
    return plan


def add_to_plan(folder: Path, notebook: Path, added: dict[str, dict]) -> None:
    """List runs in a sweep's folder beside those of earlier sweeps.

    A run of earlier code, or of an earlier state of the notebook, leaves the list if the same parameters are run anew.
    Runs of another notebook of that name stay, as long as it is there.

    Args:
        folder: of the sweep.
        notebook: their notebook.
        added: run -> parameters.
    """
    with claim(folder, wait=True):  # two sweeps that begin at once
        plan = read_plan(folder) if (folder / PLAN).exists() else {"runs": {}}
        of, anew = plan.get("of"), {_what(run, parameters) for run, parameters in added.items()}
        of = of if isinstance(of, dict) else {}
        others = {run for run, path in of.items() if _another(path, notebook)}
        kept = {k: v for k, v in plan["runs"].items() if k in others or _what(k, v) not in anew}
        of = {run: path for run, path in of.items() if run in kept} | dict.fromkeys(added, str(notebook))
        write_json(folder / PLAN, {"notebook": str(notebook), "runs": kept | added, "of": of})


def _another(path, notebook):
    """Whether a path names a notebook that is there and is not this one; a folder may have moved since."""
    return isinstance(path, str) and Path(path).is_file() and not Path(path).samefile(notebook)


def _what(run, parameters):
    return run.rpartition("-")[0], json.dumps(parameters, sort_keys=True)
