"""Notebook 08 in JupyterLab: it runs, Listen moves the picture, and a button unplugs a sensor."""

from conftest import ROOT
from test_notebooks import FAST

from browser.conftest import with_parameters
from browser.test_browser import SCREENSHOTS, open_and_run, settled, shoot, wait_for

TITLE = "document.querySelector('.helo-explorer .js-plotly-plot').layout.title.text"


def test_a_model_listens_and_a_button_unplugs_a_sensor(page, lab, study):
    _, folder = lab
    output = folder / "out" / "live"
    name = "08_live.ipynb"
    parameters = FAST["08_live"] | {"output": str(output)} | ({"epochs": 30} if SCREENSHOTS else {})
    with_parameters(ROOT / "notebooks" / name, folder / "live" / name, parameters)
    page.set_viewport_size({"width": 1280, "height": 1000})
    open_and_run(page, lab, f"live/{name}")
    wait_for(output / "result.json", page)
    box = page.locator(".helo-explorer").first
    plot = box.locator(".js-plotly-plot")
    plot.locator(".main-svg").first.wait_for()
    before, title = settled(plot, page), page.evaluate(TITLE)
    assert title.startswith("30 s: answered ")
    box.get_by_role("button", name="unplug eda").click()
    listen = box.get_by_role("button", name="Listen")
    listen.click()
    page.wait_for_function(f"{TITLE}.includes('eda: silent for')")
    listen.click()  # pause
    assert settled(plot, page) != before
    paused, since = page.evaluate(TITLE), 0
    while since < 2000:  # what was on its way when it was paused may be drawn late
        page.wait_for_timeout(100)
        now, since = page.evaluate(TITLE), since + 100
        paused, since = (now, since) if now == paused else (now, 0)
    page.wait_for_timeout(1500)
    assert page.evaluate(TITLE) == paused
    assert plot.evaluate("p => p.layout.shapes.length") > 0, "its tokens are grey"
    shoot(box, "explorer_08_live")
