"""Features that repeat the labels: a rating among them, as it is or in another unit, or the shares side by side."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from helo.data.emotion_data import EmotionData
from helo.data.findings import FAULT, Finding, worst
from helo.data.token_features import correlation, standard, tokens

#: |correlation| of a feature with an emotion's share from which on it is taken for the rating.
RATING = 0.98
#: largest sum of a window's whole-number ratings that its shares are traced back to, and how near to whole they must be
SUM, WHOLE = 400, 1e-3
#: distance of a block of features from the distributions, beside theirs from their mean, below which it repeats them.
REPEATED = 0.02
#: places of a block of labels among the features that are looked at, times labels (and windows, of which at least 3)
PLACES = 3_000_000
#: fewer trials than this correlate by chance.
TRIALS = 10


def ratings_among_features(data: EmotionData) -> Iterator[Finding]:
    """Features that are a rating, as a share or as a whole number, or hardly differ from one, whatever their unit."""
    found: dict[str, dict] = {}
    rated = _whole_ratings(data.distributions.astype(np.float64))
    people, trials = (np.unique(names, return_inverse=True)[1] for names in (data.subjects, data.trial_ids))
    for m, rows, x in tokens(data):
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
    yield from worst(found, FAULT, "rating among the features", _told_of_rating, action)


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
    closeness = np.abs(correlation(x, y))
    if free - who.max() - 1 >= TRIALS:  # by person, as features often are
        closeness = np.maximum(closeness, np.abs(correlation(standard(x, who), standard(y, who))))
    return np.minimum(closeness, 1 - 1e-9)  # 1 is for what is the same, number by number


def _whole_ratings(d):
    """The whole numbers (n, L) that shares d (n, L) were made from; NaN in windows where they are not known.

    The least sum s <= SUM with all s d_j whole, shares of four decimals included. Where twice as much would still be
    within the scale, which the largest ratings of nineteen windows in twenty tell, it may have been twice as much: not
    known either. Nothing is, where fewer than nine in ten windows have such a sum (ratings that go on between the
    numbers, or a floor below them) or emotions are two.
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
    alike = correlation(x, d)
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


def labels_among_features(data: EmotionData) -> Iterator[Finding]:
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
