"""`make docs` without running notebooks: no warning of Sphinx, no dead link, and nothing that is fetched when read."""

import importlib.util
import os
import subprocess
import sys

import pytest
from conftest import ROOT

SITE = ROOT / "docs" / "site"


def part(name):
    """A file of docs/site, which is no package."""
    spec = importlib.util.spec_from_file_location(f"site_{name}", SITE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The whole site; build.py ends with 1 where anything is wrong."""
    folder = tmp_path_factory.mktemp("docs")
    command = [sys.executable, SITE / "build.py", "--without-notebooks", "--workers", "1", "--output", folder]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return folder / "site"


def test_every_page_is_there(site):
    import helo

    pages = {path.stem for path in (ROOT / "docs").glob("*.md")} | {"index", "gallery", "contributing", "changelog"}
    assert not [name for name in pages if not (site / f"{name}.html").exists()]
    for name in helo.models.available():
        text = (site / "systems" / f"{name}.html").read_text()
        assert "data-block=" in text, f"{name}: no picture of its architecture"
    assert "Knock-outs" in text and (site / "reference" / "command-line.html").exists()
    knocked = (site / "systems" / "jmt.html").read_text()
    assert "joint stream" in knocked and "https://arxiv.org/abs/2403.10488" in knocked
    assert len(list((site / "notebooks").glob("*.html"))) == len(list((ROOT / "notebooks").glob("[0-9]*.ipynb")))


def test_formulas_and_the_public_surface(site):
    import helo

    lesson = (site / "notebooks" / "01_explore.html").read_text()
    assert "<math" in lesson and "mathjax.js" not in lesson.lower()
    names = (site / "reference" / "index.html").read_text()
    assert not [name for name in helo.__all__ if f"helo.{name}" not in names]
    losses = (site / "reference" / "ground-floor.html").read_text()
    assert 'id="helo.transport.plan"' in losses and "T* = argmin_{T in Pi(u, v)}" in losses


def test_what_is_fetched_or_dead_is_found(tmp_path):
    (tmp_path / "a.css").write_text("@import 'https://fonts.example/x.css'; b { background: url(//cdn.example/y.png) }")
    (tmp_path / "index.html").write_text(
        '<script src="https://cdn.example/x.js"></script><img src="no.png"><a href="#nowhere">a</a>'
        '<a href="https://example.org">may be followed</a><a href="gone.html">b</a><p id="here"></p>'
        '<a href="#here">c</a><img src="data:image/png;base64,AA=="><p style="background: url(http://e.example)"></p>'
    )
    found = part("check").faults(tmp_path)
    assert [line.partition(": ")[2] for line in found] == [
        "fetches //cdn.example/y.png",
        "fetches https://fonts.example/x.css",
        "a style fetches http://e.example",
        "fetches https://cdn.example/x.js",
        "gone.html leads nowhere",
        "no such place as #nowhere",
        "no.png leads nowhere",
    ]


def test_docstrings_are_read_as_they_are_written():
    restructured, untyped = part("docstrings").restructured, part("docstrings").untyped
    lines = ["R* of `x`, and | a |:", "", "    T = u * v", "", "after", "Of two:", "- one", "- two"]
    assert restructured(lines) == [
        r"R\* of ``x``, and \| a \|:", "", "::", "", "    T = u * v", "", "after", "Of two:", "", "- one", "- two"
    ]  # fmt: skip
    assert restructured(["|r| of a"]) == [r"\|r\| of a"]
    assert restructured(["**Bold**, **options and |a|"]) == [r"**Bold**, \*\*options and \|a\|"]
    assert restructured(["| a | b* |", "|---|---|", "| `c` | |"]) == [
        ".. list-table::", "   :header-rows: 1", "", "   * - a", r"     - b\*", "   * - ``c``", "     - "
    ]  # fmt: skip
    assert untyped([":returns: shape (B, n)", ":rtype: One row"]) == [":returns: One row: shape (B, n)"]
    assert untyped([":param heads: of it", ":type heads: some"]) == [":param heads: some: of it"]


def test_links_lead_where_the_pages_stand(tmp_path):
    moved = part("pages").moved
    text = "[m](../docs/method.md#a) [`plan` ↗](../helo/transport.py) `[no](../x.md)` ![p](../figures/plan.png) [w](https://x.y)"
    assert moved(text, "notebooks/a.ipynb", "notebooks/a.ipynb", tmp_path) == (
        "[m](../method.md#a) {py:mod}`plan ↗ <helo.transport>` `[no](../x.md)` ![p](../figures/plan.png) [w](https://x.y)"
    )
    assert (tmp_path / "figures" / "plan.png").exists()
    with pytest.raises(ValueError, match="docs/none.txt: a page links to it"):
        moved("[a](none.txt)", "docs/a.md", "a.md", tmp_path)
