"""HeLo: heterogeneous multi-modal fusion with label correlation for emotion distribution learning.

Zheng, Tian, Wen, Zhang, Zhu, ACM Multimedia 2025, https://arxiv.org/abs/2507.06821. Written from the paper's abstract
and framework figure; where they are silent, docs/method.md says what was chosen and how the released code differs.

B batch, N tokens of the query modality, M behavioral tokens, d width, L emotions, P physiological modalities.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn

from helo import losses, transport
from helo.data.emotion_data import PHYSIOLOGICAL, EmotionData, Layout
from helo.data.split import Split
from helo.models.base import EmotionModel, Prediction, both_roles
from helo.models.blocks import CrossAttention, TokenEncoder, TransformerBlock, alone, masked_softmax, stood_in
from helo.models.fusion import head, start_at_mean
from helo.precision import reduced, widened

#: what can be taken out of a trained model, and what stands in its place
_PARTS = {
    "cross-attention": "the query's tokens, which have attended to nothing",
    "plan": "u v^T: every token alike",
    "carried tokens": "their mean over the windows",
    "compression": "every label the mean of all tokens",
    "label embedding": "every label with the vector of the one before it",
    "R": "0",
    "label attention": "every compressed token alike",
}


class HeLo(EmotionModel):
    """The HeLo network.

    Args:
        layout: modalities, roles and emotions; at least one physiological and one behavioral modality.
        width: d, width of every token.
        heads: attention heads, a divisor of width.
        depth: Transformer blocks per side after the transport.
        tokens: tokens a modality without tokens of its own is expanded to, where it is the query.
        dropout: share of activations dropped in training.
        dropkey: share of attention keys hidden in training.
        input_dropout: share of the standardised features hidden in training.
        epsilon: entropy of the transport, in units of the cosine cost (0 to 2).
        iterations: most Sinkhorn iterations.
        tolerance: marginal error at which a window's plan stops earlier (`helo.transport.plan`); 0: never. Of
            "wasserstein" alone.
        transport: "wasserstein" moves tokens by the cosine cost between the modalities; "gromov" by how tokens relate
            within each modality; "none" moves nothing (an ablation), with transport_weight=0 alone.
        correlation: form of the ground-truth label correlation R*: "pearson", "cosine" or "per-sample".
        correlation_weight: lambda, the weight of L_CC.
        transport_weight: weight of the transport cost <T, C> as a loss; 0 leaves it out.
        cross_attention: False puts the physiological tokens side by side instead (an ablation).
        detach_plan: True stops the gradient at the plan (an ablation).
        steer: False leaves R out of the label-driven attention (an ablation).

    Raises:
        ValueError: a role without a modality, an argument out of range, or a transport_weight with transport "none".
    """

    target_correlation: Tensor
    choices = {"epsilon": (0.05, 0.02, 0.1), "transport_weight": (0.03, 0.0, 0.1), "width": (64, 128)}

    def __init__(
        self,
        layout: Layout,
        width: int = 64,
        heads: int = 4,
        depth: int = 1,
        tokens: int = 8,
        dropout: float = 0.3,
        dropkey: float = 0.0,
        epsilon: float = 0.05,
        iterations: int = 50,
        tolerance: float = 0.0,
        transport: str = "wasserstein",
        correlation: str = "pearson",
        correlation_weight: float = 1.0,
        transport_weight: float = 0.03,
        cross_attention: bool = True,
        detach_plan: bool = False,
        steer: bool = True,
        input_dropout: float = 0.0,
    ):
        super().__init__(layout, input_dropout)
        physiological, behavioral, self.query = both_roles(layout)
        if transport == "none" and transport_weight:
            raise ValueError(f"transport is 'none' and transport_weight {transport_weight}; expected weight 0")
        # one physiological modality alone attends to itself
        self.keys = tuple(m for m in physiological if m != self.query) or (self.query,)
        self.cross_attention, self.detach_plan, self.steer = cross_attention, detach_plan, steer
        self.parts, self.behavioral = _parts(cross_attention, steer, transport), behavioral
        self.epsilon, self.iterations, self.tolerance = epsilon, iterations, tolerance
        self.transport, self.correlation = transport, correlation
        self.weights = {"kl": 1.0, "correlation": correlation_weight, "transport": transport_weight}

        # 1. Encoders: a vector becomes as many tokens as what it meets
        own = layout.shapes[self.query][0]
        n = own if own > 1 else tokens
        share = -(-len(self.keys) * n // len(behavioral))
        encoders = {m: TokenEncoder(*x, width, share if m in behavioral else n) for m, x in layout.shapes.items()}
        self.encoders, self.tokens = nn.ModuleList(encoders.values()), {m: f.tokens for m, f in encoders.items()}
        # 2. Physiological cross-attention, one with its own weights for each stream
        self.cross = nn.ModuleList(CrossAttention(width, heads, dropout, dropkey) for _ in self.keys if cross_attention)
        self.project = nn.Linear(width, width)
        # 3. OTHM: Transformer blocks, each side its own; what reads a carried token beside the one it was carried to
        self.physiological_blocks, self.behavioral_blocks = (
            nn.ModuleList(TransformerBlock(width, heads, dropout, dropkey) for _ in range(depth)) for _ in range(2)
        )
        self.beside = nn.Linear(2 * width, width)
        emotions = len(layout.emotions)
        # 4. Learnable label embedding, small at first so that its directions turn quickly, and R*, which it aligns with
        self.label_embedding = nn.Parameter(0.02 * torch.randn(emotions, width))
        self.register_buffer("target_correlation", torch.eye(emotions))
        # 5. LCD cross-attention: seeds that compress the fused tokens to L, the three maps, and how much R weighs.
        # Sharpness and gain start where tokens and labels already differ: from even weights neither would learn to
        self.seeds = nn.Parameter(torch.randn(emotions, width))
        self.sharpness, self.gain = (nn.Parameter(torch.tensor([start])) for start in (5.0, 3.0))
        self.compress_key, self.compress_value = nn.Linear(width, width, bias=False), nn.Linear(width, width)
        self.lcd_query, self.lcd_key, self.lcd_value = (nn.Linear(width, width) for _ in range(3))
        self.lcd_norm = nn.LayerNorm(width)
        # 6. Head
        self.head = head(emotions * width, width, emotions, dropout)

    @property
    def stackable(self) -> bool:
        """Not with R* of single windows, which counts padding; and not with Gromov-Wasserstein, whose fixed-point steps
        magnify the last digit."""
        return self.correlation != "per-sample" and self.transport != "gromov"

    def prepare(self, data: EmotionData, split: Split) -> None:
        """Feature scales, R* and the first answer (the mean distribution), all from the training windows."""
        super().prepare(data, split)
        truth = torch.as_tensor(data.distributions[split.train])
        if self.correlation != "per-sample":
            self.target_correlation.copy_(losses.label_correlation(truth, self.correlation))
        start_at_mean(self.head, data, split)

    def forward(self, signals: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Prediction:
        """Step 6, head: predict B windows; labels are never asked for."""
        attention: dict[str, Tensor] = {}
        fused, fused_mask, plan, cost = self.transport_and_fuse(*self.both_sides(signals, masks, attention))
        labels = self.label_driven(fused, fused_mask, attention)  # (B, L, d)
        return Prediction.from_logits(self.head(labels.flatten(1)), plans=plan, costs=cost, attention=attention)

    def both_sides(
        self, signals: Mapping[str, Tensor], masks: Mapping[str, Tensor], attention: dict | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Steps 1 and 2: what the transport is between. Z_p as `attend` gives it, its mask, Z_b (B, M, d), its mask."""
        tokens = self.encode(signals, masks)
        physiological, p_mask = self.attend(tokens, {} if attention is None else attention)
        behavioral = torch.cat([tokens[m][0] for m in self.behavioral], 1)
        b_mask = torch.cat([tokens[m][1] for m in self.behavioral], 1)
        return physiological, p_mask, behavioral, b_mask

    def encode(self, signals: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
        """Step 1: modality -> tokens (B, N_m, d) and their mask."""
        x = self.standardise(signals, masks)
        return {m: encoder(x[m], masks[m]) for m, encoder in zip(self.layout.modalities, self.encoders, strict=True)}

    def attend(self, tokens: Mapping[str, tuple[Tensor, Tensor]], attention: dict) -> tuple[Tensor, Tensor]:
        """Step 2: the query modality attends to every other physiological one; Z_p (B, (P-1) N, d), and its mask.

        N tokens where P is 1; all tokens of the P modalities without cross-attention.
        """
        query, query_mask = tokens[self.query]
        if not self.cross_attention:
            own = [tokens[m] for m in self.layout.roles[PHYSIOLOGICAL]]
            return self.project(torch.cat([x for x, _ in own], 1)), torch.cat([mask for _, mask in own], 1)
        streams, there = [], []
        for m, cross in zip(self.keys, self.cross, strict=True):
            stream, attention[f"{self.query} to {m}"] = cross(query, *tokens[m])
            streams.append(self.part("cross-attention", stream, partial(alone, cross, query)))
            there.append(stood_in(query_mask, tokens[m][1], self.tokens[self.query]))
        return self.project(torch.cat(streams, 1)), torch.cat(there, 1)

    def transport_and_fuse(
        self, physiological: Tensor, p_mask: Tensor, behavioral: Tensor, b_mask: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """Step 3, OTHM: a plan between both sides, physiological tokens carried over and read beside the behavioral."""
        if self.transport == "none":  # nothing stands beside a token
            physiological, behavioral = self.through_blocks(physiological, p_mask, behavioral, b_mask)
            sides = (physiological, torch.zeros_like(physiological)), (torch.zeros_like(behavioral), behavioral)
            return torch.cat([self.read(*side) for side in sides], 1), torch.cat([p_mask, b_mask], 1), None, None
        recorded, b_mask = b_mask, stood_in(b_mask, p_mask, 1)
        u, v = transport.uniform_marginal(p_mask), transport.uniform_marginal(b_mask)
        cost = transport.cosine_cost(physiological, behavioral)  # (B, n, M)
        if self.transport == "gromov":
            within_p, within_b = (transport.cosine_cost(x, x) for x in (physiological, behavioral))
            plan = transport.gromov_plan(within_p, within_b, self.epsilon, u, v, self.iterations)
        else:
            plan = transport.plan(cost, self.epsilon, u, v, self.iterations, self.tolerance)
        plan = plan.detach() if self.detach_plan else plan
        plan = self.part("plan", plan, lambda: u.unsqueeze(2) * v.unsqueeze(1))
        carried = transport.barycentric_map(plan, physiological)  # (B, M, d)
        carried_mask = b_mask & p_mask.any(1, keepdim=True)
        carried, behavioral = self.through_blocks(carried, carried_mask, behavioral, b_mask)
        carried = self.part("carried tokens", carried * carried_mask.unsqueeze(-1))
        return self.read(carried, behavioral), b_mask, plan * recorded.unsqueeze(1), cost

    def through_blocks(
        self, physiological: Tensor, p_mask: Tensor, behavioral: Tensor, b_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Each side through its own Transformer blocks."""
        for block in self.physiological_blocks:
            physiological = block(physiological, p_mask)
        for block in self.behavioral_blocks:
            behavioral = block(behavioral, b_mask)
        return physiological, behavioral

    def read(self, carried: Tensor, behavioral: Tensor) -> Tensor:
        """A carried and a behavioral token as one, GELU(W [c_j; b_j]): which stands beside which now matters."""
        return nn.functional.gelu(self.beside(torch.cat([reduced(carried), reduced(behavioral)], -1)))

    def plan_tokens(self, data: EmotionData) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """What the plan's rows and columns are: (stream, token) of each; a row's stream is the modality it asked."""

        def names(m):
            own = data.tokens[m]
            return own if len(own) == self.tokens[m] else [str(k + 1) for k in range(self.tokens[m])]

        if self.cross_attention:
            rows = [(f"{self.query} to {m}", token) for m in self.keys for token in names(self.query)]
        else:
            rows = [(m, token) for m in self.layout.roles[PHYSIOLOGICAL] for token in names(m)]
        return rows, [(m, token) for m in self.behavioral for token in names(m)]

    def learned_correlation(self) -> Tensor:
        """Step 4: R(E), the correlation of the label embedding, (L, L)."""
        return losses.cosine_correlation(self.label_embedding)

    def label_driven(self, fused: Tensor, mask: Tensor, attention: dict) -> Tensor:
        """Step 5, LCD: labels ask, fused tokens answer, R steers: A = softmax(Q K^T / sqrt(d) + gain R)."""
        asked = self.seeds, widened(self.compress_key(fused))
        seeds, keys = (nn.functional.normalize(x, dim=-1) for x in asked)
        cosines = seeds @ keys.mT
        cosines = self.part("compression", cosines, lambda: torch.zeros_like(cosines))
        pool = masked_softmax(self.sharpness * cosines, mask.unsqueeze(1))  # (B, L, tokens)
        compressed = self.compress_value(pool @ fused)  # (B, L, d)
        labels = self.part("label embedding", self.label_embedding, lambda: self.label_embedding.roll(1, 0))
        logits = widened(self.lcd_query(labels) @ self.lcd_key(compressed).mT) / fused.shape[-1] ** 0.5
        if self.steer:
            steer = self.gain * losses.cosine_correlation(labels)
            logits = logits + self.part("R", steer, lambda: torch.zeros_like(steer))
        weights = logits.softmax(-1)  # (B, L, L)
        weights = self.part("label attention", weights, lambda: torch.full_like(weights, 1 / weights.shape[-1]))
        attention |= {"pooling": pool, "labels": weights}
        return self.lcd_norm(labels + weights @ self.lcd_value(compressed))

    def losses(self, prediction: Prediction, truth: Tensor) -> dict[str, Tensor]:
        """Step 7: KL(truth || prediction), L_CC, and the transport cost <T, C>."""
        target = losses.outer_correlation(truth) if self.correlation == "per-sample" else self.target_correlation
        terms = super().losses(prediction, truth)
        terms["correlation"] = losses.correlation_alignment(self.learned_correlation(), target)
        if prediction.plans is not None:
            terms["transport"] = losses.mean_over_windows((prediction.plans * prediction.costs).sum((1, 2)), truth)
        return terms


def _parts(cross_attention, steer, transport):
    off = {"cross-attention": not cross_attention, "R": not steer}
    off |= dict.fromkeys(("plan", "carried tokens"), transport == "none")
    return {name: instead for name, instead in _PARTS.items() if not off.get(name)}
