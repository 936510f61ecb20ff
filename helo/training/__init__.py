"""Training: `fit` models on splits, `predict` windows with them, `save` and `load_model` them."""

from helo.training.checkpoints import load_model, save
from helo.training.loop import Run, fit
from helo.training.prediction import predict
from helo.training.stacking import fit_together

__all__ = ["Run", "fit", "fit_together", "load_model", "predict", "save"]
