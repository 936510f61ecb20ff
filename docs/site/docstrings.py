"""A docstring, which is written as one writes Markdown, as the reStructuredText that Sphinx reads."""

from __future__ import annotations

import re

_ITEM = re.compile(r"\s*(?:[-*]|\d+\.) ")


def restructured(lines: list[str]) -> list[str]:
    """Single backticks become code, signs that would be markup are escaped, and what stands indented is an equation.

    Args:
        lines: of a docstring, without its common indentation; sections such as "Args:" stay as they are.
    """
    lines = _tables(lines)
    made: list[str] = []
    before = ""  # the last line that is not empty
    equation = -1  # indentation of the paragraph that an equation stands under
    for k, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if not line.strip():
            made.append("")
            continue
        if equation >= 0 and indent <= equation:
            equation = -1
        if line.startswith(".. list-table"):
            equation = 0  # as an equation, it is taken as it stands
        if equation >= 0:
            made.append(line)
            continue
        gap = bool(k) and not lines[k - 1].strip()
        above = len(before) - len(before.lstrip())
        if gap and indent > above and not _ITEM.match(before):
            made += [" " * above + "::", ""]
            equation = above
            made.append(line)
        else:
            if _ITEM.match(line) and before and not gap and not _ITEM.match(before) and indent == above:
                made.append("")
            made.append(_escaped(line))
        before = line
    return made


def _tables(lines):
    """Markdown's tables as lists of rows."""
    made, inside = [], False
    for line in lines:
        row = line.strip().startswith("|") and line.strip().endswith("|")
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if row and not inside:
            made += [".. list-table::", "   :header-rows: 1", ""]
        if row and not all(re.fullmatch(r":?-+:?", cell) for cell in cells):
            made += [f"   {'  ' if k else '* '}- {_escaped(cell)}" for k, cell in enumerate(cells)]
        elif not row:
            made.append(line)
        inside = row
    return made


def _escaped(line):
    parts = re.split(r"(`+[^`]*`+|\*\*\w[^*]*\w\*\*)", line)
    for k, part in enumerate(parts):
        if part.startswith("`"):
            parts[k] = f"``{part.strip('`')}``"
        elif k % 2 == 0:
            parts[k] = re.sub(r"(?<=\w)_(?!\w)", r"\\_", re.sub(r"([\\*|])", r"\\\1", part))
    return "".join(parts)


def untyped(lines: list[str]) -> list[str]:
    """What napoleon took for a type, as the sentence it was: types stand in signatures here, and never in docstrings.

    Args:
        lines: as napoleon leaves them, with fields such as ":returns:", ":rtype:" and ":type:".
    """
    made: list[str] = []
    for line in lines:
        field, _, told = line.partition(": ")
        if field == ":rtype":
            k = max(k for k, old in enumerate(made) if old.startswith(":returns:"))
            made[k] = f":returns: {told}: {made[k].removeprefix(':returns:').strip()}"
        elif field.startswith(":type "):
            name = field.removeprefix(":type ")
            k = max(k for k, old in enumerate(made) if old.startswith(f":param {name}:"))
            made[k] = f":param {name}: {told}: {made[k].partition(f'{name}:')[2].strip()}"
        elif field == ":type":
            made[0] = f"{told}: {made[0]}"
        else:
            made.append(line)
    return made


def setup(app):
    """Around napoleon, whose priority is 500: before it makes fields of the sections, and after."""

    def before(_app, _what, _name, _object, _options, lines):
        lines[:] = restructured(lines)

    def after(_app, _what, _name, _object, _options, lines):
        lines[:] = untyped(lines)

    app.connect("autodoc-process-docstring", before, priority=400)
    app.connect("autodoc-process-docstring", after, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
