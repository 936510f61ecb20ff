"""The pages of docs/ tell today's truth: their links lead somewhere, and every file is in the place they name."""

import re

import pytest
from conftest import ROOT

PAGES = sorted((ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md", ROOT / "model-card.md"], ids=lambda page: page.stem)
class TestEveryPage:
    def test_links_and_pictures_exist(self, page):
        linked = [t for t in re.findall(r"\]\(([^)#]+)[)#]", page.read_text()) if not t.startswith("http")]
        assert not [t for t in linked if not (page.parent / t).exists()]

    def test_the_programs_it_names_exist(self, page):
        if page.stem in ("history", "CHANGELOG"):
            return  # of older code
        named = set(
            re.findall(r"\b(?:helo|tests|sweeps|benchmarks|notebooks)/[\w/]*\.(?:py|toml|ipynb)\b", page.read_text())
        )
        assert not [path for path in named if not (ROOT / path).exists()]

    def test_nothing_is_left_to_fill_in(self, page):
        assert not re.findall(r"@[A-Z]+@|TODO|FIXME", page.read_text())


def test_every_file_is_in_its_place():
    text = (ROOT / "docs" / "rooms.md").read_text()
    named = re.findall(r"(helo/[\w/]+(?:\.py|/)|docs/[\w.]+)", text)
    assert not [path for path in named if path != "helo/notebooks/" and not (ROOT / path).exists()]
    rooms = {f"helo/{p.parent.name}/" for p in (ROOT / "helo").glob("*/__init__.py")}
    modules = {f"helo/{p.name}" for p in (ROOT / "helo").glob("[a-z]*.py")}
    assert not (rooms | modules) - set(named)
