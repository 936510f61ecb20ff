"""Sinkhorn's scaling of a batch of problems, and the gradient through its plan: what `transport.plan` calls."""

from __future__ import annotations

import torch
from torch import Tensor

#: iterations between two renewals of the kernel
_ABSORB = 8
#: iterations between two looks at the marginals, where a tolerance is given; a divisor of _ABSORB
_LOOK = 4
#: entries of the matrices that are worked on at a time
_BLOCK = 65_536


def solve(cost: Tensor, u: Tensor, v: Tensor, epsilon: float, iterations: int, tolerance: float) -> Tensor:
    """Plans (B, n, m) of costs (B, n, m) between masses u (B, n) and v (B, m), all checked; as in `transport.plan`."""
    return _Sinkhorn.apply(cost, u, v, epsilon, iterations, tolerance)


class _Sinkhorn(torch.autograd.Function):
    """Forward: Sinkhorn's scaling, stabilised. Backward: implicit differentiation of the marginal conditions."""

    @staticmethod
    def forward(cost, u, v, epsilon, iterations, tolerance):
        return _scale(cost, u, v, epsilon, iterations, tolerance)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(output)
        ctx.epsilon = inputs[3]

    @staticmethod
    def vmap(info, in_dims, cost, u, v, epsilon, iterations, tolerance):
        """Several models' batches are one long batch."""
        cost, u, v = (
            x.expand(info.batch_size, *x.shape) if axis is None else x.movedim(axis, 0)
            for x, axis in zip((cost, u, v), in_dims, strict=False)
        )
        plan = _Sinkhorn.apply(*(x.flatten(0, 1) for x in (cost, u, v)), epsilon, iterations, tolerance)
        return plan.unflatten(0, cost.shape[:2]), 0

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        (plan,) = ctx.saved_tensors
        cost = torch.empty_like(plan)
        for k in _blocks(plan):
            cost[k] = _through(plan[k], gradient[k], ctx.epsilon)
        return cost, None, None, None, None, None


def _blocks(x):
    """Slices of a batch of matrices whose working copies stay in a CPU's cache; a GPU takes all at once."""
    size = len(x) if x.is_cuda else _BLOCK // max(1, x.shape[1] * x.shape[2])
    return [slice(k, k + max(1, size)) for k in range(0, len(x), max(1, size))]


def _through(plan, gradient, epsilon):
    """The gradient with respect to the cost, from that with respect to the plan."""
    # T = exp((f + g - C) / epsilon); with the marginals held fixed, the potentials' change (alpha, beta) solves
    #   r alpha + P beta = A 1,   P^T alpha + c beta = A^T 1,   A = P * G
    wide = plan.shape[2] > plan.shape[1]  # the smaller side is solved for
    p, g = (x.mT if wide else x for x in (plan.double(), gradient.double()))
    a = p * g
    r, c = p.sum(2, keepdim=True), p.sum(1, keepdim=True)
    r_safe, c_safe = r + (r == 0), c + (c == 0)
    a_rows, a_columns = a.sum(2, keepdim=True), a.sum(1, keepdim=True)
    scaled = p / r_safe
    # c c^T removes the freedom of adding a constant to one potential and taking it from the other: with it the matrix
    # is positive definite
    schur = (c.mT * c).sub_(p.mT.contiguous() @ scaled)
    schur.diagonal(dim1=1, dim2=2).add_(c_safe[:, 0] * (1 + 1e-12))
    right = torch.baddbmm(a_columns, a_rows.mT, scaled, alpha=-1)
    beta = torch.cholesky_solve(right.mT, torch.linalg.cholesky_ex(schur)[0]).mT
    alpha = (a_rows - (beta @ p.mT).mT) / r_safe
    cost = torch.add(alpha, beta, out=scaled).sub_(g).mul_(p).div_(epsilon)
    return cost.mT if wide else cost


def _prepared(cost, u, v, epsilon):
    """Masses as rows of a batch, what is added to a divisor, and log K; K's largest entries are about 1."""
    rows, columns = u.unsqueeze(1), v.unsqueeze(1)
    has_row, has_column = rows > 0, columns > 0
    # added to what is divided by: 1 for a token that has no partner, since 0 / 0 is no number
    no_row, no_column = (
        (~(tokens & others.any(2, keepdim=True))).to(cost) + 1e-30
        for tokens, others in ((has_row, has_column), (has_column, has_row))
    )
    log_kernel = (cost / -epsilon).masked_fill_(~(has_row.mT & has_column), -torch.inf)
    # every row's and every column's nearest partner gets weight 1
    for axis in (2, 1):
        log_kernel -= log_kernel.amax(axis, keepdim=True).nan_to_num(neginf=0.0)
    return rows, columns, no_row, no_column, log_kernel


def _scale(cost, u, v, epsilon, iterations, tolerance):
    """Sinkhorn's matrix scaling, T = diag(a) K diag(b); every few iterations a and b go into K's logarithm.

    K's small entries come back whenever it is made anew. A scaling that would overflow in between is held at 1e30, and
    the next iterations put right what that changes. No step depends on other problems of the batch.
    """
    # vectors are rows: on a CPU a row times a matrix takes a fifth of the time of a matrix times a column; below 400
    # entries torch has another kernel, which is faster along the memory
    small = cost.shape[1] * cost.shape[2] < 400
    rows, columns, no_row, no_column, log_kernel = _prepared(cost, u, v, epsilon)
    a, b = torch.ones_like(rows), torch.ones_like(columns)
    plan, left, stopped = torch.empty_like(cost), torch.arange(len(cost), device=cost.device), None
    for done in range(0, iterations, _LOOK):
        if done % _ABSORB == 0:
            if done:
                log_kernel += (a + no_row).log_().mT
                log_kernel += (b + no_column).log_()
                if stopped is not None and 2 * int(stopped.sum()) >= len(stopped):  # the others go on among themselves
                    on = ~stopped
                    left, rows, columns, no_row, no_column, log_kernel, stopped = (
                        x[on] for x in (left, rows, columns, no_row, no_column, log_kernel, stopped)
                    )
                b = torch.ones_like(columns)
            kernel = log_kernel.exp()
            transposed = kernel.mT.contiguous()
            to_rows, to_columns = (kernel.mT, transposed.mT) if small else (transposed, kernel)
        for _ in range(min(iterations - done, _LOOK)):
            a = rows / torch.baddbmm(no_row, b, to_rows)
            b = columns / torch.baddbmm(no_column, a, to_columns)
        if tolerance:
            # after b's turn the columns are as they should be
            close = (a * torch.bmm(b, to_rows) - rows).abs_().sum((1, 2)) <= tolerance
            if stopped is None and close.all():
                break
            ends = close if stopped is None else close & ~stopped
            if ends.any():
                plan[left[ends]] = (a[ends].mT * kernel[ends]).mul_(b[ends])
                stopped = ends if stopped is None else ends | stopped
                if stopped.all():
                    return plan
    if stopped is None:
        return (a.mT * kernel).mul_(b)
    plan[left[~stopped]] = (a.mT * kernel).mul_(b)[~stopped]
    return plan
