"""The dashboard opens what its address or form asks for; what it cannot open it says in the page."""

import asyncio
import dataclasses
import gc
import weakref

import numpy as np
import pytest
from conftest import ROOT
from ipywidgets.widgets.widget import _instances

import helo
from helo.evaluation import Confidence
from helo.evaluation.confidence import training_side
from helo.training import Run
from helo.views import dashboard as module
from helo.views.dashboard import Dashboard, dashboard, scores


def opened(address, **defaults):
    """The dashboard once it has opened what it was asked."""
    shown = dashboard(address, **defaults)
    asyncio.run(shown.load())
    return shown


@pytest.fixture
def small(monkeypatch, simulated):
    """The simulated study is a small one."""
    load = helo.load
    monkeypatch.setattr(module, "load", lambda name, path=None: simulated if name == "simulated" else load(name, path))


def test_a_name_trains_and_a_file_is_read(small, simulated, tmp_path):
    shown = opened("model=early&epochs=2")
    assert "early on simulated" in shown.said.value and "never seen in training" in shown.said.value
    assert "skill" in shown.said.value and len(shown.view.children) == 1 and shown.bar.value == 2
    model = helo.build("late", simulated)
    helo.save(model, tmp_path / "late.safetensors")
    shown = opened(f"dataset=simulated&model={tmp_path}/late.safetensors")
    assert f"late on simulated, {len(simulated)} windows" in shown.said.value and "skill" not in shown.said.value


def test_how_sure_it_is_comes_from_training_people_or_lies_beside_the_file(small, simulated, tmp_path):
    shown = opened("model=mean")
    assert "in the whiskers</b> 100%" in shown.said.value and "unlike training" in shown.said.value
    path = tmp_path / "late.safetensors"
    helo.save(helo.build("late", simulated), path)
    everywhere = training_side(simulated, np.arange(len(simulated)))
    Confidence(simulated.emotions, 0.9, 0.3, 0.0, 12, everywhere).save(tmp_path / "late.sure.safetensors")
    assert "in the whiskers</b> 0%" in opened(f"dataset=simulated&model={path}").said.value
    Confidence(("one", "two"), 0.9, 0.3, 0.0, 12, everywhere).save(tmp_path / "late.sure.safetensors")
    assert "late.sure.safetensors: emotions are" in opened(f"dataset=simulated&model={path}").said.value


def test_the_label_correlation_begins_with_the_models_epoch(small, monkeypatch):
    """Training goes on after its best epoch, to whose weights the model returns."""

    def fit(model, *rest, on_epoch, **options):
        for epoch in (1, 2, 3):
            on_epoch(model, {"epoch": epoch})
        return Run(model, [], 2)

    monkeypatch.setattr(module, "fit", fit)
    shown = Dashboard(model="helo", epochs=3)
    shown._calibrated = lambda *_: None
    asyncio.run(shown.load())
    tab = shown.view.children[0].children[1]
    tab.selected_index = 4
    epoch = tab.children[4].children[0].children[0]
    assert tab.get_title(4) == "label correlation" and (epoch.value, epoch.max) == (2, 3)


def test_what_was_open_before_is_let_go(monkeypatch, simulated):
    """Widgets, data set and model: taken out of the page they stayed for as long as the kernel ran."""
    held = []

    def load(*_):
        data = dataclasses.replace(simulated)
        held.append(weakref.ref(data))
        return data

    def there():
        gc.collect()
        return len(_instances), [one() is not None for one in held]

    monkeypatch.setattr(module, "load", load)
    shown, counts = Dashboard(model="helo", epochs=1), []
    shown._calibrated = lambda *_: None
    for seen in ((), (1, 2, 4), range(5), ()):
        asyncio.run(shown.load())
        counts.append(there())
        window, tab = shown.view.children[0].children
        for k in seen:
            tab.selected_index = k
        window.value = 3
        del window, tab
    assert counts == [(counts[0][0], [False] * k + [True]) for k in range(4)]


def test_the_scores_are_the_librarys(small, simulated):
    split = helo.splits.by_subject(simulated, folds=4)[0]
    model = helo.build("mean", simulated)
    helo.fit(model, simulated, split, progress=False)
    walk = helo.views.walk(model, simulated, split.test)
    expected = helo.score(simulated.distributions[split.test], helo.predict(model, simulated, split.test).distributions)
    assert all(f"<b>{name}</b> {value:.3f}" in scores(walk, split) for name, value in expected.items())
    assert "<b>skill</b>" in scores(walk, split)
    unnamed = dataclasses.replace(walk, data=dataclasses.replace(simulated, conditions=None))
    assert "skill" not in scores(unnamed, split), "without conditions there is no ceiling"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("dataset=nothing", "unknown data set &#x27;nothing&#x27;; expected one of"),
        ("dataset=wesad&root=/nowhere", "/nowhere"),
        ("model=/nowhere.safetensors", "/nowhere.safetensors: no such file"),
        (f"model={ROOT / 'README.md'}", "not a helo file"),
        ("dataset=%3Cimg+src%3Dx+onerror%3Dalert(1)%3E", "&lt;img src=x onerror=alert(1)&gt;"),
        ("dataset=" + "a" * 100_000, "unknown data set"),
    ],
)
def test_what_cannot_be_opened_is_said_escaped_and_short(small, address, message):
    shown = opened(address)
    said = shown.said.value
    assert message in said and "<img" not in said and len(said) < 12_500 and 'role="alert"' in said
    assert not shown.view.children and not shown.button.disabled
    assert shown.bar.layout.display == "none"


def test_a_pickle_is_not_read(small, tmp_path):
    import torch

    torch.save({"weights": torch.zeros(2)}, tmp_path / "model.pt")
    assert "not a helo file" in opened(f"model={tmp_path}/model.pt").said.value


def test_an_address_that_makes_no_sense_is_not_followed():
    shown = dashboard("epochs=many&token=secret")
    assert "epochs is &#x27;many&#x27;; expected a whole number" in shown.said.value
    assert shown.fields["epochs"].value == 20 and "secret" not in str([f.value for f in shown.fields.values()])
    shown._arrived()
    assert shown.task is None, "the form waits for a click"


def test_what_is_typed_meanwhile_is_for_the_next(small, monkeypatch):
    """Whiskers are calibrated by models of the kind that answers, whatever stands in the form by then."""
    shown, asked = Dashboard(model="early", epochs=1), []

    def members(name, *rest, epochs, **options):
        asked.append((name, epochs))
        raise ValueError("enough")

    def fit(model, *arguments, **options):
        shown.fields["model"].value, shown.fields["epochs"].value = "mean", 7
        return Run(model, [], 0)

    monkeypatch.setattr(module, "members", members)
    monkeypatch.setattr(module, "fit", fit)
    asyncio.run(shown.load())
    assert asked == [("early", 1)]


def test_it_starts_once_when_a_page_is_there(small):
    async def visit():
        shown = Dashboard(model="mean")
        assert shown.task is None
        shown._arrived()
        first = shown.task
        shown._arrived()
        assert shown.task is first
        await first
        return shown

    assert "mean on simulated" in asyncio.run(visit()).said.value


def test_another_visitor_than_the_most_is_told_to_wait():
    from tornado.web import HTTPError

    from helo.views.visitors import FewKernels

    async def visit():
        kernels = FewKernels(most=1)
        first = await kernels.start_kernel()
        with pytest.raises(HTTPError, match="1 pages are open"):
            await kernels.start_kernel()
        await kernels.shutdown_kernel(first, now=True)
        # at the same moment: one that is starting counts
        found = await asyncio.gather(*(kernels.start_kernel() for _ in range(3)), return_exceptions=True)
        assert sum(isinstance(one, HTTPError) for one in found) == 2
        await kernels.shutdown_kernel(next(one for one in found if isinstance(one, str)), now=True)

    asyncio.run(visit())
