"""Shared data for the tests: a small simulated study, random data, the real WESAD and EmoWalk recordings."""

import fcntl
import os
import pickle
import subprocess
import sys
from pathlib import Path

# exact comparisons need one device; tests/test_gpu.py uses the others
os.environ["HELO_TEST_GPUS"] = os.environ.get("CUDA_VISIBLE_DEVICES", "all")
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np
import pytest
import torch

import helo
import helo.data.emowalk

ROOT = Path(__file__).parent.parent
SHARED = Path(os.environ.get("HELO_TEST_DATA", ROOT.parent / "shared" / "data"))


#: the files that take longest, in the order in which processes take them: the last one to end should be a short one
LONGEST = ("test_sweeps", "test_models", "browser/test_browser", "test_live", "test_notebooks", "test_recordings")
LONGEST += ("browser/test_site", "test_fuzz", "test_folders", "test_stacking", "test_warm", "browser/test_questions")
LONGEST += ("test_training", "browser/test_dashboard", "test_package", "browser/test_transport")


def pytest_collection_modifyitems(items):
    order = {ROOT / "tests" / f"{name}.py": k for k, name in enumerate(LONGEST)}
    assert all(path.exists() for path in order)
    items.sort(key=lambda item: order.get(item.path, len(order)))


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    os.environ["HELO_CACHE"] = str(tmp_path_factory.mktemp("cache"))


def for_all_workers(factory):
    """A folder that the processes of one test run share: what is there takes long to make."""
    own = factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def simulated():
    return helo.load("simulated", subjects=6, clips=5, seconds=48, seed=0)


@pytest.fixture(scope="session")
def study():
    """The study of `make demo`."""
    return helo.load("simulated", seed=0)


def shared(name):
    """A file of the real data; without it a test is skipped, and in CI it fails."""
    path = SHARED / name
    if not path.exists():
        if os.environ.get("CI"):
            pytest.fail(f"{path}: missing; CI must not skip the tests on real data")
        pytest.skip(f"{path}: missing; set HELO_TEST_DATA to the folder that holds {name}")
    return path


def restored(name, factory):
    """The folder of a release, in its own layout, from the little that is kept of it."""
    source = shared(f"{name}/restore.py")
    root = for_all_workers(factory) / name
    with root.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # whoever comes first makes it
        if not root.exists():
            made = factory.mktemp(name)
            subprocess.run([sys.executable, source, made], check=True, capture_output=True)
            made.rename(root)
    return root


@pytest.fixture(scope="session")
def wesad_root(tmp_path_factory):
    """Real wrist recordings of 15 people."""
    return restored("wesad", tmp_path_factory)


@pytest.fixture(scope="session")
def wesad(wesad_root):
    with pytest.warns(UserWarning, match="'nervous' in 'Medi 1' is missing"):
        return helo.load("wesad", root=wesad_root, tokens=6, context=0)


@pytest.fixture(scope="session")
def emowalk_root(tmp_path_factory):
    """Real walks of 44 people."""
    return restored("emowalk", tmp_path_factory)


@pytest.fixture(scope="session")
def emowalk(emowalk_root):
    with pytest.warns(UserWarning, match="no questionnaires of ew27; left out"):
        return helo.load("emowalk", root=emowalk_root)


@pytest.fixture(scope="session")
def four_people(wesad_root, tmp_path_factory):
    """The real recordings of four people: as much as a notebook needs to show that it works on them."""
    root = tmp_path_factory.mktemp("four")
    for subject in ("S2", "S3", "S4", "S6"):
        (root / subject).symlink_to(wesad_root / subject)
    return root


def random_data(n=40, emotions=5, shapes=None, roles=None, seed=0, **fields):
    """Random windows of 4 subjects x 5 trials; shapes: modality -> (tokens, features)."""
    rng = np.random.default_rng(seed)
    shapes = shapes or {"eeg": (6, 3), "eda": (1, 4), "ppg": (1, 5), "face": (1, 7)}
    roles = roles or {"physiological": [m for m in shapes if m != "face"], "behavioral": ["face"]}
    names = [f"e{k}" for k in range(emotions)] if isinstance(emotions, int) else emotions
    d = rng.dirichlet(np.ones(5 if names is emotions else emotions), n).astype(np.float32)
    parts = {
        "name": "random",
        "signals": {m: rng.normal(size=(n, *s)).astype(np.float32) for m, s in shapes.items()},
        "distributions": d / d.sum(1, keepdims=True),
        "emotions": names,
        "subjects": np.repeat(["a", "b", "c", "d"], n // 4),
        "trials": np.tile(np.repeat(np.arange(5), n // 20), 4).astype(str),
        "roles": roles,
    }
    return helo.EmotionData(**(parts | fields))


def as_batch(data, rows=slice(None)):
    return (
        {m: torch.as_tensor(x[rows]) for m, x in data.signals.items()},
        {m: torch.as_tensor(x[rows]) for m, x in data.masks.items()},
    )


def write_wesad(root, subject="S2", seconds=70.0, chest=False, change=None, quest=None):
    """A small subject in the release's layout; `change(content)` and `quest(lines)` break it."""
    rng = np.random.default_rng(int(subject[1:]))
    codes = [1, 2, 4, 3, 4]
    label = np.concatenate([np.r_[np.zeros(700, int), np.full(int(seconds * 700), c)] for c in codes]).astype(np.int32)
    total = len(label) / 700
    t = np.arange(int(total * 64)) / 64
    wrist = {
        "ACC": rng.normal(0, 20, (int(total * 32), 3)),
        "BVP": 50 * np.sin(2 * np.pi * 1.1 * t)[:, None] + rng.normal(0, 1, (len(t), 1)),
        "EDA": 2 + rng.normal(0, 0.1, (int(total * 4), 1)).cumsum(0) ** 2 * 0.01,
        "TEMP": 33 + rng.normal(0, 0.01, (int(total * 4), 1)),
    }
    content = {"signal": {"wrist": wrist, "chest": {}}, "label": label, "subject": subject}
    if chest:
        import neurokit2 as nk

        n = len(label)
        content["signal"]["chest"] = {
            "ACC": rng.normal(0, 0.1, (n, 3)),
            "ECG": nk.ecg_simulate(duration=int(total) + 1, sampling_rate=700, heart_rate=75, random_state=0)[:n, None],
            "EMG": rng.normal(0, 0.01, (n, 1)),
            "EDA": 3 + rng.normal(0, 0.001, (n, 1)),
            "Temp": (33 + rng.normal(0, 0.01, (n, 1))).astype(np.float32),
            "Resp": np.sin(2 * np.pi * 0.25 * np.arange(n) / 700)[:, None],
        }
    if change:
        change(content)
    folder = Path(root) / subject
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{subject}.pkl", "wb") as file:
        pickle.dump(content, file, protocol=2)
    ratings = [list(np.roll([1, 2, 3, 4, 5, 1] * 4, k)) for k in range(5)]
    ratings[1] = [*ratings[1][:23], 5, 5, *ratings[1][23:]]
    lines = [
        f"# Subj;{subject}",
        "# ORDER;Base;TSST;Medi 1;Fun;Medi 2;sRead;fRead",
        "# START;1;3;5;7;9",
        "# END;2;4;6;8;10",
        "",
    ]
    lines += ["# PANAS;" + ";".join(map(str, row)) for row in ratings] + ["# STAI;1;1;1;1;1;1"]
    if quest:
        lines = quest(lines)
    pad = [line + ";" * (26 - line.count(";")) for line in lines]
    (folder / f"{subject}_quest.csv").write_text("\n".join(pad) + "\n")
    return root


#: What `write_emowalk` writes: person -> condition in the study, in the questionnaires.
WALKERS = {"EW2": ("Mo-SNH", "Mo-SNH"), "EW10": ("Mu-SNH", "Mu-SNN"), "EW7": ("Mw-HNS", "Mw-HNS")}


def write_emowalk(root, seconds=70, rate=25, study=None, panas=None, walks=None):
    """Three people in the release's layout, a pause of 60 s between the walks.

    `study(lines)` and `panas(lines)` break the tables (the second that of Mo and Mu), `walks(array)` EW2's recording.
    """
    root, rng = Path(root), np.random.default_rng(0)
    (root / "walking_data").mkdir(parents=True, exist_ok=True)
    (root / "PANAS").mkdir(exist_ok=True)
    items = [name.title() for name in helo.data.emowalk.EMOTIONS]
    tables = {"PANAS_mo_mu.csv": 6, "PANAS_mw.csv": 3}
    lines = {
        file: [",".join(["Timestamp", "ID", "Condition", *[f"{k + 1}. {x}" for k, x in enumerate(items)] * count])]
        for file, count in tables.items()
    }
    encoding = ["PARTICIPANT ID,CONDITION,AGE,SEX,START W,END W,START W,END W,START W,END W"]
    for person, (condition, told) in WALKERS.items():
        times = [f"09.{m + (s + 10) // 60:02}.{(s + 10) % 60:02}" for m in (0, 5, 10) for s in (0, seconds)]
        encoding.append(",".join([person, condition, "21", "F", *times]))
        n, code = int(seconds * rate), ("Mo", "Mu", "Mw").index(condition[:2])
        x = np.zeros((3 * n, 9))
        x[:, 0] = code
        x[:, 1] = np.repeat([{"S": -1, "N": 0, "H": 1}[letter] for letter in condition[3:]], n)
        t = np.arange(3 * n)[:, None] / rate
        x[:, 2:8] = [[3, 1, 1, 90, 40, 40]] * np.sin(2 * np.pi * 1.5 * t) + rng.normal(0, 0.3, (3 * n, 6))
        x[:, 8] = 100 + 6 * (t[:, 0] % seconds) / 60  # 6 beats a minute faster every minute
        if walks and person == "EW2":
            x = walks(x)
        file = root / "walking_data" / f"{condition[:2].lower()}_{person.lower()}_accdata_1_2_90-930.csv"
        np.savetxt(file, x, fmt="%.9g", delimiter=",", header="condition,emotion,data")
        table = "PANAS_mw.csv" if code == 2 else "PANAS_mo_mu.csv"
        ratings = np.roll([1, 2, 3, 4, 5] * 4 * tables[table], len(lines[table])).astype(str)
        lines[table].append(",".join(["1/1/2017", person.title(), told, *ratings]))
    notes = ["", "Condition", "Mo - Watch movie and then walk", "", "SNH: Sad-Neutral-Happy"]
    for file, held in lines.items():
        held = panas([*held, *notes]) if panas and file == "PANAS_mo_mu.csv" else [*held, *notes]
        (root / "PANAS" / file).write_text("\r\n".join(held) + "\r\n", encoding="utf-8-sig")
    (root / "user_study_encoding.csv").write_text("\n".join(study(encoding) if study else encoding) + "\n")
    return root


def rated_by_habit(people=24, each=10, habit=0.5, offset=1.0, own=0.5, noise=0.0, seed=3):
    """A study whose people rate by habit; half of the features follow the emotion, half are a person's own."""
    rng, n = np.random.default_rng(seed), people * each
    x = rng.normal(size=(n, 1, 4))
    habits, offsets = (np.repeat(rng.normal(0, size, (people, 1, 4)), each, 0) for size in (habit, offset))
    d = np.exp(own * x + habits + rng.normal(0, noise, x.shape))[:, 0]
    return random_data(
        n,
        4,
        distributions=d / d.sum(1, keepdims=True),
        signals={"eda": np.concatenate([x, offsets], 2), "face": rng.normal(size=(n, 1, 2))},
        roles={"physiological": ["eda"], "behavioral": ["face"]},
        subjects=np.repeat([f"P{k}" for k in range(people)], each),
        trials=np.tile(np.arange(each), people).astype(str),
    )
