"""Foal-Net's three losses: closed forms, limits, and the traps of the released code."""

import numpy as np
import pytest
import torch
from conftest import as_batch, random_data

import helo
from helo import losses
from helo.models.foalnet import hard_negatives

torch.manual_seed(0)


def one_hot(classes, emotions=4):
    return torch.eye(emotions)[torch.as_tensor(classes)]


def test_alignment_of_distinct_labels_is_infonce():
    similarity = torch.randn(6, 6)
    pairs = torch.arange(6)
    expected = (
        torch.nn.functional.cross_entropy(similarity, pairs) + torch.nn.functional.cross_entropy(similarity.T, pairs)
    ) / 2
    torch.testing.assert_close(losses.alignment(similarity, losses.same_class(one_hot(range(6), 6))), expected)
    torch.testing.assert_close(losses.alignment(similarity, torch.eye(6), divide=False), expected)


def test_alignment_by_hand_with_two_positives():
    s = torch.tensor([[2.0, 1.0], [0.0, 3.0]])
    same = torch.ones(2, 2)
    rows, columns = s.log_softmax(1).mean(), s.log_softmax(0).mean()
    torch.testing.assert_close(losses.alignment(s, same), -(rows + columns) / 2)
    torch.testing.assert_close(losses.alignment(s, same, divide=False), -(rows + columns))


def test_label_similarity_is_one_minus_jensen_shannon_distance():
    from scipy.spatial.distance import jensenshannon

    d = np.random.default_rng(0).dirichlet(np.ones(5), 7)
    found = losses.label_similarity(torch.tensor(d))
    expected = [[1 - jensenshannon(p, q, base=2) for q in d] for p in d]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert losses.label_similarity(one_hot([0, 1]))[0, 1] == pytest.approx(0, abs=1e-6)


def test_contrast_pulls_the_same_together():
    same = losses.same_class(one_hot([0, 0, 1, 1]))
    apart = losses.contrast(torch.tensor([[1.0, 0], [0, 1], [1, 0], [0, 1]]), same)
    together = losses.contrast(torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1]]), same)
    assert together < 1e-3 < apart
    assert losses.contrast(torch.randn(3, 2), torch.eye(3)) == 0  # nobody shares a label


def test_matching_never_pairs_the_same_emotion():
    truth = one_hot([0, 0, 1, 1, 1, 2])
    for seed in range(50):
        torch.manual_seed(seed)
        rows, negatives = hard_negatives(5 * torch.randn(6, 6), truth)
        assert rows.tolist() == list(range(6))
        assert (truth[rows].argmax(1) != truth[negatives].argmax(1)).all()


def test_negatives_are_hard_where_the_temperature_is_low():
    """The released code divides by the temperature's logarithm, which leaves the draw almost uniform."""
    truth = one_hot([0, 1, 1, 1])
    similarity = torch.tensor([[1.0, 0.9, 0.0, -0.9]] * 4)
    torch.manual_seed(0)
    hard = [hard_negatives(similarity / 0.05, truth)[1][0].item() for _ in range(200)]
    even = [hard_negatives(similarity / 100.0, truth)[1][0].item() for _ in range(200)]
    assert hard.count(1) == 200 and 30 < even.count(3) < 110


def test_a_batch_of_one_emotion_has_no_negative():
    """In the released code a window becomes its own negative there."""
    rows, negatives = hard_negatives(torch.randn(4, 4), one_hot([2, 2, 2, 2]))
    assert len(rows) == len(negatives) == 0
    data = random_data(distributions=np.tile(np.float32([0.6, 0.1, 0.1, 0.1, 0.1]), (40, 1)))
    model = helo.build("foalnet", data)
    terms = model.losses(model(*as_batch(data)), torch.as_tensor(data.distributions))
    assert torch.isfinite(model.total(terms))


def test_matching_learns_to_tell_pairs():
    """Two streams that show the same class: own pairs are told from hard negatives ever better."""
    rng = np.random.default_rng(0)
    k = rng.integers(0, 3, 300)
    x = {m: (np.eye(3)[k] + rng.normal(0, 0.1, (300, 3)))[:, None].astype(np.float32) for m in ("eda", "face")}
    data = random_data(n=300, emotions=3, shapes={"eda": (1, 3), "face": (1, 3)}, signals=x, distributions=np.eye(3)[k])
    split = helo.splits.by_subject(data)[0]
    model = helo.build("foalnet", data, seed=0, width=32, matching_weight=1.0)
    run = helo.fit(model, data, split, epochs=50, batch_size=32, learning_rate=3e-3, patience=50, progress=False)
    # one pair in three matches: knowing nothing costs 0.64
    assert run.history[0]["train_matching"] > 0.6 and run.history[-1]["train_matching"] < 0.45


@pytest.mark.parametrize("same", ["class", "distribution"])
def test_alignment_makes_similar_labels_similar_across_streams(same, study):
    split = helo.splits.by_subject(study, 3)[0]
    truth = torch.as_tensor(study.distributions[split.test])
    off = ~torch.eye(len(truth), dtype=torch.bool)
    found = {}
    for weight in (0.0, 1.0):
        model = helo.build("foalnet", study, seed=0, same=same, alignment_weight=weight, matching_weight=0.0)
        helo.fit(model, study, split, epochs=40, batch_size=16, learning_rate=1e-3, progress=False)
        a, b = model(*as_batch(study, split.test)).hidden["aligned"]
        found[weight] = np.corrcoef((a @ b.T).detach()[off], losses.label_similarity(truth)[off])[0, 1]
    assert found[1.0] > 0.35 and found[1.0] > found[0.0] + 0.2


def test_bad_arguments():
    data = random_data()
    with pytest.raises(ValueError, match="same is 'label'; expected 'distribution' or 'class'"):
        helo.build("foalnet", data, same="label")
    with pytest.raises(ValueError, match="temperature is 0"):
        helo.build("foalnet", data, temperature=0)
