import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import ROOT, random_data
from safetensors.torch import load, save

import helo
from helo import checksums
from helo.data.splits import Split
from helo.models import available
from helo.training import checkpoints
from helo.training.member import most_epochs

SMALL = {"width": 16, "heads": 2, "tokens": 4}
DATA = random_data()
SPLIT = Split("s", np.arange(20), np.arange(20, 30), np.arange(30, 40))
FIT = {"batch_size": 8, "progress": False, "patience": 50}


def new(data=DATA, **options):
    return helo.build("helo", data, seed=0, **(SMALL | options))


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_best_validation_epoch_is_kept():
    seen = {}
    model = new()
    run = helo.fit(
        model,
        DATA,
        SPLIT,
        epochs=15,
        **FIT,
        on_epoch=lambda m, row: seen.update({row["epoch"]: checkpoints.weights(m)}),
    )
    kl = [row["validation_kl"] for row in run.history]
    assert run.best_epoch == 1 + int(np.argmin(kl)) and not model.training
    assert all(
        torch.equal(x, y) for x, y in zip(seen[run.best_epoch].values(), model.state_dict().values(), strict=True)
    )
    # the history's number is the measure of the windows it names
    answer = helo.predict(model, DATA, SPLIT.validation).distributions
    assert helo.score(DATA.distributions[SPLIT.validation], answer)["kl"] == pytest.approx(min(kl), abs=1e-5)


def test_patience_stops_early():
    run = helo.fit(new(), DATA, SPLIT, epochs=200, learning_rate=1e-2, **(FIT | {"patience": 3}))
    assert len(run.history) == run.best_epoch + 3 < 200


def test_without_validation_the_last_epoch_is_kept():
    run = helo.fit(new(), DATA, Split("s", np.arange(30), np.arange(0), np.arange(30, 40)), epochs=4, **FIT)
    assert run.best_epoch == 4 and "validation_kl" not in run.history[0]


def test_training_fits_the_training_side():
    run = helo.fit(
        new(dropout=0.0),
        DATA,
        Split("s", np.arange(30), np.arange(0), np.arange(30, 40)),
        epochs=300,
        learning_rate=3e-3,
        weight_decay=0.0,
        **FIT,
    )
    assert run.history[-1]["train_kl"] < 0.1 * run.history[0]["train_kl"]


@pytest.mark.parametrize("stop", [1, 3, 6])
def test_an_interrupted_run_ends_like_an_uninterrupted_one(tmp_path, stop):
    whole = new()
    full = helo.fit(whole, DATA, SPLIT, epochs=8, **FIT)

    def interrupt(model, row):
        if row["epoch"] == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        helo.fit(new(), DATA, SPLIT, epochs=8, checkpoint=tmp_path / "c", on_epoch=interrupt, **FIT)
    assert len(checksums.read(tmp_path / "c", "helo-checkpoint", load)[0]["history"]) == stop
    torch.manual_seed(99)  # the global state must not matter
    again = new()
    rest = helo.fit(again, DATA, SPLIT, epochs=8, checkpoint=tmp_path / "c", **FIT)
    assert same(whole, again) and rest.best_epoch == full.best_epoch
    for a, b in zip(full.history, rest.history, strict=True):
        assert {k: v for k, v in a.items() if k != "seconds"} == {k: v for k, v in b.items() if k != "seconds"}


def test_a_finished_run_is_not_trained_again(tmp_path):
    helo.fit(new(), DATA, SPLIT, epochs=3, checkpoint=tmp_path / "c", **FIT)
    again = new()
    run = helo.fit(
        again, DATA, SPLIT, epochs=3, checkpoint=tmp_path / "c", on_epoch=lambda *_: pytest.fail("trained"), **FIT
    )
    assert len(run.history) == 3


def test_a_checkpoint_of_more_epochs_is_no_answer_to_fewer(tmp_path):
    helo.fit(new(), DATA, SPLIT, epochs=3, checkpoint=tmp_path / "c", **FIT)
    with pytest.raises(ValueError, match="c: holds 3 epochs; expected at most the 2 asked for"):
        helo.fit(new(), DATA, SPLIT, epochs=2, checkpoint=tmp_path / "c", **FIT)


def test_a_checkpoint_at_home_is_found_again(tmp_path, monkeypatch):
    """~ was a folder of that name when it was written, and the home when it was read."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for epochs in (1, 2):
        run = helo.fit(new(), DATA, SPLIT, epochs=epochs, checkpoint="~/c", **FIT)
    assert len(run.history) == 2 and (tmp_path / "c").exists() and not (tmp_path / "~").exists()


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    helo.fit(new(), DATA, SPLIT, epochs=1, checkpoint=tmp_path / "c", **FIT)
    with pytest.raises(ValueError, match="checkpoint of another run .*seed was 0, now 1"):
        helo.fit(new(), DATA, SPLIT, epochs=2, seed=1, checkpoint=tmp_path / "c", **FIT)
    with pytest.raises(ValueError, match="checkpoint of another run .*options was"):
        helo.fit(new(epsilon=0.3), DATA, SPLIT, epochs=2, checkpoint=tmp_path / "c", **FIT)
    with pytest.raises(ValueError, match="checkpoint of another run .*data was"):
        helo.fit(new(), random_data(seed=1), SPLIT, epochs=2, checkpoint=tmp_path / "c", **FIT)


@pytest.mark.parametrize("history", [{}, None, "", [[]]])
def test_a_history_that_is_no_list_of_epochs_is_refused(tmp_path, history):
    """An empty dictionary once passed for an empty list; found by the fuzzer."""
    path = tmp_path / "c"
    helo.fit(new(), DATA, SPLIT, epochs=1, checkpoint=path, **FIT)
    about, tensors = checksums.read(path, "helo-checkpoint", load)
    checksums.write(path, "helo-checkpoint", about | {"history": history, "best_epoch": 0}, tensors, save)
    with pytest.raises(ValueError, match="damaged checkpoint"):
        helo.fit(new(), DATA, SPLIT, epochs=2, checkpoint=path, **FIT)


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "c"
    helo.fit(new(), DATA, SPLIT, epochs=1, checkpoint=path, **FIT)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        helo.fit(new(), DATA, SPLIT, epochs=2, checkpoint=path, **FIT)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_a_loss_that_is_not_finite_is_named():
    with pytest.raises(FloatingPointError, match=r"helo, epoch 1: .*train_kl.* is not finite"):
        helo.fit(new(), DATA, SPLIT, epochs=3, learning_rate=1e30, **FIT)


def test_a_run_that_diverges_keeps_its_best_epoch():
    model = new()

    def break_it(model, row):
        if row["epoch"] == 2:
            with torch.no_grad():
                model.head[-1].weight.fill_(float("nan"))

    with pytest.warns(UserWarning, match="epoch 3: .* not finite; training ends with the weights of epoch [12]"):
        run = helo.fit(model, DATA, SPLIT, epochs=9, on_epoch=break_it, **FIT)
    assert len(run.history) == 2 and "is not finite" in run.fault
    assert np.isfinite(helo.predict(model, DATA).distributions).all()


def test_a_second_training_that_breaks_is_told_too():
    """With everybody, for as many epochs as were best: its last whole epoch answers."""
    heard, model = [], new()

    def count(_, row):
        heard.append(row["epoch"])

    real = helo.models.base.EmotionModel.losses

    def breaks(self, prediction, truth):
        steps.append(1)
        terms = real(self, prediction, truth)
        return {name: term * float("nan") if len(steps) > first else term for name, term in terms.items()}

    steps, first = [], 10**9
    run = helo.fit(model, DATA, SPLIT, epochs=4, refit=True, on_epoch=count, **FIT)
    each, whole = -(-len(SPLIT.train) // 8), -(-len(SPLIT.seen) // 8)
    assert run.fault == "" and run.best_epoch > 1, "the second training has epochs to break in"
    first, steps = len(heard) * each + whole, []
    with pytest.MonkeyPatch.context() as patch, pytest.warns(UserWarning, match="ends with the weights of epoch 1"):
        patch.setattr(helo.models.base.EmotionModel, "losses", breaks)
        run = helo.fit(helo.build("early", DATA, seed=0), DATA, SPLIT, epochs=4, refit=True, **FIT)
    assert "not finite" in run.fault and run.best_epoch == 1


def test_prediction_follows_the_index_and_not_the_batch_size():
    model = new()
    helo.fit(model, DATA, SPLIT, epochs=1, **FIT)
    index = np.array([5, 3, 30, 3])
    whole = helo.predict(model, DATA)
    some = helo.predict(model, DATA, index, batch_size=3)
    np.testing.assert_allclose(some.distributions, whole.distributions[index], atol=1e-6)
    np.testing.assert_allclose(some.plans, whole.plans[index], atol=1e-6)
    assert some.plans.shape == some.costs.shape == (4, 12, 12) and set(some.attention) == set(whole.attention)
    for nobody in ([], np.zeros(len(DATA), bool)):
        with pytest.raises(ValueError, match="index is empty"):
            helo.predict(model, DATA, nobody)
    chosen = DATA.subjects == DATA.subjects[-1]
    masked = helo.predict(model, DATA, chosen, batch_size=3)  # a mask is all the windows', whatever the batches
    np.testing.assert_allclose(masked.distributions, whole.distributions[chosen], atol=1e-6)
    with pytest.raises(ValueError, match=r"index is a mask of shape \(3,\); expected \(40,\)"):
        helo.predict(model, DATA, [True, False, True])


def test_one_modality_can_be_left_out_by_its_name():
    model = new()
    helo.fit(model, DATA, SPLIT, epochs=1, **FIT)
    name = next(iter(DATA.signals))
    one, several = (helo.predict(model, DATA, without=without).distributions for without in (name, [name]))
    np.testing.assert_array_equal(one, several)


def test_other_data_is_refused():
    model = new()
    with pytest.raises(
        ValueError, match=r"modalities are \['eda', 'face'\]; the model takes \['eeg', 'eda', 'ppg', 'face'\]"
    ):
        helo.predict(model, random_data(shapes={"eda": (1, 4), "face": (1, 7)}))
    with pytest.raises(ValueError, match="emotions are"):
        helo.predict(model, random_data(emotions=6))
    with pytest.raises(ValueError, match=r"'eeg' has \(tokens, features\) \(6, 2\); the model takes \(6, 3\)"):
        helo.fit(model, random_data(shapes={"eeg": (6, 2), "eda": (1, 4), "ppg": (1, 5), "face": (1, 7)}), SPLIT)


def test_more_real_tokens_than_the_model_knows_are_refused():
    model = helo.build("helo", DATA, seed=0, **SMALL)
    more = random_data(shapes={"eeg": (8, 3), "eda": (1, 4), "ppg": (1, 5), "face": (1, 7)})
    with pytest.raises(ValueError, match=r"'eeg' has \(tokens, features\) \(8, 3\); the model takes \(6, 3\)"):
        helo.predict(model, more)
    mask = np.ones((40, 8), bool)
    mask[:, 6:] = False
    padded = random_data(shapes={"eeg": (8, 3), "eda": (1, 4), "ppg": (1, 5), "face": (1, 7)}, masks={"eeg": mask})
    assert len(helo.predict(model, padded).distributions) == 40


def test_a_trained_model_goes_on_from_its_weights(tmp_path):
    model = new()
    helo.fit(model, DATA, SPLIT, epochs=2, checkpoint=tmp_path / "c", **FIT)
    before = checkpoints.weights(model)
    helo.fit(model, DATA, SPLIT, epochs=1, learning_rate=1e-12, weight_decay=0.0, **FIT)
    torch.testing.assert_close(checkpoints.weights(model), before, atol=1e-6, rtol=1e-4)
    run = helo.fit(model, DATA, SPLIT, epochs=4, checkpoint=tmp_path / "c", **FIT)
    whole = new()
    helo.fit(whole, DATA, SPLIT, epochs=4, **FIT)
    assert len(run.history) == 4 and same(whole, model)


@pytest.mark.parametrize("argument", ["epochs", "batch_size", "patience"])
def test_bad_arguments(argument):
    with pytest.raises(ValueError, match=f"{argument} is 0; expected at least 1"):
        helo.fit(new(), DATA, SPLIT, **(FIT | {argument: 0}))
    with pytest.raises(ValueError, match=f"{argument} is 1.5; expected at least 1, and whole"):
        helo.fit(new(), DATA, SPLIT, **(FIT | {argument: 1.5}))


def test_numpy_s_whole_numbers_are_taken():
    run = helo.fit(new(), DATA, SPLIT, **(FIT | {"epochs": np.int64(2), "batch_size": np.int64(8)}))
    assert len(run.history) == 2
    run = helo.fit(new(), DATA, SPLIT, **(FIT | {"epochs": 3.0, "patience": np.inf}))
    assert len(run.history) == 3


def test_loading_what_is_no_model(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        helo.load_model(tmp_path / "none")
    (tmp_path / "junk").write_bytes(b"junk" * 100)
    with pytest.raises(ValueError, match="junk: not a helo file"):
        helo.load_model(tmp_path / "junk")
    helo.fit(new(), DATA, SPLIT, epochs=1, checkpoint=tmp_path / "c", **FIT)
    with pytest.raises(ValueError, match="c: not a helo file"):
        helo.load_model(tmp_path / "c")
    helo.save(new(), tmp_path / "m")
    (tmp_path / "m").write_bytes((tmp_path / "m").read_bytes()[:-50])
    with pytest.raises(ValueError, match="m: not a helo file"):
        helo.load_model(tmp_path / "m")
    unknown = new()
    unknown.name = "halo"
    helo.save(unknown, tmp_path / "u")
    with pytest.raises(ValueError, match="u: .*unknown model 'halo'"):
        helo.load_model(tmp_path / "u")
    with pytest.raises(ValueError, match="m2: no such file"):
        helo.load_model(tmp_path / "m2")


def test_features_are_scaled_by_the_training_windows():
    model = new()
    model.prepare(DATA, SPLIT)
    x = DATA.signals["face"][SPLIT.train].reshape(-1, 7)
    np.testing.assert_allclose(model.mean_3, x.mean(0), atol=1e-6)
    scaled = helo.build("helo", DATA, seed=0, **SMALL)
    big = random_data(signals={m: 1000 * v + 7 for m, v in DATA.signals.items()})
    a, b = new(), scaled
    helo.fit(a, DATA, SPLIT, epochs=2, **FIT)
    helo.fit(b, big, SPLIT, epochs=2, **FIT)
    np.testing.assert_allclose(helo.predict(a, DATA).distributions, helo.predict(b, big).distributions, atol=1e-3)


def hurt(where, value=np.nan):
    """Data whose arrays were changed after they were checked."""
    data = random_data()
    data.signals["eda"].setflags(write=True)
    data.signals["eda"][where, 0, 2] = value
    return data


def test_nan_in_an_input_stops_the_first_step_and_is_named():
    with pytest.raises(FloatingPointError, match=r"random: modality 'eda' of window 7 holds NaN or Inf"):
        helo.fit(new(), hurt(7), SPLIT, epochs=3, **FIT)
    helo.fit(new(), hurt(33), SPLIT, epochs=1, **FIT)  # the test side is not looked at
    with pytest.raises(
        FloatingPointError, match=r"helo: the answer to window 33 is NaN \(modality 'eda' of window 33 holds NaN"
    ):
        helo.predict(new(), hurt(33))
    assert len(helo.predict(new(), hurt(33), np.arange(30)).distributions) == 30


def test_an_input_too_large_to_compute_with_is_named():
    model = new()
    model.prepare(DATA, SPLIT)
    model.prepared.fill_(True)
    with pytest.raises(FloatingPointError, match=r"largest in modality 'eda', window 7: .*e\+"):
        helo.fit(model, hurt(7, 3e38), SPLIT, epochs=3, **FIT)


def test_a_gradient_that_is_not_finite_is_named():
    model = new()
    model.head[-1].weight.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(
        FloatingPointError, match=r"epoch 1: gradient of head.*weight.* of step 1 \(all inputs.*is not finite"
    ):
        helo.fit(model, DATA, SPLIT, epochs=3, **FIT)


SCRIPT = """
import hashlib, json, sys
import helo
from test_training import SPLIT, random_data
data = random_data(conditions=["x", "y"] * 20)
digests = {}
for name in helo.models.available():
    model = helo.build(name, data, seed=3)
    helo.fit(model, data, SPLIT, epochs=2, batch_size=8, seed=5, progress=False)
    key = hashlib.sha256()
    for weight in model.state_dict().values():
        key.update(weight.numpy().tobytes())
    digests[name] = key.hexdigest()
print(json.dumps(digests))
"""


def test_every_system_is_bit_identical_in_another_process():
    """Same seed, same machine; other hashes of text, other addresses, another history of the process."""
    runs = []
    for hash_seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT], capture_output=True, text=True, env=environment, check=True
        )
        runs.append(json.loads(done.stdout))
    assert runs[0] == runs[1] and set(runs[0]) == set(available())


def test_refit_is_a_training_with_everybody_for_the_best_number_of_epochs(simulated, tmp_path):
    split = helo.splits.by_subject(simulated, folds=3)[0]
    settings = {"batch_size": 16, "learning_rate": 2e-3, "patience": 3, "progress": False}
    again = helo.fit(
        model := helo.build("early", simulated),
        simulated,
        split,
        epochs=12,
        refit=True,
        checkpoint=tmp_path / "c.safetensors",
        **settings,
    )
    stopped = helo.fit(helo.build("early", simulated), simulated, split, epochs=12, **settings)
    everybody = helo.splits.Split("all", np.union1d(split.train, split.validation), split.validation[:0], split.test)
    by_hand = helo.fit(helo.build("early", simulated), simulated, everybody, epochs=stopped.best_epoch, **settings)
    assert again.model is model and not model.training and again.best_epoch == stopped.best_epoch
    assert [row["validation_kl"] for row in again.history] == [row["validation_kl"] for row in stopped.history]
    for a, b in zip(*(r.model.state_dict().values() for r in (again, by_hand)), strict=True):
        assert torch.equal(a, b)
    assert not all(torch.equal(a, b) for a, b in zip(model.parameters(), stopped.model.parameters(), strict=True))
    # from the checkpoints: the same
    resumed = helo.fit(
        helo.build("early", simulated),
        simulated,
        split,
        epochs=12,
        refit=True,
        checkpoint=tmp_path / "c.safetensors",
        **settings,
    )
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), resumed.model.parameters(), strict=True))


def test_where_windows_are_few_epochs_are_counted_by_steps():
    """At one step an epoch 100 epochs cut a training short; by default it goes on until it no longer gets better."""
    data = helo.load("pairing", subjects=4, windows=50)
    split = helo.splits.by_subject(data, folds=4)[0]
    runs = [
        helo.fit(helo.build("early", data, seed=0), data, split, progress=False, **asked)
        for asked in ({"epochs": 100}, {})
    ]
    assert [run.capped for run in runs] == [True, False] and len(runs[1].history) > 100
    lowest = [min(row["validation_kl"] for row in run.history) for run in runs]
    assert lowest[1] < 0.95 * lowest[0], lowest
    cut = [{k: row[k] for k in row if k != "seconds"} for row in runs[0].history]
    assert cut == [{k: row[k] for k in row if k != "seconds"} for row in runs[1].history[:100]], "nothing else differs"


def test_epochs_that_nobody_names():
    many, few, alone = (
        Split("fold", np.arange(n), np.arange(v), np.arange(3)) for n, v in ((2560, 9), (130, 9), (130, 0))
    )
    assert [most_epochs(split, 128) for split in (many, few, alone)] == [100, 1000, 100]
