"""Pages that need no network and let nothing in: filled templates whose own scripts alone may run."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from typing import Any


def part(name: str) -> str:
    """A file of this package's page/: a template, a style or a script."""
    return (files("helo.batch") / "page" / name).read_text()


def policy(*scripts: str) -> str:
    """The element that forbids a page everything but its own styles, embedded pictures, and these scripts.

    Names of files and values come from data sets and notebooks of strangers. They are escaped where they stand; should
    one be overlooked, the browser runs nothing whose hash is not told here, and asks for nothing from the network.

    Args:
        scripts: the texts of the page's script elements, to the letter.
    """
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts)
    rules = {
        "default-src": "'none'",
        "script-src": hashes or "'none'",
        "style-src": "'unsafe-inline'",
        "img-src": "data: blob:",  # blob: a plot's own download button
        "font-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    content = "; ".join(f"{name} {value}" for name, value in rules.items())
    return f'<meta http-equiv="Content-Security-Policy" content="{content}">'


def filled(template: str, style: str, script: str = "", **values: Any) -> bytes:
    """A template of page/ with its style, script and policy; every value is escaped.

    Args:
        template, style, script: names of files of page/.
        **values: what the template asks for.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    code = part(script) if script else ""
    page = Environment(autoescape=True, undefined=StrictUndefined).from_string(part(template))
    own = {"policy": policy(*[code] * bool(code)), "style": part(style), "script": code}
    text = page.render(**values, **{name: Markup(value) for name, value in own.items()})
    return text.encode(errors="replace")  # a name of a file need not be text
