"""Inputs that tell the answer by another way than the emotion: ratings among the features, the clip's name, a gap.

A model of such inputs scores well and has recognised nothing. `helo.data.check` runs these with its other tests.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from helo.data.emotion_data import EmotionData
from helo.data.findings import CAUTION, FAULT, Finding
from helo.measures import kl

#: |correlation| of a feature with an emotion's share from which on it is taken for the rating.
RATING = 0.98
#: largest sum of a window's whole-number ratings that its shares are traced back to, and how near to whole they must be
SUM, WHOLE = 400, 1e-3
#: share of a feature's variance that other people's mean for the clip explains, from which on it names the clip.
CLIP = 0.95
#: share of the mean's KL that a modality's absence takes off, and p over people, from which on it tells the label.
ABSENCE, ABSENCE_P = 0.02, 0.01
#: distance of a block of features from the distributions, beside theirs from their mean, below which it repeats them.
REPEATED = 0.02
#: places of a block of labels among the features that are looked at, times labels (and windows, of which at least 3)
PLACES = 3_000_000
#: fewer trials than this correlate by chance.
TRIALS = 10


def audit(data: EmotionData) -> Iterator[Finding]:
    """Every input of a data set that repeats a rating, names the clip, or tells the label by its absence."""
    for test in (_ratings, _repeats, _clip, _absence):
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


def _tokens(data) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Modality, windows and features (windows, features) of each token, where it is there in two windows or more."""
    for m, x in data.signals.items():
        for token in range(x.shape[1]):
            rows = np.flatnonzero(data.masks[m][:, token])
            if len(rows) > 1:
                yield m, rows, x[rows, token].astype(np.float64)


def _worst(found: dict, level: str, what: str, told, action: str) -> Iterator[Finding]:
    """One finding a modality: its worst feature's figure, how many others are like it, and what to do."""
    for m, features in found.items():
        (name, worst), *others = sorted(features.items(), key=lambda item: -item[1][0])
        more = f" ({len(others)} other feature{'s' * (len(others) > 1)} like it)" if others else ""
        yield Finding(level, what, m, f"'{name}' {told(*worst)}{more}: {action}")


def _ratings(data):
    """Features that are a rating, as a share or as a whole number, or hardly differ from one, whatever their unit."""
    found: dict[str, dict] = {}
    rated = _whole_ratings(data.distributions.astype(np.float64))
    people, trials = (np.unique(names, return_inverse=True)[1] for names in (data.subjects, data.trial_ids))
    for m, rows, x in _tokens(data):
        d = data.distributions[rows].astype(np.float64)
        share = _alike(x, d, people[rows], trials[rows])
        share[_same(x, d)] = 1
        if len(np.unique(trials[rows])) >= TRIALS:
            share[_whole(x, d)] = 1
        known = ~np.isnan(rated[rows, 0])
        rating = _alike(x[known], rated[rows][known], people[rows][known], trials[rows][known])
        for what, closeness in (("share", share), ("rating", rating)):
            for k in np.flatnonzero(closeness.max(1) > RATING):
                most = int(closeness[k].argmax())
                of = found.setdefault(m, {})
                name = data.features[m][k]
                # nearest first; that it is the rating itself before that it goes with it
                of[name] = max(of.get(name, (0, "", "")), (closeness[k, most], what, data.emotions[most]))
    action = "if it was computed from the ratings, leave it out"
    yield from _worst(found, FAULT, "rating among the features", _told_of_rating, action)


def _told_of_rating(closeness, what, emotion):
    if closeness == 1:
        return f"is the rating of '{emotion}' itself"
    return f"correlates {closeness:.3f} with the {what} of '{emotion}'"


def _alike(x, y, people, trials):
    """|correlation| of every column of x with every one of y, or with each centred and scaled by person if higher.

    0 where there are too few trials for that to tell anything.
    """
    free, closeness = len(np.unique(trials)), np.zeros((x.shape[1], y.shape[1]))
    if free < TRIALS:
        return closeness
    who = np.unique(people, return_inverse=True)[1]
    closeness = np.abs(_correlation(x, y))
    if free - who.max() - 1 >= TRIALS:  # by person, as features often are
        closeness = np.maximum(closeness, np.abs(_correlation(_standard(x, who), _standard(y, who))))
    return np.minimum(closeness, 1 - 1e-9)  # 1 is for what is the same, number by number


def _whole_ratings(d):
    """The whole numbers (n, L) that shares d (n, L) were made from; NaN in windows where they are not known.

    The least sum s <= SUM with all s d_j whole, shares of four decimals included. Where twice as much would still be
    within the scale, which the largest ratings of nineteen windows in twenty tell, it may have been twice as much: not
    known either. Nothing is, where fewer than nine in ten
    windows have such a sum (ratings that go on between the numbers, or a floor below them) or emotions are two.
    """
    rows, back = np.unique(d, axis=0, return_inverse=True)
    some = rows[:: -(-len(rows) // 500)]  # of many windows some tell that none are made of whole numbers
    totals = _least_sums(rows) if (_least_sums(some) == 0).mean() < 0.5 else np.zeros(len(rows))
    ratings = np.round(rows * totals[:, None])
    most = ratings.max(1)
    scale = np.quantile(most[totals > 0], 0.95) if totals.any() else 0
    unknown = (totals == 0) | (2 * most <= scale)
    if d.shape[1] < 3 or (totals[back.ravel()] == 0).mean() > 0.1:
        unknown[:] = True
    ratings[unknown] = np.nan
    return ratings[back.ravel()]


def _least_sums(d):
    """The least s <= SUM by which each row of d is whole numbers; 0 where there is none."""
    sums = np.zeros(len(d))
    for s in range(1, SUM + 1):
        left = np.flatnonzero(sums == 0)
        near = np.abs(s * d[left] - np.round(s * d[left])).max(1, initial=0) < max(WHOLE, 1e-4 * s)
        sums[left[near]] = s
    return sums


def _same(x, d):
    """Columns that are a share, number by number."""
    same = np.zeros((x.shape[1], d.shape[1]), bool)
    for j in range(d.shape[1]):
        if len(np.unique(d[:, j])) > 2:
            few = [0, len(x) // 2, -1]  # windows that most others differ in
            near = np.flatnonzero((np.abs(x[few] - d[few, j, None]) < 1e-4).all(0))
            same[near, j] = (np.abs(x[:, near] - d[:, j, None]) < 1e-4).all(0)
    return same


def _whole(x, d):
    """Columns that are a whole-number rating r_j: with d_j = r_j / s, all s d_k are whole numbers too."""
    whole = np.zeros((x.shape[1], d.shape[1]), bool)
    if ((d > 0).sum(1) > 1).mean() < 0.5:  # a single emotion's share is 1 whatever the rating
        return whole
    counts = (np.abs(x - np.round(x)).max(0) < 1e-6) & (x.min(0) >= 0) & (np.ptp(np.round(x), axis=0) > 0)
    alike = _correlation(x, d)
    for j in range(d.shape[1]):
        rated = d[:, j] > 0
        columns = np.flatnonzero(counts & (alike[:, j] > 0.5))
        columns = columns[((x[:, columns] > 0) == rated[:, None]).all(0)]
        if len(columns):  # one window's first shares tell most others apart; all pairs in full would take minutes
            totals = x[np.ix_(rated, columns)] / d[rated, j][:, None]
            some = d[rated, :8][0][:, None] * totals[0]
            near = np.abs(some - np.round(some)).max(0) < 1e-3 * np.maximum(1, totals.max(0))
            whole[columns[near], j] = True
    for k, j in np.argwhere(whole):
        rated = d[:, j] > 0
        ratings = d[rated] * (x[rated, k] / d[rated, j])[:, None]
        near = np.abs(ratings - np.round(ratings)).max() < 1e-3 * max(1, ratings.max())
        whole[k, j] = near
    return whole


def _correlation(x, y):
    """Pearson's, of every column of x with every column of y; 0 for a column that does not vary."""
    x, y = (_standard(z, np.zeros(len(z), int)) for z in (x, y))
    return x.T @ y / len(x)


def _standard(x, groups):
    """Each column, centred and scaled within each group; 0 where it does not vary there."""
    x = x - _means(x, groups)[groups]
    sd = np.sqrt(_means(x**2, groups))
    return x / np.where(sd > 1e-6 * max(1e-6, np.abs(x).max(initial=0)), sd, np.inf)[groups]


def _means(x, groups):
    """Mean of each column over each group, (groups, columns)."""
    return _sums(x, groups) / np.bincount(groups)[:, None]


def _sums(x, groups):
    from scipy.sparse import csr_array

    n = len(groups)
    return csr_array((np.ones(n), (groups, np.arange(n)))) @ x


def _repeats(data):
    """As many neighbouring features as there are emotions that are the distributions, as shares or before a softmax."""
    d = data.distributions.astype(np.float64)
    count = d.shape[1]
    for m, x in data.signals.items():
        rows = np.flatnonzero(data.masks[m].all(1))
        features = np.concatenate([x.reshape(len(x), -1), x.mean(1)], 1)
        if len(rows) < TRIALS or features.shape[1] < count:
            continue
        # few windows tell that a block is none; many labels beside many features would take minutes
        places = min(features.shape[1] - count + 1, PLACES // count)
        few = max(3, min(len(rows), 100, PLACES // (places * count)))
        some = rows[np.linspace(0, len(rows) - 1, few).astype(int)]
        blocks = np.lib.stride_tricks.sliding_window_view(features[some].astype(np.float64), count, axis=1)
        for first in range(places):
            if not _repeat(blocks[:, first], d[some]):
                continue
            block = features[rows, first : first + count].astype(np.float64)
            if far := _repeat(block, d[rows]):
                names = [data.features[m][(first + k) % x.shape[2]] for k in (0, count - 1)]
                told = f"'{names[0]}' to '{names[1]}' are the distributions themselves, {far}"
                action = "if a detector made the labels, what is learned is the detector; if not, leave these out"
                yield Finding(FAULT, "labels among the features", m, f"{told}: {action}")
                break


def _repeat(block, d):
    """How a block is the distributions, in the emotions' order or another; "" if it is not."""
    forms = {"after a softmax": np.exp(block - block.max(1, keepdims=True))}
    if block.min() >= 0 and block.sum(1).min() > 0:
        forms = {"divided by their sum": block} | forms
    for told, form in forms.items():
        shares = form / form.sum(1, keepdims=True)
        for one, two in ((shares, d), (np.sort(shares, 1), np.sort(d, 1))):
            if np.abs(one - two).mean() < REPEATED * np.abs(two - two.mean(0)).mean():
                return f"{told} (mean difference {np.abs(one - two).mean():.1g})"
    return ""


def _clip(data):
    """Features that other people's mean for the same clip explains: they say which clip it is, whoever watches."""
    found: dict[str, dict] = {}
    clips, people = (np.unique(names, return_inverse=True)[1] for names in (data.trials, data.subjects))
    viewings = np.unique(data.trial_ids, return_inverse=True)[1]
    for m, rows, x in _tokens(data):
        clip, viewing = clips[rows], np.unique(viewings[rows], return_inverse=True)[1]
        others = np.bincount(clip)[clip] - np.bincount(viewing)[viewing]
        shared = others > 0
        if len(np.unique(clip[shared])) < 3 or len(np.unique(people[rows])) < 2:
            continue
        size = np.maximum(np.abs(x).max(0), 1e-30)  # a unit may be small
        x = (x - x.mean(0)) / size
        mean = (_sums(x, clip)[clip] - _sums(x, viewing)[viewing])[shared] / others[shared, None]
        own = x[shared]
        total = ((own - own.mean(0)) ** 2).sum(0)
        explained = np.where(total > 1e-12 * len(own), 1 - ((own - mean) ** 2).sum(0) / np.maximum(total, 1e-12), 0)
        for k in np.flatnonzero(explained > CLIP):
            of = found.setdefault(m, {})
            name = data.features[m][k]
            of[name] = max(of.get(name, (0,)), (explained[k],))
    action = "a model may learn clips by it instead of emotions; leave it out, or test with new clips (protocol 'both')"
    yield from _worst(
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
        gains = _means((plain - told)[gone][:, None], people)[:, 0]
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
