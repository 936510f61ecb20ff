"""Small models compute on one thread, whatever the process was given; large ones on no more than that."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import random_data
from test_training import SPLIT
from threadpoolctl import threadpool_info, threadpool_limits

import helo
from helo import transport
from helo.training import fit_together, threads

DATA = random_data()
FIT = {"epochs": 1, "batch_size": 8, "progress": False, "device": "cpu"}


@pytest.fixture(autouse=True)
def given():
    """Two threads, as a process might be given; as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield 2
    torch.set_num_threads(before)


def seen_by(train):
    found = []
    train(lambda *_: found.append(torch.get_num_threads()))
    assert torch.get_num_threads() == 2, "as before afterwards"
    return set(found)


def test_a_small_model_and_a_small_stack_train_on_one_thread():
    new = [helo.build("early", DATA) for _ in range(3)]
    assert seen_by(lambda see: helo.fit(new[0], DATA, SPLIT, on_epoch=see, **FIT)) == {1}
    assert seen_by(lambda see: fit_together(new[1:], DATA, [SPLIT] * 2, seeds=[0, 1], on_epoch=see, **FIT)) == {1}


def test_a_large_model_trains_on_what_the_process_was_given(monkeypatch):
    monkeypatch.setattr(threads, "SMALL", 100)
    model = helo.build("early", DATA)
    assert seen_by(lambda see: helo.fit(model, DATA, SPLIT, on_epoch=see, **FIT)) == {2}
    torch.set_num_threads(1)
    with threads.threads_for([model], torch.device("cpu")):
        assert torch.get_num_threads() == 1, "never more"


def test_a_small_model_answers_on_one_thread():
    model, found = helo.build("early", DATA), []
    model.register_forward_hook(lambda *_: found.append(torch.get_num_threads()))
    helo.predict(model, DATA)
    assert set(found) == {1} and torch.get_num_threads() == 2


def blas_threads():
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def test_a_closed_form_is_solved_on_one_thread():
    """NumPy's threads spin as torch's do: ridge took 20 s where others used the cores, .8 s with one."""
    helo.fit(helo.build("ridge", DATA), DATA, SPLIT)  # every library that it needs is loaded now
    model, found = helo.build("ridge", DATA), []
    solve = model.solve
    model.solve = lambda *them: (found.append((torch.get_num_threads(), blas_threads())), solve(*them))
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        helo.fit(model, DATA, SPLIT)
        assert found == [(1, {1})] and blas_threads() == before and torch.get_num_threads() == 2


def test_what_an_explorer_asks_of_a_small_model_is_computed_on_one_thread(monkeypatch):
    """A moved slider took .4 s on two threads beside others, and .01 s on one."""
    from helo.views import answers, plans

    model, found = helo.build("helo", DATA), []
    model.register_forward_hook(lambda *_: found.append(torch.get_num_threads()))
    answers.what_if(model, DATA, 0, {})
    gromov = transport.gromov_plan
    monkeypatch.setattr(
        transport, "gromov_plan", lambda *a, **k: (found.append(torch.get_num_threads()), gromov(*a, **k))[1]
    )
    plans.transport(model, DATA, 0)
    assert len(found) >= 2 and set(found) == {1} and torch.get_num_threads() == 2


def test_an_error_gives_the_threads_back(given):
    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        helo.fit(helo.build("early", DATA), DATA, SPLIT, on_epoch=stop, **FIT)
    assert torch.get_num_threads() == given


def test_a_gpu_is_no_reason(given):
    with threads.threads_for([helo.build("early", DATA)], torch.device("cuda")):
        assert torch.get_num_threads() == given


@pytest.mark.parametrize("said", [None, "ACTIVE"])
def test_threads_sleep_while_they_wait_unless_the_environment_says_otherwise(said):
    """Threads that spin beside a busy process make a call of 20 ms take seconds."""
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    environment |= {"OMP_WAIT_POLICY": said} if said else {}
    # as it is when torch is about to be loaded, which fails here
    code = "import os, sys; sys.modules['torch'] = None\ntry:\n import helo\nexcept ImportError:\n pass\n"
    code += "print(os.environ['OMP_WAIT_POLICY'])"
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert found.stdout.strip() == (said or "PASSIVE"), found.stderr


def test_training_has_no_denormal_numbers_and_leaves_the_process_its_own():
    """A weight without a gradient shrinks into them, and products there take a CPU many times as long."""
    tiny, found = torch.finfo(torch.float32).tiny, []
    new = [helo.build("aimdit", DATA, width=16) for _ in range(3)]
    for model in new:
        with torch.no_grad():
            model.cross[0].attention.query.weight.fill_(1e-40)

    def see(*_):
        found.append(float(torch.tensor(1e-39) * 0.5))

    helo.fit(new[0], DATA, SPLIT, on_epoch=see, **FIT)
    fit_together(new[1:], DATA, [SPLIT] * 2, seeds=[0, 1], on_epoch=see, **FIT)
    assert set(found) == {0.0} and float(torch.tensor(1e-39) * 0.5) > 0, "as before afterwards"
    for weight in (p.detach().numpy() for model in new for p in model.parameters()):
        assert ((weight == 0) | (np.abs(weight) >= tiny)).all()
