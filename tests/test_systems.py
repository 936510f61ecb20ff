"""Each system's own equations, recomputed by hand."""

import numpy as np
import pytest
import torch
from conftest import as_batch, random_data

import helo
from helo.models.m2fnet import covariance

SHAPES = {"bvp": (5, 3), "eda": (4, 2), "face": (6, 3)}
DATA = random_data(shapes=SHAPES, roles={"physiological": ["bvp", "eda"], "behavioral": ["face"]})
SPLIT = helo.splits.by_subject(DATA, 4)[0]


def ready(name, **options):
    return helo.build(name, DATA, seed=0, width=8, **options).eval()


def test_lmam_asks_a_memory_with_the_rows_of_every_modality():
    model = ready("lmam", rank=3)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.3 * torch.randn(p.shape))
        streams = model.streams(*as_batch(DATA, [0]))
        found = model.fuse(streams)[0][0].chunk(3)
    for k, (memory, _) in enumerate(streams):
        m, rows = memory[0].numpy(), []
        w, b = (model.up[k].weight @ model.down[k].weight).detach().numpy(), model.up[k].bias.detach().numpy()
        answers = []
        for x, _ in streams:
            scores = np.exp(np.tanh((x[0].numpy() @ w.T + b) @ m.T))
            answers.append(scores / scores.sum(1, keepdims=True) @ m)
        for t in range(len(m)):
            o = answers[k][t] + sum(a.mean(0) for j, a in enumerate(answers) if j != k)
            rows.append(m[t] + torch.nn.functional.gelu(torch.tensor(o)).numpy())
        np.testing.assert_allclose(found[k], np.mean(rows, 0), atol=1e-5)


def test_jmt_s_cross_attentions_have_no_residual_and_b_asking_j_is_what_is_read():
    model = ready("jmt")
    batch = as_batch(DATA)
    with torch.no_grad():
        varied = model(*batch).distributions.std(0).max()
        for cross in model.cross:
            cross.out.weight.zero_()
        still = model(*batch).distributions.std(0).max()
    assert varied > 1e-4 and still < 1e-6  # what was not asked for does not pass
    asked = []
    for k, cross in enumerate(model.cross):
        cross.register_forward_hook(
            lambda _, inputs, __, k=k: asked.append((k, inputs[0].shape[1], inputs[1].shape[1]))
        )
    model(*batch)
    assert [k for k, _, _ in asked] == [0, 1, 2, 0, 2, 1]
    assert asked[-1] == (1, 6, 9)  # the face's six tokens ask the joint ones, one for each of the body's nine


def test_gban_aligns_and_gates_as_the_paper_says():
    model = ready("gban")
    seen = {}
    model.aligned.register_forward_hook(lambda _, inputs, out: seen.update(a=inputs[:2], out=out))
    with torch.no_grad():
        streams = model.streams(*as_batch(DATA, [0]))
        states, there, last = model.encode(streams)
        model.fuse(streams)
    s = torch.cat([states[k][0][there[k][0]] for k in (0, 1)]).numpy()  # the body's, of both its modalities
    t = states[2][0][there[2][0]].numpy()
    score = np.exp(np.tanh(s @ t.T))
    a_s = ((score / score.sum(0)).T @ s).mean(0)
    a_t = (score / score.sum(1, keepdims=True) @ t).mean(0)
    for found, expected in zip(seen["a"], (a_s, a_t), strict=True):
        np.testing.assert_allclose(found[0], expected, atol=1e-6)
    gate = model.aligned
    w = [m.weight.detach().numpy() for m in (gate.gate, gate.first, gate.second)]
    z = 1 / (1 + np.exp(-w[0] @ np.concatenate([a_s, a_t])))
    np.testing.assert_allclose(seen["out"][0], z * np.tanh(w[1] @ a_s) + (1 - z) * np.tanh(w[2] @ a_t), atol=1e-6)
    np.testing.assert_allclose(last[:2, 0].mean(0), _last(model, DATA), atol=1e-6)


def _last(model, data):
    """The mean of the body's two last states, each encoded alone."""
    streams = model.streams(*as_batch(data, [0]))
    empty = [(torch.zeros_like(x), torch.zeros_like(mask)) for x, mask in streams]
    with torch.no_grad():
        both = [model.encode([streams[j] if j == k else empty[j] for j in range(3)])[2][k, 0] for k in (0, 1)]
    return torch.stack(both).mean(0)


def test_foalnet_learns_its_temperature_and_its_classifier_is_linear():
    model = ready("foalnet", temperature=0.2)
    assert model.log_temperature.exp().item() == pytest.approx(0.2)
    assert [type(layer).__name__ for layer in model.head] == ["Dropout", "Linear"]
    helo.fit(model, DATA, SPLIT, epochs=3, batch_size=8, learning_rate=1e-2, progress=False)
    assert model.log_temperature.exp().item() != pytest.approx(0.2, abs=1e-3)
    with torch.no_grad():
        model.log_temperature.fill_(-20.0)  # no further than .01
    signals, masks = as_batch(DATA)
    assert torch.isfinite(model.losses(model(signals, masks), torch.as_tensor(DATA.distributions))["alignment"])


def test_m2fnet_s_extractors_are_kept_from_shrinking():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(50, 6)) @ rng.normal(size=(6, 6))
    c = np.cov(z, rowvar=False, bias=True)
    expected = ((c**2).sum() - (np.diag(c) ** 2).sum()) / 6
    assert covariance(torch.tensor(z)).item() == pytest.approx(expected)
    model = ready("m2fnet")
    prediction = model(*as_batch(DATA))
    truth = torch.as_tensor(DATA.distributions)
    prediction.hidden["extracted"] = [100 * x for x in prediction.hidden["extracted"]]
    assert model.losses(prediction, truth)["variance"] == 0  # wide enough
    prediction.hidden["extracted"] = [0 * x for x in prediction.hidden["extracted"]]
    terms = model.losses(prediction, truth)
    assert terms["variance"].item() == pytest.approx(1 - 1e-2, abs=1e-6) and terms["covariance"] == 0
    assert torch.isfinite(terms["triplet"])


@pytest.mark.parametrize("name", ["m2fnet", "connection", "mpt-hcl", "foalnet"])
def test_the_order_of_the_emotions_decides_no_loss_where_the_strongest_are_tied(name):
    """Every window has two strongest emotions; the answers' columns are turned with the labels'."""
    rng = np.random.default_rng(0)
    d = np.full((40, 5), 0.05, dtype=np.float32)
    for row in d:
        row[rng.choice(5, 2, replace=False)] = 0.425
    model = ready(name)
    prediction, truth = model(*as_batch(DATA)), torch.as_tensor(d)
    for term in ("triplet", "contrast", "supervised", "matching"):
        found = []
        for turned in (truth, truth.flip(1)):
            torch.manual_seed(0)
            found.append(model.losses(prediction, turned).get(term, torch.zeros(())))
        torch.testing.assert_close(*found)
