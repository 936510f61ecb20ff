"""Losses of emotion distribution learning."""

from __future__ import annotations

import torch
from torch import Tensor

from helo.precision import in_float32


def kl_divergence(log_prediction: Tensor, truth: Tensor) -> Tensor:
    """KL(truth || prediction) = sum_j l_j (log l_j - log p_j), mean over the batch; l_j = 0 counts 0.

    Args:
        log_prediction: log p, shape (B, L).
        truth: l, shape (B, L); a row of zeros is padding.
    """
    return mean_over_windows((torch.xlogy(truth, truth) - truth * log_prediction).sum(1), truth)


def mean_over_windows(values: Tensor, truth: Tensor) -> Tensor:
    """The mean of values (B,) over the windows that are there; padding has a distribution of zeros in truth (B, L)."""
    there = (truth > 0).any(1)
    return (values * there).sum() / there.sum().clamp_min(1)


@in_float32
def cosine_correlation(embedding: Tensor) -> Tensor:
    """R(E)_jk = cos(e_j, e_k): the correlation a label embedding expresses, (L, d) -> (L, L), unit diagonal."""
    unit = torch.nn.functional.normalize(embedding, dim=-1)
    return unit @ unit.T


def label_correlation(distributions: Tensor, form: str = "pearson") -> Tensor:
    """Ground-truth label correlation R* of distributions, (n, L) -> (L, L).

    Args:
        distributions: rows on the simplex.
        form: "pearson" correlates two emotions over the windows; "cosine" does so without removing their means.

    Returns:
        Symmetric, diagonal 1. An emotion that never varies ("cosine": is never there) correlates 0 with the others.

    Raises:
        ValueError: unknown form.
    """
    if form not in ("pearson", "cosine"):
        raise ValueError(f"form of the label correlation is {form!r}; expected 'pearson' or 'cosine'")
    x = distributions.double()
    if form == "pearson":
        x = x - x.mean(0)
    length = x.norm(dim=0)
    correlation = (x.T @ x) / (length[:, None] * length).clamp_min(1e-12)
    # float32 input leaves about 1e-8 of a constant column after centring
    still = length < 1e-6 * len(x) ** 0.5
    correlation[still] = 0
    correlation[:, still] = 0
    return correlation.fill_diagonal_(1).to(distributions)


def correlation_alignment(learned: Tensor, target: Tensor) -> Tensor:
    """L_CC = mean_jk (R_jk - R*_jk)^2.

    Args:
        learned: R, shape (L, L).
        target: R*, shape (L, L), or one per sample, (B, L, L).
    """
    return ((learned - target) ** 2).mean()


def outer_correlation(distributions: Tensor) -> Tensor:
    """Per-sample form of R*: l l^T / ||l||^2, (B, L) -> (B, L, L); rank 1, as in the released code."""
    unit = torch.nn.functional.normalize(distributions, dim=-1)
    return unit.unsqueeze(2) * unit.unsqueeze(1)


def same_class(distributions: Tensor) -> Tensor:
    """Y_ij, how far two windows have the same strongest emotion, (B, L) -> (B, B).

    Where several emotions share the first place, S_i is the set of them and Y_ij the size of what S_i and S_j have in
    common over the size of both together: 1 for equal sets, 0 where no strongest emotion is common. Which of them the
    data set lists first does not matter.
    """
    strongest = (distributions >= distributions.amax(1, keepdim=True) - 1e-6).to(distributions)
    common = strongest @ strongest.T
    count = strongest.sum(1)
    return common / (count[:, None] + count - common)


def label_similarity(distributions: Tensor) -> Tensor:
    """Y_ij = 1 - Jensen-Shannon distance (base 2) of two windows' distributions, (B, L) -> (B, B), in [0, 1]."""
    p, q = distributions[:, None], distributions[None]
    middle = (p + q) / 2
    divergence = (torch.xlogy(p, p / middle.clamp_min(1e-12)) + torch.xlogy(q, q / middle.clamp_min(1e-12))).sum(-1) / 2
    return 1 - (divergence / torch.log(torch.tensor(2.0))).clamp(0, 1).sqrt()


def alignment(similarity: Tensor, same: Tensor, divide: bool = True) -> Tensor:
    """Multi-positive cross-entropy between two streams, both ways, averaged.

        L = - 1/2 mean_i sum_j w_ij log softmax_j(S_ij) - 1/2 mean_j sum_i w_ij log softmax_i(S_ij)

    with w = Y / sum of its row (column). Where every window shares its label with itself alone, this is InfoNCE.

    Args:
        similarity: S, already divided by a temperature, shape (B, B).
        same: Y, how much two windows share their label, 1 on the diagonal, shape (B, B).
        divide: False leaves w = Y.
    """
    total = similarity.new_zeros(())
    for logits, y in ((similarity, same), (similarity.T, same.T)):
        weight = y / y.sum(1, keepdim=True) if divide else y
        total = total - (weight * logits.log_softmax(1)).sum(1).mean() / 2
    return total


def contrast(vectors: Tensor, same: Tensor, temperature: float = 0.1) -> Tensor:
    """Supervised contrast within one set of vectors (Khosla et al., NeurIPS 2020), with soft targets.

        L = - mean_i sum_{j != i} w_ij log softmax_{j != i}(z_i . z_j / tau),
        w = Y without its diagonal, rows summing to 1

    Args:
        vectors: z, normalised here, shape (B, d).
        same: Y, shape (B, B).
        temperature: tau.

    Returns:
        The mean over windows that share something with another; 0 where none does.
    """
    z = torch.nn.functional.normalize(vectors, dim=-1)
    own = torch.eye(len(z), dtype=torch.bool, device=z.device)
    log = (z @ z.T / temperature).masked_fill(own, torch.finfo(z.dtype).min).log_softmax(1).masked_fill(own, 0)
    weight = same.masked_fill(own, 0)
    total = weight.sum(1)
    counted = total > 0
    if not counted.any():
        return log.sum() * 0
    return -((weight * log).sum(1)[counted] / total[counted]).mean()
