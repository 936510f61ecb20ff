"""`benchmarks/gpu.sh` and the page of speed: parts that fail are rows, and rows go where they belong."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT

import helo

sys.path.insert(0, str(ROOT / "benchmarks"))
import gpu
import speed_page
import training
from machine import HEAD

SCRIPT = ROOT / "benchmarks" / "gpu.sh"


def shell(*arguments, **environment):
    environment = os.environ | {"PYTHON": sys.executable, "OMP_NUM_THREADS": "1"} | environment
    return subprocess.run(["bash", SCRIPT, *arguments], capture_output=True, text=True, env=environment)


def test_a_run_without_a_gpu_says_so_and_a_part_that_takes_too_long_is_a_row():
    done = shell("training", "--small", "--limit", "0.1")
    assert done.returncode == 0, done.stderr
    _, last = done.stdout.rsplit("# training", 1)
    assert "no GPU: figures are of the CPU" in last and "cores" in last and "torch" in last and "tiny sizes" in last
    assert re.search(
        r"\| what \| found \| took \|\n\|---\|---\|---\|\n\| training \| took longer than 0 s \| \d+ s of 0 \|", last
    )


def test_wheels_are_put_beside_the_python_that_is_there(tmp_path):
    """An empty wheel folder is pip's error, not a run without the packages; an unknown part is said."""
    assert "nowhere" in shell("--wheels", str(tmp_path / "nowhere"), "training").stderr
    done = shell("transports")
    assert done.returncode == 2 and "unknown parts ['transports']; expected some of ['test', '02_train'" in done.stderr


def test_a_part_that_fails_is_a_row_and_the_others_go_on(tmp_path, monkeypatch):
    code = {
        "training": "print('x'); raise ValueError('a | b')",
        "stacked": f"print('''{HEAD}\n|---|---|\n| a | 2 | 3 |''')",
    }
    monkeypatch.setattr(gpu, "command", lambda part, *_: ["-c", code[part]])
    (failed,) = gpu.run("training", "", tmp_path, True, 60)
    assert failed[:2] == ("training", "failed: ValueError: a / b")
    (found,) = gpu.run("stacked", "", tmp_path, True, 60)
    assert found[:2] == ("stacked: a", "2") and found[2].endswith(" s of 60")


def test_every_part_is_there_and_all_of_them_take_less_than_nine_minutes(tmp_path):
    assert sum(gpu.LIMITS.values()) <= 510
    for part in gpu.LIMITS:
        for study in ("", "study.npz"):
            words = gpu.command(part, study, tmp_path, False)
            files = [word for word in words if word.startswith(("benchmarks/", "tests/", "notebooks/"))]
            assert len(files) == 1 and (ROOT / files[0]).exists()
            assert ("study.npz" in words) == bool(study and (part in gpu.NOTEBOOKS or part == "stacked"))
    assert "--seeds 5" in " ".join(gpu.command("stacked", "", tmp_path, False)), "15 folds x 5 seeds are 75 models"


def test_the_study_that_travels_is_the_simulated_one(tmp_path, simulated, monkeypatch):
    monkeypatch.setattr(helo, "load", lambda *_, **__: simulated)
    gpu.fetch(tmp_path)
    monkeypatch.undo()
    data = helo.load("table", tmp_path / "study.npz")
    for m, x in simulated.signals.items():
        np.testing.assert_array_equal(data.masks[m], simulated.masks[m])
        np.testing.assert_allclose(data.signals[m][data.masks[m]], x[simulated.masks[m]])
    np.testing.assert_allclose(data.distributions, simulated.distributions, atol=1e-6)
    assert data.roles == simulated.roles and data.emotions == simulated.emotions
    assert (data.subjects == simulated.subjects).all() and (data.conditions == simulated.conditions).all()


@pytest.mark.parametrize("fast", [True, False])
def test_a_machine_without_bfloat16_has_rows_too(fast):
    names = ("helo, auto", "helo, float32", "unrolled", "loader", "answer, auto", "answer, float32", "plain")
    ms = (
        dict.fromkeys(names, 100.0)
        | {"loader": 300.0}
        | ({"loader, autocast": 150.0, "plain, autocast": 90.0} if fast else {})
    )
    step, _, answers = (found for _, found, _ in training.told(ms, 50, 128))
    assert step.startswith("100 ms; 3.00 and 1.50 times as fast; 50" if fast else "100 ms; 3.00 times; no bfloat16")
    assert ("and 0.90 (**missed**) times as fast" if fast else "1.00 (**missed**) times; no bfloat16 here") in answers


class TestPage:
    ROW = {
        "part": "seeds",
        "what": "a",
        "found": "2",
        "goal": "",
        "command": "b",
        "machine": "m",
        "date": "d",
        "commit": "c",
    }

    def test_it_says_what_is_kept(self):
        text = (ROOT / "docs/speed.md").read_text()
        assert speed_page.page(text, speed_page.read(ROOT / "benchmarks/results/speed.csv")) == text

    def test_a_part_takes_the_place_of_its_older_rows(self, tmp_path):
        file = tmp_path / "speed.csv"
        other = self.ROW | {"part": "transport", "found": "5"}
        speed_page.keep(file, [self.ROW, self.ROW | {"what": "old"}])
        speed_page.keep(file, [other])
        speed_page.keep(file, [self.ROW | {"found": "3", "machine": "n"}])
        assert speed_page.read(file) == [other, self.ROW | {"found": "3", "machine": "n"}]
        told = speed_page.written(speed_page.read(file))
        assert "| a | 5 |  | `b` | A |" in told and "- **B**: n; d, commit c" in told

    @pytest.mark.parametrize(
        "code, error",
        [
            ("raise SystemExit(3)", "ended with code 3, 0 rows"),
            ("pass", "ended with code 0, 0 rows"),
            ("import time; time.sleep(60)", "took longer than 0 s"),
        ],
    )
    def test_a_part_without_rows_is_an_error(self, code, error, tmp_path, monkeypatch):
        (tmp_path / "benchmarks").mkdir()
        (tmp_path / "benchmarks" / "one.py").write_text(code)
        monkeypatch.setattr(speed_page, "ROOT", tmp_path)
        monkeypatch.setitem(speed_page.PARTS, "seeds", ("one.py", 1))
        with pytest.raises(RuntimeError, match=error):
            speed_page.measure("seeds", "", 0.4 if "sleep" in code else 60)

    def test_a_part_s_rows_have_its_command_and_machine(self, tmp_path, monkeypatch):
        (tmp_path / "benchmarks").mkdir()
        lines = f"x, 2 cores, 1 threads\n\n{HEAD}\n|---|---|---|\n| a | 2 | 3 |\n| b | 4 |  |"
        (tmp_path / "benchmarks" / "one.py").write_text(f"import os; print({lines!r}, os.environ['OMP_NUM_THREADS'])")
        monkeypatch.setattr(speed_page, "ROOT", tmp_path)
        monkeypatch.setitem(speed_page.PARTS, "seeds", ("one.py PATH", 1))
        first, second = speed_page.measure("seeds", "folder")
        assert (first["what"], first["found"], first["goal"]) == ("a", "2", "3") and second["found"] == "4"
        assert first["command"] == "benchmarks/one.py PATH" and first["machine"] == "x, 2 cores, 1 threads"
