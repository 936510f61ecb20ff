"""CONTRIBUTING.md tells today's truth: its files, names and commands exist, and it is a page."""

import re

from conftest import ROOT

import helo

TEXT = (ROOT / "CONTRIBUTING.md").read_text()
TESTS = (ROOT / "tests" / "test_models.py").read_text()


def test_it_is_one_page():
    assert TEXT.count("\n") < 90


def test_every_file_exists():
    named = set(re.findall(r"\b(?:helo|tests|sweeps|benchmarks|notebooks)/[\w/.]*\w", TEXT))
    assert len(named) > 15 and not [path for path in named if not (ROOT / path).exists()]


def test_every_registry_is_where_it_says():
    found = re.findall(r"`([A-Z_]+)`(?: \(or `([A-Z_]+)`\))?\s+(?:of|in)\s+`([\w/]+\.py)`", TEXT)
    assert len(found) == 4
    for first, second, file in found:
        text = (ROOT / file).read_text()
        assert all(re.search(rf"^{name}\b", text, re.M) for name in (first, second or first)), (first, second, file)


def test_every_command_is_one_of_make_test():
    makefile = (ROOT / "Makefile").read_text()
    for command in re.findall(r"^ {4}\.venv/bin/python (-m \S+ .*?)(?: *#.*)?$", TEXT, re.M):
        assert command.replace("ruff format", "ruff format --check") in makefile, command
    chosen = re.search(r'pytest -q (tests/\S+) -k "(\w+) and (\w+)"', TEXT)
    assert chosen[2] in helo.models.available() and f"test_{chosen[3]}" in (ROOT / chosen[1]).read_text()


def test_every_function_and_class_it_names_exists():
    library = "\n".join(path.read_text() for path in (ROOT / "helo").rglob("*.py"))
    named = set(re.findall(r"`(\w+)(?:\(\))?`", TEXT))
    assert not [n for n in named if not re.search(rf"^ *(def |class |self\.)?{n}\b", library + TESTS, re.M)]
