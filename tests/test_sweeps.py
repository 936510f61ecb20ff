"""Sweeps lose nothing: killed, on a full disk, with two drivers, on a cluster, they end with the same table."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pandas as pd
import psutil
import pytest
from conftest import ROOT
from test_notebooks import write_notebook

from helo import sweeps
from helo.batch import runs

AXES = {"a": [0, 1, 2, 3, 4, 5], "b": ["x", "y"], "c": [0.5, 2.0]}
# What a notebook does, without the second that importing helo takes: it looks for other kernels in its folder, writes a
# file bit by bit, and records.
TINY = (
    'a: int = 0  # number\nb: str = "x"  # text\nc: float = 1.0  # factor\nseconds: float = 0.2  # to write\n'
    'fail: bool = False  # fail\noutput: str = ""  # folder',
    """import json, os, random, time
def alive(pid):
    try:
        return open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False
before = open(f"{output}/pids").read().split() if os.path.exists(f"{output}/pids") else []
if any(alive(pid) for pid in before):
    open(f"{output}/TWO", "w").write(str(before))
with open(f"{output}/pids", "a") as file:
    file.write(f"{os.getpid()}\\n")
print("run", a, b, c)
assert not fail, "as asked"
""",
    """with open(f"{output}/picture.png", "wb") as file:
    for part in range(10):
        file.write(random.Random(f"{a}{b}{c}{part}").randbytes(20_000))
        file.flush()
        time.sleep(seconds / 10)
""",
    """with open(f"{output}/{os.environ['HELO_RESULT']}", "w") as file:
    json.dump({"value": a * c, "scores": {"kl": random.Random(a).random()}, "text": b * 3}, file)
""",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the tiny notebook and the sweep of 24 runs."""
    place = tmp_path_factory.mktemp("sweeps")
    write_notebook(place / "tiny.ipynb", *TINY)
    axes = "\n".join(f"{name} = {json.dumps(values)}" for name, values in AXES.items())
    (place / "all.toml").write_text(f'notebook = "tiny.ipynb"\n[[axes]]\n{axes}\n')
    return place


@pytest.fixture(scope="module")
def undisturbed(place):
    """The 24 runs, one after another."""
    states = sweeps.sweep(place / "tiny.ipynb", sweeps.grid(**AXES), place / "undisturbed", progress=False)
    assert list(states.values()) == ["done"] * 24
    return place / "undisturbed"


def helo(*arguments, path="", tmp="", **options):
    """The command; `path`: first of Python's, `tmp`: its folder for temporary files."""
    extra = {"PYTHONPATH": os.pathsep.join([path] * bool(path) + [str(ROOT)])} | ({"TMPDIR": str(tmp)} if tmp else {})
    return subprocess.Popen(
        [sys.executable, "-m", "helo", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **extra},
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        **options,  # a background shell ignores Ctrl-C
    )


def finish(process, code=0):
    told, _ = process.communicate(timeout=300)
    assert process.returncode == code, told[-3000:]
    return told


def table(folder):
    return sweeps.collect(folder).drop(columns="seconds")


def processes(driver, what):
    """Living descendants of a driver: "worker" or "kernel" (with the process that watches over it)."""
    mark = {"worker": "multiprocessing.spawn", "kernel": "ipykernel_launcher"}[what]
    with contextlib.suppress(psutil.Error):
        return [p for p in psutil.Process(driver.pid).children(recursive=True) if mark in " ".join(p.cmdline())]
    return []


def kernels_of(folder):
    """Living kernels that hold a lock in a folder, whoever started them."""
    found = []
    for p in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            held = [os.readlink(f"/proc/{p.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{p.pid}/fd")]
            if any(path.startswith(str(folder)) and path.endswith(runs.LOCK) for path in held):
                found.append(p)
    return found


def wait_for(condition, seconds=300):
    end = time.monotonic() + seconds
    while True:
        asked = time.monotonic()
        if found := condition():
            return found
        assert asked < end, "waited in vain"
        time.sleep(max(0.02, 3 * (time.monotonic() - asked)))  # to look through all processes takes a core its time


def executions(folder):
    """How often each finished run was started."""
    finished = [path.parent for path in folder.glob("*/result.json")]
    return {path.name: len((path / "pids").read_text().split()) for path in finished}


def check_whole(folder, undisturbed):
    """Every run is there, once, whole, and equal to the undisturbed one's."""
    pd.testing.assert_frame_equal(table(folder), table(undisturbed))
    assert not list(folder.glob("*/TWO")), "two kernels in one folder"
    for path in folder.glob("*/tiny.ipynb"):
        same = undisturbed / path.parent.name
        assert (path.parent / "picture.png").read_bytes() == (same / "picture.png").read_bytes()
        cells = nbformat.read(path, as_version=4).cells
        assert [cell.metadata.papermill.status for cell in cells] == ["completed"] * len(cells)
        assert any("run" in str(cell.get("outputs")) for cell in cells)
        assert not list(path.parent.glob(".*.*")), "half-written files are cleared away"


def test_killed_at_50_random_moments(place, undisturbed):
    """kill -9 of driver, workers and kernels; after each dead driver the same command again."""
    folder, rng = place / "killed", random.Random(0)
    left = ["driver"] * 12 + ["worker"] * 14 + ["kernel"] * 24
    rng.shuffle(left)
    command = ("sweep", place / "all.toml", "--output", folder, "--workers", 2)
    driver, finished = helo(*command), {}
    try:
        while left:
            what, ahead = left[-1], len(finished) / 20 > 1 - len(left) / 50  # on a fast machine kills come faster too
            if what != "driver":
                wait_for(lambda what=what, driver=driver: processes(driver, what) or driver.poll() is not None)
            time.sleep(rng.uniform(0, 0.3 if ahead else 1.5))
            with contextlib.suppress(psutil.NoSuchProcess):  # it may end meanwhile; that is no kill
                victims = [psutil.Process(driver.pid)] if what == "driver" else processes(driver, what)
                if victims and driver.poll() is None:
                    rng.choice(sorted(victims, key=lambda p: p.pid)).kill()
                    left.pop()
            now = executions(folder)
            assert {run: now.get(run) for run in finished} == finished, "a finished run is lost, or was run again"
            finished = now
            assert len(finished) < 24, f"the sweep ended {len(left)} kills too early"
            with contextlib.suppress(subprocess.TimeoutExpired):
                driver.communicate(timeout=0.1)
                driver = helo(*command)
    finally:
        driver.kill()
    wait_for(lambda: not kernels_of(folder))
    finish(helo(*command))
    check_whole(folder, undisturbed)
    assert {run: executions(folder)[run] for run in finished} == finished


def test_a_kernel_ends_with_its_worker_and_takes_its_processes_along(place, tmp_path):
    """Even while it starts; and as long as it lives, nobody else can run in its folder."""
    write_notebook(
        tmp_path / "n.ipynb",
        'output: str = ""  # folder',
        "import subprocess, time\n"
        "child = subprocess.Popen(['sleep', '60'])\n"
        "open(f'{output}/child', 'w').write(str(child.pid))\n"
        "time.sleep(60)",
    )
    (tmp_path / "s.toml").write_text('notebook = "n.ipynb"')
    for wait in (0, 1):
        for left in tmp_path.glob("out/n*/child"):  # of a kernel that came that far
            left.unlink()
        driver = helo("sweep", tmp_path / "s.toml", "--output", tmp_path / "out")
        wait_for(lambda driver=driver: processes(driver, "kernel"))
        if wait:
            child = psutil.Process(int(wait_for(lambda: "".join(p.read_text() for p in tmp_path.glob("out/n*/child")))))
        folder = next((tmp_path / "out").glob("n*"))
        with pytest.raises(runs.FolderInUse, match="another process is running here"):
            sweeps.run_one(tmp_path / "n.ipynb", folder, {})
        driver.kill()
        driver.communicate()
        wait_for(lambda folder=folder: not kernels_of(folder), 20)
        wait_for(lambda folder=folder: runs.state(folder) == "interrupted", 20)  # once the worker is gone too
    wait_for(lambda: not child.is_running() or child.status() == "zombie", 20)


def test_an_orphan_kernel_keeps_its_folder_to_itself(place, tmp_path):
    """Were it hung and could not be ended with its worker, nobody else would run in its folder."""
    (tmp_path / "s.toml").write_text(f'notebook = "{place}/tiny.ipynb"')
    driver = helo("sweep", tmp_path / "s.toml", "--output", tmp_path / "out", "-p", "seconds=60")
    folder = wait_for(lambda: list(tmp_path.glob("out/*/picture.png")))[0].parent
    watcher, kernel = sorted(processes(driver, "kernel"), key=lambda p: "kernel.py" not in " ".join(p.cmdline()))
    for process in (watcher, kernel):
        process.suspend()
    driver.kill()
    driver.communicate()
    assert runs.state(folder) == "running"
    watcher.kill()
    wait_for(lambda: not watcher.is_running())
    with pytest.raises(runs.FolderInUse):
        sweeps.run_one(place / "tiny.ipynb", folder, {})
    kernel.resume()  # now it sees that it is alone
    wait_for(lambda: runs.state(folder) == "interrupted", 20)


def test_a_killed_kernel_is_no_failure(place, tmp_path):
    (tmp_path / "s.toml").write_text(f'notebook = "{place}/tiny.ipynb"\n[[axes]]\na = [1, 2]')
    driver = helo("sweep", tmp_path / "s.toml", "--output", tmp_path / "out", "-p", "seconds=5")
    wait_for(lambda: list(tmp_path.glob("out/*/picture.png")))
    processes(driver, "kernel")[-1].kill()
    assert "1 interrupted, 1 done" in finish(driver, 1)
    assert "2 done" in finish(helo("sweep", tmp_path / "s.toml", "--output", tmp_path / "out", "-p", "seconds=5"))


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_stops_kernels_too(place, tmp_path, workers):
    driver = helo("sweep", place / "all.toml", "--output", tmp_path / "out", "-p", "seconds=20", "--workers", workers)
    wait_for(lambda: len(list(tmp_path.glob("out/*/picture.png"))) == workers)
    os.killpg(driver.pid, signal.SIGINT)  # as a terminal does it
    assert "stopped; the same command goes on from here" in finish(driver, 130)
    wait_for(lambda: not kernels_of(tmp_path / "out"), 20)
    assert set(sweeps.status(tmp_path / "out").values()) == {"waiting", "interrupted"}


def test_a_failed_run_keeps_its_error_and_stops_nobody(place, tmp_path):
    many = [{"a": 1}, {"a": 2, "fail": True}, {"a": 3}]
    states = sweeps.sweep(place / "tiny.ipynb", many, tmp_path, progress=False)
    assert list(states.values()) == ["done", "failed", "done"]
    failed = tmp_path / list(states)[1]
    error = json.loads((failed / runs.ERROR).read_text())
    assert error["error"] == "AssertionError: as asked" and "assert not fail" in error["traceback"]
    assert "papermill-error" in (failed / "tiny.ipynb").read_text() and "run 2 x" in (failed / "log.txt").read_text()
    assert sweeps.sweep(place / "tiny.ipynb", many, tmp_path, progress=False) == states
    assert len((failed / "pids").read_text().split()) == 1, "not tried again unasked"
    assert sweeps.sweep(place / "tiny.ipynb", many, tmp_path, retry_failed=True, progress=False) == states
    assert len((failed / "pids").read_text().split()) == 2 and set(executions(tmp_path).values()) == {1}
    done = finish(helo("status", tmp_path), 1)
    assert "2 done, 1 failed" in done and f"{failed}: AssertionError: as asked" in done
    done = finish(helo("collect", tmp_path))
    page = (tmp_path / "index.html").read_text()
    assert "2 results" in done and page.count('picture.png">picture.png</a>') == 2, "random bytes are no picture"
    assert "AssertionError: as asked" in page
    stored = pd.read_parquet(tmp_path / "table.parquet")
    pd.testing.assert_frame_equal(stored, sweeps.collect(tmp_path))
    assert stored["a"].tolist() == [1, 3] and stored["scores.kl"][0] == random.Random(1).random()


def test_collect_scores_people_not_runs(tmp_path):
    """Each run tests two people of four; the scores are over all four, and there are none before all are there."""
    notebook = write_notebook(
        tmp_path / "n.ipynb",
        'model: str = ""  # model\nfold: int = 0  # fold\nseed: int = 0  # seed\noutput: str = ""  # folder',
        "import json, os\n"
        "kl = {'helo': 0.1, 'mean': 0.3}[model]\n"
        "row = dict(condition='', windows=10, trials=1, kl_mean=0.3, kl_ceiling=0.2)\n"
        "row |= dict.fromkeys(['chebyshev', 'clark', 'canberra', 'kl', 'cosine', 'intersection'], kl)\n"
        "people = [row | {'subject': f's{2 * fold + k}'} for k in (0, 1)]\n"
        "result = {'people': people, 'capped': model == 'helo'}\n"
        "json.dump(result, open(f\"{output}/{os.environ['HELO_RESULT']}\", 'w'))",
    )
    many = sweeps.grid(model=["helo", "mean"], fold=[0, 1], seed=[0])
    sweeps.sweep(notebook, many, tmp_path / "s", progress=False)
    found = sweeps.by_person(sweeps.collect(tmp_path / "s"))
    assert found.groupby("model").subject.apply(list).tolist() == [["s0", "s1", "s2", "s3"]] * 2
    told = finish(helo("collect", tmp_path / "s"))
    assert "[95 % over 4 people]" in told and "| 4 of 4 |" not in told and "| 0 of 4 |" in told
    assert "| 2.00 [2.00, 2.00] |" in told and "100 % of fits" in told
    (tmp_path / "s" / sweeps.run_id(notebook, many[3]) / "result.json").unlink()
    told = finish(helo("collect", tmp_path / "s"))
    assert "| helo | " in told and "| mean | " not in told, "a mean over one fold is of other people"
    assert "[95 % over 4 people]" in told and "Left out: mean. 1 of its runs is missing (1 interrupted)" in told
    other = tmp_path / "s" / sweeps.run_id(notebook, many[2]) / "result.json"
    kept = other.read_text()
    other.write_text('{"people": []}')
    told = finish(helo("collect", tmp_path / "s"))
    assert "Left out: mean. 2 of its runs are missing (1 done meanwhile, or without people, 1 interrupted)" in told
    other.write_text(kept)
    (tmp_path / "s" / sweeps.run_id(notebook, many[1]) / "result.json").unlink()
    told = finish(helo("collect", tmp_path / "s"))
    assert "no scores yet: 2 of its runs are missing (2 interrupted)" in told and "| helo | " not in told


def test_what_else_is_called_people_is_passed_over(tmp_path):
    """Notebook 05 counts people; a run of another notebook may hold anything under that name."""
    notebook = write_notebook(
        tmp_path / "n.ipynb",
        'model: str = "helo"  # model\nfold: int = 0  # fold\nseed: int = 0  # seed\nkind: int = 0  # kind\n'
        'output: str = ""  # folder',
        "import json, os\n"
        "row = dict(subject='s', condition='', windows=10, trials=1, kl_mean=0.3, kl_ceiling=0.2)\n"
        "row |= dict.fromkeys(['chebyshev', 'clark', 'canberra', 'kl', 'cosine', 'intersection'], 0.1)\n"
        "people = [[row], 3, [{'subject': 's'}], 'many', [1, 2]][kind]\n"
        "json.dump({'people': people}, open(f\"{output}/{os.environ['HELO_RESULT']}\", 'w'))",
    )
    sweeps.sweep(
        notebook, sweeps.grid(model=["helo"], fold=[0], seed=[0], kind=range(5)), tmp_path / "s", progress=False
    )
    results = sweeps.collect(tmp_path / "s")
    assert sweeps.fitted(results).sum() == 1 and len(sweeps.by_person(results)) == 1
    told = finish(helo("collect", tmp_path / "s"))
    assert "kind 0" in told and "kind 1" not in told and "5 results" in told


def test_nothing_starts_when_a_parameter_is_wrong(place, tmp_path):
    for many, message in (
        ([{"a": 1}, {"A": 2}], r"unknown parameters \['A'\]"),
        ([{"a": 1}, {"a": "2"}], "parameter 'a' is '2'"),
        ([{"a": 1, "output": "x"}], "'output' is each run's folder"),
    ):
        with pytest.raises(ValueError, match=message):
            sweeps.sweep(place / "tiny.ipynb", many, tmp_path / "out", progress=False)
        assert not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match="workers is 2 and scheduler 'tcp://x:1'; expected one"):
        sweeps.sweep(
            place / "tiny.ipynb", [{"a": 1}], tmp_path / "two", workers=2, scheduler="tcp://x:1", progress=False
        )
    assert not (tmp_path / "two").exists()
    with pytest.raises(ValueError, match=r"none\.ipynb: no such notebook"):
        sweeps.sweep(tmp_path / "none.ipynb", [{}], tmp_path / "out")
    (tmp_path / "s.toml").write_text('notebook = "n.ipynb"\naxis = 1')
    with pytest.raises(ValueError, match=r"s\.toml: keys are \['axis', 'notebook'\]; expected notebook"):
        sweeps.read_sweep(tmp_path / "s.toml")
    (tmp_path / "s.toml").write_text('notebook = "n.ipynb"\n[axes]\na = [1]')
    with pytest.raises(ValueError, match=r"s\.toml: axes is one table; expected \[\[axes\]\]"):
        sweeps.read_sweep(tmp_path / "s.toml")
    (tmp_path / "s.toml").write_text('notebook = "n.ipynb"\n[[axes]]\na = "one"')
    with pytest.raises(ValueError, match=r"s\.toml: axis 'a' is 'one'; expected a list"):
        sweeps.read_sweep(tmp_path / "s.toml")
    assert "helo: " in finish(helo("sweep", place / "all.toml", "-p", "a", "--output", tmp_path / "out"), 2)
    assert "no such file; expected the folder of a sweep" in finish(helo("status", tmp_path), 2)


def test_openmps_list_of_threads_is_its_first(place, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1,2")
    states = sweeps.sweep(place / "tiny.ipynb", [{"a": 1}], tmp_path / "s", progress=False)
    assert list(states.values()) == ["done"]
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    assert list(sweeps.sweep(place / "tiny.ipynb", [{"a": 1}], tmp_path / "s", progress=False).values()) == ["done"]
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    with pytest.raises(ValueError, match="OMP_NUM_THREADS is 'many'; expected a whole number"):
        sweeps.sweep(place / "tiny.ipynb", [{"a": 2}], tmp_path / "t", progress=False)
    assert not (tmp_path / "t").exists()


def test_a_file_in_the_place_of_a_runs_folder_is_told(place, tmp_path):
    (tmp_path / sweeps.run_id(place / "tiny.ipynb", {"a": 1})).write_text("mine")
    states = sweeps.sweep(place / "tiny.ipynb", [{"a": 1}, {"a": 2}], tmp_path, progress=False)
    assert list(states.values()) == ["damaged", "done"] == list(sweeps.status(tmp_path).values())
    assert "a file; expected the run's own folder" in finish(helo("status", tmp_path), 1)


def test_grid_and_sweep_file(place):
    assert sweeps.grid(a=[1, 2], b=("x", "y"))[1] == {"a": 1, "b": "y"} and sweeps.grid() == [{}]
    notebook, many = sweeps.read_sweep(place / "all.toml", {"seconds": 1})
    assert (
        notebook == place / "tiny.ipynb" and len(many) == 24 and many[1] == {"a": 0, "b": "x", "c": 2.0, "seconds": 1}
    )
    assert [run["b"] for run in sweeps.read_sweep(place / "all.toml", {"a": 1, "c": 2.0})[1]] == ["x", "y"]
    with pytest.raises(ValueError, match="axis 'a' is \\[\\]; expected a list with at least one value"):
        sweeps.grid(a=[])


def test_the_benchmark_is_every_fusion_system_by_protocol_by_seed(place):
    from helo.data.splits import PROTOCOLS
    from helo.models import available, is_closed_form

    notebook, many = sweeps.read_sweep(ROOT / "sweeps" / "benchmark.toml")
    for run in many[:1] + many[-1:]:
        sweeps.check_parameters(notebook, run)
    variants = {name for name in available() if name.startswith("helo-") or name.endswith("-only")}
    assert {run["model"] for run in many} == set(available()) - variants
    assert {run["protocol"] for run in many} == set(PROTOCOLS) - {"both"}  # its folds are of people times clips
    assert len(many) == 870, "docs/sweeps.md and the sweep file say how many"
    assert len({tuple(sorted(run.items())) for run in many}) == len(many)
    assert {run["seed"] for run in many if not is_closed_form(run["model"])} == {0, 1, 2}


def test_the_id_follows_what_is_computed(place, tmp_path, monkeypatch):
    from helo.batch import plan

    path = place / "tiny.ipynb"
    run = sweeps.run_id(path, {"a": 1, "b": "x"})
    assert run.startswith("tiny-") and run == sweeps.run_id(path, {"b": "x", "a": 1})
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[1].outputs, notebook.metadata["opened"] = [nbformat.v4.new_output("stream", text="x")], True
    nbformat.write(notebook, tmp_path / "tiny.ipynb")
    assert run == sweeps.run_id(tmp_path / "tiny.ipynb", {"a": 1, "b": "x"}), "opened and saved is not changed"
    notebook.cells[1].source += "\n"
    nbformat.write(notebook, tmp_path / "tiny.ipynb")
    others = {sweeps.run_id(tmp_path / "tiny.ipynb", {"a": 1, "b": "x"}), sweeps.run_id(path, {"a": 2, "b": "x"})}
    shipped, read = run, Path.read_bytes  # a model that is shipped, or a card, is part of what is computed
    monkeypatch.setattr(Path, "read_bytes", lambda p: read(p) + b" " * (p.suffix in (".safetensors", ".yaml")))
    assert sweeps.run_id(path, {"a": 1, "b": "x"}) != shipped
    monkeypatch.undo()
    monkeypatch.setattr(plan, "code_digest", lambda *_: "another version")
    assert len({run, *others, sweeps.run_id(path, {"a": 1, "b": "x"})}) == 4


def test_an_edit_during_the_sweep_is_not_taken_for_the_old_notebook(place, tmp_path):
    write_notebook(tmp_path / "n.ipynb", *TINY)
    job = (str(tmp_path / "n.ipynb"), str(tmp_path), sweeps.run_id(tmp_path / "n.ipynb", {"a": 1}), {"a": 1})
    write_notebook(tmp_path / "n.ipynb", *TINY[:-1], "a = 2", TINY[-1])
    with pytest.raises(ValueError, match="the notebook has changed since the sweep began"):
        sweeps._attempt(*job)


def test_local_workers_get_one_thread_and_a_gpu_each(tmp_path, monkeypatch):
    """What the kernels see; no GPU is needed for that."""
    write_notebook(
        tmp_path / "n.ipynb",
        'a: int = 0  # number\noutput: str = ""  # folder',
        "import json, os, time; time.sleep(2)\n"
        "found = {k: os.environ[k] for k in ('CUDA_VISIBLE_DEVICES', 'OMP_NUM_THREADS')}\n"
        "json.dump(found, open(f\"{output}/{os.environ['HELO_RESULT']}\", 'w'))",
    )
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with pytest.raises(ValueError, match="3 workers with one GPU each, but this machine has 2 GPUs"):
        sweeps.sweep(tmp_path / "n.ipynb", [{}], tmp_path / "s", workers=3, gpu=True, progress=False)
    sweeps.sweep(tmp_path / "n.ipynb", sweeps.grid(a=[0, 1]), tmp_path / "s", workers=2, gpu=True, progress=False)
    found = sweeps.collect(tmp_path / "s")
    assert set(found["CUDA_VISIBLE_DEVICES"]) == {"3", "5"} and set(found["OMP_NUM_THREADS"]) == {"1"}


def test_two_drivers_share_a_folder(place, undisturbed, tmp_path):
    """Each run once; both end when everything is done."""
    (tmp_path / "six.toml").write_text(
        f'notebook = "{place}/tiny.ipynb"\n[parameters]\nseconds = 1\n[[axes]]\na = [0, 1, 2, 3, 4, 5]'
    )
    drivers = [helo("sweep", tmp_path / "six.toml", "--output", tmp_path / "out") for _ in range(2)]
    for driver in drivers:
        assert "6 done" in finish(driver)
    assert list(executions(tmp_path / "out").values()) == [1] * 6 and not list(tmp_path.glob("out/*/TWO"))
    starts = [path.read_text().splitlines()[0].split()[-1] for path in tmp_path.glob("out/*/log.txt")]
    assert len(set(starts)) == 2, "each driver ran some"
    assert sweeps.collect(tmp_path / "out")["value"].tolist() == [0, 1, 2, 3, 4, 5]


def test_a_scheduler_and_two_workers_give_the_same_table(place, undisturbed, tmp_path):
    """As separate processes, one of which is killed at work."""
    cli, file = [sys.executable, "-m"], tmp_path / "scheduler.json"
    options = {
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
        "start_new_session": True,
        "env": {**os.environ, "PYTHONPATH": str(ROOT)},
    }
    cluster = [
        subprocess.Popen(
            [
                *cli,
                "distributed.cli.dask_scheduler",
                "--host",
                "127.0.0.1",
                "--port",
                "0",
                "--no-dashboard",
                "--scheduler-file",
                file,
            ],
            **options,
        )
    ]
    worker = [*cli, "distributed.cli.dask_worker", "--scheduler-file", file, "--nthreads", "1", "--no-dashboard"]
    try:
        cluster += [subprocess.Popen(worker, cwd=tmp_path, **options) for _ in range(2)]
        address = json.loads(wait_for(lambda: file.exists() and file.read_text()))["address"]
        shutil.copytree(undisturbed, tmp_path / "out")
        for run in list(sweeps.status(undisturbed))[::3]:
            shutil.rmtree(tmp_path / "out" / run)
        driver = helo("sweep", place / "all.toml", "--output", tmp_path / "out", "--scheduler", address)
        wait_for(lambda: kernels_of(tmp_path / "out"))
        os.killpg(cluster.pop().pid, signal.SIGKILL)
        assert "24 done" in finish(driver)
        check_whole(tmp_path / "out", undisturbed)
        # Ctrl-C reaches kernels on the cluster's other machines
        driver = helo(
            "sweep", place / "all.toml", "--output", tmp_path / "c", "--scheduler", address, "-p", "seconds=30"
        )
        wait_for(lambda: list(tmp_path.glob("c/*/picture.png")))
        driver.send_signal(signal.SIGINT)
        finish(driver, 130)
        wait_for(lambda: not kernels_of(tmp_path / "c"), 20)
    finally:
        for process in cluster:
            os.killpg(process.pid, signal.SIGKILL)


def test_a_full_disk(place, tmp_path):
    """A file system of a megabyte: the command says what is wrong, keeps what is done, goes on when there is room."""
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a small file system")
    (tmp_path / "s.toml").write_text(f'notebook = "{place}/tiny.ipynb"\n[[axes]]\na = [0, 1, 2, 3, 4, 5]')
    (tmp_path / "disk").mkdir()
    sweep = f"{sys.executable} -m helo sweep s.toml --output disk/out --retry-failed"
    script = f"""mount -t tmpfs -o size=1m tmpfs disk
        {sweep}; echo "full: $?"; cp -r disk/out kept
        mount -o remount,ro disk
        {sweep}; echo "read-only: $?"
        mount -o remount,rw,size=8m disk
        {sweep}; echo "room: $?"; cp -r disk/out whole"""
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script],
        cwd=tmp_path,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert "full: 2" in done.stdout and "No space left on device" in done.stdout, done.stdout
    assert "read-only: 2" in done.stdout and "Read-only file system" in done.stdout, done.stdout
    assert "room: 0" in done.stdout and "Traceback" not in done.stdout, done.stdout
    kept, whole = sweeps.collect(tmp_path / "kept"), sweeps.collect(tmp_path / "whole")
    assert 1 < len(kept) < 6 and whole["value"].tolist() == [0, 1, 2, 3, 4, 5]
    pd.testing.assert_frame_equal(kept, whole[: len(kept)])
    assert set(executions(tmp_path / "kept").items()) <= set(executions(tmp_path / "whole").items())


def test_an_error_of_the_disk_ends_the_sweep_and_not_the_results(place, tmp_path, monkeypatch):
    from helo import files

    replace, many = os.replace, sweeps.grid(a=[0, 1, 2, 3])

    def full(source, target):
        if "result.json" in str(target) and len(list(tmp_path.glob("*/result.json"))) == 2:
            raise OSError(28, "No space left on device", str(target))
        replace(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(files.os, "replace", full)
        with pytest.raises(OSError, match=r"No space left on device: .*result\.json"):
            sweeps.sweep(place / "tiny.ipynb", many, tmp_path, progress=False)
    assert sweeps.collect(tmp_path)["value"].tolist() == [0, 1]
    assert list(sweeps.status(tmp_path).values()) == ["done", "done", "interrupted", "waiting"]
    sweeps.sweep(place / "tiny.ipynb", many, tmp_path, progress=False)
    assert sweeps.collect(tmp_path)["value"].tolist() == [0, 1, 2, 3]
    assert list(executions(tmp_path).values()).count(1) == 3


def test_training_goes_on_from_its_checkpoint_after_a_kill(study, tmp_path):
    """kill -9 of the kernel in mid-training; the resumed run ends with the numbers of an uninterrupted one."""
    from safetensors.torch import load

    from helo import checksums

    run = {"epochs": 25, "folds": 3, "compare": ""}
    notebook = ROOT / "notebooks" / "02_train.ipynb"
    (tmp_path / "s.toml").write_text(f'notebook = "{notebook}"\n[parameters]\nepochs = 25\nfolds = 3\ncompare = ""\n')
    driver = helo("sweep", tmp_path / "s.toml", "--output", tmp_path / "killed")
    path = tmp_path / "killed" / sweeps.run_id(notebook, run) / "checkpoint.safetensors"

    def history():
        return checksums.read(path, "helo-checkpoint", load)[0]["history"] if path.exists() else []

    wait_for(lambda: len(history()) >= 5, 300)
    for process in processes(driver, "kernel"):
        process.kill()
    finish(driver, 1)
    before = pd.DataFrame(history())
    assert 5 <= len(before) < 25
    finish(helo("sweep", tmp_path / "s.toml", "--output", tmp_path / "killed"))
    after = pd.read_csv(path.parent / "history.csv")
    pd.testing.assert_frame_equal(after[: len(before)], before, check_exact=False, rtol=1e-12)  # its seconds too
    whole = sweeps.sweep(notebook, [run], tmp_path / "whole", progress=False)
    again = pd.read_csv(tmp_path / "whole" / next(iter(whole)) / "history.csv")
    assert table(tmp_path / "killed").equals(table(tmp_path / "whole"))
    assert again.drop(columns="seconds").equals(after.drop(columns="seconds"))
