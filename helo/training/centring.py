"""Training targets without what is personal: the tendency of each person's ratings."""

from __future__ import annotations

import dataclasses

import numpy as np

from helo.data.emotion_data import EmotionData
from helo.data.split import Split


def within_person(data: EmotionData, split: Split) -> EmotionData:
    """Person-mean centring of the training side's distributions; test windows are not touched.

    Some people rate everything high, others are never ashamed: no signal of a new person can tell, so to a model that
    is meant for new people it is noise in the targets. In log-ratios,

        log l'_i = log l_i - m_s(i) + mean_s m_s + constant,    m_s = mean over the trials of person s of log l

    People who are tested too, by other windows, keep their tendency: of them it can be learned, and a few given trials
    (`calibrate`) would be left with nothing but the average person's rating. Of a person with one rating the tendency
    and what was shown cannot be told apart: such people keep theirs too. Where people met different conditions, a part
    of what the conditions do is taken out with the tendency.

    Args:
        data: the data set.
        split: its training and validation windows are centred; every trial of a person counts once.

    Returns:
        The data set with other distributions on the training side. Shares below .0001 count as .0001.
    """
    rows = np.concatenate([split.train, split.validation])
    rows = rows[~np.isin(data.subjects[rows], data.subjects[split.test])]
    if not len(rows):
        return data
    log = np.log(np.maximum(data.distributions[rows].astype(np.float64), 1e-4))
    people, trials = data.subjects[rows], data.trial_ids[rows]
    several = np.isin(people, [p for p in np.unique(people) if _varies(log[people == p], trials[people == p])])
    if not several.any():
        return data
    rows, log, people, trials = rows[several], log[several], people[several], trials[several]
    tendency = {
        person: np.mean([log[trials == t].mean(0) for t in np.unique(trials[people == person])], 0)
        for person in np.unique(people)
    }
    everybody = np.mean(list(tendency.values()), 0)
    centred = np.exp(log - np.stack([tendency[p] for p in people]) + everybody)
    distributions = data.distributions.copy()
    distributions[rows] = centred / centred.sum(1, keepdims=True)
    return dataclasses.replace(data, distributions=distributions)


def _varies(log, trials):
    """Several trials, or ratings that change within the one."""
    return len(np.unique(trials)) > 1 or np.ptp(log, axis=0).max() > 1e-6
