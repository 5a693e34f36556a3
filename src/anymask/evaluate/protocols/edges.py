"""Edges: how well the borders of everything found match those that people drew (section 7.2)."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import PIL.Image
import torch

from anymask.evaluate.edges.boundaries import (
    Counts,
    boundary_of,
    compare,
    score,
)
from anymask.evaluate.edges.edge_maps import CLASSICAL, boundary_map, from_masks
from anymask.evaluate.protocol import Cell, Curve, Row, Rows, Summary, Table, flat
from anymask.evaluate.protocols.options import EdgesOptions
from anymask.image.image import Image

if TYPE_CHECKING:
    from anymask.data.dataset import Sample
    from anymask.predict.segmenter import Segmenter

__all__ = ["Edges"]

_MODEL, _OWN = "model", "model, own boundary map"
_PUBLISHED = {"canny": 0.600, "sobel": 0.539}


@dataclass(frozen=True)
class Edges(EdgesOptions):
    """Find everything, take its edges, and compare them with every annotator's."""

    legend = (
        "The image, the edges found, and those that people drew. The number is the image's "
        "own best F."
    )

    def measure(self, model: Segmenter, sample: Sample) -> list[Row]:
        """Count at every threshold what matches, for the model and for its peers."""
        people = _drawn(sample)
        if not any(person.any() for person in people):
            return []
        embedding = model.embed(Image.open(sample.image))
        maps = {_MODEL: from_masks(model, embedding, self.points_per_side, self.nms)}
        own = boundary_map(embedding)
        maps |= {} if own is None else {_OWN: own}
        maps |= {peer: CLASSICAL[peer](sample.image) for peer in self.peers}
        processes = min(torch.get_num_threads(), len(people))
        counts = {
            name: compare(strength, people, max_distance=self.reach, processes=processes)
            for name, strength in maps.items()
        }
        row: Row = {name: _plain(one) for name, one in counts.items()}
        seen = {"score": score([counts[_MODEL]]).ois, "edges": _to_text(maps[_MODEL])}
        return [row | seen]

    def summarise(self, sets: Mapping[str, Rows]) -> Summary:
        """Score every set at the best threshold for all and for each image."""
        rows: list[tuple[Cell, ...]] = []
        curves = []
        for name, images in sets.items():
            lines = {}
            measured = flat(images)
            own = [_OWN] if any(_OWN in row for row in measured) else []
            for detector in (_MODEL, *own, *self.peers):
                counts = [_counts(row[detector]) for row in measured]
                cells: tuple[Cell, ...] = (None,) * 4
                if counts:
                    found = score(counts)
                    cells = (found.ods, found.ois, found.ap, found.r50)
                    some = found.precision > 0  # where nothing is found, there is no precision
                    lines[detector] = (found.recall[some].tolist(), found.precision[some].tolist())
                rows.append((name, detector, len(counts), *cells, _PUBLISHED.get(detector)))
            curves.append(Curve(f"edges-{name}", f"Edges, {name}", "recall", "precision", lines))
        header = ("set", "detector", "images", "ODS", "OIS", "AP", "R50", "published ODS")
        note = "Published: on the test images of BSDS500, as the SAM paper quotes them (table 3)."
        return Summary((Table("edges", "Edges", header, tuple(rows), note),), tuple(curves))

    def draw(self, model: Segmenter, sample: Sample, row: Row) -> PIL.Image.Image:
        """Show the edges found beside the image and what people drew."""
        people = np.mean(_drawn(sample), axis=0) * 255
        grey = [
            np.repeat(255 - x[..., None], 3, axis=2) for x in (_from_text(row["edges"]), people)
        ]
        return PIL.Image.fromarray(np.hstack([sample.image, *grey]).astype(np.uint8))


def _drawn(sample: Sample) -> list[npt.NDArray[np.bool_]]:
    """List the boundaries that people drew, or those of the masks that they drew."""
    return list(sample.boundaries) or [boundary_of(layer) for layer in sample.layers]


def _plain(counts: Counts) -> dict[str, list[int]]:
    return {name: values.tolist() for name, values in asdict(counts).items()}


def _counts(plain: Mapping[str, Sequence[int]]) -> Counts:
    return Counts(**{name: np.array(values, np.int64) for name, values in plain.items()})


def _to_text(strength: npt.NDArray[np.float32]) -> str:
    """Keep a map for `Edges.draw`, so that nothing is predicted again: PNG in base 64."""
    file = io.BytesIO()
    PIL.Image.fromarray(np.rint(255 * strength).astype(np.uint8)).save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode("ascii")


def _from_text(text: str) -> npt.NDArray[np.uint8]:
    return np.asarray(PIL.Image.open(io.BytesIO(base64.b64decode(text))))
