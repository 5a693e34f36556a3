"""A clip with its masks, as a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from anymask.draw.video import write_overlay
from anymask.image.image import Image
from anymask.image.video import VideoFrame, open_clip
from anymask.masks.masks import Masks

pytest.importorskip("av", reason="PyAV is not installed")


@pytest.mark.parametrize("size_hw", [(48, 64), (47, 63)])
def test_each_frame_is_shown_as_long_as_in_the_clip(
    tmp_path: Path, size_hw: tuple[int, int]
) -> None:
    times = [0.0, 0.04, 0.15, 0.5]
    frames = []
    for i, seconds in enumerate(times):
        image = Image.open(np.full((*size_hw, 3), 60 * i, np.uint8))
        dense = np.zeros((1, *size_hw), bool)
        dense[0, 10:30, 10 + 5 * i : 30 + 5 * i] = True
        masks = Masks.from_dense(dense, labels=["cup"], ids=[1])
        frames.append((VideoFrame(i, image, seconds, str(i)), masks))
    path = tmp_path / "overlay.mp4"
    write_overlay(path, iter(frames), size_hw)
    clip = open_clip(path)
    assert clip.size_hw == (48, 64) and len(clip) == 4
    assert [clip.seconds(i) for i in range(4)] == pytest.approx(times, abs=1e-3)
    shown = [frame.image.pixels.astype(int) for frame in clip.frames()]
    assert all(abs(int(p[-10, 5, 0]) - 60 * i) < 8 for i, p in enumerate(shown))
    assert np.ptp(shown[0][20, 20]) > 30  # in colour where the mask is
