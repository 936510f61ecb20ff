"""A wheel carries what works outside the repository: the library, the notebooks, the sweeps."""

import json
import os
import shutil
import subprocess
import sys
import zipfile

import pytest
from conftest import ROOT

from helo.batch import notebooks


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy: setuptools leaves its work where it builds."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("helo", "notebooks", "sweeps"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "-w",
        folder,
        source,
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return next(folder.glob("helo-*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Runs `python -m helo` from the wheel alone, in an empty folder: (folder, run)."""
    site, folder = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("empty")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", site, wheel]
    subprocess.run(command, check=True, capture_output=True)
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}

    def run(*arguments):
        command = [sys.executable, "-m", "helo", *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)

    where = subprocess.run(
        [sys.executable, "-c", "import helo; print(helo.__file__)"],
        capture_output=True, text=True, check=True, cwd=folder, env=environment,
    )  # fmt: skip
    assert where.stdout.strip().startswith(str(site)), "not the repository's"
    return folder, run


def test_the_wheel_has_every_file_of_the_library(wheel):
    carried = set(zipfile.ZipFile(wheel).namelist())
    library = {path.relative_to(ROOT).as_posix() for path in (ROOT / "helo").rglob("*") if path.is_file()}
    missing = {name for name in library if "__pycache__" not in name and not name.endswith(".pyc")} - carried
    assert not missing, "pyproject.toml lists the packages"
    assert {f"helo/notebooks/{path.name}" for path in (ROOT / "notebooks").glob("*.ipynb")} <= carried
    assert {f"helo/sweep_files/{path.name}" for path in (ROOT / "sweeps").glob("*.toml")} <= carried
    assert not [name for name in carried if name.startswith(("tests", "benchmarks", "docs"))]


def test_it_copies_the_notebooks_and_overwrites_nothing(installed):
    folder, run = installed
    done = run("notebooks", "lessons")
    assert done.returncode == 0 and "jupyter lab lessons/00_index.ipynb" in done.stdout
    copied = {path.relative_to(folder / "lessons").as_posix() for path in (folder / "lessons").rglob("*.*")}
    assert {"00_index.ipynb", "07_your_own_data.ipynb", "sweeps/benchmark.toml", "sweeps/example.toml"} <= copied
    mine = folder / "lessons" / "02_train.ipynb"
    mine.write_text("mine")
    (folder / "lessons" / "01_explore.ipynb").unlink()
    again = run("notebooks", "lessons")
    assert again.returncode == 2 and "is there already" in again.stderr and "Traceback" not in again.stderr
    assert mine.read_text() == "mine" and not (folder / "lessons" / "01_explore.ipynb").exists()


def test_a_sweep_and_its_overview(installed):
    folder, run = installed
    run("notebooks", "swept")
    small = ["-p", "model=mean", "-p", "fold=0", "-p", "epochs=1"]
    done = run("sweep", "swept/sweeps/example.toml", *small)
    assert done.returncode == 0, done.stderr[-2000:]
    assert run("collect", "runs/example").returncode == 0
    result = json.loads(next((folder / "runs" / "example").glob("*/result.json")).read_text())
    assert result["dataset"] == "simulated" and (folder / "runs" / "example" / "index.html").exists()


def test_a_file_in_the_place_of_a_folder(tmp_path):
    (tmp_path / "sweeps").write_text("mine")
    with pytest.raises(FileExistsError, match="sweeps: is no folder, and nothing was copied"):
        notebooks.copy(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["sweeps"]


def test_a_copy_that_fails_leaves_nothing(tmp_path):
    (tmp_path / "sweeps").symlink_to(tmp_path / "nowhere")
    for _ in range(2):  # the second finds what the first found
        with pytest.raises(OSError, match="sweeps"):
            notebooks.copy(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["sweeps"]


def test_in_the_repository_they_are_its_own():
    assert notebooks.folder() == ROOT / "notebooks" and notebooks.folder("sweeps") == ROOT / "sweeps"
    assert notebooks.find("02_train") == ROOT / "notebooks" / "02_train.ipynb"
    with pytest.raises(ValueError, match=r"02_trai: no such notebook; helo has .*'02_train'"):
        notebooks.find("02_trai")
