"""EmotionData: windows of several modalities, each with a distribution over emotions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

PHYSIOLOGICAL, BEHAVIORAL = "physiological", "behavioral"


@dataclass(frozen=True)
class Recording:
    """Raw signals of one subject: to look at, and what causal features are made of.

    Args:
        signals: modality -> array of shape (samples, channels).
        rates: modality -> samples per second.
        units: modality -> unit of the values, as printed on an axis.
        channels: modality -> names of its channels, where it has several that are not just x, y, z or numbers.
        parts: seconds at which further sessions or runs begin, where there are any, one after another.
        ordered: whether they are known to be in the order of time.
    """

    signals: Mapping[str, np.ndarray]
    rates: Mapping[str, float]
    units: Mapping[str, str]
    channels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    parts: Sequence[float] = ()
    ordered: bool = True

    def channels_of(self, modality: str) -> list[str]:
        """Names of a modality's channels; three without names are an accelerometer's, or the like: x, y, z."""
        several = self.signals[modality].shape[1]
        return list(self.channels.get(modality, "xyz" if several == 3 else map(str, range(1, 1 + several))))


@dataclass(frozen=True)
class Layout:
    """What a model must know of a data set to be built for it.

    Args:
        shapes: modality -> (tokens, features).
        roles: role ("physiological", "behavioral") -> names of its modalities.
        emotions: names of the L emotions.
        query: the physiological modality that queries the others (HeLo, step 2).
    """

    shapes: dict[str, tuple[int, int]]
    roles: dict[str, tuple[str, ...]]
    emotions: tuple[str, ...]
    query: str | None

    @property
    def modalities(self) -> tuple[str, ...]:
        return tuple(self.shapes)


@dataclass(frozen=True, eq=False)
class EmotionData:
    """Windows of physiological and behavioral signals with the emotions that were felt.

    n windows, L emotions. A window of modality m is a sequence of tokens (time segments, channels), each a
    vector of features; a mask says which tokens are really there.

    Args:
        name: name of the data set.
        signals: modality -> float array of shape (n, tokens, features).
        distributions: shape (n, L); rows are non-negative and sum to 1.
        emotions: names of the L emotions, at least two.
        subjects: shape (n,); who the window was recorded from.
        trials: shape (n,); the clip or condition within the subject. Windows of one subject and trial share a label,
            unless ratings went on in time (`recordings`, over: time).
        clips: shape (n,) or None; the name of what was watched, where a subject's trials of one clip are several.
            Default: the trials' names (`clip_ids`).
        roles: role -> modalities; "physiological" and "behavioral" together name every modality once.
        masks: modality -> bool array of shape (n, tokens), True where a token is there. Default: all there.
        conditions: shape (n,) or None; the name of what was shown or done, comparable between subjects. Only the
            ceiling and the condition baseline read it; no model's input does.
        starts: shape (n,) or None; start of the window in the subject's recording, in seconds.
        window: length of a window in seconds, or None.
        query: the physiological modality that queries the others; default the one with most tokens, then the first.
        features: modality -> names of its features.
        tokens: modality -> names of its tokens.
        truth: for simulated data, what is known of "label_correlation" (L, L), "coupling" (n, body's tokens, face's
            tokens), "distributions" (n, L).
        recording: subject -> Recording, the raw signals; None where they are not at hand.

    Raises:
        ValueError: naming the field, what was found and what was expected.
    """

    name: str
    signals: dict[str, np.ndarray]
    distributions: np.ndarray
    emotions: tuple[str, ...]
    subjects: np.ndarray
    trials: np.ndarray
    roles: dict[str, tuple[str, ...]]
    masks: dict[str, np.ndarray] = field(default_factory=dict)
    conditions: np.ndarray | None = None
    clips: np.ndarray | None = None
    starts: np.ndarray | None = None
    window: float | None = None
    query: str | None = None
    features: dict[str, tuple[str, ...]] = field(default_factory=dict)
    tokens: dict[str, tuple[str, ...]] = field(default_factory=dict)
    truth: dict[str, np.ndarray] = field(default_factory=dict)
    recording: Callable[[str], Recording] | None = None

    def __post_init__(self):
        def put(name, value):
            object.__setattr__(self, name, value)

        put("emotions", tuple(str(e) for e in self.emotions))
        put("distributions", _distributions(self.name, self.distributions, self.emotions))
        n = len(self.distributions)
        for name in ("subjects", "trials", "clips", "conditions"):
            if getattr(self, name) is not None:
                put(name, _one_per_window(self.name, name, np.asarray(getattr(self, name)).astype(str), n))
        if self.starts is not None:
            put("starts", _one_per_window(self.name, "starts", np.asarray(self.starts, np.float64), n))
            if len(unknown := np.flatnonzero(~np.isfinite(self.starts))):  # it would hide what overlaps in time
                raise ValueError(
                    f"{self.name}: starts holds {self.starts[unknown[0]]} at window {unknown[0]} ({len(unknown)}); "
                    "expected seconds, or None for starts that are not known"
                )
        put("roles", _roles(self.name, self.roles, self.signals))
        order = [m for role in (PHYSIOLOGICAL, BEHAVIORAL) for m in self.roles[role]]
        signals, masks = {}, {}
        for m in order:
            signals[m], masks[m] = _modality(self.name, m, self.signals[m], self.masks.get(m), n)
        put("signals", signals)
        put("masks", masks)
        put("features", {m: _names(self.name, "features", m, self.features.get(m), signals[m].shape[2]) for m in order})
        put("tokens", {m: _names(self.name, "tokens", m, self.tokens.get(m), signals[m].shape[1]) for m in order})
        physiological = self.roles[PHYSIOLOGICAL]
        if self.query is None and physiological:
            put("query", max(physiological, key=lambda m: (signals[m].shape[1], -physiological.index(m))))
        elif self.query is not None and self.query not in physiological:
            raise ValueError(
                f"{self.name}: query is {self.query!r}; "
                f"expected one of the physiological modalities {list(physiological)}"
            )

    def __len__(self) -> int:
        return len(self.distributions)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{m} {x.shape[1]}x{x.shape[2]}" for m, x in self.signals.items())
        return (
            f"EmotionData({self.name}: {len(self)} windows, {len(np.unique(self.subjects))} subjects, "
            f"{len(self.emotions)} emotions; {shapes})"
        )

    @property
    def layout(self) -> Layout:
        """Shapes, roles and emotions: what `helo.build` needs."""
        shapes = {m: (x.shape[1], x.shape[2]) for m, x in self.signals.items()}
        return Layout(shapes, dict(self.roles), self.emotions, self.query)

    @property
    def trial_ids(self) -> np.ndarray:
        """Subject and trial joined, shape (n,): unique in the data set."""
        return np.char.add(np.char.add(self.subjects, "/"), self.trials)

    @property
    def clip_ids(self) -> np.ndarray:
        """The clip's name, by whomever and however often it was watched, shape (n,): `clips`, or else the trials."""
        return self.trials if self.clips is None else self.clips


def ratings_to_distributions(ratings: np.ndarray, source: str, emotions: Sequence[str]) -> np.ndarray:
    """Emotion distributions from intensity ratings: d_j = r_j / sum_k r_k.

    Args:
        ratings: shape (n, L), non-negative.
        source: where the ratings come from, for the error text.
        emotions: names of the L columns.

    Returns:
        Shape (n, L), rows on the simplex, float32.

    Raises:
        ValueError: a missing, negative or infinite rating, or a row of zeros; names row and emotion.
    """
    ratings = np.asarray(ratings, np.float64)
    bad = ~np.isfinite(ratings) | (ratings < 0)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise ValueError(
            f"{source}: the rating of {emotions[column]!r} in row {row} is {ratings[row, column]}; "
            "expected a finite number of at least 0"
        )
    totals = ratings.sum(1, keepdims=True)
    if (totals == 0).any():
        raise ValueError(
            f"{source}: all ratings in row {int(np.argmin(totals))} are 0; a distribution needs one above 0"
        )
    return (ratings / totals).astype(np.float32)


def _distributions(source, values, emotions):
    d = np.asarray(values, np.float32)
    if len(emotions) < 2:
        raise ValueError(f"{source}: emotions are {list(emotions)}; a distribution needs at least two")
    if len(set(emotions)) != len(emotions):
        raise ValueError(f"{source}: emotions {list(emotions)} name one twice")
    if d.ndim != 2 or d.shape[1] != len(emotions) or len(d) == 0:
        raise ValueError(
            f"{source}: distributions have shape {d.shape}; expected (windows > 0, {len(emotions)} emotions)"
        )
    wrong = ~np.isfinite(d).all(1) | (d < 0).any(1) | ~np.isclose(d.sum(1), 1, atol=1e-4)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(
            f"{source}: distributions row {row} is {np.round(d[row], 4).tolist()} (sum {d[row].sum():.4f}); "
            "expected non-negative numbers that sum to 1"
        )
    return d


def _one_per_window(source, name, values, n):
    if values.shape != (n,):
        raise ValueError(f"{source}: {name} has shape {values.shape}; expected ({n},), one per window")
    return values


def _roles(source, roles, signals):
    unknown = set(roles) - {PHYSIOLOGICAL, BEHAVIORAL}
    if unknown:
        raise ValueError(f"{source}: roles has {sorted(unknown)}; expected only 'physiological' and 'behavioral'")
    clean = {role: tuple(roles.get(role, ())) for role in (PHYSIOLOGICAL, BEHAVIORAL)}
    named = [m for ms in clean.values() for m in ms]
    if sorted(named) != sorted(signals):
        raise ValueError(f"{source}: roles name {sorted(named)}; expected each modality once: {sorted(signals)}")
    return clean


def _modality(source, name, values, mask, n):
    x = np.asarray(values, np.float32)
    if x.ndim != 3 or len(x) != n or 0 in x.shape:
        raise ValueError(
            f"{source}: modality {name!r} has shape {x.shape}; expected ({n} windows, tokens > 0, features > 0)"
        )
    mask = np.ones(x.shape[:2], bool) if mask is None else np.asarray(mask)
    if mask.shape != x.shape[:2] or mask.dtype != bool:
        raise ValueError(f"{source}: mask of {name!r} is {mask.dtype} {mask.shape}; expected bool {x.shape[:2]}")
    wrong = mask & ~np.isfinite(x).all(2)
    if wrong.any():
        window, token = np.argwhere(wrong)[0]
        raise ValueError(
            f"{source}: modality {name!r}, window {window}, token {token} holds NaN or Inf; "
            "mend it or set its mask to False"
        )
    if not mask.any():
        raise ValueError(f"{source}: modality {name!r} has no token in any window; leave it out")
    if not mask.all():
        x = np.where(mask[:, :, None], x, np.float32(0))
    return x, mask


def _names(source, what, modality, names, count):
    if names is None:
        return tuple(f"{i + 1}" for i in range(count))
    if len(names) != count:
        raise ValueError(f"{source}: {what} of {modality!r} has {len(names)} names; expected {count}")
    return tuple(str(x) for x in names)
