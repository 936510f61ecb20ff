"""Evaluation: every model on every fold with every seed, and what the table says about models and people."""

from helo.evaluation.choice import candidates
from helo.evaluation.knockout import drop_curve, knockout
from helo.evaluation.references import reference_kl, references
from helo.evaluation.scoring import evaluate
from helo.evaluation.statistics import (
    by_fold,
    critical_difference,
    interval_over_people,
    mean_ranks,
    paired_test,
    summarise,
    to_markdown,
)

__all__ = [
    "by_fold",
    "candidates",
    "critical_difference",
    "drop_curve",
    "evaluate",
    "interval_over_people",
    "knockout",
    "mean_ranks",
    "paired_test",
    "reference_kl",
    "references",
    "summarise",
    "to_markdown",
]
