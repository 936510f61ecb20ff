"""Several HeLos side by side."""

import numpy as np
import pytest
import torch
from conftest import as_batch, random_data

import helo

DATA = random_data()
SMALL = {"width": 16, "heads": 2}


def test_one_member_is_helo():
    one, alone = helo.build("helo-ensemble", DATA, members=1, **SMALL), helo.build("helo", DATA, **SMALL)
    split = helo.splits.by_subject(DATA)[0]
    settings = {"epochs": 3, "batch_size": 8, "progress": False}
    helo.fit(one, DATA, split, **settings)
    helo.fit(alone, DATA, split, **settings)
    a, b = helo.predict(one, DATA), helo.predict(alone, DATA)
    np.testing.assert_allclose(a.distributions, b.distributions, atol=1e-6)
    np.testing.assert_allclose(a.plans, b.plans, atol=1e-6)
    torch.testing.assert_close(one.learned_correlation(), alone.learned_correlation())


def test_the_answer_is_the_members_mean():
    model = helo.build("helo-ensemble", DATA, members=3, **SMALL).eval()
    batch = as_batch(DATA)
    each = [member(*batch).distributions for member in model.members]
    assert not torch.allclose(each[0], each[1], atol=1e-4), "first weights of their own"
    torch.testing.assert_close(model(*batch).distributions, torch.stack(each).mean(0))


def test_members_learn_from_their_own_losses_alone():
    model = helo.build("helo-ensemble", DATA, members=2, **SMALL, dropout=0.0)
    batch, truth = as_batch(DATA), torch.as_tensor(DATA.distributions)
    model.total(model.losses(model(*batch), truth)).backward()
    member = model.members[0]
    together = [p.grad.clone() for p in member.parameters() if p.grad is not None]
    member.zero_grad()
    member.total(member.losses(member(*batch), truth)).backward()
    for a, p in zip(together, (p for p in member.parameters() if p.grad is not None), strict=True):
        torch.testing.assert_close(2 * a, p.grad, atol=1e-6, rtol=1e-4)


def test_no_members():
    with pytest.raises(ValueError, match="members is 0"):
        helo.build("helo-ensemble", DATA, members=0)
