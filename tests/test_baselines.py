"""What the closed-form rivals choose inside, and that they solve what they say they solve."""

import dataclasses
import warnings

import numpy as np
import pytest
from conftest import random_data

import helo
from helo.data.splits import Split
from helo.models.baselines import inner_validation, softmax
from helo.models.linear import _least_kl
from helo.models.neighbours import _means
from helo.models.regression import _ridge

PEOPLE = np.repeat(np.arange(10), 40).astype(str)


def study(signals, distributions, shapes):
    return random_data(
        n=400,
        emotions=distributions.shape[1],
        shapes=shapes,
        signals={m: x.astype(np.float32) for m, x in signals.items()},
        distributions=distributions.astype(np.float32),
        subjects=PEOPLE,
    )


def solved(name, data, split):
    model = helo.build(name, data)
    helo.fit(model, data, split, progress=False)
    answer = helo.predict(model, data, split.test).distributions
    return model, helo.score(data.distributions[split.test], answer)["kl"]


@pytest.fixture(scope="module")
def votes():
    """Ten votes a window for three emotions, none of which is ever out of question; many labels are zero."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 1, 4))
    p = 0.1 + 0.7 * softmax(2 * x[:, 0] @ rng.normal(size=(4, 3)))
    d = np.stack([rng.multinomial(10, row) for row in p]) / 10
    return study({"eda": x[..., :2], "face": x[..., 2:]}, d, {"eda": (1, 2), "face": (1, 2)})


@pytest.fixture(scope="module")
def order():
    """Two tokens of the face that differ in order only: mean and SD over tokens say nothing."""
    rng = np.random.default_rng(0)
    sign = rng.choice([-1.0, 1.0], 400)
    face = np.stack([sign, -sign], 1)[..., None] + 0.1 * rng.normal(size=(400, 2, 1))
    d = np.where(sign[:, None] > 0, [0.8, 0.2], [0.2, 0.8])
    return study({"eda": rng.normal(size=(400, 1, 1)), "face": face}, d, {"eda": (1, 1), "face": (2, 1)})


@pytest.mark.parametrize("name", ["ridge", "kernel-ridge"])
def test_votes_of_zero_do_not_pull_the_answer_to_the_floor(votes, name):
    split = helo.splits.by_subject(votes, 5)[0]
    model, kl = solved(name, votes, split)
    assert not model.logarithms or model.floor > 1e-3
    _, of_the_same_class = solved("sa-bfgs", votes, split)
    assert kl < 1.03 * of_the_same_class  # the logarithm of max(l, 1e-4) alone has 1.07 times


@pytest.mark.parametrize("name", ["ridge", "kernel-ridge"])
def test_tokens_are_read_one_by_one_where_their_order_tells(order, votes, name):
    split = helo.splits.by_subject(order, 5)[0]
    model, kl = solved(name, order, split)
    assert model.tokens and kl < 0.02 < 0.15 < solved("sa-bfgs", order, split)[1]
    assert not solved(name, votes, split)[0].tokens  # one token everywhere: there is nothing to choose


@pytest.mark.parametrize("rows", [200, 20])
def test_ridge_is_the_reference_s_for_every_strength(rows):
    """More windows than features, and fewer; a feature that is 0 throughout."""
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(0)
    x, y = rng.normal(3, 2, (rows, 40)), rng.normal(1, 1, (rows, 6))
    x[:, [0, 7]] = 0
    for strength, (weight, bias) in zip((0.1, 10, 1e5), _ridge(x, y, (0.1, 10, 1e5)), strict=True):
        theirs = Ridge(alpha=strength).fit(x, y)
        np.testing.assert_allclose(x @ weight + bias, theirs.predict(x), atol=1e-9)
        assert (weight[[0, 7]] == 0).all()


def test_neighbours_are_the_reference_s():
    from sklearn.neighbors import NearestNeighbors

    rng = np.random.default_rng(0)
    points, labels, x = rng.normal(size=(300, 4)), rng.dirichlet(np.ones(3), 300), rng.normal(size=(50, 4))
    near = labels[NearestNeighbors(n_neighbors=300).fit(points).kneighbors(x, return_distance=False)]
    for k, found in zip((1, 7, 300), _means(points, labels, x, (1, 7, 300)), strict=True):
        np.testing.assert_allclose(found, near[:, :k].mean(1))
    assert _means(points[:5], labels[:5], x, (1, 80))[1] == pytest.approx(np.tile(labels[:5].mean(0), (50, 1)))


def test_as_many_neighbours_may_answer_as_it_takes():
    """Labels that no window tells: the more neighbours the better, beyond 80 too, up to all windows."""
    rng = np.random.default_rng(0)
    x, d = rng.normal(size=(400, 1, 4)), rng.dirichlet(np.ones(3), 400)
    data = study({"eda": x[..., :2], "face": x[..., 2:]}, d, {"eda": (1, 2), "face": (1, 2)})
    model, _ = solved("aa-knn", data, helo.splits.by_subject(data, 5)[0])
    assert int(model.count) in (140, 250)


def test_kernel_ridge_is_the_reference_s(votes):
    """scikit-learn's KernelRidge of the target that was chosen, with the width and strength that were chosen."""
    from sklearn.kernel_ridge import KernelRidge

    split = Split("s", np.arange(300), np.arange(0), np.arange(300, 400))
    model, _ = solved("kernel-ridge", votes, split)
    x, target = model.inputs(votes, np.arange(400)), votes.distributions[:300].astype(float)
    floor = float(model.floor)
    if model.logarithms:
        target = np.log(np.maximum(target, floor))
    gamma = 1 / (2 * x.shape[1] * float(model.width) ** 2)
    theirs = KernelRidge(alpha=float(model.strength), kernel="rbf", gamma=gamma).fit(x[:300], target - target.mean(0))
    z = theirs.predict(x[300:]) + target.mean(0)
    expected = softmax(z if model.logarithms else np.log(np.maximum(z, floor)))
    np.testing.assert_allclose(helo.predict(model, votes, split.test).distributions, expected, atol=1e-5)


def test_kernel_ridge_of_many_windows_stands_on_some_of_them(votes):
    """Two copies of every window: 500 of the 600 stand for all, and the answer is hardly another."""
    people = np.r_[PEOPLE[:300], np.full(100, "new")]  # a strength is then chosen by people, not by a window's copy
    votes = dataclasses.replace(votes, subjects=people)
    signals = {m: np.concatenate([x[:300], x[:300], x[300:]]) for m, x in votes.signals.items()}
    d = np.concatenate([votes.distributions[:300], votes.distributions])
    data = random_data(
        n=700,
        emotions=3,
        shapes=votes.layout.shapes,
        signals=signals,
        distributions=d,
        subjects=np.concatenate([PEOPLE[:300], people]),
    )
    model, kl = solved("kernel-ridge", data, Split("s", np.arange(600), np.arange(0), np.arange(600, 700)))
    assert model.points.shape == (500, 8)
    _, alone = solved("kernel-ridge", votes, Split("s", np.arange(300), np.arange(0), np.arange(300, 400)))
    assert kl == pytest.approx(alone, rel=0.1)


def test_the_penalty_of_maximum_entropy_is_the_reference_s():
    """Of one-hot labels it is scikit-learn's logistic regression with C = 1 / (n strength)."""
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(200, 3)), rng.integers(3, size=200)
    weight, bias = _least_kl(x, np.eye(3)[labels], 0.1)
    theirs = LogisticRegression(C=1 / (200 * 0.1), tol=1e-8, max_iter=1000).fit(x, labels)
    np.testing.assert_allclose(softmax(x @ weight.T + bias), theirs.predict_proba(x), atol=1e-4)


def test_maximum_entropy_shrinks_what_few_people_say_and_nothing_else():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 1, 60))
    weight = np.zeros((60, 3))
    weight[:2] = rng.normal(size=(2, 3))
    clear = softmax(x[:, 0] @ weight)
    noisy = softmax(x[:, 0] @ weight + 2 * rng.normal(size=(400, 3)))
    shapes = {"eda": (1, 30), "face": (1, 30)}
    split = Split("s", np.arange(120), np.arange(0), np.arange(120, 400))
    for d, shrunk in ((clear, False), (noisy, True)):
        data = study({"eda": x[..., :30], "face": x[..., 30:]}, d, shapes)
        model, kl = solved("sa-bfgs", data, split)
        assert bool(model.strength >= 0.01) == shrunk
        if shrunk:
            free = _least_kl(model.inputs(data, split.train), data.distributions[split.train].astype(float), 0.0)
            answer = softmax(model.inputs(data, split.test) @ free[0].T + free[1])
            assert kl < 0.7 * helo.score(data.distributions[split.test], answer)["kl"]


def test_inner_validation_leaves_people_out():
    """Of two options one is right for the own people only."""
    people = np.repeat(np.arange(4), 5)
    truth = np.eye(4)[people] * 0.7 + 0.075

    def answers(fit, ask):
        assert not set(people[fit]) & set(people[ask])
        known = np.isin(people[ask], people[fit])
        yield "by heart", np.where(known[:, None], truth[ask], np.roll(truth[ask], 1, 1))
        yield "even", np.full((len(ask), 4), 0.25)

    assert inner_validation(answers, truth, people, otherwise="") == "even"
    assert inner_validation(answers, truth, people * 0, otherwise="middle") == "middle"


@pytest.mark.parametrize("name", ["aa-knn", "kernel-ridge", "ridge", "sa-bfgs", "mixture"])
def test_a_strength_is_chosen_for_the_people_who_are_asked(name):
    """Features tell the person and ratings are personal: of known people much can be said, of new ones nothing."""
    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(10), 20)
    x = rng.normal(size=(10, 1, 6))[people] + 0.1 * rng.normal(size=(200, 1, 6))
    data = random_data(
        n=200,
        emotions=3,
        shapes={"eda": (1, 6)},
        roles={"physiological": ["eda"], "behavioral": []},
        signals={"eda": x.astype(np.float32)},
        distributions=rng.dirichlet(np.ones(3), 10)[people].astype(np.float32),
        subjects=people.astype(str),
        trials=np.tile(np.arange(20), 10),
        conditions=people.astype(str) if name == "mixture" else None,
    )
    _, known = solved(name, data, helo.splits.by_trial(data, 5)[0])
    split = helo.splits.by_subject(data, 5)[0]
    _, new = solved(name, data, split)
    mean = helo.evaluation.reference_kl(data, split)[0]
    assert known < 0.4 * mean
    if name != "mixture":  # which is told people's names here
        assert new < 1.5 * mean


def test_a_final_model_may_have_everything_to_learn_from():
    """Nobody is left to validate or to test; the strength is chosen for new people."""
    data = random_data()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        helo.fit(helo.build("ridge", data), data, Split("all", np.arange(40), [], []), progress=False)


def test_one_person_and_one_trial_leave_nothing_to_choose_by():
    data = dataclasses.replace(random_data(), subjects=np.full(40, "a"), trials=np.full(40, 0))
    for name in ("ridge", "kernel-ridge", "aa-knn", "sa-bfgs"):
        model = helo.build(name, data)
        helo.fit(model, data, Split("s", np.arange(20), np.arange(0), np.arange(20, 40)), progress=False)
        assert np.isfinite(helo.predict(model, data).log_distributions).all()


@pytest.mark.parametrize("name, buffer", [("ridge", "weight"), ("kernel-ridge", "points"), ("aa-knn", "labels")])
def test_a_file_whose_buffers_do_not_fit_is_refused(votes, name, buffer, tmp_path):
    """Their size is known from the file alone, but not what it must agree with."""
    model, _ = solved(name, votes, helo.splits.by_subject(votes, 5)[0])
    for broken in (getattr(model, buffer)[:, 1:], getattr(model, buffer)[1:]):
        setattr(model, buffer, broken.contiguous())
        helo.save(model, tmp_path / "m.safetensors")
        with pytest.raises(ValueError, match="m.safetensors: .*of shape .*; expected"):
            helo.load_model(tmp_path / "m.safetensors")
