"""README tells today's truth: its code runs, and its files exist."""

import contextlib
import io
import re

from conftest import ROOT

TEXT = (ROOT / "README.md").read_text()


def test_the_usage_block_runs_and_prints_what_it_says(tmp_path, monkeypatch):
    code, printed = re.search(r"```python\n(.*?)```\n```\n(.*?)```", TEXT, re.S).groups()
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


def test_links_and_pictures_exist():
    linked = [t for t in re.findall(r"\]\(([^)]+)\)", TEXT) if not t.startswith("http")]
    assert len(linked) > 5 and not [t for t in linked if not (ROOT / t).exists()]


def test_every_file_is_in_its_place():
    named = re.findall(r"(helo/[\w/]+(?:\.py|/)|docs/[\w.]+)", TEXT.split("## What is where")[1])
    assert not [path for path in named if not (ROOT / path).exists()]
    rooms = {f"helo/{p.parent.name}/" for p in (ROOT / "helo").glob("*/__init__.py")}
    modules = {f"helo/{p.name}" for p in (ROOT / "helo").glob("[a-z]*.py")}
    assert not (rooms | modules) - set(named)


def test_nothing_is_left_to_fill_in():
    assert not re.findall(r"@[A-Z]+@", TEXT)
