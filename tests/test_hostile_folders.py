"""Folders of a release, one of whose files is none, too large, too wide or endless: one clear message, soon."""

import os
import pickle
import resource
import struct
import time
import zipfile
import zlib

import numpy as np
import pytest
from conftest import write_emowalk, write_wesad
from scipy.io import savemat
from test_crema_d import HEADER, small, write
from test_dmer import write_features, write_panas, write_raw
from test_hostile import element, mat, matrix

import helo
from helo.data import crema_d, emowalk, wesad

PANAS = {"labels": "panas"}
RAW = {"form": "raw", "cache": False}
#: data set, one of its files, options of which it is read with
RELEASES = [
    ("wesad", "S2/S2.pkl", {}),
    ("wesad", "S2/S2_quest.csv", {}),
    ("emowalk", "user_study_encoding.csv", {}),
    ("emowalk", "PANAS/PANAS_mw.csv", {}),
    ("emowalk", "walking_data/mo_ew2_accdata_1_2_90-930.csv", {"cache": False}),
    ("crema-d", "tabulatedVotes.csv", {}),
    ("dmer", "Features/1.mat", {}),
    ("dmer", "Features.zip", {}),
    ("dmer", "Questionnaires/1.csv", PANAS),
    ("dmer", "Aligned_data/1/datas.mat", RAW),
    ("dmer", "Features/1.npz", RAW),
]


def release(dataset, root, file, options):
    """A small copy of the release without one file."""
    if dataset == "wesad":
        write_wesad(root)
    elif dataset == "emowalk":
        write_emowalk(root)
    elif dataset == "crema-d":
        write(root, small())
    elif options == RAW:
        write_raw(root, people=(1,))
    else:
        write_features(root, people=(1,))
        write_panas(root, people=(1,))
    if file == "Features.zip":
        for path in (root / "Features").iterdir():
            path.unlink()
        (root / "Features").rmdir()
    (root / file).unlink(missing_ok=True)
    (root / file).parent.mkdir(exist_ok=True)
    return root / file


def refused(dataset, root, message, **options):
    """Loading ends in a ValueError of that message, short and without codes, within ten seconds and a gigabyte."""
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    with pytest.raises(ValueError, match=message) as error:
        helo.load(dataset, root, **options)
    assert time.perf_counter() - started < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000  # kilobytes
    assert len(str(error.value)) <= 2000 and str(error.value).isprintable()


@pytest.mark.parametrize("dataset, file, options", RELEASES)
def test_what_is_no_regular_file_is_refused_by_its_name(tmp_path, dataset, file, options):
    path = release(dataset, tmp_path, file, options)
    os.mkfifo(path)
    refused(dataset, tmp_path, rf"{path.name}: is a named pipe; expected .*a regular file", **options)
    path.unlink()
    path.symlink_to("/dev/zero")
    refused(dataset, tmp_path, rf"{path.name}: is a device; expected", **options)
    path.unlink()
    path.mkdir()
    if file != "Features.zip":  # a folder may have any name
        refused(dataset, tmp_path, rf"{path.name}: is a folder; expected", **options)


@pytest.mark.parametrize("dataset, file, options", RELEASES)
def test_too_large_a_file_is_refused_before_it_is_read(tmp_path, dataset, file, options):
    path = release(dataset, tmp_path, file, options)
    path.touch()
    os.truncate(path, 3 * 10**9)
    refused(dataset, tmp_path, rf"{path.name}: 3000000000 bytes; expected .* of at most \d+", **options)


@pytest.mark.parametrize("dataset", ["wesad", "emowalk", "crema-d", "dmer"])
@pytest.mark.parametrize("path", ["~nouser-at-all/x", "x" * 5000, "a\0b"])
def test_a_path_that_leads_nowhere(dataset, path):
    refused(dataset, path, "no file can be read there")
    with pytest.raises(ValueError, match="no file can be read there"):
        {"wesad": wesad.recording, "emowalk": emowalk.recording}.get(dataset, crema_d.load)(path, "S2")


# --- WESAD ------------------------------------------------------------------------------------------------------------


def quest(change):
    return lambda root: write_wesad(root, quest=change)


@pytest.mark.parametrize(
    "make, message",
    [
        (quest(lambda lines: [*lines, "# PANAS;" + "1;" * 400_000]), "6 lines '# PANAS'"),
        (quest(lambda lines: [*lines[:5], "# PANAS;" + "1;" * 400_000, *lines[6:]]), "'Base' has 400000 ratings"),
        (
            quest(lambda lines: ["# ORDER;" + ";".join("x" * 100_000 for _ in range(5)), *lines]),
            "'# ORDER' begins with",
        ),
        (
            quest(lambda lines: [*lines[:5], "# PANAS;\x1b[31m" + "9" * 10**6 + ";1" * 23, *lines[6:]]),
            "is '.x1b.31m999",
        ),
        (
            quest(lambda lines: [*lines[:5], "# PANAS" + ";1" * 600_000, *lines[6:]]),
            "bytes; expected .* at most 1048576",
        ),
    ],
)
def test_long_questionnaires_of_wesad(tmp_path, make, message):
    make(tmp_path)
    refused("wesad", tmp_path, rf"S2_quest\.csv: .*{message}", cache=False)


def test_endless_recordings_of_wesad(tmp_path):
    """A label that changes with every sample; and more hours than a person can be recorded."""

    def labelled(label):
        def change(content):
            content["label"] = label
            content["signal"]["wrist"] = {
                key: np.zeros((len(label) * rate // 700, channels), np.int8)
                for key, rate, channels in (("ACC", 32, 3), ("BVP", 64, 1), ("EDA", 4, 1), ("TEMP", 4, 1))
            }

        return change

    write_wesad(tmp_path, change=labelled(np.tile(np.arange(1, 5, dtype=np.int8), 3 * 3600 * 175)))
    refused("wesad", tmp_path, r"S2\.pkl: the labels run through the codes .* and \d+ more; expected", cache=False)
    write_wesad(tmp_path, change=labelled(np.zeros(5 * 3600 * 700, np.int8)))
    refused("wesad", tmp_path, r"S2\.pkl: 'label' lasts 5.0 hours; expected at most 4", cache=False)


def test_what_a_pickle_of_wesad_holds_is_not_shown_whole(tmp_path):
    write_wesad(tmp_path, change=lambda content: content.update(subject="\x1b[31m" * 1000))
    refused("wesad", tmp_path, r"S2\.pkl: 'subject' is '.x1b.31m.*; expected 'S2'", cache=False)
    (tmp_path / "S2" / "S2.pkl").write_bytes(pickle.dumps({"signal": {}, "subject": "x" * 20_000}, 2))
    refused("wesad", tmp_path, r"S2\.pkl: refused, it holds a text of 20000 letters", cache=False)


# --- CREMA-D ----------------------------------------------------------------------------------------------------------


def row(name="1001_IEO_ANG_XX", more=""):
    return f"100001,0,0,0,4,0,0,{name},4{more}\n"


@pytest.mark.parametrize(
    "content, message",
    [
        (HEADER + "\n" + row("x" * 100_000) * 300, "line 2 has a cell of 100000 letters; expected at most 10000"),
        (HEADER + "\n" + row("1_a_b_" + "x" * 5_000) * 9_000, "line 2, 'fileName', has a cell of 5006 letters"),
        (HEADER + "\n" + row() * 300_001, "over 300000 rows"),
        (HEADER + ",A" * 40_000 + "\n" + row(more=",1" * 40_000), r"columns \['A'\] are missing or there twice"),
        (HEADER + ",x" * 10**6 + "\n" + row(more=",1" * 10**6) * 12, "rows of type 1"),
        (HEADER.replace("fileName", "\x1b[31m" * 1_000) + "\n" + row(), r"columns \['fileName'\] are missing"),
        (HEADER + "\n" + row("\x1b[31m"), r"row 2 has fileName '.x1b.31m'; expected actor"),
        (HEADER + "\n" + row(more=",1" * 10**6), "line 2 has more or fewer than the header's 9 cells"),
    ],
)
def test_wide_and_long_tables_of_votes(tmp_path, content, message):
    (tmp_path / "tabulatedVotes.csv").write_text(content)
    refused("crema-d", tmp_path, rf"tabulatedVotes\.csv: .*{message}")


# --- EmoWalk ----------------------------------------------------------------------------------------------------------


def changed(file, change):
    """Writes the release, and one of its files anew."""

    def make(root):
        write_emowalk(root)
        path = root / file
        path.write_text(change(path.read_text(encoding="utf-8-sig").splitlines(keepends=True)))

    return make


STUDY, MW, WALK = "user_study_encoding.csv", "PANAS/PANAS_mw.csv", "walking_data/mo_ew2_accdata_1_2_90-930.csv"


@pytest.mark.parametrize(
    "make, message",
    [
        (
            changed(STUDY, lambda lines: "".join([lines[0].strip() + ",x" * 400_000 + "\n", *lines[1:]])),
            "and 400002 more",
        ),
        (changed(STUDY, lambda lines: lines[0] + lines[1] * 10_000), "line 3 is a second row of ew"),
        (
            changed(STUDY, lambda lines: "".join(lines).replace("EW2,", "\x1b" + "E" * 9_000 + ",", 1)),
            "has the person '",
        ),
        (changed(STUDY, lambda lines: "".join(lines) + "x" * 100_000), "a cell of 100000 letters"),
        (changed(STUDY, lambda lines: "".join(lines) + "\n" * 2**20), "bytes; expected .* at most 1048576"),
        (changed(MW, lambda lines: "Timestamp,ID,Condition" + ",1. Interested" * 40_000 + "\n"), "40003 columns that"),
        (changed(WALK, lambda lines: "0," * 10**6 + "0\n" + lines[1]), "not readable as rows of numbers"),
        (changed(WALK, lambda lines: ("0," * 10**6 + "0\n") * 4), "1000001 columns; expected 9"),
        (changed(WALK, lambda lines: "1" * 10**7 + ",0" * 8 + "\n"), "condition and emotion run through 'inf 0'"),
        (changed(WALK, lambda lines: "\x1b[31m" * 10**6), "not readable as rows of numbers"),
        (changed(WALK, lambda lines: "0,0,0,0,0,0,0,0,0\n" * 1_000_001), "over 1000000 rows"),
        (
            changed(WALK, lambda lines: "0,0,0,0,0,0,0,0,0\n0,1,0,0,0,0,0,0,0\n" * 300_000),
            "'0 1' and 599992 more; expected",
        ),
    ],
)
def test_wide_and_long_tables_of_walks(tmp_path, make, message):
    make(tmp_path)
    refused("emowalk", tmp_path, rf"csv: .*{message}", cache=False)


def test_ten_thousand_walks_of_strangers(tmp_path):
    write_emowalk(tmp_path)
    for k in range(100, 9_999):
        (tmp_path / "walking_data" / f"mo_ew{k}_.csv").touch()
    refused("emowalk", tmp_path, r"no row for .* and \d+ more of walking_data", cache=False)


# --- DMER -------------------------------------------------------------------------------------------------------------


def test_a_mat_within_a_zip_cannot_unpack_twice(tmp_path):
    """A zip of 20 kB; its .mat of 2 MB could unpack to a hundred times that again."""
    packed = zlib.compressobj(1)
    piece = packed.compress(struct.pack("<II", 14, 500 * 10**6))
    piece += b"".join(packed.compress(bytes(10**6)) for _ in range(500)) + packed.flush()
    mat(tmp_path / "1.mat", struct.pack("<II", 15, len(piece)) + piece)
    with zipfile.ZipFile(tmp_path / "Features.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "1.mat", "Features/1.mat")
    assert (tmp_path / "Features.zip").stat().st_size < 50_000 < 1_000_000 < len(piece)
    refused("dmer", tmp_path, r"Features/1\.mat: refused, unpacks to more than 67108864 bytes")


def test_numbers_stored_small_cannot_grow_beyond_the_limit(tmp_path, monkeypatch):
    monkeypatch.setenv("HELO_MEMORY", "0.1")
    (tmp_path / "Features").mkdir()
    zeros = element(2, b"\0" * 20_000 * 913)
    mat(tmp_path / "Features" / "1.mat", matrix(b"feas", (20_000, 913), zeros))
    refused(
        "dmer",
        tmp_path,
        r"1\.mat: refused, variable 'feas' has shape \(20000, 913\), 146080000 bytes; .* HELO_MEMORY=1 ",
    )
    savemat(tmp_path / "Features" / "1.mat", {"feas": np.zeros((20_000, 913), np.int8)})
    refused("dmer", tmp_path, r"1\.mat: 'feas' has shape \(20000, 913\), 146080000 bytes; .* HELO_MEMORY=1 ")


@pytest.mark.parametrize(
    "text, message",
    [
        ("1," * 500_000, "1 rows; expected 32"),
        ("\n".join(["1" + ",1" * 9] * 31 + [",".join(["\x1b[31m" * 9_000] * 10)]), "row 32, 'inspired', is '.x1b"),
        ("\n".join(["1" + ",1" * 9] * 31 + ["1," * 300_000]), "row 32 has 300000 ratings"),
        ("1," * 600_000, "1200000 bytes; expected the PANAS ratings .* at most 1048576"),
    ],
)
def test_wide_and_long_questionnaires_of_dmer(tmp_path, text, message):
    write_features(tmp_path, people=(1,))
    (tmp_path / "Questionnaires").mkdir()
    (tmp_path / "Questionnaires" / "1.csv").write_text(text)
    refused("dmer", tmp_path, rf"1\.csv: {message}", labels="panas", order="clips")


def test_a_clip_of_days_and_two_spellings_of_one_person(tmp_path):
    def slow(arrays):
        arrays["fs_ppg"] = np.array([[1.0]])
        arrays["ppg_datas"] = np.zeros((2, 10**6))  # all of clip 0

    write_raw(tmp_path, people=(1,), change=slow)
    refused("dmer", tmp_path, r"datas\.mat: clip \d+ lasts 1000000 s; expected at most 3600", faces="none", **RAW)
    write_features(tmp_path, people=(1,))
    (tmp_path / "Features" / "01.mat").write_bytes((tmp_path / "Features" / "1.mat").read_bytes())
    refused("dmer", tmp_path, "Features: a file's name has '0?1' and '0?1', which would count as two")
