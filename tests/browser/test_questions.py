"""Questions in JupyterLab and out of it: predict, then reveal; and progress in a cell's output."""

import subprocess
import sys

import nbformat
from conftest import ROOT

from browser.conftest import with_parameters
from browser.test_browser import _notebook, look, open_and_run, wait_for

QUESTION = "form:has(output)"


def asked(page, prompt):
    """The box of a question: its form, what it says, its solution."""
    form = page.locator(QUESTION, has_text=prompt)
    form.wait_for()
    return form, form.locator("output"), form.locator("xpath=following-sibling::details")


def test_run_all_shows_no_answer_and_a_prediction_opens_it(page, lab, study):
    """Wrong: says so, may be tried again or revealed. Right: says so, and opens the solution. By keyboard alone."""
    _, folder = lab
    output = folder / "out" / "asked"
    with_parameters(
        ROOT / "notebooks" / "01_explore.ipynb", folder / "notebooks" / "asked.ipynb", {"output": str(output)}
    )
    open_and_run(page, lab, "notebooks/asked.ipynb")
    wait_for(output / "result.json", page)
    form, verdict, solution = asked(page, "Mean correlation of two of 8 emotions")
    text = page.locator(".jp-Notebook").inner_text()
    assert "Exercise 3" in text and "Draw distributions whose shares know nothing" in text
    for told in ("-0.143", "what one emotion gains", "forgets how strong", "drawn = np.random", "Solution"):
        assert told not in text, f"{told!r} is seen before anybody has predicted"
    cells = page.locator(".jp-CodeCell").count()
    field = form.get_by_label("Mean correlation of two of 8 emotions")
    field.focus()
    page.keyboard.type("0")
    page.keyboard.press("Enter")
    assert verdict.inner_text() == "✗ No: it is less than that. Try again, or open the solution."
    assert solution.is_visible() and "what one emotion gains" not in solution.inner_text()
    page.keyboard.press("Control+a")
    page.keyboard.type("-0.15")
    page.keyboard.press("Tab")  # to the button
    page.keyboard.press("Enter")
    assert verdict.inner_text() == "✓ Yes." and "what one emotion gains" in solution.inner_text()

    form, verdict, solution = asked(page, "Whose is more decided?")
    form.get_by_label("the first person's").focus()
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    assert verdict.inner_text().startswith("✗ No. Try again")
    solution.locator("summary").focus()
    page.keyboard.press("Enter")
    assert "forgets how strong they are" in solution.inner_text(), "revealed"
    form.get_by_label("the first person's").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert verdict.inner_text() == "✓ Yes."
    assert page.locator(".jp-CodeCell").count() == cells, "JupyterLab took no key for a command"
    form.scroll_into_view_if_needed()
    look(page, "question")


def test_a_question_fits_the_dark_theme(page, lab, study):
    code = "from helo import views\nviews.question('How many?', 3, 'Three, of course.', options=())"
    nbformat.write(_notebook(code), lab[1] / "dark.ipynb")
    open_and_run(page, lab, "dark.ipynb")
    form, _, _ = asked(page, "How many?")
    page.get_by_role("menuitem", name="Settings", exact=True).click()
    page.get_by_text("Theme", exact=True).first.hover()
    page.get_by_text("JupyterLab Dark", exact=True).click()
    page.locator("body[data-jp-theme-light=false]").wait_for(state="attached")
    form.locator("input").fill("3")
    form.locator("button").click()
    look(page, "question_dark")
    colors = form.evaluate(
        """form => {
          const seen = e => {  // the colour behind an element: of the nearest one that has any
            while (e && getComputedStyle(e).backgroundColor.replaceAll(' ', '').endsWith(',0)')) e = e.parentElement;
            return getComputedStyle(e).backgroundColor };
          const dark = c => c.match(/[0-9.]+/g).slice(0, 3).map(Number).reduce((a, b) => a + b) / 3;
          return [form, ...form.querySelectorAll('input, button, output')].map(
            e => [e.tagName, dark(getComputedStyle(e).color), dark(seen(e))]) }"""
    )
    assert {tag for tag, _, _ in colors} >= {"FORM", "INPUT", "BUTTON", "OUTPUT"}
    for tag, text, behind in colors:
        assert text - behind > 120, f"{tag}: {text} on {behind}"


def test_reopened_without_a_kernel_it_can_be_read(page, lab, study):
    """Another machine made it, so JupyterLab runs none of its scripts: there is the folded solution, and no form."""
    code = "from helo import views\nviews.question('How many?', 3, 'Three, of course.', tolerance=0.5)"
    path = lab[1] / "kept.ipynb"
    nbformat.write(_notebook(code), path)
    subprocess.run(
        [sys.executable, "-m", "jupyter", "execute", "--inplace", "kept.ipynb"], cwd=lab[1], check=True, timeout=120
    )
    page.goto(f"{lab[0]}/lab/workspaces/kept/tree/kept.ipynb?reset")
    solution = page.locator(".jp-OutputArea details")
    solution.wait_for()
    assert page.locator(QUESTION).count() == 0, "a form that takes no answer"
    assert "Three" not in page.locator(".jp-OutputArea").inner_text()
    solution.locator("summary").click()
    assert "Three, of course." in solution.inner_text()


def test_progress_is_one_line_in_the_cell_and_not_red(page, lab, study):
    notebook = _notebook(
        "import helo\ndata = helo.load('simulated')\nsplit = helo.splits.by_subject(data, folds=4)[0]",
        "run = helo.fit(helo.build('helo', data), data, split, epochs=60, patience=60)",
    )
    nbformat.write(notebook, lab[1] / "progress.ipynb")
    open_and_run(page, lab, "progress.ipynb")
    cell = page.locator(".jp-CodeCell").nth(1)
    line = cell.locator("[data-mime-type='application/vnd.jupyter.stdout']")
    line.get_by_text("of 60").wait_for()
    seen = set()
    for _ in range(12):
        text = line.inner_text().strip()
        seen.add(text)
        assert text.count("\n") == 0 and text.count("of 60") <= 1, text
        page.wait_for_timeout(250)
    assert len(seen) >= 3, "it moves"
    assert any("so far" in text and "left" in text for text in seen)
    look(page, "progress")
    assert cell.locator("[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
    page.get_by_role("menuitem", name="Kernel", exact=True).click()
    page.get_by_text("Interrupt Kernel", exact=True).click()
    page.get_by_text("KeyboardInterrupt").first.wait_for()
