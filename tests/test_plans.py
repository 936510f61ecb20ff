"""The explorer of plans: a flat plan looks flat, colors keep their meaning, and what flows exceeds the even share."""

import dataclasses

import numpy as np
import pytest
import torch

import helo
from helo import transport, views
from helo.views import explore
from helo.views.plans import MARGIN


@pytest.fixture(scope="module")
def model(simulated):
    return helo.build("helo", simulated, width=32).eval()


def heatmaps(figure):
    return [t for t in figure.data if t.type == "heatmap"]


def scatter(figure, mode):
    return next(t for t in figure.data if t.type == "scatter" and t.mode == mode)


def flows(figure, n=12, m=6):
    """(row, column, width) of every line that is drawn in the panel of flows."""
    found = []
    for t in figure.data:
        if (t.name or "").startswith("flows above"):
            y = np.array(t.y, float).reshape(-1, 3)
            assert np.isnan(y[:, 2]).all() and list(t.x[:2]) in ([], [0, 1])
            found += [(round(left * (n - 1)), round(right * (m - 1)), t.line.width) for left, right, _ in y]
    return found


def ends(drawn):
    return {(row, column) for row, column, _ in drawn}


def above(multiples):
    return {(row, column) for row, column in np.argwhere(multiples > MARGIN).tolist()}


@pytest.mark.parametrize("epsilon", [0.02, 0.1, 100.0])
@pytest.mark.parametrize("index", [3, 40])
def test_colors_are_multiples_of_the_even_plan_on_one_scale(simulated, model, index, epsilon):
    figure = views.transport(model, simulated, index, epsilon)
    _, *plans = heatmaps(figure)
    for shown in plans:
        mass, multiple = np.moveaxis(np.array(shown.customdata), -1, 0)
        n, m = mass.shape
        assert np.allclose(multiple, mass * n * m, rtol=1e-5)
        assert np.allclose(shown.z, np.log2(np.maximum(multiple, 1 / m)), atol=1e-5)  # m is the smaller side
        assert -shown.zmin == shown.zmax == np.log2(m)
    assert plans[0].colorscale == plans[1].colorscale


def test_a_flat_plan_is_one_colour_and_nothing_flows(simulated, model):
    figure = views.transport(model, simulated, 3, 1e4)
    for shown in heatmaps(figure)[1:]:
        assert np.abs(shown.z).max() < 0.01 * shown.zmax
    assert flows(figure) == [] and scatter(figure, "text").text == ("none",)


@pytest.mark.parametrize("epsilon", [0.02, 0.1, 0.5])
def test_what_flows_exceeds_the_even_plan_by_the_margin(simulated, model, epsilon):
    figure = views.transport(model, simulated, 3, epsilon)
    multiples = np.array(heatmaps(figure)[1].customdata)[..., 1]
    drawn = flows(figure)
    assert ends(drawn) == above(multiples)
    by_width = [(width, multiples[row, column]) for row, column, width in drawn]
    widths, values = (np.array(column) for column in zip(*by_width, strict=True)) if by_width else ([], [])
    for width in set(widths):  # a wider line is a larger share
        assert values[widths > width].min(initial=np.inf) >= values[widths == width].max()
    assert f"{MARGIN:g} × even" in figure.layout.annotations[3].text


def test_the_flows_are_those_of_the_plan_that_the_model_uses(simulated):
    gromov = helo.build("helo-gromov", simulated, width=32).eval()
    figure = views.transport(gromov, simulated, 3, 0.01)
    multiples = np.array(heatmaps(figure)[2].customdata)[..., 1]
    assert (multiples > MARGIN).any()
    assert ends(flows(figure)) == above(multiples)


def test_an_outlier_of_one_plan_leaves_the_other_plans_colors_alone(simulated, model, monkeypatch):
    before = heatmaps(views.transport(model, simulated, 3, 0.1))[1]

    def all_in_one_cell(cost_x, cost_y, *_):
        one = torch.zeros(1, cost_x.shape[1], cost_y.shape[1])
        one[0, 0, 0] = 1
        return one

    monkeypatch.setattr(transport, "gromov_plan", all_in_one_cell)
    after = heatmaps(views.transport(model, simulated, 3, 0.1))[1]
    assert np.array_equal(before.z, after.z) and (before.zmin, before.zmax) == (after.zmin, after.zmax)


def test_no_line_reaches_a_label(simulated, model):
    figure = views.transport(model, simulated, 3, 0.02)
    labels = scatter(figure, "markers+text")
    assert {(x, bool(text)) for x, text in zip(labels.x, labels.text, strict=True)} == {(0, False), (1, True)}
    assert labels.textposition == "middle right" and figure.layout.xaxis4.range[1] > 1.5
    assert len(figure.layout.yaxis4.ticktext) == 12  # the body's stand outside of the panel, as its axis


def test_a_missing_token_has_no_colour_and_no_flow(simulated, model):
    masks = {m: mask.copy() for m, mask in simulated.masks.items()}
    masks["face"][3, 2] = False
    figure = views.transport(model, dataclasses.replace(simulated, masks=masks), 3, 0.02)
    for shown in heatmaps(figure)[1:]:
        z = np.array(shown.z, float)
        assert np.isnan(z[:, 2]).all() and np.isfinite(np.delete(z, 2, 1)).all()
    assert flows(figure) and all(column != 2 for _, column in ends(flows(figure)))
    assert {s.xref for s in figure.layout.shapes} == {"x2 domain", "x3 domain"}  # grey shows through, not white: even


def test_the_number_of_traces_does_not_depend_on_the_window_or_epsilon(simulated, model):
    """A moved slider then changes numbers in the browser, and builds nothing anew."""
    counts = {len(views.transport(model, simulated, k, e).data) for k in (3, 40) for e in (0.01, 0.1, 10.0)}
    assert len(counts) == 1


def test_the_explorer_opens_where_the_figures_above_it_are(simulated, model):
    index = np.array([5, 17, 40])
    title = explore.transport(model, simulated, index, 2).picture.layout.title.text
    assert "window 40;" in title
