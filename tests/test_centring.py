"""Person-mean centring of the training targets."""

import dataclasses

import numpy as np
import pytest
from conftest import random_data

import helo
from helo.training.centring import within_person


@pytest.fixture
def rated():
    """Every trial has one distribution, as questionnaires give it."""
    data = random_data(n=80)
    trials = np.unique(data.trial_ids, return_inverse=True)[1]
    first = np.array([np.flatnonzero(trials == t)[0] for t in trials])
    return dataclasses.replace(data, distributions=data.distributions[first])


def with_tendencies(data, strength=1.0):
    """Every person's ratings multiplied by that person's own factors."""
    people = np.unique(data.subjects, return_inverse=True)[1]
    factors = np.exp(strength * np.random.default_rng(3).normal(size=(people.max() + 1, len(data.emotions))))
    d = data.distributions * factors[people]
    return dataclasses.replace(data, distributions=(d / d.sum(1, keepdims=True)).astype(np.float32))


def test_a_person_s_factor_disappears(rated):
    split = helo.splits.by_subject(rated, folds=4)[0]
    rows = np.concatenate([split.train, split.validation])
    plain, moved = within_person(rated, split), within_person(with_tendencies(rated), split)
    ratio = np.log(moved.distributions[rows]) - np.log(plain.distributions[rows])
    ratio -= ratio.mean(1, keepdims=True)
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[0], ratio.shape), atol=1e-4)  # one constant for everybody
    np.testing.assert_allclose(moved.distributions[rows].sum(1), 1, rtol=1e-5)


@pytest.mark.parametrize("given", [1, 2])
def test_given_trials_of_a_test_person_keep_what_is_personal(rated, given):
    """The mean of one trial is that trial: without it nothing but everybody's mean would be left to learn from."""
    split = helo.splits.by_protocol(rated, "subjects", 4, calibrate=given)[0]
    known = np.intersect1d(split.seen, np.flatnonzero(np.isin(rated.subjects, rated.subjects[split.test])))
    centred, plain = within_person(rated, split), helo.splits.by_protocol(rated, "subjects", 4)[0]
    assert len(known)
    np.testing.assert_array_equal(centred.distributions[known], rated.distributions[known])
    others = np.setdiff1d(plain.seen, known)
    np.testing.assert_allclose(
        centred.distributions[others], within_person(rated, plain).distributions[others], rtol=1e-6
    )
    everybody = dataclasses.replace(
        plain, train=plain.seen[::2], validation=plain.seen[1::2][:0], test=plain.seen[1::2]
    )
    assert within_person(rated, everybody) is rated, "all people are tested"


def test_of_one_trial_nothing_is_taken_for_the_person(rated):
    """Their tendency would be the trial itself, and nothing would be left to learn."""
    alone = dataclasses.replace(rated, subjects=rated.trial_ids)
    split = helo.splits.by_subject(alone, folds=4)[0]
    assert within_person(alone, split) is alone
    changing = random_data(n=80)  # one trial a person, rated again and again
    changing = dataclasses.replace(changing, trials=np.zeros(80, int))
    changed = within_person(changing, helo.splits.by_subject(changing, folds=4)[0]).distributions
    assert not np.allclose(changed, changing.distributions, atol=1e-3)
    split = helo.splits.by_subject(rated, folds=4)[0]
    person = rated.subjects[split.train[0]]
    first = (rated.subjects == person) & (rated.trials == rated.trials[split.train[0]])
    fewer = dataclasses.replace(
        split, train=np.setdiff1d(split.train, np.flatnonzero((rated.subjects == person) & ~first))
    )
    centred = within_person(rated, fewer).distributions
    np.testing.assert_array_equal(centred[first], rated.distributions[first])
    others = fewer.train[rated.subjects[fewer.train] != person]
    assert not np.allclose(centred[others], rated.distributions[others], atol=1e-3)


def test_test_people_are_not_touched_and_have_no_say(rated):
    split = helo.splits.by_subject(rated, folds=4)[0]
    once = within_person(rated, split)
    assert np.array_equal(once.distributions[split.test], rated.distributions[split.test])
    other = rated.distributions.copy()
    other[split.test] = 1 / other.shape[1]
    again = within_person(dataclasses.replace(rated, distributions=other), split)
    assert np.array_equal(once.distributions[split.train], again.distributions[split.train])


def test_a_long_trial_counts_no_more_than_a_short_one(rated):
    split = helo.splits.by_subject(rated, folds=4)[0]
    twice = dataclasses.replace(
        split, train=np.concatenate([split.train, split.train[:4]])
    )  # one trial seen twice as often
    np.testing.assert_allclose(
        within_person(rated, twice).distributions, within_person(rated, split).distributions, atol=1e-6
    )


def test_people_without_tendencies_keep_their_ratings(rated):
    """Where all people rate alike there is nothing to take away."""
    everyone = dataclasses.replace(rated, subjects=np.repeat("a", len(rated)))
    split = helo.splits.by_trial(everyone, folds=4)[0]
    np.testing.assert_allclose(within_person(everyone, split).distributions, everyone.distributions, atol=1e-6)


@pytest.fixture
def recognisable():
    """People known by the level of their signals, whose ratings are the signals' moves within a person."""
    rng, people, trials = np.random.default_rng(0), 12, 20
    moves = rng.normal(size=(people, trials, 8))
    shares = np.exp(0.5 * moves @ rng.normal(size=(8, 5)))
    signals = (0.5 * rng.normal(size=(people, 1, 8)) + moves).reshape(-1, 2, 1, 4).astype(np.float32)
    return helo.EmotionData(
        name="recognisable",
        signals={"eda": signals[:, 0], "face": signals[:, 1]},
        distributions=(shares / shares.sum(2, keepdims=True)).reshape(-1, 5).astype(np.float32),
        emotions=[f"e{k}" for k in range(5)],
        subjects=np.repeat([f"p{k:02d}" for k in range(people)], trials),
        trials=np.tile(np.arange(trials).astype(str), people),
        roles={"physiological": ["eda"], "behavioral": ["face"]},
    )


def test_it_helps_where_tendencies_are_noise(recognisable):
    """A model that knows people by their level learns their tendencies too, which a new person does not have.

    Not everywhere: where levels differ as much as the moves do, or more, sa-bfgs loses 3 % by it; on the simulated
    study, whose people also use the scale differently, nobody gains or loses a hundredth.
    """
    noisy = with_tendencies(recognisable, 0.8)
    kl = []
    for centre_people in (False, True):
        table = helo.evaluate(
            ["early", "sa-bfgs", "ridge"],
            noisy,
            folds=4,
            progress=False,
            epochs=30,
            centre_people=centre_people,
            learning_rate=3e-3,
            nested=0,
        )
        kl.append(table.groupby("model")["kl"].mean())
    assert kl[1]["early"] < 0.98 * kl[0]["early"] and kl[1]["sa-bfgs"] < 0.98 * kl[0]["sa-bfgs"]
    assert kl[1]["ridge"] < 1.005 * kl[0]["ridge"]
