"""Dropout drawn eight decisions at a time."""

import pytest
import torch

from helo.models.dropout import Dropout, kept, streams


@pytest.mark.parametrize("share", [0.1, 0.5, 0.7, 0.9])
def test_share_mean_and_independence(share):
    torch.manual_seed(0)
    x = torch.ones(1000, 8, 25)
    y = Dropout(share).train()(x)
    assert (y == 0).float().mean() == pytest.approx(share, abs=1 / 512 + 0.004)
    assert y.mean() == pytest.approx(1, abs=0.02)
    assert y.unique().numel() == 2
    # the eight decisions of one random number, and neighbors across numbers, know nothing of each other
    flat = (y == 0).float().flatten().unflatten(0, (-1, 16))
    correlation = torch.corrcoef(flat.T) - torch.eye(16)
    assert correlation.abs().max() < 5 / len(flat) ** 0.5


def test_gradient_goes_where_the_answer_came_from():
    torch.manual_seed(0)
    x = torch.randn(7, 3, 5, requires_grad=True)
    y = Dropout(0.5).train()(x)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert torch.equal(gradient * x, y)


def test_prediction_and_no_share_leave_the_input():
    x = torch.randn(4, 3)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0).train()(x) is x


def test_a_model_of_a_stack_draws_what_it_would_draw_alone():
    windows = (5, 3)
    alone = []
    for seed, n in enumerate(windows):
        torch.manual_seed(seed)
        alone.append([kept(torch.ones(n, 11), 0.5), kept(torch.ones(n, 2, 7), 0.7)])

    def two(x):
        return kept(x, 0.5), kept(x[:, :1, None].expand(-1, 2, 7), 0.7)

    generators = [torch.Generator().manual_seed(seed) for seed in range(2)]
    with streams(list(zip(generators, windows, strict=True))):
        stacked = torch.func.vmap(two)(torch.ones(2, 5, 11))
    for k, n in enumerate(windows):
        for own, together in zip(alone[k], stacked, strict=True):
            assert torch.equal(own, together[k, :n])
            assert not together[k, n:].any()
