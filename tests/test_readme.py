"""README tells today's truth: its code runs, its files exist, its figures are those of the pages; and it is short."""

import contextlib
import io
import re

from conftest import ROOT

import helo

TEXT = (ROOT / "README.md").read_text()


def test_the_usage_block_runs_and_prints_what_it_says(tmp_path, monkeypatch):
    code, printed = re.search(r"```python\n(.*?)```\n```\n(.*?)```", TEXT, re.S).groups()
    assert code.count("\n") <= 15
    monkeypatch.chdir(tmp_path)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(code, {})
    found, expected = out.getvalue().splitlines(), printed.splitlines()
    assert found[:2] == expected[:2]
    # floating point differs a little between machines
    for a, b in zip(*(re.findall(r"[\d.]+", lines[2]) for lines in (found, expected)), strict=True):
        assert abs(float(a) - float(b)) < 0.01 * max(1, float(b))
    assert (tmp_path / "helo.safetensors").exists()


def test_the_quick_start_shows_the_same():
    block = re.search(r"```python\n.*?```\n```\n.*?```", TEXT, re.S)[0]
    assert block in (ROOT / "docs" / "quick-start.md").read_text()


def test_links_and_pictures_exist():
    linked = [t for t in re.findall(r"\]\(([^)]+)\)", TEXT) if not t.startswith("http")]
    assert len(linked) > 5 and not [t for t in linked if not (ROOT / t).exists()]


def test_it_is_short():
    assert TEXT.count("\n") <= 150


def test_its_results_are_those_of_the_pages():
    told = re.findall(r"\d\.\d+", re.search(r"\n## Results\n(.*?)\n## ", TEXT, re.S)[1])
    pages = "".join((ROOT / "docs" / f"{name}.md").read_text() for name in ("results", "findings", "mechanisms"))
    assert len(told) > 10 and not [number for number in told if number not in pages]


def test_it_counts_the_systems():
    assert int(re.search(r"the (\d+) systems", TEXT)[1]) == len(helo.models.available())


def test_nothing_is_left_to_fill_in():
    assert not re.findall(r"@[A-Z]+@", TEXT)
