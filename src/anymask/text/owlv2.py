"""OWLv2: boxes for any words, or for what looks like an example.

Minderer et al., "Scaling Open-Vocabulary Object Detection" (NeurIPS 2023), by the network of
transformers. An image is seen once: each of its patches gives one box and one embedding, which is
compared with those of any number of phrases, or with one taken from an example image.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from anymask import geometry
from anymask.detections import Detections
from anymask.device import find_device, find_dtype
from anymask.errors import InputError, WeightsError
from anymask.image.image import Image
from anymask.optional import optional
from anymask.text.candidates import candidates
from anymask.text.frames import Squared
from anymask.text.phrases import shown
from anymask.text.pretrained import find_folder, image_settings, load_network, load_tokenizer
from anymask.text.tokens import Spelled, spell

__all__ = ["ByExample", "Example", "Owlv2", "load"]

_KIND = "owlv2"
_TEMPLATE = "a photo of a {}"
_IMAGES_AT_ONCE = 4
_PHRASES_AT_ONCE = 64  # bounds the memory of the text encoder
_COMPARED_AT_ONCE = 512  # and that of the comparison with every patch
_REMEMBERED = 4  # lists of phrases: a folder of images is searched for the same ones
_NEAR_BEST = 0.8


@dataclass(frozen=True, eq=False)
class Example:
    """One thing in one image, to find more of its like.

    Attributes:
        image: The image.
        box: (4,), xyxy, where in it the thing is; None: see ``mask``.
        mask: bool (h, w), where it is, instead of a box; None, too: the most object-like of all
            that is in the image.
        label: What it is called. Examples of one name are views of one thing.

    Examples:
        >>> import numpy as np
        >>> Example(Image.open(np.zeros((48, 64, 3), np.uint8)), box=(10, 20, 30, 40)).box
        (10, 20, 30, 40)
    """

    image: Image
    box: Sequence[float] | npt.NDArray[Any] | None = None
    mask: npt.NDArray[np.bool_] | None = None
    label: str = "example"

    def digest(self) -> str:
        """Tell it from other examples, in 8 hex digits."""
        corners = self.corners()
        told = hashlib.sha256(repr((self.image.size_hw, self.label)).encode())
        told.update(self.image.pixels.tobytes())
        told.update(b"" if corners is None else corners.tobytes())
        return told.hexdigest()[:8]

    def corners(self) -> npt.NDArray[np.float32] | None:
        """Give the box, float32 (4,), or that of the mask; None: there is neither.

        Raises:
            InputError: There are both, or what there is names no part of the image.
        """
        if self.box is not None and self.mask is not None:
            raise InputError("expected a box or a mask of an example, got both; leave one out")
        if self.mask is not None:
            return self._around(np.asarray(self.mask))
        return None if self.box is None else self._inside(np.asarray(self.box, np.float32))

    def _around(self, mask: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        if mask.dtype != np.bool_ or mask.shape != self.image.size_hw:
            raise InputError(
                f"expected the mask of an example as bool of shape {self.image.size_hw}, got "
                f"{mask.dtype} of shape {mask.shape}; give one as large as its image"
            )
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not len(rows):
            raise InputError(
                "expected the mask of an example to show where the thing is, got an empty one; "
                "leave it out, or mark the thing"
            )
        return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)

    def _inside(self, box: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        h, w = self.image.size_hw
        given = box.tolist()
        if box.shape != (4,) or not np.isfinite(box).all():
            raise InputError(
                f"expected the box of an example as left, top, right, bottom, got {given}; give "
                "four numbers"
            )
        box = box.clip(0, np.array([w, h, w, h], np.float32))
        if (box[2:] <= box[:2]).any():
            raise InputError(
                f"expected the box of an example inside its image of {w} x {h}, got {given}; give "
                "left, top, right and bottom in its pixels"
            )
        return box


class Owlv2:
    """An OWLv2 of transformers; a `Grounder`, and one that looks for examples, too.

    Any number of threads may share it. It remembers what the last few lists of phrases mean.

    Args:
        network: An ``Owlv2ForObjectDetection``, in inference mode.
        tokenizer: Its ``CLIPTokenizer``.
        frames: How images are prepared.
        name: What its answers say made them.
    """

    threshold = 0.1
    """Least score for phrases, as transformers has it."""
    words: tuple[str, ...] = ()

    def __init__(self, network: Any, tokenizer: Any, frames: Squared, name: str = _KIND) -> None:
        self.network, self.frames, self.name = network, frames, name
        self._tokenizer, self._spelling = tokenizer, threading.Lock()
        self._most = int(network.config.text_config.max_position_embeddings)
        self._meant: OrderedDict[tuple[str, ...], tuple[Spelled, Tensor]] = OrderedDict()

    @classmethod
    def load(
        cls,
        name_or_path: str | os.PathLike[str],
        device: str | torch.device = "cpu",
        dtype: str | torch.dtype = "float32",
        *,
        offline: bool = False,
    ) -> Owlv2:
        """Load by hub id or from a folder that ``save_pretrained`` wrote.

        Args:
            name_or_path: Such as ``"google/owlv2-base-patch16-ensemble"``.
            device: Where to compute; "auto" is a GPU if there is one.
            dtype: To compute in.
            offline: Download nothing; ``$ANYMASK_OFFLINE`` says the same.

        Raises:
            MissingExtraError: transformers is not installed.
            WeightsError: There is no such model, it cannot be fetched, or it is another one.

        Examples:
            >>> grounder = Owlv2.load("google/owlv2-base-patch16-ensemble")  # doctest: +SKIP
            >>> grounder.detect([Image.open("dog.jpg")], ["dog"], 0.2)  # doctest: +SKIP
            [Detections(1 box of 640 x 480, best score 0.64)]
        """
        optional("transformers", extra="text")  # before anything is fetched
        place = find_device(device)
        number = find_dtype(dtype, place)
        folder = find_folder(name_or_path, _KIND, offline=offline)
        network = load_network(folder, "Owlv2ForObjectDetection", number)
        tokenizer = load_tokenizer(folder, "CLIPTokenizer", ("tokenizer.json", "vocab.json"))
        _check_tokenizer(tokenizer, network, str(folder))
        frames = Squared.read(image_settings(folder))
        if frames.side != network.config.vision_config.image_size:
            raise WeightsError(
                f"expected images of {network.config.vision_config.image_size} pixels for the "
                f"OWLv2 in {str(folder)!r}, got {frames.side}; get the folder again"
            )
        return cls(network.to(place), tokenizer, frames, str(name_or_path))

    def unknown(self, phrases: Sequence[str]) -> tuple[str, ...]:
        """Tell which of the phrases hold no word or sign that it could read."""
        return self._spell(phrases).unreadable

    @torch.inference_mode()
    def detect(
        self, images: Sequence[Image], phrases: Sequence[str], threshold: float
    ) -> list[Detections]:
        """Find candidates in each image; see `Grounder.detect`.

        Each phrase is read as "a photo of a ..."; if that is too long, as it is.

        Raises:
            InputError: A phrase cannot be read, or is too long for the network.
        """
        spelled, meant = self._mean(tuple(phrases))
        return self._find(images, meant, spelled.names, threshold)

    @torch.inference_mode()
    def like(self, examples: Example | Sequence[Example]) -> ByExample:
        """Learn what examples look like, to find more of it: image-guided (one-shot) detection.

        Where an example has a box, the embedding that stands for it is, as published (Minderer et
        al., "Simple Open-Vocabulary Object Detection", 2022, and its code), the one that differs
        most from the average of its image, of the patches whose boxes overlap the example's about
        as well as the best one does. Without a box it is that of the most object-like patch, as in
        transformers. Scores are the network's own, so a thing that is not there has a low one
        everywhere; transformers stretches them until the best is 1.

        Args:
            examples: What to look for, or several such things.

        Returns:
            A grounder that knows the examples' labels.

        Raises:
            InputError: There is no example, or one names no part of its image.

        Examples:
            >>> mug = Example(Image.open("mug.jpg"), (40, 60, 300, 380), label="mug")
            ... # doctest: +SKIP
            >>> anymask.detect("desk.jpg", grounder=owlv2.like(mug))  # doctest: +SKIP
            Detections(2 boxes of 640 x 480, best score 0.97)
        """
        some = [examples] if isinstance(examples, Example) else list(examples)
        if not some:
            raise InputError("expected at least one example, got none; give what to look for")
        meant = torch.cat([self._embed(example) for example in some])
        name = "+".join([f"{self.name} by example", *(example.digest() for example in some)])
        return ByExample(self, meant, tuple(example.label for example in some), name)

    # ------------------------------------------------------------------ comparing

    def _find(
        self,
        images: Sequence[Image],
        meant: Tensor,
        names: Sequence[str],
        threshold: float,
    ) -> list[Detections]:
        """Compare every patch of every image with what is looked for."""
        found = []
        for start in range(0, len(images), _IMAGES_AT_ONCE):
            some = images[start : start + _IMAGES_AT_ONCE]
            features, boxes = self._see(some)
            scores, numbers = self._compare(features, meant)
            for i, image in enumerate(some):
                side = max(image.size_hw)  # the frame is the image, filled up to a square
                found.append(
                    candidates(
                        image,
                        boxes[i],
                        (side, side),
                        scores[i],
                        numbers[i],
                        names,
                        threshold,
                        self.name,
                    )
                )
        return found

    def _see(self, images: Sequence[Image]) -> tuple[Tensor, Tensor]:
        """Embed images: features (b, patches, c) and boxes (b, patches, 4), cxcywh, 0 to 1."""
        pixels = torch.stack([self.frames(image) for image in images])
        seen = self.network.image_embedder(pixels.to(self.network.device, self.network.dtype))[0]
        features = seen.flatten(1, 2)
        return features, self.network.box_predictor(features, seen)

    def _compare(self, features: Tensor, meant: Tensor) -> tuple[Tensor, Tensor]:
        """Say what each patch is most like: scores and numbers, (b, patches)."""
        best = torch.full(features.shape[:2], -torch.inf, device=features.device)
        numbers = torch.zeros(features.shape[:2], dtype=torch.int64, device=features.device)
        for start in range(0, len(meant), _COMPARED_AT_ONCE):
            some = meant[start : start + _COMPARED_AT_ONCE].expand(len(features), -1, -1)
            logits, number = self.network.class_predictor(features, some)[0].float().max(dim=-1)
            numbers = torch.where(logits > best, number + start, numbers)
            best = torch.maximum(best, logits)
        return best.sigmoid(), numbers

    # --------------------------------------------------------------------- phrases

    def _spell(self, phrases: Sequence[str]) -> Spelled:
        with self._spelling:
            return spell(self._tokenizer, phrases)

    def _mean(self, phrases: tuple[str, ...]) -> tuple[Spelled, Tensor]:
        """Embed phrases, (n, c), or remember them."""
        with self._spelling:
            if phrases in self._meant:
                self._meant.move_to_end(phrases)
                return self._meant[phrases]
        spelled = self._spell(phrases).checked(self._most - 2)
        parts = [self._embed_tokens(some) for some in self._captions(spelled)]
        meant = torch.cat(parts)
        with self._spelling:
            self._meant[phrases] = spelled, meant
            while len(self._meant) > _REMEMBERED:
                self._meant.popitem(last=False)
        return spelled, meant

    def _captions(self, spelled: Spelled) -> Iterator[list[tuple[int, ...]]]:
        """Yield tokens of captions, a few at a time: the template's, or those of a long phrase."""
        with self._spelling:
            before = spell(self._tokenizer, [_TEMPLATE.format("")]).ids[0]
        room = self._most - 2 - len(before)
        captions = [(*before, *ids) if len(ids) <= room else ids for ids in spelled.ids]
        for start in range(0, len(captions), _PHRASES_AT_ONCE):
            yield captions[start : start + _PHRASES_AT_ONCE]

    def _embed_tokens(self, captions: Sequence[tuple[int, ...]]) -> Tensor:
        """Embed captions, (n, c)."""
        begin, end = self._tokenizer.bos_token_id, self._tokenizer.eos_token_id
        whole = [(begin, *ids, end) for ids in captions]
        ids = torch.zeros((len(whole), self._most), dtype=torch.int64)
        for row, numbers in zip(ids, whole, strict=True):
            row[: len(numbers)] = torch.tensor(numbers)
        read = torch.tensor([[1] * len(one) + [0] * (self._most - len(one)) for one in whole])
        device = self.network.device
        seen = self.network.owlv2.text_model(
            input_ids=ids.to(device), attention_mask=read.to(device)
        )
        embedded = self.network.owlv2.text_projection(seen.pooler_output)
        meant: Tensor = embedded / torch.linalg.vector_norm(embedded, dim=-1, keepdim=True)
        return meant

    # -------------------------------------------------------------------- examples

    def _embed(self, example: Example) -> Tensor:
        """Choose the embedding, (1, c), that stands for an example."""
        corners = example.corners()
        features, boxes = self._see([example.image])
        embeddings: Tensor = self.network.class_predictor(features)[1][0]
        if corners is None:
            chosen = int(self.network.objectness_predictor(features)[0].argmax())
        else:
            box = torch.from_numpy(corners / max(example.image.size_hw)).to(boxes.device)
            chosen = best_patch(boxes[0].float(), embeddings.float(), box)
        return embeddings[chosen : chosen + 1]


class ByExample:
    """Looks for what is like examples; a `Grounder` that knows their labels.

    Args:
        grounder: Who made it, by `Owlv2.like`.
        meant: float (n, c), the embeddings of n examples.
        names: Their labels.
        name: What its answers say made them.
    """

    threshold = 0.9
    """Least score, as transformers has it in its example: patches of images are more alike than
    words and patches are."""

    def __init__(self, grounder: Owlv2, meant: Tensor, names: tuple[str, ...], name: str) -> None:
        self.name, self.words = name, tuple(dict.fromkeys(names))
        self._grounder, self._meant, self._names = grounder, meant, names

    def unknown(self, phrases: Sequence[str]) -> tuple[str, ...]:
        """Tell for which of the phrases there is no example, whatever their case."""
        known = {name.casefold() for name in self.words}
        return tuple(phrase for phrase in phrases if phrase.casefold() not in known)

    @torch.inference_mode()
    def detect(
        self, images: Sequence[Image], phrases: Sequence[str], threshold: float
    ) -> list[Detections]:
        """Find candidates in each image; see `Grounder.detect`.

        Raises:
            InputError: There is no example for one of the phrases.
        """
        if unknown := self.unknown(phrases):
            raise InputError(
                f"expected phrases out of the labels of examples, {shown(self.words)}, got "
                f"{shown(unknown)}; give an example of it"
            )
        asked = {phrase.casefold(): phrase for phrase in reversed(phrases)}
        wanted = [i for i, name in enumerate(self._names) if name.casefold() in asked]
        names = [asked[self._names[i].casefold()] for i in wanted]
        if not wanted:
            raise InputError("expected at least one phrase, got none; say what to look for")
        found = self._grounder._find(images, self._meant[wanted], names, threshold)
        return [replace(one, model=self.name) for one in found]


def best_patch(boxes: Tensor, embeddings: Tensor, box: Tensor) -> int:
    """Choose the patch whose embedding stands for what is in a box.

    Of the patches whose boxes overlap it at least 0.8 times as well as the best one does, it is the
    one whose embedding is least like the average. In training only one patch is told of each thing,
    and that one differs from all that are told of none. If no box overlaps, the nearest one counts
    (the best generalized IoU).

    Args:
        boxes: float (patches, 4), cxcywh.
        embeddings: float (patches, c).
        box: float (4,), xyxy, in the same frame.
    """
    middles, sides = boxes.chunk(2, dim=-1)
    corners = torch.cat([middles - sides / 2, middles + sides / 2], dim=-1)
    overlaps = geometry.box_iou(corners, box[None])[:, 0]
    if not overlaps.any():
        low, high = torch.minimum(corners, box)[:, :2], torch.maximum(corners, box)[:, 2:]
        hull = (high - low).prod(dim=-1)
        both = (corners[:, 2:] - corners[:, :2]).prod(dim=-1) + (box[2:] - box[:2]).prod()
        return int(((both - hull) / hull).argmax())
    near = torch.nonzero(overlaps >= _NEAR_BEST * overlaps.max())[:, 0]
    return int(near[(embeddings[near] @ embeddings.mean(dim=0)).argmin()])


def load(name_or_path: str | os.PathLike[str], device: str | torch.device = "cpu") -> Owlv2:
    """Load an OWLv2; see `Owlv2.load`."""
    return Owlv2.load(name_or_path, device)


def _check_tokenizer(tokenizer: Any, network: Any, folder: str) -> None:
    """Refuse a tokenizer whose numbers are not those of the network."""
    words = int(network.config.text_config.vocab_size)
    begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    # The network finds the end of a text by its number, which is the greatest.
    last = max(tokenizer.get_vocab().values())
    if begin is None or end != last or end >= words:
        raise WeightsError(
            f"expected the tokenizer of a CLIP with at most {words} tokens, the end of a text the "
            f"last of them, in {folder!r}, got another; get the folder again"
        )
