"""What is wrong with a built site: something fetched from elsewhere when it is read, or a link that leads nowhere."""

from __future__ import annotations

import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

#: element -> attribute of what a browser fetches by itself
_FETCHED = {
    ("script", "src"), ("img", "src"), ("link", "href"), ("iframe", "src"), ("source", "src"), ("video", "src"),
    ("audio", "src"), ("embed", "src"), ("object", "data"), ("image", "href"), ("use", "href"), ("track", "src"),
}  # fmt: skip


class _Page(HTMLParser):
    """Links, ids and inline styles of a page."""

    def __init__(self, text):
        super().__init__()
        self.links, self.fetched, self.ids, self.styles = [], [], set(), []
        self._style = False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self._style = tag == "style"
        for name, value in attributes:
            if name == "id":
                self.ids.add(value)
            elif name == "style":
                self.styles.append(value or "")
            elif (tag, name) in _FETCHED:
                self.fetched.append(value or "")
            elif name == "srcset":
                self.fetched += [part.split()[0] for part in (value or "").split(",")]
            elif (tag, name) == ("a", "href"):
                self.links.append(value or "")

    handle_startendtag = handle_starttag

    def handle_data(self, data):
        if self._style:
            self.styles.append(data)

    def handle_endtag(self, tag):
        self._style = False


def faults(site: Path) -> list[str]:
    """One line for every thing fetched from elsewhere, and for every link of the site's own that leads nowhere.

    Args:
        site: folder of the built pages.
    """
    site = site.resolve()

    @cache
    def read(path):
        return _Page(path.read_text(errors="replace"))

    found = []
    for path in sorted(p for p in site.rglob("*.html") if "_static" not in p.parts):
        page, name = read(path), path.relative_to(site)
        for target in page.fetched:
            found += _missing(path, target, name, read, fetched=True)
        for target in page.links:
            found += _missing(path, target, name, read, fetched=False)
        found += [f"{name}: a style fetches {url}" for url in _elsewhere(" ".join(page.styles))]
    for path in sorted(site.rglob("*.css")):
        found += [f"{path.relative_to(site)}: fetches {url}" for url in _elsewhere(path.read_text(errors="replace"))]
    return sorted(set(found))


def _missing(page, target, name, read, fetched):
    parts = urlsplit(target)
    if parts.scheme == "data":
        return []
    if parts.scheme or parts.netloc:
        return [f"{name}: fetches {target}"] if fetched else []
    there = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if there.is_dir():
        there = there / "index.html"
    if not there.is_file():
        return [f"{name}: {target} leads nowhere"]
    if parts.fragment and there.suffix == ".html" and unquote(parts.fragment) not in read(there).ids:
        return [f"{name}: no such place as {target}"]
    return []


def _elsewhere(style):
    urls = re.findall(r"url\(\s*['\"]?([^'\")]+)", style) + re.findall(r"@import\s+['\"]([^'\"]+)", style)
    return [url for url in urls if re.match(r"(https?:)?//", url)]
