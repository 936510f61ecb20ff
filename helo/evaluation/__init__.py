"""Evaluation: every model on every fold with every seed, and what the table says about models and people."""

from helo.evaluation.calibration_gain import calibration_gain
from helo.evaluation.choice import candidates
from helo.evaluation.confidence import Confidence, confidence
from helo.evaluation.ensemble import Answer, members
from helo.evaluation.intervals import interval_over_people
from helo.evaluation.knockout import drop_curve, knockout
from helo.evaluation.markdown import to_markdown
from helo.evaluation.people import people, person_scores
from helo.evaluation.references import reference_kl, references
from helo.evaluation.scoring import evaluate
from helo.evaluation.statistics import critical_difference, mean_ranks, paired_test
from helo.evaluation.summary import by_condition, chosen, summarise

__all__ = [
    "Answer",
    "Confidence",
    "by_condition",
    "calibration_gain",
    "candidates",
    "chosen",
    "confidence",
    "critical_difference",
    "drop_curve",
    "evaluate",
    "interval_over_people",
    "knockout",
    "mean_ranks",
    "members",
    "paired_test",
    "people",
    "person_scores",
    "reference_kl",
    "references",
    "summarise",
    "to_markdown",
]
