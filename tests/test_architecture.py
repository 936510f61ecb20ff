"""The architecture's picture is what the model computes: any system, any option, any data."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, as_batch, random_data

import helo
from helo import models, views
from helo.views.architectures import _TAUGHT
from helo.views.layers import place
from helo.views.tracing import blocks


@pytest.fixture(scope="module")
def built(simulated):
    """Every model there is; those that are solved have been."""
    split = helo.splits.by_subject(simulated, folds=3)[0]

    def build(name, **options):
        model = helo.build(name, simulated, **options)
        if model.closed_form:
            helo.fit(model, simulated, split, progress=False)
        return model

    return build


def named(drawn, name):
    return [block for block in drawn if block.name == name]


def ancestors(drawn, k):
    return {k}.union(*(ancestors(drawn, s) for s in drawn[k].sources))


def test_the_shapes_are_those_of_the_forward_pass(simulated, built):
    model = built("helo", width=32)
    drawn = blocks(model)
    said = helo.predict(model, simulated, [0, 1])
    x, _, y, _ = model.both_sides(*as_batch(simulated, slice(0, 2)))
    (plan,), (answer,) = named(drawn, "plan"), named(drawn, "distribution")
    assert plan.shape == said.plans.shape[1:] == (x.shape[1], y.shape[1])
    assert answer.shape == said.distributions.shape[1:]
    (labels,), (pooling,) = named(drawn, "label attention"), named(drawn, "compression")
    assert labels.shape == said.attention["labels"].shape[1:] and pooling.shape == said.attention["pooling"].shape[1:]
    assert [b.shape for b in named(drawn, "cross-attention")] == [(6, 32), (6, 32)]
    for m, x in simulated.signals.items():
        assert named(drawn, m)[0].shape == x.shape[1:]
    shown = views.architecture(model).data
    assert all(f">{m}</b>" in shown for m in simulated.signals) and ">12 × 6<" in shown and "8 emotions" in shown


@pytest.mark.parametrize("name", models.available())
def test_the_arrows_are_where_gradients_flow(simulated, built, name):
    """A modality has a way to the answer exactly where the answer has a slope by it."""
    model = built(name).eval()
    drawn = blocks(model)
    reached = {drawn[k].name for k in ancestors(drawn, len(drawn) - 1) if drawn[k].kind == "data"}
    torch.manual_seed(0)
    signals = {m: torch.randn(5, *shape, requires_grad=True) for m, shape in model.layout.shapes.items()}
    masks = {m: torch.ones(x.shape[:2], dtype=torch.bool) for m, x in signals.items()}
    answer = model(signals, masks).log_distributions
    if answer.requires_grad:
        slopes = torch.autograd.grad(answer[:, 0].sum(), list(signals.values()), allow_unused=True)
        moved = {m for m, g in zip(signals, slopes, strict=True) if g is not None and g.abs().max() > 0}
    else:  # neighbours are chosen, which has no slope
        moved = set()
        for m, x in signals.items():
            other = model(signals | {m: x + 100 * torch.randn_like(x)}, masks).log_distributions
            moved |= set() if torch.equal(other, answer) else {m}
    assert reached == moved


@pytest.mark.parametrize("name", models.systems())
def test_every_part_that_can_be_knocked_out_is_drawn_where_it_is_asked_for(built, name):
    model = built(name)
    drawn = blocks(model)
    missing = set(model.parts) - {block.name for block in drawn}
    assert missing <= {"prompts"}, "a mask is no block"
    for block in (block for block in drawn if block.name in model.parts and block.kind != "method"):
        lines = (ROOT / block.file).read_text().splitlines()
        assert "part(" in "".join(lines[block.line - 4 : block.line]), f"{block.name}: {block.file}:{block.line}"


def test_an_option_changes_the_picture(simulated, built):
    names = {name: {block.name for block in blocks(built(name))} for name in models.available() if "helo" in name}
    assert not {"plan", "carried tokens"} & names["helo-no-ot"] and "cross-attention" not in names["helo-no-cross"]
    assert names["helo"] - names["helo-no-r"] == {"R"} and names["helo-gromov"] == names["helo"]
    assert named(blocks(built("helo-no-cross")), "plan")[0].shape == (18, 6)
    assert "correlation" not in views.architecture(built("helo-no-lcc")).data.split("losses</b>")[1].split("<br>")[0]
    assert len(named(blocks(built("helo", depth=3)), "behavioral blocks 3")) == 1


def test_one_modality_fewer(simulated):
    less = dataclasses.replace(
        simulated,
        signals={m: x for m, x in simulated.signals.items() if m != "temp"},
        masks={m: x for m, x in simulated.masks.items() if m != "temp"},
        roles={"physiological": ("bvp", "eda"), "behavioral": ("face",)},
        features={m: n for m, n in simulated.features.items() if m != "temp"},
        tokens={m: n for m, n in simulated.tokens.items() if m != "temp"},
    )
    drawn = blocks(helo.build("helo", less))
    assert not named(drawn, "temp") and len(named(drawn, "cross-attention")) == 1
    assert named(drawn, "plan")[0].shape == (6, 6)


def many():
    shapes = {f"m{k}": (k % 3 + 1, k + 2) for k in range(11)}
    roles = {"physiological": [f"m{k}" for k in range(7)], "behavioral": [f"m{k}" for k in range(7, 11)]}
    return random_data(shapes=shapes, roles=roles, emotions=24)


@pytest.mark.parametrize("data", ["simulated", "many modalities"])
@pytest.mark.parametrize("name", [n for n in models.available() if not models.is_closed_form(n)])
def test_no_box_lies_on_another_and_no_arrow_goes_through_one(simulated, name, data):
    drawn = blocks(helo.build(name, simulated if data == "simulated" else many()))
    places = place(drawn)
    halves = [w / 2 for w in places.widths]
    boxes = [(row, x - w, x + w) for row, x, w in zip(places.rows, places.centers, halves, strict=True)]
    assert all(low >= -1e-6 and high <= 100 + 1e-6 for _, low, high in boxes)
    for k, (row, low, high) in enumerate(boxes):
        assert all(row != r or high <= a + 1e-6 or low >= b - 1e-6 for j, (r, a, b) in enumerate(boxes) if j != k)
    for (s, t), xs in places.arrows.items():
        assert places.rows[s] < places.rows[t] and len(xs) == places.rows[t] - places.rows[s] + 1, "arrows point down"
        for row, x in enumerate(xs[1:-1], places.rows[s] + 1):
            assert not any(r == row and a < x < b for r, a, b in boxes), f"{drawn[s].name} to {drawn[t].name}"
    steps = [block.step for block in drawn]
    assert all(
        places.rows[k] <= places.rows[j]
        for k in range(len(steps))
        for j in range(k, len(steps))
        if steps[k] != steps[j]
    )


def test_looking_changes_nothing(simulated, built):
    model = built("helo-release")
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state = torch.random.get_rng_state()
    assert model.training
    first, second = views.architecture(model).data, views.architecture(model).data
    assert first == second and model.training and "part" not in vars(model)
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_the_seven_steps_are_numbered_and_lead_to_code_and_notebook(built):
    shown = views.architecture(built("helo")).data
    steps = re.findall(r"<b>(\d) (?!emotions)([\w ]+)", shown)
    assert sorted(int(number) for number, _ in steps) == [1, 2, 3, 4, 5, 6, 7]
    links = set(re.findall(r'href="\.\./([^"]+)"', shown))
    assert all((ROOT / link).is_file() for link in links) and "helo/models/helo.py" in links
    assert {"notebooks/01_explore.ipynb", "notebooks/03_transport.ipynb", "notebooks/04_correlation.ipynb"} <= links
    for name, notebook in _TAUGHT.items():
        kind, _, method = name.partition(".")
        kinds = {k.__name__: k for k in (type(built("helo")), type(built("foalnet")))}
        assert hasattr(kinds[kind], method) and (ROOT / "notebooks" / f"{notebook}.ipynb").exists()
    assert "href" not in views.architecture(built("helo"), root=None).data


def test_names_of_modalities_are_text(simulated):
    data = random_data(shapes={"<b>x": (2, 3), 'a"b': (2, 3)}, roles={"physiological": ["<b>x"], "behavioral": ['a"b']})
    shown = views.architecture(helo.build("helo", data)).data
    assert "<b><b>" not in shown and "&lt;b&gt;x" in shown and 'a"b' not in shown


def test_what_cannot_answer_yet_says_so(simulated):
    with pytest.raises(ValueError, match="ridge cannot answer yet .* fit it first"):
        views.architecture(helo.build("ridge", simulated))


def test_code_outside_the_project_has_no_link(built):
    """A system of one's own, in a notebook: its file is none of the project's."""
    drawn = blocks(built("early"))
    assert all(not block.file or (ROOT / block.file).is_file() for block in drawn)
    assert np.all([Path(block.file).suffix == ".py" for block in drawn if block.file])
