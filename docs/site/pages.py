"""The pages of the repository as pages of the site: where each comes to stand, and where its links lead then."""

from __future__ import annotations

import posixpath
import re
import shutil
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[2]
#: what stands outside docs/ -> its name in the site
OTHERS = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md", "model-card.md": "model-card.md"}
#: section -> its pages in their order; those that do not exist are left out, others of docs/ come under "More"
SECTIONS = {
    "Start": ["quick-start", "notebooks", "gallery", "data-sets", "recordings", "live"],
    "Method": ["method", "systems/index", "mechanisms", "knockout"],
    "Results": ["findings", "results", "protocols", "uncertainty", "history"],
    "In use": ["sweeps", "cluster", "speed", "reliability", "model-card"],
    "Reference": ["reference/index", "reference/command-line", "rooms", "contributing", "changelog"],
    "More": [],
}
#: a fenced block, a link, or code, whichever comes first
_LINK = re.compile(r"^```.*?^```|(!?)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^)\s#]+)(#[^)\s]*)?\)|`[^`\n]*`", re.M | re.S)


def stage(folder: Path) -> None:
    """Copy the pages of docs/, those of `OTHERS`, and the home page with its table of contents.

    Args:
        folder: where Sphinx reads them.
    """
    for path in sorted((ROOT / "docs").glob("*.md")):
        write(folder / path.name, moved(path.read_text(), f"docs/{path.name}", path.name, folder))
    for source, name in OTHERS.items():
        write(folder / name, moved((ROOT / source).read_text(), source, name, folder))
    listed = {name for names in SECTIONS.values() for name in names}
    sections = SECTIONS | {"More": [p.stem for p in sorted((ROOT / "docs").glob("*.md")) if p.stem not in listed]}
    for section, names in sections.items():
        there = [name for name in names if "/" in name or name == "gallery" or (folder / f"{name}.md").exists()]
        if there:
            write(folder / f"{_slug(section)}.md", f"# {section}\n\n{tree(there, depth=1)}")
    known = [_slug(section) for section in sections if (folder / f"{_slug(section)}.md").exists()]
    write(folder / "index.md", home(folder) + tree(known, hidden=True))


def home(folder: Path) -> str:
    """README without its list of pages, which the site's navigation is."""
    text = (ROOT / "README.md").read_text().partition("\n## Read on\n")
    licence = text[2].rpartition("\n\n")[2]
    return moved(f"{text[0]}\n{licence}\n", "README.md", "index.md", folder)


def tree(names: list[str], hidden: bool = False, depth: int = 2) -> str:
    """A table of contents."""
    options = f":maxdepth: {depth}\n" + (":hidden:\n" if hidden else "")
    return f"\n```{{toctree}}\n{options}\n" + "\n".join(names) + "\n```\n"


def moved(text: str, source: str, page: str, folder: Path) -> str:
    """A page's Markdown with links that lead where their targets stand in the site.

    Code becomes a link into the reference; a file that is no page is copied and can be downloaded.

    Args:
        text: of the page.
        source: the page's path in the repository.
        page: its path in the site.
        folder: of the site's sources.
    """

    def link(match):
        picture, told, target, anchor = match.groups()
        if target is None or re.match(r"\w+:", target):
            return match[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if re.fullmatch(r"helo/.*\.py", path):
            module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            return f"{{py:mod}}`{told.replace('`', '').replace(chr(92), '')} <{module}>`"
        if path != "docs" and (ROOT / path).is_dir():
            return told  # of the repository, which the site does not have
        there = _place(path, folder)
        return f"{picture}[{told}]({posixpath.relpath(there, posixpath.dirname(page) or '.')}{anchor or ''})"

    return _LINK.sub(link, text)


def _place(path, folder):
    """Where a file of the repository stands in the site; one that is no page is copied there."""
    if re.fullmatch(r"docs/[^/]+\.md", path):
        return path.removeprefix("docs/")
    if path == "README.md":
        return "index.md"
    if path in OTHERS:
        return OTHERS[path]
    if re.fullmatch(r"notebooks/\d\d_\w+\.ipynb", path):
        return path
    if path == "notebooks/dashboard.ipynb":
        return "gallery.md"  # nothing of it is seen without a kernel
    if path == "docs":
        return "index.md"
    there = path if path.startswith("figures/") else f"files/{PurePosixPath(path).name}"
    if (ROOT / path).is_file():
        (folder / there).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, folder / there)
        return there
    raise ValueError(f"{path}: a page links to it, and there is no such file")


def write(file: Path, text: str) -> None:
    """Write a page, and its folder where there is none."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def _slug(section):
    return "part-" + section.lower().replace(" ", "-")
