"""Entropic optimal transport between two sets of tokens, with the gradient of the converged plan.

    T* = argmin_{T in Pi(u, v)} <T, C> + epsilon sum_ij T_ij (log T_ij - 1),
    Pi(u, v) = {T >= 0 : T 1 = u, T^T 1 = v}

Sinkhorn's iterations solve it (Cuturi, NeurIPS 2013), stabilised as in Schmitzer, SIAM J. Sci. Comput. 2019; the
backward pass differentiates the optimality conditions instead of the iterations, so its memory does not grow with their
number.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from helo.precision import in_float32
from helo.sinkhorn import solve


@in_float32
def cosine_cost(x: Tensor, y: Tensor) -> Tensor:
    """C_ij = 1 - cos(x_i, y_j), in [0, 2].

    Args:
        x: shape (B, n, d).
        y: shape (B, m, d).

    Returns:
        Shape (B, n, m).
    """
    x = torch.nn.functional.normalize(x, dim=-1, eps=1e-6)
    y = torch.nn.functional.normalize(y, dim=-1, eps=1e-6)
    return 1 - x @ y.transpose(-1, -2)


def uniform_marginal(mask: Tensor) -> Tensor:
    """Equal mass on every token that is there: mask (B, n) -> (B, n), rows summing to 1 (0 where no token is there)."""
    there = mask.to(torch.get_default_dtype())
    return there / there.sum(-1, keepdim=True).clamp_min(1)


@in_float32
def plan(
    cost: Tensor,
    epsilon: float,
    u: Tensor | None = None,
    v: Tensor | None = None,
    iterations: int = 50,
    tolerance: float = 0.0,
) -> Tensor:
    """Entropic transport plan, differentiable with respect to the cost.

    Every problem of a batch stops by itself, so a window's plan does not depend on which other windows share its batch;
    read `marginal_error` to see whether the iterations were enough.

    Args:
        cost: shape (B, n, m), or (n, m) for one problem; u and v likewise without B.
        epsilon: strength of the entropy, in units of the cost; towards 0 the plan becomes the unregularised one.
        u: mass of the rows, shape (B, n); rows sum to 1. A 0 means "not there". Default uniform.
        v: mass of the columns, shape (B, m). Default uniform.
        iterations: most Sinkhorn iterations.
        tolerance: a problem whose `marginal_error` is no more than this stops; looked at every 4 iterations. 0: never,
            all iterations are done, and nothing waits for a GPU to say how far it is. In float32 no less than about
            1e-6 can be reached.

    Returns:
        Shape (B, n, m); column sums are v, row sums are u up to `marginal_error`.

    Raises:
        ValueError: epsilon or iterations not positive, a negative tolerance, or shapes that do not fit.
    """
    if not epsilon > 0:
        raise ValueError(f"epsilon is {epsilon}; expected a number above 0 (ot.emd solves the unregularised problem)")
    if iterations < 1:
        raise ValueError(f"iterations is {iterations}; expected at least 1")
    if not tolerance >= 0:
        raise ValueError(f"tolerance is {tolerance}; expected 0 or a number above it")
    if cost.ndim == 2:
        u, v = (None if w is None else w.unsqueeze(0) for w in (u, v))
        return plan(cost.unsqueeze(0), epsilon, u, v, iterations, tolerance).squeeze(0)
    if cost.ndim != 3:
        raise ValueError(f"cost has shape {tuple(cost.shape)}; expected (batch, rows, columns) or (rows, columns)")
    batch, n, m = cost.shape
    u = cost.new_full((batch, n), 1 / n) if u is None else u.to(cost)
    v = cost.new_full((batch, m), 1 / m) if v is None else v.to(cost)
    if u.shape != (batch, n) or v.shape != (batch, m):
        raise ValueError(
            f"marginals have shapes {tuple(u.shape)} and {tuple(v.shape)}; expected {(batch, n)} and {(batch, m)}"
        )
    return solve(cost, u, v, float(epsilon), int(iterations), float(tolerance))


def scalings(
    cost: Tensor, epsilon: float, u: Tensor | None = None, v: Tensor | None = None, iterations: int = 10
) -> Tensor:
    """Sinkhorn's algorithm as one does it by hand, scaling by scaling: rows to their mass, columns to theirs, again.

        T_0 = exp(-C / epsilon),   T_2k+1 = diag(u / T_2k 1) T_2k,   T_2k+2 = T_2k+1 diag(v / T_2k+1^T 1)

    To look at, for a few tokens: `plan` ends where this does, and stays in the range of numbers where this does not.

    Args:
        cost: shape (n, m).
        epsilon: as in `plan`.
        u: mass of the rows, shape (n,), all above 0; default uniform.
        v: mass of the columns, shape (m,), all above 0; default uniform.
        iterations: how often both sides are scaled.

    Returns:
        T_0 and what every scaling makes of it, float64, shape (2 iterations + 1, n, m).

    Raises:
        ValueError: epsilon so small that the kernel of a row or column is 0 in double precision.
    """
    cost = cost.double()
    u, v = (
        torch.full((size,), 1 / size, dtype=torch.float64) if mass is None else mass.double()
        for mass, size in zip((u, v), cost.shape, strict=True)
    )
    steps = [(-cost / epsilon).exp()]
    if not all((steps[0].sum(axis) > 0).all() for axis in (0, 1)):
        raise ValueError(
            f"epsilon is {epsilon}: exp(-C / epsilon) is 0 in a whole row or column; expected a larger one"
        )
    for _ in range(iterations):
        steps.append(steps[-1] * (u / steps[-1].sum(1))[:, None])
        steps.append(steps[-1] * (v / steps[-1].sum(0)))
    return torch.stack(steps)


@in_float32
def gromov_plan(
    cost_x: Tensor,
    cost_y: Tensor,
    epsilon: float,
    u: Tensor | None = None,
    v: Tensor | None = None,
    iterations: int = 50,
    outer: int = 10,
) -> Tensor:
    """Entropic Gromov-Wasserstein plan: tokens that relate alike within their own modality are matched.

        C(T)_ij = 2 sum_kl (X_ik - Y_jl)^2 T_kl,   T <- plan(C(T), epsilon),   T_0 = u v^T

    (Peyre, Cuturi, Solomon, ICML 2016, square loss.) The gradient passes through the `outer` fixed-point steps. Where
    few tokens have mass, u v^T is nearly a saddle, and rounding can decide which matching the steps run to.

    Args:
        cost_x: costs within the first set, shape (B, n, n).
        cost_y: costs within the second set, shape (B, m, m).
        epsilon, u, v, iterations: as in `plan`.
        outer: fixed-point steps.

    Returns:
        Shape (B, n, m).
    """
    (batch, n, _), m = cost_x.shape, cost_y.shape[-1]
    u = cost_x.new_full((batch, n), 1 / n) if u is None else u.to(cost_x)
    v = cost_y.new_full((batch, m), 1 / m) if v is None else v.to(cost_y)
    constant = (cost_x**2 @ u.unsqueeze(2)) + (cost_y**2 @ v.unsqueeze(2)).mT
    current = u.unsqueeze(2) * v.unsqueeze(1)
    for _ in range(outer):
        current = plan(2 * (constant - 2 * cost_x @ current @ cost_y.mT), epsilon, u, v, iterations)
    return current


def marginal_error(plan: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """How far a plan is from its marginals: sum_i |(T 1)_i - u_i| + sum_j |(T^T 1)_j - v_j|, shape (B,)."""
    return (plan.sum(-1) - u).abs().sum(-1) + (plan.sum(-2) - v).abs().sum(-1)


@in_float32
def barycentric_map(plan: Tensor, x: Tensor) -> Tensor:
    """Carry the row tokens onto the columns: y_j = sum_i T_ij x_i / sum_i T_ij.

    Each result is a weighted mean of row tokens, so the scale of x is kept whatever the plan's mass.

    Args:
        plan: shape (B, n, m).
        x: row tokens, shape (B, n, d).

    Returns:
        Shape (B, m, d); 0 for a column without mass.
    """
    mass = plan.sum(-2).unsqueeze(-1)
    return (plan.mT @ x) / torch.where(mass > 0, mass, 1)


def group_plan(plan: Tensor, rows: Sequence[str], columns: Sequence[str]) -> tuple[Tensor, list[str], list[str]]:
    """Mass a plan moves between groups of tokens: streams, time segments, channels.

    Args:
        plan: shape (..., n, m).
        rows: the group of each of the n row tokens.
        columns: the group of each of the m column tokens.

    Returns:
        Mass between groups, shape (..., R, C), and the R and C groups in the order they first appear.
    """
    row_names, column_names = list(dict.fromkeys(rows)), list(dict.fromkeys(columns))
    to_rows = torch.tensor([[r == name for r in rows] for name in row_names], dtype=plan.dtype, device=plan.device)
    to_columns = torch.tensor(
        [[c == name for name in column_names] for c in columns], dtype=plan.dtype, device=plan.device
    )
    return to_rows @ plan @ to_columns, row_names, column_names
