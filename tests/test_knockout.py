"""What is taken out of a model: every declared part is one, nothing else changes, and people are what is drawn anew."""

import numpy as np
import pytest
import torch
from conftest import random_data

import helo
from helo.data.splits import Split
from helo.evaluation import interval_over_people
from helo.models import EmotionModel, Prediction, available

DATA = random_data(conditions=np.tile(["calm", "stress"], 20))
SPLIT = Split("s", np.arange(15), np.arange(15, 20), np.arange(20, 40))


@pytest.fixture(scope="module")
def trained():
    models = {}

    def get(name):
        if name not in models:
            models[name] = helo.build(name, DATA, seed=0)
            helo.fit(models[name], DATA, SPLIT, epochs=3, batch_size=8, learning_rate=1e-3, progress=False)
        return models[name]

    return get


def with_parts():
    return [name for name in available() if helo.build(name, DATA).parts]


@pytest.mark.parametrize("name", with_parts())
def test_every_part_that_is_declared_changes_the_answers_of_a_network(trained, name):
    """Of an untuned one with large random weights: a part that changes nothing even there is not wired in."""
    model = helo.build(name, DATA, seed=0)
    model.prepare(DATA, SPLIT)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.3 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())))
    table = helo.knockout(model, DATA, SPLIT)
    assert list(table.index) == [*model.parts, *(f"without {m}" for m in DATA.signals)]
    assert (table["change"] > 1e-4).all(), table["change"]
    assert np.isfinite(table.drop(columns="instead").to_numpy(float)).all()
    np.testing.assert_allclose(table["worse"], table["kl_without"] - table["kl"], atol=1e-12)


@pytest.mark.parametrize("name", available())
def test_a_model_is_whole_again_afterwards(trained, name):
    model = trained(name)
    before = helo.predict(model, DATA, SPLIT.test).distributions
    table = helo.knockout(model, DATA, SPLIT)
    np.testing.assert_array_equal(before, helo.predict(model, DATA, SPLIT.test).distributions)
    truth = DATA.distributions[SPLIT.test]
    assert table["kl"].iloc[0] == pytest.approx(helo.score(truth, before)["kl"], abs=1e-5)
    dropped = helo.predict(model, DATA, SPLIT.test, without=[next(iter(DATA.signals))]).distributions
    first = table.loc[f"without {next(iter(DATA.signals))}"]
    assert first["kl_without"] == pytest.approx(helo.score(truth, dropped)["kl"], abs=1e-5)


class Known(EmotionModel):
    """Answers with the first feature of each modality; one part carries it, another does nothing."""

    parts = {"all": "its mean over the windows", "idle": "nothing", "sign": "the other sign"}

    def forward(self, signals, masks):
        first = next(iter(signals.values()))[:, 0, :1]
        logits = torch.cat([first, -first], 1)
        idle = self.part("idle", torch.ones_like(logits), lambda: torch.zeros_like(logits))
        logits = self.part("all", logits) + 0 * idle
        return Prediction.from_logits(self.part("sign", logits, lambda: -logits))


def known():
    data = random_data(emotions=2)
    m = next(iter(data.signals))
    p = torch.as_tensor(data.signals[m][:, 0, :1])
    truth = torch.cat([p, -p], 1).softmax(1).numpy()
    data.distributions[:] = truth
    return Known(data.layout), data


def test_change_and_kl_in_closed_form():
    model, data = known()
    split = Split("s", np.arange(5), np.arange(0), np.arange(5, 40))
    table = helo.knockout(model, data, split)
    assert table.loc["idle", "change"] == 0 and table.loc["idle", "worse"] == 0
    p = helo.predict(model, data, split.test).distributions.astype(float)
    x = np.log(p[:, 0] / p[:, 1]).mean() / 2
    flat = np.array([np.exp(x), np.exp(-x)]) / (np.exp(x) + np.exp(-x))
    spread = np.abs(p - p.mean(0)).sum(1).mean()
    assert table.loc["all", "change"] == pytest.approx(np.abs(p - flat).sum(1).mean() / spread, rel=1e-4)
    assert table.loc["sign", "change"] == pytest.approx(np.abs(p - p[:, ::-1]).sum(1).mean() / spread, rel=1e-4)
    assert table.loc["sign", "worse"] == pytest.approx((p * np.log(p / p[:, ::-1])).sum(1).mean(), rel=1e-4)


def test_a_part_the_model_does_not_have_is_named():
    model, _ = known()
    message = r"Known has no parts \['plan'\]; its parts are \['all', 'idle', 'sign'\]"
    with pytest.raises(ValueError, match=message), model.without("plan"):
        pass


def test_parts_come_back_after_an_error_and_can_be_taken_out_together():
    model, data = known()
    intact = helo.predict(model, data).distributions
    with pytest.raises(RuntimeError), model.without("all"):
        raise RuntimeError
    np.testing.assert_array_equal(intact, helo.predict(model, data).distributions)
    with model.without("sign"), model.without("all"):
        both = helo.predict(model, data).distributions
    assert np.ptp(both, axis=0).max() < 1e-6
    np.testing.assert_array_equal(intact, helo.predict(model, data).distributions)


def test_windows_of_one_person_are_no_independent_observations():
    rng = np.random.default_rng(0)
    of_people = rng.normal(size=12)
    few, many = (interval_over_people(np.repeat(of_people, n), np.repeat(np.arange(12), n)) for n in (1, 50))
    assert few == pytest.approx(many)
    low, high = few
    assert low < of_people.mean() < high
    # about Student's interval of a mean of 12: 2.2 standard errors to each side
    assert (high - low) / 2 == pytest.approx(2.201 * of_people.std(ddof=1) / 12**0.5, rel=0.1)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(200):
        people = rng.normal(size=30)
        low, high = interval_over_people(people, np.arange(30), draws=400)
        inside += low < 0 < high
    assert 0.9 < inside / 200 < 0.99


def test_one_person_has_no_interval():
    assert np.isnan(interval_over_people(np.ones(5), np.zeros(5))).all()


def test_one_window_has_no_change_unless_nothing_moves():
    """Its answer differs from no other: the spread to measure by is 0, and 2e9 was said."""
    model, data = known()
    table = helo.knockout(model, data, Split("s", np.arange(5), np.arange(0), np.arange(5, 6)))
    assert table.loc["idle", "change"] == 0 and np.isnan(table.loc["sign", "change"])
    assert table.attrs["people"] == 1
