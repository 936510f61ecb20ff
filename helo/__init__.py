"""helo: emotion distribution learning from physiological signals and behavior.

data = helo.load("simulated", seed=0)
split = helo.splits.by_subject(data)[0]
model = helo.build("helo", data, seed=0)
run = helo.fit(model, data, split, epochs=50)
answer = helo.predict(model, data, split.test)
helo.score(data.distributions[split.test], answer.distributions)

The rooms, each of which knows only those after it: views, batch; evaluation; live; training; models; data; transport,
losses, measures, progress, checksums, reading, files, sinkhorn, precision, waiting, replies.
`from helo import figures, explore, sweeps` gives those of views and batch.
"""

import importlib
import importlib.util
from typing import TYPE_CHECKING

import helo.replies
import helo.waiting  # noqa: F401 - before torch is loaded

if TYPE_CHECKING:
    from helo.data import EmotionData, load, splits
    from helo.evaluation.ensemble import predict
    from helo.evaluation.knockout import knockout
    from helo.evaluation.scoring import evaluate
    from helo.measures import score
    from helo.models import build
    from helo.training import fit, load_model, save

__all__ = [
    "EmotionData",
    "build",
    "evaluate",
    "fit",
    "knockout",
    "load",
    "load_model",
    "predict",
    "save",
    "score",
    "splits",
]
__version__ = "0.1.0"

# where a name is from: it is imported when it is asked for, so that `python -m helo status` need not wait for torch
_PLACES = {
    "EmotionData": "helo.data",
    "build": "helo.models",
    "evaluate": "helo.evaluation",
    "fit": "helo.training",
    "knockout": "helo.evaluation",
    "load": "helo.data",
    "load_model": "helo.training",
    "predict": "helo.evaluation.ensemble",
    "save": "helo.training",
    "score": "helo.measures",
    "splits": "helo.data",
}
# what notebooks use besides
_ROOMS = {"explore": "helo.views.explore", "figures": "helo.views.figures", "sweeps": "helo.batch.sweeps"}


if not TYPE_CHECKING:  # a checker knows the names above, and no others

    def __getattr__(name):
        if name in _PLACES:
            found = getattr(importlib.import_module(_PLACES[name]), name)
        elif name in _ROOMS:
            found = importlib.import_module(_ROOMS[name])
        elif name.isidentifier() and not name.startswith("_") and importlib.util.find_spec(f"helo.{name}"):
            found = importlib.import_module(f"helo.{name}")
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = found
        return found

    def __dir__():
        return sorted({*globals(), *_PLACES, *_ROOMS})
