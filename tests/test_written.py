"""Names that would be formulas, and broken ones at that, are drawn as they are written."""

import numpy as np
import pytest
from conftest import random_data
from test_figures import summary

from helo import figures

NAME = r"pay $\b{x}$ now"  # matplotlib would end in "ParseFatalException: Unknown symbol: \b"


def drawn():
    """Every function that is given names, with such names."""
    data = random_data(
        emotions=[NAME, "b", "c", "d", "e"],
        shapes={"eda": (2, 3), "face": (2, 3)},
        roles={"physiological": ["eda"], "behavioral": ["face"]},
        conditions=np.tile(np.repeat([NAME, "calm"], 5), 4),
    )
    names, shares = [NAME, "b", "c"], np.full((2, 3), 1 / 3)
    return {
        "condition_means": lambda: figures.condition_means(data),
        "window": lambda: figures.window(data, 3),
        "answers": lambda: figures.answers(shares, shares, names, [NAME, "two"]),
        "plan": lambda: figures.plan(np.eye(3), names, names, NAME),
        "heatmaps": lambda: figures.heatmaps({NAME: np.eye(3)}, names, names, label=NAME, xlabel=NAME, ylabel="e"),
        "curves": lambda: figures.curves([1, 2], {NAME: [1, 2]}, NAME, "loss"),
        "critical_difference": lambda: figures.critical_difference({NAME: 1.5, "b": 2.0, "c": 3.0}, 1.2),
        "protocols": lambda: figures.protocols({NAME: {"a": 1, NAME: 2}, "w": {"a": 0.5, NAME: 0.7}}, "KL"),
        "forest": lambda: figures.forest(summary("kl").rename(index={"ridge": NAME}), NAME),
    }


@pytest.mark.parametrize("name", sorted(drawn()))
def test_a_name_is_no_formula(name, tmp_path):
    figure = drawn()[name]()
    texts = " ".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))
    assert NAME in texts
    figures.save(figure, tmp_path / "x")


def test_powers_of_ten_stay_formulas(tmp_path):
    rows = [{"epoch": k, "train_kl": 10.0**-k, "validation_kl": 10.0**-k} for k in range(1, 6)]
    figure = figures.history(rows, 2)
    figure.canvas.draw()
    assert any(
        label.get_text().startswith("$") and label.get_parse_math() for label in figure.axes[0].get_yticklabels()
    )
    figures.save(figure, tmp_path / "x.png")
