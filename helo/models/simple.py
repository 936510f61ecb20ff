"""Simple rivals: what a fusion system must beat before its fusion means anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from helo.data.emotion_data import BEHAVIORAL, PHYSIOLOGICAL, EmotionData, Layout
from helo.data.split import Split
from helo.models.base import EmotionModel, Prediction
from helo.models.blocks import side_by_side
from helo.models.fusion import FusionModel, Stream, head, means, start_at_mean


class Early(FusionModel):
    """Early fusion: the modalities' masked means side by side, then the head."""

    choices = {"width": (64, 32, 128)}

    def __init__(self, layout: Layout, width: int = 64, dropout: float = 0.3, input_dropout: float = 0.0):
        super().__init__(
            layout, len(layout.modalities) * width, width, dropout, per_modality=True, input_dropout=input_dropout
        )

    def fuse(self, streams: Sequence[Stream]) -> tuple[Tensor, dict[str, Tensor]]:
        return torch.cat(means(streams), 1), {}


class SideBySide(EmotionModel):
    """A two-layer network on every feature of every token side by side.

    A token that is not there counts as the training mean. Unlike early fusion it knows which token is which; a token
    that moves is another input to it.

    Args: as `EmotionModel`, and
        width: width of the hidden layer.
        dropout: share of features, and of hidden activations, dropped in training.
    """

    stackable = True
    choices = {"width": (64, 32, 128)}

    def __init__(self, layout: Layout, width: int = 64, dropout: float = 0.5, input_dropout: float = 0.0):
        super().__init__(layout, input_dropout)
        self.head = head(
            sum(own * features for own, features in layout.shapes.values()), width, len(layout.emotions), dropout
        )

    def prepare(self, data: EmotionData, split: Split) -> None:
        """Feature scales and the first answer, the training windows' mean distribution."""
        super().prepare(data, split)
        start_at_mean(self.head, data, split)

    def forward(self, signals: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Prediction[Tensor]:
        return Prediction.from_logits(self.head(side_by_side(self.standardise(signals, masks), self.layout.shapes)))


class Late(FusionModel):
    """Late fusion: every stream answers alone; the mean of their log-probabilities, normalised.

    It cannot express a label that lies in the pairing of two streams: the control of the pairing task.
    """

    parts = {
        "first answer": "its mean over the windows",
        "second answer": "its mean over the windows",
    }
    choices = {"width": (64, 32, 128)}

    def __init__(self, layout: Layout, width: int = 64, dropout: float = 0.3, input_dropout: float = 0.0):
        super().__init__(layout, width, width, dropout, input_dropout=input_dropout)
        self.second = head(width, width, len(layout.emotions), dropout)

    def prepare(self, data: EmotionData, split: Split) -> None:
        super().prepare(data, split)
        start_at_mean(self.second, data, split)

    def forward(self, signals: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Prediction[Tensor]:
        a, b = means(self.streams(signals, masks))
        first = self.part("first answer", self.head(a).log_softmax(-1))
        second = self.part("second answer", self.second(b).log_softmax(-1))
        return Prediction.from_logits((first + second) / 2)


class SingleStream(FusionModel):
    """One stream alone, the other never seen: 0 the physiological modalities, 1 the behavioral ones.

    Raises:
        ValueError: data without a modality of that role.
    """

    choices = {"width": (64, 32, 128)}

    def __init__(
        self, layout: Layout, stream: int = 0, width: int = 64, dropout: float = 0.3, input_dropout: float = 0.0
    ):
        super().__init__(layout, width, width, dropout, per_modality=True, input_dropout=input_dropout)
        role = (PHYSIOLOGICAL, BEHAVIORAL)[stream]
        if not layout.roles[role]:
            raise ValueError(f"{role}-only found no {role} modality among {list(layout.modalities)}; expected one")
        self.groups = [layout.roles[role]]

    def fuse(self, streams: Sequence[Stream]) -> tuple[Tensor, dict[str, Tensor]]:
        return means(streams)[0], {}


class Tensorial(FusionModel):
    """Tensor fusion network (Zadeh et al., EMNLP 2017): the outer product of [1; a] and [1; b].

    Here a and b are tanh(W LayerNorm(mean of the stream)), which the paper's network has not.

    Args: as `FusionModel`, and
        small: width the streams' means are brought to before the product.
    """

    parts = {"products": "their mean over the windows; what each stream says alone stays"}
    choices = {"width": (64, 32, 128), "small": (16, 8, 32)}

    def __init__(
        self, layout: Layout, width: int = 64, small: int = 16, dropout: float = 0.3, input_dropout: float = 0.0
    ):
        super().__init__(layout, (small + 1) ** 2, width, dropout, input_dropout=input_dropout)
        # of unit variance first: a product of two small numbers is lost beside the constant 1
        self.shrink = nn.ModuleList(nn.Sequential(nn.LayerNorm(width), nn.Linear(width, small)) for _ in range(2))

    def fuse(self, streams: Sequence[Stream]) -> tuple[Tensor, dict[str, Tensor]]:
        a, b = (_with_one(torch.tanh(f(x))) for f, x in zip(self.shrink, means(streams), strict=True))
        product = a.unsqueeze(2) * b.unsqueeze(1)

        def only_firsts():
            kept = product.mean(0).expand_as(product).clone()
            kept[:, 0], kept[:, :, 0] = b, a
            return kept

        return self.part("products", product, only_firsts).flatten(1), {}


class LowRankTensorial(FusionModel):
    """Low-rank tensor fusion (Liu et al., ACL 2018): z = sum_r prod_m W_m^r [1; h_m], one stream a modality.

    The fused vector is sqrt(d) z / |z|: ours, so that training starts at a scale that does not hang on their number.

    Args: as `FusionModel`, and
        width: d, width of every token and of the result.
        rank: R.
    """

    choices = {"width": (64, 32, 128), "rank": (4, 2, 8)}

    def __init__(
        self, layout: Layout, width: int = 64, rank: int = 4, dropout: float = 0.3, input_dropout: float = 0.0
    ):
        super().__init__(layout, width, width, dropout, per_modality=True, input_dropout=input_dropout)
        self.factors = nn.ParameterList(torch.randn(rank, width + 1, width) / width**0.5 for _ in layout.modalities)

    def fuse(self, streams: Sequence[Stream]) -> tuple[Tensor, dict[str, Tensor]]:
        product = torch.ones(())
        for factor, x in zip(self.factors, means(streams), strict=True):
            product = product * torch.einsum("bi,rio->rbo", _with_one(x), factor)
            # of many factors it would leave what a float holds; a window's power of two changes no digit of the result
            largest = product.detach().abs().amax((0, 2), keepdim=True).clamp_min(1e-30)
            product = product * torch.exp2(-largest.log2().floor())
        return nn.functional.normalize(product.sum(0), dim=-1) * product.shape[-1] ** 0.5, {}


def _with_one(x):
    return torch.cat([torch.ones_like(x[:, :1]), x], 1)
