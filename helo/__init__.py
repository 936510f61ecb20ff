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

import helo.replies
import helo.waiting  # noqa: F401 - before torch is loaded

# isort: split
from helo.data import EmotionData, load, splits
from helo.evaluation import evaluate, knockout
from helo.evaluation.ensemble import predict
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

# what notebooks use besides, imported when it is asked for
_ROOMS = {"explore": "helo.views.explore", "figures": "helo.views.figures", "sweeps": "helo.batch.sweeps"}


def __getattr__(name):
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(_ROOMS[name])
