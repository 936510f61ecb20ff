"""What counts as code: a result is kept as long as nothing it was computed by has changed."""

import ast
import shutil

import pytest
from conftest import ROOT, random_data

import helo
from helo import files
from helo.data import cache
from helo.evaluation.fits import code_of
from helo.training.member import Member


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the library's files, from which digests are taken."""
    copy = tmp_path / "helo"
    shutil.copytree(ROOT / "helo", copy, ignore=shutil.ignore_patterns("__pycache__", "pretrained"))
    monkeypatch.setattr(files, "_PACKAGE", copy)
    files._imported.cache_clear()  # it remembers paths
    yield copy
    files._imported.cache_clear()


def changed(path, old, new):
    text = path.read_text()
    assert text.count(old) >= 1
    path.write_text(text.replace(old, new, 1))


def test_comments_docstrings_and_layout_are_no_code(package):
    before = code_of("helo")
    changed(package / "sinkhorn.py", '"""', '"""Another word. ')
    changed(package / "sinkhorn.py", "\ndef ", "\n# a comment\n\n\ndef ")
    assert code_of("helo") == before


@pytest.mark.parametrize("file", ["sinkhorn.py", "precision.py", "losses.py", "models/helo.py", "training/loop.py"])
def test_what_a_training_computes_with_ends_its_fits_and_checkpoints(package, file):
    data = random_data(20, 4)
    split = helo.splits.by_subject(data, folds=2)[0]
    settings = helo.training.member.Settings(2, 8, 1e-3, 0.0, 1.0, 5, "cpu", False, False, "float32", None)

    def codes():
        return code_of("helo"), Member(helo.build("helo", data), data, split, 0, None, settings).about["code"]

    before = codes()
    (package / file).write_text((package / file).read_text() + "\nNEW = 1\n")
    assert all(old != new for old, new in zip(before, codes(), strict=True))
    (package / "views" / "panels.py").write_text("NEW = 1\n")
    after = codes()
    (package / "views" / "panels.py").write_text("NEW = 2\n")
    assert codes() == after


def test_a_data_set_is_made_again_by_other_code_of_its_reader(package):
    """`helo.data.cache`: what the reader uses, however far down; of a name that is no reader's, the whole room's."""

    def keys():
        return {name: cache._key(name, {}, []) for name in ("wesad", "ldl", "a study")}

    before = keys()
    for file, name in (("signals.py", "wesad"), ("wesad_people.py", "wesad"), ("wesad.py", "wesad"), ("ldl.py", "ldl")):
        (package / "data" / file).write_text((package / "data" / file).read_text() + "\nNEW = 1\n")
        files._imported.cache_clear()
        after = keys()
        assert {name for name in after if after[name] != before[name]} == {name, "a study"}, file
        before = after


def test_every_statement_is_found_wherever_it_stands():
    source = b"""
import a
def f():
    'doc'
    if a:
        pass
    else:
        import b
    try:
        with a:
            import c
    except E:
        'doc'
        import d
    finally:
        match a:
            case 1:
                import e
    async def g():
        for x in a:
            import f
        while a:
            class H:
                import g
"""
    found = [alias.name for node in files._statements(ast.parse(source)) for alias in getattr(node, "names", [])]
    assert sorted(found) == list("abcdefg")
    assert files._code(source) == files._code(source.replace(b"'doc'", b"'another'"))
    assert files._code(source) != files._code(source.replace(b"import e", b"import z"))
