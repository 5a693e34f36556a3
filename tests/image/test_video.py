"""Clips: files and folders, in order, backwards and at random; and what is no clip."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from anymask.errors import InputError, MissingExtraError
from anymask.image.video import VideoFile, open_clip

av: Any = pytest.importorskip("av", reason="PyAV is not installed")

SIZE_HW = (64, 96)


def grey(index: int) -> Any:
    frame = np.full((*SIZE_HW, 3), 3 * index % 200, np.uint8)
    frame[:16, :32] = 255
    return frame


def make(
    path: Path,
    count: int = 30,
    times: Callable[[int], int] = lambda i: 40 * i,
    turn: int = 0,
    **options: Any,
) -> Path:
    """Write frames that get lighter, with a white corner; times in milliseconds."""
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = SIZE_HW[1], SIZE_HW[0], "yuv420p"
        stream.options = {"g": "10", "bf": "2"}
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        if turn:
            stream.set_display_rotation(turn)
        for i in range(count):
            frame = av.VideoFrame.from_ndarray(grey(i), format="rgb24")
            frame.pts, frame.time_base = times(i), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def lightness(frame: Any) -> int:
    return int(frame.image.pixels[-8, -8, 0])


def test_frames_come_in_order_with_their_times(tmp_path: Path) -> None:
    clip = open_clip(make(tmp_path / "clip.mp4"))
    frames = list(clip.frames())
    assert (len(clip), clip.size_hw, clip.name, clip.cut_off) == (30, SIZE_HW, "clip", None)
    assert [frame.index for frame in frames] == list(range(30))
    assert all(abs(lightness(frame) - 3 * frame.index) < 5 for frame in frames)
    assert [frame.seconds for frame in frames] == pytest.approx([0.04 * i for i in range(30)])
    assert frames[7].name == "00007"


@pytest.mark.parametrize("suffix", ["avi", "h264"])
def test_files_without_usable_times_are_numbered_as_they_are_decoded(
    tmp_path: Path, suffix: str
) -> None:
    if "libx264" not in av.codecs_available:
        pytest.skip("this PyAV has no libx264")
    path = tmp_path / f"clip.{suffix}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = SIZE_HW[1], SIZE_HW[0], "yuv420p"
        stream.options = {"g": "10", "bf": "2"}
        for i in range(60):
            frame = av.VideoFrame.from_ndarray(grey(i), format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    clip = open_clip(path)
    frames = list(clip.frames())
    assert (len(clip), clip.cut_off) == (60, None)
    assert [frame.index for frame in frames] == list(range(60))
    assert all(abs(lightness(frame) - 3 * frame.index) < 5 for frame in frames)
    assert [frame.seconds for frame in frames] == pytest.approx([0.04 * i for i in range(60)])
    part = list(clip.frames(25, 28))
    assert [frame.index for frame in part] == [25, 26, 27]
    assert np.array_equal(part[0].image.pixels, frames[25].image.pixels)
    assert [frame.index for frame in clip.backwards(40, 10)] == list(range(40, 10, -1))


def test_any_part_and_any_way_give_the_same_frames(tmp_path: Path) -> None:
    clip = open_clip(make(tmp_path / "clip.mp4", 60))
    whole = [frame.image.pixels for frame in clip.frames()]
    for start, stop in ((0, 3), (9, 12), (25, 60), (59, 60), (5, 5)):
        part = list(clip.frames(start, stop))
        assert [frame.index for frame in part] == list(range(start, stop))
        assert all(np.array_equal(f.image.pixels, whole[f.index]) for f in part)
    back = list(clip.backwards(58, 1))
    assert [frame.index for frame in back] == list(range(58, 1, -1))
    assert all(np.array_equal(f.image.pixels, whole[f.index]) for f in back)


def test_a_rate_that_varies(tmp_path: Path) -> None:
    times = [0, 40, 150, 160, 400, 440]
    clip = open_clip(make(tmp_path / "clip.mkv", 6, lambda i: times[i]))
    assert [clip.seconds(i) for i in range(6)] == pytest.approx([t / 1000 for t in times])
    shown = [(frame.index, lightness(frame)) for frame in clip.frames(3)]
    assert shown == [(i, pytest.approx(3 * i, abs=2)) for i in (3, 4, 5)]


@pytest.mark.parametrize(("turn", "corner"), [(90, (-8, 8)), (-90, (8, -8)), (180, (-8, -8))])
def test_a_camera_that_was_turned(tmp_path: Path, turn: int, corner: tuple[int, int]) -> None:
    clip = open_clip(make(tmp_path / "phone.mp4", 5, turn=turn))
    frame = next(iter(clip.frames()))
    assert clip.size_hw == frame.image.size_hw == (SIZE_HW if turn == 180 else SIZE_HW[::-1])
    assert frame.image.pixels[corner].min() > 240
    assert frame.image.pixels[8, 8].max() < 30


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_file_that_is_cut_off_says_so_and_gives_what_is_there(
    tmp_path: Path, suffix: str
) -> None:
    options = {"movflags": "faststart"} if suffix == ".mp4" else {}
    whole = make(tmp_path / f"whole{suffix}", 200, **options)
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    clip = open_clip(cut)
    frames = list(clip.frames())
    assert 20 < len(frames) == len(clip) < 180
    assert clip.cut_off is not None and "is cut off or damaged after frame" in clip.cut_off
    assert f"{len(frames)}" in clip.cut_off
    assert [f.index for f in clip.backwards(len(clip) - 1)] == list(range(len(clip) - 1, -1, -1))
    assert open_clip(whole).cut_off is None


def test_files_that_are_no_video(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video", encoding="utf-8")
    whole = make(tmp_path / "whole.mp4")
    (tmp_path / "head.mp4").write_bytes(whole.read_bytes()[:300])
    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(
            np.zeros((1, 800), np.int16), format="s16", layout="mono"
        )
        sound.rate = 8000
        container.mux(stream.encode(sound))
    for name in ("text.mp4", "head.mp4", "sound.wav"):
        with pytest.raises(InputError, match="expected a video in"):
            open_clip(tmp_path / name)
    with pytest.raises(InputError, match="does not exist"):
        open_clip(tmp_path / "missing.mp4")


def test_without_pyav(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(tmp_path / "clip.mp4")
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'anymask\[video\]'"):
        VideoFile(path)


# ------------------------------------------------------------------------- folders


def save(path: Path, size: tuple[int, int] = (8, 6), value: int = 0, **options: Any) -> None:
    PIL.Image.fromarray(np.full((size[1], size[0], 3), value, np.uint8)).save(path, **options)


def test_a_folder_is_sorted_by_the_numbers_in_its_names(tmp_path: Path) -> None:
    for i in (1, 2, 10):
        save(tmp_path / f"f{i}.png", value=i)
    (tmp_path / "notes.txt").write_text("no frame", encoding="utf-8")
    clip = open_clip(tmp_path)
    assert [int(f.image.pixels[0, 0, 0]) for f in clip.frames()] == [1, 2, 10]
    assert [f.name for f in clip.backwards(2)] == ["f10", "f2", "f1"]
    assert (len(clip), clip.size_hw, clip.seconds(1)) == (3, (6, 8), None)


def test_a_folder_that_is_no_clip(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no image in"):
        open_clip(tmp_path)
    save(tmp_path / "a.png")
    save(tmp_path / "b.png", (9, 6))
    with pytest.raises(InputError, match=r"8 x 6 like a\.png, got .*b\.png' of 9 x 6"):
        open_clip(tmp_path)
    save(tmp_path / "b.png")
    save(tmp_path / "b.jpg")
    with pytest.raises(InputError, match="got 3 files with 2 names"):
        open_clip(tmp_path)


def test_frames_that_a_camera_noted_as_turned_have_their_size_as_shown(tmp_path: Path) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    save(tmp_path / "a.jpg", (6, 8))
    save(tmp_path / "b.jpg", (8, 6), exif=exif)
    assert open_clip(tmp_path).size_hw == (8, 6)


def test_lists_and_what_is_neither() -> None:
    clip = open_clip([grey(i) for i in range(4)])
    assert [f.index for f in clip.frames(1, 3)] == [1, 2] and open_clip(clip) is clip
    for source, words in (([], "an empty list"), (3, "got int"), (iter([grey(0)]), "one by one")):
        with pytest.raises(InputError, match=words):
            open_clip(source)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="got frame 1 of"):
        list(open_clip([grey(0), grey(1)[:40]]).frames())
