"""Products in bfloat16 where device and model are made for it; everything else, and every small model, in float32."""

import numpy as np
import pytest
import torch
from conftest import random_data
from test_training import SPLIT, same

import helo
from helo import losses, precision, transport
from helo.models.blocks import masked_softmax
from helo.training import fit_together

DATA = random_data()
FIT = {"epochs": 2, "batch_size": 8, "progress": False, "device": "cpu"}
CPU = torch.device("cpu")


def new(seed=0):
    return helo.build("helo", DATA, seed=seed, width=16)


@pytest.fixture
def large(monkeypatch):
    """A machine that computes with bfloat16, for which this file's models are large."""
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: True)
    monkeypatch.setattr(precision, "LARGE", 100)
    monkeypatch.setattr(precision, "WORK", 100)


def kinds(train):
    """The types in which linear maps compute while something is trained or asked."""
    found, linear = set(), torch.nn.Linear.forward

    def watched(self, x):
        y = linear(self, x)
        found.add(y.dtype)
        return y

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.Linear, "forward", watched)
        result = train()
    return found, result


def test_auto_asks_the_device_and_the_size(monkeypatch):
    model, many = torch.nn.Linear(1000, 1000), 128
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: True)
    assert precision.precision_for("auto", model, CPU, many) == "bfloat16"
    assert precision.precision_for("auto", model, CPU, 16) == "float32", "casting would take what products gain"
    assert precision.precision_for("auto", torch.nn.Linear(900, 1000), CPU, 10_000) == "float32", "small"
    assert precision.precision_for("float32", model, CPU, many) == "float32"
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: False)
    assert precision.precision_for("auto", model, CPU, many) == "float32"
    assert precision.precision_for("bfloat16", model, CPU, many) == "bfloat16", "slow, but as asked"
    with pytest.raises(ValueError, match="precision is 'half'; expected one of"):
        precision.precision_for("half", model, CPU, many)


@pytest.mark.parametrize(
    ("told", "expected"),
    [({"avx512_bf16": True}, True), ({"amx_bf16": True}, True), ({"avx512_f": True, "avx512_bf16": False}, False)],
)
def test_a_cpu_says_itself_whether_it_has_bfloat16(monkeypatch, told, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told, raising=False)
    assert precision.has_bfloat16(CPU) is expected
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert precision.has_bfloat16(CPU) is False, "an older torch cannot tell"


def test_the_result_says_what_was_used_and_products_do_use_it(large):
    for asked, used in (("auto", "bfloat16"), ("bfloat16", "bfloat16"), ("float32", "float32")):
        found, run = kinds(lambda asked=asked: helo.fit(new(), DATA, SPLIT, precision=asked, **FIT))
        assert run.precision == used and found == {getattr(torch, used)}
        found, answer = kinds(lambda asked=asked, run=run: helo.predict(run.model, DATA, precision=asked))
        assert found == {getattr(torch, used)}
        told = [answer.distributions, answer.log_distributions, answer.plans, answer.costs, *answer.attention.values()]
        assert {x.dtype for x in told} == {np.dtype("float32")}


def test_weights_gradients_moments_and_losses_stay_float32(large):
    def look(model, row):
        assert {p.dtype for p in model.parameters()} == {p.grad.dtype for p in model.parameters()} == {torch.float32}

    model, seen = new(), []
    own = model.losses
    model.losses = lambda answer, truth: seen.extend([answer.log_distributions, answer.plans]) or own(answer, truth)
    helo.fit(model, DATA, SPLIT, on_epoch=look, **FIT)
    assert {x.dtype for x in seen} == {torch.float32}


@pytest.mark.parametrize("name", ["foalnet", "connection", "m2fnet", "helo-release"])
def test_what_a_model_keeps_for_its_losses_is_float32(name):
    model = helo.build(name, DATA)
    x, masks = ({m: torch.as_tensor(v) for m, v in group.items()} for group in (DATA.signals, DATA.masks))

    def tensors(x):
        if isinstance(x, torch.Tensor):
            return [x]
        return [t for v in (x.values() if isinstance(x, dict) else x) for t in tensors(v)]

    assert {t.dtype for t in tensors(model.respond(x, masks, "bfloat16").hidden)} <= {torch.float32, torch.bool}


def test_transport_is_the_same_inside_and_outside():
    torch.manual_seed(0)
    x, y = torch.randn(4, 6, 8), torch.randn(4, 5, 8)

    def everything(inside):
        a, b = x.clone().requires_grad_(), y.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=inside):  # the backward pass is outside, as in training
            cost = transport.cosine_cost(a, b)
            plan = transport.plan(cost, 0.1)
            found = transport.barycentric_map(plan, a)
        (found.sin().sum() + (plan * cost).sum()).backward()
        return cost, plan, found, a.grad, b.grad

    for a, b in zip(everything(False), everything(True), strict=True):
        assert torch.equal(a, b)
    with torch.autocast("cpu", torch.bfloat16):
        assert transport.plan(transport.cosine_cost(x.bfloat16(), y.bfloat16()), 0.1).dtype == torch.float32


def test_softmax_and_correlation_are_float32_inside():
    logits, mask = torch.randn(3, 7), torch.rand(3, 7) > 0.3
    embedding = torch.randn(5, 8)
    plain = masked_softmax(logits, mask), losses.cosine_correlation(embedding)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(masked_softmax(logits, mask), plain[0])
        assert torch.equal(losses.cosine_correlation(embedding), plain[1])
        assert masked_softmax(logits.bfloat16(), mask).dtype == torch.float32


def test_masked_logits_are_swallowed():
    logits, mask = (
        torch.tensor([[1.0, 1e30, -1e30], [2.0, 0.0, 5.0]]),
        torch.tensor([[True, False, False], [False] * 3]),
    )
    assert masked_softmax(logits, mask).tolist() == [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]


def test_bfloat16_is_near_float32():
    runs = [helo.fit(new(), DATA, SPLIT, precision=p, **FIT) for p in ("float32", "bfloat16")]
    a, b = (helo.predict(run.model, DATA).log_distributions for run in runs)
    assert 0 < np.abs(a - b).max() < 0.05


def test_a_small_model_has_the_same_bits_whatever_the_machine(monkeypatch):
    found = []
    for there in (True, False):
        monkeypatch.setattr(precision, "has_bfloat16", lambda device, there=there: there)
        run = helo.fit(new(), DATA, SPLIT, **FIT)
        assert run.precision == "float32"
        found.append(run.model)
    assert same(*found)


def test_a_machine_without_it_has_the_numbers_of_float32(large, monkeypatch):
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: False)
    auto, plain = (helo.fit(new(), DATA, SPLIT, precision=p, **FIT) for p in ("auto", "float32"))
    assert auto.precision == "float32" and same(auto.model, plain.model)


def test_a_stack_decides_by_one_model_and_ends_like_one_alone(large):
    kept = helo.fit(new(), DATA, SPLIT, **FIT)
    (one, other) = fit_together([new(), new(1)], DATA, [SPLIT] * 2, seeds=[0, 0], **FIT)
    assert one.precision == other.precision == "bfloat16"
    a, b = (helo.predict(run.model, DATA).log_distributions for run in (kept, one))
    np.testing.assert_allclose(a, b, atol=0.02)  # sums are rounded to bfloat16 in another order


def test_an_interrupted_training_goes_on_in_the_same_precision(large, monkeypatch, tmp_path):
    whole = helo.fit(new(), DATA, SPLIT, **FIT)
    file = tmp_path / "c"
    helo.fit(new(), DATA, SPLIT, checkpoint=file, **(FIT | {"epochs": 1}))
    rest = helo.fit(new(), DATA, SPLIT, checkpoint=file, **FIT)
    assert same(whole.model, rest.model) and rest.precision == "bfloat16"
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: False)
    with pytest.raises(ValueError, match="checkpoint of another run .*precision was bfloat16, now float32"):
        helo.fit(new(), DATA, SPLIT, checkpoint=file, **FIT)


def test_evaluate_passes_it_on(monkeypatch):
    from helo.evaluation import fits

    asked, own = [], fits.predict
    monkeypatch.setattr(fits, "predict", lambda *a, **k: asked.append(k["precision"]) or own(*a, **k))
    helo.evaluate("early", DATA, protocol=[SPLIT], nested=0, precision="bfloat16", workers=1, **(FIT | {"epochs": 1}))
    assert set(asked) == {"bfloat16"}
