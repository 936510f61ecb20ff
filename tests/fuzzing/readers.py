"""Every reader with a valid file of its own, and broken ones made of that by mutation."""

from __future__ import annotations

import gzip
import io
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from conftest import write_emowalk, write_wesad
from studies import E4, signals, write_bids, write_e4
from test_dmer import write_features, write_raw
from test_table import arrays, frame

import helo
from fuzzing.changes import change_arrays, change_bytes, change_frame, change_text, change_tree
from fuzzing.trial import Reader, one_of, written
from fuzzing.writers import mat_bytes, npz_bytes, parquet_bytes, pickle_bytes

CARD = """
name: my study
subject: subject
trial: trial
window: 5
modalities:
  skin: {columns: ["eda.*"], role: physiological}
  mood: {columns: [face.AU1, face.AU12], role: behavioral}
emotions: {joy: emotion.happy, grief: emotion.sad}
query: skin
ignore: [age]
"""


def wesad() -> Reader:
    kept = {}

    def prepare(folder):
        write_wesad(folder, seconds=12.0, change=lambda c: kept.update(content=c))
        kept["pkl"] = (folder / "S2" / "S2.pkl").read_bytes()
        kept["csv"] = (folder / "S2" / "S2_quest.csv").read_bytes()

    def broken(rng):
        return one_of(
            rng,
            lambda: ("S2/S2_quest.csv", change_text(rng, kept["csv"])),
            lambda: ("S2/S2.pkl", change_bytes(rng, kept["pkl"])),
            lambda: ("S2/S2.pkl", change_bytes(rng, kept["pkl"][:1500]) + kept["pkl"][1500:]),
            lambda: ("S2/S2.pkl", pickle_bytes(rng, change_tree(rng, kept["content"]))),
        )

    return Reader(
        prepare,
        written(broken),
        lambda folder: helo.load("wesad", root=folder, window=10, step=10, tokens=1, context=0, cache=False),
        ("S2", "S2/S2.pkl", "S2/S2_quest.csv"),
    )


def emowalk() -> Reader:
    kept = {}

    def prepare(folder):
        write_emowalk(folder, seconds=12)
        kept.update({path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.csv")})

    def broken(rng):
        name = str(rng.choice(sorted(kept)))
        if name.startswith("walking_data"):  # a few rows changed, or any bytes
            cut = len(kept[name]) // 100
            return name, change_bytes(rng, kept[name][:cut]) + kept[name][cut:]
        change = change_text if rng.random() < 0.7 else change_bytes
        return name, change(rng, kept[name])

    return Reader(
        prepare,
        broken,
        lambda folder: helo.load("emowalk", root=folder, window=10, step=10, tokens=1, cache=False),
        (
            "walking_data",
            "PANAS",
            "user_study_encoding.csv",
            "PANAS/PANAS_mo_mu.csv",
            "walking_data/mo_ew2_accdata_1_2_90-930.csv",
        ),
    )


def recordings(write, *signals: str) -> Reader:
    """A study of one person: a few samples or bytes changed, or the texts beside them; strict, so that all is told."""
    kept: dict[str, bytes] = {}

    def prepare(folder):
        write(folder)
        kept.update({p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()})

    def broken(rng):
        name = str(rng.choice(sorted(n for n in kept if n != "dataset_description.json")))
        content, change = kept[name], change_text if rng.random() < 0.7 else change_bytes
        if name.endswith(".gz"):
            plain = gzip.decompress(content)
            packed = gzip.compress(change(rng, plain[:300]) + plain[300:], 1)
            return name, packed if rng.random() < 0.5 else change_bytes(rng, content)
        cut = len(content) if name.endswith((".json", ".tsv", ".yaml")) or "ratings" in name else 300
        return name, change(rng, content[:cut]) + content[cut:]

    options = {"window": 8, "step": 8, "tokens": 1, "strict": True, "cache": False}
    return Reader(prepare, broken, lambda folder: helo.load("recordings", folder, **options), signals)


def small_study(write, person):
    held = {m: x[: 30 * E4[m][1]] for m, x in signals(30.0).items()}
    return lambda folder: write(
        folder, {person: held}, {person: [("a", 1.0, 12.0, (1, 2, 3)), ("b", 14.0, 12.0, (2, 1, 1))]}
    )


def eeg(folder):
    import mne  # noqa: F401 - not while what is opened is watched
    from test_recordings import write_eeg

    small_study(write_bids, "01")(folder)
    x = np.random.default_rng(0).normal(0, 20, (30 * 128, 2))
    for path in folder.rglob("*physio*"):
        path.unlink()
    write_eeg(folder / "sub-01" / "eeg" / "sub-01_task-film_eeg.edf", "edf", x, 128, ["Fz", "Pz"])


def crema_d() -> Reader:
    from test_crema_d import small, write

    kept = {}

    def prepare(folder):
        kept["csv"] = (write(folder, small(4)) / "tabulatedVotes.csv").read_bytes()

    def broken(rng):
        change = change_text if rng.random() < 0.7 else change_bytes
        return "tabulatedVotes.csv", change(rng, kept["csv"])

    return Reader(prepare, broken, lambda folder: helo.load("crema-d", root=folder), ("tabulatedVotes.csv",))


def from_mat(name, content, load) -> Reader:
    kept = {}

    def prepare(folder):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        kept["plain"], kept["content"] = mat_bytes(None, content()), content()
        (folder / name).write_bytes(kept["plain"])

    def broken(rng):
        return one_of(
            rng,
            lambda: (name, change_bytes(rng, kept["plain"])),
            lambda: (name, kept["plain"][:128] + change_bytes(rng, kept["plain"][128:600]) + kept["plain"][600:]),
            lambda: (name, change_bytes(rng, mat_bytes(rng, kept["content"]))),
            lambda: (name, mat_bytes(rng, change_arrays(rng, kept["content"]))),
        )

    return Reader(prepare, written(broken), load, (name,))


def features_content():
    kept = {}
    with tempfile.TemporaryDirectory() as folder:
        write_features(Path(folder), people=[7], rows=np.ones(32, int), change=lambda c: kept.update(c))
    return kept


def raw_content():
    kept = {}
    with tempfile.TemporaryDirectory() as folder:
        write_raw(Path(folder), people=[7], lengths=np.full(32, 6), change=lambda c: kept.update(c))
    few = np.isin
    for m, row in {"eeg": 18, "gsr": 1, "ppg": 1}.items():
        x = kept[f"{m}_datas"]
        kept[f"{m}_datas"] = x[:, few(x[row], (40, 0, 1))]
    return kept


def dmer_zip() -> Reader:
    kept = {}

    def prepare(folder):
        kept["content"] = features_content()
        kept["mat"] = mat_bytes(None, kept["content"])
        kept["zip"] = packed([("Features/7.mat", kept["mat"])])
        (folder / "Features.zip").write_bytes(kept["zip"])

    def packed(members):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name, content in members:
                archive.writestr(name, content)
        return file.getvalue()

    def hostile(rng):
        names = [
            "Features/8.mat",
            "../7.mat",
            "/7.mat",
            "..\\7.mat",
            "C:/7.mat",
            "Features/7.mat",
            "a/b/c/7.mat",
            "7.mat/",
            "x" * 300 + ".mat",
        ]
        contents = [kept["mat"], b"", b"\0" * 5_000_000, mat_bytes(rng, change_arrays(rng, kept["content"]))]
        chosen = [
            (names[rng.integers(len(names))], contents[rng.integers(len(contents))]) for _ in range(rng.integers(1, 4))
        ]
        return "Features.zip", packed(chosen)

    def broken(rng):
        tail = kept["zip"][-200:]  # the directory
        return one_of(
            rng,
            lambda: hostile(rng),
            lambda: ("Features.zip", change_bytes(rng, kept["zip"])),
            lambda: ("Features.zip", kept["zip"][:-200] + change_bytes(rng, tail)),
            lambda: ("Features.zip", change_bytes(rng, kept["zip"][:100]) + kept["zip"][100:]),
        )

    return Reader(prepare, written(broken), lambda folder: helo.load("dmer", folder), ("Features.zip",))


def dmer_panas() -> Reader:
    kept = {}

    def prepare(folder):
        write_features(folder, people=[7], rows=np.ones(32, int))
        (folder / "Questionnaires").mkdir()
        kept["csv"] = "\n".join(
            [",".join(map(str, row)) for row in np.random.default_rng(0).integers(1, 6, (32, 10))]
        ).encode()
        (folder / "Questionnaires" / "7.csv").write_bytes(kept["csv"])

    def broken(rng):
        return "Questionnaires/7.csv", (change_text if rng.random() < 0.7 else change_bytes)(rng, kept["csv"])

    def load(folder):
        return helo.load("dmer", folder, labels="panas", order="clips")

    return Reader(prepare, broken, load, ("Questionnaires/7.csv", "Features/7.mat", "Features"))


def ldl_content():
    return {"features": np.random.default_rng(0).normal(size=(20, 5)), "labels": np.full((20, 4), 0.25)}


def table_text(name, content, load=None) -> Reader:
    kept = {}

    def prepare(folder):
        (folder / "own.csv").write_bytes(frame().to_csv(index=False).encode())
        kept["content"] = content()
        (folder / name).write_bytes(kept["content"])

    def broken(rng):
        return name, (change_text if rng.random() < 0.7 else change_bytes)(rng, kept["content"])

    return Reader(prepare, broken, load or (lambda folder: helo.load("table", folder / name)), (name,))


def table_packed(name, write, content, change) -> Reader:
    kept = {}

    def prepare(folder):
        kept["plain"] = write(None, content())
        (folder / name).write_bytes(kept["plain"])

    def broken(rng):
        return one_of(
            rng,
            lambda: (name, change_bytes(rng, kept["plain"])),
            lambda: (name, change_bytes(rng, write(rng, content()))),
            lambda: (name, write(rng, change(rng, content()))),
        )

    return Reader(prepare, written(broken), lambda folder: helo.load("table", folder / name), (name,))


MUTATED: dict[str, Callable[[], Reader]] = {
    "wesad": wesad,
    "emowalk": emowalk,
    "crema-d": crema_d,
    "recordings-e4": lambda: recordings(small_study(write_e4, "P1"), "P1", "P1/BVP.csv", "ratings.csv"),
    "recordings-bids": lambda: recordings(
        small_study(write_bids, "01"),
        "sub-01/beh/sub-01_task-film_recording-eda_physio.tsv.gz",
        "sub-01/beh/sub-01_task-film_recording-eda_physio.json",
        "sub-01/beh/sub-01_task-film_events.tsv",
    ),
    "recordings-eeg": lambda: recordings(eeg, "sub-01/eeg/sub-01_task-film_eeg.edf"),
    "dmer-mat": lambda: from_mat("Features/7.mat", features_content, lambda f: helo.load("dmer", f)),
    "dmer-zip": dmer_zip,
    "dmer-raw": lambda: from_mat(
        "Aligned_data/7/datas.mat", raw_content, lambda f: helo.load("dmer", f, form="raw", faces="none", cache=False)
    ),
    "dmer-panas": dmer_panas,
    "ldl": lambda: from_mat("x.mat", ldl_content, lambda f: helo.load("ldl", f / "x.mat")),
    "table-csv": lambda: table_text("own.csv", lambda: frame().to_csv(index=False).encode()),
    "table-card": lambda: table_text("own.yaml", CARD.encode, lambda f: helo.load("table", f / "own.csv")),
    "table-parquet": lambda: table_packed("own.parquet", parquet_bytes, frame, change_frame),
    "table-npz": lambda: table_packed("own.npz", npz_bytes, lambda: arrays(frame()), change_arrays),
    "table-mat": lambda: from_mat("own.mat", lambda: arrays(frame()), lambda f: helo.load("table", f / "own.mat")),
}
