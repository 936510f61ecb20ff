"""Several models trained as one end as each would have alone."""

import dataclasses

import numpy as np
import pytest
import torch

import helo
from helo.data.splits import Split
from helo.models import available, build
from helo.training import loop
from helo.training.stacking import Stack, fit_together

FAST = {"epochs": 3, "batch_size": 20, "learning_rate": 1e-3, "progress": False}


@pytest.fixture(autouse=True)
def double_precision():
    """In float32 some systems magnify the last digit's rounding; in float64 a fault cannot hide behind that."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture(scope="module")
def study():
    data = helo.load("simulated", subjects=6, clips=5, seconds=48, seed=0)
    signals = {m: x.astype(np.float64) for m, x in data.signals.items()}
    data = dataclasses.replace(data, signals=signals, distributions=data.distributions.astype(np.float64))
    # training and validation sides of different sizes, so that batches are padded and one model has fewer steps
    splits = [
        Split(s.name, s.train[: len(s.train) - 9 * k], s.validation[2 * k :], s.test)
        for k, s in enumerate(helo.splits.by_subject(data, 3))
    ]
    return data, splits


def both_ways(data, splits, name, seeds=(0, 1), options=None, **training):
    jobs = [(split, seeds[0]) for split in splits] + [(splits[0], seed) for seed in seeds[1:]]
    models = [[build(name, data, seed=seed, **options or {}) for _, seed in jobs] for _ in range(2)]
    training = FAST | training
    alone = [helo.fit(m, data, s, seed=seed, **training) for m, (s, seed) in zip(models[0], jobs, strict=True)]
    together = fit_together(models[1], data, [s for s, _ in jobs], seeds=[seed for _, seed in jobs], **training)
    return alone, together


def stackable(data):
    return [name for name in available() if build(name, data).stackable]


def check(data, alone, together):
    for one, other in zip(alone, together, strict=True):
        assert one.best_epoch == other.best_epoch
        assert len(one.history) == len(other.history)
        for mine, its in zip(one.history, other.history, strict=True):
            assert mine.keys() == its.keys()
            for name in mine.keys() - {"seconds"}:
                assert mine[name] == pytest.approx(its[name], abs=1e-11), name
        a, b = (helo.predict(run.model, data).distributions for run in (one, other))
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", stackable(helo.load("pairing")))
def test_as_one_after_another(study, name):
    data, splits = study
    check(data, *both_ways(data, splits, name))


def test_early_stopping_of_each_refit_and_centred_people(study):
    data, splits = study
    alone, together = both_ways(
        data,
        splits,
        "helo",
        options={"width": 32, "transport_weight": 0.1, "dropkey": 0.1, "input_dropout": 0.3},
        epochs=8,
        patience=2,
        learning_rate=3e-3,
        refit=True,
        centre_people=True,
    )
    assert len({run.best_epoch for run in together}) > 1, "the models shall stop at different epochs here"
    check(data, alone, together)


def test_without_validation_windows(study):
    data, splits = study
    splits = [Split(s.name, s.train, s.validation[:0], s.test) for s in splits]
    check(data, *both_ways(data, splits, "early"))


def test_a_model_beside_it_changes_nothing(study):
    data, splits = study
    (first, *_), few = (
        fit_together([build("helo", data, seed=k) for k in range(n)], data, splits[:1] * n, seeds=range(n), **FAST)
        for n in (3, 1)
    )
    a, b = (helo.predict(run.model, data).distributions for run in (first, few[0]))
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-11)


def test_which_systems_can_be_stacked(study):
    names = set(stackable(study[0]))
    assert {"helo", "helo-no-ot", "early", "gban", "jmt", "aimdit"} <= names
    assert not names & {"foalnet", "mpt-hcl", "m2fnet", "connection", "helo-gromov", "helo-release", "ridge"}


@pytest.mark.parametrize(
    ("models", "message"),
    [
        (["helo", "early"], "one stackable kind"),
        (["helo", "helo-no-ot"], "one stackable kind"),
        (["foalnet", "foalnet"], "one stackable kind"),
        (["helo"], "1 models, 2 splits, 2 seeds"),
    ],
)
def test_what_cannot_be_stacked_is_refused(study, models, message):
    data, splits = study
    with pytest.raises(ValueError, match=message):
        fit_together([build(name, data) for name in models], data, splits[:2], seeds=[0, 0])


def test_the_checks_of_fit(study):
    data, splits = study
    nothing = Split("nothing", splits[0].train[:0], splits[0].validation, splits[0].test)
    for change, message in (
        ({"epochs": 0}, "epochs is 0"),
        ({"patience": 0}, "patience is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
    ):
        with pytest.raises(ValueError, match=message):
            fit_together([build("early", data)], data, splits[:1], seeds=[0], **FAST | change)
    with pytest.raises(ValueError, match="'nothing' has no training windows"):
        fit_together([build("early", data) for _ in range(2)], data, [splits[0], nothing], seeds=[0, 0], **FAST)
    (run,) = fit_together([build("early", data)], data, splits[:1], seeds=[0], **FAST)
    assert all(p.grad is None and p.untyped_storage().nbytes() == p.nbytes for p in run.model.parameters())
    with pytest.raises(ValueError, match="expected untrained ones"):
        fit_together([run.model], data, splits[:1], seeds=[0], **FAST)


def test_a_loss_that_is_no_number_is_told_as_fit_tells_it(study):
    data, splits = study
    heavy = [build("helo", data) for _ in range(2)]
    with torch.no_grad():
        heavy[1].seeds.fill_(float("inf"))
    with pytest.raises(FloatingPointError, match="helo, epoch 1: .*is not finite"):
        fit_together(heavy, data, splits[:2], seeds=[0, 0], **FAST)


def test_a_model_that_breaks_later_is_trained_alone(study, monkeypatch):
    data, splits = study
    whole = loop._epoch

    def breaks(engine):
        whole(engine)
        if isinstance(engine, Stack):
            engine.members[0].fault = "a weight is not finite"

    alone, _ = both_ways(data, splits[:2], "early", seeds=(0,))
    monkeypatch.setattr(loop, "_epoch", breaks)
    check(data, alone, both_ways(data, splits[:2], "early", seeds=(0,))[1])


LONG = {"epochs": 8, "patience": 2, "learning_rate": 1e-2, "refit": True, "centre_people": True}


def early(data, n):
    return [build("early", data, seed=k) for k in range(n)]


@pytest.mark.parametrize("calls", [1, 4, 6, 11])
def test_an_interrupted_stack_ends_like_an_uninterrupted_one(study, tmp_path, calls):
    """Also where the first models have written their epoch and the others have not."""
    data, splits = study
    files, heard = [tmp_path / f"{k}" for k in range(3)], []
    whole = fit_together(early(data, 3), data, splits, seeds=range(3), **FAST | LONG)
    assert len({run.best_epoch for run in whole}) > 1, "the models shall stop at different epochs here"

    def stop(model, row):
        heard.append(row["epoch"])
        if len(heard) == calls:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_together(early(data, 3), data, splits, seeds=range(3), checkpoint=files, on_epoch=stop, **FAST | LONG)
    torch.manual_seed(99)  # the global state must not matter
    rest = fit_together(early(data, 3), data, splits, seeds=range(3), checkpoint=files, **FAST | LONG)
    check(data, whole, rest)
    # finished: nothing is trained again, nor by `fit`, whose files are the same
    never = {"on_epoch": lambda *_: pytest.fail("trained")}
    check(
        data,
        whole,
        fit_together(early(data, 3), data, splits, seeds=range(3), checkpoint=files, **never, **FAST | LONG),
    )
    alone = helo.fit(early(data, 2)[1], data, splits[1], seed=1, checkpoint=files[1], **never, **FAST | LONG)
    check(data, whole[1:2], [alone])


def test_on_epoch_sees_each_model_as_it_is_and_stops_that_one(study):
    data, splits = study
    alone, stacked = {}, {}

    def note(seen):
        def on_epoch(model, row):
            answer = helo.predict(model, data, splits[0].test, explain=False).distributions
            seen[model.seed, row["epoch"]] = answer, row["validation_kl"]
            return model.seed == 1 and row["epoch"] == 2

        return on_epoch

    together = fit_together(early(data, 3), data, splits, seeds=range(3), on_epoch=note(stacked), **FAST)
    runs = [
        helo.fit(model, data, split, seed=k, on_epoch=note(alone), **FAST)
        for k, (model, split) in enumerate(zip(early(data, 3), splits, strict=True))
    ]
    assert [len(run.history) for run in together] == [3, 2, 3]
    check(data, runs, together)
    assert alone.keys() == stacked.keys()
    for key, (answer, kl) in alone.items():
        np.testing.assert_allclose(answer, stacked[key][0], rtol=0, atol=1e-11)
        assert kl == pytest.approx(stacked[key][1], abs=1e-11)


def test_a_model_that_is_broken_on_the_way_says_so_and_leaves_the_others_alone(study, tmp_path):
    data, splits = study
    whole = fit_together(early(data, 3), data, splits, seeds=range(3), **FAST)

    def break_it(model, row):
        if model.seed == 1 and row["epoch"] == 2:
            with torch.no_grad():
                model.head[-1].weight.fill_(float("nan"))

    with pytest.warns(UserWarning, match="early, epoch 3: .*train_kl.* not finite; training ends with .* epoch [12]"):
        runs = fit_together(early(data, 3), data, splits, seeds=range(3), on_epoch=break_it, **FAST)
    check(data, whole[::2], runs[::2])
    assert len(runs[1].history) == 2 and np.isfinite(helo.predict(runs[1].model, data).distributions).all()


def test_weights_that_are_none_are_found_without_validation_windows(study):
    """The last step of an epoch can break what its losses did not show."""
    data, splits = study
    splits = [Split(s.name, s.train, s.validation[:0], s.test) for s in splits]
    with pytest.raises(FloatingPointError, match="early, epoch 1"):
        fit_together(
            early(data, 2), data, splits[:2], seeds=[0, 1], **FAST | {"batch_size": 500, "learning_rate": 1e309}
        )


def test_as_many_files_as_models(study, tmp_path):
    data, splits = study
    for files, told in (([tmp_path / "a"], "1 checkpoints"), ("ab", "2 checkpoints"), (tmp_path, "1 checkpoints")):
        with pytest.raises(ValueError, match=f"2 models, 2 splits, 2 seeds, {told}; expected as many of each"):
            fit_together(early(data, 2), data, splits[:2], seeds=[0, 1], checkpoint=files, **FAST)
