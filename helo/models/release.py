"""HeLo as its released code computes it, with the released code's errors: what to compare the method against.

Zheng et al., ACM Multimedia 2025; release: github.com/kaio-99/HeLo. Written from a reading of that code, none of it
copied. What it does that the paper's figure does not say, or says otherwise (docs/method.md has the whole table):

- one cross-attention for all streams, one Transformer block for both sides;
- the plan comes from Gromov-Wasserstein by proximal steps, on costs within each side that are cut at a threshold taken
  over the BATCH; it is detached, and T Z_p, not T^T Z_p, is taken: columns stand for behavioral tokens and are used as
  physiological ones, and rows that sum to 1/(2N) shrink it;
- DropKey hides half of all keys, at prediction too;
- the label embedding is drawn from torch.rand for every window at every forward pass: it is never trained, R is a
  constant of the draw (normalised over the labels instead of the features, diagonal d / L), and no gradient of L_CC
  reaches a weight.

So an answer depends on the draw and on the other windows of its batch. `predict` repeats its draws here: they come from
the model's seed. Labels are not asked for at prediction (the release's forward needs them, for L_CC alone).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from helo import losses, transport
from helo.data.emotion_data import Layout
from helo.models.base import EmotionModel, Prediction, both_roles
from helo.models.dropout import Dropout, kept
from helo.precision import in_float32, widened

_PROXIMAL_WEIGHT, _OUTER, _INNER, _CUT = 0.1, 5, 20, 0.1


class HeLoRelease(EmotionModel):
    """The network of the released code.

    Args:
        layout: modalities, roles and emotions; at least one physiological and one behavioral modality.
        width: d.
        heads: attention heads, a divisor of width; the label-driven attention has one.
        tokens: N, where the query has no tokens of its own.
        dropout: share of attention weights and of activations dropped in training.
        input_dropout: share of the standardised features hidden in training.

    Raises:
        ValueError: a role without a modality.
    """

    parts = {
        "plan": "u v^T: every token alike",
        "carried tokens": "their mean over the windows",
        "R": "0",
        "label attention": "every compressed token alike",
        "compression": "every label the mean of all tokens",
        "label embedding": "another draw",
    }
    choices = {"width": (128, 64)}

    def __init__(
        self,
        layout: Layout,
        width: int = 128,
        heads: int = 4,
        tokens: int = 8,
        dropout: float = 0.5,
        input_dropout: float = 0.0,
    ):
        super().__init__(layout, input_dropout)
        physiological, self.behavioral, self.query = both_roles(layout)
        self.width, self.emotions = width, len(layout.emotions)
        self.keys = tuple(m for m in physiological if m != self.query) or (self.query,)
        own, features = layout.shapes[self.query]
        self.n = own if own > 1 else tokens
        both = self.n * len(self.keys)  # tokens of each side
        self.encoders = nn.ModuleDict()
        self.encoders[_key(self.query)] = nn.Linear(features, width if own > 1 else width * self.n)
        for m in physiological:
            if m != self.query:
                self.encoders[_key(m)] = nn.Linear(_size(layout, [m]), self.n * width)
        self.behavioral_encoder = nn.Linear(_size(layout, self.behavioral), both * width)
        self.cross = _Attention(width, heads, dropout)
        self.project = nn.Linear(width, width)
        self.block = _Attention(width, heads, dropout)
        self.feed = nn.Sequential(
            nn.Linear(width, width // 2), nn.GELU(), nn.Linear(width // 2, width), Dropout(dropout)
        )
        self.feed_norm = nn.LayerNorm(width)
        self.compress = nn.Linear(2 * both, self.emotions)
        self.lcd = _Attention(width, 1, dropout)
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(self.emotions * width, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, self.emotions),
        )
        self.weights = {"kl": 1.0, "correlation": 1.0}

    def forward(self, signals: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Prediction:
        """Predict B windows; at prediction what is random comes from the model's seed, so that it can be repeated."""
        if self.training:
            return self._forward(signals, masks)
        on = next(self.parameters()).device
        with torch.random.fork_rng([on] if on.type == "cuda" else []):
            torch.manual_seed(self.seed)
            return self._forward(signals, masks)

    def _forward(self, signals, masks):
        x = {m: v[:, : self.layout.shapes[m][0]] for m, v in self.standardise(signals, masks).items()}
        labels = torch.rand(len(x[self.query]), self.emotions, self.width, device=x[self.query].device)
        labels = self.part("label embedding", labels, lambda: self._another(labels))
        query = self._tokens(x, self.query)
        streams = [self.cross(query, query if m == self.query else self._tokens(x, m))[0] for m in self.keys]
        physiological = self.project(torch.cat(streams, 1))  # (B, 2N, d)
        behavioral = self.behavioral_encoder(torch.cat([x[m].flatten(1) for m in self.behavioral], 1))
        behavioral = behavioral.unflatten(1, (-1, self.width))
        plan, cost = proximal_gromov_plan(physiological, behavioral)
        plan = self.part("plan", plan, lambda: torch.full_like(plan, 1 / plan[0].numel()))
        carried = self.part("carried tokens", plan @ physiological)
        fused = torch.cat([self._block(carried), self._block(behavioral)], 1)
        pooled = self.compress(fused.mT).mT  # (B, L, d)
        pooled = self.part("compression", pooled, lambda: fused.mean(1, keepdim=True).expand_as(pooled))
        by_label = nn.functional.normalize(labels, dim=1)  # over the labels: the release's axis
        r = by_label @ by_label.mT
        steer = self.part("R", r, lambda: torch.zeros_like(r))
        out, attention = self.lcd(labels, pooled, steer)
        out = self.part("label attention", out, lambda: self.lcd.norm(labels + self.lcd.value(pooled).mean(1, True)))
        explained = {
            "plans": plan,
            "costs": cost,
            "attention": {"labels": attention[:, 0]},
            "hidden": {"correlation": r},
        }
        return Prediction.from_logits(self.head(out), **explained)

    def _another(self, labels):
        """Another draw of the labels, after which all else is drawn as it would have been."""
        on = labels.device
        with torch.random.fork_rng([on] if on.type == "cuda" else []):
            torch.manual_seed(self.seed + 1)
            return torch.rand_like(labels)

    def losses(self, prediction: Prediction, truth: Tensor) -> dict[str, Tensor]:
        """KL (the release sums it over the batch; Adam's steps hardly differ) and L_CC, which moves no weight."""
        terms = super().losses(prediction, truth)
        target = losses.outer_correlation(truth)
        terms["correlation"] = losses.correlation_alignment(prediction.hidden["correlation"], target)
        return terms

    def _tokens(self, x, m):
        encoder = self.encoders[_key(m)]
        if m == self.query and self.layout.shapes[m][0] > 1:
            return encoder(x[m])
        return encoder(x[m].flatten(1)).unflatten(1, (self.n, self.width))

    def _block(self, x):
        x = self.block(x, x)[0]
        return self.feed_norm(x + self.feed(x))


class _Attention(nn.Module):
    """The release's attention: no biases, no output map, half of the keys hidden, always."""

    def __init__(self, width, heads, dropout):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.dropout = Dropout(dropout)
        self.norm = nn.LayerNorm(width)

    def forward(self, x, y, add=0.0):
        q, k, v = (
            f(t).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for f, t in ((self.query, x), (self.key, y), (self.value, y))
        )
        scores = widened(q @ k.mT)
        scores = (scores + (add.unsqueeze(1) if torch.is_tensor(add) else add)) / q.shape[-1] ** 0.5
        # where all keys of a row are hidden, -1e12 swallows the scores and every key counts alike
        weights = (scores - 1e12 * ~kept(scores, 0.5)).softmax(-1)
        return self.norm(x + (self.dropout(weights) @ v).transpose(1, 2).flatten(2)), weights


@in_float32
@torch.no_grad()
def proximal_gromov_plan(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The release's plan between tokens x (B, n, d) and y (B, m, d), and the cost it leads to, both (B, n, m).

    Costs within a side are max(0, 1 - cos - threshold), the threshold a tenth of the way from the batch's least to its
    largest. Five times: C = X^2 u 1^T + 1 (Y^2 v)^T - 2 X T Y^T, then, from T = 1 anew, 20 proximal steps T <-
    scale(exp(-C / .1) * T) to even marginals, one scaling each (Xie et al., UAI 2020).
    """
    within_x, within_y = (_cut(transport.cosine_cost(z, z)) for z in (x, y))
    n, m = x.shape[1], y.shape[1]
    constant = (within_x**2).mean(2, keepdim=True) + (within_y**2).mean(2, keepdim=True).mT
    plan = x.new_full((len(x), n, m), 1 / (n * m))
    for _ in range(_OUTER):
        cost = constant - 2 * within_x @ plan @ within_y.mT
        plan = _proximal(cost)
    return plan, constant - 2 * within_x @ plan @ within_y.mT


def _cut(cost):
    low, high = cost.min(), cost.max()
    return torch.relu(cost - (low + _CUT * (high - low)))


def _proximal(cost):
    n, m = cost.shape[1:]
    kernel = (-cost / _PROXIMAL_WEIGHT).exp()
    plan, b = torch.ones_like(cost), cost.new_full((len(cost), m, 1), 1 / m)
    for _ in range(_INNER):
        q = kernel * plan
        a = 1 / (n * (q @ b))
        b = 1 / (m * (q.mT @ a))
        plan = a * q * b.mT
    return plan


def _key(name):
    """A modality's name may hold a dot, which torch does not take in names of modules."""
    return f"of {name}".replace(".", "·")


def _size(layout, names):
    return sum(layout.shapes[m][0] * layout.shapes[m][1] for m in names)
