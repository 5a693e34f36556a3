"""A clip that SAM 2 remembers, beside transformers going through it, on random weights."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.models.tiny import SIDE
from tests.models.weights.test_sam2_layout import config

import anymask
from anymask.image.image import Image
from anymask.predict.segmenter import Segmenter
from anymask.predict.track.remember import Answer, MemoryFrame
from anymask.predict.track.track import Remembered
from anymask.prompt import Prompt

transformers = pytest.importorskip("transformers", reason="transformers is not installed")

FRAMES, H, W, WIDTH = 9, 50, 70, 128
CLICK, BOX = ([(20, 20)], [1], None), ([(22, 20), (12, 38)], [1, 0], (10, 8, 44, 40))
CORRECTION = ([(40, 10), (22, 33)], [0, 1], None)
# Both store maps in bfloat16, where a number on the edge of two may fall either way.
CLOSE = {"rtol": 1e-2, "atol": 2e-2}

pytestmark = pytest.mark.usefixtures("one_thread")


def numbers() -> dict[str, Any]:
    """A tiny SAM 2 whose pointers are wider than its memory, as transformers can run it."""
    found = copy.deepcopy(config())
    found["vision_config"]["fpn_hidden_size"] = WIDTH
    found["prompt_encoder_config"]["hidden_size"] = WIDTH
    found["mask_decoder_config"] |= {"hidden_size": WIDTH, "iou_head_hidden_dim": WIDTH}
    parts = ("memory_attention_hidden_size", "memory_encoder_hidden_size",
             "mask_downsampler_embed_dim", "memory_fuser_embed_dim")  # fmt: skip
    return found | dict.fromkeys(parts, WIDTH) | {"memory_fuser_intermediate_dim": 4 * WIDTH}


def theirs(there: float, **flags: bool) -> Any:
    torch.manual_seed(11)
    made = transformers.Sam2VideoConfig(**numbers(), **flags)
    model = transformers.Sam2VideoModel(made).eval()
    for name, weights in model.named_parameters():
        torch.nn.init.normal_(weights, std=0.15 if "memory_" in name else 0.1)
        if "norm" in name and name.endswith("weight"):
            weights.data += 1
    code = model.shared_image_embedding.positional_embedding  # twice the same, as in their files
    model.prompt_encoder.shared_embedding.positional_embedding.data.copy_(code)
    model.mask_decoder.pred_obj_score_head.proj_out.bias.data.fill_(there)
    return model


class Walk:
    """One thing, followed by both through the same frames."""

    def __init__(self, model: Any, ours: Segmenter, images: list[np.ndarray]) -> None:
        preprocessing = ours.variant.preprocessing
        transform = preprocessing.fit((H, W))
        pixels = [
            preprocessing.frames(
                transform.resize(image, "bicubic")[None], transform, torch.device("cpu")
            )[0]
            for image in map(Image.open, images)
        ]
        self.model = model
        self.session = transformers.Sam2VideoInferenceSession(
            video=torch.stack(pixels), video_height=H, video_width=W, dtype=torch.float32
        )
        self.session.obj_id_to_idx(1)
        self.frames = [MemoryFrame.of(ours, Image.open(image)) for image in images]
        self.one: Remembered | None = None

    def say(self, points: Any, labels: Any, box: Any) -> dict[str, torch.Tensor]:
        """Write a prompt as they take it: a box is two points before the others."""
        corners = [] if box is None else [box[:2], box[2:]]
        xy = torch.tensor([*corners, *points], dtype=torch.float32) * torch.tensor(
            [SIDE / W, SIDE / H]
        )
        kinds = torch.tensor([*[2, 3][: len(corners)], *labels], dtype=torch.int32)
        return {"point_coords": xy[None, None], "point_labels": kinds[None, None]}

    def go(self, index: int, said: Any = None, *, back: bool = False) -> None:
        """Go on to a frame in both ways, and compare."""
        one = self.one
        prompt = None if said is None else Prompt(said[0], said[1], box=said[2])
        answer = self.frames[index].answer(one, prompt, index, FRAMES - 1, back)
        begun = one or Remembered("thing", 1, index, ())
        self.one = self.frames[index]._gone_on(begun, answer, index, FRAMES - 1)
        if said is None:
            self.model(self.session, frame_idx=index, reverse=back)
        elif one is None:
            self.session.add_point_inputs(0, index, self.say(*said))
            self.session.obj_with_new_inputs = [1]
            self.model(self.session, frame_idx=index)
        else:
            self._correct(index, said)
        self.compare(answer, index, certain=said is not None)

    def _correct(self, index: int, said: Any) -> None:
        """Let them keep a correction as a frame with a prompt, which they do not by themselves."""
        self.model(self.session, frame_idx=index)
        before = self.session.output_dict_per_obj[0]["non_cond_frame_outputs"].pop(index)
        found = self.model._run_single_frame_inference(
            inference_session=self.session,
            frame_idx=index,
            obj_idx=0,
            batch_size=1,
            is_init_cond_frame=False,
            point_inputs=self.say(*said),
            mask_inputs=None,
            reverse=False,
            prev_sam_mask_logits=before["pred_masks"].clamp(-32, 32),
        )
        self.session.store_output(0, index, output_value=found, is_conditioning_frame=True)
        self.model._batch_encode_memories(
            self.session,
            index,
            [0],
            [found["high_res_masks"]],
            [found["object_score_logits"]],
            [True],
        )

    def compare(self, answer: Answer, index: int, certain: bool) -> None:
        """Compare an answer with theirs."""
        kind = "cond_frame_outputs" if certain else "non_cond_frame_outputs"
        wanted = self.session.output_dict_per_obj[0][kind][index]
        torch.testing.assert_close(answer.logits, wanted["pred_masks"], **CLOSE)
        score = float(wanted["object_score_logits"])
        torch.testing.assert_close(answer.object_score, score, **CLOSE)
        pointer = wanted["object_pointer"].reshape(answer.pointer.shape)
        torch.testing.assert_close(answer.pointer, pointer, **CLOSE)


def frames() -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    whole = np.kron(rng.integers(0, 256, (10, 14, 3), dtype=np.uint8), np.ones((5, 5, 1), np.uint8))
    return [np.roll(whole, 3 * i, axis=1) for i in range(FRAMES)]


@pytest.mark.parametrize("first", [CLICK, BOX])
@pytest.mark.parametrize(
    ("there", "newer"), [(5.0, True), (0.0, True), (5.0, False)], ids=["seen", "hides", "2.0"]
)
@torch.inference_mode()
def test_a_clip_is_followed_as_transformers_does(
    tmp_path: Path, first: Any, there: float, newer: bool
) -> None:
    flags = ("enable_occlusion_spatial_embedding",
             "enable_temporal_pos_encoding_for_object_pointers")  # fmt: skip
    model = theirs(there, **dict.fromkeys(flags, newer))
    model.save_pretrained(tmp_path)
    ours = anymask.load(tmp_path)
    walk = Walk(model, ours, frames())
    walk.go(1, first)
    for index in range(2, 5):
        walk.go(index)
    walk.go(5, CORRECTION)
    for index in range(6, FRAMES):
        walk.go(index)
    back = Walk(model, ours, frames())
    back.go(5, first)
    for index in range(4, -1, -1):
        back.go(index, back=True)
