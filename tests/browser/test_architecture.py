"""The architecture's picture in JupyterLab: nothing cut, nothing covered, links that open the code."""

import nbformat
import pytest

from browser.test_browser import _notebook, open_and_run

BOXES = """() => [...document.querySelectorAll('.jp-OutputArea [data-block]')].map(e => {
  const box = e.getBoundingClientRect(), text = [...e.querySelectorAll('span')];
  return {name: e.innerText, x: box.x, y: box.y, right: box.right, bottom: box.bottom,
          cut: text.some(t => t.scrollWidth > t.clientWidth), ink: getComputedStyle(e).color};
})"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_system_fits_from_600_pixels_on(page, lab, study, theme):
    notebook = _notebook(
        "import helo\nfrom helo import models, views\ndata = helo.load('simulated')\n"
        "from IPython.display import display\n"
        "for name in ('helo', 'jmt', 'hfgcn', 'm2fnet', 'connection'):\n"
        "    display(views.architecture(helo.build(name, data)))",
    )
    nbformat.write(notebook, lab[1] / "drawn.ipynb")
    page.set_viewport_size({"width": 1440, "height": 900})
    open_and_run(page, lab, "drawn.ipynb")
    page.get_by_text("trained weights").nth(4).wait_for()
    if theme == "dark":
        page.evaluate("() => document.body.dataset.jpThemeLight = 'false'")
        page.evaluate("() => document.documentElement.style.setProperty('--jp-content-font-color1', '#fff')")
    seen = 0
    for width in (1440, 1280, 1000):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(500)
        boxes = page.evaluate(BOXES)
        seen = len(boxes)
        room = page.locator(".jp-OutputArea-output").first.bounding_box()
        assert not [b["name"] for b in boxes if b["cut"]], width
        first = [b for b in boxes if b["y"] < page.get_by_text("trained weights").first.bounding_box()["y"]]
        assert room["width"] >= 560 and all(b["right"] <= room["x"] + room["width"] + 1 for b in first), width  # HeLo
        if room["width"] >= 600:
            assert all(b["x"] >= room["x"] - 1 and b["right"] <= room["x"] + room["width"] + 1 for b in boxes), width
        for k, a in enumerate(boxes):
            for b in boxes[:k]:
                apart = a["right"] <= b["x"] + 0.5 or b["right"] <= a["x"] + 0.5
                assert apart or a["bottom"] <= b["y"] + 0.5 or b["bottom"] <= a["y"] + 0.5, (a["name"], b["name"])
        if theme == "dark":
            assert {b["ink"] for b in boxes} == {"rgb(255, 255, 255)"}, "ink is the theme's"
    assert seen > 80


def test_a_block_opens_its_code(page, lab, study):
    (lab[1] / "helo" / "models").mkdir(parents=True, exist_ok=True)
    (lab[1] / "helo" / "models" / "helo.py").write_text("# the code of HeLo\n")
    (lab[1] / "notebooks").mkdir(exist_ok=True)
    notebook = _notebook(
        "import helo\nfrom helo import views\nviews.architecture(helo.build('helo', helo.load('simulated')))"
    )
    nbformat.write(notebook, lab[1] / "notebooks" / "drawn.ipynb")
    open_and_run(page, lab, "notebooks/drawn.ipynb")
    page.locator("[data-block]", has_text="plan").first.click()
    page.get_by_role("tab", name="helo.py").wait_for()
    page.get_by_text("# the code of HeLo").wait_for()
