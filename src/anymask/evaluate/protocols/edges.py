"""Edges: how well the borders of everything found match those that people drew (section 7.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from anymask.evaluate.boundaries import (
    MAX_DISTANCE,
    Annotation,
    Counts,
    boundary_of,
    compare,
    score,
)
from anymask.evaluate.edge_maps import CLASSICAL, from_masks
from anymask.evaluate.protocol import Cell, Curve, Row, Rows, Summary, Table

if TYPE_CHECKING:
    import PIL.Image

    from anymask.data.dataset import Sample
    from anymask.predict import Segmenter

__all__ = ["Edges"]

_PUBLISHED = {"canny": 0.600, "sobel": 0.539}


@dataclass(frozen=True)
class Edges:
    """Find everything, take its edges, and compare them with every annotator's."""

    points_per_side: int = 16
    """Points along each side of the grid that asks the model."""
    nms: float = 0.7
    """Of two masks whose boxes have a higher IoU than this, the better one counts."""
    reach: float = MAX_DISTANCE
    """How far an edge may be from where a person drew it, as a share of the diagonal."""
    peers: tuple[Literal["canny", "sobel"], ...] = ("canny", "sobel")
    """Classical detectors to measure on the same images."""

    name = "edges"

    def measure(self, model: Segmenter, sample: Sample) -> list[Row]:
        """Count at every threshold what matches, for the model and for its peers."""
        people = [Annotation(boundary_of(layer), self.reach) for layer in sample.layers]
        if not any(person.total for person in people):
            return []
        maps = {"model": from_masks(model, sample.image, self.points_per_side, self.nms)}
        maps |= {peer: CLASSICAL[peer](sample.image) for peer in self.peers}
        counts = {name: compare(strength, people) for name, strength in maps.items()}
        row: Row = {name: _plain(one) for name, one in counts.items()}
        return [row | {"score": score([counts["model"]]).ois}]

    def summarise(self, sets: Mapping[str, Rows]) -> Summary:
        """Score every set at the best threshold for all and for each image."""
        rows: list[tuple[Cell, ...]] = []
        curves = []
        for name, images in sets.items():
            lines = {}
            for detector in ("model", *self.peers):
                counts = [_counts(row[detector]) for some in images.values() for row in some]
                cells: tuple[Cell, ...] = (None,) * 4
                if counts:
                    found = score(counts)
                    cells = (found.ods, found.ois, found.ap, found.r50)
                    lines[detector] = (found.recall.tolist(), found.precision.tolist())
                rows.append((name, detector, len(counts), *cells, _PUBLISHED.get(detector)))
            curves.append(Curve(f"edges-{name}", f"Edges, {name}", "recall", "precision", lines))
        header = ("set", "detector", "images", "ODS", "OIS", "AP", "R50", "published ODS")
        note = "Published: on BSDS500's test images, as quoted by the SAM paper (table 3)."
        return Summary((Table("edges", "Edges", header, tuple(rows), note),), tuple(curves))

    def draw(self, model: Segmenter, sample: Sample, row: Row) -> PIL.Image.Image:
        """Show the edges found beside the image and what people drew."""
        import PIL.Image

        found = from_masks(model, sample.image, self.points_per_side, self.nms)
        drawn = np.mean([boundary_of(layer) for layer in sample.layers], axis=0)
        grey = [np.repeat(255 - 255 * x[..., None], 3, axis=2) for x in (found, drawn)]
        return PIL.Image.fromarray(np.hstack([sample.image, *grey]).astype(np.uint8))


def _plain(counts: Counts) -> dict[str, list[int]]:
    return {name: values.tolist() for name, values in asdict(counts).items()}


def _counts(plain: Mapping[str, Sequence[int]]) -> Counts:
    return Counts(**{name: np.array(values, np.int64) for name, values in plain.items()})
