"""Things followed by a model that remembers: from a `Track` and a frame to masks and a new `Track`.

SAM 2 (Ravi et al., 2024) reads what it remembers of each thing, one by one: maps of the frames with
prompts and of the six before, and pointers to the thing in the sixteen before. The network keeps
none of it; all of it lies in the `Track`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from anymask.arrays import inference, placed
from anymask.errors import InputError
from anymask.image.image import Image
from anymask.image.transform import Transform
from anymask.masks.label_map import encode_numbers
from anymask.masks.masks import Masks
from anymask.masks.rle import from_changes
from anymask.models.detailed_decoder import Decoded
from anymask.models.prompt_batch import PromptBatch
from anymask.models.sam2 import Sam2, single_answer
from anymask.predict.track.cells import Model
from anymask.predict.track.step import check_prompts, model_of
from anymask.predict.track.track import Moment, Remembered, Status, Track
from anymask.prompt import Prompt

__all__ = ["MemoryFrame", "Stored"]

Stored = Literal["bfloat16", "float32"]
"""As what maps are remembered; the original has bfloat16, on every device."""

BoolArray = npt.NDArray[np.bool_]

_NOWHERE = -1024.0  # logits of a thing that is not there
_CLAMP = 32.0  # how far from 0 logits may be that come back as a prompt
_SCALE, _BIAS = 20.0, -10.0  # from probabilities to what the memory encoder reads
_PROMPTED = 16  # frames with prompts that are remembered of a thing: the first, and the latest


class Answer(NamedTuple):
    """One thing in a frame.

    Attributes:
        logits: float32 (1, 1, h', w') on the network's device.
        predicted_iou: As the model says.
        object_score: A logit, above 0 if the thing is there.
        pointer: What the thing is like, (1, c).
        certain: Whether a person said it: its mask is remembered as what is inside and outside.
    """

    logits: Tensor
    predicted_iou: float
    object_score: float
    pointer: Tensor
    certain: bool

    @property
    def is_there(self) -> bool:
        """Whether the thing is seen."""
        return self.object_score > 0

    @property
    def confidence(self) -> float:
        """How sure it is that the thing is there and well cut out: 0 to 1."""
        return self.predicted_iou / (1 + float(np.exp(-self.object_score)))


@dataclass(frozen=True, eq=False)
class MemoryFrame:
    """A frame, as a model with a memory looks at it.

    Attributes:
        model: Whose network has a memory.
        features: What its `see` saw, tensors on its device.
        transform: The way between the frame's pixels and the network's.
        source: Where the frame comes from.
        stored: As what maps are remembered.
    """

    model: Model
    features: Mapping[str, Tensor]
    transform: Transform
    source: str | None = None
    stored: Stored = "bfloat16"

    @classmethod
    def of(cls, model: Model, image: Image, **options: Any) -> MemoryFrame:
        """Look at a frame, resized as those of clips are."""
        network, wanted = cast(Sam2, model.network), model.variant.preprocessing
        transform = wanted.fit(image.size_hw)
        resized = transform.resize(image, "bicubic")
        pixels = wanted.frames(resized[None], transform, network.device)
        with inference(network.device):
            features = network.see(pixels)
        return cls(model, features, transform, image.source, **options)

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the frame."""
        return self.transform.original_hw

    @property
    def network(self) -> Sam2:
        """The network of the model."""
        return cast(Sam2, self.model.network)

    def step(
        self,
        track: Track,
        prompts: Mapping[str, Prompt],
        index: int,
        taken: BoolArray | None = None,
        *,
        empty: bool = False,
    ) -> tuple[Track, Masks]:
        """Go on to it; see `step.step`."""
        check_prompts(track, prompts, self.size_hw)
        known = {one.name: one for one in track.remembered}
        things: list[Remembered] = []
        answers: list[Answer] = []
        status: list[Status] = []
        number = max((one.id for one in track.remembered), default=0)
        span = self._span(track)
        with inference(self.network.device):
            for name in [*known, *(name for name in prompts if name not in known)]:
                one, prompt = known.get(name), prompts.get(name)
                answer = self.answer(one, prompt, index, span, track.frame > index)
                if one is None and not answer.is_there:
                    if empty:
                        continue
                    raise InputError(
                        f"expected {name!r} in frame {index} where its prompt is, got an empty "
                        "mask; say it with a box, or with more points"
                    )
                status.append(_status(one, answer))
                number += one is None
                begun = one or Remembered(name, number, index, ())
                things.append(self._gone_on(begun, answer, index, span))
                answers.append(answer)
        new = replace(
            track,
            frame=index,
            size_hw=self.size_hw,
            model=model_of(self.model),
            remembered=tuple(things),
        )
        return new, self._masks(new, answers, status, taken)

    def answer(
        self, one: Remembered | None, prompt: Prompt | None, index: int, span: int, back: bool
    ) -> Answer:
        """Say where a thing is.

        Args:
            one: What is remembered of it; None: nothing.
            prompt: What a person says of it in this frame.
            index: Number of the frame.
            span: See `Sam2.recall`.
            back: The clip is gone through backwards.
        """
        if prompt is not None and prompt.mask is not None and prompt.form == (0, False, True):
            return self._given(prompt.mask)
        says_anew = prompt is not None and (prompt.box is not None or _has_mask(prompt))
        if one is None or says_anew:
            assert prompt is not None
            image = self.features["image"] + self.network.no_mem_embed.mT[..., None]
            return self._prompted(image, prompt, None)
        image = self._recalled(one, index, span, back)
        tracked = self._decoded(image, self.network.silence(), None, three=True, certain=False)
        if prompt is None:
            return tracked
        return self._prompted(image, prompt, tracked.logits.clamp(-_CLAMP, _CLAMP))

    def _recalled(self, one: Remembered, index: int, span: int, back: bool) -> Tensor:
        """Let the frame read what is remembered of a thing."""
        sign = -1 if back else 1
        ago = {
            moment.frame: sign * (index - moment.frame) for moment in (*one.prompted, *one.recent)
        }
        memory = self.network.config.memory
        assert memory is not None
        maps = [(self._placed(m.map), 0) for m in one.prompted if m.map is not None]
        latest = [m for m in one.recent if m.map is not None and 0 < ago[m.frame] < memory.frames]
        maps += [(self._placed(m.map), ago[m.frame]) for m in latest if m.map is not None]
        told = [m for m in one.prompted if ago[m.frame] >= 0]
        told += [m for m in one.recent if 0 < ago[m.frame] <= span]
        like = self.features["image"]
        pointers = [(self._placed(m.pointer), ago[m.frame]) for m in told]
        return self.network.recall(like, maps, pointers, span)

    def _placed(self, stored: npt.NDArray[Any]) -> Tensor:
        """Give what is remembered as the network takes it, (1, ...)."""
        like = self.features["image"]
        values: Tensor = placed(_as_float32(stored), like.device, like.dtype)
        return values[None]

    def _prompted(self, image: Tensor, prompt: Prompt, before: Tensor | None) -> Answer:
        """Answer what a person says, of clicks as a correction of earlier logits if there are."""
        network = self.network
        low_hw = network.mask_hw(self.transform.frame_hw)
        batch = PromptBatch.of([prompt], self.transform, low_hw, network.device)
        if before is not None and batch.mask_logits is None:
            batch = replace(batch, mask_logits=before)
        tokens, added = network.prompt_encoder(batch)
        said = len(prompt.labels) + 2 * (prompt.box is not None)
        dense = None if batch.mask_logits is None else added
        return self._decoded(image, tokens, dense, three=said <= 1, certain=True)

    def _decoded(
        self, image: Tensor, tokens: Tensor, added: Tensor | None, *, three: bool, certain: bool
    ) -> Answer:
        """Ask the decoder, and choose the best of three masks or the one."""
        network = self.network
        features = {**self.features, "image": image}
        dense = network.prompt_encoder.no_mask() if added is None else added
        decoded = network.answer_tokens(features, tokens, dense)
        slot = 1 + int(decoded.predicted_iou[0, 1:].argmax()) if three else _one(decoded)
        score = float(decoded.object_score)
        # The pointer is made of slot 0 where one mask is asked for, whichever is then taken.
        pointer = network.point_at(decoded.tokens[:, slot if three else 0], score > 0)
        logits = decoded.logits[:, slot, None]
        if score <= 0:
            logits = torch.full_like(logits, _NOWHERE)
        iou = float(decoded.predicted_iou[0, slot])
        return Answer(logits, iou, score, pointer.detach().float(), certain)

    def _given(self, mask: BoolArray) -> Answer:
        """Take a mask as it is."""
        network, side = self.network, self.transform.frame_hw
        dense = torch.from_numpy(mask.astype(np.float32))[None, None].to(network.device)
        large = F.interpolate(dense, side, mode="bilinear", antialias=True) >= 0.5
        framed = large.float()
        low_hw = network.mask_hw(side)
        scaled = framed * _SCALE + _BIAS
        logits = F.interpolate(scaled, low_hw, mode="bilinear", antialias=True)
        pointer = network.point_at_mask(self.features, framed)
        score = _SCALE * float(large.any()) + _BIAS
        return Answer(logits, 1.0, score, pointer.detach().float(), certain=True)

    def moment(self, answer: Answer, index: int) -> Moment:
        """Make of a frame and an answer what later frames read."""
        large = F.interpolate(answer.logits, self.transform.frame_hw, mode="bilinear")
        inside = (large > 0).float() if answer.certain else large.sigmoid()
        image, mask = self.features["image"], inside * _SCALE + _BIAS
        remembered = self.network.remember(image, mask, answer.is_there)[0].float().cpu().numpy()
        stored = _as_bfloat16(remembered) if self.stored == "bfloat16" else remembered
        return Moment(index, stored, answer.pointer[0].cpu().numpy())

    def _gone_on(self, one: Remembered, answer: Answer, index: int, span: int) -> Remembered:
        """Remember an answer, and forget what nothing will read any more."""
        moment = self.moment(answer, index)
        missing = 0 if answer.is_there else one.missing + 1
        others = tuple(m for m in one.recent if m.frame != index)
        if answer.certain:
            prompted = (*(m for m in one.prompted if m.frame != index), moment)
            prompted = prompted if len(prompted) <= _PROMPTED else (prompted[0], *prompted[2:])
            return replace(one, anchor=index, prompted=prompted, recent=others, missing=missing)
        memory = self.network.config.memory
        assert memory is not None
        kept = [m for m in others if abs(m.frame - index) < span]
        read = memory.frames - 1  # maps that the next frame reads, this one's among them
        kept = [replace(m, map=None) if abs(m.frame - index) >= read else m for m in kept]
        return replace(one, recent=(*kept, moment), missing=missing)

    def _span(self, track: Track) -> int:
        """How many frames ago the last pointer is read, and the unit of that time."""
        memory = self.network.config.memory
        assert memory is not None
        frames = memory.pointers if track.length is None else min(track.length, memory.pointers)
        return max(1, frames - 1)

    def _masks(
        self, track: Track, answers: list[Answer], status: list[Status], taken: BoolArray | None
    ) -> Masks:
        """Carry answers to the frame; each pixel belongs to the thing that is surest."""
        owners = self._owners(answers)
        if taken is not None:
            asked = np.array([False, *(said == "prompted" for said in status)])
            owners[taken & ~asked[owners]] = 0
        found = encode_numbers(owners)
        nothing = from_changes(np.empty(0, np.int64), owners.size)
        scores = [round(a.confidence, 4) if a.is_there else 0.0 for a in answers]
        meta = [
            {
                "status": said,
                "predicted_iou": round(answer.predicted_iou, 4) if answer.is_there else None,
                "anchor": one.anchor,
            }
            for one, answer, said in zip(track.remembered, answers, status, strict=True)
        ]
        return Masks(
            self.size_hw,
            tuple(found.get(number, nothing) for number in range(1, len(answers) + 1)),
            scores=np.array(scores, np.float32),
            labels=track.names,
            ids=tuple(one.id for one in track.remembered),
            meta=tuple(meta),
            image_meta={"frame": track.frame},
            source=self.source,
            model=self.model.variant.name,
        )

    def _owners(self, answers: list[Answer]) -> npt.NDArray[np.int32]:
        """Say which thing each pixel of the frame belongs to, counted from 1; 0: none of them.

        They are enlarged one by one: a hundred things in a large frame would be gigabytes.
        """
        device = self.network.device
        best = torch.zeros(self.size_hw, device=device)
        owners = torch.zeros(self.size_hw, dtype=torch.int32, device=device)
        for number, answer in enumerate(answers, 1):
            large = self.transform.masks_to_image(answer.logits[0, 0])
            surer = large > best
            owners.masked_fill_(surer, number)
            best = torch.where(surer, large, best)
        return owners.cpu().numpy()


def _has_mask(prompt: Prompt) -> bool:
    return prompt.mask is not None or prompt.mask_logits is not None


def _one(decoded: Decoded) -> int:
    return int(single_answer(decoded)[0])


def _status(one: Remembered | None, answer: Answer) -> Status:
    if not answer.is_there:
        return "lost"
    if answer.certain:
        return "prompted"
    return "found" if one is not None and one.missing else "tracked"


def _as_bfloat16(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """Round to the nearest bfloat16, of two the even one: its bits, as numpy has no such type."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    rounded = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return (rounded >> np.uint32(16)).astype(np.uint16)


def _as_float32(stored: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    if stored.dtype != np.uint16:
        return np.asarray(stored, np.float32)
    return (stored.astype(np.uint32) << np.uint32(16)).view(np.float32)
