"""The audit, on masks whose overlaps are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from anymask import formats
from anymask.errors import InputError
from anymask.evaluate.audit import compare, compare_folders, read_folder, summarise
from anymask.masks.masks import Masks


def columns(*spans: tuple[int, int]) -> Masks:
    """Masks of 10 x 40, each some columns."""
    dense = np.zeros((len(spans), 10, 40), bool)
    for mask, (start, stop) in zip(dense, spans, strict=True):
        mask[:, start:stop] = True
    return Masks.from_dense(dense) if spans else Masks.empty((10, 40))


def test_masks_are_paired_one_to_one_for_the_greatest_sum() -> None:
    # The best pair first would be 0.9 and 0.4.
    compared = compare("a", columns((0, 10), (0, 6)), columns((0, 9), (20, 30), (0, 15)))
    assert compared.ious == pytest.approx((2 / 3, 2 / 3))
    assert (compared.only_automatic, compared.only_corrected) == (0, 1)


def test_masks_that_share_nothing_are_no_pair() -> None:
    compared = compare("a", columns((0, 10)), columns((20, 30)))
    assert (compared.ious, compared.only_automatic, compared.only_corrected) == ((), 1, 1)
    nothing = compare("a", columns(), columns((0, 3)))
    assert (nothing.ious, nothing.only_automatic, nothing.only_corrected) == ((), 0, 1)


def test_shares_are_strictly_above_the_levels() -> None:
    automatic = columns((0, 10), (10, 20), (20, 30), (30, 40))
    corrected = columns((0, 9), (10, 20), (20, 28), (30, 35))  # 0.9, 1, 0.8, 0.5
    main, images = summarise([compare("a", automatic, corrected)]).tables
    cells = dict(zip(main.header, main.rows[0], strict=True))
    assert (cells["pairs"], cells["IoU > 90%"], cells["IoU > 75%"]) == (4, 0.25, 0.75)
    assert cells["mean IoU"] == pytest.approx(0.8)
    assert main.rows[1][0] == "SAM paper, theirs"
    assert images.rows[0][:2] == ("a", 4)


def test_the_histogram_adds_up() -> None:
    summary = summarise([compare("a", columns((0, 10), (10, 20)), columns((0, 10), (10, 15)))])
    ((x, y),) = summary.curves[0].lines.values()
    assert len(x) == len(y)
    assert sum(y[::2]) == pytest.approx(1)


def test_nothing_paired_is_no_error() -> None:
    main, _ = summarise([compare("a", columns(), columns())]).tables
    assert main.rows[0][2:6] == (0, None, None, None)


def test_folders_of_different_formats_are_compared(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    (before / "trip").mkdir(parents=True)
    after.mkdir()
    masks = columns((0, 10), (20, 30))
    formats.write(before / "one.json", masks)
    formats.write(before / "trip" / "two-labels.png", masks)
    (before / "anymask-run.json").write_text("{}")
    (before / "one-overlay.png").write_bytes(b"no label map")
    pair = [Masks(masks.size_hw, masks.counts, source=name) for name in ("one.jpg", "trip/two.jpg")]
    formats.coco.write(after / "annotations.json", pair)
    compared = compare_folders(before, after)
    assert [(one.image, one.ious) for one in compared] == [
        ("one", (1.0, 1.0)),
        ("trip/two", (1.0, 1.0)),
    ]


def test_bad_folders_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a folder of masks, got"):
        read_folder(tmp_path / "missing")
    with pytest.raises(InputError, match=r"got none; point to a folder of masks"):
        read_folder(tmp_path)
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir(), other.mkdir()
    formats.write(one / "a.json", columns((0, 3)))
    formats.write(other / "b.json", columns((0, 3)))
    with pytest.raises(InputError, match="both have masks of, got none, but such as 'a' and 'b'"):
        compare_folders(one, other)
    formats.write(other / "a.json", Masks.empty((5, 5)))
    with pytest.raises(InputError, match=r"one size for 'a', got \(10, 40\) automatic"):
        compare_folders(one, other)
    formats.write(one / "a.png", columns((0, 3)))
    with pytest.raises(InputError, match=r"once in .* got them twice"):
        read_folder(one)
    (other / "a.json").write_text("{")
    with pytest.raises(InputError, match=r"a\.json"):
        read_folder(other)


def test_files_of_grounded_sam_are_one_answer(tmp_path: Path) -> None:
    formats.write(tmp_path / "a-labels.png", columns((0, 3), (5, 9)), format="grounded-sam")
    assert (tmp_path / "a-labels.json").is_file()
    assert read_folder(tmp_path)["a"].areas.tolist() == [30, 40]
