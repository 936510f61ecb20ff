"""Extracted features on disk: who may put them there, what makes them old, how they are damaged, how many are kept."""

import dataclasses
import os
import re
import stat
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import random_data, write_emowalk, write_wesad
from test_checksums import damaged, in_the_header
from test_dmer import write_features, write_panas, write_raw
from typer.testing import CliRunner

import helo
from helo.__main__ import app
from helo.data import cache_folder
from helo.data.cache import SMALL, cached

DATA = dataclasses.replace(random_data(), starts=np.arange(40.0))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HELO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HELO_CACHE_SIZE", raising=False)
    return tmp_path / "cache"


def load(files=(), name="study", data=DATA, **options):
    """What `cached` gives, and whether it was built."""
    built = []

    def make():
        built.append(True)
        return data

    return cached(name, options, files, make), bool(built)


def silent(*files, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return load(files, **options)[1]


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def same(a, b):
    for field in dataclasses.fields(a):
        x, y = getattr(a, field.name), getattr(b, field.name)
        if isinstance(x, dict) and x and isinstance(next(iter(x.values())), np.ndarray):
            assert set(x) == set(y) and all(np.array_equal(x[k], y[k], equal_nan=True) for k in x), field.name
        elif isinstance(x, np.ndarray):
            assert np.array_equal(x, y) and x.dtype.kind == y.dtype.kind, field.name
        else:
            assert x == y, field.name
    return True


# --- whose it is ------------------------------------------------------------------------------------------------------


def test_folder_and_files_are_their_owners_alone(folder, monkeypatch):
    old = os.umask(0)
    try:
        assert silent()
        assert mode(folder) == 0o700 and [mode(file) for file in folder.iterdir()] == [0o600]
        monkeypatch.delenv("HELO_CACHE")
        monkeypatch.setenv("HOME", str(folder.parent / "home"))
        own = folder.parent / "home" / ".cache" / "helo"
        own.mkdir(parents=True)  # of an older version
        assert mode(own) == 0o777 and silent() and mode(own) == 0o700 and not silent()
    finally:
        os.umask(old)


@pytest.mark.parametrize("open_to", [0o770, 0o707, 0o777])
def test_a_folder_that_others_may_write_is_not_used(folder, open_to):
    assert silent() and not silent()
    folder.chmod(open_to)
    with pytest.warns(UserWarning, match=rf"^{folder}: others may write it \(mode {open_to:o}\); not used"):
        assert load()[1]
    assert mode(folder) == open_to, "named by the user, who may share it on purpose"
    folder.chmod(0o755)
    assert not silent()


def test_what_another_user_owns_is_not_loaded(folder, monkeypatch):
    assert silent() and not silent()
    (entry,) = folder.iterdir()
    owner = os.geteuid()
    stat_of = type(entry).stat

    def foreign(path, **options):
        about = list(stat_of(path, **options))
        about[4] = owner + (path == planted)
        return os.stat_result(about)

    monkeypatch.setattr(type(entry), "stat", foreign)
    planted = entry
    with pytest.warns(UserWarning, match=rf"unreadable cache \(belongs to another user \(uid {owner + 1}\)\)"):
        assert load()[1]
    planted = folder
    with pytest.warns(UserWarning, match=rf"^{folder}: belongs to another user \(uid {owner + 1}\); not used"):
        assert load()[1]
    planted = None
    assert not silent()


def test_what_others_may_write_is_not_loaded(folder, tmp_path):
    silent()
    (entry,) = folder.iterdir()
    entry.chmod(0o666)
    with pytest.warns(UserWarning, match=r"others may write it \(mode 666\)"):
        assert load()[1]
    assert mode(entry) == 0o600 and not silent()
    entry.rename(tmp_path / "elsewhere")
    entry.symlink_to(tmp_path / "elsewhere")
    with pytest.warns(UserWarning, match="is a link"):
        assert load()[1]
    assert not entry.is_symlink() and not silent()


# --- what makes it old ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1000, SMALL + 1])
def test_a_file_of_equal_size_and_time_with_other_content_is_another(folder, tmp_path, size):
    """In place, and by another file that takes its place."""
    file = tmp_path / "recording"
    file.write_bytes(b"a" * size)
    os.utime(file, ns=(10**18, 10**18))
    assert silent(file) and not silent(file)
    time.sleep(0.02)  # the clock of a file system ticks every few milliseconds
    with file.open("r+b") as written:
        written.seek(size // 2)
        written.write(b"b")
    os.utime(file, ns=(10**18, 10**18))
    assert silent(file) and not silent(file)
    (tmp_path / "other").write_bytes(b"c" * size)
    os.utime(tmp_path / "other", ns=(10**18, 10**18))
    os.replace(tmp_path / "other", file)
    assert silent(file) and not silent(file)


def test_a_small_file_that_was_only_touched_is_the_same(folder, tmp_path):
    (tmp_path / "ratings").write_text("1;2;3")
    assert silent(tmp_path / "ratings")
    os.utime(tmp_path / "ratings", ns=(10**18, 10**18))
    assert not silent(tmp_path / "ratings")


def test_a_file_that_changes_while_it_is_read_is_not_kept(folder, tmp_path):
    file = tmp_path / "ratings"
    file.write_text("old")

    def make():
        file.write_text("new")
        return DATA

    cached("study", {}, [file], make)
    assert not list(folder.iterdir()) and silent(file)
    file.write_text("old")
    assert silent(file), "what was made of the new content is not the old one's"


def different(a, b):
    return not np.array_equal(a.distributions, b.distributions)


def quietly_changed(file, change):
    """Other content, equal in size and time."""
    about, content = file.stat(), file.read_bytes()
    changed = change(content)
    assert changed != content and len(changed) == len(content)
    file.write_bytes(changed)
    os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns))


@pytest.mark.parametrize("pattern", ["ratings/{subject}.txt", "{subject}/panas.csv", "../beside/{subject}.csv"])
def test_a_changed_questionnaire_of_dmers_pattern_gives_other_labels(folder, tmp_path, pattern):
    root = write_raw(tmp_path / "dmer", people=[1])
    write_panas(root, [1])
    file = root / pattern.replace("{subject}", "1")
    file.parent.mkdir(exist_ok=True)
    os.replace(root / "Questionnaires" / "1.csv", file)
    options = {"root": root, "form": "raw", "labels": "panas", "faces": "none", "panas": pattern}
    first = helo.load("dmer", **options)
    assert same(helo.load("dmer", **options), first)
    quietly_changed(file, lambda text: re.sub(b"[1-5]", lambda m: bytes([54 - (m[0][0] - 48)]), text))
    assert different(helo.load("dmer", **options), first)


def test_a_changed_face_of_dmers_is_read_again(folder, tmp_path):
    """A folder of .npz, one of .mat at any depth, a zip: whatever is read counts."""
    root = write_raw(tmp_path, people=[1], lengths=np.full(32, 7))
    write_features(root, people=[1], rows=np.full(32, 3))
    inner = root / "Features" / "part" / "1.mat"
    inner.parent.mkdir()
    os.replace(root / "Features" / "1.mat", inner)
    first = helo.load("dmer", root, form="raw")
    write_features(root, people=[1], rows=np.full(32, 3), change=lambda c: c.update(feas=c["feas"] + 1))
    os.replace(root / "Features" / "1.mat", inner)
    assert not np.array_equal(helo.load("dmer", root, form="raw").signals["video"], first.signals["video"])


def test_a_changed_questionnaire_of_wesads_and_of_emowalks_gives_other_labels(folder, tmp_path):
    write_wesad(tmp_path)
    first = helo.load("wesad", tmp_path)
    quietly_changed(tmp_path / "S2" / "S2_quest.csv", lambda text: text.replace(b"# PANAS;1;2;3", b"# PANAS;5;2;3"))
    assert different(helo.load("wesad", tmp_path), first)
    write_emowalk(tmp_path / "walks")
    first = helo.load("emowalk", tmp_path / "walks")
    table = tmp_path / "walks" / "PANAS" / "PANAS_mo_mu.csv"
    quietly_changed(table, lambda text: re.sub(rb",1(?=\r?\n|,)", b",5", text))
    assert different(helo.load("emowalk", tmp_path / "walks"), first)


# --- damage -----------------------------------------------------------------------------------------------------------


def test_of_200_damaged_entries_none_loads(folder):
    load()
    (entry,) = folder.iterdir()
    content, rng = entry.read_bytes(), np.random.default_rng(0)
    for k in range(200):
        broken = (in_the_header if k % 3 == 0 else damaged)(content, rng)
        if broken == content:
            continue
        entry.write_bytes(broken)
        with pytest.warns(UserWarning, match=f"^{entry}: unreadable cache .*; building it again"):
            found, built = load()
        assert built and same(found, DATA)
        assert entry.read_bytes() == content, "built again"


def test_an_entry_under_anothers_name_is_not_loaded(folder):
    load(seed=1)
    (one,) = folder.iterdir()
    load(seed=2)
    (two,) = set(folder.iterdir()) - {one}
    os.replace(one, two)
    with pytest.warns(UserWarning, match="is another entry's file"):
        assert load(seed=2)[1]


def test_what_is_kept_comes_back_whole(folder):
    load()
    found, built = load()
    assert not built and same(found, DATA)
    found.signals["eda"][0] = 0  # and may be changed


# --- how much ---------------------------------------------------------------------------------------------------------


def test_the_longest_unused_go_beyond_the_limit(folder, monkeypatch):
    load(seed=0)
    size = next(folder.iterdir()).stat().st_size
    monkeypatch.setenv("HELO_CACHE_SIZE", str(3.5 * size / 1e9))
    for k in range(1, 3):
        load(seed=k)
    for k, entry in enumerate(cache_folder.entries()):
        os.utime(entry.path, (k, k))
    assert not silent(seed=0), "used: now the youngest"
    (folder / "my-model.safetensors").write_bytes(b"x" * 10 * size)
    (folder / "notes.txt").write_text("mine")
    assert silent(seed=3) and len(cache_folder.entries()) == 3
    assert not silent(seed=0) and not silent(seed=2) and not silent(seed=3)
    assert silent(seed=1), "was the longest unused"
    assert (folder / "my-model.safetensors").exists() and (folder / "notes.txt").exists()


def test_what_is_larger_than_the_limit_is_not_kept_and_that_is_said(folder, monkeypatch):
    monkeypatch.setenv("HELO_CACHE_SIZE", "0.000001")
    with pytest.warns(UserWarning, match=r"could not write the cache \(larger than .*HELO_CACHE_SIZE"):
        assert load()[1]
    assert not list(folder.iterdir())
    for wrong in ("much", "-1", "nan", "inf"):
        monkeypatch.setenv("HELO_CACHE_SIZE", wrong)
        with pytest.raises(ValueError, match=f"HELO_CACHE_SIZE is '{wrong}'; expected gigabytes"):
            load()


def test_processes_that_fill_a_small_cache_at_once_disturb_nobody(folder, monkeypatch):
    load(seed=-1)
    size = next(folder.iterdir()).stat().st_size
    monkeypatch.setenv("HELO_CACHE_SIZE", str(4.5 * size / 1e9))  # for four threads, each with one it has just written
    with warnings.catch_warnings(), ThreadPoolExecutor(4) as pool:
        warnings.simplefilter("error")
        assert all(built for _, built in pool.map(lambda k: load(seed=k), range(80)))
    assert len(list(folder.iterdir())) <= 5 and all(same(load(seed=k)[0], DATA) for k in range(80))


def test_what_another_process_removes_meanwhile_is_no_fault(folder, monkeypatch):
    load(seed=0)
    (gone,) = folder.iterdir()
    half = folder / f".{gone.name}.x.unfinished"
    half.write_bytes(b"half")
    look = type(gone).lstat

    def removed_first(path):
        if path in (gone, half):
            path.unlink(missing_ok=True)
        return look(path)

    monkeypatch.setattr(type(gone), "lstat", removed_first)
    assert silent(seed=1) and [entry.path for entry in cache_folder.entries()] == list(folder.iterdir())


def test_what_a_killed_process_left_half_written_goes(folder):
    load(seed=0)
    old, new = (folder / f".study-0.safetensors.{k}.unfinished" for k in "ab")
    for file in (old, new):
        file.write_bytes(b"half")
    os.utime(old, (1, 1))
    load(seed=1)
    assert new.exists() and not old.exists(), "the new one may be under way"


def test_the_command_lists_and_clears(folder):
    def said(*arguments, code=0):
        done = CliRunner().invoke(app, ["cache", *arguments])
        assert done.exit_code == code, done.output
        return done.output

    assert "0 entries, 0.0 MB, at most 5 GB are kept" in said()
    load(seed=0)
    load(name="wesad", seed=0)
    load(name="wesad", seed=1)
    entries = {entry.path.stem: entry for entry in cache_folder.entries()}
    oldest = sorted(entries)[1]
    os.utime(entries[oldest].path, (time.time() - 5 * 86400,) * 2)
    (folder / "kept.safetensors").write_bytes(b"another program's")
    *lines, total = said().splitlines()
    (first, *words), *_ = map(str.split, lines)
    assert first == oldest and words[0] == "0.0" and words[1:] == ["MB,", "unused", "for", "5.0", "days"]
    assert {line.split()[0] for line in lines} == set(entries) and total.startswith(f"{folder}: 3 entries, 0.0 MB, ")
    assert f"{folder}: 2 entries" in said("wesad")
    assert "keeps no 'wesat'" in said("wesat", code=2) and "keeps no 'kept'" in said("--clear", "kept", code=2)
    assert "2 entries" in said("--clear", "wesad") and [e.path.stem[:5] for e in cache_folder.entries()] == ["study"]
    assert "1 entry" in said("--clear") and not cache_folder.entries()
    assert (folder / "kept.safetensors").exists()
