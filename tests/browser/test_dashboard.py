"""The dashboard as `make dashboard` serves it, in a real browser."""

import json
import re
import shlex
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest
from conftest import ROOT

import helo
from browser.conftest import end, free_port, serve
from browser.test_browser import EXPLORER, SCREENSHOTS, click, move, settled, shoot

CUT = """() => [...document.querySelectorAll('.lm-TabPanel-tabContents *, .jupyter-widgets *')].filter(e => {
  const box = e.getBoundingClientRect();
  return box.width > 0 && !e.closest('[aria-hidden=true]') && box.right > innerWidth + 1;
}).map(e => e.className + ' ' + e.getBoundingClientRect().right)"""


def options():
    """Of the Makefile's target, as a shell gives them to voila."""
    made = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    said = re.search(r"^DASHBOARD := (.*)$", made, re.M)[1]
    assert "$(DASHBOARD)" in made and "--Voila.auto_token=True" in made
    return shlex.split(said)


@pytest.fixture
def dashboard(tmp_path, page):
    """Address of a running dashboard with a picture and a text in its folder; the token is "secret"."""
    (tmp_path / "dashboard.ipynb").write_text((ROOT / "notebooks" / "dashboard.ipynb").read_text())
    (tmp_path / "face.png").write_bytes(b"a picture of a person")
    (tmp_path / "ratings.csv").write_text("private")
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    few = [option.replace("most=4", "most=2") for option in options()]
    own = [*few, f"--port={port}", "--token=secret", "--no-browser"]
    server = serve("voila", "dashboard.ipynb", *own, ready=address, cwd=tmp_path, log=tmp_path / "voila.log")
    yield address
    page.goto("about:blank")  # or it would miss its server
    end(server)


def visit(page, address, **asked):
    page.goto(f"{address}/?{urllib.parse.urlencode({'token': 'secret', 'epochs': 2} | asked)}")


def test_nothing_is_served_without_the_token_and_no_file_with_it(page, dashboard):
    with urllib.request.urlopen(dashboard) as answer:
        assert "/login" in answer.url, "without the token there is nothing to see"
    for file in ("face.png", "ratings.csv", "dashboard.ipynb", "../../etc/hostname"):
        for token in ("", "?token=secret"):
            with pytest.raises(urllib.error.HTTPError, match="40[34]"):
                urllib.request.urlopen(f"{dashboard}/voila/files/{urllib.parse.quote(file)}{token}")


def test_tabs_share_their_window_and_the_width(page, dashboard, study):
    """The front page is one window; a click on the curve and the slider move what every tab shows."""
    page.set_viewport_size({"width": 1280, "height": 1000})
    visit(page, dashboard, epochs=30 if SCREENSHOTS else 2)
    plot = page.locator(".js-plotly-plot").first
    plot.locator(".main-svg").first.wait_for()
    page.get_by_text("150 windows of 3 people, never seen in training").wait_for()
    assert page.get_by_text("skill").count() == 1
    settled(plot, page)
    title = "p => p.layout.title.text"
    x, y, number = plot.evaluate(
        "p => {const r = p.getBoundingClientRect(), l = p._fullLayout, t = p._fullData[0], x = l.xaxis, y = l.yaxis;"
        "return [r.left + x._offset + x.d2p(t.x[40]), r.top + y._offset + y.d2p(t.y[40]), t.x[40]]}"
    )
    click(page, x, y, f"() => ({title})(document.querySelector('.js-plotly-plot')).includes('window {number}:')")
    shoot(page, "dashboard")
    for k, name in enumerate(("data", "answers", "transport"), 1):
        page.get_by_role("tab", name=name).click()
        shown = page.locator(".js-plotly-plot").nth(k)
        shown.locator(".main-svg").first.wait_for()
        assert f"window {number}" in shown.evaluate(title), name
    page.get_by_role("tab", name="one window").click()
    move(page, page.locator(EXPLORER).first, key="ArrowRight")
    for width in (1280, 1000):
        page.set_viewport_size({"width": width, "height": 1000})
        page.wait_for_function(f"() => !({CUT})().length", timeout=60_000)  # nothing is cut, once it is drawn anew
        drawn = plot.evaluate("p => p.querySelector('.main-svg').clientWidth")
        assert drawn > 0.85 * width, f"{drawn} px of {width}: the whole width is used"


def test_a_file_by_its_address_and_what_is_wrong_in_the_page(page, dashboard, study, tmp_path):
    helo.save(helo.build("early", study), tmp_path / "early.safetensors")
    visit(page, dashboard, dataset="simulated", model=str(tmp_path / "early.safetensors"))
    page.get_by_text("early on simulated, 600 windows of 12 people").wait_for()
    page.locator(".js-plotly-plot .main-svg").first.wait_for()
    page.get_by_label("data set").fill("<img src=x onerror=alert(1)>")
    page.get_by_label("data set").press("Tab")
    page.get_by_role("button", name="open").click()
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert alert.inner_text().startswith("unknown data set '<img src=x onerror=alert(1)>'; expected one of")
    assert "Traceback" not in page.content() and page.locator("img[src=x]").count() == 0


def test_a_third_page_is_told_to_wait(page, browser, dashboard, study):
    others = [browser.new_page() for _ in range(2)]
    try:
        for other in others:
            visit(other, dashboard, model="mean")
            other.get_by_role("button", name="open").wait_for(timeout=180_000)
        started = time.perf_counter()
        answer = urllib.request.urlopen(f"{dashboard}/?token=secret")
        told, status = answer.read().decode(), answer.status
    except urllib.error.HTTPError as error:
        told, status = error.read().decode() + str(error), error.code
    finally:
        for other in others:
            other.close()
    assert status == 503 and "2 pages are open" in told, json.dumps([status, told[-500:]])
    assert time.perf_counter() - started < 60
