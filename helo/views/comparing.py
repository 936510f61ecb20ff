"""The comparison by person with controls, for JupyterLab: which model, beside which, sorted by what."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ipywidgets as widgets

from helo.views.beside import ORDERS
from helo.views.boxes import CONTROL
from helo.views.dots import by_person
from helo.views.explore import live

if TYPE_CHECKING:
    import pandas as pd


def comparison(table: pd.DataFrame, reference: str) -> widgets.VBox:
    """Every person's KL of a model beside that of the reference.

    Args:
        table: from `helo.evaluate`, of two models or more.
        reference: the model to begin with on the other side.
    """
    names = list(dict.fromkeys(table["model"]))

    def draw(model, reference, order):
        if model == reference:  # the other drop-down still stands on this one: the next best in its place
            model = next(name for name in names if name != reference)
        return by_person(table, model, reference, order)

    other = next(name for name in names if name != reference)
    return live(
        draw,
        model=widgets.Dropdown(options=names, value=other, description="model", **CONTROL),
        reference=widgets.Dropdown(options=names, value=reference, description="beside", **CONTROL),
        order=widgets.Dropdown(options=ORDERS, description="sorted by", **CONTROL),
    )
