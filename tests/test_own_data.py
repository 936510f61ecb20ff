"""Your own data at the first try: what is not read is said, and what is said helps."""

import os
import struct
import time

import numpy as np
import pandas as pd
import pytest
from conftest import random_data
from scipy.io import savemat
from scipy.sparse import csc_matrix
from test_hostile import element, mat, matrix
from test_table import N, arrays, frame, load, write

import helo
from helo.data.arrays import read_mat
from helo.data.check import check, findings_table, holdings


def wider(table, **columns):
    return table.assign(**{name.replace("__", "."): values for name, values in columns.items()})


# --- nothing is lost without a word -----------------------------------------------------------------------------------


@pytest.mark.parametrize("compressed", [False, True])
def test_a_sparse_array_is_read_as_any_other(tmp_path, compressed):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, 5)) * (rng.random((N, 5)) > 0.6)
    x[:, 2] = 0
    content = arrays(frame()) | {"eda": csc_matrix(x), "counts": csc_matrix((10 * x).astype(np.int32))}
    savemat(tmp_path / "own.mat", content | {"sure": csc_matrix(x > 0)}, do_compression=compressed)
    found = read_mat(tmp_path / "own.mat")
    for name, expected in {"eda": x, "counts": (10 * x).astype(np.int32), "sure": x > 0}.items():
        np.testing.assert_array_equal(found[name], expected)
    data = helo.load("table", tmp_path / "own.mat", card={"ignore": ["counts", "sure"]})
    assert set(data.signals) == {"eda", "face"}
    np.testing.assert_array_equal(data.signals["eda"][:, 0], x.astype(np.float32))


def test_a_sparse_bomb_and_entries_outside_are_refused(tmp_path):
    def sparse(shape, rows, starts, values):
        ints = (element(5, struct.pack(f"<{len(x)}i", *x)) for x in (rows, starts))
        return matrix(b"a", shape, *ints, element(9, struct.pack(f"<{len(values)}d", *values)), code=5)

    assert read_mat(mat(tmp_path / "x.mat", sparse((2, 1), [1], [0, 1], [3.0])))["a"].tolist() == [[0], [3]]
    for wrong, message in (
        (((2**30, 2**20), [0], [0, 1], [3.0]), "is sparse, of shape .* HELO_MEMORY"),
        (((-1, 1), [0], [0, 1], [3.0]), "is sparse, of shape"),
        (((2, 1), [2], [0, 1], [3.0]), "lie outside"),
        (((2, 1), [-1], [0, 1], [3.0]), "lie outside"),
        (((2, 1), [1], [0, 7], [3.0]), "lie outside"),
        (((2, 2), [1, 1], [0, 2, 1], [3.0, 4.0]), "lie outside"),
    ):
        with pytest.raises(ValueError, match=rf"x\.mat: refused, variable 'a' .*{message}"):
            read_mat(mat(tmp_path / "x.mat", sparse(*wrong)))


@pytest.mark.parametrize("kind, value", [("a structure", {"x": 1.0}), ("a cell array", [np.arange(3), np.arange(2)])])
def test_a_structure_or_cell_array_is_named(tmp_path, kind, value):
    if isinstance(value, list):
        cells = np.empty(2, object)
        cells[:] = value
        value = cells
    savemat(tmp_path / "own.mat", arrays(frame()) | {"resp": value})
    with pytest.raises(ValueError, match=rf"own\.mat: 'resp' is {kind}, which is not read; .* under ignore"):
        helo.load("table", tmp_path / "own.mat")
    assert "resp" not in helo.load("table", tmp_path / "own.mat", card={"ignore": ["re*"]}).signals


def test_an_object_of_matlab_is_named(tmp_path):
    """A string, a table, a time: flags, name, system, class, and no shape."""
    head = element(6, struct.pack("<II", 17, 0)) + element(1, b"who") + element(1, b"MCOS") + element(1, b"string")
    savemat(tmp_path / "own.mat", arrays(frame()))
    path = tmp_path / "own.mat"
    path.write_bytes(path.read_bytes() + element(14, head))
    with pytest.raises(ValueError, match="'who' is an object of MATLAB's class 'string', which is not read"):
        helo.load("table", path)


def test_a_variable_that_is_there_twice_is_refused(tmp_path):
    one = matrix(b"a", (1, 1), element(9, struct.pack("<d", 1.0)))
    with pytest.raises(ValueError, match="variable 'a' is there twice"):
        read_mat(mat(tmp_path / "x.mat", one, one))


def test_a_list_or_a_time_in_parquet_is_named(tmp_path):
    table = frame().assign(notes=[["a"]] * N, start=pd.date_range("2026-01-01", periods=N, freq="s"))
    with pytest.raises(ValueError, match=r"own.parquet: 'notes' is list<.*>, .*\(and 'start' likewise\).* in seconds"):
        helo.load("table", write(table, tmp_path / "own.parquet"))
    data = helo.load("table", tmp_path / "own.parquet", card={"ignore": ["notes", "start"]})
    assert data.starts is None and len(data) == N


@pytest.mark.parametrize("code", [99, 999])
def test_a_code_for_a_missing_rating_is_no_rating(tmp_path, code):
    table = frame()
    table.loc[3, "emotion.sad"] = code
    with pytest.raises(
        ValueError, match=rf"rating of 'sad' in row 3 is {code}; the others are at most 5\. If it stands"
    ):
        load(tmp_path, table)
    assert load(tmp_path, table, card={"scale": [0, 1000]}).distributions[3, 1] > 0.9
    with pytest.raises(ValueError, match=r"rating of 'sad' in row 3 is .*; the card's scale is 1 to 5"):
        load(tmp_path, table, card={"scale": [1, 5]})
    assert load(tmp_path, wider(frame(), emotion__sad=np.r_[99, np.arange(90, 101)]))  # a slider from 0 to 100


@pytest.mark.parametrize(
    "column, one, two",
    [("subject", "01", "1"), ("subject", "P1", "p1"), ("trial", "clip 7", "clip07"), ("condition", "é", "e\u0301")],
)
def test_one_name_written_in_two_ways_is_not_two(tmp_path, column, one, two):
    table = frame().astype({"trial": str}).assign(**{column: [one, two] + ["other"] * (N - 2)})
    with pytest.raises(ValueError, match=rf"own\.csv: {column} has .* and .*, which would count as two"):
        load(tmp_path, table)
    for different in (["10", "1"], ["1.05", "1.5"], ["clip1.05", "clip1.5"], ["A1", "A10"]):
        load(tmp_path, frame().assign(subject=different + ["other"] * (N - 2)))


def test_votes_in_capitals_are_no_other_emotion(tmp_path):
    table = frame().drop(columns=["emotion.happy", "emotion.sad"]).assign(**{"vote.a": "sad", "vote.b": "happy"})
    table.loc[2, "vote.a"] = "Sad"
    with pytest.raises(ValueError, match="the votes has 'Sad' and 'sad', which would count as two"):
        load(tmp_path, table)


def test_a_card_that_ends_in_yml_is_read_too(tmp_path):
    (tmp_path / "own.yml").write_text("name: mine")
    assert load(tmp_path, frame()).name == "mine"
    (tmp_path / "own.yaml").write_text("name: other")
    with pytest.raises(ValueError, match=r"own\.csv: there are two cards, own\.yaml and own\.yml"):
        load(tmp_path, frame())


def test_a_column_belongs_to_one_modality(tmp_path):
    card = {"modalities": {"eda": {"columns": ["eda.*"]}, "skin": {"columns": ["*.peak.*"]}}}
    with pytest.raises(ValueError, match=r"'eda\.peak\.1' is in the card a column of 'eda' and of 'skin'"):
        load(tmp_path, frame(), card=card)
    data = load(tmp_path, frame(), card={"modalities": {"eda": {"columns": ["eda.*"]}}, "ignore": ["eda.peak.*"]})
    assert data.features["eda"] == ("eda.mean.1", "eda.mean.2")  # what is ignored is nobody's


def test_normalising_a_single_window_is_refused(tmp_path):
    table = frame().assign(subject=[f"p{k}" for k in range(N)])
    with pytest.raises(ValueError, match="12 of 12 people, such as 'p0', have a single window, .* all zeros"):
        load(tmp_path, table, normalise="subject")


def test_a_whole_windows_mean_beside_its_segments_is_no_token(tmp_path):
    table = frame()[[c for c in frame() if not c.startswith("eda.peak")]].assign(**{"eda.mean": 1.0})
    with pytest.raises(ValueError, match=r"'eda.mean' is of the whole window, 'eda.mean.1' of a token of it") as error:
        load(tmp_path, table)
    assert "own.csv" in str(error.value)
    said = {"eda": {"columns": ["eda.mean*"]}}
    assert load(tmp_path, table, card={"modalities": said}).layout.shapes["eda"] == (1, 3)
    assert load(tmp_path, table, card={"ignore": ["eda.mean"]}).layout.shapes["eda"] == (2, 1)
    both = {"eda": {"tokens": ["1", "2"]}, "skin": {"columns": ["eda.mean"]}}
    assert load(tmp_path, table, card={"modalities": both}).layout.shapes["eda"] == (2, 1)
    with pytest.raises(ValueError, match="'eda.mean' is of the whole window"):
        load(tmp_path, table, card={"modalities": {"eda": {"tokens": ["1", "2"]}}})


def test_only_numbers_in_order_are_tokens(tmp_path):
    pose = {f"face.{f}.{a}": np.arange(N) for f in ("pose", "gaze") for a in ("Rx", "Ry")}
    rest = frame().drop(columns=["face.AU1", "face.AU12"])
    with pytest.warns(UserWarning, match=r"'face' is read as 4 features of one token; if 'Rx', 'Ry' are tokens"):
        data = load(tmp_path, rest.assign(**pose))
    assert data.features["face"] == ("pose.Rx", "pose.Ry", "gaze.Rx", "gaze.Ry") and data.tokens["face"] == ("1",)
    data = load(tmp_path, rest.assign(**pose, **{"face.smile": 1.0, "face.AU.4": 2.0, "face.AU.12": 2.0}))
    assert data.features["face"][-3:] == ("smile", "AU.4", "AU.12")  # action units are no tokens
    data = load(tmp_path, rest.assign(**pose), card={"modalities": {"face": {"tokens": ["Ry", "Rx"]}}})
    assert data.features["face"] == ("pose", "gaze") and data.tokens["face"] == ("Ry", "Rx")
    with pytest.raises(ValueError, match=r"no column face\.pose\.Rz; expected each feature for each token"):
        load(tmp_path, rest.assign(**pose), card={"modalities": {"face": {"tokens": ["Rx", "Ry", "Rz"]}}})


# --- the card ---------------------------------------------------------------------------------------------------------


def test_the_role_that_a_message_asks_for_is_all_that_is_needed(tmp_path):
    table = wider(frame(), eye__x=1.0, eye__y=np.arange(N))
    with pytest.raises(
        ValueError, match=r"is 'eye' physiological or behavioral.*modalities: \{eye: physiological\}"
    ) as e:
        load(tmp_path, table)
    assert "own.yaml beside it" in str(e.value)
    for card in ("modalities: {eye: behavioral}", "modalities: {eye: {role: Behavioural}}"):
        (tmp_path / "own.yaml").write_text(card)
        data = load(tmp_path, table)
        assert data.roles == {"physiological": ("eda",), "behavioral": ("eye", "face")}
        assert data.features["eye"] == ("x", "y")


def test_all_unknown_roles_are_asked_for_at_once(tmp_path):
    with pytest.raises(
        ValueError, match=r"is 'eye', 'foot' physiological .* \{eye: physiological, foot: physiological\}"
    ):
        load(tmp_path, wider(frame(), eye__x=1.0, foot__x=1.0))


def test_columns_left_out_of_a_modality_s_list_are_named(tmp_path):
    with pytest.raises(ValueError, match="'face.AU12' are no modality.feature"):
        load(tmp_path, frame(), card={"modalities": {"face": {"columns": ["face.AU1"]}}})


@pytest.mark.parametrize(
    "card, message",
    [
        ("emotions: [happy, happy]", "each once"),
        ("emotions: {happy: q1, sad: q1}", "each once"),
        ("scale: [5, 1]", "the least and the most"),
        ("name: a\nname: b", "'name' more than once"),
        ("window: " + ":".join(["1"] * 30_000), "a value of 59999 letters; expected at most 1000"),
        ("a: b\n" * 100_000, "500000 bytes; expected a card in YAML of at most 65536"),
    ],
)
def test_bad_cards_are_refused_quickly(tmp_path, card, message):
    (tmp_path / "own.yaml").write_text(card)
    started = time.perf_counter()
    with pytest.raises(ValueError, match=message):
        load(tmp_path, frame())
    assert time.perf_counter() - started < 5


# --- forms of files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [{"sep": ";"}, {"sep": "\t"}, {"sep": ";", "decimal": ","}, {"index": True}])
def test_what_spreadsheets_write_is_read(tmp_path, form):
    plain, table = load(tmp_path, frame()), frame().rename(columns={"emotion.happy": "q1", "emotion.sad": "q2"})
    table["q1"] += 0.0
    table.to_csv(tmp_path / "own.csv", **({"index": False} | form))
    data = helo.load("table", tmp_path / "own.csv", card={"emotions": {"happy": "q1", "sad": "q2"}})
    for m, x in plain.signals.items():
        np.testing.assert_allclose(data.signals[m], x)
    np.testing.assert_allclose(data.distributions, plain.distributions)


def test_a_comma_that_may_be_a_point_or_none_is_asked_for(tmp_path):
    text = "subject;trial;eda.a;face.b;emotion.x;emotion.y\n" + "".join(f"{k};1;1,{k}00;2,500;1;2\n" for k in range(5))
    (tmp_path / "own.csv").write_text(text)
    with pytest.raises(ValueError, match=r"is '1,000' in line 2 a whole number or a fraction\? All .* three digits"):
        helo.load("table", tmp_path / "own.csv")
    (tmp_path / "own.csv").write_text(text.replace("2,500", "0,500"))
    assert helo.load("table", tmp_path / "own.csv").signals["face"][0, 0, 0] == 0.5


def test_an_index_that_is_none_is_not_passed_over(tmp_path):
    table = frame()
    table.index = list(table.subject + "x")
    table.to_csv(tmp_path / "own.csv")
    with pytest.raises(ValueError, match="columns without a name"):
        helo.load("table", tmp_path / "own.csv")


def test_parquet_of_pandas_is_read(tmp_path):
    table, plain = frame(), load(tmp_path, frame())
    table["subject"] = pd.Categorical(table.subject)
    table["trial"] = pd.Categorical(table.trial)
    table["face.AU1"] = [*table["face.AU1"][:-1], None]
    table = table[::-1][1:]  # `__index_level_0__`
    data = helo.load("table", write(table, tmp_path / "own.parquet"))
    assert data.subjects.tolist() == plain.subjects[::-1][1:].tolist() and data.trials[0] == "2"
    np.testing.assert_array_equal(data.signals["face"], plain.signals["face"][::-1][1:])
    table.index = [f"row {k}" for k in range(N - 1)]
    with pytest.raises(ValueError, match="'__index_level_0__' are no modality.feature"):
        helo.load("table", write(table, tmp_path / "own.parquet"))


# --- gaps -------------------------------------------------------------------------------------------------------------


def gappy():
    """A person whose AU12 is never there, and one window of another without it."""
    table = frame()
    table.loc[[0, 1, 2, 3, 5], "face.AU12"] = np.nan
    table.loc[7, ["face.AU1", "face.AU12"]] = np.nan
    return table


def test_a_gap_that_takes_a_modality_is_said(tmp_path):
    with pytest.warns(UserWarning, match=r"own\.csv: 'face' is lost, .* in 5 of 12 windows .* 'AU12'; gaps='mean'"):
        data = load(tmp_path, gappy())
    assert np.flatnonzero(~data.masks["face"][:, 0]).tolist() == [0, 1, 2, 3, 5, 7]


def test_a_gap_is_filled_by_the_persons_mean_and_said_by_a_feature(tmp_path):
    table = gappy()
    data = load(tmp_path, table, gaps="mean")
    assert data.features["face"] == ("AU1", "AU12", "AU12 missing")
    assert np.flatnonzero(~data.masks["face"][:, 0]).tolist() == [7]  # nothing there to go by
    assert data.signals["face"][:, 0, 2].tolist() == [1, 1, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0]
    own, everybody = table["face.AU12"][[4, 6]].mean(), table["face.AU12"].mean()
    np.testing.assert_allclose(data.signals["face"][[0, 5], 0, 1], [everybody, own], rtol=1e-6)
    changed = table.copy()
    changed.loc[8:, "face.AU12"] += 100  # another person's values do not enter where there are own ones
    again = load(tmp_path, changed, gaps="mean")
    assert again.signals["face"][5, 0, 1] == data.signals["face"][5, 0, 1]
    with pytest.raises(ValueError, match="'face' has a feature without any value, 'AU12'; leave it out"):
        load(tmp_path, table.assign(**{"face.AU12": np.nan}), gaps="mean")


def test_a_feature_with_gaps_is_dropped(tmp_path):
    with pytest.warns(UserWarning, match="'face' without 'AU12', which have gaps"):
        data = load(tmp_path, gappy(), gaps="drop")
    assert data.features["face"] == ("AU1",) and data.masks["face"].sum() == 11


# --- what a check says ------------------------------------------------------------------------------------------------


def findings(data):
    return {f.what: f.found for f in check(data)}


def test_a_feature_from_0_to_1_has_no_unit():
    rng = np.random.default_rng(0)
    rate = rng.uniform(60, 100, (40, 1, 1))
    names = {"hr": ("heart rate (bpm)",)}
    for scaled, wrong in ((rate, False), (rate / 60, True), ((rate - rate.min()) / np.ptp(rate), False)):
        data = random_data(
            shapes={"hr": (1, 1), "face": (1, 2)},
            signals={"hr": scaled, "face": rng.normal(size=(40, 1, 2))},
            features=names,
        )
        assert ("units out of range" in findings(data)) == wrong
    both = 2 * (rate - rate.min()) / np.ptp(rate) - 1
    assert "units out of range" not in findings(
        random_data(
            shapes={"hr": (1, 1), "face": (1, 2)}, signals={"hr": both, "face": data.signals["face"]}, features=names
        )
    )


def test_few_labels_and_few_people_are_said_with_what_is_left():
    rng = np.random.default_rng(0)
    d = rng.dirichlet(np.ones(5), 12)[np.arange(40) % 12].astype(np.float32)
    assert findings(random_data(distributions=d))["few labels"] == "12 different distributions in 40 windows"
    assert "few labels" not in findings(random_data())
    two = findings(random_data(subjects=np.repeat(["a", "b"], 20)))
    assert two["few people"].startswith("2 people") and "protocol 'trials'" in two["few people"]
    assert "protocol 'trials' is left" in findings(random_data(subjects=["a"] * 40))["one subject"]
    rows = findings(random_data(subjects=np.arange(40), trials=np.arange(40)))
    assert "five" in rows["no people"] and "few people" not in rows
    assert not {"few people", "no people"} & set(findings(random_data()))


def test_a_check_says_how_one_modality_becomes_two():
    data = random_data(shapes={"face": (1, 7)}, roles={"physiological": [], "behavioral": ["face"]})
    assert "columns: [...], role: physiological" in findings(data)["no such role"]


def test_many_rows_are_checked_in_linear_time(tmp_path):
    n = 30_000
    mask = np.ones((n, 1), bool)
    mask[::7] = False
    rng = np.random.default_rng(0)
    data = random_data(
        n=n,
        emotions=3,
        shapes={"eda": (1, 2), "face": (1, 2)},
        distributions=rng.dirichlet(np.ones(3), n),
        subjects=np.arange(n),
        trials=np.arange(n),
        masks={"eda": mask},
        roles={"physiological": ["eda"], "behavioral": ["face"]},
    )
    started = time.perf_counter()
    assert "no people" in findings(data)
    assert time.perf_counter() - started < 10


def test_what_a_check_prints_has_no_codes():
    data = random_data(subjects=np.repeat(["\x1b[31m", "b", "c", "d"], 10), name="\x1b[2J")
    assert (holdings(data) + findings_table(check(data))).replace("\n", "").isprintable()


def test_features_that_are_a_structure_are_said(tmp_path):
    savemat(tmp_path / "set.mat", {"features": {"x": 1.0}, "labels": np.full((3, 2), 0.5)})
    with pytest.raises(ValueError, match=r"set\.mat: 'features' is a structure; expected numbers"):
        helo.load("ldl", tmp_path / "set.mat")


# --- wide, long, repeated, special ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header, row, message",
    [
        ("subject,trial," + ",".join(f"emotion.e{k}" for k in range(10_000)), None, "10000 emotions; .* at most 1000"),
        ("subject,trial," + ",".join(["eda.x"] * 15_000), None, "columns 'eda.x'; expected every name once"),
        (",".join(f"eda.{k}" for k in range(1_000_000)), None, "1000000 columns; expected at most 20000"),
        ("subject,trial,eda.x,note", "1,1,1," + "x" * 100_000, "line 2 has a cell of 100000 letters; .* 10000"),
        ("subject,trial,eda.x,note", "x" * 300 + ",1,1,", "row 0, subject, has 300 letters; expected at most 200"),
    ],
)
def test_wide_tables_are_refused_quickly(tmp_path, header, row, message):
    row = row or ",".join(["1"] * header.count(",") + ["1"])
    (tmp_path / "own.csv").write_text("\n".join([header, *[row] * 5]))
    started = time.perf_counter()
    with pytest.raises(ValueError, match=message) as error:
        helo.load("table", tmp_path / "own.csv")
    assert time.perf_counter() - started < 10 and len(str(error.value)) < 2000 and "own.csv" in str(error.value)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("cell, value", [("1e2147483648", np.inf), ("1e-4294967000", 0), ("-0E004454133120083229", 0)])
def test_an_exponent_beyond_32_bits_is_read(tmp_path, suffix, cell, value):
    """pandas 2.3 ends by a segmentation fault, or reads another number; found by tests/fuzz.py."""
    table = frame().astype({"face.AU1": str})
    table.loc[3, "face.AU1"] = cell
    if value:
        with pytest.raises(ValueError, match="'face', row 3, is infinite"):
            helo.load("table", write(table, tmp_path / f"own{suffix}"))
    else:
        data = helo.load("table", write(table, tmp_path / f"own{suffix}"))
        assert data.signals["face"][3, 0, 0] == 0


def test_many_columns_and_emotions_are_read_and_checked_in_linear_time(tmp_path):
    """Looking through all columns for each of them took 2 minutes; each pair of feature and emotion, more."""
    rng, rows = np.random.default_rng(0), 12
    about = {"subject": np.arange(rows) // 4, "trial": np.arange(rows)}
    names = (
        [f"eda.f{k}" for k in range(8000)] + [f"face.f{k}" for k in range(10)] + [f"emotion.{k}" for k in range(900)]
    )
    values = pd.DataFrame(rng.integers(0, 5, (rows, len(names))), columns=names).assign(**{"emotion.0": 1})
    path = write(pd.concat([pd.DataFrame(about), values], axis=1), tmp_path / "own.csv")
    started = time.perf_counter()
    data = helo.load("table", path)
    check(data)
    assert data.signals["eda"].shape == (rows, 1, 8000) and time.perf_counter() - started < 20


@pytest.mark.parametrize("dataset", ["table", "ldl", "crema-d"])
def test_what_may_not_be_read_is_said_with_the_files_name(tmp_path, monkeypatch, dataset):
    path = tmp_path / {"table": "own.csv", "ldl": "x.mat", "crema-d": "tabulatedVotes.csv"}[dataset]
    path.write_bytes(b"x")

    def broken(*_, **__):
        raise OSError(5, "Input/output error")

    for name in ("open", "read_bytes", "read_text"):
        monkeypatch.setattr(type(path), name, broken)
    with pytest.raises(ValueError, match=rf"{path.name}: cannot be read \(Input/output error\)"):
        helo.load(dataset, path)


def test_a_line_without_an_end_is_refused_before_it_fills_the_memory(tmp_path):
    (tmp_path / "own.csv").touch()
    os.truncate(tmp_path / "own.csv", 1_900_000_000)  # a hole, which takes no room on the disk
    started = time.perf_counter()
    with pytest.raises(ValueError, match=r"own\.csv: a line of 33554432 letters or more"):
        helo.load("table", tmp_path / "own.csv")
    assert time.perf_counter() - started < 5


def test_wide_text_takes_no_more_than_it_holds(tmp_path):
    """A note of 9 kB in one row of 20,000: numpy's own text would take 720 MB a column."""
    import tracemalloc

    rows = 20_000
    names = np.array([f"w{k}" for k in range(rows)])
    columns = {"subject": names, "trial": names, "note": ["x" * 9000, *[""] * (rows - 1)]}
    table = pd.DataFrame(columns | {"eda.x": 1.0, "face.y": 2.0, "emotion.a": 1, "emotion.b": 2})
    for name in ("own.csv", "own.parquet"):
        path = write(table, tmp_path / name)
        tracemalloc.start()
        helo.load("table", path, card={"ignore": ["note"]})
        assert tracemalloc.get_traced_memory()[1] < 100e6
        tracemalloc.stop()
    cells = np.array(["x" * 9000, *["y"] * rows], dtype=object)
    savemat(tmp_path / "own.mat", {"note": cells})
    with pytest.raises(ValueError, match=r"'note' has 20001 texts, the longest of 9000 letters"):
        helo.load("table", tmp_path / "own.mat")


def test_a_text_that_a_parquet_dictionary_repeats_is_kept_once(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    words = pa.DictionaryArray.from_arrays(pa.array(np.zeros(50_000, np.int32)), pa.array(["x" * 100_000]))
    pq.write_table(pa.table({"subject": np.arange(50_000), "note": words}), tmp_path / "own.parquet")
    started = time.perf_counter()
    with pytest.raises(ValueError, match=r"'note' has a cell of 100000 letters; expected at most 10000"):
        helo.load("table", tmp_path / "own.parquet")
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize("suffix", ["csv", "parquet", "npz", "mat"])
def test_special_files_are_refused(tmp_path, suffix):
    os.mkfifo(tmp_path / f"pipe.{suffix}")
    (tmp_path / f"zero.{suffix}").symlink_to("/dev/zero")
    (tmp_path / f"1.{suffix}").mkdir()
    for name, dataset in ((n, d) for n in ("pipe", "zero", "1") for d in ("table", "ldl")):
        with pytest.raises(ValueError, match=rf"{name}\.{suffix}: is a (named pipe|device|folder); expected"):
            helo.load(dataset, tmp_path / f"{name}.{suffix}")
    for path in ("~nouser-at-all/own.csv", "x" * 5000 + ".csv", "a\0b.csv"):
        with pytest.raises(ValueError, match="no file can be read there"):
            helo.load("table", path)
    write(frame(), tmp_path / "own.csv")
    os.mkfifo(tmp_path / "own.yaml")
    with pytest.raises(ValueError, match=r"own\.yaml: is a named pipe; expected a card in YAML"):
        helo.load("table", tmp_path / "own.csv")


def test_a_limit_names_its_way_out(tmp_path, monkeypatch):
    rows = np.zeros((1000, 20_000))
    savemat(tmp_path / "own.mat", arrays(frame()) | {"zeros": rows}, do_compression=True)
    with pytest.raises(ValueError, match=r"unpacks to more than 67108864 bytes; .* set HELO_MEMORY=1 \(gigabytes\)"):
        helo.load("table", tmp_path / "own.mat", card={"ignore": ["zeros"]})
    monkeypatch.setenv("HELO_MEMORY", "1")
    with pytest.raises(ValueError, match=r"'zeros' has shape \(1000, 20000\); expected 12 rows"):
        helo.load("table", tmp_path / "own.mat", card={"ignore": ["zeros"]})


def test_a_message_is_one_short_line_without_codes(tmp_path):
    name = "\x1b[31m" + "x" * 100 + "\u202e"
    table = frame().rename(columns={"eda.mean.1": name})
    for k in range(100):
        table[f"{name}{k}"] = 1.0
    with pytest.raises(ValueError, match=r"own\.csv: ") as error:
        load(tmp_path, table)
    assert str(error.value).isprintable() and len(str(error.value)) <= 2000
