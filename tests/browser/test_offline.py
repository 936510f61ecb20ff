"""The reports in a browser without a network: sorted, filtered, compared, with the keyboard, in the dark."""

import json
import re
import time

import nbformat
import plotly.graph_objects as go
import pytest
from test_reports import HOSTILE, picture, write_sweep

from helo import sweeps
from helo.batch.notebook_page import PLOT, notebook_page
from helo.batch.overview import overview

FAULTS = ("error", "warning")


@pytest.fixture
def opened(browser):
    """Opens a file offline: nothing but the file is asked for, the console stays silent, nobody alerts."""
    contexts, faults = [], []

    def open_file(file, width=1280, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: faults.append(m.text) if m.type in FAULTS else None)
        page.on("pageerror", lambda e: faults.append(str(e)))
        page.on("dialog", lambda d: (faults.append(f"alert {d.message}"), d.dismiss()))
        page.on("request", lambda r: None if r.url.startswith(("file:", "data:", "blob:")) else faults.append(r.url))
        page.goto(f"file://{file}")
        return page

    yield open_file
    for context in contexts:
        context.close()
    assert not faults, "\n".join(faults)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Six runs: two models, three seeds; the last failed; strange names among them."""
    folder = tmp_path_factory.mktemp("report")
    parameters = [{"model": m, "seed": s, "note": HOSTILE[s]} for m in ("helo", "early") for s in (0, 1, 2)]
    results = [{"kl": kl, "odd": HOSTILE[0]} for kl in (0.5, 0.0625, 10.0, 9.0, 0.25)]
    write_sweep(folder, [*results, None], parameters, errors={5: f"ValueError: {HOSTILE[1]}" + " long" * 500})
    for k in range(5):
        for name in ("answers.png", "training.png"):
            (folder / f"n-{k:04}" / name).write_bytes(picture(40 * k))
        for name in HOSTILE:
            (folder / f"n-{k:04}" / f"{name.replace('/', '-')}.png").write_bytes(picture())
            (folder / f"n-{k:04}" / f"{name.replace('/', '-')}.txt").write_text("")
    return overview(folder, sweeps.collect(folder))


def column(page, name):
    i = page.locator("#runs th").evaluate_all("(all, name) => all.findIndex(h => h.dataset.name === name)", name)
    return page.locator("#runs tbody tr:not([hidden])").evaluate_all(
        "(rows, i) => rows.map(r => r.cells[i].textContent.trim())", i
    )


def test_sorts_numbers_as_numbers_and_what_is_missing_last(opened, report):
    page = opened(report)
    page.get_by_role("button", name="kl", exact=True).click()
    assert column(page, "kl") == ["0.0625", "0.25", "0.5", "9", "10", ""]
    assert page.locator("th[aria-sort=ascending]").inner_text() == "kl"
    page.get_by_role("button", name="kl", exact=True).press("Enter")
    assert column(page, "kl") == ["10", "9", "0.5", "0.25", "0.0625", ""]
    page.get_by_role("button", name="model", exact=True).click()
    assert column(page, "model") == ["early"] * 3 + ["helo"] * 3


def test_filters_by_words_conditions_and_state(opened, report):
    page = opened(report)
    box = page.get_by_role("searchbox", name="Filter")
    for text, kl in (("helo", ["0.5", "0.0625", "10"]), ("helo kl<1", ["0.5", "0.0625"]), ("KL>=9", ["10", "9"])):
        box.fill(text)
        assert column(page, "kl") == kl
        assert page.get_by_role("status").inner_text() == f"{len(kl)} of 6 runs"
    box.fill("seed=1 model=early")
    assert column(page, "kl") == ["0.25"]
    box.fill("")
    page.get_by_label("State").select_option("failed")
    assert column(page, "kl") == [""]


def test_compares_two_runs_with_the_keyboard(opened, report):
    page = opened(report)
    compare = page.get_by_role("button", name="Compare two ticked runs")
    assert compare.is_disabled()
    for name in ("compare model helo, seed 0", "compare model helo, seed 2", "compare model early, seed 1"):
        page.get_by_role("checkbox", name=re.compile(f"^{name}")).press("Space")
    assert page.locator("#runs input:checked").count() == 2, "a third takes the first one's place"
    compare.press("Enter")
    assert page.locator("#comparison").is_visible() and page.evaluate("document.activeElement.id") == "compared"
    lines = page.locator("#values tr").evaluate_all("all => all.map(r => [...r.cells].map(c => c.textContent))")
    assert lines[0][1:3] == ["n-0002", "n-0004"]
    assert lines[1][:1] + lines[1][3:] == ["model", "differs"]
    assert ["kl", "10", "0.25", "-9.75"] in lines
    differs = [c == "differs" for c in page.locator("#values tr").evaluate_all("all => all.map(r => r.className)")[1:]]
    assert differs == sorted(differs, reverse=True) and any(differs), "what differs comes first"
    assert page.locator("#pictures img").count() == 2 * 5
    page.get_by_role("button", name="Close").click()
    assert page.locator("#comparison").is_hidden()


def test_a_long_error_is_folded(opened, report):
    page = opened(report)
    error = page.locator(".error")
    assert error.locator("pre").is_hidden() and error.bounding_box()["height"] < 90
    error.locator("summary").press("Enter")
    assert error.locator("pre").is_visible()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1000, "dark")])
def test_fits_its_window_and_everything_has_a_name(opened, report, width, scheme):
    page = opened(report, width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for element in page.locator("button, input, select, img, [role=region]").all():
        name = element.evaluate(
            "e => e.alt || e.ariaLabel || [...(e.labels || [])].map(l => l.textContent).join() || e.textContent"
        )
        assert name.strip()
    assert page.locator("#runs img").evaluate_all("all => all.every(i => i.getBoundingClientRect().width < 200)")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (dark == "rgb(24, 24, 24)") == (scheme == "dark")
    page.get_by_role("button", name="kl", exact=True).focus()
    for text in ("body", ".note, .failed"):
        found = page.locator(text).first.evaluate(
            "e => [getComputedStyle(e).color, getComputedStyle(document.body).backgroundColor]"
        )
        assert contrast(*found) >= 4.5


def contrast(*colours):
    """WCAG's ratio of two colours."""

    def light(colour):
        parts = [int(x) / 255 for x in re.findall(r"\d+", colour)[:3]]
        return sum(
            w * (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4)
            for w, c in zip((0.2126, 0.7152, 0.0722), parts, strict=True)
        )

    high, low = sorted(map(light, colours), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_600_runs_open_in_three_seconds(opened, tmp_path):
    write_sweep(tmp_path, [{f"m{i}": k * i / 7 for i in range(15)} for k in range(600)])
    for k in range(600):
        (tmp_path / f"n-{k:04}" / "a.png").write_bytes(picture(k, 400))
    file = overview(tmp_path, sweeps.collect(tmp_path))
    best = 99.0
    for _ in range(10):  # the machine is shared, with other browsers too
        began = time.monotonic()
        page = opened(file)
        assert page.locator("#runs tbody tr").count() == 600
        best = min(best, time.monotonic() - began)
        page.close()
        if best < 3:
            return
        time.sleep(5)
    raise AssertionError(f"{best:.1f} s")


def test_a_notebooks_page_draws_its_plots_and_formulas(opened, tmp_path):
    figure = json.loads(go.Figure(go.Scatter(y=[1, 3, 2]), {"title": {"text": "a plot"}}).to_json())
    v4 = nbformat.v4
    cells = [
        v4.new_markdown_cell("# One\n\n$$\\frac{1}{2}$$"),
        v4.new_code_cell("x", outputs=[v4.new_output("display_data", {PLOT: figure})] * 2),
    ]
    nbformat.write(v4.new_notebook(cells=cells), tmp_path / "n.ipynb")
    (tmp_path / "n.html").write_text(notebook_page(tmp_path / "n.ipynb"))
    page = opened(tmp_path / "n.html", 1000, "dark")
    page.wait_for_function("document.querySelectorAll('.helo-plot .main-svg').length >= 2")
    assert page.locator("mfrac").bounding_box()["height"] > 20, "a fraction, not its letters in a line"
    assert page.evaluate("document.documentElement.scrollWidth") <= 1000
    assert page.get_by_role("figure", name="One: an interactive plot").count() == 2
