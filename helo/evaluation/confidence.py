"""How sure is it? What calibration people say of a model's answers, in a small file that lies beside the model's.

sure = helo.evaluation.confidence(models, data, parts)      # each model with the split it was trained on
low, high = sure.bounds(answer.distributions)               # each emotion's share, in 90 % of a new person's windows
sure.strange(data.signals, data.masks)                      # above 1: farther than any training person's windows
sure.save("helo.sure.safetensors")                          # Confidence.beside("helo.safetensors", model)
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helo import checksums
from helo.data.emotion_data import EmotionData
from helo.data.split import Split
from helo.evaluation import conformal
from helo.evaluation.strange import Neighbourhood, averaged, neighbourhood
from helo.models import EmotionModel
from helo.models.fingerprint import fingerprint
from helo.reading import expanded, shown
from helo.training.prediction import predict

_PARTS = ("mean", "scale", "precision")


@dataclass(frozen=True, eq=False)
class Confidence:
    """A region and a band around every answer, and where the training windows lie.

    Args:
        emotions: names of the L emotions.
        level: share of a new person's windows whose rating is to lie in the region, on average over people.
        radius: the region is {d on the simplex : TV(d, answer) <= radius}; `helo.evaluation.conformal`.
        band: of another region at the same level, {d : max_j |d_j - answer_j| <= band}: an interval for every emotion.
        people: how many calibrated both; below level / (1 - level) they are 1, which excludes nothing.
        training: modality -> where its training windows lie; `helo.evaluation.strange`.
        models: which trainings it is of (`helo.models.fingerprint`); empty in files of before, which do not say.
    """

    emotions: tuple[str, ...]
    level: float
    radius: float
    band: float
    people: int
    training: Mapping[str, Neighbourhood]
    models: tuple[str, ...] = ()

    def inside(self, answers: np.ndarray, truths: np.ndarray) -> np.ndarray:
        """Whether the ratings lie in the regions around the answers, both (n, L); shape (n,)."""
        return conformal.total_variation(answers, truths) <= self.radius + 1e-9

    def bounds(self, answers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The least and the largest share of each emotion in the band around answers (n, L): (low, high), (n, L).

        All emotions of a window lie within theirs at the level, on average over people.
        """
        return conformal.bounds(answers, self.band)

    def by_modality(self, signals: Mapping[str, np.ndarray], masks: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """How far each modality of n windows lies from training, in times of the farthest training person's.

        Args:
            signals: modality -> (n, tokens, features), as `data.signals`.
            masks: modality -> (n, tokens), as `data.masks`.

        Returns:
            Modality -> shape (n,): above 1, farther than any training person's window; 0 where no token is there.

        Raises:
            ValueError: other modalities or features than those of training.
        """
        found = {}
        for m, known in self.training.items():
            if m not in signals or signals[m].shape[-1] != len(known.mean):
                what = f"{signals[m].shape[-1]} features of {m!r}" if m in signals else f"no {m!r}"
                raise ValueError(f"found {what} among {sorted(signals)}; expected {len(known.mean)} features of it")
            x, there = averaged(signals[m], masks[m])
            found[m] = np.where(there, known.distance(x) / known.limit, 0)
        return found

    def strange(self, signals: Mapping[str, np.ndarray], masks: Mapping[str, np.ndarray]) -> np.ndarray:
        """The largest of `by_modality`, shape (n,); 0 where training says nothing."""
        far = self.by_modality(signals, masks)
        return np.max([np.zeros(len(next(iter(masks.values())))), *far.values()], 0)

    def warnings(self, signals: Mapping[str, np.ndarray], masks: Mapping[str, np.ndarray]) -> list[str]:
        """For each of n windows what is strange about it, in words; "" where nothing is."""
        found = self.by_modality(signals, masks)
        return [
            "; ".join(
                f"{m} is {far[k]:.1f} times as far from training as any training person's"
                for m, far in found.items()
                if far[k] > 1
            )
            for k in range(len(next(iter(masks.values()))))
        ]

    @property
    def promise(self) -> str:
        """Region and band in words."""
        most = conformal.most(self.people)
        if self.level > most + 1e-9:
            return f"{self.people} people cannot promise {self.level:.0%}, {most:.0%} at most: any rating may be"
        return (
            f"{self.level:.0%} of windows, by {self.people} people: each share within {self.band:.2f}, "
            f"any group's within {self.radius:.2f}"
        )

    def save(self, path: str | Path) -> None:
        """Write it as one safetensors file with a checksum, for its owner alone; whole or not at all."""
        from safetensors.numpy import save

        about = {"emotions": self.emotions, "level": self.level, "radius": self.radius}
        about |= {"band": self.band, "people": self.people, "models": self.models}
        about["limits"] = {m: known.limit for m, known in self.training.items()}
        arrays = {f"{k}.{part}": getattr(x, part) for k, x in enumerate(self.training.values()) for part in _PARTS}
        checksums.write(expanded(path), "helo-confidence", about, arrays, save)

    @classmethod
    def load(cls, path: str | Path) -> Confidence:
        """Read what `save` wrote.

        Raises:
            MissingFile: no such file.
            ValueError: not such a file, or damaged.
        """
        from safetensors.numpy import load

        about, arrays = checksums.read(Path(path), "helo-confidence", load)
        try:
            training = {
                str(m): Neighbourhood(**{part: arrays[f"{k}.{part}"] for part in _PARTS}, limit=float(limit))
                for k, (m, limit) in enumerate(about["limits"].items())
            }
            numbers = {name: float(about[name]) for name in ("level", "radius", "band")}
            emotions, models = (tuple(map(str, names)) for names in (about["emotions"], about.get("models", ())))
            made = cls(emotions, people=int(about["people"]), training=training, models=models, **numbers)
            _check(made, arrays)
        except Exception as error:  # what a forger signed anew can be anything
            raise ValueError(f"{path}: not a confidence of this version ({shown(error, 300)})") from None
        return made

    @classmethod
    def beside(cls, path: str | Path, model: EmotionModel) -> Confidence | None:
        """Read NAME.sure.safetensors beside a model's NAME.safetensors; None where no such file is.

        Args:
            path: the model's file.
            model: what was read from it.

        Raises:
            ValueError: no file, not a confidence; of other emotions; or of another training of the model.
        """
        file = expanded(path).with_suffix(".sure.safetensors")
        if not os.path.lexists(file):
            return None
        sure, known = cls.load(file), fingerprint(model)
        if sure.emotions != model.layout.emotions:
            raise ValueError(f"{file}: emotions are {list(sure.emotions)}; the model has {list(model.layout.emotions)}")
        if sure.models and known not in sure.models:
            found = f"{file}: is of {', '.join(sure.models)}; {Path(path).name} is {known}"
            raise ValueError(f"{found}. Was it trained again? helo.evaluation.confidence makes a new one")
        return sure


def _check(made, arrays):
    for name, value in (("level", made.level), ("radius", made.radius), ("band", made.band)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} is {value}; expected a number from 0 to 1")
    for m, known in made.training.items():
        f = known.mean.shape
        if len(f) != 1 or known.scale.shape != f or known.precision.shape != f * 2 or not known.limit > 0:
            raise ValueError(f"{m}: mean {f}, scale {known.scale.shape}, precision {known.precision.shape}")
    if not all(np.isfinite(x).all() for x in arrays.values()):
        raise ValueError("it holds NaN or Inf")


def confidence(
    models: EmotionModel | Sequence[EmotionModel],
    data: EmotionData,
    splits: Split | Sequence[Split],
    level: float = 0.9,
) -> Confidence:
    """What the people that a model was not trained on, its validation people, say of how sure it is.

    Several models, as those of `helo.evaluation.members`, are each asked of their own validation people, so that all of
    the training side calibrates: cross-conformal prediction. Two things are then not as the theorem has them: early
    stopping has looked at these people (their scores are a little too low), and each model saw fewer people than all
    that answer together (a little too high). docs/uncertainty.md has what was found.

    Args:
        models: a trained model, or several.
        data: the data set.
        splits: what each was trained on. A model of closed form learns from the validation people of a split too, and
            its region would be too narrow; so does one of `helo.fit(refit=True)`. `helo.evaluation.members` keeps
            them from it.
        level: share of a new person's windows that is to be covered, on average over people.

    Raises:
        ValueError: no validation windows, or of people who are trained on too: the model knows them, and the region
            would be too narrow. So it would be where clips are trained on that nobody tested has seen (splits by
            `both`, nested): what is asked is then newer than what calibrates.
    """
    models = [models] if isinstance(models, EmotionModel) else list(models)
    splits = [splits] if isinstance(splits, Split) else list(splits)
    if len(splits) != len(models):
        raise ValueError(f"{len(models)} models and {len(splits)} splits; expected what each was trained on")
    groups, singles, people = [], [], []
    for model, split in zip(models, splits, strict=True):
        known = np.intersect1d(data.subjects[split.validation], data.subjects[split.train])
        if len(known) or not len(split.validation):
            found = f"{str(known[0])!r} is trained on" if len(known) else "there is nobody"
            raise ValueError(f"{data.name}, {split.name}: {found}; expected validation people who are not trained on")
        asked = np.isin(data.clip_ids[split.test], data.clip_ids[split.seen]).any()
        calibrating = np.isin(data.clip_ids[split.validation], data.clip_ids[split.train]).any()
        if len(split.test) and calibrating and not asked:
            raise ValueError(
                f"{data.name}, {split.name}: its test clips are new and its validation clips are trained on; expected "
                "validation windows as new as the test windows"
            )
        said = predict(model, data, split.validation, explain=False).distributions
        groups.append(conformal.total_variation(said, data.distributions[split.validation]))
        singles.append(conformal.chebyshev(said, data.distributions[split.validation]))
        people.append(data.subjects[split.validation])
    who = np.concatenate(people)
    radius, band = (conformal.radius(np.concatenate(scores), who, level) for scores in (groups, singles))
    seen = np.unique(np.concatenate([split.seen for split in splits]))
    training, of = training_side(data, seen), tuple(map(fingerprint, models))
    return Confidence(data.emotions, level, radius, band, len(np.unique(who)), training, of)


def training_side(data: EmotionData, seen: np.ndarray) -> dict[str, Neighbourhood]:
    """Where the windows `seen` of each modality lie; without one that one person has, or that never varies."""
    found = {}
    for m in data.signals:
        x, there = averaged(data.signals[m][seen], data.masks[m][seen])
        with suppress(ValueError):
            found[m] = neighbourhood(x[there], data.subjects[seen][there])
    return found
