"""Small studies of raw recordings, in the layouts that `helo.load("recordings")` reads; tests break them."""

import csv
import gzip
import json
from pathlib import Path

import numpy as np

#: modality -> file of an E4, rate, channels, numbers a unit
E4 = {"bvp": ("BVP", 64, 1, 1), "eda": ("EDA", 4, 1, 1), "temp": ("TEMP", 4, 1, 1), "acc": ("ACC", 32, 3, 64)}
UNITS = {"bvp": "a.u.", "eda": "uS", "temp": "degC", "acc": "g"}
T0 = 1_495_437_325.0
EMOTIONS = ("happy", "sad", "calm")
#: trials of a person: name, onset, duration, ratings
TRIALS = [("clip a", 5.0, 40.0, (5, 1, 2)), ("clip b", 50.0, 40.0, (1, 4, 2)), ("clip c", 95.0, 20.0, (2, 2, 5))]


def signals(seconds=120.0, seed=0):
    """Signals of one person that all feature functions can read: modality -> (samples, channels)."""
    rng = np.random.default_rng(seed)
    t = {m: np.arange(int(seconds * rate)) / rate for m, (_, rate, _, _) in E4.items()}
    return {
        "bvp": 50 * np.sin(2 * np.pi * 1.1 * t["bvp"])[:, None] + rng.normal(0, 1, (len(t["bvp"]), 1)),
        "eda": 2 + 0.5 * np.sin(t["eda"] / 9)[:, None] + rng.normal(0, 0.02, (len(t["eda"]), 1)),
        "temp": 33 + np.cumsum(rng.normal(0, 0.01, (len(t["temp"]), 1)), 0),
        "acc": np.round(rng.normal(0, 10, (len(t["acc"]), 3))) / 64 + [0, 0, 1],
    }


def write_rows(path, header, rows, delimiter=","):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([header, *rows])
    return path


def e4_file(path, x, rate, start=T0):
    """A file as the E4 writes it: start, rate, samples."""
    path.parent.mkdir(parents=True, exist_ok=True)
    head = [", ".join([f"{value:.6f}"] * x.shape[1]) for value in (start, rate)]
    path.write_text("\n".join([*head, *(",".join(map(repr, row)) for row in x.tolist())]) + "\n")
    return path


def write_e4(root, people=None, trials=None, start=T0, clock="recording", card="", emotions=EMOTIONS):
    """Folders of an E4 and a table of ratings.

    people: name -> signals. trials: name -> rows of TRIALS.
    """
    root = Path(root)
    people = people or {"P1": signals(seed=1), "P2": signals(seed=2)}
    rows = []
    for name, held in people.items():
        for m, x in held.items():
            file, rate, _, scale = E4[m]
            e4_file(root / name / f"{file}.csv", x * scale, rate, start)
        for trial, onset, duration, ratings in (trials or {}).get(name, TRIALS):
            rows.append([name, trial, onset + (start if clock == "unix" else 0), duration, *ratings])
    write_rows(
        root / "ratings.csv", ["person", "trial", "onset", "duration", *(f"emotion.{e}" for e in emotions)], rows
    )
    (root / "recordings.yaml").write_text(f"name: own\nratings: {{clock: {clock}}}\n{card}")
    return root


def write_physio(path, columns, rate, start=0.0, units=None, **fields):
    """A BIDS file of samples and its JSON; columns: name -> (samples,)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = np.stack(list(columns.values()), 1).tolist()
    cells = ("\t".join("n/a" if v != v else repr(v) for v in row) for row in rows)
    path.write_bytes(gzip.compress(("\n".join(cells) + "\n").encode(), 1))
    about = {"SamplingFrequency": rate, "StartTime": start, "Columns": list(columns)}
    about |= {c: {"Units": unit} for c, unit in (units or {}).items()} | fields
    path.with_name(path.name.split(".")[0] + ".json").write_text(json.dumps(about))
    return path


def physio_columns(m, x):
    return {f"acc_{axis}": x[:, k] for k, axis in enumerate("xyz")} if m == "acc" else {m: x[:, 0]}


def write_bids(root, people=None, trials=None, emotions=EMOTIONS, session=""):
    """A study in BIDS: a file of samples a modality, and events with a column a rated emotion."""
    root = Path(root)
    people = people or {"01": signals(seed=1), "02": signals(seed=2)}
    for name, held in people.items():
        stem = f"sub-{name}" + (f"_ses-{session}" if session else "") + "_task-film"
        folder = root / f"sub-{name}" / (f"ses-{session}" if session else "") / "beh"
        for m, x in held.items():
            columns = physio_columns(m, x)
            path = folder / f"{stem}_recording-{m}_physio.tsv.gz"
            write_physio(path, columns, E4[m][1], units=dict.fromkeys(columns, UNITS[m]))
        rows = [["n/a", 0.0, 1.0, *["n/a"] * len(emotions)]]  # a pause, which nobody rates
        rows += [
            [trial, onset, duration, *ratings] for trial, onset, duration, ratings in (trials or {}).get(name, TRIALS)
        ]
        header = ["trial_type", "onset", "duration", *(f"emotion_{e}" for e in emotions)]
        write_rows(folder / f"{stem}_events.tsv", header, rows, "\t")
    (root / "dataset_description.json").write_text(json.dumps({"Name": "film", "BIDSVersion": "1.9.0"}))
    return root


def write_kemocon(root, people=(1, 2), seconds=120.0, wait=10.0):
    """K-EmoCon's layout, from its documentation: signals with time stamps, annotations every five seconds."""
    root = Path(root)
    serial = {31: "A013E1", 32: "A01A3A"}
    times = []
    for pid in people:
        for m, x in signals(seconds, pid).items():
            file, rate, _, scale = E4[m]
            names = ["x", "y", "z"] if m == "acc" else ["value"]
            stamps = np.round(1000 * (T0 + np.arange(len(x)) / rate)).astype(int).tolist()
            own = [serial.get(pid, "A00001"), 1000 * int(T0)]
            rows = [[t, *row, *own] for t, row in zip(stamps, (x * scale).tolist(), strict=True)]
            if pid in serial:  # another sensor in the same file
                rows += [[t, *(7.0 for _ in names), "A0FFFF", 1] for t in stamps[::2]]
                rows.sort(key=lambda row: row[0])
            header = ["timestamp", *names, "device_serial", "entry_time"]
            write_rows(root / "e4_data" / str(pid) / f"E4_{file}.csv", header, rows)
        write_rows(
            root / "e4_data" / str(pid) / "E4_IBI.csv", ["timestamp", "value", "device_serial", "entry_time"], []
        )
        scales = ["arousal", "valence", "cheerful", "happy", "angry", "nervous", "sad"]
        others = ["boredom", "confusion", "delight", "concentration", "frustration", "surprise", "none_1"]
        for rater, folder in {"self": "self", "partner": "partner", "external": "aggregated_external"}.items():
            rng = np.random.default_rng(pid + 100 * len(rater))
            rows = [[s, *rng.integers(1, 5, 7), "x", *[""] * 6] for s in range(5, int(seconds - wait) + 1, 5)]
            path = root / "emotion_annotations" / f"{folder}_annotations" / f"P{pid}.{rater}.csv"
            write_rows(path, ["seconds", *scales, *others], rows)
        init = int(1000 * T0)
        times.append([pid, init, int(init + 1000 * wait), int(init + 1000 * seconds)])
    write_rows(root / "metadata" / "subjects.csv", ["pid", "initTime", "startTime", "endTime"], times)
    return root
