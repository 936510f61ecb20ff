"""Train on one data set, test on another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from helo.data.emotion_data import EmotionData
from helo.data.protocols import held_out
from helo.data.split import Split


def transfer(
    source: EmotionData,
    target: EmotionData,
    modalities: Sequence[str] | None = None,
    validation: float = 0.2,
    seed: int = 0,
) -> tuple[EmotionData, Split]:
    """Both data sets as one, and a split that trains on the source and tests on the whole target.

    Each keeps the normalisation it was loaded with. Validation people are the source's: the target has no say.

    Args:
        source: to train on.
        target: to test on.
        modalities: those to use; None: all, and both must have the same.
        validation: share of the source's people held out for early stopping (at least one; 0: none).
        seed: which of them.

    Raises:
        ValueError: as `join`.
    """
    data = join(source, target, modalities)
    own, other = np.arange(len(source)), np.arange(len(source), len(data))
    held = np.isin(data.subjects[own], held_out(np.unique(data.subjects[own]), validation, np.random.default_rng(seed)))
    return data, Split(f"transfer-{source.name}-to-{target.name}", own[~held], own[held], other)


def join(one: EmotionData, two: EmotionData, modalities: Sequence[str] | None = None) -> EmotionData:
    """Two data sets of the same modalities and emotions as one: the windows of `one`, then those of `two`.

    Emotions are matched by name, in the order of `one`. People are renamed, "wesad:S1", since two who are called the
    same are two (where both sets have one name, ":1" and ":2" come after it). Clips and conditions are not renamed:
    those of one name count as one (`helo.splits.leaks`). What only one set has (start times, a window's length,
    conditions) and what is true of one alone (raw recordings, a simulation's truth) is left out.

    Args:
        one: its emotions, modalities and query come first.
        two: the other.
        modalities: those to keep; None: all, and both must have the same.

    Raises:
        ValueError: a modality that one side lacks, other roles, tokens or features of a modality, or other emotions;
            names the field, found and expected.
    """
    kept = list(one.signals if modalities is None else modalities)
    for data in (one, two):
        missing = [m for m in kept if m not in data.signals]
        extra = [m for m in data.signals if m not in kept] if modalities is None else []
        if missing or extra or not kept:
            raise ValueError(
                f"{data.name}: modalities are {list(data.signals)}; expected {kept}"
                + (f", as {one.name} has; modalities=... chooses those of both" if modalities is None else "")
            )
    for m in kept:
        _agree(one, two, m)
    if set(one.emotions) != set(two.emotions):
        raise ValueError(f"{two.name}: emotions are {sorted(two.emotions)}; expected {sorted(one.emotions)}")
    names = (one.name, two.name) if one.name != two.name else (f"{one.name}:1", f"{two.name}:2")

    def chained(what):
        parts = [getattr(data, what) for data in (one, two)]
        return None if any(part is None for part in parts) else np.concatenate(parts)

    return EmotionData(
        name=f"{names[0]}+{names[1]}",
        signals={m: np.concatenate([one.signals[m], two.signals[m]]) for m in kept},
        masks={m: np.concatenate([one.masks[m], two.masks[m]]) for m in kept},
        distributions=np.concatenate(
            [one.distributions, two.distributions[:, [two.emotions.index(e) for e in one.emotions]]]
        ),
        emotions=one.emotions,
        subjects=np.concatenate(
            [[f"{name}:{who}" for who in data.subjects] for name, data in zip(names, (one, two), strict=True)]
        ),
        trials=chained("trials"),
        clips=None if one.clips is None and two.clips is None else chained("clip_ids"),
        conditions=chained("conditions"),
        starts=chained("starts"),
        window=one.window if one.window == two.window else None,
        roles={role: tuple(m for m in ms if m in kept) for role, ms in one.roles.items()},
        query=one.query if one.query in kept else None,
        features={m: one.features[m] for m in kept},
        tokens={m: one.tokens[m] for m in kept},
    )


def _agree(one, two, modality):
    roles = [next(role for role, ms in data.roles.items() if modality in ms) for data in (one, two)]
    found = [
        (data.signals[modality].shape[1:], role, data.tokens[modality], data.features[modality])
        for data, role in zip((one, two), roles, strict=True)
    ]
    whats = ("shape (tokens, features)", "role", "tokens", "features")
    for what, expected, given in zip(whats, *found, strict=True):
        if given != expected:
            raise ValueError(
                f"{two.name}: {what} of modality {modality!r}: {given}; expected {expected}, as {one.name} has"
            )
