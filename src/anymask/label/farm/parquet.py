"""Parquet files of the records: one table of masks, one of images.

``masks-000000.parquet`` has a row for each mask, ``images-000000.parquet`` one for each image, so
that images without a mask are seen, too. `mask_schema` and `image_schema` say what the columns are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from anymask.folder import ResumableFolder
from anymask.label.farm.sink import Labelled, Left
from anymask.optional import optional

__all__ = ["Parquet", "image_schema", "mask_schema"]

_ROWS = 20_000  # that are held at once, at most


def image_schema() -> Any:
    """Give the columns of images.

    ``image_id``: number, unique; ``name``: where the source has it; ``sha256``: of its content, 32
    bytes; ``height`` and ``width``: pixels, upright; ``masks``: how many; ``model``: its name.
    """
    pa = optional("pyarrow", extra="farm")
    return pa.schema(
        [
            ("image_id", pa.int64()),
            ("name", pa.string()),
            ("sha256", pa.binary(32)),
            ("height", pa.int32()),
            ("width", pa.int32()),
            ("masks", pa.int32()),
            ("model", pa.string()),
        ]
    )


def mask_schema() -> Any:
    """Give the columns of masks.

    ``mask_id``: number, unique; ``image_id``: of its image; ``height`` and ``width``: of that;
    ``counts``: run lengths as COCO compresses them, column by column; ``area``: pixels; ``x``,
    ``y``, ``w`` and ``h``: its box as SA-1B has it, where a single pixel has a width of 0;
    ``predicted_iou`` and ``stability_score``: 0 to 1, null if unknown; ``point_x`` and ``point_y``:
    of the first point that asked for it, null if none did; ``crop_x`` to ``crop_h``: the part of
    the image that the model saw. All in pixels of the upright image, from its top left corner.
    """
    pa = optional("pyarrow", extra="farm")
    real, whole = pa.float32(), pa.int32()
    return pa.schema(
        [
            ("mask_id", pa.int64()),
            ("image_id", pa.int64()),
            ("height", whole),
            ("width", whole),
            ("counts", pa.string()),
            ("area", pa.int64()),
            *((name, real) for name in ("x", "y", "w", "h")),
            ("predicted_iou", real),
            ("stability_score", real),
            ("point_x", real),
            ("point_y", real),
            *((f"crop_{name}", real) for name in ("x", "y", "w", "h")),
        ]
    )


@dataclass(frozen=True)
class Parquet:
    """Parquet files in a folder.

    Attributes:
        folder: The results; the files lie in ``parquet/`` there.
    """

    folder: ResumableFolder

    def __post_init__(self) -> None:
        """Look for what writes them before any work."""
        optional("pyarrow", extra="farm")

    def files(self, shard: int) -> list[str]:
        """Name both files."""
        return [f"parquet/{table}-{shard:06d}.parquet" for table in ("masks", "images")]

    def write(self, shard: int, images: Iterator[Labelled]) -> Mapping[int, Left]:
        """Write two files; see `Sink`. The images themselves are not read."""
        masks_name, images_name = self.files(shard)
        with (
            self.folder.writing(masks_name) as masks,
            self.folder.writing(images_name) as about,
            _Table(masks, mask_schema()) as mask_table,
            _Table(about, image_schema()) as image_table,
        ):
            for image in images:
                document = image.document()
                image_table.add(_image_row(image, document))
                for annotation in document["annotations"]:
                    mask_table.add(_mask_row(image.number, annotation))
        return {}


class _Table:
    """A file that is written in groups of rows."""

    def __init__(self, path: Any, schema: Any) -> None:
        self._pa = optional("pyarrow", extra="farm")
        parquet = optional("pyarrow.parquet", extra="farm")
        self._schema = schema
        self._writer = parquet.ParquetWriter(path, schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []

    def __enter__(self) -> _Table:
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        self._writer.close()

    def add(self, row: dict[str, Any]) -> None:
        self._rows.append(row)
        if len(self._rows) >= _ROWS:
            self._flush()

    def _flush(self) -> None:
        self._writer.write_table(self._pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows = []


def _image_row(image: Labelled, document: Mapping[str, Any]) -> dict[str, Any]:
    about = document["image"]
    return {
        "image_id": image.number,
        "name": image.name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"),
        "sha256": image.sha256,
        "height": about["height"],
        "width": about["width"],
        "masks": len(document["annotations"]),
        "model": document.get("model"),
    }


def _mask_row(number: int, annotation: Mapping[str, Any]) -> dict[str, Any]:
    height, width = annotation["segmentation"]["size"]
    point_x, point_y = (annotation["point_coords"] or [(None, None)])[0]
    return {
        "mask_id": annotation["id"],
        "image_id": number,
        "height": height,
        "width": width,
        "counts": annotation["segmentation"]["counts"],
        "area": annotation["area"],
        **dict(zip("xywh", annotation["bbox"], strict=True)),
        "predicted_iou": annotation["predicted_iou"],
        "stability_score": annotation["stability_score"],
        "point_x": point_x,
        "point_y": point_y,
        **{f"crop_{name}": v for name, v in zip("xywh", annotation["crop_box"], strict=True)},
    }
