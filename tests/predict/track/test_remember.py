"""Clips followed by a memory, with a small network that says that things are there."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.models.adapted import lively
from tests.models.tiny import tiny

from anymask.errors import InputError
from anymask.image.image import Image
from anymask.image.transform import Transform
from anymask.models.build import build
from anymask.models.variants import find
from anymask.predict.segmenter import Segmenter
from anymask.predict.track import remember
from anymask.predict.track.look_at import look_at
from anymask.predict.track.remember import Answer, MemoryFrame, _as_bfloat16, _as_float32
from anymask.predict.track.track import Moment, Remembered, Track
from anymask.prompt import Prompt

H, W = 48, 64
CLICK, OTHER = Prompt([(20, 20)]), Prompt(box=(30, 10, 50, 40))

pytestmark = pytest.mark.usefixtures("one_thread")


def head(model: Segmenter) -> torch.Tensor:
    """What decides whether things are there."""
    bias: torch.Tensor = model.network.mask_decoder.pred_obj_score_head.layers[2].bias
    return bias


@pytest.fixture
def model() -> Segmenter:
    network = lively("sam2.1-tiny")
    with torch.no_grad():
        network.mask_decoder.pred_obj_score_head.layers[2].bias.fill_(20)
    return Segmenter(tiny(find("sam2.1-tiny")), network, "tiny")


def clip(length: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    whole = rng.integers(0, 256, (H, W, 3), dtype=np.uint8)
    return [np.roll(whole, 2 * i, axis=1) for i in range(length)]


def stream(model: Segmenter, frames: list[np.ndarray], said: dict[int, Any], **how: Any) -> Any:
    track, masks = Track(), {}
    for index, frame in enumerate(frames):
        track, masks[index] = model.follow(track, frame, said.get(index), **how)
    return track, masks


def same(one: Any, other: Any) -> bool:
    return bool((one.dense() == other.dense()).all()) and one.meta == other.meta


# ---- the same in all ways -------------------------------------------------------------------


def test_a_stream_gives_what_a_long_clip_gives(model: Segmenter) -> None:
    frames, said = clip(17), {0: {"cup": CLICK}, 2: {"leaf": OTHER}}
    _, streamed = stream(model, frames, said)
    found = {frame.index: frame.masks for frame in model.track(frames, said)}
    assert all(same(found[i], streamed[i]) for i in range(2, 17))
    assert [len(streamed[i]) for i in (0, 1, 2)] == [1, 1, 2]
    assert [one["status"] for one in streamed[2].meta] == ["tracked", "prompted"]
    assert streamed[9].areas.any()


def test_a_short_clip_has_a_shorter_unit_of_time(model: Segmenter) -> None:
    frame = MemoryFrame.of(model, Image.open(clip(1)[0]))
    assert [frame._span(Track(length=n)) for n in (None, 40, 16, 8, 2, 1)] == [15, 15, 15, 7, 1, 1]


def test_it_goes_both_ways_from_a_prompt_in_the_middle(model: Segmenter) -> None:
    order = [
        (f.index, f.masks.meta[0]["anchor"]) for f in model.track(clip(5), {2: {"cup": CLICK}})
    ]
    assert order == [(i, 2) for i in (2, 3, 4, 2, 1, 0)]


def test_things_do_not_change_one_another(model: Segmenter) -> None:
    frames = clip(5)
    alone, _ = stream(model, frames, {0: {"cup": CLICK}})
    beside, _ = stream(model, frames, {0: {"cup": CLICK}, 2: {"leaf": OTHER}})
    assert beside.names == ("cup", "leaf")
    for a, b in zip(alone.remembered[0].recent, beside.remembered[0].recent, strict=True):
        assert (a.pointer == b.pointer).all() and (a.map == b.map).all()


def test_a_track_is_saved_and_gone_on_from(model: Segmenter, tmp_path: Path) -> None:
    frames = clip(10)
    track, _ = stream(model, frames[:9], {0: {"cup": CLICK}, 1: {"leaf": OTHER}})
    track.save(tmp_path / "track.safetensors")
    loaded = Track.load(tmp_path / "track.safetensors")
    assert loaded.names == track.names and loaded.frame == 8
    _, one = model.follow(track, frames[9])
    _, other = model.follow(loaded, frames[9])
    assert same(one, other)
    assert loaded.without("cup").names == ("leaf",)


# ---- what is kept ---------------------------------------------------------------------------


def test_memory_is_bounded_and_what_was_forgotten_would_not_have_been_read(
    model: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames, said = clip(24), {0: {"cup": CLICK}}
    track, masks = stream(model, frames, said)
    (one,) = track.remembered
    assert [m.frame for m in one.prompted] == [0]
    assert [m.frame for m in one.recent] == list(range(9, 24))
    assert [m.frame for m in one.recent if m.map is not None] == list(range(18, 24))

    def keep_all(self: MemoryFrame, one: Remembered, answer: Any, index: int, span: int) -> Any:
        moment = self.moment(answer, index)
        if answer.certain:
            return replace(one, anchor=index, prompted=(*one.prompted, moment))
        return replace(one, recent=(*one.recent, moment))

    monkeypatch.setattr(MemoryFrame, "_gone_on", keep_all)
    whole, wanted = stream(model, frames, said)
    assert len(whole.remembered[0].recent) == 23
    assert all(same(masks[i], wanted[i]) for i in range(24))


def size(track: Track) -> int:
    """Bytes of all that is remembered."""
    moments = [m for one in track.remembered for m in (*one.prompted, *one.recent)]
    return sum(m.pointer.nbytes + (0 if m.map is None else m.map.nbytes) for m in moments)


@pytest.mark.parametrize("length", [96, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_long_stream_remembers_no_more_than_a_short_one(model: Segmenter, length: int) -> None:
    """Two things, one of them corrected in every third frame."""
    frames, track, sizes = clip(32), Track(), []
    for index in range(length):
        said = {"cup": CLICK} if index % 3 == 0 else {"leaf": OTHER} if index == 1 else {}
        track, masks = model.follow(track, frames[index % 32], said)
        sizes.append(size(track))
    assert len(masks) == 2 and track.frame == length - 1
    # Of each at most sixteen frames with prompts, fifteen pointers and six maps.
    assert max(sizes) == max(sizes[:64]) and len(set(sizes[64::3])) == 1
    file = io.BytesIO()
    track.save(file)
    assert len(file.getvalue()) < 2 * max(sizes)


def test_of_many_prompts_the_first_and_the_latest_are_kept(model: Segmenter) -> None:
    track, _ = stream(model, clip(20), {i: {"cup": CLICK} for i in range(20)})
    (one,) = track.remembered
    assert [m.frame for m in one.prompted] == [0, *range(5, 20)]
    assert one.anchor == 19 and not one.recent


def test_a_map_is_stored_as_the_original_stores_it() -> None:
    values = torch.randn(2000) * 100
    stored = _as_bfloat16(values.numpy())
    assert stored.dtype == np.uint16
    assert (torch.from_numpy(_as_float32(stored)) == values.bfloat16().float()).all()
    assert _as_float32(values.numpy()) is not None


@pytest.mark.parametrize("what", ["map", "pointer", "prompted"])
def test_all_that_is_remembered_is_read(model: Segmenter, what: str) -> None:
    frames = clip(4)
    track, _ = stream(model, frames[:3], {0: {"cup": CLICK}})
    frame = look_at(model, Image.open(frames[3]))
    (one,) = track.remembered
    noise = np.random.default_rng(1).normal(0, 3, one.recent[0].pointer.shape).astype(np.float32)

    def changed(moment: Moment) -> Moment:
        if what == "pointer":
            return replace(moment, pointer=noise)
        return replace(moment, map=_as_float32(moment.map)[::-1].copy())

    if what == "prompted":
        other = replace(one, prompted=tuple(map(changed, one.prompted)))
    else:
        other = replace(one, recent=tuple(map(changed, one.recent)))
    with torch.inference_mode():
        before, after = (frame.answer(o, None, 3, 15, False).logits for o in (one, other))
    assert (before - after).abs().max() > 1e-5


def test_before_2_1_pointers_have_no_time_and_hiding_no_vector() -> None:
    torch.manual_seed(0)
    variant = tiny(find("sam2-tiny"))
    network = build(variant).eval()
    image = torch.randn(1, 32, 4, 4)
    maps, pointer = [(torch.randn(1, 16, 4, 4), 1)], torch.randn(1, 32)
    with torch.inference_mode():
        soon, late = (network.recall(image, maps, [(pointer, ago)], 15) for ago in (1, 9))
        assert (soon == late).all()
        mask = torch.full((1, 1, 64, 64), -10.0)
        assert (network.remember(image, mask, True) == network.remember(image, mask, False)).all()
        newer = lively("sam2.1-tiny")
        soon, late = (newer.recall(image, maps, [(pointer, ago)], 15) for ago in (1, 9))
        assert (soon != late).any()
        assert (newer.remember(image, mask, True) != newer.remember(image, mask, False)).any()


# ---- what people say ------------------------------------------------------------------------


def test_a_correction_is_kept_unless_it_should_be_forgotten(model: Segmenter) -> None:
    frames, said = clip(6), {0: {"cup": CLICK}, 3: {"cup": Prompt([(50, 30), (20, 20)], [1, 0])}}
    _, plain = stream(model, frames, {0: {"cup": CLICK}})
    kept, masks = stream(model, frames, said)
    forgot, others = stream(model, frames, said, forget_corrections=True)
    assert [m.frame for m in kept.remembered[0].prompted] == [0, 3]
    assert masks[3].meta[0] | {"predicted_iou": 0} == {
        "status": "prompted", "predicted_iou": 0, "anchor": 3,
    }  # fmt: skip
    assert (masks[3].dense() != plain[3].dense()).any()
    assert [m.frame for m in forgot.remembered[0].prompted] == [0]
    assert all(same(others[i], plain[i]) for i in range(6))
    tracked = {f.index: f.masks for f in model.track(frames, said, forget_corrections=True)}
    assert tracked[3].meta[0]["status"] == "tracked"


def test_a_correction_builds_on_what_was_there(
    model: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    ask = MemoryFrame._prompted

    def watch(self: MemoryFrame, image: Any, prompt: Prompt, before: Any) -> Any:
        seen.append(before)
        return ask(self, image, prompt, before)

    monkeypatch.setattr(MemoryFrame, "_prompted", watch)
    stream(model, clip(3), {0: {"cup": CLICK}, 1: {"cup": CLICK}, 2: {"cup": OTHER}})
    assert seen[0] is None and seen[2] is None  # a box says it anew
    assert seen[1] is not None and float(seen[1].abs().max()) <= 32


def test_a_mask_is_taken_as_it_is_and_seeds_again(model: Segmenter) -> None:
    mask = np.zeros((H, W), bool)
    mask[8:40, 16:48] = True
    track, masks = stream(model, clip(4), {0: {"cup": CLICK}, 2: {"cup": Prompt(mask=mask)}})
    found = masks[2].dense()[0]
    assert (found != mask).mean() < 0.1 and masks[2].scores[0] > 0.99
    assert [m.frame for m in track.remembered[0].prompted] == [0, 2]


def test_what_hides_is_lost_and_found_again(model: Segmenter) -> None:
    frames, track = clip(5), Track()
    said: list[Any] = []
    for index, frame in enumerate(frames):
        with torch.no_grad():
            head(model).fill_(-20 if index in (2, 3) else 20)
        track, masks = model.follow(track, frame, {"cup": CLICK} if index == 0 else None)
        said.append((masks.meta[0]["status"], bool(masks.areas[0]), track.remembered[0].missing))
    assert [status for status, _, _ in said] == ["prompted", "tracked", "lost", "lost", "found"]
    assert [missing for _, _, missing in said] == [0, 0, 1, 2, 0]
    assert not said[2][1] and not said[3][1]
    assert masks.scores[0] > 0


def test_what_never_appears_is_said(model: Segmenter) -> None:
    with torch.no_grad():
        head(model).fill_(-20)
    with pytest.raises(InputError, match="expected 'cup' in frame 0 where its prompt is, got an"):
        model.follow(Track(), clip(1)[0], {"cup": CLICK})


def test_a_hundred_things(model: Segmenter) -> None:
    said = {f"thing {i}": Prompt([(i % 10 * 6 + 2, i // 10 * 4 + 2)]) for i in range(100)}
    track, masks = stream(model, clip(2), {0: said})
    assert len(track.names) == len(masks[1]) == 100
    assert masks[1].dense().sum(axis=0).max() <= 1  # each pixel belongs to one of them


def test_each_pixel_is_of_the_surest_and_masks_are_enlarged_one_by_one(
    model: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All at once, a hundred things in a frame of 4K would be three gigabytes."""
    frame = MemoryFrame.of(model, Image.open(clip(1)[0]))
    rng = torch.Generator().manual_seed(0)
    logits = 5 * torch.randn(4, 1, 1, 16, 16, generator=rng)
    logits[2] = -1024  # is nowhere
    answers = [Answer(some, 0.5, 1.0, torch.zeros(1, 32), certain=False) for some in logits]
    things = tuple(Remembered(f"thing {i}", 5 + i, 0, ()) for i in range(4))
    track = Track(frame=0, size_hw=(H, W), remembered=things)
    large = frame.transform.masks_to_image(logits[:, 0, 0]).numpy()
    surest = (large > 0) & (large.argmax(axis=0) == np.arange(4)[:, None, None])
    assert surest[[0, 1, 3]].any(axis=(1, 2)).all() and not surest[2].any()
    taken = np.zeros((H, W), np.bool_)
    taken[:, : W // 2] = True
    enlarge, shapes = Transform.masks_to_image, []

    def noted(self: Transform, one: torch.Tensor) -> torch.Tensor:
        shapes.append(tuple(one.shape))
        return enlarge(self, one)

    monkeypatch.setattr(Transform, "masks_to_image", noted)
    masks = frame._masks(track, answers, ["tracked"] * 4, None)
    assert (masks.dense() == surest).all() and shapes == [(16, 16)] * 4
    assert masks.ids == (5, 6, 7, 8)
    kept = frame._masks(track, answers, ["tracked", "prompted", "lost", "tracked"], taken).dense()
    assert (kept[1] == surest[1]).all()
    assert (kept[[0, 3]] == (surest & ~taken)[[0, 3]]).all()


def test_a_frame_of_another_size_is_refused(model: Segmenter) -> None:
    track, _ = stream(model, clip(2), {0: {"cup": CLICK}})
    with pytest.raises(InputError, match="a frame of 64 x 48 pixels like"):
        model.follow(track, clip(1)[0][:40])


def test_a_frame_that_does_not_exist_is_refused(model: Segmenter) -> None:
    with pytest.raises(InputError, match="prompts for frames 0 to 4, got one for frame 9"):
        model.track(clip(5), {0: {"cup": CLICK}, 9: {"cup": CLICK}})


def test_without_a_memory_nothing_is_forgotten_by_request() -> None:
    torch.manual_seed(0)
    variant = tiny(find("sam-vit-b"))
    light = Segmenter(variant, build(variant).eval(), "tiny")
    with pytest.raises(InputError, match="expected a model with a memory to forget corrections"):
        light.track(clip(2), {0: {"cup": CLICK}}, forget_corrections=True)
    memoryless = tiny(find("sam2.1-tiny"))
    network = replace(memoryless.network, memory=None)
    variant = replace(memoryless, network=network)
    images_only = Segmenter(variant, build(variant).eval(), "tiny")
    assert not isinstance(look_at(images_only, Image.open(clip(1)[0])), MemoryFrame)
    assert remember._PROMPTED == 16
