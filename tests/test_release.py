"""`helo-release` does what the released code does, its errors included."""

import numpy as np
import pytest
import torch
from conftest import as_batch, random_data

import helo
from helo.data.splits import Split
from helo.models.release import proximal_gromov_plan

DATA = random_data(shapes={"eeg": (6, 3), "eda": (1, 4), "ppg": (1, 5), "face": (1, 7)})
SPLIT = Split("s", np.arange(20), np.arange(20, 30), np.arange(30, 40))


@pytest.fixture(scope="module")
def model():
    model = helo.build("helo-release", DATA, seed=0)
    helo.fit(model, DATA, SPLIT, epochs=3, batch_size=8, learning_rate=1e-3, progress=False)
    return model


def test_one_attention_for_both_streams_and_one_block_for_both_sides(model):
    # the sizes of the release, with its modules: encoders, 3 attentions, 1 feed-forward layer, compression, classifier
    d, n, emotions = 128, 6, 5
    attention = 3 * d * d + 2 * d
    encoders = (3 + 1) * d + (4 + 1) * n * d + (5 + 1) * n * d + (7 + 1) * 2 * n * d
    feed = d * d // 2 + d // 2 + d * d // 2 + d + 2 * d
    head = emotions * d * d + d + d * d + d + d * emotions + emotions
    expected = encoders + 3 * attention + (d * d + d) + feed + (4 * n + 1) * emotions + head
    assert sum(p.numel() for p in model.parameters()) == expected


def test_rows_of_the_plan_shrink_what_they_carry(model):
    answer = model(*as_batch(DATA))
    torch.testing.assert_close(answer.plans.sum((1, 2)), torch.ones(40), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(answer.plans.sum(1), torch.full((40, 12), 1 / 12), rtol=1e-4, atol=1e-5)


def test_the_threshold_of_the_cost_is_the_batchs():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 8, 5, 3, generator=generator)
    together, _ = proximal_gromov_plan(x, y)
    alone = torch.cat([proximal_gromov_plan(x[k : k + 1], y[k : k + 1])[0] for k in range(8)])
    assert (together - alone).abs().max() > 1e-4


def test_a_side_that_relates_as_the_other_is_matched_with_it():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 5, 16, generator=generator)
    order = torch.tensor([3, 0, 4, 1, 2])
    plan, _ = proximal_gromov_plan(x, x[:, order])
    even = torch.full_like(plan, 1 / 25)
    matched = plan[0, order, torch.arange(5)].sum()
    assert matched > 1.5 * even[0, order, torch.arange(5)].sum()


def test_no_weight_has_a_part_in_the_alignment_of_labels(model):
    model.train()
    answer = model(*as_batch(DATA))
    loss = model.losses(answer, torch.as_tensor(DATA.distributions))["correlation"]
    model.eval()
    assert not loss.requires_grad
    assert answer.hidden["correlation"].diagonal(dim1=1, dim2=2).mean() == pytest.approx(128 / 5, rel=1e-5)


def test_answers_hang_on_the_draw():
    answers = []
    for seed in (0, 1):
        model = helo.build("helo-release", DATA, seed=0)
        model.prepare(DATA, SPLIT)
        model.seed = seed
        model.eval()
        answers.append(model(*as_batch(DATA)).distributions)
        torch.testing.assert_close(answers[-1], model(*as_batch(DATA)).distributions)
    assert (answers[0] - answers[1]).abs().max() > 1e-3


def test_labels_of_another_draw_leave_all_else_as_it_was_drawn(model):
    """The plan is made before the labels come in: without them it moved by its largest entry."""
    as_it_is = model(*as_batch(DATA))
    with model.without("label embedding"):
        other = model(*as_batch(DATA))
    torch.testing.assert_close(other.plans, as_it_is.plans)
    assert (other.distributions - as_it_is.distributions).abs().max() > 1e-3


def test_keys_are_hidden_at_prediction_too(model):
    maps = model(*as_batch(DATA)).attention["labels"]
    hidden = (maps == 0).float().mean()
    # half of the keys; a row whose keys are all hidden (1 of 32) counts every key alike
    assert float(hidden) == pytest.approx(0.5 - 0.5**5, abs=0.05)  # three standard errors
