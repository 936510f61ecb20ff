"""Every notebook runs headless, on the simulated study and on real recordings, and says so only when it has."""

import ast
import json
import re
import subprocess
import sys

import nbformat
import papermill
import pytest
from conftest import ROOT
from studies import signals, write_bids, write_e4

import helo
from helo import sweeps
from helo.data.example import write_table

NOTEBOOKS = sorted((ROOT / "notebooks").glob("0[1-9]_*.ipynb"))
FAST = {
    "01_explore": {},
    "02_train": {"epochs": 2, "compare": "mean,helo", "workers": 1},
    "03_transport": {"epochs": 2},
    "04_correlation": {"epochs": 2},
    "05_compare": {"epochs": 1, "models": "early,late,mean", "folds": 2, "workers": 1, "calibrate": 1},
    "06_alignment": {"epochs": 1, "folds": 2, "seeds": 1, "workers": 1},
    "07_your_own_data": {"epochs": 1, "folds": 2, "models": "mean,early", "workers": 1},
    "08_live": {"epochs": 2, "seconds": 60.0},
}
CODE = "import helo\nfrom helo import sweeps"


def names():
    return [path.stem for path in NOTEBOOKS]


def write_notebook(path, *cells):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.cells[0].metadata["tags"] = ["parameters"]
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)
    return path


def links_of(path):
    """(name, file) of every link to code in a notebook's text, as [`transport.plan` ↗](../helo/transport.py).

    The arrow is what tells a link: JupyterLab and nbconvert color code in a link like any other code.
    """
    text = "".join(c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "markdown")
    return re.findall(r"\[`([\w.]+)`(?: ↗)?\]\(\.\./([\w/.]+)\)", text)


def sources_of(path):
    """Names given to `views.source` in a notebook, in order."""
    code = (c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code")
    calls = (node for cell in code for node in ast.walk(ast.parse(cell)) if isinstance(node, ast.Call))
    return [ast.unparse(name) for call in calls if ast.unparse(call.func) == "views.source" for name in call.args]


def seen(page):
    """The text of a page that is seen: without scripts, and without what is folded."""
    return re.sub(r"<[^>]*>", "", re.sub(r"<(script|details)\b.*?</\1>", "", page, flags=re.DOTALL)).strip()


def defined(file):
    """Functions, classes and methods of a file, as `plan`, `HeLo` and `HeLo.encode`."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    top = [node for node in ast.parse(file.read_text()).body if isinstance(node, kinds)]
    inside = [(node, member) for node in top if isinstance(node, ast.ClassDef) for member in node.body]
    methods = {f"{node.name}.{member.name}" for node, member in inside if isinstance(member, kinds)}
    return {node.name for node in top} | methods


def test_the_sequence_is_complete():
    assert names() == list(FAST)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=names())
class TestEveryNotebook:
    def test_on_the_simulated_study(self, path, tmp_path, study, monkeypatch):
        monkeypatch.setenv("MPLBACKEND", "agg")  # as batch machines have it
        result = sweeps.run_one(path, tmp_path, FAST[path.stem], progress=False)
        assert result["dataset"] == "simulated"
        assert list(tmp_path.glob("*.png")), "pictures are written"
        assert (tmp_path / path.name).stat().st_size < 2**20
        cells = nbformat.read(tmp_path / path.name, as_version=4).cells
        pictures = [o for cell in cells for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
        assert len(pictures) == len(list(tmp_path.glob("*.png"))), "and shown in the notebook"
        assert {p.stem for p in tmp_path.glob("*.png")} == {p.stem for p in tmp_path.glob("*.pdf")}
        shown = "".join(o.data.get("text/html", "") for c in cells for o in c.get("outputs", []) if "data" in o)
        for name, file in links_of(path):
            title = rf"<code>helo[\w.]*\.{name.split('.')[-1]}</code>, {file}</summary>"
            assert re.search(title, shown), f"the source of {name} is not shown"
        for cell in cells:
            if "solution" in cell.metadata.get("tags", []):
                asked, *others = cell.outputs
                assert not others and not seen(asked.data["text/html"]), "nothing spoils a question"
        if path.stem == "02_train":
            assert result["table"].count("\n") == 3 and (tmp_path / "model.safetensors").exists()

    def test_on_real_recordings(self, path, tmp_path, four_people):
        parameters = FAST[path.stem] | {"dataset": "wesad", "root": str(four_people)}
        if path.stem == "07_your_own_data":
            data = helo.load("wesad", root=four_people)
            parameters = FAST[path.stem] | {"path": str(write_table(data, tmp_path / "wesad.csv"))}
        assert sweeps.run_one(path, tmp_path, parameters, progress=False)["dataset"] == "wesad"

    def test_is_clean(self, path):
        notebook = nbformat.read(path, as_version=4)
        assert notebook.metadata.kernelspec.name == "python3"
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert not any(cell.outputs or cell.execution_count for cell in code)
        assert all(len(cell.source.splitlines()) <= 25 for cell in code), "logic belongs in the library"
        assert code[-1].source.startswith(("sweeps.record(", "u, v =")) and "sweeps.record(" in code[-1].source

    def test_opens_with_what_you_will_learn_and_ends_with_exercises(self, path):
        cells = nbformat.read(path, as_version=4).cells
        assert re.search(r"\*\*What you will learn\*\* \(\d+ minutes", cells[0].source)
        asked = [k for k, cell in enumerate(cells) if cell.source.startswith("**Exercise ")]
        assert 2 <= len(asked) <= 3
        for k in asked:
            solution = cells[k + 1]
            assert "solution" in solution.metadata["tags"] and "assert" in solution.source
            # JupyterLab opens collapsed outputs when all cells run, so it is the question that keeps its answer
            assert solution.metadata["jupyter"] == {"source_hidden": True}
            asks = ast.parse(solution.source).body[-1]
            assert isinstance(asks, ast.Expr) and ast.unparse(asks).startswith("views.question("), "a cell ends with it"
            answer = asks.value.args[1]
            assert not isinstance(answer, ast.Constant) and "print(" not in solution.source, "computed, and not printed"

    def test_no_long_cell_is_silent(self, path):
        """Whether a bar suits the place it is watched from is decided in helo.progress, not in a notebook."""
        code = "".join(c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code")
        assert "progress=" not in code

    def test_links_name_what_is_in_the_file(self, path):
        links = links_of(path)
        assert links
        for name, file in links:
            found = defined(ROOT / file)
            assert any(f".{name}".endswith(f".{there}") for there in found), f"{name} is not in {file}: {sorted(found)}"

    def test_what_the_text_names_is_shown(self, path):
        assert sorted(sources_of(path)) == sorted({name for name, _ in links_of(path)})

    def test_every_parameter_has_a_type_and_a_comment(self, path):
        for name, parameter in papermill.inspect_notebook(str(path)).items():
            assert parameter["inferred_type_name"] in ("str", "int", "float", "bool"), name
            assert parameter["help"], name
        assert "output" in papermill.inspect_notebook(str(path))

    def test_an_unknown_parameter_stops_it_before_it_starts(self, path, tmp_path):
        with pytest.raises(ValueError, match=r"unknown parameters \['sead'\]; the notebook has .*'output'"):
            sweeps.run_one(path, tmp_path / "run", {"sead": 1})
        assert not (tmp_path / "run").exists()


def test_your_own_recordings(tmp_path):
    """Notebook 07 takes a study's folder too; what is left out is shown."""
    root = write_e4(tmp_path / "study", {f"P{k}": signals(seed=k) for k in range(4)})
    with (root / "recordings.yaml").open("a") as file:
        file.write("window: 10\nstep: 5\ntokens: 2\n")
    (root / "P3" / "TEMP.csv").unlink()
    parameters = FAST["07_your_own_data"] | {"path": str(root)}
    result = sweeps.run_one(ROOT / "notebooks" / "07_your_own_data.ipynb", tmp_path / "run", parameters, progress=False)
    assert result["dataset"] == "own" and result["windows"] == 68
    cells = nbformat.read(tmp_path / "run" / "07_your_own_data.ipynb", as_version=4).cells
    assert any("P3, temp" in str(o) for c in cells for o in c.get("outputs", []) if o.output_type == "execute_result")


@pytest.mark.parametrize("name", ["01_explore", "05_compare"])
def test_recordings_whose_conditions_nobody_named(tmp_path, name):
    """Rated as they went on: no means by condition, and a system that needs them is left out, the others compared."""
    root = write_bids(tmp_path / "study", {f"0{k}": signals(seed=k) for k in range(1, 5)})
    for path in root.rglob("*_events.tsv"):  # without the first column, trial_type
        path.write_text("".join(line.split("\t", 1)[1] for line in path.read_text().splitlines(keepends=True)))
    (root / "recordings.yaml").write_text("window: 10\nstep: 5\ntokens: 2\nratings: {over: time}\n")
    parameters = FAST[name] | {"dataset": "recordings", "root": str(root)}
    if name == "05_compare":
        parameters |= {"models": "mixture,early,mean", "calibrate": 0}
    result = sweeps.run_one(ROOT / "notebooks" / f"{name}.ipynb", tmp_path / "run", parameters, progress=False)
    assert set(result.get("ranks", ["early", "mean"])) == {"early", "mean"}
    assert not (tmp_path / "run" / "conditions.png").exists()


def test_a_training_says_how_far_it_is_in_the_log(tmp_path):
    """Epoch n of m, with the time left, on the training cell's stdout: lines, none of which is drawn over another."""
    parameters = FAST["02_train"] | {"epochs": 12, "compare": "", "output": str(tmp_path)}
    sweeps.run_one(ROOT / "notebooks" / "02_train.ipynb", tmp_path, parameters, progress=False)
    cells = nbformat.read(tmp_path / "02_train.ipynb", as_version=4).cells
    (training,) = [cell for cell in cells if "helo.fit(\n" in cell.source or "helo.fit(network" in cell.source]
    told = "".join(o.text for o in training.outputs if o.output_type == "stream" and o.name == "stdout")
    line = r"helo subjects-fold1of4: epoch \d+ of 12, \d\d:\d\d so far, (\d\d:\d\d|\?) left.*\n"
    assert re.search(f"^{line}", told, re.MULTILINE) and "\r" not in told
    assert re.search(line, (tmp_path / "log.txt").read_text()), "and in the run's log"


def test_no_link_leads_to_a_line():
    """It would rot at every change, and JupyterLab opens the file at its first line anyway."""
    pages = [*(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md")]
    assert len(pages) > len(NOTEBOOKS)
    for page in pages:
        assert not re.search(r"\]\([^)\s]*#L\d", page.read_text()), f"{page.name} links to a line, not to a file"


def test_bare_papermill_too_refuses_an_unknown_parameter(tmp_path):
    """papermill itself only logs a warning; the notebook looks at what was injected."""
    with pytest.raises(papermill.PapermillExecutionError, match=r"unknown parameters \['sead'\]; the notebook has"):
        papermill.execute_notebook(
            str(ROOT / "notebooks" / "02_train.ipynb"),
            str(tmp_path / "out.ipynb"),
            {"sead": 1, "output": str(tmp_path / "run")},
            progress_bar=False,
        )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("value", ["7", 7.5, True, None, [1]])
def test_a_parameter_of_another_type_is_refused(value):
    with pytest.raises(ValueError, match="parameter 'seed' is .*; expected int"):
        sweeps.check_parameters(ROOT / "notebooks" / "02_train.ipynb", {"seed": value})


def test_numpy_parameters_arrive_as_numbers():
    import numpy as np

    path = ROOT / "notebooks" / "03_transport.ipynb"
    plain = sweeps.check_parameters(path, {"seed": np.int64(3), "transport_weight": np.float32(0.5), "fold": 1})
    assert plain == {"seed": 3, "transport_weight": 0.5, "fold": 1} and type(plain["seed"]) is int


def test_a_failing_notebook_leaves_no_result(tmp_path):
    path = write_notebook(
        tmp_path / "n.ipynb", 'output: str = ""  # folder', CODE, "1 / 0", "sweeps.record(output, a=1)"
    )
    (tmp_path / "run").mkdir()
    sweeps.record(tmp_path / "run", stale=True)
    with pytest.raises(papermill.PapermillExecutionError, match="ZeroDivisionError"):
        sweeps.run_one(path, tmp_path / "run", {}, progress=False)
    assert not (tmp_path / "run" / "result.json").exists()


def test_a_notebook_that_only_seems_to_finish_has_failed(tmp_path):
    path = write_notebook(tmp_path / "n.ipynb", 'output: str = ""  # folder', "x = 1")
    with pytest.raises(RuntimeError, match="ended without writing .*result.json"):
        sweeps.run_one(path, tmp_path / "run", {}, progress=False)


def test_record_is_plain_json(tmp_path):
    import numpy as np

    sweeps.record(tmp_path, a=np.float32(0.5), b=np.arange(3), c={"d": np.int64(2)})
    assert json.loads((tmp_path / "result.json").read_text()) == {"a": 0.5, "b": [0, 1, 2], "c": {"d": 2}}


def test_demo_end_to_end(tmp_path):
    """`make demo`, with two epochs: notebooks, pictures, report, scores."""
    command = [
        sys.executable,
        "-m",
        "helo",
        "demo",
        "--epochs",
        "2",
        "--output",
        tmp_path / "demo",
        "--figures",
        tmp_path / "f",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "| helo |" in done.stdout and "| mean |" in done.stdout
    report = (tmp_path / "demo" / "index.html").read_text()
    for name in ("01_explore", "02_train", "03_transport", "04_correlation"):
        page = (tmp_path / "demo" / f"{name}.html").read_text()
        assert f'href="{name}.html"' in report and "<img " in page and "<details><summary" in page
    assert len(list((tmp_path / "f").glob("*.png"))) >= 10
