"""helo: emotion distribution learning from physiological signals and behavior.

data = helo.load("simulated", seed=0)
split = helo.splits.by_subject(data)[0]
model = helo.build("helo", data, seed=0)
run = helo.fit(model, data, split, epochs=50)
answer = helo.predict(model, data, split.test)
helo.score(data.distributions[split.test], answer.distributions)
"""

from helo import splits
from helo.checkpoints import load_model, save
from helo.data import EmotionData, load
from helo.evaluation import evaluate
from helo.measures import score
from helo.models import build
from helo.training import fit, predict

__all__ = ["EmotionData", "build", "evaluate", "fit", "load", "load_model", "predict", "save", "score", "splits"]
__version__ = "0.1.0"
