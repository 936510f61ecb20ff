"""What of an evaluation is trained as one, and in how many parts."""

import json
from itertools import chain

import pytest
import torch
from conftest import random_data

import helo
from helo.evaluation import fits, scoring, shares
from helo.evaluation.attempts import attempts
from helo.training import fit_together

DATA = random_data()
SPLITS = helo.splits.by_subject(DATA)
CPU = {"device": "cpu", "batch_size": 8}
LONG = CPU | {"epochs": 4000}  # so long that measuring is worth it

pytestmark = pytest.mark.filterwarnings("ignore:.*cap of")


def sizes(model, count=45, processes=2, options=None, known=None, **training):
    job = fits.Job(model, options or {}, CPU | training, [(SPLITS[k % 4], k) for k in range(count)])
    parts = shares.shares(DATA, job, processes, known)
    assert list(chain(*(part.fits for part in parts))) == list(job.fits), "every fit once, in its order"
    assert {(p.model, str(p.options), str(p.training)) for p in parts} == {
        ("early", "{}", str(job.training))
    } or options
    return [len(part.fits) for part in parts]


def test_processes_have_equal_parts():
    assert sizes("early", 45) == [11, 11, 12, 11], "not 15, 15 and 15, of which one is waited for by one process alone"
    assert sizes("early", 15) == [8, 7] and sizes("early", 15, 1) == [15]
    assert sizes("early", 40, 4) == [10] * 4 and sizes("early", 90) == [15] * 6
    assert sizes("early", 16, 1) == [8, 8], "none is trained alone, whose sums would be others"
    assert sizes("early", 3) == [3] and sizes("early", 1) == [1] and sizes("early", 5, 4) == [2, 3]
    assert sizes("early", 45, 1, device="cuda", checkpoint="folder", on_epoch=print) == [45]


@pytest.mark.parametrize(
    "model, options, size",
    # the third: too large for a CPU's cache
    [("helo", {}, 11), ("early", {}, 11), ("helo", {"width": 512}, 1), ("ridge", {}, 1), ("m2fnet", {}, 1)],
)
def test_by_itself_the_size_says_what_is_stacked(model, options, size, monkeypatch):
    monkeypatch.setattr(shares, "_seconds", lambda *_: pytest.fail("measured"))
    job = fits.Job(model, options, CPU | {"epochs": 5}, [(SPLITS[k % 4], k) for k in range(45)])
    assert min(len(part.fits) for part in shares.shares(DATA, job, 2)) == size


class TestMeasured:
    @pytest.fixture
    def asked(self, monkeypatch):
        """Sizes that were timed; and what they take, by size."""
        seen, taken = [], {1: 1.0, shares.STACK: 1.0}
        monkeypatch.setattr(shares, "_seconds", lambda _, __, size: seen.append(size) or taken[size])
        monkeypatch.setattr(shares, "OPEN", (10_000, 4_000_000))
        return seen, taken

    def test_what_is_faster_is_taken(self, asked):
        _, taken = asked
        assert sizes("early", **LONG) == [11, 11, 12, 11]
        taken[1] = 0.95  # within what a measurement may be off by
        assert sizes("early", **LONG) == [11, 11, 12, 11]
        taken[1] = 0.85
        assert sizes("early", **LONG) == [1] * 45
        large = {"width": 512}
        taken[1] = 1.05
        assert sizes("early", options=large, **LONG) == [1] * 45, "its size says one by one"
        taken[1] = 1.15
        assert sizes("early", options=large, **LONG) == [11, 11, 12, 11]

    def test_once_for_the_same_options_and_batch(self, asked, tmp_path):
        seen, _ = asked
        known = {}
        for rate in (1e-3, 1e-4):
            sizes("early", known=known, learning_rate=rate, **LONG)
        assert seen == [1, 15]
        sizes("early", known=known, **LONG | {"batch_size": 4})
        assert seen == [1, 15] * 2 and len(known) == 2
        shares.remember(tmp_path, known)
        assert shares.remembered(tmp_path) == known and shares.remembered(None) == {}
        (tmp_path / "shares.json").write_text("[")
        assert shares.remembered(tmp_path) == {}

    @pytest.mark.parametrize(
        "change", [{"epochs": 20}, {"processes": 1}, {"count": 14}, {"device": "cuda"}, {"model": "mlp"}]
    )
    def test_not_where_little_is_to_be_had(self, asked, change):
        model = change.pop("model", "early")
        job = {k: change.pop(k) for k in ("count", "processes") if k in change}
        if model == "mlp":  # of 6,000 weights
            whole = fits.Job(model, {}, LONG, [(SPLITS[0], 0)] * 45)
            shares.shares(DATA, whole, 2)
        else:
            sizes(model, **job, **LONG | change)
        assert asked[0] == []

    def test_a_fault_leaves_what_the_size_says(self, asked, monkeypatch):
        def broken(*_):
            raise torch.OutOfMemoryError

        monkeypatch.setattr(shares, "_seconds", broken)
        assert sizes("early", **LONG) == [11, 11, 12, 11]

    def test_the_clock_runs_and_nothing_else_is_touched(self, monkeypatch):
        seen, real = [], shares._seconds
        monkeypatch.setattr(shares, "_seconds", lambda *job: seen.append(real(*job)) or seen[-1])
        job = fits.Job("early", {}, CPU, [(SPLITS[k % 4], k) for k in range(15)])
        state, threads = torch.get_rng_state(), torch.get_num_threads()
        assert shares._faster(DATA, job, 15) in (1, 15) and len(seen) == 2 and all(0 < taken < 1 for taken in seen)
        assert torch.equal(torch.get_rng_state(), state) and torch.get_num_threads() == threads

    def test_an_evaluation_asks_once_and_goes_on_with_the_answer(self, asked, tmp_path, monkeypatch):
        (seen, taken), dealt = asked, []
        taken[1] = 0.5

        def here(data, jobs, lost, workers, *rest):
            dealt.append([len(job.fits) for _, job in jobs])
            return attempts(data, jobs, lost, 1, *rest)

        monkeypatch.setattr(scoring, "attempts", here)
        arguments = {"folds": 4, "nested": 0, "seeds": [0, 1, 2, 3], "folder": tmp_path, "progress": False}
        arguments |= {"workers": 2, "patience": 1, "learning_rate": 1.0, **LONG}
        helo.evaluate("early", DATA, **arguments)
        assert seen == [1, 15] and list(json.loads((tmp_path / "shares.json").read_text()).values()) == [1]
        taken[1] = 2.0  # what would be found today
        helo.evaluate("early", DATA, **arguments)
        assert seen == [1, 15] and dealt == [[1] * 16, []] * 2


@pytest.mark.parametrize("name", ["early", "helo"])
def test_how_many_are_trained_as_one_changes_no_bit(name):
    def weights(count):
        models = [helo.build(name, DATA, seed=k) for k in range(count)]
        together = fit_together(
            models, DATA, [SPLITS[k % 4] for k in range(count)], seeds=range(count), epochs=2, progress=False, **CPU
        )
        return torch.cat([p.detach().flatten() for p in together[1].model.parameters()])

    assert torch.equal(weights(2), weights(7))
