"""Files that tell when they are damaged: models, checkpoints, shipped models."""

import json
import os
import shutil
import stat
import struct
import warnings

import numpy as np
import pytest
import torch
from conftest import random_data
from safetensors.numpy import load as numpy_load
from safetensors.numpy import save as numpy_save
from safetensors.torch import save_file

import helo
from helo import checksums
from helo.data.splits import Split
from helo.training.pretrained import FOLDER, fit_or_open

DATA = random_data()
SPLIT = Split("s", np.arange(20), np.arange(20, 30), np.arange(30, 40))
FIT = {"batch_size": 8, "progress": False, "epochs": 1}


def damaged(content, rng):
    """One bit, some bytes, a stretch of zeros, a piece lost, a piece from elsewhere, an end cut off."""
    broken, kind, at = bytearray(content), rng.integers(6), int(rng.integers(len(content)))
    size = int(rng.integers(1, 200))
    if kind == 0:
        broken[at] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        for place in rng.integers(len(content), size=5):
            broken[place] = int(rng.integers(256))
    elif kind == 2:
        broken[at : at + size] = bytes(len(broken[at : at + size]))
    elif kind == 3:
        del broken[at : at + size]
    elif kind == 4:
        other = int(rng.integers(len(content)))
        broken[at : at + size] = content[other : other + len(broken[at : at + size])]
    else:
        del broken[at:]
    return bytes(broken)


def in_the_header(content, rng):
    """One bit of what the file says of itself: names, types, places, options, history, the checksum."""
    broken = bytearray(content)
    broken[int(rng.integers(8 + struct.unpack("<Q", content[:8])[0]))] ^= 1 << int(rng.integers(8))
    return bytes(broken)


def model_file(folder):
    helo.save(helo.build("early", DATA, width=16), folder / "m")
    return folder / "m", helo.load_model


def checkpoint_file(folder):
    new = lambda: helo.build("early", DATA, width=16)  # noqa: E731
    helo.fit(new(), DATA, SPLIT, checkpoint=folder / "c", **FIT)
    return folder / "c", lambda file: helo.fit(new(), DATA, SPLIT, checkpoint=file, **FIT)


@pytest.mark.filterwarnings("ignore:.*cap of 1 epochs")
@pytest.mark.parametrize("kind", [model_file, checkpoint_file])
def test_of_300_damaged_files_none_loads(kind, tmp_path):
    file, load = kind(tmp_path)
    load(file)
    content, rng = file.read_bytes(), np.random.default_rng(0)
    for k in range(300):
        broken = (in_the_header if k % 3 == 0 else damaged)(content, rng)
        if broken == content:
            continue
        file.write_bytes(broken)
        with pytest.raises(ValueError, match=f"^{file}: not a helo") as error:
            load(file)
        assert len(str(error.value)) < 2000
    file.write_bytes(content)
    load(file)


def test_a_damaged_shipped_model_is_trained_anew_and_says_why(tmp_path):
    data = helo.load("matching", seed=0, subjects=8, windows=300)
    split = helo.splits.by_subject(data, folds=4)[0]
    training = {"epochs": 25, "learning_rate": 1e-3, "weight_decay": 1e-4, "batch_size": 64, "seed": 0}
    shutil.copy(FOLDER / "matching-early.safetensors", file := tmp_path / "matching-early.safetensors")
    build = lambda: helo.build("early", data, seed=0)  # noqa: E731
    assert fit_or_open(build(), data, split, folder=tmp_path, **training).told.startswith("opened ")
    content = bytearray(file.read_bytes())
    content[-5] ^= 16  # a number among the weights
    file.write_bytes(content)
    stop = {"on_epoch": lambda *_: True}
    told = fit_or_open(build(), data, split, folder=tmp_path, progress=False, **training, **stop).told
    assert told.startswith("trained here (") and "matching-early.safetensors: not a helo-pretrained file" in told
    assert "damaged" in told


@pytest.mark.filterwarnings("ignore:.*cap of 1 epochs")
def test_they_are_their_owners_alone(tmp_path):
    old = os.umask(0)
    try:
        for kind in (model_file, checkpoint_file):
            file, _ = kind(tmp_path)
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
        kept = {"train": True, "keep": tmp_path, **FIT}
        fit_or_open(helo.build("early", DATA, width=16), DATA, SPLIT, **kept)
        assert stat.S_IMODE((tmp_path / "random-early.safetensors").stat().st_mode) == 0o600
    finally:
        os.umask(old)


def without_checksum(file, kind):
    """As files were written until November 2026."""
    content = file.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    about = json.loads(json.loads(content[8 : 8 + length])["__metadata__"][kind])
    assert about.pop("sha256")
    from safetensors.torch import load

    save_file(load(content), file, metadata={kind: json.dumps(about)})
    return about


@pytest.mark.filterwarnings("ignore:.*cap of 1 epochs")
def test_a_file_without_a_checksum(tmp_path):
    """A model's numbers may be all that is left of a training: it loads, and says so. A checkpoint is of older code."""
    file, load = model_file(tmp_path)
    before = helo.load_model(file).state_dict()
    without_checksum(file, "helo")
    with pytest.warns(UserWarning, match=f"^{file}: holds no checksum.*save it again"):
        after = load(file)
    assert all(torch.equal(before[name], x) for name, x in after.state_dict().items())
    helo.save(after, file)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(file)
    file, load = checkpoint_file(tmp_path)
    without_checksum(file, "helo-checkpoint")
    with pytest.raises(ValueError, match=f"^{file}: not a helo-checkpoint file .*no checksum"):
        load(file)


def test_a_checksum_whose_name_is_damaged_is_none_that_is_missing(tmp_path):
    file, load = model_file(tmp_path)
    content = file.read_bytes()
    file.write_bytes(content.replace(b"sha256", b"sha257", 1))
    with (
        pytest.warns(UserWarning, match="no checksum"),
        pytest.raises(ValueError, match="expected model, seed, options and layout"),
    ):
        load(file)


@pytest.mark.parametrize("name", ["~/m", "m"])
def test_a_model_is_saved_where_it_is_looked_for(name, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    helo.save(helo.build("mean", DATA), name)
    helo.load_model(name)
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_named_pipe_is_no_model(tmp_path):
    os.mkfifo(tmp_path / "m")
    with pytest.raises(ValueError, match="m: is a named pipe; expected a helo file"):
        helo.load_model(tmp_path / "m")


def test_same_numbers_same_bytes_and_what_is_known_comes_back(tmp_path):
    arrays = {f"x{k}": np.arange(k, dtype=np.float32) for k in range(1, 9)}
    about = {"names": ["0" * 64, "sha256"], "more": {"a": 1.5}}
    for name in "ab":
        checksums.write(tmp_path / name, "kind", about, arrays, numpy_save)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    told, found = checksums.read(tmp_path / "a", "kind", numpy_load)
    assert told == about and all(np.array_equal(found[k], x) for k, x in arrays.items()) and set(found) == set(arrays)
    with pytest.raises(ValueError, match="not a other file"):
        checksums.read(tmp_path / "a", "other", numpy_load)


@pytest.mark.parametrize("content", [b"", b"\0" * 8, b"\xff" * 64, struct.pack("<Q", 2) + b"[]", b"{}" * 50])
def test_what_is_no_such_file_is_refused(content, tmp_path):
    (tmp_path / "m").write_bytes(content)
    with pytest.raises(ValueError, match="m: not a helo file"):
        helo.load_model(tmp_path / "m")


def test_numbers_of_numpy_are_numbers(tmp_path):
    """`for seed in np.arange(3)` trains, and is saved."""
    model = helo.build("early", helo.load("simulated"), seed=np.int64(1), width=np.int64(32), dropout=np.float32(0.5))
    helo.save(model, tmp_path / "m.safetensors")
    again = helo.load_model(tmp_path / "m.safetensors")
    assert again.options["width"] == 32 and again.options["dropout"] == 0.5
