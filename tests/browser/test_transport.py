"""Transport by hand and the explorer of plans in JupyterLab: from the keyboard, and at the widths of small screens."""

import nbformat
import pytest

from browser.test_browser import EXPLORER, _notebook, idle, move, open_and_run

BY_HAND = (
    "import numpy as np\nfrom helo.views import by_hand\nby_hand.explorer(np.array([[0.1, 0.9, 0.5], [0.8, 0.2, 0.4]]))"
)
PLANS = (
    "import helo\nfrom helo import explore\ndata = helo.load('matching', subjects=4, windows=20)\n"
    "explore.transport(helo.build('helo', data).eval(), data, range(20), 3)"
)
DONE = "document.querySelector('.widget-vbox .js-plotly-plot').layout.annotations[3].text"
#: words that stand outside of their picture, or are not there at all
CUT = """plot => {
    const frame = plot.getBoundingClientRect();
    return Array.from(plot.querySelectorAll('.main-svg text')).filter(t => {
        const r = t.getBoundingClientRect();
        return t.textContent && (r.left < frame.left - 1 || r.right > frame.right + 1 || r.bottom > frame.bottom + 1);
    }).map(t => t.textContent);
}"""


def shown(page, lab, name, code):
    nbformat.write(_notebook(code), lab[1] / f"{name}.ipynb")
    open_and_run(page, lab, f"{name}.ipynb")
    box = page.locator(EXPLORER).first
    box.locator(".js-plotly-plot .main-svg").first.wait_for()
    idle(page)  # a cell that ends takes the focus
    return box


def until_done(page, scalings):
    page.wait_for_function(f"{DONE}.startsWith('after {scalings} scaling')")


def test_the_scalings_are_stepped_and_played_from_the_keyboard(page, lab):
    box = shown(page, lab, "by_hand", BY_HAND)
    assert page.evaluate(DONE) == "the kernel, not scaled yet"
    box.get_by_role("button", name="Step").focus()
    page.keyboard.press("Space")
    until_done(page, 1)
    page.keyboard.press("Enter")
    until_done(page, 2)
    page.keyboard.press("Tab")  # on to "Back"
    page.keyboard.press("Enter")
    until_done(page, 1)
    box.locator(".noUi-handle").first.focus()
    page.keyboard.press("ArrowRight")
    until_done(page, 2)
    box.locator(".jupyter-widget-play button, .widget-play button").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_function(f"parseInt({DONE}.split(' ')[1]) >= 4")  # by itself


@pytest.mark.parametrize("name, code", [("by_hand_wide", BY_HAND), ("plans_wide", PLANS)])
def test_no_word_is_cut_on_a_small_screen(page, lab, name, code):
    box = shown(page, lab, name, code)
    plot = box.locator(".js-plotly-plot")
    for width in (1280, 1000):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function(
            "() => {const p = document.querySelector('.widget-vbox .js-plotly-plot'), s = p.querySelector('.main-svg');"
            "return Math.abs(p.clientWidth - s.clientWidth) < 2}"
        )
        page.wait_for_timeout(500)
        assert plot.evaluate(CUT) == [], width


def test_the_plans_move_with_epsilon(page, lab):
    box = shown(page, lab, "plans", PLANS)
    assert "window 3;" in box.locator(".js-plotly-plot").evaluate("p => p.layout.title.text")
    move(page, box, 1, "ArrowRight")
