"""The code behind a name, folded, in a notebook: links to lines rot at every change, and JupyterLab ignores them."""

from __future__ import annotations

import html
import inspect
import textwrap
from collections.abc import Callable
from pathlib import Path

from IPython.display import HTML
from jupyterlab_pygments import JupyterStyle
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

# colors are the theme's own variables, so they are legible in each; where there is no theme, the text's color stands in
_FORMATTER = HtmlFormatter(style=JupyterStyle, noclasses=True, nowrap=True)
_PRE = (
    "max-height: 30em; overflow: auto; white-space: pre-wrap; word-break: normal; overflow-wrap: break-word; "
    "background: transparent; padding: 0.2em 1em; "
    "font-family: var(--jp-code-font-family, monospace); font-size: var(--jp-code-font-size, 13px); line-height: 1.3"
)


def source(*objects: Callable) -> HTML:
    """The source of functions, methods and classes, each folded under its name and file, with its lines there.

    The result is plain HTML: it needs no kernel to be opened, and is part of every executed notebook and its report.

    Args:
        *objects: what to show, as `transport.plan` or `HeLo.encode`.

    Raises:
        ValueError: something that has no Python source, such as a number, a module or a built-in function.
    """
    return HTML("\n".join(map(_folded, objects)))


def _folded(named):
    named = inspect.unwrap(named)
    try:
        file, name = inspect.getfile(named), named.__qualname__
        lines, first = inspect.getsourcelines(named)
    except (TypeError, OSError, AttributeError):
        raise ValueError(f"{named!r} has no source to show; expected a function, method or class") from None
    module, path = named.__module__, Path(file)
    within = module.count(".") + 1 + (path.stem == "__init__")  # how much of the path the module's name tells
    title = f"<code>{html.escape(f'{module}.{name}')}</code>, {html.escape('/'.join(path.parts[-within:]))}"
    code = highlight(textwrap.dedent("".join(lines)), PythonLexer(), _FORMATTER)
    where = f'<div style="padding: 0 1em">lines {first} to {first + len(lines) - 1}</div>'
    summary = f'<summary style="cursor: pointer">{title}</summary>'
    return f'<details>{summary}{where}<pre style="{_PRE}">{code}</pre></details>'
