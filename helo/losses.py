"""Losses of emotion distribution learning."""

from __future__ import annotations

import torch
from torch import Tensor


def kl_divergence(log_prediction: Tensor, truth: Tensor) -> Tensor:
    """KL(truth || prediction) = sum_j l_j (log l_j - log p_j), mean over the batch; l_j = 0 counts 0.

    Args:
        log_prediction: log p, shape (B, L).
        truth: l, shape (B, L).
    """
    return (torch.xlogy(truth, truth) - truth * log_prediction).sum(1).mean()


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
        Symmetric, diagonal 1. An emotion that never varies correlates 0 with the others.

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
