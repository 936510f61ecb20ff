"""The pages of docs/ tell today's truth: their links lead somewhere, and every file is in the place they name."""

import re

import pytest
import yaml
from conftest import ROOT

import helo

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


def test_the_citation_is_of_this_version():
    """The fields that the Citation File Format 1.2.0 asks for, and today's version."""
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(cited) and cited["cff-version"] == "1.2.0"
    assert cited["version"] == helo.__version__
    for work in cited["references"]:
        assert {"type", "title", "authors"} <= set(work) and re.fullmatch(r"10\.\d{4,}/\S+", work["doi"])
