"""Frames one by one: what is followed, lost, found again, corrected, and kept apart."""

from __future__ import annotations

import io
import sys
from typing import Any

import numpy as np
import pytest
from tests.predict.track.toy import GREEN, RED, SIZE_HW, ColourModel, ground, iou, moving, square

from anymask.errors import CapabilityError, InputError
from anymask.image.image import Image
from anymask.predict.track.follow import Answer, Motion, _completed
from anymask.predict.track.frame import Frame
from anymask.predict.track.track import Track
from anymask.prompt import Prompt

HERE = {"cup": Prompt(box=(4, 10, 16, 22))}
PATH = [(4 + 3 * i, 10 + i) for i in range(12)]


def follow_all(model: Any, frames: Any, prompts: Any = HERE, track: Track | None = None) -> Any:
    track, results = Track() if track is None else track, []
    for i, frame in enumerate(frames):
        track, masks = model.follow(track, frame, prompts if i == 0 else {})
        results.append(masks)
    return track, results


def test_a_thing_is_followed() -> None:
    frames, truth = moving(PATH)
    track, results = follow_all(ColourModel(), frames)
    assert [r.meta[0]["status"] for r in results] == ["prompted"] + ["tracked"] * 11
    assert all(iou(r.dense()[0], t) > 0.9 for r, t in zip(results, truth, strict=True))
    assert all(r.labels == ("cup",) and r.ids == (1,) and 0 < r.scores[0] <= 1 for r in results)
    assert track.frame == 11 and track.size_hw == SIZE_HW


def test_what_is_gone_is_lost_and_found_again() -> None:
    places = [*PATH[:4], None, None, None, (44, 30), (41, 29)]
    frames, truth = moving(places)
    _, results = follow_all(ColourModel(), frames)
    statuses = [r.meta[0]["status"] for r in results]
    assert statuses[4:7] == ["lost"] * 3 and statuses[7] == "found" and statuses[8] == "tracked"
    assert [int(r.areas[0]) for r in results[4:7]] == [0, 0, 0]
    assert [float(r.scores[0]) for r in results[4:7]] == [0.0, 0.0, 0.0]
    assert iou(results[7].dense()[0], truth[7]) > 0.9


def test_what_looks_otherwise_is_not_taken_for_it() -> None:
    frames, _ = moving(PATH[:3])
    other = ground()
    square(other, 13, 13, GREEN)  # where it would be by now
    _, results = follow_all(ColourModel(), [*frames, other, other])
    assert [r.meta[0]["status"] for r in results[3:]] == ["lost", "lost"]


def test_twins_that_cross_stay_apart() -> None:
    model, frames, truth = ColourModel(), [], []
    for i in range(14):
        frame = ground()
        one = square(frame, 2 + 3 * i, 8, RED)
        other = square(frame, 46 - 3 * i, 21, RED)
        frames.append(frame)
        truth.append((one, other))
    said = {"a": Prompt(box=(2, 8, 14, 20)), "b": Prompt(box=(46, 21, 58, 33))}
    _, results = follow_all(model, frames, said)
    for masks, wanted in zip(results, truth, strict=True):
        found = masks.dense()
        assert not (found[0] & found[1]).any()
        assert all(iou(f, w) > 0.8 for f, w in zip(found, wanted, strict=True))


def test_the_one_in_front_keeps_its_pixels() -> None:
    model, frames = ColourModel(), []
    for i in range(12):
        frame = ground()
        square(frame, 26, 16, GREEN, 14)
        square(frame, 2 + 4 * i, 17, RED)  # passes in front
        frames.append(frame)
    said = {"red": Prompt(box=(2, 17, 14, 29)), "green": Prompt(box=(26, 16, 40, 30))}
    _, results = follow_all(model, frames, said)
    assert [r.meta[0]["status"] for r in results[1:]] == ["tracked"] * 11
    assert all(r.areas[0] > 0.8 * 144 for r in results)
    assert results[-1].areas[1] > 0.8 * 196


def test_a_thing_is_added_and_another_dropped() -> None:
    frames, _ = moving(PATH[:4])
    model = ColourModel()
    for frame in frames:
        square(frame, 44, 4, GREEN)
    track, _ = follow_all(model, frames[:2])
    track, masks = model.follow(track, frames[2], {"leaf": Prompt([(50, 10)])})
    assert masks.labels == ("cup", "leaf") and masks.ids == (1, 2)
    assert masks.areas[1] == 144
    track, masks = model.follow(track.without("cup"), frames[3])
    assert masks.labels == ("leaf",) and masks.ids == (2,)


def test_an_empty_mask_says_that_a_thing_is_not_here() -> None:
    frames, _ = moving(PATH[:3])
    model = ColourModel()
    track, _ = follow_all(model, frames[:2])
    track, masks = model.follow(track, frames[2], {"cup": Prompt(mask=np.zeros(SIZE_HW, bool))})
    assert masks.meta[0]["status"] == "lost" and masks.areas[0] == 0


def test_a_mask_is_taken_as_it_is() -> None:
    frames, truth = moving(PATH[:1])
    rough = truth[0].copy()
    rough[10:14] = False
    _, masks = ColourModel().follow(Track(), frames[0], {"cup": Prompt(mask=rough)})
    assert np.array_equal(masks.dense()[0], rough)


def test_a_step_leaves_the_track_as_it_is_and_a_saved_one_goes_on_alike() -> None:
    frames, _ = moving(PATH)
    model = ColourModel()
    half, _ = follow_all(model, frames[:6])
    file = io.BytesIO()
    half.save(file)
    again = Track.load(file.getvalue())
    assert repr(again) == repr(half) == "Track(frame 5: cup)"
    _, once = follow_all(model, frames[6:], {}, half)
    _, twice = follow_all(model, frames[6:], {}, half)
    _, loaded = follow_all(model, frames[6:], {}, again)
    assert once == twice == loaded
    assert once[-1].meta[0]["status"] == "tracked"


def test_a_track_does_not_grow() -> None:
    frames, _ = moving([(4 + i % 20, 10 + i % 7) for i in range(60)])
    model, sizes = ColourModel(), []
    track = Track()
    for i, frame in enumerate(frames):
        track, _ = model.follow(track, frame, HERE if i == 0 else {})
        file = io.BytesIO()
        track.save(file)
        sizes.append(len(file.getvalue()))
    assert max(sizes) < 1.1 * sizes[0]


@pytest.mark.parametrize(
    ("prompts", "words"),
    [
        ({"cup": Prompt([(90, 10)])}, "points inside the 64 x 48 image"),
        ({"cup": Prompt([(3, 3)], labels=[0])}, "background points alone"),
        ({"": Prompt([(3, 3)])}, "expected a name"),
        ({"cup": [3, 3]}, "expected a Prompt for 'cup'"),
        ({"cup": Prompt(text="cup")}, "got text"),
        ({"cup": Prompt(mask=np.zeros(SIZE_HW, bool))}, "got an empty mask"),
        ({"cup": Prompt(mask=np.ones((3, 3), bool))}, "expected a mask of"),
    ],
)
def test_prompts_that_do_not_fit(prompts: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        ColourModel().follow(Track(), ground(), prompts)


def test_frames_and_models_that_do_not_fit() -> None:
    model = ColourModel()
    track, _ = model.follow(Track(), moving(PATH[:1])[0][0], HERE)
    with pytest.raises(InputError, match="a frame of 64 x 48 pixels like those before"):
        model.follow(track, np.zeros((20, 30, 3), np.uint8))
    with pytest.raises(InputError, match="got one of another model"):
        ColourModel(name="other").follow(track, ground())
    with pytest.raises(CapabilityError, match="takes boxes"):
        ColourModel(capabilities={"points"}).follow(Track(), ground(), HERE)
    with pytest.raises(InputError, match="expected one of cup to drop"):
        track.without("spoon")


def test_files_that_are_no_track(tmp_path: Any) -> None:
    (tmp_path / "no.safetensors").write_bytes(b"12345678 not one")
    for source in (tmp_path / "no.safetensors", tmp_path / "missing", b""):
        with pytest.raises(InputError, match="expected a track saved by anymask"):
            Track.load(source)


@pytest.mark.parametrize("capabilities", [{"box"}, {"box", "mask"}, {"box", "points"}])
def test_models_that_know_less(capabilities: set[str]) -> None:
    """The toy refuses what it does not know, so nothing else is asked, not in a search either."""
    frames, truth = moving([*PATH[:4], None, (4 + 3 * 5, 10 + 5), PATH[6]])
    model = ColourModel(capabilities=capabilities)
    _, results = follow_all(model, frames)
    assert [r.meta[0]["status"] for r in results[3:]] == ["tracked", "lost", "found", "tracked"]
    assert all(iou(results[i].dense()[0], truth[i]) > 0.8 for i in (3, 5, 6))
    if "points" not in capabilities:
        with pytest.raises(CapabilityError, match="does not know points"):
            model.follow(Track(), frames[0], {"cup": Prompt([(8, 14)])})


def test_a_track_is_saved_and_read_without_the_library_of_its_format(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("safetensors", "safetensors.numpy"):
        monkeypatch.setitem(sys.modules, name, None)
    track, _ = ColourModel().follow(Track(), moving(PATH[:1])[0][0], HERE)
    file = io.BytesIO()
    track.save(file)
    assert Track.load(file.getvalue()).names == ("cup",)


def test_a_thing_that_was_expected_in_the_padding_has_no_cells_to_complete() -> None:
    frame = Frame.of(ColourModel(), Image.open(ground()))  # type: ignore[arg-type]
    frame.cells.shown[:] = 0  # as of cells that are all padding
    before = np.full(SIZE_HW, 6, np.float32)
    still = Motion(np.zeros(2, np.float32), 0.0)
    answer = Answer(before, 0.9, 0.5, still, np.ones(frame.cells.grid_hw, np.float32))
    alike = np.ones(frame.cells.grid_hw, np.float32)
    taken = np.zeros(SIZE_HW, np.bool_)
    assert _completed(frame, answer, before, alike, taken, []) is answer
