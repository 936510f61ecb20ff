"""Inputs that tell the answer by another way than the emotion: the labels among the features, the clip's name, a gap.

A model of such inputs scores well and has recognised nothing. `helo.data.check` runs these with its other tests.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from helo.data.emotion_data import EmotionData
from helo.data.findings import CAUTION, Finding, worst
from helo.data.repeated_labels import labels_among_features, ratings_among_features
from helo.data.token_features import means, sums, tokens
from helo.measures import kl

#: share of a feature's variance that other people's mean for the clip explains, from which on it names the clip.
CLIP = 0.95
#: share of the mean's KL that a modality's absence takes off, and p over people, from which on it tells the label.
ABSENCE, ABSENCE_P = 0.02, 0.01


def audit(data: EmotionData) -> Iterator[Finding]:
    """Every input of a data set that repeats a rating, names the clip, or tells the label by its absence."""
    for test in (ratings_among_features, labels_among_features, _clip, _absence):
        yield from test(data)


def told_by(data: EmotionData, code: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a number per window says of the emotions of new people.

    Up to five folds of people. KL of each window's distribution from the other folds' mean, and from their mean over
    the windows with the same number, to which ten windows of the first mean are added.

    Args:
        data: the data set, of at least two people.
        code: shape (n,); few different values.

    Returns:
        Both KL, shape (n,) each.
    """
    d = data.distributions.astype(np.float64)
    people, who = np.unique(data.subjects, return_inverse=True)
    side = who % min(5, len(people))
    plain, told = np.empty(len(data)), np.empty(len(data))
    for fold in np.unique(side):
        test, train = side == fold, side != fold
        mean = d[train].mean(0)
        answer = np.tile(mean, (len(data), 1))
        for value in np.unique(code[test]):
            near = train & (code == value)
            answer[code == value] = (d[near].sum(0) + 10 * mean) / (near.sum() + 10)
        plain[test], told[test] = kl(d[test], np.tile(mean, (test.sum(), 1))), kl(d[test], answer[test])
    return plain, told


def _clip(data):
    """Features that other people's mean for the same clip explains: they say which clip it is, whoever watches."""
    found: dict[str, dict] = {}
    clips, people = (np.unique(names, return_inverse=True)[1] for names in (data.clip_ids, data.subjects))
    viewings = people * len(data) + clips  # however often a person saw the clip
    for m, rows, x in tokens(data):
        clip, viewing = clips[rows], np.unique(viewings[rows], return_inverse=True)[1]
        others = np.bincount(clip)[clip] - np.bincount(viewing)[viewing]
        shared = others > 0
        if len(np.unique(clip[shared])) < 3 or len(np.unique(people[rows])) < 2:
            continue
        size = np.maximum(np.abs(x).max(0), 1e-30)  # a unit may be small
        x = (x - x.mean(0)) / size
        mean = (sums(x, clip)[clip] - sums(x, viewing)[viewing])[shared] / others[shared, None]
        own = x[shared]
        total = ((own - own.mean(0)) ** 2).sum(0)
        explained = np.where(total > 1e-12 * len(own), 1 - ((own - mean) ** 2).sum(0) / np.maximum(total, 1e-12), 0)
        for k in np.flatnonzero(explained > CLIP):
            of = found.setdefault(m, {})
            name = data.features[m][k]
            of[name] = max(of.get(name, (0,)), (explained[k],))
    action = "a model may learn clips by it instead of emotions; leave it out, or test with new clips (protocol 'both')"
    yield from worst(
        found,
        CAUTION,
        "feature names the clip",
        lambda share: f"is {share:.1%} explained by the clip, whoever watches",
        action,
    )


def _absence(data):
    """Modalities whose absence tells the emotions of new people."""
    if len(np.unique(data.subjects)) < 2:
        return
    for m, mask in data.masks.items():
        gone = ~mask.any(1)
        if not gone.any():
            continue
        plain, told = told_by(data, gone)
        people = np.unique(data.subjects[gone], return_inverse=True)[1]
        gains = means((plain - told)[gone][:, None], people)[:, 0]
        gain = 1 - told[gone].mean() / max(plain[gone].mean(), 1e-12)
        # without a difference, a person's gain is as often a loss: p from flipped signs; 7 people are needed
        rng, at_once = np.random.default_rng(0), 10**6 // len(gains) + 1  # of many people all at once were gigabytes
        sizes = np.diff([*range(0, 9999, at_once), 9999])
        flipped = np.concatenate([rng.choice([-1.0, 1.0], (size, len(gains))) @ gains for size in sizes])
        p = (1 + (flipped >= gains.sum()).sum()) / 10_000
        if gain > ABSENCE and p < ABSENCE_P:
            told_so = f"that '{m}' is absent takes {gain:.0%} off the mean's KL for new people there (p {p:.1g})"
            action = "a model may learn the gap; find out why it is absent, or leave these windows or all of it out"
            yield Finding(CAUTION, "absence tells the emotion", m, f"{told_so}: {action}")
