"""Sinkhorn's scalings one by one: what they are, where they end, and that the picture's numbers are theirs."""

import numpy as np
import ot
import pytest
import torch

from helo import transport
from helo.views import by_hand

COST = np.array([[0.1, 0.9, 0.5], [0.8, 0.2, 0.4]])


def trace(figure, kind, number=1):
    axis = "x" if number == 1 else f"x{number}"
    return [t for t in figure.data if t.type == kind and (t.xaxis or "x") == axis]


@pytest.mark.parametrize("epsilon", [1.0, 0.2, 0.05])
def test_every_second_scaling_is_an_iteration_of_pot(epsilon):
    u, v = np.array([0.3, 0.7]), np.array([0.2, 0.5, 0.3])
    steps = transport.scalings(torch.tensor(COST), epsilon, torch.tensor(u), torch.tensor(v), iterations=4)
    assert np.allclose(steps[0], np.exp(-COST / epsilon))
    for k in (1, 2, 4):  # POT scales the other side first
        theirs = ot.sinkhorn(v, u, COST.T, epsilon, numItermax=k, stopThr=0, warn=False).T
        assert np.allclose(steps[2 * k], theirs, rtol=1e-10)


def test_a_scaling_makes_one_side_right_and_moves_the_other():
    steps = transport.scalings(torch.tensor(COST), 0.2, iterations=5).numpy()
    assert np.allclose(steps[1::2].sum(2), 1 / 2) and np.allclose(steps[2::2].sum(1), 1 / 3)
    by_calculator = np.exp(-COST[0] / 0.2)
    assert np.allclose(steps[1][0], by_calculator * 0.5 / by_calculator.sum())
    even = (torch.full((n,), 1 / n) for n in COST.shape)
    assert (np.diff(transport.marginal_error(torch.tensor(steps), *even)) < 0).all()


@pytest.mark.parametrize("epsilon", [1.0, 0.2, 0.05])
def test_they_end_where_the_plan_does(epsilon):
    steps = transport.scalings(torch.tensor(COST), epsilon, iterations=3000)
    assert torch.allclose(steps[-1], transport.plan(torch.tensor(COST), epsilon, iterations=3000), atol=1e-10)


def test_a_small_epsilon_ends_at_the_exact_plan():
    exact = ot.emd(np.full(2, 1 / 2), np.full(3, 1 / 3), COST)
    assert np.allclose(transport.scalings(torch.tensor(COST), 0.01, iterations=50_000)[-1], exact, atol=1e-4)


def test_a_kernel_without_a_number_is_an_error():
    with pytest.raises(ValueError, match="epsilon is 0.0001: .* 0 in a whole row or column"):
        transport.scalings(torch.tensor(COST), 1e-4)


@pytest.mark.parametrize("step", [0, 1, 2, 20])
def test_the_numbers_of_the_picture_are_those_of_the_scaling(step):
    figure = by_hand.scaling(COST, 0.2, step)
    plan = transport.scalings(torch.tensor(COST), 0.2)[step].numpy()
    for number, expected in ((1, COST), (2, np.exp(-COST / 0.2)), (4, plan)):
        (cells,) = trace(figure, "heatmap", number)
        assert np.allclose(cells.z, expected) and cells.texttemplate == "%{z:.3f}"
    (sums,) = trace(figure, "scatter", 4)
    told = {(x, y): text for x, y, text in zip(sums.x, sums.y, sums.text, strict=True)}
    assert told["sum", "body 1"] == f"{plan[0].sum():.3f}" and told["asked", "body 1"] == "0.500"
    assert told["face 2", "sum"] == f"{plan[:, 1].sum():.3f}" and told["face 2", "asked"] == "0.333"
    if step % 2 == 0:  # the rows' turn
        assert told["times", "body 2"] == f"×{0.5 / plan[1].sum():.3f}" and ("face 1", "times") not in told
    else:
        assert told["face 1", "times"] == f"×{1 / 3 / plan[:, 0].sum():.3f}" and ("times", "body 2") not in told
    curve, mark = trace(figure, "scatter", 5)
    assert list(mark.x) == [step] and mark.y[0] == curve.y[step] and (np.diff(curve.y) < 0).all()


def test_the_next_step_is_told_so_that_a_calculator_can_follow():
    title = by_hand.scaling(COST, 0.2, 0).layout.title.text
    assert title == "Next: every row times asked / sum.<br>body 1: 0.500 / (0.607 + 0.011 + 0.082) = 0.715"
    first = trace(by_hand.scaling(COST, 0.2, 1), "heatmap", 4)[0].z[0]
    assert np.allclose(first, np.array([0.607, 0.011, 0.082]) * 0.715, atol=1e-3)


def test_exact_stands_beside_entropic_and_costs_no_more():
    figure = by_hand.scaling(COST, 0.2, 20)
    (exact,) = trace(figure, "heatmap", 3)
    assert np.allclose(exact.z, [[1 / 3, 0, 1 / 6], [0, 1 / 3, 1 / 6]])
    costs = [note.text.split("= ")[1] for note in figure.layout.annotations if "⟨T, C⟩" in note.text]
    steps = transport.scalings(torch.tensor(COST), 0.2)
    assert costs == ["0.250", f"{(steps[20].numpy() * COST).sum():.3f}"] and costs[1] > costs[0]
    assert "⟨T, C⟩" not in by_hand.scaling(COST, 0.2, 0).layout.annotations[3].text  # sums to nothing that was asked


def test_without_controls_the_steps_stand_side_by_side():
    figure = by_hand.scalings(COST, 0.2, steps=(0, 1, 20))
    titles = [note.text for note in figure.layout.annotations]
    assert titles == [
        "cost C",
        "kernel exp(−C / 0.2)",
        "after 1 scaling (rows last)",
        "after 20 scalings (columns last)",
        "exact plan",
        "marginal error",
    ]
    steps = transport.scalings(torch.tensor(COST), 0.2).numpy()
    for number, expected in ((2, steps[0]), (3, steps[1]), (4, steps[20])):
        assert np.allclose(trace(figure, "heatmap", number)[0].z, expected)


def test_play_step_and_back_move_the_numbers():
    box = by_hand.explorer(COST)
    play, forward, back, again = box.children[0].children
    step, epsilon = (next(w for w in box.children if getattr(w, "description", "") == name) for name in NAMES)
    shown = lambda: np.array(next(t for t in box.picture.data if t.xaxis == "x4" and t.type == "heatmap").z)  # noqa: E731
    steps = transport.scalings(torch.tensor(COST), epsilon.value).numpy()
    assert play.max == step.max == len(steps) - 1
    for press, at in ((forward, 1), (forward, 2), (back, 1), (again, 0), (back, 0)):
        press.click()
        assert step.value == at and np.allclose(shown(), steps[at])
    step.value = step.max
    forward.click()
    assert step.value == step.max
    epsilon.value = 1.0
    assert np.allclose(shown(), transport.scalings(torch.tensor(COST), 1.0)[-1])


NAMES = ("scalings done", "epsilon")
