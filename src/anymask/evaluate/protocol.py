"""What an evaluation protocol is, and what comes out of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    import PIL.Image

    from anymask.data.dataset import Sample
    from anymask.predict.segmenter import Segmenter

__all__ = ["Cell", "Curve", "EvaluationProtocol", "Row", "Rows", "Summary", "Table", "flat"]

Row: TypeAlias = dict[str, Any]
"""What is remembered of one mask or one image: plain JSON values. ``"score"``, if it has one, is
what the worst and best cases are chosen by."""

Rows: TypeAlias = Mapping[str, Sequence[Row]]
"""Rows by the key of their image, in the order of the data set."""

Cell: TypeAlias = str | int | float | None


def flat(rows: Rows) -> list[Row]:
    """List the rows of all images.

    Examples:
        >>> flat({"a": [{"iou": 1.0}], "b": [], "c": [{"iou": 0.5}]})
        [{'iou': 1.0}, {'iou': 0.5}]
    """
    return [row for some in rows.values() for row in some]


@dataclass(frozen=True)
class Table:
    """A table of results."""

    name: str
    """File name without suffix, and what its CSV is called."""
    title: str
    """What it shows, for people."""
    header: tuple[str, ...]
    """Names of the columns."""
    rows: tuple[tuple[Cell, ...], ...]
    """One cell for each column; None: nothing to measure."""
    note: str = ""
    """What a reader must know to read it rightly."""


@dataclass(frozen=True)
class Curve:
    """Lines in one plot."""

    name: str
    """File name without suffix."""
    title: str
    """What it shows."""
    x_label: str
    """What runs along the horizontal axis."""
    y_label: str
    """What runs along the vertical axis."""
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]]
    """x and y of each line, by its name."""


@dataclass(frozen=True)
class Summary:
    """The results of all rows together."""

    tables: tuple[Table, ...]
    """The first one is the main one."""
    curves: tuple[Curve, ...] = ()
    """Plots beside them."""


class EvaluationProtocol(Protocol):
    """A measurement: how to prompt a model for each image, and how to sum up its predictions.

    A protocol is a frozen dataclass whose fields are its options, so that they can be saved beside
    the results and compared when a run is resumed.
    """

    @property
    def name(self) -> str:
        """What the command line calls it."""
        ...

    @property
    def legend(self) -> str:
        """What the drawings of `draw` show, and what the score of a row is."""
        ...

    def measure(self, model: Segmenter, sample: Sample) -> list[Row]:
        """Measure one image; one with nothing to measure gives no rows."""
        ...

    def summarise(self, sets: Mapping[str, Rows]) -> Summary:
        """Put the rows of every data set together."""
        ...

    def draw(self, model: Segmenter, sample: Sample, row: Row) -> PIL.Image.Image:
        """Draw one case: the image, the prompt, the prediction and the ground truth."""
        ...
