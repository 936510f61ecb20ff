"""Reports: complete without the network, nothing of a stranger's runs in them, no value too odd for the table."""

import base64
import hashlib
import io
import json
import os
import re

import nbformat
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from typer.testing import CliRunner

from helo import sweeps
from helo.__main__ import app
from helo.batch import pictures
from helo.batch.notebook_page import PLOT, notebook_page
from helo.batch.overview import overview

#: names and values that would be elements, attributes or addresses were they not escaped
HOSTILE = ('"><img src=x onerror=alert(1)>', "<script>alert(2)</script>", "' onmouseover='alert(3)")


def picture(colour=0, width=1000):
    from PIL import Image

    image, content = Image.new("RGB", (width, 800), (colour % 256, 99, 99)), io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def write_sweep(folder, results, parameters=None, errors=()):
    """A sweep's folder as `sweep` leaves it: run k of `results` (None: none), its parameters, errors by run."""
    parameters = parameters or [{"seed": k} for k in range(len(results))]
    plan = {f"n-{k:04}": given for k, given in enumerate(parameters)}
    for k, (run, result) in enumerate(zip(plan, results, strict=True)):
        (folder / run).mkdir(parents=True)
        (folder / run / "params.json").write_text("{}")
        if result is not None:
            (folder / run / "result.json").write_text(json.dumps(result))
            (folder / run / "versions.json").write_text(json.dumps({"seconds": k + 0.5, "code": "c"}))
        if k in dict(errors):
            (folder / run / "error.json").write_text(json.dumps({"error": dict(errors)[k], "traceback": "line\n" * 99}))
    (folder / "sweep.json").write_text(json.dumps({"notebook": "n.ipynb", "runs": plan}))
    return folder


def scripts(page):
    return re.findall(r"<script>(.*?)</script>", page, re.S)


def allowed(page):
    return re.findall(
        r"'sha256-([^']+)'", re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)[1]
    )


@pytest.mark.parametrize(
    "values",
    [
        [0.5, "n/a"],
        [1, "auto"],
        [{}, 1],
        [2**70, 1],
        [float("nan"), None, 1.5],
        [True, 1],
        [[1, 2], "x"],
        ["\ud800", "b"],
        [1, 2**63],
        [None, None],
        [{"a": 1}, 3],
    ],
    ids=str,
)
@pytest.mark.parametrize("where", ["result", "parameter"])
def test_no_value_spoils_the_table(tmp_path, values, where):
    """Each other value of the runs stays, and the table can be stored and shown."""
    if where == "result":
        write_sweep(tmp_path, [{"kl": 0.25, "odd": value} for value in values])
    else:
        write_sweep(tmp_path, [{"kl": 0.25}] * len(values), [{"seed": k, "odd": v} for k, v in enumerate(values)])
    table = sweeps.collect(tmp_path)
    stored = io.BytesIO()
    table.to_parquet(stored)
    again = pd.read_parquet(stored)
    assert again["kl"].tolist() == [0.25] * len(values) and again["seed"].tolist() == list(range(len(values)))
    assert again["kl"].dtype == float and again["seconds"].tolist() == [k + 0.5 for k in range(len(values))]
    held = {name: again[name].tolist() for name in again if name.startswith("odd")}
    for k, value in enumerate(values):
        if isinstance(value, (int, float)) and value == value:
            assert float(held["odd"][k]) == float(value) if value is not True else "true" in str(held["odd"][k]).lower()
    assert b"<table" in overview(tmp_path, table).read_bytes()


def test_numbers_stay_numbers(tmp_path):
    write_sweep(tmp_path, [{"a": 1, "b": 1, "c": 0.5, "d": {"e": True}}, {"a": 2, "b": 0.5, "c": None, "d": {}}])
    table = sweeps.collect(tmp_path)
    assert table["a"].dtype == "int64" and table["b"].tolist() == [1, 0.5]
    assert table["c"].dtype == float and np.isnan(table["c"][1]) and table["d.e"].tolist() == [True, None]


def test_what_a_result_is_called_takes_no_ones_place(tmp_path):
    write_sweep(tmp_path, [{"run": "x", "seconds": 9, "seed": 5}])
    row = sweeps.collect(tmp_path).iloc[0]
    assert row["run"] == "n-0000" and row["result.run"] == "x"
    assert row["seconds"] == 0.5 and row["result.seconds"] == 9 and row["seed"] == 0 and row["result.seed"] == 5


def test_a_parameter_called_seconds_keeps_its_place(tmp_path):
    write_sweep(tmp_path, [{"kl": 1}, {"kl": 2}], [{"seconds": 60.0}, {"seconds": 180.0}])
    table = sweeps.collect(tmp_path)
    assert table["seconds"].tolist() == [60, 180] and table["run.seconds"].tolist() == [0.5, 1.5]
    some = write_sweep(tmp_path / "some", [{"kl": 1}, {"kl": 2}], [{"seconds": 60.0}, {"window": 3}])
    assert sweeps.collect(some)["run.seconds"].tolist() == [0.5, 1.5]


def test_scores_of_a_folder_with_other_runs_and_axes(tmp_path):
    """A run of another notebook, and an axis whose runs are still to come."""
    scores = dict.fromkeys(["chebyshev", "clark", "canberra", "kl", "cosine", "intersection"], 0.1)
    row = {"condition": "", "windows": 10, "trials": 1, "kl_mean": 0.3, "kl_ceiling": 0.2} | scores
    fitted = {"fold": "f0", "capped": False, "people": [row | {"subject": name} for name in ("a", "b", "c")]}
    given = [{"model": "helo", "seed": 0}, {"window": 3}, {"model": "helo", "seed": 0, "protocol": "both"}]
    write_sweep(tmp_path, [fitted, {"kl": 1}, None], given)
    told = CliRunner().invoke(app, ["collect", str(tmp_path)])
    assert told.exit_code == 0 and "[95 % over 3 people]" in told.output and "2 results" in told.output
    assert "nan" not in told.output.split("| model")[0]


def test_a_damaged_result_is_named_and_not_collected(tmp_path):
    write_sweep(tmp_path, [{"kl": 1}, {"kl": 2}, {"kl": 3}, {"kl": 4}])
    (tmp_path / "n-0001" / "result.json").write_bytes(b"")
    (tmp_path / "n-0002" / "result.json").write_text("[1]")
    os.remove(tmp_path / "n-0003" / "result.json")
    os.mkfifo(tmp_path / "n-0003" / "result.json")
    with pytest.warns(UserWarning) as told:
        table = sweeps.collect(tmp_path)
    assert table["kl"].tolist() == [1] and list(sweeps.status(tmp_path).values()) == ["done"] + ["damaged"] * 3
    told = "\n".join(str(one.message) for one in told)
    assert re.search(r"n-0001/result\.json: empty", told) and re.search(r"n-0003/result\.json: .* pipe", told)
    assert re.search(r"n-0002/result\.json: holds a list; expected a dictionary", told)
    assert "n-0001/result.json: empty" in overview(tmp_path, table).read_text()


def test_a_list_of_runs_leads_nowhere_else(tmp_path):
    write_sweep(tmp_path, [{}])
    for run in ("../secret", "/etc", ".", ""):
        (tmp_path / "sweep.json").write_text(json.dumps({"notebook": "n", "runs": {run: {}}}))
        with pytest.raises(ValueError, match=r"sweep\.json: run .*expected a folder's name"):
            sweeps.status(tmp_path)
    (tmp_path / "sweep.json").write_text("{")
    with pytest.raises(ValueError, match=r"sweep\.json: no whole JSON"):
        sweeps.collect(tmp_path)


def test_a_sweeps_page_asks_for_nothing_and_runs_only_its_own_script(tmp_path):
    write_sweep(tmp_path, [{"kl": 0.1, **dict.fromkeys(HOSTILE, HOSTILE[0])}] * 2, errors={})
    for name in HOSTILE:
        (tmp_path / "n-0000" / f"{name.replace('/', '-')}.png").write_bytes(picture())
    page = overview(tmp_path, sweeps.collect(tmp_path)).read_text()
    assert not re.findall(r"https?://", page) and not re.findall(r'src="(?!data:image/webp;base64,)', page)
    (script,) = scripts(page)
    assert allowed(page) == [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()]
    assert "default-src 'none'" in page and not any(text in page for text in HOSTILE)


def test_what_differs_stands_first_and_what_is_the_same_is_told_once(tmp_path):
    parameters = [{"epochs": 9, "model": m, "seed": s} for m in ("a", "b") for s in (0, 1)]
    write_sweep(tmp_path, [{"windows": 5, "kl": k / 8} for k in range(4)], parameters)
    page = overview(tmp_path, sweeps.collect(tmp_path)).read_text()
    assert re.findall(r'<th scope="col" data-name="([^"]+)"', page) == ["run", "model", "seed", "kl", "seconds"]
    assert "<dt>epochs</dt><dd>9</dd>" in page and "<dt>windows</dt><dd>5</dd>" in page


def heads(page):
    return re.findall(r'<th scope="col" data-name="([^"]+)"', page)


def test_what_some_runs_lack_or_share_but_for_the_last_digits_is_not_the_same(tmp_path):
    """The one run of four that is done had its KL told as everybody's; three of 0.06161x were one."""
    write_sweep(tmp_path / "some", [{"kl": 0.123}, None, None, None])
    page = overview(tmp_path / "some", sweeps.collect(tmp_path / "some")).read_text()
    assert heads(page) == ["run", "seed", "kl", "seconds"] and "<dt>kl</dt>" not in page
    write_sweep(tmp_path / "near", [{"kl": 0.061612 + k / 1e6} for k in range(3)])
    page = overview(tmp_path / "near", sweeps.collect(tmp_path / "near")).read_text()
    assert "kl" in heads(page) and "<dt>kl</dt>" not in page
    seeds = [{"seed": 123456}, {"seed": 123457}, {"window": 3}]
    write_sweep(tmp_path / "mixed", [{"kl": 1}] * 3, seeds)
    page = overview(tmp_path / "mixed", sweeps.collect(tmp_path / "mixed")).read_text()
    assert "123456" in page and "123457" in page and "1.235e+05" not in page


def people(kl):
    row = {"condition": "", "windows": 10, "trials": 1, "kl_mean": 0.3, "kl_ceiling": 0.2}
    row |= dict.fromkeys(["chebyshev", "clark", "canberra", "kl", "cosine", "intersection"], kl)
    return [row | {"subject": name} for name in ("a", "b", "c")]


def test_scores_of_two_notebooks_are_two_tables(tmp_path):
    """Of one folder, one model, one seed: their mean was given, which no notebook has."""
    given = [{"model": "helo", "seed": 0, "fold": 0}] * 2
    write_sweep(tmp_path, [{"people": people(kl)} for kl in (0.2, 0.02)], given)
    (tmp_path / "n-0001").rename(tmp_path / "my-0001")
    plan = json.loads((tmp_path / "sweep.json").read_text())
    plan["runs"]["my-0001"] = plan["runs"].pop("n-0001")
    (tmp_path / "sweep.json").write_text(json.dumps(plan))
    told = CliRunner().invoke(app, ["collect", str(tmp_path)])
    assert told.exit_code == 0, "a notebook that records no `capped` is no fault"
    assert "notebook n" in told.output and "notebook my" in told.output and "0.1100" not in told.output
    table = sweeps.collect(tmp_path)
    with pytest.raises(ValueError, match="3 rows are there twice, as model helo, seed 0, fold 0, subject a"):
        sweeps.by_person(table)


def test_what_a_run_leaves_at_its_default_is_in_the_table(tmp_path):
    """A sweep that states no seed had no scores; one that states it later was taken for the same seed."""
    write_sweep(tmp_path, [{"people": people(0.2)}, {"people": people(0.1)}], [{"model": "helo"}, {"model": "early"}])
    told = CliRunner().invoke(app, ["collect", str(tmp_path)])
    assert "[95 % over 3 people]" not in told.output, "older runs do not say what they left"
    for run in ("n-0000", "n-0001"):
        about = {"seconds": 1, "code": "c", "defaults": {"seed": 0, "fold": 2, "model": "x", "output": "runs"}}
        (tmp_path / run / "versions.json").write_text(json.dumps(about))
    table = sweeps.collect(tmp_path)
    assert table["seed"].tolist() == [0, 0] and table["model"].tolist() == ["helo", "early"] and "output" not in table
    assert "[95 % over 3 people]" in CliRunner().invoke(app, ["collect", str(tmp_path)]).output
    plan = json.loads((tmp_path / "sweep.json").read_text())
    plan["runs"]["n-0002"] = {"model": "ridge"}  # it waits
    (tmp_path / "sweep.json").write_text(json.dumps(plan))
    page = overview(tmp_path, sweeps.collect(tmp_path)).read_text()
    assert "<dt>seed</dt><dd>0</dd>" in page and "<dt>fold</dt><dd>2</dd>" in page and "seed" not in heads(page)
    lacking = table.assign(seed=[0, float("nan")])
    with pytest.raises(ValueError, match="1 of 2 results do not say their seed"):
        sweeps.by_person(lacking)


def test_a_long_error_is_folded_and_bounded(tmp_path):
    write_sweep(tmp_path, [None], errors={0: "ValueError: " + "long " * 10_000})
    page = overview(tmp_path, sweeps.collect(tmp_path)).read_text()
    summary = re.search(r'<details class="error"><summary>(.*?)</summary><pre>(.*?)</pre>', page, re.S)
    assert summary[1].startswith("ValueError: long") and len(summary[1]) <= 100 < len(summary[2]) < 21_000


def test_pictures_are_small_bounded_and_the_runs_own(tmp_path, monkeypatch):
    write_sweep(tmp_path, [{}] * 3)
    for run in ("n-0000", "n-0001", "n-0002"):
        for name in ("a.png", "b.png"):
            (tmp_path / run / name).write_bytes(picture())
    (tmp_path / "secret.png").write_bytes(picture())
    (tmp_path / "n-0000" / "link.png").symlink_to(tmp_path / "secret.png")
    os.mkfifo(tmp_path / "n-0000" / "pipe.png")
    (tmp_path / "n-0000" / "none.png").write_bytes(b"no picture")
    found, note = pictures.embedded(tmp_path, ["n-0000", "n-0001", "n-0002"])
    assert [path.name for path, _ in found["n-0000"]] == ["a.png", "b.png", "none.png"]
    assert found["n-0000"][0][1]["width"] == 640 and found["n-0000"][0][1]["height"] == 512
    assert note.startswith("1 pictures are not embedded")
    monkeypatch.setattr(pictures, "ROOM", 3 * len(found["n-0000"][0][1]["data"]))
    found, note = pictures.embedded(tmp_path, ["n-0000", "n-0001", "n-0002"])
    assert all(held[0][1]["data"] and not held[1][1]["data"] for held in found.values()), "everybody's first, no second"
    monkeypatch.setattr(pictures, "PIXELS", 1000)
    assert not any(
        picture["data"] for held in pictures.embedded(tmp_path, ["n-0001"])[0].values() for _, picture in held
    )


def test_a_notebooks_page_asks_for_nothing(tmp_path):
    """Formulas are MathML, plots come with the one script that draws them, pictures with a name."""
    v4 = nbformat.v4
    figure = {"data": [{"y": [1, 2], "name": "</script><script>alert(1)</script>"}], "layout": {"height": 300}}
    outputs = [
        v4.new_output("display_data", {"text/html": '<script type="module">import "https://cdn.plot.ly/x"</script>'}),
        v4.new_output("display_data", {PLOT: figure, "text/html": '<script src="https://cdn.plot.ly/x.js"></script>'}),
        v4.new_output("display_data", {PLOT: figure}),
        v4.new_output("display_data", {"image/png": base64.b64encode(picture()).decode()}),
    ]
    cells = [
        v4.new_markdown_cell("# A heading\n\n$$d_j = \\frac{r_j}{\\sum_k r_k}$$ and $\\unknowncommand$ and $x_1 < 2$"),
        v4.new_code_cell("show()", outputs=outputs),
    ]
    nbformat.write(v4.new_notebook(cells=cells), tmp_path / "n.ipynb")
    page = notebook_page(tmp_path / "n.ipynb")
    with_source = re.sub(r"<script>.*?</script>|<style.*?</style>", "", page, flags=re.S)
    assert not re.findall(r"""(?:src|href)=["']?(?:https?:)?//""", with_source) and "cdn" not in with_source
    assert page.count("<math") == 2 and "<mfrac>" in page and "<code>\\unknowncommand</code>" in page
    assert page.count('class="helo-plot"') == 2 and "height:300px" in page
    assert 'alt="A heading: a picture"' in page and 'aria-label="A heading: an interactive plot"' in page
    own = scripts(page)
    assert len(own) == 2, "plotly's script once, and the one that calls it"
    assert allowed(page) == [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in own]
    assert "<script>alert" not in page
    nbformat.write(v4.new_notebook(cells=cells[:1]), tmp_path / "n.ipynb")
    assert len(notebook_page(tmp_path / "n.ipynb")) < 1e6, "no plot, no script"


def test_every_formula_of_the_notebooks_is_understood():
    from helo.batch.notebook_page import mathml

    found = 0
    for file in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in nbformat.read(file, as_version=4).cells:
            if cell.cell_type == "markdown":
                for formula in re.findall(r"\$\$.+?\$\$|\$[^$\n]+\$", cell.source, re.S):
                    assert mathml(formula.strip("$"), "inline").startswith("<math"), f"{file.name}: {formula}"
                    found += 1
    assert found > 40
