"""Your own data, from every kind of file."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy.io import savemat

import helo
from helo.data.example import write_table

N = 12


def frame():
    """12 windows of 3 people, two trials each: two tokens of eda, one of face."""
    rng = np.random.default_rng(0)
    columns = {"subject": np.repeat(["p01", "p02", "p10"], 4), "trial": np.tile([1, 1, 2, 2], 3)}
    for token in (1, 2):
        columns |= {f"eda.mean.{token}": rng.normal(size=N), f"eda.peak.{token}": rng.normal(size=N)}
    columns |= {f"face.{au}": rng.normal(size=N) for au in ("AU1", "AU12")}
    columns |= {"emotion.happy": rng.integers(1, 6, N), "emotion.sad": rng.integers(1, 6, N)}
    return pd.DataFrame(columns)


def arrays(table):
    eda = np.stack([table[[f"eda.mean.{t}", f"eda.peak.{t}"]].to_numpy() for t in (1, 2)], 1)
    return {
        "subject": table.subject.to_numpy(str),
        "trial": table.trial.to_numpy(),
        "eda": eda,
        "face": table[["face.AU1", "face.AU12"]].to_numpy(),
        "emotions": np.array(["happy", "sad"]),
        "ratings": table[["emotion.happy", "emotion.sad"]].to_numpy(),
    }


def write(table, path):
    if path.suffix == ".csv":
        table.to_csv(path, index=False)
    elif path.suffix == ".parquet":
        table.to_parquet(path)
    elif path.suffix == ".npz":
        np.savez_compressed(path, **arrays(table))
    else:
        savemat(path, arrays(table), do_compression=True)
    return path


def load(tmp_path, table, **options):
    return helo.load("table", write(table, tmp_path / "own.csv"), **options)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npz", ".mat"])
def test_every_format_gives_the_same_data(tmp_path, suffix):
    table = frame()
    data = helo.load("table", write(table, tmp_path / f"own{suffix}"))
    assert data.name == "own" and data.emotions == ("happy", "sad")
    assert data.roles == {"physiological": ("eda",), "behavioral": ("face",)} and data.query == "eda"
    assert data.subjects[0] == "p01" and data.trials[2] == "2"
    np.testing.assert_allclose(data.signals["eda"][:, 1, 0], table["eda.mean.2"], rtol=1e-6)
    np.testing.assert_allclose(data.signals["face"][:, 0, 1], table["face.AU12"], rtol=1e-6)
    happy = table["emotion.happy"] / (table["emotion.happy"] + table["emotion.sad"])
    np.testing.assert_allclose(data.distributions[:, 0], happy, rtol=1e-6)
    if suffix in (".csv", ".parquet"):
        assert data.features["eda"] == ("mean", "peak") and data.tokens["eda"] == ("1", "2")


def test_a_model_trains_on_it(tmp_path):
    data = load(tmp_path, frame())
    split = helo.splits.by_subject(data)[0]
    run = helo.fit(helo.build("helo", data, width=16, heads=2, tokens=2), data, split, epochs=2, progress=False)
    assert np.isfinite(helo.predict(run.model, data, split.test).distributions).all()


def test_an_empty_cell_masks_the_token(tmp_path):
    table = frame()
    table.loc[3, "eda.peak.2"] = np.nan
    table.loc[5, ["face.AU1", "face.AU12"]] = np.nan
    data = load(tmp_path, table)
    assert np.argwhere(~data.masks["eda"]).tolist() == [[3, 1]]
    assert np.argwhere(~data.masks["face"]).tolist() == [[5, 0]]
    assert (data.signals["eda"][3, 1] == 0).all()


def test_floor_and_smoothing(tmp_path):
    table = frame()
    table.loc[0, ["emotion.happy", "emotion.sad"]] = [4, 2]
    np.testing.assert_allclose(load(tmp_path, table, smoothing=2).distributions[0], [0.6, 0.4])
    table.loc[:, "emotion.happy"] = 3
    np.testing.assert_allclose(load(tmp_path, table, floor=1).distributions[0], [2 / 3, 1 / 3], rtol=1e-6)
    table.loc[7, ["emotion.happy", "emotion.sad"]] = 1
    with pytest.raises(ValueError, match=r"own\.csv: all ratings in row 7 are 0"):
        load(tmp_path, table, floor=1)
    np.testing.assert_allclose(load(tmp_path, table, floor=1, smoothing=0.1).distributions[7], [0.5, 0.5])
    with pytest.raises(ValueError, match="rating of 'sad' in row 2 is 1; expected at least the floor, 2"):
        load(tmp_path, table, floor=2)


def test_none_is_a_name_and_na_an_empty_cell(tmp_path):
    """pandas takes None, as NA and null, for nothing: a rater's vote and a condition would vanish."""
    table = frame().drop(columns=["emotion.happy", "emotion.sad"])
    table["condition"] = np.tile(["None", "stress"], N // 2)
    table[["vote.a", "vote.b", "vote.c"]] = "happy", "None", "NA"
    table.loc[1, "vote.c"] = "sad"
    table["eda.mean.1"] = ["None", "n/a", *map(str, table["eda.mean.1"][2:])]
    data = load(tmp_path, table)
    assert data.emotions == ("None", "happy", "sad") and data.conditions.tolist()[:2] == ["None", "stress"]
    np.testing.assert_allclose(data.distributions[:2], [[1 / 2, 1 / 2, 0], [1 / 3, 1 / 3, 1 / 3]], rtol=1e-6)
    assert np.argwhere(~data.masks["eda"]).tolist() == [[0, 0], [1, 0]]


@pytest.mark.parametrize("column", ["subject", "trial"])
@pytest.mark.parametrize("cell", ["None", "#N/A N/A", "NULL"])
def test_none_is_nobody(tmp_path, column, cell):
    table = frame()
    table[column] = table[column].astype(str)
    table.loc[2, column] = cell
    with pytest.raises(ValueError, match=f"row 2, {column}, is empty; expected a name"):
        load(tmp_path, table)


def test_numbered_tokens_come_by_their_numbers(tmp_path):
    table = frame().drop(columns=[f"eda.{f}.{t}" for f in ("mean", "peak") for t in (1, 2)])
    for token in range(1, 12):
        table[f"eda.mean.{token}"] = float(token)
    data = load(tmp_path, table[sorted(table.columns)])  # 1, 10, 11, 2, ...
    assert data.tokens["eda"] == tuple(map(str, range(1, 12)))
    np.testing.assert_array_equal(data.signals["eda"][0, :, 0], range(1, 12))


def test_names_in_a_column_with_a_dot_stay_as_they_are_written(tmp_path):
    table = frame().rename(columns={"subject": "participant.id"})
    table["participant.id"] = np.repeat(["001", "02", "1e3"], 4)
    data = load(tmp_path, table, card={"subject": "participant.id"})
    assert sorted(set(data.subjects)) == ["001", "02", "1e3"]


def test_several_raters_are_averaged(tmp_path):
    table = frame().drop(columns=["emotion.happy", "emotion.sad"])
    table["emotion.happy.a"], table["emotion.happy.b"] = 2.0, 4.0
    table["emotion.sad.a"], table["emotion.sad.b"] = 1.0, 1.0
    table.loc[2, ["emotion.happy.b", "emotion.sad.b"]] = np.nan
    d = load(tmp_path, table).distributions
    np.testing.assert_allclose(d[0], [0.75, 0.25])
    np.testing.assert_allclose(d[2], [2 / 3, 1 / 3], rtol=1e-6)
    table.loc[2, "emotion.sad.a"] = np.nan
    with pytest.raises(ValueError, match="rating of 'sad' in row 2 is nan"):
        load(tmp_path, table)


def test_votes_beside_ratings_are_a_question(tmp_path):
    """Not features: the card says which of the two are the label."""
    table = frame().assign(**{f"vote.{rater}": "sad" for rater in "ab"}, **{"vote.c": "calm"})
    told = (
        r"votes \('vote.a', 'vote.b', 'vote.c'\) and ratings \('emotion.happy', 'emotion.sad'\); expected one of them"
    )
    with pytest.raises(ValueError, match=told):
        load(tmp_path, table)
    for named in (["happy", "sad"], {"happy": "emotion.happy", "sad": "emotion.sad"}):
        with pytest.raises(ValueError, match=told):
            load(tmp_path, table, card={"emotions": named})
    assert load(tmp_path, table, card={"ignore": ["emotion.*"]}).emotions == ("calm", "sad")
    assert load(tmp_path, table, card={"ignore": ["vote.*"]}).emotions == ("happy", "sad")


def test_votes_are_counted(tmp_path):
    table = frame().drop(columns=["emotion.happy", "emotion.sad"])
    for rater, vote in zip("abcd", ["sad", "sad", "angry", ""], strict=True):
        table[f"vote.{rater}"] = vote
    data = load(tmp_path, table)
    assert data.emotions == ("angry", "sad")
    np.testing.assert_allclose(data.distributions[0], [1 / 3, 2 / 3], rtol=1e-6)
    data = load(tmp_path, table, card={"emotions": ["sad", "happy", "angry"]}, smoothing=1)
    np.testing.assert_allclose(data.distributions[0], np.array([3, 1, 2]) / 6, rtol=1e-6)
    with pytest.raises(ValueError, match=r"votes for 'angry'; the card's emotions are 'sad', 'happy'"):
        load(tmp_path, table, card={"emotions": ["sad", "happy"]})


CARD = """
name: my study
subject: who
trial: clip
condition: clip
start: t
window: 5
modalities:
  skin: {columns: [scl, "scr_*"], role: physiological}
  mood: {columns: [AU1], role: behavioral}
emotions: {joy: q1, grief: q2}
ignore: [age]
"""


def test_a_card_says_what_the_names_do_not(tmp_path):
    table = pd.DataFrame(
        {
            "who": ["a", "b"],
            "clip": ["x", "y"],
            "t": [0, 5.0],
            "scl": [1.0, 2],
            "scr_n": [3.0, 4],
            "AU1": [0.5, np.nan],
            "q1": [1, 1],
            "q2": [3, 1],
            "age": [30, 40],
        }
    )
    (tmp_path / "own.yaml").write_text(CARD)
    for card in (None, tmp_path / "own.yaml"):
        data = load(tmp_path, table, card=card)
        assert data.name == "my study" and data.roles == {"physiological": ("skin",), "behavioral": ("mood",)}
        assert data.features["skin"] == ("scl", "scr_n") and data.window == 5 and data.starts.tolist() == [0, 5]
        assert data.emotions == ("joy", "grief") and data.conditions.tolist() == ["x", "y"]
        np.testing.assert_allclose(data.distributions, [[0.25, 0.75], [0.5, 0.5]])
        assert data.masks["mood"].tolist() == [[True], [False]]


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda t: t.drop(columns="subject"), "no column 'subject' for the subject; found 'trial'"),
        (lambda t: t.drop(columns="trial"), "no column 'trial' for the trial"),
        (lambda t: t.assign(age=3), "'age' are no modality.feature"),
        (lambda t: t.assign(**{"mystery.x": 1.0}), "is 'mystery' physiological or behavioral"),
        (lambda t: t.drop(columns="eda.peak.2"), r"no column eda\.peak\.2; expected each feature for each token"),
        (lambda t: t.drop(columns="emotion.sad"), "1 emotions; expected at least two"),
        (
            lambda t: t.astype({"eda.mean.1": object}).assign(**{"eda.mean.1": ["x", *range(1, N)]}),
            "row 0, eda.mean.1, is 'x'",
        ),
        (lambda t: t.assign(**{"face.AU1": [1.0] * 4 + [np.inf] + [1.0] * 7}), "'face', row 4, is infinite"),
        (lambda t: t.assign(subject=["a", None, *"cdefghijkl"]), "row 1, subject, is empty"),
        (lambda t: t.assign(**{"emotion.sad": -1}), "rating of 'sad' in row 0 is -1"),
        (lambda t: t.drop(columns=[c for c in t if c[:3] in ("eda", "fac")]), "no signals"),
        (lambda t: t[:0], "0 rows below 10 column names"),
    ],
)
def test_bad_tables_are_named(tmp_path, change, message):
    with pytest.raises(ValueError, match=message) as error:
        load(tmp_path, change(frame()))
    assert "own.csv" in str(error.value)


@pytest.mark.parametrize(
    "card, message",
    [
        ({"modality": {}}, "unknown 'modality'"),
        ({"subject": 3}, "'subject' is 3; expected text"),
        ({"subject": "who"}, "no column 'who' for the subject"),
        ({"window": -1}, "'window' is -1"),
        ({"emotions": {"happy": 3}}, "'emotions' is a dict"),
        ({"emotions": ["happy", "angry"]}, r"no column 'emotion.angry' for the emotion 'angry'"),
        ({"modalities": {"eda": {"role": "both"}}}, "modality 'eda' is a dict; expected"),
        ({"modalities": {"eda": {"columns": ["x*"]}}}, r"no column of 'eda': 'x\*'"),
        ("a: &a [x]\nb: *a", "aliases are not read"),
        ("!!python/object/apply:os.system ['touch ran']", "could not determine a constructor"),
        ("[" * 20_000, "not a readable card"),
        ("- subject", "holds a list"),
    ],
)
def test_bad_cards_are_named(tmp_path, card, message):
    if isinstance(card, str):
        (tmp_path / "card.yaml").write_text(card)
        card = tmp_path / "card.yaml"
    with pytest.raises(ValueError, match=message):
        load(tmp_path, frame(), card=card)


@pytest.mark.parametrize("options", [{}, {"smoothing": 1.0}, {"floor": 0.5}])
def test_a_code_for_a_missing_rating_hides_in_no_mean(tmp_path, options):
    """The mean of -1 and 5 is 2, as if the rater had answered."""
    table = frame().rename(columns={"emotion.sad": "emotion.sad.r1"})
    table["emotion.sad.r2"] = [5] * N
    table.loc[3, "emotion.sad.r1"] = -1
    floor = options.get("floor", 0)
    with pytest.raises(ValueError, match=rf"own.csv: the rating of 'sad' in row 3 is -1; .* the floor, {floor}"):
        load(tmp_path, table, **options)


def test_trials_by_number_are_told_apart(tmp_path):
    table = frame().assign(trial=np.tile(["1.1", "1.1", "1.10", "1.10"], 3))
    assert set(load(tmp_path, table).trials) == {"1.1", "1.10"}
    assert set(load(tmp_path, table.assign(trial=np.tile(["1 11", "1 11", "11 1", "11 1"], 3))).trials) == {
        "1 11",
        "11 1",
    }
    with pytest.raises(ValueError, match="trial has '1' and '1.0', which would count as two"):
        load(tmp_path, table.assign(trial=np.tile(["1", "1", "1.0", "2"], 3)))
    held = arrays(frame()) | {"trial": np.tile([1.1, 1.1, 2.0, 2.0], 3)}
    np.savez(tmp_path / "own.npz", **held)
    assert set(helo.load("table", tmp_path / "own.npz").trials) == {"1.1", "2"}  # as a CSV file has them


def test_torn_and_ambiguous_files_are_refused(tmp_path):
    path = write(frame(), tmp_path / "own.csv")
    whole = path.read_text()
    path.write_text(whole[: whole.rindex(",")])
    with pytest.raises(ValueError, match=r"line 13 has more or fewer than the header's 10 cells"):
        helo.load("table", path)
    path.write_text(whole.replace("eda.peak.1", "eda.mean.1"))
    with pytest.raises(ValueError, match=r"columns 'eda.mean.1'; expected every name once"):
        helo.load("table", path)
    with pytest.raises(ValueError, match=r"own\.xlsx: no such file"):
        helo.load("table", tmp_path / "own.xlsx")
    (tmp_path / "own.xlsx").touch()
    with pytest.raises(ValueError, match=r"ends in '\.xlsx'; expected one of"):
        helo.load("table", tmp_path / "own.xlsx")


def test_a_path_belongs_to_a_data_set_that_has_one():
    with pytest.raises(ValueError, match=r"data set 'simulated' does not take \['path'\]"):
        helo.load("simulated", "somewhere")


def test_root_and_path_are_the_same(tmp_path):
    path = write(frame(), tmp_path / "own.csv")
    one, two = helo.load("table", path), helo.load("table", root=path)
    assert (one.signals["eda"] == two.signals["eda"]).all()


def test_raw_samples_become_features(tmp_path):
    """A pulse of 1.2 Hz is 72 beats a minute; a window of NaN is masked."""
    table = frame()
    t = np.arange(64 * 30) / 64
    bvp = np.sin(2 * np.pi * 1.2 * t) + np.random.default_rng(0).normal(0, 0.02, (N, len(t)))
    bvp[4] = np.nan
    np.savez(tmp_path / "own.npz", **arrays(table), bvp=bvp)
    card = {"modalities": {"face": {}, "bvp": {"rate": 64, "kind": "pulse", "tokens": 3}}, "ignore": ["eda"]}
    data = helo.load("table", tmp_path / "own.npz", card=card)
    assert data.layout.shapes == {"bvp": (3, 4), "face": (1, 2)} and data.features["bvp"][0] == "heart rate (bpm)"
    assert abs(data.signals["bvp"][data.masks["bvp"]][:, 0] - 72).max() < 3
    assert not data.masks["bvp"][4].any() and data.masks["bvp"][np.arange(N) != 4].all()
    for entry, message in (
        ({"rate": -1, "kind": "pulse"}, "has rate -1, kind 'pulse'"),
        ({"rate": 64, "kind": "pulses"}, "kind 'pulses' and tokens 1; expected"),
        ({"rate": 64, "kind": "pulse", "tokens": 30}, "30.0 s in 30 tokens; expected at least 2 s"),
    ):
        with pytest.raises(ValueError, match=message):
            helo.load("table", tmp_path / "own.npz", card=card | {"modalities": {"face": {}, "bvp": entry}})


RATES = [
    ("electrodermal", 50, 10, "level (log uS)", np.log(3)),
    ("electrodermal", 25, 10, "level (log uS)", np.log(3)),
    ("electrodermal", 30, 10, "level (log uS)", np.log(3)),
    ("electrodermal", 250, 60, "level (log uS)", np.log(3)),
    ("temperature", 50, 10, "mean (degC)", 3),
    ("respiration", 250, 25, "breaths (1/min)", 24),
    ("movement", 200, 5, "movement (log g)", np.log(np.sqrt(3 / 2))),
]


@pytest.mark.parametrize("kind, rate, seconds, feature, expected", RATES)
def test_raw_samples_of_any_rate(tmp_path, kind, rate, seconds, feature, expected):
    """Blocks of samples that a window does not divide into: a wave of 0.4 Hz and size 1 around 3."""
    x = 3 + np.sin(2 * np.pi * 0.4 * np.arange(rate * seconds) / rate)
    x = x + np.random.default_rng(0).normal(0, 0.01, (N, rate * seconds))
    x = np.stack([x] * 3, 2) if kind == "movement" else x
    np.savez(tmp_path / "own.npz", **arrays(frame()), skin=x)
    card = {"modalities": {"skin": {"rate": rate, "kind": kind, "role": "physiological"}}}
    data = helo.load("table", tmp_path / "own.npz", card=card)
    assert data.masks["skin"].all()
    found = data.signals["skin"][:, 0, data.features["skin"].index(feature)]
    np.testing.assert_allclose(found, expected, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("samples", [63, 67, 71])
def test_raw_samples_that_tokens_do_not_divide(tmp_path, samples):
    x = 2 + np.random.default_rng(0).normal(0, 0.01, (N, samples))
    np.savez(tmp_path / "own.npz", **arrays(frame()) | {"eda": x})
    card = {"modalities": {"eda": {"rate": 4, "kind": "electrodermal", "tokens": 2}}}
    data = helo.load("table", tmp_path / "own.npz", card=card)
    assert data.masks["eda"].all()
    np.testing.assert_allclose(data.signals["eda"][:, :, 0], np.log(2), atol=0.05)


@pytest.mark.parametrize("kind, channels, expected", [("pulse", 3, 1), ("movement", 1, 3), ("movement", 2, 3)])
def test_raw_samples_have_the_channels_of_their_kind(tmp_path, kind, channels, expected):
    """Of a pulse with three channels the first counted alone; of one axis movement was made."""
    x = np.random.default_rng(0).normal(size=(N, 640, channels))
    np.savez(tmp_path / "own.npz", **arrays(frame()) | {"eda": x[..., 0] if channels == 1 else x})
    card = {"modalities": {"eda": {"rate": 64, "kind": kind}}}
    with pytest.raises(ValueError, match=f"own.npz: 'eda' has {channels} channels; expected {expected} for kind"):
        helo.load("table", tmp_path / "own.npz", card=card)


def test_raw_windows_that_lack_a_sample_are_told(tmp_path):
    x = 2 + np.random.default_rng(0).normal(0, 0.01, (N, 64))
    x[0, 3] = x[5, 60] = np.nan
    x[7] = np.nan  # not there: nothing is lost
    np.savez(tmp_path / "own.npz", **arrays(frame()) | {"eda": x})
    card = {"modalities": {"eda": {"rate": 4, "kind": "electrodermal"}}}
    with pytest.warns(UserWarning, match="own.npz: 'eda' is lost in 2 of 12 windows, .* such as row 0"):
        data = helo.load("table", tmp_path / "own.npz", card=card)
    assert np.flatnonzero(~data.masks["eda"][:, 0]).tolist() == [0, 5, 7]


def test_the_cell_that_is_no_number_is_named_among_decimal_commas(tmp_path):
    lines = [f"P{k};{k};{cell};1,5;1;2" for k, cell in enumerate(("3,5", "3,6", "k.A."))]
    path = tmp_path / "own.csv"
    path.write_text("\n".join(["subject;trial;eda.mean;acc.mean;emotion.a;emotion.b", *lines]))
    with pytest.raises(ValueError, match="own.csv: row 2, eda.mean, is 'k.A.'; expected a number"):
        helo.load("table", path)


def test_a_column_called_clip_that_the_card_gives_away_names_no_clip(tmp_path):
    rows = [f"P{k // 3},{k % 3},{0.1 * k},{k},{k % 5 + 1},2" for k in range(24)]
    head = "subject,trial,eda.mean,clip,emotion.happy,emotion.sad"
    path = tmp_path / "study.csv"
    path.write_text("\n".join([head, *rows]))
    roles = {"eda": "physiological"}
    assert (helo.load("table", path).clips == np.arange(24).astype(str)).all()
    for card in ({"ignore": ["cl*"]}, {"modalities": {**roles, "face": {"columns": ["clip"], "role": "behavioral"}}}):
        data = helo.load("table", path, card=card)
        assert data.clips is None
    assert data.signals["face"][:, 0, 0].tolist() == list(range(24))
    path.write_text(
        "\n".join([head, *(row.replace(f",{k},", ",,", 1) if k == 20 else row for k, row in enumerate(rows))])
    )
    assert helo.load("table", path, card={"ignore": ["clip"]}).clips is None
    embeddings = {"clip": np.ones((24, 5)) * np.arange(24)[:, None], "subject": np.repeat(["a", "b"], 12)}
    embeddings |= {
        "trial": np.arange(24).astype(str),
        "emotion.happy": np.arange(24) % 5 + 1,
        "emotion.sad": np.full(24, 2),
    }
    np.savez(tmp_path / "study.npz", **embeddings)
    assert (
        helo.load("table", tmp_path / "study.npz", card={"modalities": {"clip": "behavioral"}}).signals["clip"].shape[2]
        == 5
    )


def test_a_written_table_gives_the_data_set_back(tmp_path, simulated):
    m = next(iter(simulated.signals))
    masks = {name: mask.copy() for name, mask in simulated.masks.items()}
    masks[m][3, 1] = False
    data = dataclasses.replace(simulated, masks=masks)
    again = helo.load("table", write_table(data, tmp_path / "study.csv"))
    for name in data.signals:
        np.testing.assert_array_equal(again.signals[name], data.signals[name])
        np.testing.assert_array_equal(again.masks[name], data.masks[name])
    np.testing.assert_allclose(again.distributions, data.distributions, atol=1e-7)
    for field in ("name", "emotions", "roles", "query", "window", "features", "tokens"):
        assert getattr(again, field) == getattr(data, field), field
    for field in ("subjects", "trials", "conditions", "starts"):
        assert (getattr(again, field) == getattr(data, field)).all(), field
    assert again.clips is None
    twice = dataclasses.replace(data, trials=data.trial_ids, clips=data.trials)  # each viewing a trial of its own name
    again = helo.load("table", write_table(twice, tmp_path / "twice.csv"))
    assert (again.clips == data.trials).all() and (again.trials == data.trial_ids).all()
    with pytest.raises(ValueError, match=r"ends in '.npz'; expected .csv"):
        write_table(data, tmp_path / "study.npz")
