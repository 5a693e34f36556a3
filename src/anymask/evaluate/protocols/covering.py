"""Covering: how well the regions of everything found cover those that people drew.

The measure of Arbelaez et al. (TPAMI 2011, section 3.1): the regions of each annotator are covered
by those of a label map of everything mode, and annotators, then images are averaged.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import PIL.Image

from anymask.evaluate.covering import covering, partition
from anymask.evaluate.edges.boundaries import boundary_of
from anymask.evaluate.metrics import mean
from anymask.evaluate.peers import felzenszwalb_maps
from anymask.evaluate.protocol import Cell, Curve, Row, Rows, Summary, Table, flat
from anymask.evaluate.protocols.options import CoveringOptions
from anymask.image.image import Image

if TYPE_CHECKING:
    from anymask.data.dataset import Sample
    from anymask.predict.segmenter import Segmenter

__all__ = ["Covering"]

_PEER = "felzenszwalb"


@dataclass(frozen=True)
class Covering(CoveringOptions):
    """Find everything, paint it into one label map, and see how it covers what people drew."""

    legend = (
        "The image, the regions found, and those of the first annotator. The number is the covering"
        ", averaged over annotators."
    )

    def measure(self, model: Segmenter, sample: Sample) -> list[Row]:
        """Cover the regions of every annotator by those of the model, and by those of its peers."""
        layers = [x for x in sample.layers if covering(x, x, sample.void) is not None]
        if not layers:
            return []
        grid = self.points_per_side
        options: dict[str, Any] = {} if grid is None else {"points_per_side": grid}
        masks = model.generate(Image.open(sample.image), **options)
        found = partition(masks)
        row: Row = {
            "annotators": len(layers),
            "masks": len(masks),
            "regions": len(np.unique(found)),
            "score": _mean_covering(layers, found, sample),
            "found": _to_text(found),
        }
        if _PEER in self.peers:
            maps = felzenszwalb_maps(sample.image, self.scales)
            row[_PEER] = [_mean_covering(layers, one, sample) for one in maps]
            row[f"{_PEER} regions"] = [len(np.unique(one)) for one in maps]
        return [row]

    def summarise(self, sets: Mapping[str, Rows]) -> Summary:
        """Average over images; a peer with several scales has one for the whole set."""
        rows: list[tuple[Cell, ...]] = []
        curves: list[Curve] = []
        for name, images in sets.items():
            measured = flat(images)
            own, regions = (mean(row[part] for row in measured) for part in ("score", "regions"))
            rows.append((name, "model", len(measured), regions, own, None, None))
            if measured and _PEER in self.peers:
                cells, curve = self._peer(name, measured)
                rows.append((name, _PEER, len(measured), *cells))
                curves.append(curve)
        columns = ("covering", "covering, best scale of each image", "scale")
        header = ("set", "regions by", "images", "regions per image", *columns)
        note = (
            "Felzenszwalb: the one scale that is best for the whole set (ODS), and beside it the "
            "best scale of each image (OIS). The model has one label map, and so no scales."
        )
        table = Table("covering", "Covering", header, tuple(rows), note if self.peers else "")
        return Summary((table,), tuple(curves))

    def _peer(self, name: str, measured: Sequence[Row]) -> tuple[tuple[Cell, ...], Curve]:
        """Give the cells of Felzenszwalb's regions, and a plot of how they depend on the scale."""
        at_scale = np.array([row[_PEER] for row in measured])
        means = at_scale.mean(axis=0)
        best = int(means.argmax())
        regions = fmean(row[f"{_PEER} regions"][best] for row in measured)
        scales = [float(scale) for scale in self.scales]
        own = fmean(row["score"] for row in measured)
        lines = {_PEER: (scales, means.tolist()), "model": (scales, [own] * len(scales))}
        cells = regions, float(means[best]), float(at_scale.max(axis=1).mean()), scales[best]
        return cells, Curve(f"covering-{name}", f"Covering, {name}", "scale", "covering", lines)

    def draw(self, model: Segmenter, sample: Sample, row: Row) -> PIL.Image.Image:
        """Show the regions found beside the image and those that the first annotator drew."""
        maps = _from_text(row["found"]), sample.layers[0]
        panels = [sample.image, *(_painted(sample.image, labels) for labels in maps)]
        return PIL.Image.fromarray(np.hstack(panels))


def _mean_covering(
    layers: Sequence[npt.NDArray[np.integer]], found: npt.NDArray[np.integer], sample: Sample
) -> float:
    """Average over annotators, each of whom drew a region that counts."""
    covered = [covering(layer, found, sample.void) for layer in layers]
    return round(fmean(one for one in covered if one is not None), 5)


def _painted(
    image: npt.NDArray[np.uint8], labels: npt.NDArray[np.integer]
) -> npt.NDArray[np.uint8]:
    """Give each region the mean colour of its pixels, and draw lines between regions."""
    _, place = np.unique(labels, return_inverse=True)
    place = place.reshape(labels.shape)
    sizes = np.bincount(place.ravel())
    means = [np.bincount(place.ravel(), image[..., c].ravel()) / sizes for c in range(3)]
    painted = np.stack(means, axis=1).astype(np.uint8)[place]
    painted[boundary_of(labels)] = 255
    return painted


def _to_text(labels: npt.NDArray[np.int32]) -> str:
    """Keep a label map for `Covering.draw`, so that nothing is predicted again: PNG in base 64.

    Numbers above 65,535, which a PNG cannot hold, begin anew; a drawing can bear that.
    """
    file = io.BytesIO()
    PIL.Image.fromarray(labels.astype(np.uint16)).save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode("ascii")


def _from_text(text: str) -> npt.NDArray[np.int32]:
    return np.asarray(PIL.Image.open(io.BytesIO(base64.b64decode(text))), dtype=np.int32)
