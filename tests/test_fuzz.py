"""A small run of every family of broken and hostile files; `python tests/fuzz.py --files 10000` is the large one."""

import os

import fuzz
import numpy as np
import pytest
from fuzzing import READERS
from fuzzing.readers import MUTATED
from fuzzing.trial import FAULTS, Reader, attempt

FILES = {name: 80 if name.split("-")[0] not in ("special", "flip", "metadata") else 15 for name in READERS}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Broken files for every reader, other than the large run's; in a process of its own, so that a crash is seen."""
    return fuzz.run(list(READERS), seed=99, files=FILES, folder=tmp_path_factory.mktemp("fuzz"))


@pytest.mark.parametrize("name", READERS)
def test_broken_files_of_every_kind(name, outcomes):
    found = outcomes[name].values()
    assert len(found) == FILES[name] and not [outcome for outcome in found if outcome.kind in FAULTS]
    if name in (*MUTATED, "model", "checkpoint", "pickle-grammar", "wesad-grammar", "wide-csv", "metadata-card"):
        assert sum(outcome.kind == "error" for outcome in found) > FILES[name] / 2


def seen(tmp_path, load, **fields):
    """What is said of a reader that does this."""
    reader = Reader(lambda folder: None, lambda rng: ("file", b"broken"), load, **fields)
    return attempt(reader, tmp_path, np.random.default_rng(0), valid=b"1").kind


def fails(error):
    def load(folder):
        raise error(folder)

    return load


def test_every_kind_of_fault_is_seen(tmp_path, monkeypatch):
    """In this process, whose limits stay as they are but for the alarm."""
    import signal

    from fuzzing import trial

    def late(*_):
        raise trial.Hang("late")

    (tmp_path / "file").write_bytes(b"valid")
    monkeypatch.setattr(trial, "SECONDS", 4)
    before = signal.signal(signal.SIGALRM, late)
    try:
        assert seen(tmp_path, lambda folder: (folder / "file").read_bytes()) == "loaded"
        assert seen(tmp_path, fails(lambda folder: ValueError(f"{folder}/file: broken"))) == "error"
        assert seen(tmp_path, fails(lambda folder: ValueError("broken"))) == "raw error"
        assert seen(tmp_path, fails(lambda folder: KeyError(str(folder)))) == "raw error"
        assert seen(tmp_path, fails(lambda folder: ValueError(f"{folder}/file: " + "x" * 3000))) == "raw error"
        assert seen(tmp_path, fails(lambda folder: ValueError(f"{folder}/file: \x1b[31m"))) == "raw error"
        assert seen(tmp_path, fails(lambda folder: MemoryError())) == "memory"
        assert seen(tmp_path, lambda folder: np.ones(80_000_000)) == "memory"
        assert seen(tmp_path, lambda folder: signal.pause()) == "hang"
        assert seen(tmp_path, lambda folder: 1, numbers=lambda found: b"1") == "loaded"
        assert seen(tmp_path, lambda folder: 2, numbers=lambda found: b"2") == "silent difference"
        assert (tmp_path / "file").read_bytes() == b"valid" and os.listdir(tmp_path) == ["file"]
    finally:
        signal.signal(signal.SIGALRM, before)


def test_what_is_executed_and_a_crash_are_seen(tmp_path):
    """Limits and guards are for good, so in a child."""
    import subprocess
    import sys

    code = f"""
import os, sys
sys.path.insert(0, {os.path.dirname(fuzz.__file__)!r})
from pathlib import Path
import numpy as np
from fuzzing.trial import Reader, attempt, guard
guard()
for load in (lambda f: os.system("true"), lambda f: (f / "x").write_text(""), lambda f: np.ones(3 * 10**8)):
    reader = Reader(None, lambda rng: ("file", b""), load)
    print(attempt(reader, Path({str(tmp_path)!r}), np.random.default_rng(0)).kind)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["executed", "executed", "memory"]
