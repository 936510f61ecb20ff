"""Every fault that `helo check` promises to find, put into data that has none."""

import numpy as np
import pytest
from conftest import random_data
from test_dmer import write_features
from typer.testing import CliRunner

import helo
from helo.__main__ import app
from helo.data import signals
from helo.data.check import CAUTION, FAULT, check


def clean(n=40, **fields):
    """Ratings of 20 trials, one label each, ten-second windows that do not overlap."""
    trials = np.tile(np.repeat(np.arange(5), n // 20), 4).astype(str)
    people = np.repeat(["a", "b", "c", "d"], n // 4)
    d = np.random.default_rng(1).dirichlet(np.ones(5), 20).astype(np.float32)
    labels = d[np.unique(np.char.add(people, trials), return_inverse=True)[1]]
    starts = np.tile(10.0 * np.arange(n // 4), 4)
    given = {"distributions": labels, "starts": starts, "window": 10.0}
    return random_data(n=n, **(given | fields))


def found(data):
    return {(f.level, f.what) for f in check(data)}


def changed(change, **fields):
    data = clean()
    parts = {"signals": {m: x.copy() for m, x in data.signals.items()}, "distributions": data.distributions.copy()}
    change(parts)
    return clean(**(parts | fields))


def test_clean_data_has_no_fault():
    assert not found(clean())


def constant(parts):
    d = parts["distributions"]
    d[:, 2] = 0.2
    d[:, [0, 1, 3, 4]] *= 0.8 / d[:, [0, 1, 3, 4]].sum(1, keepdims=True)


def copied(parts):
    for x in parts["signals"].values():
        x[33] = x[7]


def test_a_unit_that_training_takes_for_rounding_is_told():
    """An EEG's power in square volts a hertz: `fit` scales it away, so `check` says so."""
    data = clean()
    signals = data.signals | {"face": data.signals["face"] * np.float32(1e-13)}
    (finding,) = [f for f in check(clean(signals=signals)) if f.what == "constant feature"]
    assert finding.where == "face" and "choose a larger unit" in finding.found


def spike(parts):
    parts["signals"]["eda"][5, 0, 1] = 1e6


@pytest.mark.parametrize(
    "change, expected",
    [
        (constant, (FAULT, "constant emotion")),
        (copied, (FAULT, "duplicated windows")),
        (spike, (FAULT, "units out of range")),
        (lambda p: p["signals"]["face"].__setitem__((slice(None), 0, 3), 7), (CAUTION, "constant feature")),
        (lambda p: p["distributions"].__setitem__(0, np.full(5, 0.2)), (CAUTION, "labels differ within a trial")),
    ],
)
def test_faults_in_the_values(change, expected):
    assert found(changed(change)) == {expected}


SMALL = {"eda": (1, 2), "face": (1, 2)}


def pasted(x):
    """Ten windows, four times, each time as another person's."""
    return np.tile(x[:10], (4, 1, 1))


def repeated(x):
    return np.concatenate([x[:37], x[:3]])


def votes(x):
    """Shares of ten votes for two emotions."""
    first = np.random.default_rng(len(x)).integers(0, 11, (len(x), 1)) / 10
    return np.stack([first, 1 - first], 2).astype(np.float32)


def few(x):
    """Twenty windows of a feature with ten votes and one of values from 0 to 2: three coincide."""
    rng = np.random.default_rng(1)
    rows = np.concatenate([rng.permutation(33)[:17], rng.integers(0, 33, 3)])
    return np.stack([rows // 3 / 10, rows % 3], 1)[:, None].astype(np.float32).repeat(2, 0)


@pytest.mark.parametrize("change, level", [(pasted, FAULT), (repeated, FAULT), (votes, CAUTION), (few, CAUTION)])
def test_measured_windows_do_not_repeat_in_a_small_study_either(change, level):
    signals = {m: change(x) for m, x in random_data(shapes=SMALL).signals.items()}
    small = clean(signals=signals, roles={"physiological": ["eda"], "behavioral": ["face"]})
    (one,) = (f for f in check(small) if f.what == "duplicated windows")
    assert one.level == level


def test_starts_in_milliseconds_are_told():
    data = clean(starts=1e12 + np.tile(10_000.0 * np.arange(10), 4))
    assert found(data) == {(CAUTION, "starts far apart")}
    (one,) = check(data)
    assert one.found.startswith("neighbouring windows of a trial begin 10000 s apart, 1000 windows of 10 s")


def test_faults_of_units_by_name():
    names = {"eda": ("heart rate (bpm)", "b", "c", "d")}
    data = changed(
        lambda p: p["signals"]["eda"].__setitem__((..., 0), 70 + p["signals"]["eda"][..., 0]), features=names
    )
    assert not found(data)
    hertz = changed(
        lambda p: p["signals"]["eda"].__setitem__((..., 0), 1.2 + p["signals"]["eda"][..., 0] / 60), features=names
    )
    assert found(hertz) == {(FAULT, "units out of range")}
    assert not found(clean(features=names))  # centred and scaled


def test_a_sensor_that_lies_still_is_no_fault_and_another_unit_is():
    tokens = signals.Tokens.of(np.arange(0, 200, 10.0), 10, 1)
    moving = np.random.default_rng(0).normal(0, 0.8, (210 * 32, 3))
    for x, expected in ((np.ones_like(moving), []), (moving, []), (9.81 * moving, ["units out of range"])):
        found = signals.movement(x, 32, tokens)
        data = random_data(
            n=20,
            signals={"acc": found.values.astype(np.float32)},
            features={"acc": found.names},
            roles={"physiological": [], "behavioral": ["acc"]},
        )
        assert [f.what for f in check(data) if "units" in f.what] == expected


def test_missing_modalities():
    mask = np.ones((40, 1), bool)
    mask[:10] = False  # all of subject a
    (one,) = check(clean(masks={"eda": mask}))
    assert (one.what, one.where) == (
        "missing modality",
        "eda",
    ) and one.found == "in 10 of 40 windows, all of 1 subjects"
    gone = {m: np.arange(40)[:, None].repeat(x.shape[1], 1) != 3 for m, x in clean().signals.items()}
    assert (FAULT, "empty window") in found(clean(masks=gone))


def test_who_lacks_a_modality_in_all_windows_is_counted():
    mask = np.ones((40, 1), bool)
    mask[:13] = False  # all of a's, some of b's
    told = [f.found for f in check(clean(masks={"eda": mask})) if f.what == "missing modality"]
    assert told == ["in 13 of 40 windows, all of 1 subjects"]


def test_overlap():
    half = np.tile(5.0 * np.arange(10), 4)
    assert {(CAUTION, "overlapping windows"), (CAUTION, "trials that overlap")} == found(clean(starts=half))
    (said,) = (f.found for f in check(clean(starts=half)) if f.what == "trials that overlap")
    assert said.startswith("in 16 places"), "four people, four times from one of five trials to the next"
    # half a window shared within a trial only: a split by trial is safe
    apart = np.tile(np.repeat(100.0 * np.arange(5), 2) + np.tile([0, 5.0], 5), 4)
    assert found(clean(starts=apart)) == {(CAUTION, "overlapping windows")}


def test_imbalance():
    people = np.array(["a"] * 36 + ["b"] * 4)
    assert (CAUTION, "imbalance") in found(clean(subjects=people, trials=np.arange(40)))
    assert {f.where for f in check(clean(subjects=["a"] * 40)) if f.level == FAULT} == {"subjects"}


def test_duration_that_tells_the_emotion():
    n = 120
    people, trials = np.repeat(["a", "b", "c", "d"], 30), np.tile(np.r_[np.zeros(10), np.ones(20)], 4).astype(int)
    d = np.array([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8]])[trials]
    data = random_data(n=n, emotions=3, distributions=d, subjects=people, trials=trials)
    assert (CAUTION, "duration tells the emotion") in found(data)
    rng = np.random.default_rng(0)  # the same lengths, other labels
    other = rng.dirichlet(np.ones(3), 8)[np.unique(np.char.add(people, trials.astype(str)), return_inverse=True)[1]]
    assert (CAUTION, "duration tells the emotion") not in found(
        random_data(n=n, emotions=3, distributions=other, subjects=people, trials=trials)
    )


def run(path):
    return CliRunner().invoke(app, ["check", str(path)])


def test_the_command_tells_and_exits(tmp_path):
    """DMER's two traps, reported; and exit codes 0 (no fault), 1 (fault), 2 (cannot be read)."""
    rows = np.random.default_rng(0).integers(6, 12, 32)

    def longer_is_happier(content):
        content["dis_label"] = np.ones((32, 10)) + 4 * (rows[:, None] > 8) * (np.arange(10) < 5)

    write_features(tmp_path, people=[1, 2, 5], rows=rows, change=longer_is_happier)
    done = run(tmp_path)
    assert done.exit_code == 0, done.stderr
    assert "| eeg (physiological) | 18 x 5" in done.stdout and "| subjects | 3 |" in done.stdout
    assert "80% of a window is its neighbour's" in done.stdout
    assert "duration tells the emotion" in done.stdout
    path = tmp_path / "own.csv"
    header = "subject,trial,eda.a,face.b,emotion.x,emotion.y"
    path.write_text("\n".join([header, *(f"{s},{t},{s}.{t},1,1,{t}" for s in (1, 2) for t in (1, 2, 3))]))
    assert run(path).exit_code == 0
    path.write_text("\n".join([header, *(f"{s},{t},{s}.{t},1,1,1" for s in (1, 2) for t in (1, 2, 3))]))
    done = run(path)
    assert done.exit_code == 1 and "| fault | constant emotion | x | 0.5000 in every window |" in done.stdout
    path.write_text("nothing")
    done = run(path)
    assert done.exit_code == 2 and "own.csv" in done.stderr and "Traceback" not in done.stderr
    assert run(tmp_path / "none").exit_code == 2


@pytest.mark.parametrize("command", ["check", "evaluate"])
def test_a_warning_is_one_line_without_escape_codes(command, tmp_path):
    """Of a file whose name commands the terminal, and whose cells are empty in places."""
    path = tmp_path / "own\x1b[31m\u202e.csv"
    rows = [f"{s},{t},{s}.{t},{'' if t == 1 else 1},1,1,{t}" for s in range(1, 5) for t in (1, 2, 3)]
    path.write_text("\n".join(["subject,trial,eda.a,eda.b,face.b,emotion.x,emotion.y", *rows]))
    arguments = ["check", path] if command == "check" else ["evaluate", "--dataset", "table", "--root", path]
    more = [] if command == "check" else ["--models", "mean,uniform", "--workers", "1", "--folds", "2"]
    done = CliRunner().invoke(app, [*map(str, arguments), *more])
    assert done.exit_code == 0, done.stderr
    assert not set(done.output) & {"\x1b", "\u202e"} and "Warning" not in done.stderr
    assert any(line.startswith("helo: ") and "own\\x1b[31m" in line for line in done.stderr.splitlines()), done.stderr


def test_no_data_set_of_ours_has_a_fault(simulated):
    assert FAULT not in {f.level for f in check(simulated)}
    assert FAULT not in {f.level for f in check(helo.load("pairing"))}
