"""What every registered model must do, and what HeLo must do besides."""

import copy
import dataclasses
import functools
import inspect

import numpy as np
import pytest
import torch
from conftest import as_batch, random_data

import helo
from helo import losses, models, transport, views
from helo.data.splits import Split
from helo.measures import correlation_gap
from helo.models.options import check

ALL = models.available()
DATA = random_data(conditions=np.tile(np.repeat(["x", "y", "z", "x", "y"], 2), 4))
SPLIT = Split("s", np.arange(20), np.arange(20, 30), np.arange(30, 40))
# several tokens everywhere, some of them absent
RAGGED = random_data(
    shapes={"eeg": (6, 3), "eda": (4, 4), "face": (5, 7), "voice": (3, 2)},
    roles={"physiological": ["eeg", "eda"], "behavioral": ["face", "voice"]},
    masks={"eda": np.arange(4) < np.random.default_rng(0).integers(1, 5, (40, 1))},
    conditions=np.tile(["x", "y"], 20),
)


def trained(name, data=DATA, **options):
    """`trained_anew`; of DATA and RAGGED once for all tests, which is the same, as `test_is_deterministic` holds."""
    if options or not (data is DATA or data is RAGGED):
        return trained_anew(name, data, **options)
    return copy.deepcopy(_kept(name, data is DATA))


@functools.cache
def _kept(name, whole):
    return trained_anew(name, DATA if whole else RAGGED)


def trained_anew(name, data=DATA, **options):
    model = helo.build(name, data, seed=1, **options)
    helo.fit(model, data, SPLIT, epochs=2, batch_size=8, progress=False)
    return model.eval()


def padded(data, by=3):
    """The same data with tokens added that are not there, full of rubbish a mask must hide."""
    signals, masks = as_batch(data)
    rubbish = {m: torch.cat([x, 1e3 * torch.randn(len(x), by, x.shape[2])], 1) for m, x in signals.items()}
    return rubbish, {m: torch.cat([x, torch.zeros(len(x), by, dtype=bool)], 1) for m, x in masks.items()}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("data", [DATA, RAGGED], ids=["vectors", "ragged"])
class TestEveryModel:
    def test_predicts_distributions_without_labels(self, name, data):
        answer = trained(name, data)(*as_batch(data))
        assert answer.distributions.shape == (40, 5) and (answer.distributions >= 0).all()
        torch.testing.assert_close(answer.distributions.sum(1), torch.ones(40))
        torch.testing.assert_close(answer.log_distributions.exp(), answer.distributions)

    def test_is_deterministic_and_leaves_the_global_random_state_alone(self, name, data):
        model = trained(name, data)
        a, b = (model(*as_batch(data)).distributions for _ in range(2))
        assert torch.equal(a, b)
        torch.manual_seed(3)
        expected = torch.rand(2)
        torch.manual_seed(3)
        anew = trained_anew(name, data)
        assert torch.equal(torch.rand(2), expected)
        assert torch.equal(anew(*as_batch(data)).distributions, a), "same seed, same training"

    def test_padding_changes_nothing(self, name, data):
        model = trained(name, data)
        torch.testing.assert_close(
            model(*padded(data)).distributions, model(*as_batch(data)).distributions, atol=1e-6, rtol=1e-5
        )

    def test_the_rest_of_the_batch_changes_nothing(self, name, data):
        model = trained(name, data)
        whole = model(*as_batch(data)).distributions
        alone = torch.cat([model(*as_batch(data, [k])).distributions for k in range(40)])
        if name == "helo-release":  # its costs are cut at a threshold over the batch, and it draws in the batch's order
            assert not torch.allclose(alone, whole, atol=1e-3)
        else:
            torch.testing.assert_close(alone, whole, atol=1e-6, rtol=1e-5)

    def test_permuting_the_batch_permutes_the_answers(self, name, data):
        model = trained(name, data)
        order = np.random.default_rng(0).permutation(40)
        whole = model(*as_batch(data)).distributions
        permuted = model(*as_batch(data, order)).distributions
        if name == "helo-release":  # the same
            assert not torch.allclose(permuted, whole[order], atol=1e-3)
        else:
            torch.testing.assert_close(permuted, whole[order], atol=1e-6, rtol=1e-5)

    def test_a_window_without_a_modality_gets_an_answer(self, name, data):
        model = trained(name, data)
        signals, masks = as_batch(data)
        for m in data.signals:
            answer = model(signals, masks | {m: torch.zeros_like(masks[m])})
            assert torch.isfinite(answer.log_distributions).all(), m

    def test_trains_on_windows_of_any_subset_of_modalities(self, name, data):
        """Each window has its own non-empty subset; one modality the training side never has."""
        rng = np.random.default_rng(0)
        there = rng.random((40, len(data.signals))) < 0.5
        there[np.arange(40), rng.integers(len(data.signals) - 1, size=40)] = True
        there[SPLIT.train, -1] = False
        there[SPLIT.test, -1] = True
        masks = {m: mask & there[:, k, None] for k, (m, mask) in enumerate(data.masks.items())}
        some = dataclasses.replace(data, masks=masks)
        answer = trained(name, some)(*as_batch(some))
        assert torch.isfinite(answer.log_distributions).all()

    def test_saved_and_loaded_it_answers_the_same(self, name, data, tmp_path):
        model = trained(name, data)
        helo.save(model, tmp_path / "m.safetensors")
        again = helo.load_model(tmp_path / "m.safetensors")
        assert torch.equal(again(*as_batch(data)).distributions, model(*as_batch(data)).distributions)

    def test_only_the_training_side_is_learned_from(self, name, data):
        """Labels and signals of the test windows may be anything."""
        d = data.distributions.copy()
        d[SPLIT.test] = np.roll(d[SPLIT.test], 1, axis=1)
        signals = {m: x.copy() for m, x in data.signals.items()}
        for x in signals.values():
            x[SPLIT.test] *= -5
        other = dataclasses.replace(data, distributions=d, signals=signals)
        assert torch.equal(
            trained(name, other)(*as_batch(data)).distributions, trained(name, data)(*as_batch(data)).distributions
        )


# written out, so that a name that gets lost fails
ABLATIONS = ["helo-no-cross", "helo-no-ot", "helo-gromov", "helo-detached", "helo-no-lcc", "helo-no-r", "helo-release"]
CLOSED = ["uniform", "mean", "ridge", "kernel-ridge", "mixture", "aa-knn", "sa-bfgs"]
FUSION = [
    "helo",
    "foalnet",
    "gban",
    "jmt",
    "fbp",
    "lmam",
    "mpt-hcl",
    "m2fnet",
    "connection",
    "aimdit",
    "hfgcn",
    "name-guided",
    "early",
    "mlp",
    "tensor",
    "low-rank-tensor",
]


@pytest.fixture(scope="module")
def pairing():
    """Body and face each say nothing; whether they agree says everything."""
    rng = np.random.default_rng(0)
    body, face = rng.choice([-1.0, 1.0], (2, 800))
    d = np.where((body * face > 0)[:, None], [0.9, 0.1], [0.1, 0.9])
    signals = {
        m: (s[:, None, None] + rng.normal(0, 0.2, (800, 1, 3))).astype(np.float32)
        for m, s in (("eda", body), ("ppg", body), ("face", face))
    }
    return random_data(n=800, emotions=2, shapes={m: (1, 3) for m in signals}, signals=signals, distributions=d)


def pairing_kl(data, name, **options):
    split = helo.splits.by_subject(data)[0]
    model = helo.build(name, data, seed=0, width=32, **options)
    helo.fit(
        model,
        data,
        split,
        epochs=20,
        batch_size=32,
        learning_rate=2e-3,
        weight_decay=1e-4,
        progress=False,
        on_epoch=lambda _, row: row["validation_kl"] < CHANCE - 0.32,  # it has learned the pairing
    )
    return helo.score(data.distributions[split.test], helo.predict(model, data, split.test).distributions)["kl"]


CHANCE = 0.9 * np.log(1.8) + 0.1 * np.log(0.2)  # KL of [0.9, 0.1] to the mean, [0.5, 0.5]


@pytest.mark.parametrize("name", ["physiological-only", "behavioral-only"])
def test_a_single_stream_stays_at_chance_where_the_pairing_says_it_all(pairing, name):
    assert pairing_kl(pairing, name) > CHANCE - 0.02


@pytest.mark.parametrize("role", ["physiological", "behavioral"])
def test_a_single_stream_is_all_of_its_role(role):
    """Where the other role is empty, too, and of one modality."""
    for names in (list(DATA.signals), list(DATA.signals)[:1]):
        roles = {r: names if r == role else [] for r in ("physiological", "behavioral")}
        parts = {m: DATA.signals[m] for m in names}, {m: DATA.masks[m] for m in names}
        data = dataclasses.replace(DATA, signals=parts[0], masks=parts[1], roles=roles, query=None)
        model = trained(f"{role}-only", data)
        whole = helo.predict(model, data).distributions
        for m in names:
            assert not np.allclose(helo.predict(model, data, without=m).distributions, whole, atol=1e-4), m


def test_late_fusion_cannot_express_a_pairing(pairing):
    assert pairing_kl(pairing, "late") > CHANCE - 0.02


@pytest.mark.parametrize("name", FUSION + ABLATIONS)
def test_fusion_learns_from_a_pairing_that_no_single_stream_shows(pairing, name):
    assert pairing_kl(pairing, name) < CHANCE - 0.25


def test_every_fusion_system_is_tried_on_the_pairing():
    assert {*FUSION, *ABLATIONS, *CLOSED} == set(ALL) - {"late", "physiological-only", "behavioral-only"}


@pytest.mark.parametrize("name", sorted(set(ALL) - {"uniform", "mean", "physiological-only", "behavioral-only"}))
@pytest.mark.parametrize("data", [DATA, RAGGED], ids=["whole", "ragged"])
def test_what_is_missing_does_not_silence_what_is_there(name, data):
    """A window without its query, or without all of a side, is answered by its other modalities."""
    model = trained(name, data)
    for missing in [[m] for m in data.signals] + [list(side) for side in data.roles.values()]:
        said = helo.predict(model, data, without=missing, explain=False).distributions
        assert len(np.unique(said.round(6), axis=0)) > len(data) / 2, missing


@pytest.mark.parametrize("name", sorted(set(ALL) - {"uniform", "mean"}))
def test_what_training_never_has_says_nothing(name):
    """Its weights have learned nothing, and its unit is not known: a modality, and a feature of one value."""
    rng = np.random.default_rng(0)
    masks = {"ppg": np.r_[np.zeros((30, 1), bool), np.ones((10, 1), bool)]}
    signals = {m: x.copy() for m, x in DATA.signals.items()}
    signals["ppg"][30:] = 1000 + 300 * rng.normal(size=signals["ppg"][30:].shape)
    signals["face"][:30, :, 0], signals["face"][30:, :, 0] = 7, 7 + 100 * rng.normal(size=(10, 1))
    new = random_data(signals=signals, masks=masks, conditions=DATA.conditions)
    model = trained(name, new)
    said = helo.predict(model, new, SPLIT.test, explain=False).distributions
    signals["face"][30:, :, 0] = 7
    without = helo.predict(model, new, SPLIT.test, explain=False, without="ppg").distributions
    if name != "helo-release":  # its stand-in for what is missing is of its own
        np.testing.assert_allclose(said, without, atol=0.02)
    assert len(np.unique(said.round(6), axis=0)) > 5


def test_a_window_without_behavior_has_no_plan():
    """What stands in for it is a means of the computation, and is not shown."""
    answer = helo.predict(trained("helo"), DATA, without=list(DATA.roles["behavioral"]))
    assert not answer.plans.any() and helo.predict(trained("helo"), DATA).plans.any()


@pytest.mark.parametrize("name", sorted(set(ALL) - {"uniform", "mean"}))
def test_a_modality_that_training_never_had_is_not_heard(name, tmp_path):
    """Nothing has learned what its tokens say; not in a model that was saved either."""
    masks = {m: mask.copy() for m, mask in DATA.masks.items()}
    last = list(DATA.signals)[-2]
    masks[last][SPLIT.train] = masks[last][SPLIT.validation] = False
    some = dataclasses.replace(DATA, masks=masks)
    model = trained(name, some)
    helo.save(model, tmp_path / "m.safetensors")
    for one in (model, helo.load_model(tmp_path / "m.safetensors")):
        said, without = (
            helo.predict(one, some, SPLIT.test, explain=False, without=w).distributions for w in ((), last)
        )
        np.testing.assert_array_equal(said, without)
        shown = views.what_if(one, some, SPLIT.test[0], {})
        if name != "helo-release":  # whose answers hang on the windows that are asked together
            np.testing.assert_allclose(shown, without[:1], atol=1e-6)


@pytest.mark.parametrize("name", ["ridge", "sa-bfgs", "mlp", "helo"])
def test_a_small_unit_is_no_constant(name):
    """Skin conductance in siemens, an EEG's power in square volts."""
    small = dataclasses.replace(DATA, signals={m: x * np.float32(1e-9) for m, x in DATA.signals.items()})
    said = [helo.predict(trained(name, data), data, explain=False).distributions for data in (DATA, small)]
    np.testing.assert_allclose(said[0], said[1], atol=1e-4)


def test_rounding_is_no_feature():
    """A slope of a flat signal is zero but for its last bits: they are not scaled up to an input."""
    rng = np.random.default_rng(0)
    flat = {m: x.copy() for m, x in DATA.signals.items()}
    first = next(iter(flat))
    flat[first][..., 0] = 1e-14 * rng.normal(size=flat[first].shape[:2])
    flat[first][..., 1] = np.float32(37.3)
    model = helo.build("mlp", DATA)
    model.prepare(dataclasses.replace(DATA, signals=flat), SPLIT)
    assert (model.scale_0[:2] > 1e38).all() and (model.scale_0[2:] < 10).all(), "scaled away"


@pytest.mark.parametrize("name", [name for name in FUSION if name != "helo"])
@pytest.mark.parametrize("data", [DATA, RAGGED], ids=["vectors", "ragged"])
def test_auxiliary_losses_of_weight_zero_are_the_baseline(name, data):
    """Without weight a term is neither computed nor felt: the gradient is that of KL alone."""
    options = {p: 0.0 for p in inspect.signature(type(helo.build(name, data))).parameters if p.endswith("_weight")}
    model = helo.build(name, data, seed=0, **options)
    model.train()
    grads = []
    for total in (model.total, lambda terms: terms["kl"]):
        torch.manual_seed(0)
        model.zero_grad()
        total(model.losses(model(*as_batch(data)), torch.as_tensor(data.distributions))).backward()
        grads.append([None if p.grad is None else p.grad.clone() for p in model.parameters()])
    assert all((a is None and b is None) or torch.equal(a, b) for a, b in zip(*grads, strict=True))


@pytest.mark.parametrize("name", FUSION)
def test_every_weight_of_every_system_is_trained(name):
    model = helo.build(name, RAGGED, seed=0)
    model.train()
    terms = model.losses(model(*as_batch(RAGGED)), torch.as_tensor(RAGGED.distributions))
    model.total(terms).backward()
    assert all(torch.isfinite(t) for t in terms.values())
    still = [n for n, p in model.named_parameters() if p.grad is None or p.grad.abs().sum() == 0]
    # a constant added to every key moves no softmax; the strong modality of a prompt Transformer has no filter to pass
    assert all(n.endswith("key.bias") or n.startswith("filters.0") for n in still), still


@pytest.mark.parametrize("name", [n for n in FUSION if n != "helo"])
def test_one_modality_is_not_fusion(name):
    alone = random_data(shapes={"eda": (1, 4)}, roles={"physiological": ["eda"]})
    if name in ("early", "mlp", "low-rank-tensor", "lmam", "mpt-hcl", "m2fnet"):
        assert helo.build(name, alone)(*as_batch(alone)).distributions.shape == (40, 5)
    else:
        with pytest.raises(ValueError, match="fusion found one modality, 'eda'; expected at least two"):
            helo.build(name, alone)


@pytest.mark.parametrize("name", ["helo", "ridge", "mixture", "aa-knn"])
def test_learns_what_there_is_to_learn(name, study):
    """From eight people; four, who differ as people do, are too few to tell a stranger's answer."""
    split = helo.splits.by_subject(study, 3)[0]
    model = helo.build(name, study, seed=0)
    helo.fit(model, study, split, epochs=25, batch_size=32, progress=False)
    found = helo.score(study.distributions[split.test], helo.predict(model, study, split.test).distributions)
    mean = helo.build("mean", study)
    helo.fit(mean, study, split, progress=False)
    base = helo.score(study.distributions[split.test], helo.predict(mean, study, split.test).distributions)
    assert found["kl"] < 0.75 * base["kl"]


def test_unknown_names_and_options():
    with pytest.raises(ValueError, match="unknown model 'hello'; expected one of"):
        helo.build("hello", DATA)
    with pytest.raises(ValueError, match=r"'helo' does not take \['depht'\]; its options are .*'depth'"):
        helo.build("helo", DATA, depht=2)
    for ask in (models.defaults, models.choices, models.origin, models.is_closed_form, helo.evaluation.candidates):
        with pytest.raises(ValueError, match="unknown model 'hello'; expected one of"):
            ask("hello", *((2, {}, {}) if ask is helo.evaluation.candidates else ()))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"width": 30}, "heads is 4; expected a divisor of width 30"),
        ({"transport": "euclid"}, "transport is 'euclid'"),
        ({"correlation": "kendall"}, "correlation is 'kendall'"),
        ({"heads": 0}, "heads is 0"),
        ({"width": 0}, "width is 0"),
        ({"depth": -1}, "depth is -1"),
        ({"tokens": 0}, "tokens is 0"),
        ({"dropkey": 1.5}, "dropkey is 1.5"),
        ({"input_dropout": 1.0}, "input_dropout is 1.0"),
        ({"epsilon": 0.0}, "epsilon is 0.0; expected above 0"),
        ({"iterations": 0}, "iterations is 0"),
        ({"tolerance": -1e-4}, "tolerance is -0.0001; expected at least 0"),
        ({"correlation_weight": -1}, "correlation_weight is -1"),
    ],
)
def test_helo_refuses_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        helo.build("helo", DATA, **options)


def test_helos_tolerance_stops_its_transport():
    """With it every window's plan is as near its marginals as asked for, and no nearer than it has to be."""
    plans = {}
    for tolerance in (0.0, 1e-2):
        model = helo.build("helo", DATA, seed=0, epsilon=0.01, iterations=2000, tolerance=tolerance).eval()
        plans[tolerance] = model(*as_batch(DATA)).plans
    u, v = ((plans[0.0].sum(axis) > 0).float() for axis in (2, 1))
    errors = {t: transport.marginal_error(p, u / u.sum(1, True), v / v.sum(1, True)) for t, p in plans.items()}
    assert (errors[0.01] <= 0.0101).all() and errors[0.01].max() > 10 * errors[0.0].max()


@pytest.mark.parametrize("name", sorted(set(ALL) - set(CLOSED)))
def test_every_model_refuses_bad_options(name):
    """One table for all: the message names model, option, found and expected; a new option needs a line in it."""
    options = inspect.signature(type(helo.build(name, DATA))).parameters
    wrong = {"width": 0, "heads": 3, "depth": -1, "dropout": 1.5, "input_dropout": -0.1, "tokens": 2.5, "rank": 0}
    wrong |= {option: -1 for option in options if option.endswith("_weight")}
    preset = {("helo-no-lcc", "correlation_weight"), ("helo-no-ot", "transport_weight")}
    for option, value in wrong.items():
        if option in options and (name, option) not in preset:
            with pytest.raises(ValueError, match=rf"^{name}: {option} is {value}; expected ."):
                helo.build(name, DATA, **{option: value})
    for option, about in options.items():
        if type(about.default) in (int, float):
            with pytest.raises(ValueError, match=f"x: {option} is -1"):
                check("x", {"width": 64} | {option: -1})


@pytest.mark.parametrize("name", ALL)
def test_every_value_of_a_nested_choice_builds_a_model(name):
    """One to three options of its own for every trained system, the default first; a closed form chooses inside."""
    found = models.choices(name)
    assert len(found) in ((0,) if name in CLOSED else (1, 2, 3)) and not {"dropout", "input_dropout"} & set(found)
    options = inspect.signature(type(helo.build(name, DATA))).parameters
    for option, values in found.items():
        assert values[0] == options[option].default and len(set(values)) == len(values) > 1, option
        for value in values:
            for data in (DATA, RAGGED):
                answer = helo.build(name, data, **{option: value})(*as_batch(data)).distributions
                assert torch.isfinite(answer).all()
    if name not in CLOSED:
        assert {"dropout", "input_dropout"} <= set(options)


def test_ablations_are_listed_apart_from_systems():
    assert models.available() == models.systems() + models.ablations()
    assert set(models.ablations()) == set(ABLATIONS) == {name for name in ALL if name.startswith("helo-")}


def test_helo_needs_both_sides():
    data = random_data(shapes={"eeg": (6, 3), "eda": (1, 4)}, roles={"physiological": ["eeg", "eda"]})
    with pytest.raises(ValueError, match=r"behavioral \[\]; expected at least one of each"):
        helo.build("helo", data)


# What is HeLo's own -------------------------------------------------------------------------------------------------

SMALL = {"width": 16, "heads": 2, "dropout": 0.0}


def gradients(**options):
    model = helo.build("helo", DATA, seed=0, **(SMALL | options))
    model.prepare(DATA, SPLIT)
    terms = model.losses(model(*as_batch(DATA)), torch.as_tensor(DATA.distributions))
    return model, terms


def test_the_papers_shapes():
    """DMER's sizes: 18 EEG channels query GSR and PPG; 2N tokens on both sides."""
    data = random_data(
        shapes={"eeg": (18, 5), "gsr": (1, 28), "ppg": (1, 27), "video": (1, 768)},
        roles={"physiological": ["eeg", "gsr", "ppg"], "behavioral": ["video"]},
        emotions=10,
    )
    model = helo.build("helo", data)
    answer = model(*as_batch(data))
    assert model.query == "eeg" and answer.plans.shape == answer.costs.shape == (40, 36, 36)
    assert answer.attention["eeg to gsr"].shape == (40, 4, 18, 18)
    assert answer.attention["labels"].shape == (40, 10, 10)
    assert model.label_embedding.shape == (10, 64)


@pytest.mark.parametrize(
    "shapes, behavioral",
    [
        ({"eda": (1, 3), "face": (1, 4)}, ["face"]),
        ({"eda": (7, 3), "face": (2, 4)}, ["face"]),
        (
            {"a": (1, 3), "b": (5, 2), "c": (3, 2), "d": (1, 1), "face": (1, 4), "voice": (9, 1), "hand": (1, 2)},
            ["face", "voice", "hand"],
        ),
    ],
)
def test_any_number_of_modalities_of_any_token_counts(shapes, behavioral):
    roles = {"physiological": [m for m in shapes if m not in behavioral], "behavioral": behavioral}
    data = random_data(shapes=shapes, roles=roles)
    model = helo.build("helo", data, **SMALL)
    answer = model(*as_batch(data))
    model.total(model.losses(answer, torch.as_tensor(data.distributions))).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


def test_correlation_loss_reaches_the_label_embedding_and_nothing_else():
    model, terms = gradients()
    terms["correlation"].backward()
    touched = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert touched == {"label_embedding"}


def test_a_detached_plan_has_no_gradient_in_any_loss():
    """Neither through what is carried nor through the transport cost: as a plan that is a constant."""
    plan, grads = helo.models.helo.transport.plan, []
    for detached in (True, False):
        model = helo.build("helo", DATA, seed=0, detach_plan=detached, transport_weight=1.0, **SMALL).eval()
        try:
            if not detached:
                helo.models.helo.transport.plan = lambda *a: plan(*a).detach()
            model.total(model.losses(model(*as_batch(DATA)), torch.as_tensor(DATA.distributions))).backward()
        finally:
            helo.models.helo.transport.plan = plan
        grads.append([p.grad for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))


def test_the_gradient_passes_through_the_plan():
    """Detach the plan, and the encoders' gradient changes: the transport takes part in learning."""
    model, terms = gradients()
    terms["kl"].backward()
    through = model.encoders[0].linear.weight.grad.clone()
    model.zero_grad()
    plan = helo.models.helo.transport.plan
    try:
        helo.models.helo.transport.plan = lambda *a: plan(*a).detach()
        model.losses(model(*as_batch(DATA)), torch.as_tensor(DATA.distributions))["kl"].backward()
    finally:
        helo.models.helo.transport.plan = plan
    assert not torch.allclose(model.encoders[0].linear.weight.grad, through, rtol=1e-3)


def test_every_parameter_is_trained():
    for options in ({}, {"transport": "gromov"}):
        model, terms = gradients(**options)
        model.total(terms).backward()
        still = [n for n, p in model.named_parameters() if p.grad is None or p.grad.abs().sum() == 0]
        # a constant added to every key moves no softmax
        assert all(n.endswith(("key.bias", "compress_key.bias", "lcd_key.bias")) for n in still), still


def test_sides_have_their_own_weights():
    model = helo.build("helo", DATA, **SMALL, depth=2)
    assert len(model.physiological_blocks) == len(model.behavioral_blocks) == 2 and len(model.cross) == 2
    p, b = (dict(blocks.named_parameters()) for blocks in (model.physiological_blocks, model.behavioral_blocks))
    assert not any(x is y for x in p.values() for y in b.values())
    assert not any(x is y for x in model.cross[0].parameters() for y in model.cross[1].parameters())


def test_auxiliary_weights_of_zero_are_the_baseline():
    """With weight 0 the terms take no part: the gradient is that of KL alone, to the bit."""
    off = {"correlation_weight": 0.0, "transport_weight": 0.0}
    model, terms = gradients(**off)
    model.total(terms).backward()
    ours = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    model, terms = gradients(**off)
    terms["kl"].backward()
    theirs = [p.grad for p in model.parameters() if p.grad is not None]
    assert len(ours) == len(theirs) and all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_total_is_kl_plus_lambda_alignment():
    model, terms = gradients(correlation_weight=0.7, transport_weight=0.2)
    expected = terms["kl"] + 0.7 * terms["correlation"] + 0.2 * terms["transport"]
    torch.testing.assert_close(model.total(terms), expected)


@pytest.mark.parametrize("form", ["pearson", "cosine"])
def test_target_correlation_is_the_training_sides(form):
    model = helo.build("helo", DATA, **SMALL, correlation=form)
    model.prepare(DATA, SPLIT)
    rows = torch.as_tensor(DATA.distributions[SPLIT.train])
    torch.testing.assert_close(model.target_correlation, losses.label_correlation(rows, form))
    assert not torch.allclose(
        model.target_correlation, losses.label_correlation(torch.as_tensor(DATA.distributions), form)
    )


def test_per_sample_correlation_uses_each_windows_own():
    model, terms = gradients(correlation="per-sample")
    truth = torch.as_tensor(DATA.distributions)
    expected = ((model.learned_correlation() - losses.outer_correlation(truth)) ** 2).mean()
    torch.testing.assert_close(terms["correlation"], expected)


def test_first_answer_is_near_the_training_mean():
    model = helo.build("helo", DATA, seed=0)
    model.prepare(DATA, SPLIT)
    answer = model.eval()(*as_batch(DATA)).distributions
    mean = torch.as_tensor(DATA.distributions[SPLIT.train]).mean(0)
    assert (answer - mean).abs().max() < 0.05


def test_r_steers_the_label_attention():
    """A = softmax(Q K^T / sqrt(d) + gain R): with Q K^T silenced, the map is softmax(gain R)."""
    model = helo.build("helo", DATA, seed=0, **SMALL).eval()
    with torch.no_grad():
        model.lcd_query.weight.zero_()
        model.lcd_query.bias.zero_()
    found = model(*as_batch(DATA)).attention["labels"]
    expected = (model.gain * model.learned_correlation()).softmax(-1)
    torch.testing.assert_close(found, expected.expand_as(found))


def test_label_attention_is_the_formula():
    """Step 5 written out: tokens through key and value maps, pooled by the seeds, asked by the labels; gaps ignored."""
    torch.manual_seed(0)
    model = helo.build("helo", DATA, seed=0, **SMALL).eval()
    fused, mask = torch.randn(3, 7, 16), torch.rand(3, 7) > 0.3
    found = model.label_driven(fused, mask, {})
    for b in range(3):
        tokens = fused[b, mask[b]]
        cosines = torch.nn.functional.cosine_similarity(model.seeds[:, None], model.compress_key(tokens), dim=-1)
        pool = (model.sharpness * cosines).softmax(-1)
        compressed = pool @ model.compress_value(tokens)
        embedding = model.label_embedding
        logits = model.lcd_query(embedding) @ model.lcd_key(compressed).T / 4 + model.gain * model.learned_correlation()
        weights = logits.softmax(-1)
        expected = torch.nn.functional.layer_norm(embedding + weights @ model.lcd_value(compressed), (16,))
        torch.testing.assert_close(found[b], expected, atol=1e-5, rtol=1e-4)


def test_transport_carries_physiology_to_behavior():
    """With a plan that is a permutation, the carried tokens are the permuted ones."""
    model = helo.build("helo", DATA, seed=0, **SMALL, epsilon=0.002, iterations=500).eval()
    model.physiological_blocks, model.behavioral_blocks = torch.nn.ModuleList(), torch.nn.ModuleList()
    z = torch.randn(1, 4, 16)
    order = [2, 0, 3, 1]
    there = torch.ones(1, 4, dtype=bool)
    fused, _, plan, _ = model.transport_and_fuse(z, there, z[:, order], there)
    torch.testing.assert_close(fused, model.read(z[:, order], z[:, order]), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(plan.sum(2), torch.full((1, 4), 0.25), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["helo", "early"])
def test_input_dropout_hides_single_features_in_training_only(name):
    model = helo.build(name, DATA, seed=0, width=16, input_dropout=0.5)
    signals = {m: torch.randn(400, *shape) for m, shape in DATA.layout.shapes.items()}
    masks = {m: torch.ones(x.shape[:2], dtype=torch.bool) for m, x in signals.items()}
    torch.manual_seed(0)
    seen = model.train().standardise(signals, masks)
    for m, x in seen.items():
        hidden = (x == 0).float()
        assert hidden.mean() == pytest.approx(0.5, abs=0.05), m
        assert hidden.flatten(1).mean(0).std() < 0.1, m  # every feature and token alike
        torch.testing.assert_close(x[x != 0], 2 * signals[m][x != 0])
    for m, x in model.eval().standardise(signals, masks).items():
        torch.testing.assert_close(x, signals[m])


def test_dropkey_hides_keys_in_training_only():
    model = helo.build("helo", DATA, seed=0, **SMALL, dropkey=0.5)
    a, b = (model(*as_batch(DATA)).distributions for _ in range(2))
    assert not torch.equal(a, b)
    model.eval()
    a, b = (model(*as_batch(DATA)).distributions for _ in range(2))
    assert torch.equal(a, b)


def test_label_correlation_is_learned(study):
    """Within 0.15 of the TRUE correlation of the simulated study, off the diagonal."""
    split = helo.splits.by_subject(study, 4)[0]
    model = helo.build("helo", study, seed=0)
    before = correlation_gap(model.learned_correlation().detach(), study.truth["label_correlation"])
    helo.fit(model, study, split, epochs=30, progress=False)
    learned = model.learned_correlation().detach()
    assert correlation_gap(learned, study.truth["label_correlation"]) < 0.15 < before
    without = helo.build("helo", study, seed=0, correlation_weight=0.0)
    helo.fit(without, study, split, epochs=5, progress=False)
    assert correlation_gap(without.learned_correlation().detach(), study.truth["label_correlation"]) > 0.15


def test_beats_the_training_mean_on_real_people(wesad):
    table = helo.evaluate(["mean", "helo"], wesad, folds=3, epochs=8, progress=False)
    kl = {m: np.average(t.kl, weights=t.windows) for m, t in table.groupby("model")}
    assert kl["helo"] < kl["mean"] - 0.001


def test_ridge_finds_a_linear_rule():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 1, 4)).astype(np.float32)
    w = rng.normal(size=(4, 3))
    d = np.exp(x[:, 0] @ w)
    d = (d / d.sum(1, keepdims=True)).astype(np.float32)
    data = random_data(
        n=400,
        emotions=3,
        shapes={"eda": (1, 2), "face": (1, 2)},
        distributions=d,
        signals={"eda": x[..., :2], "face": x[..., 2:]},
    )
    split = helo.splits.by_subject(data)[0]
    model = helo.build("ridge", data)
    helo.fit(model, data, split, progress=False)
    assert helo.score(d[split.test], helo.predict(model, data, split.test).distributions)["kl"] < 1e-3
    assert model.strength == 1  # nothing to shrink: the weakest of the strengths tried


def test_mixture_of_known_conditions():
    rng = np.random.default_rng(0)
    condition = np.tile(["calm", "stress"], 100)
    x = (rng.normal(size=(200, 1, 2)) + 8 * (condition == "stress")[:, None, None]).astype(np.float32)
    means = {"calm": [0.7, 0.2, 0.1], "stress": [0.1, 0.1, 0.8]}
    data = random_data(
        n=200,
        emotions=3,
        shapes={"eda": (1, 2), "face": (1, 2)},
        signals={"eda": x, "face": x},
        distributions=np.array([means[c] for c in condition]),
        conditions=condition,
    )
    split = helo.splits.by_subject(data)[0]
    model = helo.build("mixture", data)
    helo.fit(model, data, split, progress=False)
    answer = helo.predict(model, data, split.test).distributions
    assert np.abs(answer - data.distributions[split.test]).mean() < 0.005
    with pytest.raises(ValueError, match="conditions are not known"):
        helo.fit(helo.build("mixture", random_data()), random_data(), SPLIT, progress=False)


def test_mixture_of_people_who_each_met_one_condition():
    """Left out one at a time, those who remain may have met one alone; scikit-learn's error was the answer."""
    data = random_data(conditions=np.repeat(["x", "y", "x", "y"], 10))
    for split in helo.splits.by_subject(data):
        model = helo.build("mixture", data)
        helo.fit(model, data, split, progress=False)
        assert np.isfinite(helo.predict(model, data).distributions).all()


def test_mixture_with_a_condition_that_training_never_saw():
    conditions = np.repeat(["x", "y", "z", "w"], 10)
    data = random_data(conditions=conditions)
    model = helo.build("mixture", data)
    helo.fit(model, data, SPLIT, progress=False)
    assert helo.predict(model, data).distributions.sum(1) == pytest.approx(1, abs=1e-5)
