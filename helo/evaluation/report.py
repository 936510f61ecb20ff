"""What `python -m helo evaluate` prints, and keeps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from helo.evaluation.markdown import to_markdown
from helo.evaluation.people import WEIGHTS
from helo.evaluation.summary import chosen, summarise
from helo.files import atomic_write
from helo.reading import expanded

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class Report:
    """How results are told; made before anything is computed, for what is wrong to be said then.

    Args:
        file: CSV file for the rows, in a folder that is there; None: none.
        protocol: its name.
        nested: groups of the training side.
        weight: "windows" or "trials".

    Raises:
        ValueError: a weight or a file that cannot be.
    """

    file: Path | None
    protocol: str
    nested: int
    weight: str

    def __post_init__(self):
        if self.weight not in WEIGHTS:
            raise ValueError(f"weight is {self.weight!r}; expected {' or '.join(WEIGHTS)}")
        self.file = self.file and expanded(self.file)
        if self.file and (self.file.is_dir() or not self.file.absolute().parent.is_dir()):
            raise ValueError(f"{self.file}: expected a file in a folder that is there")

    def of(self, table: pd.DataFrame) -> str:
        """The budget, the table of models, best first by KL, and, where there was a choice, what was chosen.

        Args:
            table: from `evaluate`; its rows are written to the file.
        """
        if self.file:
            atomic_write(self.file, table.to_csv(index=False).encode())
        told = chosen(table)
        groups = f", in each {self.nested} groups of its training side, a model for each" if self.nested else ""
        lines = [f"{table['fold'].nunique()} folds by {self.protocol}{groups}; seeds: {table['seed'].nunique()}", ""]
        lines.append(to_markdown(summarise(table, weight=self.weight).sort_values("kl")))
        for model, row in told.iterrows() if (told["candidates"] > 1).any() else ():
            lines += ["", f"{model}: {row.candidates} candidates, {row.fits} fits, {row.cut} cut at the cap"]
            lines.append(f"  {row.chosen}")
        return "\n".join(lines)
