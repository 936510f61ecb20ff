"""Predict, then reveal: a question that takes an answer, says whether it holds, and only then opens the solution."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Sequence
from typing import Any

from IPython.display import HTML

_BOX = "border-left: 3px solid var(--jp-brand-color1, #1976d2); padding: 0.2em 1em"
_FIELD = "font: inherit; color: inherit; background: transparent; border: 1px solid currentColor; padding: 0.2em 0.5em"
# The form is made by the script: where none may run (an untrusted notebook, a page on GitHub) the folded solution is
# all there is, and nothing that looks as if it took an answer. JupyterLab takes the keys of a control that does not
# tell it not to (an arrow would leave for another cell), and leaves a form's own Enter without effect.
_SCRIPT = """
for (const box of document.querySelectorAll('[data-helo-question]')) {
  const {form, answer, tolerance, ordered} = JSON.parse(box.dataset.heloQuestion);
  box.removeAttribute('data-helo-question');
  box.insertAdjacentHTML('afterbegin', form);
  const [asked, verdict, solution] = ['form', 'output', 'details'].map(name => box.querySelector(name));
  solution.style.display = 'none';
  for (const control of box.querySelectorAll('input, button, summary')) control.dataset.lmSuppressShortcuts = '';
  asked.addEventListener('keydown', event => {
    if (event.key !== 'Enter' || event.target.type === 'submit') return;
    event.preventDefault();
    asked.requestSubmit();
  });
  asked.addEventListener('submit', event => {
    event.preventDefault();
    const off = Number(new FormData(asked).get('answer')) - answer;
    const right = Math.abs(off) <= tolerance + 1e-9;
    const where = ordered ? `: it is ${off < 0 ? 'more' : 'less'} than that` : '';
    verdict.textContent = right ? '✓ Yes.' : `✗ No${where}. Try again, or open the solution.`;
    solution.style.display = '';
    solution.open = right;
  });
}
"""


def question(
    prompt: str,
    answer: float | str,
    *solution: Any,
    tolerance: float = 0.0,
    unit: str = "",
    options: Sequence[str] = (),
) -> HTML:
    """Ask for a prediction: a number, or one of several options.

    The solution is not seen before an answer was given; a right one opens it, a wrong one may be followed by another.
    The result is plain HTML with native controls: it is used by keyboard and read by screen readers, and needs no
    kernel, in JupyterLab, voila and an executed notebook's report. Where no script may run, the solution is there,
    folded.

    Args:
        prompt: what is to be predicted, in one sentence; the label of the field.
        answer: what came out: a number, or one of the options. Compute it.
        *solution: paragraphs of text, and things that show themselves as HTML, such as a DataFrame.
        tolerance: how far a number may be off and still hold.
        unit: of a number.
        options: what to choose from.

    Raises:
        ValueError: no solution; a number or tolerance that is none; an answer that is not among the options.
    """
    if not solution:
        raise ValueError(f"{prompt!r} has no solution; expected text, or something with _repr_html_")
    if options:
        if answer not in options:
            raise ValueError(f"answer is {answer!r}; expected one of the options {list(options)}")
        key, tolerance, field = float(list(options).index(str(answer))), 0.0, _choice(prompt, options)
    else:
        key = float(answer)
        if not (math.isfinite(key) and math.isfinite(tolerance) and tolerance >= 0):
            raise ValueError(
                f"answer is {answer!r} with tolerance {tolerance!r}; expected numbers, the latter at least 0"
            )
        field = _number(prompt, unit)
    button = f'<button type="submit" style="{_FIELD}; cursor: pointer">Check</button>'
    form = f"<form>{field} {button} <output></output></form>"
    told = {"form": form, "answer": key, "tolerance": tolerance, "ordered": not options}
    folded = f'<details><summary style="cursor: pointer">Solution</summary>{"".join(map(_shown, solution))}</details>'
    box = f'<div style="{_BOX}" data-helo-question="{html.escape(json.dumps(told))}">{folded}</div>'
    return HTML(f"{box}<script>{_SCRIPT}</script>")


def _number(prompt, unit):
    field = f'<input type="number" step="any" name="answer" required style="{_FIELD}; width: 8em">'
    return f"<label>{html.escape(prompt)} {field} {html.escape(unit)}</label>"


def _choice(prompt, options):
    rows = [
        f'<label style="display: block"><input type="radio" name="answer" value="{k}" required> '
        f"{html.escape(text)}</label>"
        for k, text in enumerate(options)
    ]
    return f'<fieldset style="border: 0; padding: 0"><legend>{html.escape(prompt)}</legend>{"".join(rows)}</fieldset>'


def _shown(part):
    return part._repr_html_() if hasattr(part, "_repr_html_") else f"<p>{html.escape(str(part))}</p>"
