"""`make docs` without running notebooks: no warning of Sphinx, no dead link, nothing that is fetched when read, and no
page that a telephone has to move sideways."""

import importlib.util
import io
import os
import subprocess
import sys

import pytest
from conftest import ROOT

SITE = ROOT / "docs" / "site"
SCREENSHOTS = os.environ.get("HELO_SCREENSHOTS")  # where to keep a picture of five pages; `make figures` sets it
SHOWN = ("index", "notebooks/03_transport", "systems/helo", "gallery", "reference/evaluation")


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


def test_every_page_fits_a_telephone_and_stays_on_the_machine(site, page):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.set_viewport_size({"width": 400, "height": 800})
    pages = sorted(path for path in site.rglob("*.html") if "_static" not in path.parts)
    wide = {}
    for path in pages:
        page.goto(path.as_uri(), wait_until="load")
        if "_modules" not in path.parts:  # source code, whose lines are as long as they are
            wide[path.relative_to(site).as_posix()] = page.evaluate("document.documentElement.scrollWidth")
    assert {name: width for name, width in wide.items() if width > 400} == {}
    assert not [url for url in asked if not url.startswith(("file:", "data:", "blob:"))]


def test_five_pages(site, page):
    """A sheet of five pages, at a desk and on a telephone: `figures/site.png`."""
    from PIL import Image

    sheet = Image.new("RGB", (5 * 480, 620 + 580), "white")
    for k, name in enumerate(SHOWN):
        for width, height, top, across in ((1440, 1800, 0, 460), (400, 800, 620, 280)):
            page.set_viewport_size({"width": width, "height": height})
            page.goto((site / f"{name}.html").as_uri(), wait_until="load")
            page.wait_for_timeout(500)  # a picture that is alive draws itself
            shot = Image.open(io.BytesIO(page.screenshot()))
            assert len(shot.convert("L").getcolors(256)) > 50  # not an empty page
            small = shot.resize((across, height * across // width), Image.Resampling.LANCZOS)
            sheet.paste(small, (480 * k + (480 - across) // 2, top + 10))
    if SCREENSHOTS:
        sheet.quantize(256).save(ROOT / SCREENSHOTS / "site.png", optimize=True)


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
