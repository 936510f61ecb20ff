"""The dashboard: any data set and model, by a form or by the page's address; all explorers, linked by their window."""

from __future__ import annotations

import asyncio
import html
import os
import time
import warnings
from urllib.parse import parse_qs

import anywidget
import ipywidgets as widgets
import numpy as np
from tqdm import tqdm

from helo import views
from helo.data import load, splits
from helo.data.emotion_data import EmotionData
from helo.data.split import Split
from helo.evaluation.confidence import Confidence, confidence
from helo.evaluation.ensemble import members
from helo.measures import skill
from helo.models import EmotionModel, build, exists
from helo.models.helo import HeLo
from helo.training import fit, load_model
from helo.views.closing import close
from helo.views.linked import linked
from helo.views.walks import Walk

#: what a page's address may say; whatever else it says (its token) is not read
FIELDS = ("dataset", "root", "model", "epochs")
_LONGEST = 2000
#: of training people who calibrate in turns
GROUPS = 3


class _Arrival(anywidget.AnyWidget):
    """Says that a page shows it: widgets made before the page listens are never drawn there."""

    _esm = "export default { render({ model }) { model.send({}); } };"


class Dashboard(widgets.VBox):
    """A form, what it opened, and how that went.

    Nothing but arrays is read: data by the library's own readers, a model from safetensors. Whatever cannot be opened
    is said in the page, in the library's words.

    Args:
        dataset: name of a data set.
        root: folder of its files; "" for those that need none.
        model: a model file that `helo.save` wrote, or the name of a model to train.
        epochs: most epochs of that training.
        seed: of first weights and batches.
    """

    def __init__(
        self, dataset: str = "simulated", root: str = "", model: str = "helo", epochs: int = 20, seed: int = 0
    ):
        wide = {"style": {"description_width": "initial"}, "layout": widgets.Layout(flex="1 1 14em", width="auto")}
        self.fields = {
            "dataset": widgets.Text(dataset, description="data set", **wide),
            "root": widgets.Text(root, description="folder", placeholder="none for simulated studies", **wide),
            "model": widgets.Text(model, description="model: a file, or a name to train", **wide),
            "epochs": widgets.BoundedIntText(epochs, min=1, max=10_000, description="epochs", **wide),
        }
        self.seed = seed
        self.button = widgets.Button(description="open", icon="folder-open", layout=widgets.Layout(width="8em"))
        self.button.on_click(lambda _: self.start())
        self.said = widgets.HTML()
        self.bar = widgets.IntProgress(0, 0, epochs, layout=widgets.Layout(width="100%", display="none"))
        self.view = widgets.VBox(layout=widgets.Layout(width="100%"))
        form = widgets.HBox([*self.fields.values(), self.button], layout=widgets.Layout(flex_flow="row wrap"))
        self.task: asyncio.Task | None = None
        arrival = _Arrival()
        arrival.on_msg(self._arrived)
        super().__init__([form, self.said, self.bar, self.view, arrival], layout=widgets.Layout(width="100%"))

    def _arrived(self, *_):
        if self.task is None and not self.said.value:
            self.start()

    def start(self) -> None:
        """Open what the form says, while the page stays alive; the first time when a page shows it."""
        self.task = asyncio.get_running_loop().create_task(self.load())

    async def load(self) -> None:
        """Load the data, load or train the model, ask it, and show it all; or say why not."""
        self.button.disabled = True
        before, self.view.children = self.view.children, []
        for box in before:
            close(box)
        try:
            data, model, split, snapshots, best, sure = await self._both()
            self._say("asking the model: every window, and without each of its parts")
            walk = await asyncio.to_thread(views.walk, model, data, None if split is None else split.test)
            self.view.children = [linked(walk, snapshots, sure, best)]
            self.said.value = scores(walk, split, sure)
        except Exception as error:  # whatever a name, a folder or a file of a visitor's can do wrong
            self.complain(str(error) if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: {error}")
        finally:
            self.bar.layout.display, self.button.disabled = "none", False

    async def _both(
        self,
    ) -> tuple[EmotionData, EmotionModel, Split | None, list[np.ndarray], int | None, Confidence | None]:
        # read once: the next visitor may type while this one's model trains
        dataset, root, name = (self.fields[k].value.strip() for k in ("dataset", "root", "model"))
        epochs = self.fields["epochs"].value
        self._say(f"reading {dataset}")
        data = await asyncio.to_thread(load, dataset, root or None)
        if not exists(name):
            model = await asyncio.to_thread(load_model, name)
            return data, model, None, [], None, await asyncio.to_thread(Confidence.beside, name, model)
        split = splits.by_subject(data, folds=4)[0]
        model = build(name, data, seed=self.seed)
        snapshots, best = await self._train(model, data, split, epochs)
        self._say(f"training three {model.name} models, to see how sure their answers to people left out are")
        sure = await asyncio.to_thread(self._calibrated, name, epochs, data, split)
        return data, model, split, snapshots, best, sure

    def _calibrated(self, name, epochs, data, split):
        """What all training people say, each asked of by a model that was not trained on them; None of too few."""
        if len(np.unique(data.subjects[split.seen])) < GROUPS:
            return None
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*cap of .* epochs")
            models, parts = members(name, data, split, GROUPS, seed=self.seed, epochs=epochs, progress=False)
        return confidence(models, data, parts)

    async def _train(self, model, data, split, epochs):
        loop, started, snapshots = asyncio.get_running_loop(), time.perf_counter(), []
        self.bar.max, self.bar.value, self.bar.layout.display = epochs, 0, ""
        self._say(f"training {model.name}")

        def tell(epoch):
            left = (time.perf_counter() - started) / epoch * (epochs - epoch)
            self.bar.value = epoch
            self._say(f"training {model.name}: epoch {epoch} of {epochs}, at most {tqdm.format_interval(left)} left")

        def on_epoch(network, row):
            if isinstance(network, HeLo):
                snapshots.append(network.learned_correlation().detach().cpu().numpy())
            loop.call_soon_threadsafe(tell, row["epoch"])

        run = await asyncio.to_thread(
            fit, model, data, split, epochs=epochs, seed=self.seed, progress=False, on_epoch=on_epoch
        )
        return snapshots, run.best_epoch

    def complain(self, text: str) -> None:
        """Say in the page what is wrong."""
        self.said.value = f'<b role="alert">{html.escape(text[:_LONGEST])}</b>'

    def _say(self, text):
        self.said.value = html.escape(text)


def scores(walk: Walk, split: Split | None, sure: Confidence | None = None) -> str:
    """One line of HTML: who was asked, the six measures, skill where it is known, how sure it was."""
    data = walk.data
    people = len(set(data.subjects[walk.index].tolist()))
    told = [f"<b>{name}</b> {value:.3f}" for name, value in walk.scores.items()]
    seen = "whether the model was trained on some of them, its file does not say"
    if split is not None:
        from helo.evaluation import reference_kl

        gained = skill(float(walk.kl.mean()), *reference_kl(data, split))
        told += [f"<b>skill</b> {gained:.2f}"] if np.isfinite(gained) else []  # else nothing is known to reach
        seen = "never seen in training"
    if sure is not None:
        low, high = sure.bounds(walk.said)
        truth = data.distributions[walk.index]
        told.append(f"<b>in the whiskers</b> {((low <= truth) & (truth <= high)).all(1).mean():.0%}")
        signals, masks = ({m: x[walk.index] for m, x in group.items()} for group in (data.signals, data.masks))
        told.append(f"<b>unlike training</b> {(sure.strange(signals, masks) > 1).mean():.1%}")
    about = html.escape(f"{walk.model.name} on {data.name}, {len(walk.index)} windows of {people} people, {seen}")
    return f"{about}: {', '.join(told)}"


def dashboard(
    address: str | None = None,
    dataset: str = "simulated",
    root: str = "",
    model: str = "helo",
    epochs: int = 20,
    seed: int = 0,
) -> Dashboard:
    """The dashboard, already opening what the page's address asks for: `?dataset=wesad&root=PATH&model=FILE`.

    Args:
        address: the part of the address after the question mark; default that of the voila page this kernel serves.
        dataset, root, model, epochs, seed: as `Dashboard`, where the address says nothing.
    """
    asked = parse_qs(os.environ.get("QUERY_STRING", "") if address is None else address)
    said = {name: values[-1] for name, values in asked.items() if name in FIELDS}
    count = said.get("epochs", str(epochs))
    whole = count.isdecimal() and len(count) < 10
    names = (said.get("dataset", dataset), said.get("root", root), said.get("model", model))
    shown = Dashboard(*names, int(count) if whole else epochs, seed)
    if not whole:
        shown.complain(f"epochs is {count!r}; expected a whole number")
    return shown
