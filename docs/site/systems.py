"""A page a system: its docstring, its options, its architecture as one forward pass draws it, its knock-outs."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pandas as pd
from pages import ROOT, tree, write

import helo
from helo import models
from helo.data.emotion_data import EmotionData

KINDS = {
    "Fusion systems": [n for n in models.systems()[:12]],
    "Simple rivals": [n for n in models.systems()[12:] if not models.is_closed_form(n)],
    "Closed form": [n for n in models.systems()[12:] if models.is_closed_form(n)],
    "HeLo without one of its parts, and as released": list(models.ablations()),
}


def stage(folder: Path) -> None:
    """Write a page for every name of `helo.models.available()`, and their index."""
    study = helo.load("simulated", subjects=6, seed=0)  # few: it is drawn, and not measured
    knocked = pd.read_csv(ROOT / "benchmarks" / "results" / "knockout.csv")
    lines = ["# The systems\n", "All take the same batch and give the same kind of answer: `helo.build(NAME, data)`.\n"]
    for kind, names in KINDS.items():
        lines += [f"\n## {kind}\n", "| name | what it is |", "|---|---|"]
        lines += [f"| [`{name}`]({name}.md) | {_first(name)} |" for name in names]
        for name in names:
            write(folder / "systems" / f"{name}.md", page(name, study, knocked[knocked["model"] == name]))
    names = [name for names in KINDS.values() for name in names]
    write(folder / "systems" / "index.md", "\n".join(lines) + "\n" + tree(names, hidden=True, depth=1))


def page(name: str, study: EmotionData, knocked: pd.DataFrame) -> str:
    """The page of a system, as Markdown."""
    kind, preset = models._kind(name)
    module = inspect.getmodule(kind)
    lines = [f"# {name}\n", f"{{py:class}}`{kind.__module__}.{kind.__qualname__}`\n"]
    if preset:
        told = ", ".join(f"{option}={value!r}" for option, value in preset.items())
        lines.append(f'`helo.build("{name}", data)` is that class with `{told}`.\n')
    # a file of several systems says in its header what they share
    lines += [markdown(module.__doc__), "", markdown(_without_sections(inspect.getdoc(kind) or "")), ""]
    lines += [
        *_steps(kind),
        "## Options\n",
        *_options(kind, preset),
        "## Architecture\n",
        _drawn(name, study),
        "\n## Knock-outs\n",
    ]
    lines += _knocked(kind, knocked)
    return "\n".join(lines) + "\n"


def markdown(docstring: str) -> str:
    """A docstring as Markdown: an indented paragraph is an equation, a star is a star."""
    made, code = [], False
    lines = inspect.cleandoc(docstring).splitlines()
    for k, line in enumerate(lines):
        indented = line.startswith("    ") and (code or not k or not lines[k - 1].strip())
        code = indented or (code and not line.strip())
        made.append(line if indented else _escaped(line))
    text = re.sub(r"(?<![<(])(https?://[^\s,;)]*[^\s,;.)])", r"<\1>", "\n".join(made))
    return re.sub(r"(?<!\w)docs/(\w+)\.md", r"[docs/\1.md](../\1.md)", text)


def _escaped(line):
    parts = re.split(r"(`[^`]*`|\*\*\w[^*]*\w\*\*)", line)
    return "".join(part if k % 2 else re.sub(r"([*_<])", r"\\\1", part) for k, part in enumerate(parts))


def _first(name):
    kind, preset = models._kind(name)
    doc = inspect.getdoc(inspect.getmodule(kind)) if len(_shared(kind)) == 1 else inspect.getdoc(kind)
    told = markdown(doc.split("\n\n")[0].replace("\n", " "))
    return told + (f" Here: {', '.join(f'`{o}={v!r}`' for o, v in preset.items())}." if preset else "")


def _shared(kind):
    """The systems of a file."""
    return {models._kind(name)[0] for name in models.available() if models._kind(name)[0].__module__ == kind.__module__}


def _without_sections(docstring):
    return re.split(r"\n+(?:Args|Raises|Returns):", docstring)[0]


def _steps(kind):
    """What the methods say of themselves that are a step of the paper's: "Step 3, OTHM: ..."."""
    told = [inspect.getdoc(function) or "" for function in vars(kind).values() if inspect.isfunction(function)]
    steps = sorted(_without_sections(text) for text in told if text.startswith("Step "))
    return (
        ["## Steps\n", *(f"- {markdown(step).replace(chr(10), f'{chr(10)}  ')}" for step in steps), ""] if steps else []
    )


def _options(kind, preset):
    rows = ["| option | default | a nested choice draws from |", "|---|---|---|"]
    for option, about in list(inspect.signature(kind).parameters.items())[1:]:
        if option not in preset and about.kind is not about.VAR_KEYWORD:
            drawn = ", ".join(f"`{v!r}`" for v in kind.choices.get(option, ()))
            rows.append(f"| `{option}` | `{about.default!r}` | {drawn} |")
    return [*rows, ""] if len(rows) > 2 else ["None.\n"]


def _drawn(name, study):
    """The architecture for the simulated study, as HTML whose links lead to the code."""
    from helo.views import architecture

    model = helo.build(name, study, seed=0)
    if model.closed_form:
        split = helo.splits.by_subject(study, folds=4)[0]
        helo.fit(model, study, split, progress=False)
    drawn = architecture(model, root="../").data
    drawn = re.sub(r'href="\.\./(helo/[\w/]+)\.py"', r'href="../_modules/\1.html"', drawn)
    drawn = re.sub(r'href="\.\./notebooks/(\w+)\.ipynb"', r'href="../notebooks/\1.html"', drawn)
    told = "What one forward pass on the simulated study computes, drawn by `helo.views.architecture`."
    return f'{told}\n\n```{{raw}} html\n<div class="helo-wide">{drawn}</div>\n```\n'


def _knocked(kind, knocked):
    if knocked.empty:
        return ["Not among the systems of [the knock-outs](../knockout.md).\n"]
    head = "| part | what stands in its place | change | KL without it | worse by [range over people] |"
    lines = [
        "What each part does in one trained model; [the knock-outs](../knockout.md) say how it was made and read.\n"
    ]
    for study, part in knocked.groupby("name", sort=False):
        first = part.iloc[0]
        lines += [
            f"**{study}**: KL {first.kl:.4f}, of the training mean {first.kl_mean:.4f}, {first.people} test people.\n"
        ]
        lines += [head, "|---|---|---|---|---|"]
        lines += [
            f"| {row.part} | {markdown(row.instead)} | {row.change:.2g} | {row.kl_without:.4f} | "
            f"{row.worse:+.4f} [{row.worse_low:+.4f}, {row.worse_high:+.4f}] |"
            for row in part.itertuples()
        ]
        lines.append("")
    return lines
