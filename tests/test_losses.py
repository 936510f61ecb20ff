import numpy as np
import pytest
import torch

from helo import losses, measures


def test_kl_is_the_measure():
    l, p = (torch.tensor(x) for x in np.random.default_rng(0).dirichlet(np.ones(6), (2, 50)))
    l[:, 0] = 0
    l = l / l.sum(1, keepdim=True)
    assert losses.kl_divergence(p.log(), l).item() == pytest.approx(measures.score(l.numpy(), p.numpy())["kl"])
    assert losses.kl_divergence(l.clamp_min(1e-30).log(), l).item() == pytest.approx(0, abs=1e-9)


def test_label_correlation_is_pearsons():
    d = np.random.default_rng(0).dirichlet(np.ones(5), 80)
    np.testing.assert_allclose(losses.label_correlation(torch.tensor(d)), np.corrcoef(d, rowvar=False), atol=1e-12)
    unit = d / np.linalg.norm(d, axis=0)
    np.testing.assert_allclose(losses.label_correlation(torch.tensor(d), "cosine"), unit.T @ unit, atol=1e-12)


@pytest.mark.parametrize(
    "value, form",
    [
        (0.25, "pearson"),
        (0.3, "pearson"),
        (0.25 + 2**-25 * (torch.arange(50) < 20), "pearson"),
        (0.0, "cosine"),
    ],
    ids=["constant", "constant, no binary number", "constant but for rounding", "never there"],
)
def test_a_constant_emotion_correlates_with_nothing(value, form):
    d = torch.rand(50, 4)
    d[:, 2] = value
    r = losses.label_correlation(d, form)
    assert torch.isfinite(r).all() and torch.equal(r, r.T) and r[2].tolist() == [0, 0, 1, 0]


def test_cosine_correlation_has_a_unit_diagonal_whatever_the_scale():
    e = torch.randn(6, 16)
    r = losses.cosine_correlation(e)
    torch.testing.assert_close(r.diagonal(), torch.ones(6))
    torch.testing.assert_close(losses.cosine_correlation(e * torch.rand(6, 1).add(0.1)), r)


def test_alignment_reaches_the_embedding_and_can_reach_zero():
    torch.manual_seed(0)
    target = losses.label_correlation(torch.rand(100, 6))
    e = torch.nn.Parameter(torch.randn(6, 16))
    optimizer = torch.optim.Adam([e], 0.05)
    for _ in range(400):
        optimizer.zero_grad()
        loss = losses.correlation_alignment(losses.cosine_correlation(e), target)
        loss.backward()
        optimizer.step()
    assert loss < 1e-4


def test_outer_correlation_has_rank_one():
    l = torch.tensor(np.random.default_rng(0).dirichlet(np.ones(5), 3))
    r = losses.outer_correlation(l)
    torch.testing.assert_close(r[1], l[1].outer(l[1]) / l[1].dot(l[1]))
    assert (torch.linalg.matrix_rank(r) == 1).all()


def test_contrast_is_the_mean_over_windows_that_share_something():
    z = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    same = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])  # the third is like no other
    dots = z @ z.T / 0.5
    first = torch.logsumexp(dots[0, [1, 2]], 0) - dots[0, 1]
    second = torch.logsumexp(dots[1, [0, 2]], 0) - dots[1, 0]
    assert losses.contrast(z, same, 0.5).item() == pytest.approx(((first + second) / 2).item())


def test_unknown_form():
    with pytest.raises(ValueError, match="'spearman'; expected 'pearson' or 'cosine'"):
        losses.label_correlation(torch.rand(5, 3), "spearman")


def test_which_emotion_is_listed_first_decides_no_tie():
    """A tie counts by what the strongest emotions have in common; where there is none it is 0 or 1, as ever."""
    tied = torch.tensor([[0.4, 0.4, 0.2], [0.4, 0.2, 0.4], [0.5, 0.3, 0.2], [0.2, 0.3, 0.5], [0.4, 0.4, 0.2]])
    third = 1 / 3
    expected = [
        [1, third, 0.5, 0, 1],
        [third, 1, 0.5, 0.5, third],
        [0.5, 0.5, 1, 0, 0.5],
        [0, 0.5, 0, 1, 0],
        [1, third, 0.5, 0, 1],
    ]
    torch.testing.assert_close(losses.same_class(tied), torch.tensor(expected))
    for order in ([2, 1, 0], [1, 2, 0]):
        torch.testing.assert_close(losses.same_class(tied[:, order]), torch.tensor(expected))
