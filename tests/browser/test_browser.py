"""Every notebook in JupyterLab: it opens, runs, shows its widgets; a slider moves, and the plot's data with it."""

import json
import os
import time
import warnings
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest
from conftest import ROOT
from playwright.sync_api import TimeoutError
from test_notebooks import FAST, NOTEBOOKS

from browser.conftest import end_kernels, sessions, with_parameters

DATA = "plot => JSON.stringify(plot.data.map(t => [t.x, t.y, t.z, t.link && t.link.value, t.cells && t.cells.values]))"
SCREENSHOTS = os.environ.get("HELO_SCREENSHOTS")  # where to keep pictures of the explorers; `make figures` sets it
EXPLORER = ".widget-vbox:has(.noUi-handle)"
SLIDERS = {
    "01_explore": 1,
    "02_train": 1,
    "03_transport": 2,
    "04_correlation": 1,
    "05_compare": 0,
    "06_alignment": 0,
    "07_your_own_data": 1,
    "08_live": 0,
}


def shoot(target, name, folder=SCREENSHOTS):
    """Keep a picture of a widget, for the pages that show it."""
    if SCREENSHOTS:
        Path(folder).mkdir(parents=True, exist_ok=True)
        target.screenshot(path=f"{folder}/{name}.png")


def look(target, name):
    """Keep a picture that no page shows, to look at, where git does not see it."""
    shoot(target, name, ROOT / "runs/screenshots")


def open_and_run(page, lab, path):
    """Open a notebook in a workspace of its own, and run all cells; once more if nothing began to run."""
    address, _ = lab
    there = f"{address}/lab/workspaces/{Path(path).stem}-{time.time_ns()}/tree/{path}?reset"
    page.goto(there)
    try:
        idle(page, seconds=60)
        run_all(page, address, path)
    except TimeoutError:  # a kernel that is deaf from its start, as ipykernel 7.3.0 in one of thirty openings
        warnings.warn(f"{path}: the kernel is {kernel(page)}; opened again", stacklevel=2)
        page.goto("about:blank")
        end_kernels(address)
        page.goto(there)
        idle(page)
        run_all(page, address, path)


def run_all(page, address, path, seconds=60):
    """Press Run All Cells, and wait until the kernel works or a cell has run."""
    for _ in range(240):  # the kernel's session is attached a moment after it is idle
        if states(address, path) == ["idle"]:
            break
        page.wait_for_timeout(250)
    page.wait_for_timeout(1000)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()
    for _ in range(seconds * 10):
        if states(address, path) == ["busy"] or any(c.strip("[]:").isdigit() for c in prompts(page)):
            return
        page.wait_for_timeout(100)
    raise TimeoutError(f"{path}: no cell began to run in {seconds} s: {prompts(page)}")


def states(address, path):
    """What JupyterLab's server says of the kernel of a notebook."""
    return [s["kernel"]["execution_state"] for s in sessions(address) if s["path"] == path]


def prompts(page):
    """What stands beside the code cells: "[ ]:" before they run, "[*]:" while, "[3]:" after."""
    return [text for text in page.locator(".jp-InputPrompt").all_inner_texts() if text.strip()]


def idle(page, seconds=180):
    """Wait until the kernel has nothing left to do."""
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=1000 * seconds)


def wait_for(path, page, seconds=300):
    """What a notebook has written, once its last cell has ended: till then JupyterLab may take the focus."""
    for _ in range(seconds * 4):
        if path.exists():
            idle(page)
            return json.loads(path.read_text())
        errors = page.locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.error']")
        assert errors.count() == 0, errors.first.inner_text()
        page.wait_for_timeout(250)
    raise AssertionError(f"{path} was not written; the kernel is {kernel(page)}, the cells {prompts(page)}")


def settled(plot, page):
    """A picture's data once they have stopped changing: a notebook that has just run may still be drawing."""
    now, before = plot.evaluate(DATA), None
    while now != before:
        page.wait_for_timeout(300)
        now, before = plot.evaluate(DATA), now
    return now


def press(page, handle, key):
    """Press a key on a slider once, and wait until its value is another."""
    value = handle.get_attribute("aria-valuenow")
    for _ in range(20):  # a notebook that scrolls to its last cell can take the focus between these two
        handle.focus()
        handle.press(key)
        for _ in range(20):  # a second press too early would move it by two
            page.wait_for_timeout(50)
            if handle.get_attribute("aria-valuenow") != value:
                return
    raise AssertionError(f"{key} does not move the slider from {value}")


def move(page, box, slider=0, key="ArrowLeft"):
    """Press an arrow key on a slider, and wait until the picture has other data."""
    plot = box.locator(".js-plotly-plot").first
    before = settled(plot, page)
    handle = box.locator(".noUi-handle").nth(slider)
    handle.scroll_into_view_if_needed()
    press(page, handle, key)
    for _ in range(1200):
        if plot.evaluate(DATA) != before:
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"the slider moved, the picture did not; the kernel is {kernel(page)}")


def move_all(page, box, sliders):
    """Move each slider away from where it is, and back."""
    box.locator(".js-plotly-plot .main-svg").first.wait_for()
    for slider in range(sliders):
        handle = box.locator(".noUi-handle").nth(slider)
        now, low = (float(handle.get_attribute(f"aria-value{what}")) for what in ("now", "min"))
        for key in ("ArrowLeft", "ArrowRight") if now > low else ("ArrowRight", "ArrowLeft"):
            move(page, box, slider, key)


def click(page, x, y, seen, arg=None):
    """Click on a point of a picture until something is seen: plotly hears a click once it has heard of the hover."""
    for _ in range(12):
        page.mouse.move(x - 2, y)
        page.mouse.move(x, y)
        page.wait_for_timeout(400)
        page.mouse.click(x, y)
        for _ in range(50):
            if page.evaluate(seen, arg):
                return
            page.wait_for_timeout(100)
    raise AssertionError(f"nothing follows a click at {x:.0f}, {y:.0f}")


def kernel(page):
    """What JupyterLab says of the kernel below the notebook."""
    said = page.get_by_text("Python 3 (ipykernel) |")
    return said.first.inner_text() if said.count() else "not named on the page"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_a_notebook_runs_and_its_sliders_move_the_data(path, page, lab, study):
    _, folder = lab
    output = folder / "out" / path.stem
    parameters = FAST[path.stem] | {"output": str(output)}
    if SCREENSHOTS and "epochs" in parameters:
        parameters |= {"epochs": 30}
    with_parameters(path, folder / "notebooks" / path.name, parameters)
    boxes = page.locator(EXPLORER)
    open_and_run(page, lab, f"notebooks/{path.name}")
    wait_for(output / "result.json", page)
    if SLIDERS[path.stem]:
        move_all(page, boxes.first, SLIDERS[path.stem])
        shown = boxes.first if path.stem == "02_train" else boxes.last  # the answers, not one window
        (look if path.stem == "07_your_own_data" else shoot)(shown, f"explorer_{path.stem}")
    else:
        assert boxes.count() == 0


def test_what_if_a_modality_were_missing(page, lab, study):
    """Dropping the pulse moves the second prediction and not the first."""
    notebook = _notebook(
        "import helo\nfrom helo import explore\ndata = helo.load('simulated')\nmodel = helo.build('ridge', data)\n"
        "split = helo.splits.by_subject(data, folds=4)[0]\nhelo.fit(model, data, split)",
        "explore.answers(model, data, split.test)",
    )
    nbformat.write(notebook, lab[1] / "what_if.ipynb")
    open_and_run(page, lab, "what_if.ipynb")
    box = page.locator(EXPLORER).first
    plot = box.locator(".js-plotly-plot").first
    plot.locator(".main-svg").first.wait_for()
    shares = "plot => plot._fullData.slice(1, 3).map(t => Array.from(t.x))"
    second, first = plot.evaluate(shares)  # what is changed lies below what is not
    assert first == second
    box.locator("select").nth(1).select_option("dropped")
    page.wait_for_function(
        f"before => JSON.stringify(({shares})(document.querySelector('.widget-vbox .js-plotly-plot'))) != before",
        arg=json.dumps([second, first], separators=(",", ":")),
    )
    changed, kept = plot.evaluate(shares)
    assert kept == first and changed != second


EXPLORERS = """import dataclasses, helo, ipywidgets, numpy as np
from helo import explore, views
from helo.data import wesad
data = helo.load("simulated")
many = dataclasses.replace(helo.load("circumplex"), emotions=wesad.EMOTIONS)  # as many, and longer names
data.masks["eda"][3, 1:3] = False
model = helo.build("ridge", data)
split = helo.splits.by_subject(data, folds=4)[0]
helo.fit(model, data, split)
R = np.corrcoef(many.distributions.T)
epsilon = ipywidgets.FloatLogSlider(0.2, min=-2, max=0, description="epsilon")"""
# every text of a picture, and where it is: [text, left, top, right, bottom]; and the picture and its cell
BOXES = """() => [...document.querySelectorAll(".helo-explorer")].map(box => {
    const at = e => { const r = e.getBoundingClientRect(); return [r.left, r.top, r.right, r.bottom] };
    const plot = box.querySelector(".js-plotly-plot");
    const texts = [...plot.querySelectorAll(".main-svg > g:not(.hoverlayer) text")].filter(e => e.textContent.trim());
    return { cell: at(box.closest(".jp-OutputArea-output")), plot: at(plot), controls: at(box)[1],
             texts: texts.map(e => [e.textContent, ...at(e)]),
             matrix: [...plot.querySelectorAll(".xaxislayer-above .xtick text")].map(e => [e.textContent, ...at(e)]) }
})"""
FILLS = """() => [...document.querySelectorAll(".helo-explorer .main-svg > g:not(.hoverlayer) text")]
    .map(e => getComputedStyle(e).fill.match(/[0-9.]+/g).slice(0, 3).map(Number))"""


def luminance(color):
    linear = [c / 3294.6 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in color]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.fixture
def dark(lab):
    """JupyterLab in its dark theme."""
    setting = lab[1] / "settings" / "@jupyterlab" / "apputils-extension" / "themes.jupyterlab-settings"
    setting.write_text('{"theme": "JupyterLab Dark"}')
    yield
    setting.unlink()


def test_explorers_fit_every_window_and_theme_and_are_kept(page, lab, study, dark):
    """Nothing is cut at 1280, 1000 and 700 px; legible in the dark; named for who hears it; still there afterwards."""
    cells = ["explore.windows(data)", "explore.answers(model, data, split.test)"]
    cells += ["explore.correlation([R * 0.5, R], R, many)"]
    cells += ["explore.live(lambda epsilon: views.history([{'epoch': 1, 'train_kl': epsilon}]), epsilon=epsilon)"]
    nbformat.write(_notebook(EXPLORERS, *cells), lab[1] / "explorers.ipynb")
    open_and_run(page, lab, "explorers.ipynb")
    page.wait_for_function("document.querySelectorAll('.helo-explorer .main-svg:first-child').length >= 4")
    for width in (1280, 1000, 700):
        page.set_viewport_size({"width": width, "height": 900})
        if width == 700:
            page.keyboard.press("Control+b")  # the sidebar goes
        for k, found in enumerate(_drawn(page)):
            left, _, right, _ = found["cell"]
            assert left <= found["plot"][0] and found["plot"][2] <= right + 1, f"{cells[k]} is cut at {width}"
            assert found["plot"][1] - found["controls"] < 110, "the controls push the picture down"
            for text, x0, y0, x1, y1 in found["texts"]:
                a, b, c, d = found["plot"]
                assert a - 1 <= x0 and b - 1 <= y0 and x1 <= c + 1 and y1 <= d + 1, f"{cells[k]}: {text!r} at {width}"
            if "correlation" in cells[k]:  # names of 24 emotions do not touch
                edges = sorted((x0, x1) for _, x0, _, x1, _ in found["matrix"])
                assert len(edges) >= 12 and all(b[0] >= a[1] - 3 for a, b in pairwise(edges)), edges
        look(page, f"width_{width}")
    sliders = page.locator(".helo-explorer .noUi-handle")
    named = [[sliders.nth(k).get_attribute(f"aria-{what}") for what in ("label", "valuetext")] for k in range(4)]
    assert named[0] == ["window", "0"] and named[2] == ["epoch", "2"] and named[3] == ["epsilon", "0.200"]
    assert named[1][0] == "window"
    for output in page.locator("[data-mime-type='application/vnd.jupyter.stderr']").all_inner_texts():
        assert "arning" not in output, output
    assert page.get_by_role("button", name="Share chart").count() == 0
    page.set_viewport_size({"width": 1280, "height": 900})
    assert page.evaluate("document.body.dataset.jpThemeLight") == "false"
    fills = page.evaluate(FILLS)
    assert len(fills) > 100 and min((luminance(c) + 0.05) / (luminance([17] * 3) + 0.05) for c in fills) > 7
    kept = _after_a_move(page)
    page.keyboard.press("Control+s")
    page.wait_for_function("!document.querySelector('.lm-TabBar-tab.jp-mod-dirty')")
    _without_its_kernel(page, lab, "explorers.ipynb", kept)


def _drawn(page):
    """Where everything is, once each picture has its place's width and nothing moves any more."""
    page.wait_for_timeout(1500)
    fitted = "e => Math.abs(e.querySelector('.main-svg').clientWidth - e.clientWidth) < 2"
    page.wait_for_function(f"[...document.querySelectorAll('.helo-explorer .js-plotly-plot')].every({fitted})")
    now, before = page.evaluate(BOXES), None
    while now != before:
        page.wait_for_timeout(500)
        now, before = page.evaluate(BOXES), now
    return now


def _after_a_move(page):
    """The title of the first picture, once it has been moved and kept."""
    move(page, page.locator(".helo-explorer").first, key="ArrowRight")
    page.wait_for_timeout(2500)
    return page.locator(".helo-explorer .gtitle").first.text_content()


def _without_its_kernel(page, lab, path, kept):
    """Opened again, the notebook shows the picture as it was, and nothing of a lost model."""
    for item in ("Kernel", "Shut Down Kernel"):
        page.get_by_role("menuitem", name=item).first.click()
    page.wait_for_timeout(1000)
    page.goto(f"{lab[0]}/lab/workspaces/again-{time.time_ns()}/tree/{path}?reset")
    still = page.locator(".jp-RenderedPlotly").first
    still.locator(".gtitle").wait_for()
    assert still.locator(".gtitle").text_content() == kept
    page.get_by_text("The picture as it was last").first.wait_for()
    page.wait_for_timeout(4000)
    for lost in ("model not found", "Loading widget"):
        assert not any(found.is_visible() for found in page.get_by_text(lost).all())
    assert still.evaluate("e => e.querySelector('.main-svg').clientWidth - e.clientWidth") in range(-1, 2)
    look(page, "reopened")


def test_a_click_on_a_pair_shows_its_windows(page, lab, study):
    notebook = _notebook(
        "import helo, numpy as np\nfrom helo import explore\ndata = helo.load('simulated')\n"
        "R = np.corrcoef(data.distributions.T)\nexplore.correlation([R * 0.5, R], R, data)"
    )
    nbformat.write(notebook, lab[1] / "pair.ipynb")
    open_and_run(page, lab, "pair.ipynb")
    plot = page.locator(f"{EXPLORER} .js-plotly-plot").first
    plot.locator(".main-svg").first.wait_for()
    page.wait_for_timeout(1000)
    plot.scroll_into_view_if_needed()
    x, y = plot.evaluate(
        "p => {const r = p.getBoundingClientRect(), l = p._fullLayout, a = l.xaxis, b = l.yaxis;"
        "return [r.left + a._offset + a.d2p(a._categories[5]), r.top + b._offset + b.d2p(b._categories[2])]}"
    )
    names = plot.evaluate("p => [p._fullLayout.yaxis._categories[2], p._fullLayout.xaxis._categories[5]]")
    assert names[1] != "excited"  # which is there at first: something has to happen
    shown = (
        "([a, b]) => {const l = document.querySelector('.widget-vbox .js-plotly-plot').layout;"
        "return l.xaxis4.title.text == `share of ${a}` && l.yaxis4.title.text == `share of ${b}`}"
    )
    click(page, x, y, shown, names)


def test_the_stop_button_keeps_the_best_epoch(page, lab, study):
    notebook = _notebook(
        "import helo, json\nfrom helo import explore\ndata = helo.load('simulated')\n"
        "split = helo.splits.by_subject(data, folds=4)[0]\nmodel = helo.build('helo', data)",
        "run = await explore.train(model, data, split, epochs=1000, patience=1000)",
        "from helo import sweeps\nsweeps.record('stopped', epochs=len(run.history), best=run.best_epoch)",
    )
    nbformat.write(notebook, lab[1] / "stop.ipynb")
    open_and_run(page, lab, "stop.ipynb")
    plot = page.locator(".widget-vbox .js-plotly-plot").first
    plot.locator(".main-svg").first.wait_for()
    three = "(p => p && p._fullData && p._fullData[0] && p._fullData[0].x.length >= 3)"
    page.wait_for_function(f"{three}(document.querySelector('.widget-vbox .js-plotly-plot'))")
    shoot(page.locator(".widget-vbox").first, "explorer_training")
    page.get_by_role("button", name="stop, keep the best epoch").click()
    result = wait_for(lab[1] / "stopped" / "result.json", page, 120)
    assert 3 <= result["epochs"] < 1000 and 1 <= result["best"] <= result["epochs"]


def test_a_picture_whose_module_is_late_follows_its_slider(page, lab, study):
    """anywidget tells nothing, ever, to a widget whose module takes over two seconds: a busy machine, a slow disk."""
    late = "from helo.views.plot import Plot\nPlot._esm = 'await new Promise(on => setTimeout(on, 3000));' + Plot._esm"
    nbformat.write(
        _notebook(
            "import ipywidgets\nimport plotly.graph_objects as go\nfrom helo import explore\n" + late,
            "explore.live(lambda k: go.Figure(go.Scatter(y=[k])), k=ipywidgets.IntSlider(5, description='k'))",
        ),
        lab[1] / "late.ipynb",
    )
    open_and_run(page, lab, "late.ipynb")
    box = page.locator(EXPLORER).first
    box.locator(".js-plotly-plot .main-svg").first.wait_for()
    plot = box.locator(".js-plotly-plot").first
    assert plot.evaluate("p => [...p._fullData[0].y]") == [5]
    assert plot.evaluate("p => [p._context.displaylogo, p._context.plotlyServerURL]") == [False, ""]
    move_all(page, box, 1)


def test_a_slider_moved_while_a_cell_awaits_is_heard_afterwards(page, lab):
    """ipykernel 7.4.0 alone does not answer the move, and a control that waits for an answer says nothing more."""
    nbformat.write(
        _notebook(
            "import asyncio, json, helo, ipywidgets\nslider = ipywidgets.IntSlider(50)\n"
            "slider.observe(lambda change: json.dump(change['new'], open('heard', 'w')), names='value')\nslider",
            "open('began', 'w')\nawait asyncio.sleep(10)\nopen('ended', 'w')",
        ),
        lab[1] / "awaits.ipynb",
    )

    def until(there):
        for _ in range(600):
            if there():
                return True
            page.wait_for_timeout(100)
        return False

    open_and_run(page, lab, "awaits.ipynb")
    handle = page.locator(".noUi-handle").first
    handle.wait_for()
    assert until((lab[1] / "began").exists)
    press(page, handle, "ArrowLeft")
    assert not (lab[1] / "ended").exists(), "moved too late to show anything"
    assert until((lab[1] / "ended").exists)
    for value in ("48", "47"):
        press(page, handle, "ArrowLeft")
        assert until(lambda value=value: (lab[1] / "heard").read_text() == value), f"moved to {value}, and not heard"


def test_the_index_leads_to_every_notebook(page, lab):
    source = (ROOT / "notebooks" / "00_index.ipynb").read_text()
    for path in [*NOTEBOOKS, ROOT / "notebooks" / "dashboard.ipynb"]:
        assert f"({path.name})" in source
    (lab[1] / "notebooks").mkdir(exist_ok=True)
    (lab[1] / "notebooks" / "00_index.ipynb").write_text(source)
    page.goto(f"{lab[0]}/lab/workspaces/index/tree/notebooks/00_index.ipynb?reset")
    page.get_by_role("link", name="03 · Transport").wait_for()
    idle(page)  # JupyterLab does not end while a kernel is starting


def _notebook(*cells):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return notebook
