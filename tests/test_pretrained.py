"""The models that are shipped: opened where they are what would be trained, and what today's code trains to."""

import dataclasses

import nbformat
import numpy as np
import papermill
import pytest
import torch
from conftest import ROOT

import helo
from helo.models.helo import HeLo
from helo.training.pretrained import FOLDER, fit_or_open

AGAIN = "; today's code trains to something else: run `make pretrained` and commit helo/pretrained/"
SHORT = {"learning_rate": 1e-3, "weight_decay": 1e-4, "batch_size": 64, "seed": 0}
#: file -> data, model, training: as notebooks 03 and 04 have them
SHIPPED = {
    "matching-helo": ("matching", {"subjects": 8, "windows": 300}, "helo", {"epochs": 25} | SHORT),
    "matching-early": ("matching", {"subjects": 8, "windows": 300}, "early", {"epochs": 25} | SHORT),
    "simulated-helo": ("simulated", {}, "helo", {"epochs": 100, "seed": 0}),
}


def prepared(file):
    study, options, name, training = SHIPPED[file]
    data = helo.load(study, seed=0, **options)
    return helo.build(name, data, seed=0), data, helo.splits.by_subject(data, folds=4)[0], training


def test_nothing_else_is_shipped_and_all_of_it_is_small():
    files = {path.stem: path.stat().st_size for path in FOLDER.iterdir()}
    assert set(files) == set(SHIPPED) and max(files.values()) < 2**20
    assert {path.suffix for path in FOLDER.iterdir()} == {".safetensors"}


@pytest.mark.parametrize("file", SHIPPED)
def test_what_is_shipped_is_what_todays_code_trains_to(file):
    """Data, first weights and training: the first epochs are the same; model: so is the best epoch's answer."""
    model, data, split, training = prepared(file)
    opened = fit_or_open(model, data, split, **training)
    assert opened.told.startswith("opened "), opened.told + AGAIN
    run = opened.run
    said = helo.predict(model, data, split.validation).distributions
    kl = helo.score(data.distributions[split.validation], said)["kl"]
    assert np.isclose(kl, run.history[run.best_epoch - 1]["validation_kl"], rtol=1e-3), file + AGAIN
    fresh, *_ = prepared(file)
    with pytest.warns(UserWarning, match="cap of 2 epochs"):
        again = helo.fit(fresh, data, split, **training | {"epochs": 2}, progress=False)
    for now, before in zip(again.history, run.history, strict=False):
        for name in set(now) - {"epoch", "seconds"}:
            assert np.isclose(now[name], before[name], rtol=1e-3), f"{file}, {name}{AGAIN}"


def test_the_learned_correlation_of_every_epoch_is_shipped():
    model, data, split, training = prepared("simulated-helo")
    opened = fit_or_open(model, data, split, watch=HeLo.learned_correlation, **training)
    history, watched = opened.run.history, opened.watched
    assert watched.shape == (len(history), len(data.emotions), len(data.emotions))
    assert np.allclose(watched[opened.run.best_epoch - 1], model.learned_correlation().detach(), atol=1e-5)
    gaps = ((watched - model.target_correlation.numpy()) ** 2).mean((1, 2))
    trained = [row["train_correlation"] for row in history]  # the mean over an epoch, the snapshot stands at its end
    assert np.corrcoef(gaps, trained)[0, 1] > 0.9


@pytest.fixture
def small(simulated, tmp_path):
    """A model that was trained and kept in a folder, and how."""
    split = helo.splits.by_subject(simulated, folds=3)[0]
    training = {"epochs": 3, "patience": 2, "seed": 1, "progress": False}
    kept = fit_or_open(
        helo.build("early", simulated, seed=1), simulated, split, train=True, keep=tmp_path, watch=bias, **training
    )
    assert kept.told.startswith("trained here (asked for): ") and (tmp_path / "simulated-early.safetensors").exists()
    return simulated, split, training | {"folder": tmp_path, "watch": bias}, kept


def bias(model):
    return next(p for name, p in model.named_parameters() if name.endswith("bias"))


def test_what_was_kept_is_opened_with_its_history(small):
    data, split, training, kept = small
    opened = fit_or_open(helo.build("early", data, seed=1), data, split, **training)
    assert opened.told.startswith(f"opened {training['folder'].name}/simulated-early.safetensors: trained 20")
    assert f"{len(kept.run.history)} epochs, the best {kept.run.best_epoch}" in opened.told
    assert opened.run.history == kept.run.history and opened.run.best_epoch == kept.run.best_epoch
    for a, b in zip(kept.run.model.state_dict().values(), opened.run.model.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert np.array_equal(opened.watched, kept.watched) and len(kept.watched) == len(kept.run.history)
    assert not opened.run.model.training


@pytest.mark.parametrize(
    "changed, why",
    [
        ({"epochs": 2}, "epochs 3, here 2"),
        ({"learning_rate": 1e-4}, "learning_rate 0.0003, here 0.0001"),
        ({"seed": 2}, "seed 1, here 2"),
        ({"train": True}, "asked for"),
    ],
)
def test_other_settings_are_trained(small, changed, why):
    data, split, training, _ = small
    told = fit_or_open(helo.build("early", data, seed=1), data, split, **training | changed).told
    assert told.startswith("trained here (") and why in told


def test_another_model_is_trained(small):
    data, split, training, _ = small
    for model, why in (
        (helo.build("early", data, seed=1, width=16), "options"),
        (helo.build("early", data, seed=2), "first seed 1, here 2"),
        (helo.build("late", data, seed=1), "there is no simulated-late.safetensors"),
    ):
        assert why in fit_or_open(model, data, split, **training).told


def test_other_data_of_the_same_shape_are_trained(small):
    data, split, training, _ = small
    signals = {m: x * (1.05 if m == "eda" else 1) for m, x in data.signals.items()}
    other = dataclasses.replace(data, signals=signals)
    assert "trained on other data" in fit_or_open(helo.build("early", other, seed=1), other, split, **training).told
    shares = np.roll(data.distributions, 1, axis=1)
    other = dataclasses.replace(data, distributions=shares)
    assert "trained on other data" in fit_or_open(helo.build("early", other, seed=1), other, split, **training).told
    one, two = helo.splits.by_subject(data, folds=3)[:2]
    swapped = dataclasses.replace(two, name=one.name)
    assert "trained here" in fit_or_open(helo.build("early", data, seed=1), data, swapped, **training).told


def test_the_last_digits_of_another_machine_do_not_matter(small):
    data, split, training, _ = small
    signals = {m: x * np.float32(1 + 1e-6) for m, x in data.signals.items()}
    other = dataclasses.replace(data, signals=signals)
    assert fit_or_open(helo.build("early", other, seed=1), other, split, **training).told.startswith("opened")


def test_nothing_is_written_but_what_was_asked_for(simulated, tmp_path):
    split = helo.splits.by_subject(simulated, folds=3)[0]
    fit_or_open(helo.build("early", simulated), simulated, split, keep=tmp_path, epochs=1, progress=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name, files",
    [("03_transport", ["matching-helo", "matching-early", "simulated-helo"]), ("04_correlation", ["simulated-helo"])],
)
def test_the_notebooks_open_it_and_say_so(name, files, tmp_path):
    """Their cells up to the last that opens a model, without those in between that show or measure."""
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    notebook.cells = [c for k, c in enumerate(code) if k < 2 or "fit_or_open(" in c.source]
    nbformat.write(notebook, tmp_path / "in.ipynb")
    papermill.execute_notebook(str(tmp_path / "in.ipynb"), str(tmp_path / "out.ipynb"), progress_bar=False)
    cells = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells
    told = "".join(o.get("text", "") for cell in cells for o in cell.outputs)
    opened = [line for line in told.splitlines() if line.startswith("opened ")]
    assert [line.split(": trained 20")[0] for line in opened] == [f"opened pretrained/{f}.safetensors" for f in files]
