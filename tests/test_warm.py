"""Kernels forked from a process that has done the imports are what new ones are; where they would not be, new ones."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import nbformat
import psutil
import pytest
from conftest import ROOT
from test_notebooks import write_notebook

import helo
from helo import sweeps

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux alone")
STUDY = {"subjects": 4, "clips": 3, "seconds": 48, "seed": 0}
PARAMETERS = 'a: int = 0  # number\noutput: str = ""  # folder'
RECORD = "import json, os\njson.dump(found, open(f\"{output}/{os.environ['HELO_RESULT']}\", 'w'))"
# all that a kernel could have from the process it is forked from, after the imports
STATE = r"""import gc, locale, multiprocessing, signal, threading, warnings
where = os.environ["TMPDIR"]
plain = lambda text: text.replace(where, "TMP").replace(output, "OUT")
found = {
    "argv": [plain(x) for x in [*sys.argv, *sys.orig_argv]],
    "shown": [plain(x) for x in open("/proc/self/cmdline").read().strip("\0").split("\0")],
    "marked": f"HELO_RUN={where}" in open("/proc/self/environ").read().split("\0"),
    "path": sys.path, "flags": str(sys.flags), "main": [__name__, str(sys.modules["__main__"])],
    "environment": {k: plain(v) for k, v in os.environ.items() if k != "JPY_PARENT_PID"},
    "parent": os.environ["JPY_PARENT_PID"] == str(os.getppid()),
    "group": os.getpgid(0) == os.getsid(0) == os.getppid(), "cwd": os.getcwd(), "umask": os.umask(0o22),
    "signals": {int(s): str(signal.getsignal(s)).split(" at ")[0] for s in signal.valid_signals()},
    "threads": sorted(t.name.split(" ")[0] for t in threading.enumerate() if t.name != "late"),
    "files": len(os.listdir("/proc/self/fd")),
    "input": sys.stdin.read() if sys.stdin else None, "gc": [gc.isenabled(), *gc.get_threshold()],
    "locale": locale.getlocale(), "filters": len(warnings.filters), "tmp": plain(tempfile.gettempdir()),
    "names": sorted(k for k in globals() if k[0] != "_"), "inputs": len(In), "backend": matplotlib.get_backend(),
    "replies": getattr(type(sliders.comm), "_reply_subshell_for", type).__module__,
    "drawn": drawn, "torch": [torch.get_num_threads(), torch.cuda.is_initialized(), torch.cuda._is_in_bad_fork()],
    "comms": sorted(get_ipython().kernel.comm_manager.targets),
    "history": str(get_ipython().history_manager.hist_file), "display": type(sys.stdout).__name__,
}
"""
WORK = (
    """figure, axes = plt.subplots(figsize=(2, 1))
axes.plot(np.random.default_rng(0).normal(size=9))
figure""",
    """go.Figure(go.Scatter(y=[1, 2]))""",
    """sliders = widgets.IntSlider(3)
data = helo.load("simulated", **STUDY)
model = helo.build("helo", data, seed=0, width=16)
helo.fit(model, data, helo.splits.by_subject(data, folds=2)[0], epochs=1, seed=0, progress=False)
helo.save(model, f"{output}/model.safetensors")
print(model.learned_correlation().detach().numpy())
torch.manual_seed(3); np.random.seed(3); random.seed(3)
print(torch.rand(2), np.random.rand(2), random.random())
print(sorted(pd.Series([3.0, 1.0]).to_list()), file=sys.stderr)""",
    """import atexit
atexit.register(lambda: print("at its end", file=open(f"{output}/end", "w")))
unclosed = open(f"{output}/unclosed", "w")
unclosed.write("whole")
sys.kept = open(f"{output}/kept", "w")
sys.kept.write("by a module")
import threading, time
late = lambda: (time.sleep(0.5), open(f"{output}/thread", "w").write("x"))
threading.Thread(target=late, name="late").start()""",
)
IMPORTS = """import os, random, sys, tempfile
import ipywidgets as widgets
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import torch
import helo
from helo import explore, figures
drawn = [torch.initial_seed(), torch.rand(1).item(), np.random.rand(), random.random()]"""


@pytest.fixture(autouse=True)
def one_thread_each(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True, scope="module")
def no_zygote_is_left():
    yield
    from helo.batch import warm

    warm.end()


def run(notebook, folder, cold=False, state="done", **parameters):
    """A run's folder; the result's name for what it is told to hold is "found"."""
    states = sweeps.sweep(notebook, [parameters], folder, cold=cold, progress=False)
    assert list(states.values()) == [state]
    return Path(folder) / next(iter(states))


def result(folder):
    return json.loads((folder / "result.json").read_text())


def cold_reason(folder):
    told = re.search("a cold kernel: (.*)", (folder / "log.txt").read_text())
    return told and told.group(1)


def zygote():
    from helo.batch import warm

    return psutil.Process(warm._current.pid)


def outputs(folder, name):
    """What the cells gave, without what names the run's folders or the moment."""
    cells = nbformat.read(folder / name, as_version=4).cells
    told = json.dumps([cell.get("outputs") for cell in cells if "Parameters" not in cell.source])
    return re.sub(r"IPY_MODEL_\w+|0x[0-9a-f]+|helo-\w+|kernel_\d+", "", told.replace(str(folder), ""))


@pytest.mark.parametrize("cold", [False, True])
def test_a_kernel_has_time_to_end(tmp_path, cold):
    """As on a busy machine: after jupyter's own 2.5 s it would be ended, and what is not yet written lost."""
    slow = "import atexit, time\nfound = {}\n"
    slow += "atexit.register(lambda: (time.sleep(4), open(f'{output}/end', 'w').write('x')))"
    folder = run(write_notebook(tmp_path / "n.ipynb", PARAMETERS, slow, RECORD), tmp_path / "out", cold=cold)
    assert (folder / "end").read_text() == "x"


def test_warm_and_cold_are_the_same_bit_for_bit(tmp_path, monkeypatch):
    """State, outputs, pictures, weights and what is done at the end; the second fork as the first."""
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    monkeypatch.delenv("MPLBACKEND", raising=False)
    notebook = write_notebook(tmp_path / "n.ipynb", PARAMETERS, IMPORTS, f"STUDY = {STUDY}", *WORK, STATE, RECORD)
    helo.load("simulated", **STUDY)  # its features are kept from here on: nobody computes them
    cold, *warm = (run(notebook, tmp_path / how, cold=how == "cold") for how in ("cold", "first", "second"))
    assert len(list(Path(f"/proc/{zygote().pid}/task").iterdir())) == 1
    drawn = []
    for folder in warm:
        assert cold_reason(folder) is None
        mine, new = result(folder), result(cold)
        drawn += [mine.pop("drawn"), new.pop("drawn")]
        assert mine["torch"] == [1, False, False] and mine["marked"] and mine["parent"] and mine["group"]
        assert {k: mine[k] for k in new if mine[k] != new[k]} == {}
        assert outputs(folder, "n.ipynb") == outputs(cold, "n.ipynb") and "image/png" in outputs(cold, "n.ipynb")
        for name in ("model.safetensors", "end", "unclosed", "kept", "thread"):
            assert (folder / name).read_bytes() == (cold / name).read_bytes(), name
        assert (folder / "unclosed").read_text() == "whole"
    assert all(len({draws[k] for draws in drawn}) == 3 for k in range(4)), "each run draws its own"


def test_nothing_of_a_run_is_left_for_the_next(tmp_path):
    """Neither variables, modules, settings nor states of random numbers."""
    notebook = write_notebook(
        tmp_path / "n.ipynb",
        PARAMETERS,
        "import os, random, sys\nimport numpy as np\nimport numpy.random",
        "left = [hasattr(np, 'LEFT'), 'LEFT' in os.environ, 'colorsys' in sys.modules, np.geterr()['over']]\n"
        "key = __import__('multiprocessing').current_process().authkey.hex()\n"
        "found = dict(left=left, cwd=os.getcwd(), drawn=[random.random(), np.random.rand()], key=key)\n"
        "np.LEFT = 1; os.environ['LEFT'] = '1'; np.seterr(over='raise'); os.chdir('/')\n"
        "random.seed(0); np.random.seed(0)\n"
        "__import__('colorsys')",
        RECORD,
    )
    first, second = (result(run(notebook, tmp_path, a=a)) for a in (1, 2))
    assert first["left"] == second["left"] == [False, False, False, "warn"]
    assert first["cwd"] == second["cwd"] == os.getcwd()
    assert not {*first["drawn"], first["key"]} & {*second["drawn"], second["key"]}


def test_a_killed_zygote_or_kernel(tmp_path, monkeypatch):
    """A run outlives its zygote, and the next run has another; a killed kernel is interrupted, as ever."""
    pids = "import psutil\nfound = [p.pid for p in psutil.Process().parents()[:2]]\nfound = dict(zip('sz', found))"
    kill = (
        "import signal\nif a == 1: os.kill(found['z'], signal.SIGKILL)\nif a == 3: os.kill(os.getpid(), signal.SIGKILL)"
    )
    notebook = write_notebook(tmp_path / "n.ipynb", PARAMETERS, "import os, numpy\n" + pids, kill, RECORD)
    before = result(run(notebook, tmp_path, a=0))["z"]
    assert before == zygote().pid
    killed = run(notebook, tmp_path, a=1)
    assert result(killed)["z"] == before and cold_reason(killed) is None
    other = run(notebook, tmp_path, a=2)
    assert result(other)["z"] == zygote().pid != before and cold_reason(other) is None
    run(notebook, tmp_path, a=3, state="interrupted")
    assert result(run(notebook, tmp_path, a=4))["z"] == zygote().pid == result(other)["z"]
    zygote().send_signal(signal.SIGSTOP)  # one that does not answer
    monkeypatch.setattr("helo.batch.warm.PATIENCE", 10)
    assert cold_reason(run(notebook, tmp_path, a=5)) is None, "another answers"


def test_a_zygote_that_cannot_start(tmp_path, monkeypatch):
    notebook = write_notebook(tmp_path / "n.ipynb", PARAMETERS, "import os\nfound = {}", RECORD)

    def none(name):
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setenv("OWN", "of this test")
    monkeypatch.setattr("helo.batch.warm.os.memfd_create", none)
    told = cold_reason(run(notebook, tmp_path))
    assert told == "what kernels are forked from cannot start: [Errno 12] Cannot allocate memory"


def test_a_zygote_ends_with_its_process(tmp_path):
    notebook = write_notebook(tmp_path / "n.ipynb", PARAMETERS, "import numpy", "found = {}", RECORD)
    script = (
        "import sys, os, signal\nfrom helo import sweeps\nfrom helo.batch import warm\n"
        f"sweeps.sweep({str(notebook)!r}, [{{}}], {str(tmp_path / 's')!r}, progress=False)\n"
        "print(warm._current.pid, flush=True)\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    pid = int(subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, env=environment()).stdout)
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(pid).wait(10)
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie"


def environment(path=ROOT):
    return {**os.environ, "PYTHONPATH": str(path)}


def test_the_run_has_its_own_environment(tmp_path, monkeypatch):
    """A variable that Python or a library reads at its start counts too: another environment, another zygote."""
    notebook = write_notebook(
        tmp_path / "n.ipynb",
        PARAMETERS,
        "import os, sys, numpy\nfound = {k: os.environ.get(k) for k in ('CUDA_VISIBLE_DEVICES', 'OWN')}\n"
        "found |= dict(hash=hash('x'), cwd=os.getcwd())",
        RECORD,
    )
    seen = []
    for own, seed, cwd in (("1", "1", "."), ("1", "2", "."), ("2", "2", ".."), ("2", "2", "..")):
        monkeypatch.setenv("OWN", own)
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", own)
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        monkeypatch.chdir((tmp_path / cwd).resolve())
        seen.append((result(folder := run(notebook, tmp_path, a=len(seen))), zygote().pid))
        assert cold_reason(folder) is None
        assert seen[-1][0]["OWN"] == seen[-1][0]["CUDA_VISIBLE_DEVICES"] == own and seen[-1][0]["cwd"] == os.getcwd()
    assert seen[0][0]["hash"] != seen[1][0]["hash"] == seen[2][0]["hash"]
    assert len({pid for _, pid in seen}) == 3, "the last two share one"


def test_changed_code_is_never_run_from_memory(tmp_path):
    """The library's, between two runs of one process; a docstring alone too, for notebooks show it."""
    package = tmp_path / "helo"
    shutil.copytree(ROOT / "helo", package, ignore=shutil.ignore_patterns("__pycache__", "pretrained"))
    (package / "__init__.py").write_text("")  # torch is not needed here
    notebook = write_notebook(
        tmp_path / "n.ipynb",
        PARAMETERS,
        "import os\nimport helo.losses_of_a_test as m\nfound = dict(code=m.CODE, text=m.__doc__)",
        RECORD,
    )
    (tmp_path / "driver.py").write_text(
        textwrap.dedent(f"""
        import json, os, sys
        from pathlib import Path
        from helo.batch import sweeps, warm
        module = Path({str(package)!r}) / "losses_of_a_test.py"
        zygotes = []
        for a, (text, code) in enumerate((("one", 1), ("one", 2), ("two", 2), ("two", 2))):
            new = f'"{{text}}"\\nCODE = {{code}}\\n'
            if not module.exists() or module.read_text() != new:
                module.write_text(new)
            states = sweeps.sweep({str(notebook)!r}, [dict(a=a)], {str(tmp_path / "s")!r}, progress=False)
            folder = Path({str(tmp_path / "s")!r}) / next(iter(states))
            found = json.loads((folder / "result.json").read_text())
            assert (found["text"], found["code"]) == (text, code), found
            assert "cold" not in (folder / "log.txt").read_text()
            zygotes.append(warm._current.pid)
        assert len(set(zygotes)) == 3 and zygotes[2] == zygotes[3], zygotes
        """)
    )
    done = subprocess.run(
        [sys.executable, tmp_path / "driver.py"], env=environment(tmp_path), text=True, capture_output=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "content, reason",
    [
        ("import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()", "1 threads"),
        ("import warnings\nwarnings.warn('old')", "the imports print: .*old"),
        ("print('hello')", "the imports print: hello"),
        ("from IPython import get_ipython\nget_ipython()", r"\['odd'\] ask whether they are in a notebook"),
        ("import tempfile\ntempfile.mkstemp()", "the imports leave tmp"),
        ("import torch\ntorch.cuda.used = True", "the imports use the GPU"),
        ("import torch\ntorch.cuda.looked = True", "the imports look for GPUs"),
        ("1 / 0", "ZeroDivisionError"),
        ("import os\nos._exit(3)", "ended while it imported"),
    ],
)
def test_imports_that_do_more_are_left_to_each_kernel(tmp_path, monkeypatch, content, reason):
    """The kernel is cold, the log says why, and the next run does not try again."""
    packages = tmp_path / "site-packages"
    (packages / "torch").mkdir(parents=True)
    (packages / "odd.py").write_text(content)
    (packages / "torch" / "_dynamo.py").write_text("")
    (packages / "torch" / "__init__.py").write_text(
        "import os\nhere = os.getpid()\nclass cuda:\n    used = looked = False\n"
        "    is_initialized = classmethod(lambda cls: cls.used)\n"
        "    _is_in_bad_fork = classmethod(lambda cls: cls.looked and os.getpid() != here)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(packages))
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    notebook = write_notebook(
        tmp_path / "n.ipynb", PARAMETERS, "try:\n    pass\nfinally:\n    pass\nfound = {}", RECORD, "import odd"
    )
    state = "failed" if "1 / 0" in content else "interrupted" if "_exit" in content else "done"
    for a in (1, 2):
        assert re.search(reason, cold_reason(run(notebook, tmp_path, a=a, state=state)))


def test_what_lies_beside_a_notebook_is_not_imported_ahead(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("VALUE = 1")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    notebook = write_notebook(
        tmp_path / "n.ipynb",
        PARAMETERS,
        "import sys\nahead = 'mine' in sys.modules",
        "import mine\nfound = dict(ahead=ahead)",
        RECORD,
    )
    assert result(folder := run(notebook, tmp_path))["ahead"] is False and cold_reason(folder) is None


def test_a_magic_command_and_what_is_imported(tmp_path):
    from helo.batch import warm

    cells = (
        "%matplotlib inline\nimport odd",
        "import a.b as c, d\nfrom e import f, g\nfrom h import *",
        "if 1:\n    import i",
    )
    assert warm.imports(write_notebook(tmp_path / "n.ipynb", *cells)) == ["a.b", "d", "e:f", "e:g", "h"]
