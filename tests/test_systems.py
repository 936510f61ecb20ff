"""Each system's own equations, recomputed by hand."""

import numpy as np
import pytest
import torch
from conftest import as_batch, random_data

import helo
from helo.models.m2fnet import covariance, variance

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


@pytest.mark.parametrize("name", ["foalnet", "m2fnet"])
def test_what_is_not_there_is_not_aligned(name):
    """A window without a stream takes no part in the losses between streams: they are those of the others alone."""
    masks = {m: np.ones(x.shape[:2], bool) for m, x in DATA.signals.items()}
    masks["face"][:12] = False
    data = random_data(shapes=SHAPES, roles=DATA.roles, masks=masks)
    model, found = helo.build(name, data, seed=0, width=8), []
    for rows in (slice(None), slice(12, None)):
        model.zero_grad()
        torch.manual_seed(0)
        terms = model.eval().losses(model(*as_batch(data, rows)), torch.as_tensor(data.distributions[rows]))
        found.append(terms)
    if name == "m2fnet":
        z = model(*as_batch(data)).hidden["extracted"]
        expected = sum(variance(x[12:] if m == "face" else x) for m, x in zip(SHAPES, z, strict=True)) / 3
        torch.testing.assert_close(found[0]["variance"], expected)
    else:
        assert all(torch.equal(found[0][t], found[1][t]) for t in ("alignment", "matching"))
    terms = found[0]
    sum(t for n, t in terms.items() if n != "kl").backward()
    slopes = [p.grad.abs().max() for p in model.parameters() if p.grad is not None]
    assert max(slopes) < 100, "the slope of a vector of length 0"
    nobody = slice(0, 12)
    terms = model.losses(model(*as_batch(data, nobody)), torch.as_tensor(data.distributions[nobody]))
    assert torch.isfinite(model.total(terms))


def _relative(model, streams, k):
    """How far the fused vector moves when stream k is another window's, beside how far windows lie from their mean."""
    with torch.no_grad():
        vector = model.fuse(streams)[0]
        other = [(x.roll(1, 0), mask) if j == k else (x, mask) for j, (x, mask) in enumerate(streams)]
        moved = (model.fuse(other)[0] - vector).norm(dim=1).mean()
        return (moved / (vector - vector.mean(0)).norm(dim=1).mean()).item()


@pytest.mark.parametrize("name", ["mpt-hcl", "name-guided"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_stream_is_lost_beside_another_before_anything_is_learned(name, seed):
    data = helo.load("pairing")
    model = helo.build(name, data, seed=seed)
    model.prepare(data, helo.splits.by_subject(data, 4)[0])
    streams = model.eval().streams(*as_batch(data, slice(0, 100)))
    assert min(_relative(model, streams, k) for k in range(len(streams))) > 0.15


def test_names_steer():
    """What the labels ask is no small part of what is answered, of names of any length."""
    for names in (None, np.eye(5, 9).tolist(), (1e-3 * np.eye(5, 9)).tolist()):
        model = ready("name-guided", names=names)
        assert model.project(model.names).std(0).mean() > 0.2
    one, other = ready("name-guided", names=[[0.1], [0.2], [0.3], [0.4], [0.5]]).names[[0, 4], 0].tolist()
    assert other == pytest.approx(5 * one), "their proportions are their user's"


def test_a_stream_alone_needs_one():
    data = random_data(shapes={"bvp": (5, 3), "eda": (4, 2)}, roles={"physiological": ["bvp", "eda"], "behavioral": []})
    with pytest.raises(ValueError, match="behavioral-only found no behavioral modality among"):
        helo.build("behavioral-only", data)


def test_a_product_of_many_modalities_keeps_its_size():
    shapes = {f"m{k}": (1, 2) for k in range(150)}
    names, rng = list(shapes), np.random.default_rng(0)
    masks = {m: rng.random((40, 1)) < 0.5 for m in names}
    data = random_data(shapes=shapes, roles={"physiological": names[:30], "behavioral": names[30:]}, masks=masks)
    model = helo.build("low-rank-tensor", data).eval()
    vector = model.fuse(model.streams(*as_batch(data)))[0]
    torch.testing.assert_close(vector.norm(dim=1), torch.full((40,), 8.0), rtol=1e-3, atol=0)
    (vector * torch.randn(vector.shape)).sum().backward()
    slopes = [p.grad.abs().max() for p in model.factors]
    assert min(slopes) > 0 and max(slopes) < 1e6


def test_a_mixture_is_told_of_more_conditions_than_it_was_built_for():
    data = random_data(conditions=np.tile(["x", "y", "z", "x", "y"], 8))
    model = helo.build("mixture", data, conditions=2)
    with pytest.raises(ValueError, match="built for 2 conditions; random's training side holds 3"):
        helo.fit(model, data, SPLIT, progress=False)


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
