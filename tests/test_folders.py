"""Runs that misbehave: each fails alone, nothing is written outside its folder, and nothing of it stays behind."""

import errno
import json
import logging
import os
import re
import shutil
import signal
import tempfile
import time

import psutil
import pytest
from test_notebooks import write_notebook
from test_reports import write_sweep
from test_sweeps import finish, helo, processes, wait_for

from helo import files, sweeps
from helo.batch import folders, notebooks, plan, runs, warm, workers

RECORD = "json.dump({'a': a}, open(f\"{output}/{os.environ['HELO_RESULT']}\", 'w'))"
WAYS = """import json, os, shutil, signal, subprocess, sys, time
if what == "delete":
    shutil.rmtree(output)
elif what == "full":
    raise OSError(28, "No space left on device", "somewhere")
elif what == "read-only":
    raise OSError(30, "Read-only file system", "/usr")
elif what == "garbage":
    open(f"{output}/{os.environ['HELO_RESULT']}", "w").write("{")
elif what == "folder":
    os.mkdir(f"{output}/{os.environ['HELO_RESULT']}")
elif what == "link":
    shutil.move(output, f"{output}.away"); os.symlink(target, output)
elif what == "forever":
    time.sleep(600)
elif what == "daemon":
    child = subprocess.Popen(["sleep", "600"], start_new_session=True)
    if not os.fork():
        os.setsid()
        open(f"{output}/forked", "w").write(str(os.getpid()))
        time.sleep(600)
    open(f"{output}/daemon", "w").write(str(child.pid))
    open(f"{output}/temporary", "w").write(__import__("tempfile").mkdtemp())
    while not (os.path.exists(f"{output}/forked") and os.path.getsize(f"{output}/forked")): time.sleep(0.01)
"""

CELLS = 'a: int = 0  # number\noutput: str = ""  # folder', f"import json, os\n{RECORD}"


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    return write_notebook(
        tmp_path_factory.mktemp("n") / "n.ipynb",
        'a: int = 0  # number\nwhat: str = ""  # to do\ntarget: str = ""  # for a link\noutput: str = ""  # folder',
        WAYS,
        f"if what not in ('garbage', 'folder'): {RECORD}\nif what == 'wait': time.sleep(600)",
    )


def run(notebook, folder, many, **options):
    states = sweeps.sweep(notebook, many, folder, progress=False, **options)
    return dict(zip([p.get("what", "") for p in many], states.values(), strict=True)), list(states)


def test_each_misbehaving_run_fails_alone(notebook, tmp_path):
    """Its own disk errors, a deleted folder, a broken result: the runs after it are done."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "error.json").write_text("mine")
    many = [{"what": what} for what in ("delete", "read-only", "garbage", "folder", "full", "")]
    many.insert(0, {"what": "link", "target": str(tmp_path / "mine")})
    states, _ = run(notebook, tmp_path / "s", many)
    expected = dict.fromkeys(("delete", "read-only", "garbage", "folder"), "failed")
    assert states == {"link": "failed", **expected, "full": "interrupted", "": "done"}
    assert (tmp_path / "mine" / "error.json").read_text() == "mine"
    held = dict(zip(states, sweeps.status(tmp_path / "s").values(), strict=True))
    assert held["delete"] == "failed" and held["link"] == "damaged" and held["full"] == "interrupted"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
def test_a_fault_of_the_disk_stops_the_sweep(notebook, tmp_path, monkeypatch, number):
    monkeypatch.setattr(runs, "execute", lambda *_, **__: (_ for _ in ()).throw(OSError(number, "disk")))
    with pytest.raises(OSError, match="disk"):
        run(notebook, tmp_path, [{"a": 1}, {"a": 2}])
    assert list(sweeps.status(tmp_path).values()) == ["waiting"] * 2


def test_a_limit_of_nbclients_is_no_fault_of_the_disk(notebook, tmp_path, monkeypatch):
    """What a notebook that prints 200 MB ends in: an OSError, by its class."""
    import papermill
    from nbclient.exceptions import CellTimeoutError

    def late(*_, **__):
        raise CellTimeoutError("Timeout waiting for IOPub output")

    assert issubclass(CellTimeoutError, OSError)
    monkeypatch.setattr(papermill, "execute_notebook", late)
    assert list(run(notebook, tmp_path, [{"a": 1}, {"a": 2}])[0].values()) == ["failed"]
    assert list(sweeps.status(tmp_path).values()) == ["failed"] * 2


def test_a_worker_prints_no_traceback(notebook, tmp_path):
    """A disk fault in one of two processes is one line of the command's."""
    (tmp_path / "s.toml").write_text(f'notebook = "{notebook}"\n[[axes]]\na = [1, 2, 3]')
    (tmp_path / "s").mkdir()
    (tmp_path / "sitecustomize.py").write_text(
        "import os\nreplace = os.replace\n"
        "def full(source, target):\n"
        "    if 'params.json' in str(target): raise OSError(28, 'No space left on device', str(target))\n"
        "    replace(source, target)\nos.replace = full\n"
    )
    driver = helo("sweep", tmp_path / "s.toml", "--output", tmp_path / "s", "--workers", 2, path=str(tmp_path))
    told = finish(driver, 2)
    assert "Traceback" not in told and told.count("No space left on device") == 1


def test_a_heartbeat_that_is_lost_at_the_end_is_no_news(caplog):
    log = logging.getLogger("distributed.worker")
    assert workers._answer(lambda: "done") == workers._answer(lambda: "done") == "done"
    log.addHandler(caplog.handler)
    try:
        log.error("Failed to communicate with scheduler during heartbeat.")
        log.error("something else")
        assert {record.getMessage() for record in caplog.records} == {"something else"}
        assert log.filters.count(workers._no_heartbeat) == 1
    finally:
        log.removeHandler(caplog.handler)
        log.removeFilter(workers._no_heartbeat)


def test_an_empty_result_is_run_again_and_named(notebook, tmp_path):
    _, (one,) = run(notebook, tmp_path, [{"a": 1}])
    (tmp_path / one / "result.json").write_bytes(b"")
    assert f"{one}/result.json: empty; expected a result" in finish(helo("status", tmp_path), 1)
    assert run(notebook, tmp_path, [{"a": 1}])[0] == {"": "done"}
    assert sweeps.collect(tmp_path)["a"].tolist() == [1]


def test_a_second_sweep_keeps_the_runs_of_the_first(notebook, tmp_path, monkeypatch):
    run(notebook, tmp_path, [{"a": 1}, {"a": 2}])
    run(notebook, tmp_path, [{"a": 2}, {"a": 3}])
    assert sweeps.collect(tmp_path)["a"].tolist() == [1, 2, 3] and set(sweeps.status(tmp_path).values()) == {"done"}
    monkeypatch.setattr(plan, "code_digest", lambda *_: "other code")  # the same, run anew, takes the old one's place
    anew = sweeps.run_id(notebook, sweeps.check_parameters(notebook, {"a": 3}))
    plan.add_to_plan(tmp_path, notebook, {anew: {"a": 3}})
    assert [p["a"] for p in sweeps.read_plan(tmp_path)["runs"].values()] == [1, 2, 3]
    assert list(sweeps.status(tmp_path).values()) == ["done", "done", "waiting"]


def test_two_notebooks_of_one_name_share_a_folder(tmp_path):
    """An edited copy's runs took the place of the first one's, which were done."""
    for name, value in (("mine", "a"), ("yours", "-a")):
        (tmp_path / name).mkdir()
        says = RECORD.replace("{'a': a}", f"{{'a': {value}}}")
        there = write_notebook(tmp_path / name / "n.ipynb", CELLS[0], f"import json, os\n{says}")
        sweeps.sweep(there, [{"a": 1}, {"a": 2}], tmp_path / "s", progress=False)
    runs = sweeps.read_plan(tmp_path / "s")["runs"]
    assert [p["a"] for p in runs.values()] == [1, 2, 1, 2] and len(set(sweeps.status(tmp_path / "s").values())) == 1
    told = plan.notebooks_of(tmp_path / "s")
    assert list(told.values()) == [str(tmp_path / name / "n.ipynb") for name in ("mine", "mine", "yours", "yours")]
    edited = write_notebook(tmp_path / "yours" / "n.ipynb", CELLS[0], CELLS[1].replace("{'a': a}", "{'a': 2 * a}"))
    sweeps.sweep(edited, [{"a": 2}], tmp_path / "s", progress=False)
    runs = list(sweeps.read_plan(tmp_path / "s")["runs"].values())
    shutil.rmtree(tmp_path / "mine")
    assert set(plan.notebooks_of(tmp_path / "s").values()) == {"n"}
    assert [p["a"] for p in runs] == [1, 2, 1, 2], "an edited notebook's run takes the place of its own"


def test_a_default_that_json_has_not_costs_no_run(tmp_path):
    cells = "a: int = 0  # number\npairs: dict = {('happy', 'sad'): 1}  # of emotions\noutput: str = ''  # folder"
    there = write_notebook(tmp_path / "n.ipynb", cells, CELLS[1])
    assert list(sweeps.sweep(there, [{"a": 1}], tmp_path / "s", progress=False).values()) == ["done"]


def test_a_runs_defaults_are_kept(notebook, tmp_path):
    run(notebook, tmp_path, [{}])
    (name,) = sweeps.read_plan(tmp_path)["runs"]
    assert json.loads((tmp_path / name / "versions.json").read_text())["defaults"]["a"] == 0
    assert sweeps.collect(tmp_path)["a"].tolist() == [0]


def test_nothing_is_written_through_a_link(notebook, tmp_path):
    """Neither through one in a run's place, nor through one in the place of its log or its notebook."""
    mine, first = tmp_path / "mine", sweeps.run_id(notebook, {"a": 1})
    mine.mkdir()
    (mine / "result.json").write_text('{"kl": 1}')
    before = [(p.name, p.read_bytes()) for p in mine.iterdir()]
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / first).symlink_to(mine)
    second = tmp_path / "s" / sweeps.run_id(notebook, {"a": 2})
    second.mkdir()
    for name in ("log.txt", "n.ipynb", "params.json"):
        (tmp_path / name).write_text("mine")
        (second / name).symlink_to(tmp_path / name)
    states = sweeps.sweep(notebook, [{"a": 1}, {"a": 2}], tmp_path / "s", progress=False)
    assert list(states.values()) == ["damaged", "done"]
    assert [(p.name, p.read_bytes()) for p in mine.iterdir()] == before
    assert all((tmp_path / name).read_text() == "mine" for name in ("log.txt", "n.ipynb", "params.json"))
    told = finish(helo("status", tmp_path / "s"), 1)
    assert f"{first}: a link; expected the run's own folder" in told


@pytest.mark.parametrize("kind", ["pipe", "link", "folder"])
def test_a_lock_that_is_none_is_told(notebook, tmp_path, kind):
    make = {"pipe": os.mkfifo, "link": lambda p: p.symlink_to(tmp_path / "x"), "folder": os.mkdir}[kind]
    make(tmp_path / ".lock")
    assert folders.state(tmp_path) == "damaged" and ".lock: a " in folders.fault(tmp_path)
    with pytest.raises(ValueError, match=r"\.lock: a .*expected a file"):
        sweeps.run_one(notebook, tmp_path, {})
    assert not (tmp_path / "x").exists()


def test_a_runs_own_hidden_files_stay(notebook, tmp_path):
    for name in (".env.template", ".cfg.abcdefgh", ".env"):
        (tmp_path / name).write_text("mine")
    (tmp_path / f".result.json.abcdefgh{files.UNFINISHED}").write_text("half")
    sweeps.run_one(notebook, tmp_path, {}, progress=False)
    assert sorted(p.name for p in tmp_path.glob(".*")) == [".cfg.abcdefgh", ".env", ".env.template", ".lock"]


def test_a_limit_of_time_fails_the_run_and_not_the_next(notebook, tmp_path):
    states, (first, _) = run(notebook, tmp_path, [{"what": "forever"}, {"what": "", "a": 1}], limit=12)
    assert states == {"forever": "failed", "": "done"}
    told = json.loads((tmp_path / first / "error.json").read_text())["error"]
    assert told == "TimeLimit: stopped after 12 s, the limit of a run"
    for limit in (-1, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="limit is"):
            sweeps.sweep(notebook, [{}], tmp_path, limit=limit)


def gone(pid):
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie"


def test_daemons_end_with_their_run_and_free_its_lock(notebook, tmp_path, monkeypatch):
    """One that left the process group, and one that was forked with the lock in its hands."""
    (tmp_path / "t").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "t"))
    warm.end()  # what an earlier test's kernels were forked from
    _, (one,) = run(notebook, tmp_path, [{"what": "daemon"}])
    assert folders.state(tmp_path / one) == "done"
    pids = [int((tmp_path / one / name).read_text()) for name in ("daemon", "forked")]
    wait_for(lambda: all(map(gone, pids)), 10)
    with folders.claim(tmp_path / one):
        pass
    assert not os.path.exists((tmp_path / one / "temporary").read_text()), "temporary files go with the run"
    warm.end()
    assert not list((tmp_path / "t").glob("helo-*"))


def test_a_killed_driver_leaves_no_daemon_and_no_temporary_folder(tmp_path, notebook):
    text = notebook.read_text().replace("'wait'", "'daemon'")
    (tmp_path / "n.ipynb").write_text(text)
    (tmp_path / "s.toml").write_text('notebook = "n.ipynb"\n[parameters]\nwhat = "daemon"')
    (tmp_path / "t").mkdir()
    driver = helo("sweep", tmp_path / "s.toml", "--output", tmp_path / "s", tmp=tmp_path / "t")
    wait_for(lambda: list(tmp_path.glob("s/*/.result.json")))
    folder = next(tmp_path.glob("s/*/.result.json")).parent
    pids = [int((folder / name).read_text()) for name in ("daemon", "forked")]
    assert processes(driver, "kernel") and list((tmp_path / "t").glob("helo-*"))
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    wait_for(lambda: all(map(gone, pids)), 20)
    wait_for(lambda: not list((tmp_path / "t").glob("helo-*")), 20)
    wait_for(lambda: folders.state(folder) == "interrupted", 20)


def test_temporary_folders_of_runs_that_were_killed_whole_go_with_the_next(notebook, tmp_path):
    """Driver, supervisor and kernel at once, as a cluster does it: nobody is left to clear away."""
    (tmp_path / "t" / "helo-mine").mkdir(parents=True)
    (tmp_path / "t" / "helo-mine" / "notes").write_text("of somebody else")
    (tmp_path / "s.toml").write_text(f'notebook = "{notebook}"\n[parameters]\nwhat = "wait"')
    command = ("sweep", tmp_path / "s.toml", "--output", tmp_path / "s")

    def held():
        return set((tmp_path / "t").glob("helo-*/held"))

    def start():
        before = held()
        driver = helo(*command, tmp=tmp_path / "t")
        wait_for(lambda: held() - before and len(processes(driver, "kernel")) == 2)
        return driver

    driver = start()
    assert len(held()) == 2, "the run's, and that of what its kernel is forked from"
    for process in [*processes(driver, "kernel"), psutil.Process(driver.pid)]:
        process.kill()  # kernel.py is the first of them, and has no time to see that its parent is gone
    driver.communicate()
    wait_for(lambda: folders.state(next((tmp_path / "s").glob("n-*"))) == "interrupted", 20)
    wait_for(lambda: len(held()) == 1, 20)
    (left,) = held()
    (tmp_path / "s.toml").write_text(f'notebook = "{notebook}"\n[[axes]]\nwhat = ["wait"]\na = [5]')
    again = start()
    assert not left.exists() and len(held()) == 2
    helo("sweep", tmp_path / "s.toml", "--output", tmp_path / "s2", "--limit", 1, tmp=tmp_path / "t").communicate()
    assert processes(again, "kernel") and len(held()) == 2, "a run under way keeps its folder"
    for process in [*processes(again, "kernel"), psutil.Process(again.pid)]:
        process.kill()
    again.communicate()
    assert (tmp_path / "t" / "helo-mine" / "notes").exists()


def test_it_says_what_it_waits_for(notebook, tmp_path):
    (tmp_path / "s.toml").write_text(f'notebook = "{notebook}"\n[parameters]\na = 1')
    with folders.claim(tmp_path / "s" / sweeps.run_id(notebook, {"a": 1})):
        driver = helo("sweep", tmp_path / "s.toml", "--output", tmp_path / "s")
        told = driver.stdout.readline()
        while "waiting for" not in told:
            said = driver.stdout.readline()
            assert said, told
            told += said
        time.sleep(2)  # and not a second time
    told += finish(driver)
    assert told.count("waiting for 1 runs that others are running") == 1 and f"(process {os.getpid()} on " in told


def test_it_says_that_no_worker_is_there(notebook, tmp_path, monkeypatch, capsys):
    from distributed import LocalCluster

    from helo.batch import workers

    monkeypatch.setattr(workers, "WAIT", 0.5)
    with LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as cluster:
        told = []
        with workers.executor(sweeps._attempt, told.append, 1, cluster.scheduler_address, False) as each:
            jobs = [(str(notebook), str(tmp_path), sweeps.run_id(notebook, {"a": 1}), {"a": 1}, None)]
            found = each(jobs)
            import threading

            threading.Timer(2.5, lambda: cluster.scale(1)).start()
            assert [state for _, state in found] == ["done"]
    assert len(told) == 1 and told[0].startswith("waiting for a Dask worker: ")


def test_no_escape_code_reaches_the_terminal(tmp_path):
    evil = "\x1b]0;title\x07\x1b[31mred \u202egnp"
    write_sweep(tmp_path, [None], errors={0: evil})
    told = finish(helo("status", tmp_path), 1)
    assert not set(told) & {"\x1b", "\x07", "\u202e"} and r"\x1b]0;title\x07\x1b[31mred \u202egnp" in told


def test_what_is_written_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    done, sync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(files.os, "fsync", lambda fd: (done.append(os.fstat(fd).st_size), sync(fd)))
    monkeypatch.setattr(files.os, "replace", lambda a, b: (done.append("renamed"), replace(a, b)))
    files.atomic_write(tmp_path / "x", b"12345")
    assert done == [5, "renamed"]


@pytest.mark.parametrize("umask, mode", [(0o022, 0o644), (0o077, 0o600), (0o027, 0o640)])
def test_what_is_written_is_as_open_as_the_user_lets_it(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        files.atomic_write(tmp_path / "x", b"people's scores")
        files.atomic_write(tmp_path / "own", b"a person's recording", mode=0o600)
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == mode and (tmp_path / "own").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["out {x}", "out {what}", "ünï {a} é"])
def test_braces_in_a_path_are_no_parameters(tmp_path, name):
    """papermill fills in what stands in braces: the notebook ran into another folder, or not at all."""
    (tmp_path / name).mkdir()
    there = write_notebook(tmp_path / name / "n {a}.ipynb", *CELLS)
    folder = tmp_path / "s" / name
    states = sweeps.sweep(there, [{"a": 3}], folder, progress=False)
    assert list(states.values()) == ["done"]
    (run_folder,) = (folder / run for run in states)
    assert (run_folder / there.name).is_file() and [p.name for p in (tmp_path / "s").iterdir()] == [name]


def test_a_sweep_at_home(tmp_path, monkeypatch):
    """~ is the home everywhere: where the sweep runs, where its states are asked for, where its results are read."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    write_notebook(tmp_path / "n.ipynb", *CELLS)
    states = sweeps.sweep("~/n.ipynb", [{"a": 1}], "~/s", progress=False)
    assert list(states.values()) == ["done"] == list(sweeps.status("~/s").values())
    assert list(states) == [sweeps.run_id("~/n.ipynb", {"a": 1})]
    (tmp_path / "s.toml").write_text('notebook = "n.ipynb"')
    assert sweeps.read_sweep("~/s.toml")[1] == [{}] and sweeps.run_one("~/n.ipynb", "~/one", {"a": 2})["a"] == 2
    assert sweeps.collect("~/s")["a"].tolist() == [1]
    finish(helo("collect", "~/s"))
    (failed,) = sweeps.sweep("~/n.ipynb", [{"a": 3}], "~/f", progress=False)
    (tmp_path / "f" / failed / "result.json").unlink()
    (tmp_path / "f" / failed / "error.json").write_text('{"error": "ValueError: boo"}')
    assert "ValueError: boo" in helo("status", "~/f").communicate()[0]
    assert (tmp_path / "nbs" / "01_explore.ipynb") in notebooks.copy("~/nbs")
    assert (tmp_path / "s" / "table.parquet").exists() and (tmp_path / "s" / "index.html").exists()
    assert not (tmp_path / "~").exists()


def test_columns_keep_their_names(tmp_path):
    """A result that is NaN is no other result, and a parameter called "run" takes nobody's name."""
    cells = "a: int = 0  # number\nrun: int = 0  # number\noutput: str = ''  # folder"
    says = RECORD.replace("{'a': a}", "{'skill': [.5, float('nan')][a]}")
    there = write_notebook(tmp_path / "n.ipynb", cells, f"import json, os\n{says}")
    states = sweeps.sweep(there, [{"a": 0, "run": 7}, {"a": 1, "run": 8}], tmp_path / "s", progress=False)
    table = sweeps.collect(tmp_path / "s")
    assert table["run"].tolist() == list(states) and table["parameter.run"].tolist() == [7, 8]
    assert "result.skill" not in table and table["skill"].isna().tolist() == [False, True]
    assert sweeps.axes(tmp_path / "s") == ["a", "parameter.run"]
    finish(helo("collect", tmp_path / "s"))
    heads = re.findall(r"<th[^>]*>(?:<[^>]*>)?([^<]*)", (tmp_path / "s" / "index.html").read_text())
    assert heads.count("parameter.run") == 1 and heads.count("run") <= 1, heads
