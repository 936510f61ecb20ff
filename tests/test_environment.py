"""The files that install the project say the same, and importing it stays light."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import distributions

import pandas as pd
import pytest
import yaml
from conftest import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from typer.testing import CliRunner

from helo.__main__ import app

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def requirements(lines):
    return {re.split(r"[><=~!\[ ]", line)[0].lower(): re.sub(r"\s", "", line).lower() for line in lines}


def declared():
    return requirements(
        [*PROJECT["dependencies"], *(x for extra in PROJECT["optional-dependencies"].values() for x in extra)]
    )


def test_environment_yml_is_in_step():
    lines = re.findall(r"^ +- ([\w-]+[><=][^#\n]*)", (ROOT / "environment.yml").read_text(), re.M)
    conda = requirements(
        [line.strip().replace("pytorch", "torch").replace("playwright-python", "playwright") for line in lines]
    )
    assert conda.pop("python") == "python" + PROJECT["requires-python"]
    assert conda == declared()


def test_environment_yml_is_one():
    """conda's format: a name, channels, match specifications as text, and pip's lines under pip."""
    content = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert set(content) == {"name", "channels", "dependencies"} and content["channels"] == ["conda-forge"]
    *specifications, others = content["dependencies"]
    version = r"(?:>=|<=|==|!=|>|<|=)[\w.]+"
    assert all(re.fullmatch(rf"[a-z\d][a-z\d._-]*(?:{version}(?:,{version})*)?", line) for line in specifications)
    assert "pip" in specifications and set(others) == {"pip"}, "pip is asked for where its lines are"
    assert all(Requirement(line) for line in others["pip"])


def test_every_conda_line_says_what_it_is_for():
    lines = re.findall(r"^ +- [\w-]+[><=].*$", (ROOT / "environment.yml").read_text(), re.M)
    assert all("#" in line for line in lines[1:])


def test_the_lock_pins_every_requirement():
    lock = dict(line.split("==") for line in (ROOT / "requirements.lock").read_text().lower().split() if "==" in line)
    lock = {name.replace("_", "-"): version for name, version in lock.items()}
    assert not {name for name in declared() if name.replace("_", "-") not in lock}
    assert all(re.fullmatch(r"[\w.]+", version) for version in lock.values())


def closure(lines, python="3.11"):
    """Names of all that these requirements lead to, as far as it is installed here."""
    from importlib.metadata import PackageNotFoundError, requires

    seen, waiting = {}, [Requirement(line) for line in lines]
    while waiting:
        asked = waiting.pop()
        name, extras = canonicalize_name(asked.name), frozenset(asked.extras)
        if name in seen and extras <= seen[name]:
            continue
        seen[name] = seen.get(name, frozenset()) | extras
        try:
            further = [Requirement(line) for line in requires(name) or ()]
        except PackageNotFoundError:  # another Python's, or another system's
            continue
        for one in further:
            about = [{"extra": extra, "python_version": python} for extra in ("", *extras)]
            if one.marker is None or any(one.marker.evaluate(known) for known in about):
                waiting.append(one)
    return set(seen)


def test_the_lock_is_whole_and_holds_nothing_else():
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    extras = [x for extra in PROJECT["optional-dependencies"].values() for x in extra]
    needed = closure([*PROJECT["dependencies"], *extras], here)
    lock = {canonicalize_name(line.split("==")[0]) for line in (ROOT / "requirements.lock").read_text().split()}
    installed = {canonicalize_name(found.metadata["Name"]) for found in distributions()}
    assert (needed & installed) - lock == set() and lock - needed == set()


def test_a_gpu_s_machine_is_brought_all_that_notebooks_need():
    there = closure(["torch", "pandas", "scikit-learn", "matplotlib", "seaborn", "pytest"])
    wanted = ["safetensors", "tqdm", "anywidget", "ipykernel", "ipywidgets", "papermill", "plotly", "POT"]
    listed = set(map(canonicalize_name, (ROOT / "benchmarks" / "gpu-wheels.txt").read_text().split()))
    # tab completion, a debugger, what a browser shows, notebooks from the web: a kernel starts without them
    spared = {"jedi", "parso", "debugpy", "widgetsnbextension", "jupyterlab-widgets", "aiohttp"}
    assert closure(wanted, "3.12") - there - listed == spared


def test_what_runs_is_what_is_locked():
    from importlib.metadata import version

    lock = dict(line.split("==") for line in (ROOT / "requirements.lock").read_text().split() if "==" in line)
    for name in ("torch", "numpy", "POT", "papermill", "neurokit2", "python-ldl"):
        assert version(name).split("+")[0] == next(
            v for k, v in lock.items() if k.lower().replace("_", "-") == name.lower()
        )


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


def test_import_loads_no_plotting_no_simulator_no_solver():
    loaded = set(run("import sys, helo; print(*sys.modules)"))
    assert not loaded & {
        "matplotlib",
        "seaborn",
        "plotly",
        "neurokit2",
        "ot",
        "papermill",
        "pandas",
        "sklearn",
        "ipywidgets",
        "torch",
        "numpy",
    }
    loaded = set(run("import sys, helo; helo.fit, helo.load; print(*sys.modules)"))
    assert "torch" in loaded and not loaded & {"pandas", "sklearn", "matplotlib", "ot"}


def test_a_sweep_is_driven_and_looked_at_without_torch(tmp_path):
    """Three seconds for a status, and 300 MB for every worker, are for nothing."""
    (tmp_path / "sweep.json").write_text('{"notebook": "n.ipynb", "runs": {"n-0123456789abcdef": {"a": 1}}}')
    code = "import sys; from typer.testing import CliRunner; from helo.__main__ import app; "
    code += "from helo.batch import sweeps, workers, overview; "
    code += f"print(CliRunner().invoke(app, ['status', {str(tmp_path)!r}]).output, *sys.modules)"
    _, *told, last = " ".join(run(code)).partition("1 waiting")
    assert told and not set(last.split()) & {"torch", "pandas", "scipy"}


def test_every_public_name_is_there_when_it_is_asked_for():
    others = ["figures", "explore", "sweeps", "models", "transport"]
    code = "import helo; names = set(dir(helo)); print(*names); "
    code += f"print(*(getattr(helo, n).__name__ for n in {others})); "
    code += "from helo import *; print(fit.__module__, splits.__name__, load.__module__)"
    told = run(code)
    import helo

    assert {*helo.__all__, "figures"} <= set(told) and set(helo._PLACES) == set(helo.__all__)
    assert told[-8:-3] == [
        "helo.views.figures",
        "helo.views.explore",
        "helo.batch.sweeps",
        "helo.models",
        "helo.transport",
    ]
    assert told[-3:] == ["helo.training.loop", "helo.data.splits", "helo.data"]
    for name in ("halo", "_hidden", "__path_of_mine__", "a.b"):
        with pytest.raises(AttributeError, match=f"module 'helo' has no attribute '{name}'"):
            getattr(helo, name)


def test_help():
    done = subprocess.run([sys.executable, "-m", "helo", "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and "Usage" in done.stdout
    for command in ("evaluate", "demo", "collect"):
        done = CliRunner().invoke(app, [command, "--help"])
        assert done.exit_code == 0 and "Usage" in done.output


def test_evaluate_command(tmp_path):
    words = ["evaluate", "--models", "uniform,mean", "--folds", "3", "--workers", "1"]
    command = [sys.executable, "-m", "helo", *words]
    done = subprocess.run(
        [*command, "--centre-people", "--option", "subjects=6"], capture_output=True, text=True, check=True
    )
    assert "| mean |" in done.stdout and "skill" in done.stdout
    for wrong, message in (
        (["--dataset", "wesad", "--root", str(tmp_path / "none")], "no such folder"),
        (["--models", "halo"], "unknown model 'halo'"),
        (["--option", "subjects=1"], "subjects"),
        (["--option", "subjects"], "NAME=VALUE"),
        (["--weight", "people"], "weight is 'people'; expected windows or trials"),
    ):
        done = CliRunner().invoke(app, [*words, *wrong])
        assert done.exit_code == 2 and message in done.stderr and done.exception.code == 2, done.output


def test_evaluate_tells_the_budget_and_what_was_chosen_and_keeps_the_rows(tmp_path):
    words = ["--models", "ridge,mean", "--folds", "3", "--workers", "1", "--option", "subjects=6"]
    words += ["--choose-from", "8", "--weight", "trials", "--table", str(tmp_path / "rows.csv")]
    told = CliRunner().invoke(app, ["evaluate", *words]).output
    assert "3 folds by subjects, in each 3 groups of its training side, a model for each; seeds: 1" in told
    assert "KL by trial" in told and re.search(
        r"ridge: 2 candidates, 21 fits, 0 cut at the cap\n  .*of 3 folds\)", told
    )
    rows = pd.read_csv(tmp_path / "rows.csv")
    assert set(rows.model) == {"ridge", "mean"} and rows.subject.nunique() == 6
    for wrong in (tmp_path, tmp_path / "none" / "rows.csv"):
        done = CliRunner().invoke(app, ["evaluate", "--table", str(wrong)])
        assert done.exit_code == 2 and "expected a file in a folder that is there" in done.stderr
