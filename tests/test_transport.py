import numpy as np
import ot
import pytest
import torch

from helo import transport

torch.manual_seed(0)


def problem(batch=4, n=5, m=7, seed=0, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)
    x, y = torch.randn(batch, n, 3, generator=g, dtype=dtype), torch.randn(batch, m, 3, generator=g, dtype=dtype)
    u = torch.rand(batch, n, generator=g, dtype=dtype) + 0.2
    v = torch.rand(batch, m, generator=g, dtype=dtype) + 0.2
    return transport.cosine_cost(x, y), u / u.sum(1, keepdim=True), v / v.sum(1, keepdim=True)


def test_cosine_cost():
    x = torch.tensor([[[1.0, 0], [0, 2], [-3, 0]]])
    torch.testing.assert_close(transport.cosine_cost(x, x)[0], torch.tensor([[0.0, 1, 2], [1, 0, 1], [2, 1, 0]]))
    y = torch.randn(1, 4, 2)
    torch.testing.assert_close(transport.cosine_cost(5 * x, y), transport.cosine_cost(x, 0.1 * y))


def test_marginals():
    cost, u, v = problem()
    plan = transport.plan(cost, 0.1, u, v, iterations=500)
    assert (plan >= 0).all()
    assert transport.marginal_error(plan, u, v).max() < 1e-6
    torch.testing.assert_close(plan.sum(1), v)
    # too few iterations are reported, not hidden
    assert transport.marginal_error(transport.plan(cost, 0.01, u, v, iterations=2), u, v).max() > 1e-3


@pytest.mark.parametrize("n, m", [(5, 7), (24, 30)])  # below and above 400 entries the products are written in two ways
def test_agrees_with_pot_one_by_one(n, m):
    cost, u, v = problem(n=n, m=m)
    plan = transport.plan(cost, 0.1, u, v, iterations=1000)
    for k in range(len(cost)):
        reference = ot.sinkhorn(u[k].numpy(), v[k].numpy(), cost[k].numpy(), 0.1, method="sinkhorn_log", stopThr=1e-12)
        np.testing.assert_allclose(plan[k], reference, atol=1e-8)


def test_becomes_exact_transport_as_epsilon_falls():
    cost, u, v = problem()
    exact = torch.tensor([ot.emd2(a.numpy(), b.numpy(), c.numpy()) for a, b, c in zip(u, v, cost, strict=True)])
    gaps = []
    for epsilon in (0.3, 0.1, 0.03, 0.01, 0.003):
        plan = transport.plan(cost, epsilon, u, v, iterations=20000)
        gaps.append(((plan * cost).sum((1, 2)) - exact).abs().max().item())
    assert gaps == sorted(gaps, reverse=True) and gaps[-1] < 2e-3
    reference = np.stack([ot.emd(a.numpy(), b.numpy(), c.numpy()) for a, b, c in zip(u, v, cost, strict=True)])
    np.testing.assert_allclose(plan, reference, atol=0.01)


def test_becomes_independent_as_epsilon_grows():
    cost, u, v = problem()
    torch.testing.assert_close(transport.plan(cost, 1e4, u, v), u[:, :, None] * v[:, None], atol=1e-4, rtol=0)


def test_closed_form_of_two_by_two():
    # cost 0 on the diagonal, 1 off it, uniform marginals: T_11 / T_12 = exp(1 / epsilon)
    plan = transport.plan(1 - torch.eye(2, dtype=torch.float64)[None], 0.5)[0]
    a = np.exp(2) / (1 + np.exp(2)) / 2
    np.testing.assert_allclose(plan, [[a, 0.5 - a], [0.5 - a, a]], atol=1e-12)


@pytest.mark.parametrize("epsilon", [0.05, 0.2, 1.0])
def test_gradient_against_finite_differences(epsilon):
    cost, u, v = problem(batch=2, n=3, m=4)
    weight = torch.randn(2, 3, 4, dtype=torch.float64)

    def loss(c):
        return (transport.plan(c, epsilon, u, v, iterations=3000) * weight).sum() ** 2

    assert torch.autograd.gradcheck(loss, cost.clone().requires_grad_(), eps=1e-6, atol=1e-5, rtol=1e-4)


def test_gradient_against_unrolled_sinkhorn():
    cost, u, v = problem(n=6, m=6)
    weight = torch.randn(4, 6, 6, dtype=torch.float64)
    c = cost.clone().requires_grad_()
    (transport.plan(c, 0.1, u, v, iterations=500) * weight).sum().backward()
    unrolled = cost.clone().requires_grad_()
    f, g = torch.zeros_like(u), torch.zeros_like(v)
    for _ in range(500):
        f = u.log() - torch.logsumexp(-unrolled / 0.1 + g[:, None], 2)
        g = v.log() - torch.logsumexp(-unrolled / 0.1 + f[:, :, None], 1)
    ((-unrolled / 0.1 + f[:, :, None] + g[:, None]).exp() * weight).sum().backward()
    torch.testing.assert_close(c.grad, unrolled.grad, atol=1e-7, rtol=1e-5)


def test_gradient_in_float32_and_at_small_epsilon():
    cost, u, v = problem(n=12, m=12)
    weight = torch.randn(4, 12, 12, dtype=torch.float64)
    grads = []
    for dtype in (torch.float64, torch.float32):
        c = cost.detach().to(dtype).clone().requires_grad_()
        (transport.plan(c, 0.1, u.to(dtype), v.to(dtype), iterations=300) * weight.to(dtype)).sum().backward()
        grads.append(c.grad.double().flatten())
    assert torch.cosine_similarity(*grads, dim=0) > 0.9999
    c = cost.detach().float().requires_grad_()
    (transport.plan(c, 0.002, u.float(), v.float(), iterations=300) * weight.float()).sum().backward()
    assert torch.isfinite(c.grad).all()


@pytest.mark.parametrize("tolerance", [1e-3, 1e-5])
@pytest.mark.parametrize("n, m", [(5, 7), (30, 25)])
def test_every_problem_stops_by_its_own_marginal_error(n, m, tolerance):
    """Each plan is that of the first look, every 4 iterations, at which its error was small enough; alone or not."""
    cost, u, v = problem(batch=12, n=n, m=m)
    cost = cost * torch.linspace(0.05, 3, 12, dtype=cost.dtype)[:, None, None]  # from easy to hard
    plans = transport.plan(cost, 0.1, u, v, 2000, tolerance)
    assert (transport.marginal_error(plans, u, v) <= tolerance).all()
    needed = []
    for k in range(12):
        one = cost[k : k + 1], 0.1, u[k : k + 1], v[k : k + 1]
        looks = range(4, 2001, 4)
        errors = (float(transport.marginal_error(transport.plan(*one, i), u[k : k + 1], v[k : k + 1])) for i in looks)
        needed.append(next(i for i, error in zip(looks, errors, strict=False) if error <= tolerance))
        torch.testing.assert_close(plans[k : k + 1], transport.plan(*one, needed[-1]), atol=1e-14, rtol=1e-11)
        torch.testing.assert_close(plans[k : k + 1], transport.plan(*one, 2000, tolerance), atol=1e-14, rtol=1e-11)
    assert max(needed) > 4 * min(needed)  # the batch holds both kinds, or nothing is shown


def test_the_cap_ends_a_problem_that_cannot_reach_its_tolerance():
    cost, u, v = problem(batch=3, n=6, m=6)
    torch.testing.assert_close(transport.plan(cost, 0.05, u, v, 20, 1e-300), transport.plan(cost, 0.05, u, v, 20))
    mixed = torch.stack([cost[0] * 1e-3, cost[1], cost[2]])
    plans = transport.plan(mixed, 0.02, u, v, 10, 1e-6)
    torch.testing.assert_close(plans[1:], transport.plan(mixed, 0.02, u, v, 10)[1:])
    assert transport.marginal_error(plans, u, v)[0] <= 1e-6


def test_gradient_of_plans_that_stopped_by_themselves():
    cost, u, v = problem(batch=4, n=8, m=6)
    weight = torch.randn(4, 8, 6, dtype=torch.float64)
    found = []
    for iterations, tolerance in ((5000, 0.0), (5000, 1e-10)):
        c = cost.clone().requires_grad_()
        (transport.plan(c, 0.05, u, v, iterations, tolerance) * weight).sum().backward()
        found.append(c.grad)
    torch.testing.assert_close(*found, atol=1e-8, rtol=1e-6)


def test_gradient_does_not_depend_on_how_many_share_the_batch():
    """More matrices than are worked on at a time; the backward pass goes through them in blocks."""
    cost, u, v = problem(batch=40, n=50, m=60)
    weight = torch.randn(40, 50, 60, dtype=torch.float64)
    whole, part = cost.clone().requires_grad_(), cost[30:33].clone().requires_grad_()
    (transport.plan(whole, 0.1, u, v) * weight).sum().backward()
    (transport.plan(part, 0.1, u[30:33], v[30:33]) * weight[30:33]).sum().backward()
    torch.testing.assert_close(whole.grad[30:33], part.grad)


@pytest.mark.parametrize("rows, columns", [(2, 3), (20, 30)])
def test_absent_tokens_take_no_mass_and_change_nothing(rows, columns):
    cost, u, v = problem()
    padded = torch.nn.functional.pad(cost, (0, columns, 0, rows), value=0.5).requires_grad_()
    up, vp = torch.nn.functional.pad(u, (0, rows)), torch.nn.functional.pad(v, (0, columns))
    c = cost.clone().requires_grad_()
    plain, wide = transport.plan(c, 0.1, u, v), transport.plan(padded, 0.1, up, vp)
    torch.testing.assert_close(wide[:, :5, :7], plain)
    assert (wide[:, 5:] == 0).all() and (wide[:, :, 7:] == 0).all()
    plain.pow(2).sum().backward()
    wide.pow(2).sum().backward()
    torch.testing.assert_close(padded.grad[:, :5, :7], c.grad)
    assert (padded.grad[:, 5:] == 0).all() and (padded.grad[:, :, 7:] == 0).all()


def test_no_problem_at_all():
    cost = torch.rand(0, 5, 7, requires_grad=True)
    plan = transport.plan(cost, 0.1)
    plan.sum().backward()
    assert plan.shape == cost.grad.shape == (0, 5, 7)


def test_a_side_without_tokens_gives_an_empty_plan():
    cost, u, v = problem()
    u = u.clone()
    u[1] = 0
    c = cost.requires_grad_()
    plan = transport.plan(c, 0.1, u, v)
    plan.sum().backward()
    assert (plan[1] == 0).all() and torch.isfinite(plan).all() and torch.isfinite(c.grad).all()


@pytest.mark.parametrize("n, m", [(5, 7), (24, 30)])
def test_permutations_move_the_plan_along(n, m):
    cost, u, v = problem(n=n, m=m)
    rows, columns, batch = torch.randperm(n), torch.randperm(m), torch.randperm(4)
    plan = transport.plan(cost, 0.1, u, v)
    moved = transport.plan(cost[:, rows][:, :, columns], 0.1, u[:, rows], v[:, columns])
    torch.testing.assert_close(moved, plan[:, rows][:, :, columns])
    torch.testing.assert_close(transport.plan(cost[batch], 0.1, u[batch], v[batch]), plan[batch])
    # an easy and a hard problem do not wait for each other
    torch.testing.assert_close(transport.plan(cost[:1], 0.1, u[:1], v[:1]), plan[:1], rtol=0, atol=0)


def test_one_problem_without_a_batch():
    cost, u, v = problem()
    plan = transport.plan(cost[0], 0.1, u[0], v[0])
    torch.testing.assert_close(plan, transport.plan(cost, 0.1, u, v)[0])
    x = torch.randn(5, 3, dtype=torch.float64)
    torch.testing.assert_close(transport.barycentric_map(plan, x), transport.barycentric_map(plan[None], x[None])[0])
    assert transport.marginal_error(plan, u[0], v[0]).shape == ()


def test_groups_share_out_all_mass():
    plan = torch.arange(12.0).reshape(1, 4, 3)
    found, rows, columns = transport.group_plan(plan, ["b", "a", "b", "a"], ["x", "y", "x"])
    assert rows == ["b", "a"] and columns == ["x", "y"]
    torch.testing.assert_close(found, torch.tensor([[[0.0 + 2 + 6 + 8, 1 + 7], [3 + 5 + 9 + 11, 4 + 10]]]))


def test_barycentric_map():
    x = torch.randn(2, 5, 3)
    identity = torch.eye(5).expand(2, 5, 5) / 5
    torch.testing.assert_close(transport.barycentric_map(identity, x), x)
    swap = identity[:, torch.tensor([1, 0, 2, 3, 4])]  # row 1 goes to column 0
    torch.testing.assert_close(transport.barycentric_map(swap, x)[:, 0], x[:, 1])
    spread = torch.rand(2, 5, 4)
    spread[:, :, 3] = 0
    carried = transport.barycentric_map(spread, torch.ones(2, 5, 3))
    torch.testing.assert_close(carried[:, :3], torch.ones(2, 3, 3))  # means keep the scale
    assert (carried[:, 3] == 0).all()


@pytest.mark.parametrize("even", [True, False])
def test_gromov_agrees_with_pot(even):
    g, rng = torch.Generator().manual_seed(0), np.random.default_rng(0)
    x, y = torch.randn(1, 5, 2, generator=g).double(), torch.randn(1, 6, 3, generator=g).double()
    a, b = torch.cdist(x, x), torch.cdist(y, y)
    u, v = (np.full(n, 1 / n) if even else rng.dirichlet(np.ones(n)) for n in (5, 6))
    masses = () if even else (torch.tensor(u)[None], torch.tensor(v)[None])
    ours = transport.gromov_plan(a, b, 0.5, *masses, iterations=500, outer=200)[0]
    theirs = ot.gromov.entropic_gromov_wasserstein(
        a[0].numpy(), b[0].numpy(), u, v, "square_loss", epsilon=0.5, max_iter=200, tol=1e-12
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_gromov_finds_a_relabelling():
    x = torch.tensor([[0.0], [1.0], [3.0], [7.0]]).double()
    order = [2, 0, 3, 1]
    a = torch.cdist(x, x)[None]
    plan = transport.gromov_plan(a, a[:, order][:, :, order], 0.3, iterations=500, outer=200)[0]
    assert plan.argmax(1).tolist() == [order.index(i) for i in range(4)]
    c = a.clone().requires_grad_()
    transport.gromov_plan(c, a, 0.5).pow(2).sum().backward()
    assert torch.isfinite(c.grad).all() and c.grad.abs().sum() > 0


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"epsilon": 0}, "epsilon is 0"),
        ({"epsilon": float("nan")}, "epsilon is nan"),
        ({"iterations": 0}, "iterations is 0"),
        ({"tolerance": -1e-4}, "tolerance is -0.0001"),
        ({"u": torch.ones(4, 6) / 6}, r"expected \(4, 5\) and \(4, 7\)"),
        ({"cost": torch.rand(5)}, "expected \\(batch, rows, columns\\)"),
    ],
)
def test_bad_arguments(arguments, message):
    cost, _, _ = problem()
    with pytest.raises(ValueError, match=message):
        transport.plan(**({"cost": cost, "epsilon": 0.1} | arguments))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("epsilon", [1e-3, 1e-2, 0.3])
def test_nothing_overflows_at_small_epsilon_or_tiny_masses(epsilon, dtype):
    """Costs of a thousand epsilons, masses from nothing to nearly all, far tokens that no cheap way leads to."""
    g, rng = torch.Generator().manual_seed(1), np.random.default_rng(1)
    cost = torch.rand(512, 12, 9, generator=g, dtype=torch.float64)
    cost[:, 3] += 1  # a row far from everything
    cost[:, :, 4] += 1
    u, v = (torch.as_tensor(rng.dirichlet(np.full(size, 0.05), 512)).clamp_min(1e-9) for size in (12, 9))
    cost, u, v = (x.to(dtype) for x in (cost, u / u.sum(1, keepdim=True), v / v.sum(1, keepdim=True)))
    c = cost.clone().requires_grad_()
    plan = transport.plan(c, epsilon, u, v, iterations=500)
    (plan * cost).sum().backward()
    assert torch.isfinite(plan).all() and (plan >= 0).all() and torch.isfinite(c.grad).all()
    torch.testing.assert_close(plan.sum(1), v, atol=1e-5, rtol=1e-3)
    # no farther from the rows' masses than POT's logarithms are after as many iterations
    reference = ot.batch.solve_batch(cost, reg=epsilon, a=u, b=v, max_iter=500, tol=1e-30, method="log_sinkhorn").plan
    ours, theirs = (transport.marginal_error(p, u, v) for p in (plan.detach(), reference))
    assert ours.mean() <= 1.1 * theirs.mean() + 1e-5
