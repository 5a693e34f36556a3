"""What the shards hold, read by programs that know nothing of a farm."""

from __future__ import annotations

import errno
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from tests.label.farm.conftest import documents, index
from tests.label.farm.squares import Squares, make_image

from anymask import OutputError
from anymask.formats import sa1b
from anymask.label.farm.local import Local
from anymask.label.farm.run import farm
from anymask.label.farm.shards import as_jpeg
from anymask.masks import rle


def test_parquet_holds_all_that_the_shards_hold(photos: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "out"
    farm(photos, out, Squares(), engine=Local(1, shared=True), format=["sa1b", "parquet"])
    masks = parquet.read_table(out / "parquet/masks-000000.parquet").to_pylist()
    images = parquet.read_table(out / "parquet/images-000000.parquet").to_pylist()
    shards = documents(out)
    assert {row["image_id"]: row["masks"] for row in images} == {
        number: len(document["annotations"]) for number, document in shards.items()
    }
    assert 0 in {row["masks"] for row in images}
    annotations = [one for document in shards.values() for one in document["annotations"]]
    assert len(masks) == len(annotations) > 5
    for row, annotation in zip(masks, annotations, strict=True):
        assert row["mask_id"] == annotation["id"]
        assert row["counts"] == annotation["segmentation"]["counts"]
        assert [row[name] for name in "xywh"] == annotation["bbox"]
        assert row["predicted_iou"] == pytest.approx(annotation["predicted_iou"])
        assert row["stability_score"] is None and row["point_x"] is None
        counts = rle.from_string(row["counts"])
        assert int(counts[1::2].sum()) == row["area"]
        assert int(counts.sum()) == row["height"] * row["width"]
    lines = index(out)
    for row in images:
        assert bytes.fromhex(lines[row["name"]]["sha256"]) == row["sha256"]


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # pycocotools' own
def test_pycocotools_reads_the_shards(photos: Path, tmp_path: Path) -> None:
    coco = pytest.importorskip("pycocotools.mask")
    out = tmp_path / "out"
    farm(photos, out, Squares(), engine=Local(1, shared=True))
    with tarfile.open(out / "shards/sa_000000.tar") as tar:
        for name in tar.getnames()[1::2]:
            content = tar.extractfile(name).read()
            ours = sa1b.read(content).dense()
            theirs = [
                coco.decode(one["segmentation"]) for one in json.loads(content)["annotations"]
            ]
            assert len(ours) == len(theirs)
            for one, other in zip(ours, theirs, strict=True):
                np.testing.assert_array_equal(one, other.astype(bool))


def test_a_picture_that_is_turned_or_no_jpeg_is_written_as_its_masks_lie(tmp_path: Path) -> None:
    plain = make_image(tmp_path / "plain.jpg", 3).read_bytes()
    assert as_jpeg(plain) is plain
    turned = io.BytesIO()
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    PIL.Image.open(io.BytesIO(plain)).save(turned, "JPEG", exif=exif)
    upright = PIL.Image.open(io.BytesIO(as_jpeg(turned.getvalue())))
    assert upright.size == (18, 24) and 0x0112 not in upright.getexif()
    for mode in ("CMYK", "RGBA", "I;16"):
        file = io.BytesIO()
        kind = "JPEG" if mode == "CMYK" else "PNG"
        PIL.Image.new(mode, (5, 4)).save(file, kind)
        written = PIL.Image.open(io.BytesIO(as_jpeg(file.getvalue())))
        assert (written.format, written.mode, written.size) == ("JPEG", "RGB", (5, 4))


def test_a_full_disk_ends_the_run_and_the_next_one_goes_on(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, log = tmp_path / "out", tmp_path / "log"

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(tarfile.TarFile, "addfile", full)
        with pytest.raises(OutputError, match="No space left on device"):
            farm(photos, out, Squares(log), engine=Local(1, shared=True))
    assert not list(out.rglob("*.tar"))
    farm(photos, out, Squares(log), engine=Local(1, shared=True))
    assert log.stat().st_size == 6 and len(documents(out)) == 6


def test_a_shard_that_somebody_deleted_is_written_again(photos: Path, tmp_path: Path) -> None:
    out, log = tmp_path / "out", tmp_path / "log"
    farm(photos, out, Squares(), engine=Local(1, shared=True))
    shard = out / "shards/sa_000000.tar"
    before = shard.read_bytes()
    shard.unlink()
    farm(photos, out, Squares(log), engine=Local(1, shared=True), format=["parquet", "sa1b"])
    assert shard.read_bytes() == before and not log.exists()
