"""SAM 2.1's memory against a clip that the reference implementation went through.

The numbers are in the shared folder, and the network has its real size, so all of this is slow.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.parity.golden import Golden, close, segmenter

from anymask.image.image import Image
from anymask.models.variants import find
from anymask.predict.segmenter import Segmenter
from anymask.predict.track.remember import Answer, MemoryFrame
from anymask.predict.track.track import Remembered
from anymask.prompt import Prompt

NAME, FRAMES = "sam2.1_hiera_tiny", 8
SPAN = FRAMES - 1  # the clip is shorter than sixteen frames
# Of logits, scores and pointers. The reference rounds what it stores to bfloat16.
CLOSE = {"float32": (2e-3, 2e-4, 2e-4), "bfloat16": (0.06, 1e-3, 2e-3)}
PIXELS = {"float32": 3, "bfloat16": 10}
FILES = {"float32": "video_float32_memory", "bfloat16": "video"}

pytestmark = pytest.mark.slow


@functools.lru_cache(maxsize=1)
def load(layout: Path) -> Segmenter:
    return segmenter(find("sam2.1-tiny"), layout)


class Clip:
    """The recorded clip, and one thing that is followed through it."""

    def __init__(self, parity: Path, stored: str, golden: Golden | None = None) -> None:
        self.stored = stored
        self.golden = golden or Golden(parity / f"cases/{NAME}/{FILES[stored]}.npz")
        self.model = load(parity / f"keys/{NAME}.json")
        self.frames = frames_of(parity)
        self.one: Remembered | None = None

    def go(self, index: int, prompt: Prompt | None = None, *, back: bool = False) -> Answer:
        """Go on to a frame, and keep what was remembered."""
        frame = replace(self.frames[index], stored=self.stored)
        with torch.inference_mode():
            answer = frame.answer(self.one, prompt, index, SPAN, back)
            one = self.one or Remembered("thing", 1, index, ())
            self.one = frame._gone_on(one, answer, index, SPAN)
        return answer

    def compare(self, answer: Answer, name: str) -> None:
        """Compare with what was recorded under a name."""
        logits, score, pointer = CLOSE[self.stored]
        low = answer.logits[0, 0].numpy()
        wanted = self.golden[f"{name}__low_res_sub"]
        np.testing.assert_allclose(low[::5, ::5], wanted, rtol=1e-3, atol=logits)
        found = self.golden[f"{name}__object_score"][0]
        np.testing.assert_allclose(answer.object_score, found, rtol=1e-3, atol=score)
        wanted = self.golden[f"{name}__pointer"]
        np.testing.assert_allclose(answer.pointer[0], wanted, rtol=1e-3, atol=pointer)
        assert answer.certain == bool(self.golden[f"{name}__conditioning"][0])
        if f"{name}__area" in self.golden:
            area = int((low > 0).sum())
            assert abs(area - int(self.golden[f"{name}__area"][0])) <= PIXELS[self.stored]


@functools.lru_cache(maxsize=1)
def frames_of(parity: Path) -> list[MemoryFrame]:
    model = load(parity / f"keys/{NAME}.json")
    clip = Golden(parity / f"cases/{NAME}/video.npz")["clip"]
    return [MemoryFrame.of(model, Image.open(image)) for image in clip]


@pytest.fixture
def parity(shared_dir: Path) -> Path:
    return shared_dir / "parity"


def prompts_of(golden: Golden) -> dict[str, Prompt]:
    about = golden.meta["prompts"]
    mask = np.unpackbits(golden["object_2_true_packed"])[: FRAMES * 256 * 256]
    return {
        "click": Prompt(about["click"]["points"], about["click"]["labels"]),
        "box": Prompt(box=about["box"]["box"]),
        "correction": Prompt(about["correction"]["points"], about["correction"]["labels"]),
        "mask": Prompt(mask=mask.reshape(FRAMES, 256, 256)[2].astype(bool)),
    }


def clicked(clip: Clip, until: int) -> list[Answer]:
    first = clip.go(0, prompts_of(clip.golden)["click"])
    return [first, *(clip.go(index) for index in range(1, until))]


@pytest.mark.parametrize("stored", ["float32", "bfloat16"])
def test_a_click_is_followed(stored: str, parity: Path) -> None:
    clip = Clip(parity, stored)
    for index, answer in enumerate(clicked(clip, FRAMES)):
        clip.compare(answer, f"click__obj1_frame{index}")
    assert clip.one is not None
    kept = {m.frame: m for m in (*clip.one.prompted, *clip.one.recent)}
    for index in (0, 2):
        name = f"memory_frame{index}_sub"
        if name in clip.golden and kept[index].map is not None:
            found = clip.frames[0]._placed(kept[index].map)[0, ::2, ::3, ::3]
            if stored == "bfloat16":  # what lies between two of its values may go either way
                found, wanted = found.numpy(), clip.golden[name]
                np.testing.assert_allclose(found, wanted, rtol=2**-7, atol=2e-4)
                assert (found != wanted).mean() < 0.005
            else:
                close(found, clip.golden[name])


@pytest.mark.parametrize("stored", ["float32", "bfloat16"])
def test_a_box_is_followed_from_where_it_is_said(stored: str, parity: Path) -> None:
    clip = Clip(parity, stored)
    clip.compare(clip.go(3, prompts_of(clip.golden)["box"]), "box__obj2_frame3")
    for index in (4, 5, 6):
        clip.compare(clip.go(index), f"box__obj2_frame{index}")


def test_a_correction_is_kept(parity: Path) -> None:
    clip = Clip(parity, "bfloat16")
    clicked(clip, 5)
    corrected = clip.go(5, prompts_of(clip.golden)["correction"])
    clip.compare(corrected, "correction_as_cond__obj1_frame5")
    clip.compare(clip.go(6), "correction_as_cond__obj1_frame6")


def test_a_correction_is_forgotten_as_in_the_original(parity: Path) -> None:
    """What the original gives after a correction is what it gave before: so we drop the prompt."""
    clip = Clip(parity, "bfloat16")
    clicked(clip, 5)
    for index in (5, 6):
        clip.compare(clip.go(index), f"correction_default__obj1_frame{index}")


def test_a_mask_is_followed_onwards_and_back(parity: Path) -> None:
    clip = Clip(parity, "bfloat16")
    clip.compare(clip.go(2, prompts_of(clip.golden)["mask"]), "mask__obj7_frame2")
    for index in (3, 4):
        clip.compare(clip.go(index), f"mask__obj7_frame{index}")
    for index in (1, 0):
        clip.compare(clip.go(index, back=True), f"mask_reverse__obj7_frame{index}")


@contextmanager
def hidden(model: Segmenter) -> Iterator[None]:
    """Let the network say that nothing is there."""
    bias = model.network.mask_decoder.pred_obj_score_head.layers[2].bias
    with torch.no_grad():
        before = bias.clone()
        bias.fill_(-20)
    try:
        yield
    finally:
        with torch.no_grad():
            bias.copy_(before)


def test_what_is_hidden_is_remembered_as_hidden(parity: Path) -> None:
    clip = Clip(parity, "bfloat16")
    clicked(clip, 1)
    with hidden(clip.model):
        for index in (1, 2):
            clip.compare(clip.go(index), f"occlusion__obj1_frame{index}")
    clip.compare(clip.go(3), "occlusion__obj1_frame3")


def test_an_empty_mask_says_that_nothing_is_there(parity: Path) -> None:
    clip = Clip(parity, "bfloat16")
    nothing = Prompt(mask=np.zeros((256, 256), bool))
    names = [n for n in clip.golden.values if n.startswith("empty_mask") and "pointer" in n]
    clip.compare(clip.go(0, nothing), names[0].removesuffix("__pointer"))
