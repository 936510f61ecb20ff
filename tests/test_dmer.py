"""DMER: files of exactly its format, written here; the data themselves need a signed agreement."""

import os
import shutil
import zipfile

import numpy as np
import pytest
from scipy.io import savemat

import helo
from helo.data import dmer_raw
from helo.data.dmer_files import CLIPS, REST
from helo.data.signals import Tokens

PEOPLE = (1, 2, 5)  # the release's ids have gaps


def clip_lengths(seed=0):
    return np.random.default_rng(seed).integers(20, 31, CLIPS)


def ratings_of(who):
    return np.random.default_rng(1000 + who).integers(1, 6, (CLIPS, 10))


def write_features(root, people=PEOPLE, rows=None, change=None, labels=True, shuffle=False, compress=True):
    """Features/<id>.mat of the release: complex `feas`, `vids` as a column; HeLo's `dis_label`."""
    (root / "Features").mkdir(exist_ok=True)
    rows = clip_lengths() - 4 if rows is None else rows
    for who in people:
        rng = np.random.default_rng(who)
        order = rng.permutation(CLIPS) if shuffle else np.arange(CLIPS)
        vids = np.repeat(order, rows[order])[:, None].astype(float)
        content = {"feas": rng.normal(size=(len(vids), 913)), "vids": vids}
        if labels:
            content["dis_label"] = ratings_of(who)
        if change:
            change(content)
        savemat(root / "Features" / f"{who}.mat", content, do_compression=compress)
    return root


def write_raw(root, people=PEOPLE, lengths=None, change=None, time_row=True):
    """Aligned_data/<id>/datas.mat: rest first, then the clips by number, with the time they were shown at."""
    lengths = np.full(CLIPS, 7) if lengths is None else lengths
    for who in people:
        rng = np.random.default_rng(who)
        shown = np.r_[REST, rng.permutation(CLIPS)]
        begin = dict(zip(shown.tolist(), 100.0 * np.arange(len(shown)), strict=True))
        content = {"fs_eeg": 300, "fs_gsr": 4, "fs_ppg": 100, "dis_label": ratings_of(who)}
        for m, (channels, rate) in {"eeg": (18, 300), "gsr": (1, 4), "ppg": (1, 100)}.items():
            blocks = []
            for clip in [REST, *range(CLIPS)]:
                n = rate * (5 if clip == REST else lengths[clip])
                t = np.arange(n) / rate
                x = {
                    "eeg": rng.normal(0, 10, (channels, n)),
                    "gsr": 2 + 0.1 * rng.normal(0, 0.1, (1, n)).cumsum(1),
                    "ppg": np.sin(2 * np.pi * 1.2 * t)[None] + rng.normal(0, 0.02, (1, n)),
                }[m]
                blocks.append(np.concatenate([x, np.full((1, n), clip), (begin[clip] + t)[None]][: 2 + time_row]))
            content[f"{m}_datas"] = np.concatenate(blocks, 1)
        if change:
            change(content)
        folder = root / "Aligned_data" / str(who)
        folder.mkdir(parents=True, exist_ok=True)
        savemat(folder / "datas.mat", content)
    return root


def zipped(root, name):
    shutil.make_archive(str(root / name), "zip", root, name)
    shutil.rmtree(root / name)
    return root


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    return write_features(tmp_path_factory.mktemp("dmer"), change=lambda c: c.update(feas=c["feas"] + 1e-9j))


def test_columns_labels_and_people_are_where_they_belong(released):
    data = helo.load("dmer", released)
    rows = clip_lengths() - 4
    assert data.layout.shapes == {"eeg": (18, 5), "gsr": (1, 28), "ppg": (1, 27), "video": (1, 768)}
    assert len(data) == 3 * rows.sum() and list(dict.fromkeys(data.subjects)) == ["1", "2", "5"]
    feas = np.random.default_rng(1).normal(size=(rows.sum(), 913))
    np.testing.assert_allclose(data.signals["eeg"][7, 2, 3], feas[7, 13], rtol=1e-6)  # channel 3, band 4
    np.testing.assert_allclose(data.signals["ppg"][7, 0, 0], feas[7, 118], rtol=1e-6)
    np.testing.assert_allclose(data.signals["video"][7, 0, -1], feas[7, 912], rtol=1e-6)
    clip = 9
    ours = data.distributions[(data.subjects == "2") & (data.trials == f"clip {clip}")]
    expected = ratings_of(2)[clip] / ratings_of(2)[clip].sum()
    assert len(ours) == rows[clip] and np.allclose(ours, expected, atol=1e-6)
    slow = helo.load("dmer", root=released, band="slowest")
    np.testing.assert_allclose(slow.signals["eeg"][7, 2, 3], feas[7, 3 * 18 + 2], rtol=1e-6)


def test_a_zip_gives_the_same(released, tmp_path):
    shutil.copytree(released, tmp_path, dirs_exist_ok=True)
    one, two = helo.load("dmer", released), helo.load("dmer", zipped(tmp_path, "Features"))
    three = helo.load("dmer", tmp_path / "Features.zip")
    for other in (two, three):
        assert all((one.signals[m] == other.signals[m]).all() for m in one.signals)
        assert (one.subjects == other.subjects).all() and (one.distributions == other.distributions).all()


def test_splits_by_trial_and_by_subject_share_no_signal(released):
    data = helo.load("dmer", released)
    for split in [*helo.splits.by_trial(data), *helo.splits.by_subject(data)]:
        found = helo.splits.leaks(data, split)
        assert found["signal"] == 0 and found["trial"] == 0
    with pytest.warns(UserWarning, match="leaks"):
        split = helo.splits.random_windows(data)[0]
    assert helo.splits.leaks(data, split)["signal"] > 0.9 * len(split.test)


def write_panas(root, people=PEOPLE, order=None):
    (root / "Questionnaires").mkdir()
    for who in people:
        ratings = ratings_of(who)[order(who) if order else slice(None)]
        np.savetxt(root / "Questionnaires" / f"{who}.csv", ratings, fmt="%d", delimiter=",")


def test_questionnaires_follow_the_order_of_presentation(tmp_path):
    write_features(tmp_path, shuffle=True)
    write_panas(tmp_path, order=lambda who: np.random.default_rng(who).permutation(CLIPS))
    panas, dis = helo.load("dmer", tmp_path, labels="panas"), helo.load("dmer", tmp_path)
    assert (panas.distributions == dis.distributions).all()
    assert (helo.load("dmer", tmp_path, labels="panas", order="clips").distributions != dis.distributions).any()


def test_start_times_follow_the_order_of_presentation(tmp_path):
    write_features(tmp_path, shuffle=True)
    data = helo.load("dmer", tmp_path)
    for who in np.unique(data.subjects):
        own = data.subjects == who
        shown = data.trials[own][np.argsort(data.starts[own], kind="stable")]
        assert list(dict.fromkeys(shown.tolist())) == list(dict.fromkeys(data.trials[own].tolist()))
    split = helo.splits.by_subject(data)[0]
    first = list(dict.fromkeys(data.trials[split.test].tolist()))[:2]  # the file has them as they were shown
    given = np.setdiff1d(helo.splits.calibrated(data, split, 2).train, split.train)
    assert set(data.trials[given]) == set(first)


def test_an_order_that_no_file_tells_is_not_guessed(tmp_path):
    write_features(tmp_path)
    write_panas(tmp_path)
    with pytest.raises(ValueError, match=r"1\.mat: does not say in which order the clips were shown"):
        helo.load("dmer", tmp_path, labels="panas")
    by_clip = helo.load("dmer", tmp_path, labels="panas", order="clips")
    assert (by_clip.distributions == helo.load("dmer", tmp_path).distributions).all()


def test_the_rating_scale_is_an_option(tmp_path):
    write_features(tmp_path, people=[1])
    write_panas(tmp_path, people=[1])
    path = tmp_path / "Questionnaires" / "1.csv"
    path.write_text(path.read_text().replace("5", "7", 1))
    with pytest.raises(ValueError, match=r"is '7'; expected a rating from 1 to 5 \(option scale"):
        helo.load("dmer", tmp_path, labels="panas", order="clips")
    assert len(helo.load("dmer", tmp_path, labels="panas", order="clips", scale=9))


def test_differential_entropy_is_that_of_the_band():
    """White noise of power s^2 per Hz: the variance in a band is s^2 times its width."""
    rng = np.random.default_rng(0)
    rate, n = 300.0, 300 * 400
    x = rng.normal(0, 3, (n, 2))
    tokens = Tokens.of(np.array([20.0]), 360.0, 1)
    found = dmer_raw.differential_entropy(x, rate, tokens)[0].mean(0)
    density = 9 / (rate / 2)
    expected = [0.5 * np.log(2 * np.pi * np.e * density * (high - low)) for low, high in dmer_raw.BANDS.values()]
    np.testing.assert_allclose(found, expected, atol=0.1)
    np.testing.assert_allclose(
        dmer_raw.differential_entropy(10 * x, rate, tokens)[0].mean(0) - found, np.log(10), atol=1e-9
    )


def test_raw_recordings_become_windows(tmp_path):
    write_raw(tmp_path, people=[1, 2])
    write_features(tmp_path, people=[1, 2], rows=np.r_[np.full(31, 3), 2])
    data = helo.load("dmer", tmp_path, form="raw")
    assert data.layout.shapes == {"eeg": (18, 5), "gsr": (1, 5), "ppg": (1, 4), "video": (1, 768)}
    assert len(data) == 2 * 32 * 3 and data.masks["ppg"].all()
    assert abs(data.signals["ppg"][:, 0, 0] - 72).max() < 3  # the pulse of 1.2 Hz in beats a minute
    video = helo.load("dmer", tmp_path).signals["video"]
    assert (data.signals["video"][1] == video[1]).all()
    # the last clip has a row less in Features: its last window has no face
    assert data.trials[~data.masks["video"][:, 0]].tolist() == ["clip 31"] * 2
    write_panas(tmp_path, [1, 2], order=lambda who: np.random.default_rng(who).permutation(CLIPS))
    panas = helo.load("dmer", tmp_path, form="raw", labels="panas", faces="none", cache=False)
    assert (panas.distributions == data.distributions).all() and "video" not in panas.signals


def test_a_person_without_skin_conductance_and_pulse_is_masked(tmp_path):
    def take(content):
        content["gsr_datas"] = content["ppg_datas"] = np.zeros((0, 0))

    write_raw(tmp_path, people=[1])
    write_raw(tmp_path, people=[2], change=take, time_row=False)
    data = helo.load("dmer", tmp_path, form="raw", faces="none", cache=False)
    assert (data.masks["gsr"][:, 0] == (data.subjects == "1")).all() and data.masks["eeg"].all()


def drop(name):
    return lambda content: content.pop(name)


@pytest.mark.parametrize(
    "change, message",
    [
        (drop("feas"), "'feas' is missing"),
        (drop("vids"), "'vids' is missing"),
        (drop("dis_label"), "'dis_label' is missing"),
        (lambda c: c.update(feas=c["feas"][:, :900]), r"'feas' has shape \(\d+, 900\); expected \(rows, 913\)"),
        (lambda c: c.update(vids=c["vids"][:-1]), "'vids' has .* entries; expected one for each"),
        (lambda c: c["vids"].__setitem__(3, 32), "'vids' is 32 at position 3; expected a clip from 0 to 31"),
        (lambda c: c["vids"].__setitem__(3, 0.5), "'vids' is 0.5 at position 3"),
        (lambda c: c["vids"].__setitem__(3, np.nan), "'vids' is NaN or Inf"),
        (lambda c: c.update(dis_label=c["dis_label"][:, :9]), r"'dis_label' has shape \(32, 9\); expected \(32, 10\)"),
        (lambda c: c.update(dis_label=0 * c["dis_label"]), "all ratings in row 0 are 0"),
        (lambda c: c.update(dis_label=-c["dis_label"]), "rating of 'inspired' in row 0"),
    ],
)
def test_broken_features_are_named(tmp_path, change, message):
    with pytest.raises(ValueError, match=message) as error:
        helo.load("dmer", write_features(tmp_path, people=[3], change=change))
    assert "3.mat" in str(error.value)


@pytest.mark.parametrize(
    "change, message",
    [
        (drop("ppg_datas"), "'ppg_datas' is missing"),
        (lambda c: c.update(eeg_datas=c["eeg_datas"][:17]), r"'eeg_datas' has shape \(17, \d+\)"),
        (lambda c: c["eeg_datas"].__setitem__((18, 0), 33), "'eeg_datas, row 19' is 33 at position 0"),
        (lambda c: c.update(fs_eeg=30), "'fs_eeg' is 30; expected samples per second, about 300"),
        (lambda c: c.update(fs_gsr=8), "clip 0 lasts .*gsr 3.5 s.*; expected the same length"),
        (lambda c: c["eeg_datas"].__setitem__((4, 9), np.nan), r"'eeg_datas' is NaN or Inf at \[4, 9\]"),
    ],
)
def test_broken_recordings_are_named(tmp_path, change, message):
    write_raw(tmp_path, people=[3], change=change)
    with pytest.raises(ValueError, match=message) as error:
        helo.load("dmer", tmp_path, form="raw", faces="none", cache=False)
    assert "datas.mat" in str(error.value)


def test_nan_in_a_row_masks_it(tmp_path):
    write_features(tmp_path, people=[1], change=lambda c: c["feas"].__setitem__((4, 12), np.nan))
    with pytest.warns(UserWarning, match=r"1\.mat: NaN or Inf in \{'eeg': 1\}"):
        data = helo.load("dmer", tmp_path)
    assert np.argwhere(~data.masks["eeg"]).tolist() == [[4, 2]] and data.masks["video"].all()


def test_missing_and_doubtful_sources(tmp_path, released):
    with pytest.raises(ValueError, match=r"holds neither Features nor Features\.zip"):
        helo.load("dmer", tmp_path)
    with pytest.raises(ValueError, match="complex; expected real numbers"):
        helo.load("dmer", released, complex_values="refuse")
    with pytest.raises(ValueError, match="band is 'fast'; expected one of"):
        helo.load("dmer", released, band="fast")
    with zipfile.ZipFile(tmp_path / "Features.zip", "w") as archive:
        for folder in ("a", "b"):
            archive.write(released / "Features" / "1.mat", f"{folder}/1.mat")
    with pytest.raises(ValueError, match=r"holds 2 files 1\.mat; expected one"):
        helo.load("dmer", tmp_path)


def test_a_changed_questionnaire_is_read_again_wherever_it_lies(tmp_path):
    write_raw(tmp_path, people=(1,))
    write_panas(tmp_path, people=(1,))
    (tmp_path / "Questionnaires").rename(tmp_path / "own")
    options = {"form": "raw", "faces": "none", "labels": "panas", "order": "clips", "panas": "own/{subject}.csv"}
    before = helo.load("dmer", tmp_path, **options)
    np.savetxt(tmp_path / "own" / "1.csv", np.tile([5, *[1] * 9], (CLIPS, 1)), fmt="%d", delimiter=",")
    os.utime(tmp_path / "own" / "1.csv", (1, 1))
    after = helo.load("dmer", tmp_path, **options)
    assert len(after) == len(before) and (after.distributions.argmax(1) == 0).all()
