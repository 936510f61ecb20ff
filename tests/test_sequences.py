"""GBAN and HFGCN read sequences: each modality's own, in its own order, and against torch's LSTM."""

import dataclasses

import numpy as np
import pytest
import torch
from conftest import as_batch, random_data
from torch import nn

import helo
from helo.models.gban import _Sequences

SHAPES = {"bvp": (5, 3), "eda": (4, 2), "face": (6, 3)}
DATA = random_data(shapes=SHAPES, roles={"physiological": ["bvp", "eda"], "behavioral": ["face"]})


def test_its_lstm_is_torch_s_in_both_directions():
    """Of one modality after another, with sequences of different lengths packed."""
    torch.manual_seed(0)
    encode = _Sequences(2, 6)
    with torch.no_grad():
        encode.bias.normal_()
    x, lengths = torch.randn(2, 4, 5, 6), torch.tensor([[5, 3, 1, 2], [4, 5, 5, 1]])
    states, _, last = encode.recurrent(x, torch.arange(5) < lengths.unsqueeze(-1))
    for m in range(2):
        theirs = nn.LSTM(6, 3, batch_first=True, bidirectional=True)
        with torch.no_grad():
            for suffix, k in (("", m), ("_reverse", 2 + m)):
                getattr(theirs, f"weight_ih_l0{suffix}").copy_(encode.enter[k].T)
                getattr(theirs, f"weight_hh_l0{suffix}").copy_(encode.recur[k].T)
                getattr(theirs, f"bias_ih_l0{suffix}").copy_(encode.bias[k, 0])
                getattr(theirs, f"bias_hh_l0{suffix}").zero_()
        packed = nn.utils.rnn.pack_padded_sequence(x[m], lengths[m], batch_first=True, enforce_sorted=False)
        out, (h, _) = theirs(packed)
        out, _ = nn.utils.rnn.pad_packed_sequence(out, batch_first=True, total_length=5)
        there = (torch.arange(5) < lengths[m].unsqueeze(-1)).unsqueeze(-1)
        torch.testing.assert_close(states[m] * there, out)
        torch.testing.assert_close(last[m], torch.cat([h[0], h[1]], -1))


def test_a_state_knows_the_tokens_of_its_own_modality_only():
    model = helo.build("gban", DATA, seed=0).eval()

    def states(data):
        return model.encode(model.streams(*as_batch(data)))

    before, _, last = states(DATA)
    bvp = DATA.signals["bvp"].copy()
    bvp[:, -1] += 5
    after, _, last_after = states(dataclasses.replace(DATA, signals=DATA.signals | {"bvp": bvp}))
    assert torch.equal(before[1:], after[1:]) and torch.equal(last[1:], last_after[1:])
    assert not torch.allclose(before[0], after[0]) and not torch.allclose(last[0], last_after[0])


def test_the_order_of_a_modality_s_tokens_matters_to_those_who_read_sequences():
    model = helo.build("gban", DATA, seed=0).eval()
    with torch.no_grad():
        for encoder in model.encoders:
            encoder.offset.zero_()  # so that a token does not say its place
    signals, masks = as_batch(DATA)
    turned = signals | {"bvp": signals["bvp"].flip(1)}
    assert not torch.allclose(model(signals, masks).distributions, model(turned, masks).distributions, atol=1e-5)


def test_neighbours_of_a_graph_are_of_one_modality():
    """What a token passes on reaches the one before and after it, and stops where the modality ends."""
    model = helo.build("hfgcn", DATA, seed=0, width=8).eval()
    bvp, eda = torch.zeros(1, 5, 8), torch.zeros(1, 4, 8)
    bvp[:, -1] = 1
    reached = model.neighbours([bvp, eda])[0].abs().sum(-1) > 0
    assert reached.tolist() == [False, False, False, True, True, False, False, False, False]
    one = model.neighbours([torch.cat([bvp, eda], 1)])[0].abs().sum(-1) > 0
    assert one.tolist() == [False, False, False, True, True, True, False, False, False]


@pytest.mark.parametrize("name", ["gban", "hfgcn"])
def test_a_gap_in_the_middle_is_closed(name):
    """A token that is not there is skipped: the answer is that of the shorter sequence."""
    model = helo.build(name, DATA, seed=0).eval()
    with torch.no_grad():
        for encoder in model.encoders:
            encoder.offset.zero_()
    signals, masks = as_batch(DATA)
    gap = masks["bvp"].clone()
    gap[:, 2] = False
    keep = [0, 1, 3, 4]
    shorter = signals | {"bvp": signals["bvp"][:, keep]}, masks | {"bvp": masks["bvp"][:, keep]}
    a, b = model(signals, masks | {"bvp": gap}).distributions, model(*shorter).distributions
    torch.testing.assert_close(a, b)


@pytest.mark.parametrize("name", ["gban", "tensor", "low-rank-tensor", "fbp"])
def test_a_fused_vector_tells_windows_apart_from_the_start(name):
    """The sum of small gated states, or a product of small numbers, left the head at the training mean (WESAD)."""
    split = helo.splits.by_subject(DATA, 4)[0]
    spread = {}
    for which in (name, "early"):
        model = helo.build(which, DATA, seed=0).eval()
        model.prepare(DATA, split)
        hidden = model.head[1].register_forward_hook(lambda _, __, out, which=which: spread.update({which: out.std(0)}))
        model(*as_batch(DATA))
        hidden.remove()
    assert spread[name].mean() > 0.4 * spread["early"].mean()
    assert np.isfinite(spread[name].detach().numpy()).all()
