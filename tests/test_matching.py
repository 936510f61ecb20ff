"""The control study of the matching, and what HeLo's parts do there: tests of effect, not of shapes."""

import numpy as np
import pytest
import torch

import helo

TRAINING = {"epochs": 25, "batch_size": 64, "learning_rate": 1e-3, "weight_decay": 1e-4, "progress": False}
SMALL = {"width": 64, "dropout": 0.3}


def emotions(data):
    """The emotion of every face token's moment, by the truth: body and face signs added modulo 4."""
    body, face = (data.signals[m][..., -4:].argmax(2) for m in ("body", "face"))
    return (np.take_along_axis(body, data.truth["coupling"].argmax(1), 1) + face) % 4


@pytest.mark.parametrize(
    "options", [{}, {"moments": 5, "lag": True}, {"missing": True}, {"missing": True, "lag": True}]
)
def test_the_true_matching_says_it_all(options):
    data = helo.load("matching", subjects=2, windows=200, noise=0.0, **options)
    coupling = data.truth["coupling"]
    np.testing.assert_allclose(coupling.sum((1, 2)), 1, atol=1e-6)
    assert ((coupling > 0).sum(1) <= 1).all() and ((coupling > 0).sum(2) <= 1).all()
    matched = coupling.any(1)
    assert (matched.sum(1) == data.signals["face"].shape[1] - options.get("missing", False)).all()
    share = np.stack([((emotions(data) == e) & matched).sum(1) / matched.sum(1) for e in range(4)], 1)
    np.testing.assert_allclose(data.distributions, 0.05 + 0.8 * share, atol=1e-6)
    body, face = (data.signals[m][..., :8] for m in ("body", "face"))
    n, i, j = np.nonzero(coupling)
    np.testing.assert_array_equal(body[n, i], face[n, j])


def test_missing_moments_are_masked_on_one_side():
    data = helo.load("matching", subjects=2, windows=200, missing=True)
    gone = {m: (~mask).sum(1) for m, mask in data.masks.items()}
    assert (gone["body"] + gone["face"] == 1).all() and 100 < gone["body"].sum() < 300
    assert not data.truth["coupling"][~data.masks["body"]].any()
    assert not data.truth["coupling"].swapaxes(1, 2)[~data.masks["face"]].any()


def test_a_lag_keeps_the_order_of_moments():
    order = helo.load("matching", subjects=2, windows=200, lag=True).truth["coupling"].argmax(2)
    assert ((order[:, 1:] - order[:, :-1]) % 4 == 1).all() and set(order[:, 0]) == {0, 1, 2, 3}


def test_neither_stream_alone_says_anything():
    data = helo.load("matching", subjects=2, windows=10000, noise=0.0)
    for x in data.signals.values():
        counts = x[..., -4:].sum(1)
        explained = np.linalg.lstsq(counts, data.distributions - data.distributions.mean(0), rcond=None)[0]
        assert np.abs(explained).max() < 0.01


def test_bad_arguments():
    for options in ({"subjects": 1}, {"windows": 0}, {"moments": 1}, {"moments": 2, "missing": True}, {"noise": -1}):
        with pytest.raises(ValueError, match="expected at least 2 subjects"):
            helo.load("matching", **options)


@pytest.fixture(scope="module")
def study():
    data = helo.load("matching", subjects=8, windows=300)
    return data, helo.splits.by_subject(data, folds=4)[0]


@pytest.fixture(scope="module")
def run(study):
    data, split = study
    return helo.fit(helo.build("helo", data, seed=0, **SMALL), data, split, **TRAINING)


def kl(model, study):
    data, split = study
    return helo.score(data.distributions[split.test], helo.predict(model, data, split.test).distributions)["kl"]


def test_helo_finds_the_matching_and_needs_plan_and_r(study, run):
    data, split = study
    table = helo.knockout(run.model, data, split)
    intact, without = table["kl"].iloc[0], table["kl_without"]
    assert intact < 0.02
    assert without["plan"] > 5 * intact and without["carried tokens"] > 5 * intact
    assert without["R"] > 1.3 * intact and without["compression"] > 1.3 * intact
    assert (table.loc[["plan", "R", "compression"], "worse_low"] > 0).all()
    plans = helo.predict(run.model, data, split.test).plans
    assert np.minimum(plans, data.truth["coupling"][split.test]).sum((1, 2)).mean() > 0.9


def test_an_inert_part_is_noticed(study):
    """A HeLo whose transport is fixed to u v^T has nothing to lose with its plan, and does not solve the task."""
    data, split = study
    model = helo.build("helo", data, seed=0, **SMALL)
    with model.without("plan"):
        helo.fit(model, data, split, **TRAINING | {"epochs": 10})
        blind = kl(model, study)
        table = helo.knockout(model, data, split)
    assert blind > 0.15
    assert table.loc["plan", "change"] < 1e-6 and abs(table.loc["plan", "worse"]) < 1e-6


@pytest.mark.parametrize("name", ["late", "physiological-only", "behavioral-only"])
def test_late_fusion_and_single_streams_are_at_chance(study, name):
    data, split = study
    mean = helo.build("mean", data)
    helo.fit(mean, data, split, progress=False)
    model = helo.build(name, data, seed=0)
    helo.fit(model, data, split, **TRAINING | {"epochs": 15})
    assert kl(model, study) > kl(mean, study) - 0.005


def test_plans_of_windows_with_a_missing_moment_are_plans():
    data = helo.load("matching", subjects=2, windows=20, missing=True)
    answer = helo.predict(helo.build("helo", data, **SMALL), data)
    assert torch.isfinite(torch.as_tensor(answer.distributions)).all()
    np.testing.assert_allclose(answer.plans.sum((1, 2)), 1, atol=1e-4)
    assert not answer.plans[~data.masks["body"]].any()
