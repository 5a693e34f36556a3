"""GroundingDINO: boxes for any words, from a network that reads them all at once.

Liu et al., "Grounding DINO: Marrying DINO with Grounded Pre-Training for Open-Set Object Detection"
(ECCV 2024), by the network of transformers with its own Swin backbone. The phrases become one
caption, "dog . red car .", and the network says of each of its boxes how well each token of the
caption fits. We know which tokens we made of which phrase, so each box gets one of the phrases as
it was written: nothing is read back from tokens, and nothing merged.
"""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from anymask.detections import Detections
from anymask.device import find_device, find_dtype
from anymask.errors import WeightsError
from anymask.image.image import Image
from anymask.optional import optional
from anymask.text.candidates import candidates
from anymask.text.frames import Scaled
from anymask.text.pretrained import find_folder, image_settings, load_network, load_tokenizer
from anymask.text.tokens import Spelled, spell

__all__ = ["Caption", "GroundingDino", "captions", "fits", "load"]

_KIND = "grounding-dino"
_BEGIN, _END, _STOP, _QUESTION = 101, 102, 1012, 1029  # the network knows these by number
_ENCODER = ("model", "backbone", "conv_encoder")  # what of the network reads no words
_IMAGES_AT_ONCE = 4


class Caption(NamedTuple):
    """Phrases as the network reads them.

    Attributes:
        ids: Numbers of all tokens: those of each phrase, and a full stop after each.
        owners: Of each token, the phrase that it is of, by its place in ``phrases``; -1: none.
        phrases: Places of its phrases among all phrases.
    """

    ids: tuple[int, ...]
    owners: tuple[int, ...]
    phrases: tuple[int, ...]


def captions(tokens: Sequence[Sequence[int]], most: int) -> list[Caption]:
    """Distribute phrases over captions, in order, as few as will do.

    Args:
        tokens: Numbers of the tokens of each phrase.
        most: Tokens in a caption, those at its ends included.

    Examples:
        >>> captions([[7, 8], [9]], 256)[0].ids
        (101, 7, 8, 1012, 9, 1012, 102)
        >>> [caption.phrases for caption in captions([[7, 8], [9]], 6)]
        [(0,), (1,)]
    """
    groups: list[list[int]] = []
    room = 0
    for place, ids in enumerate(tokens):
        if not groups or len(ids) + 1 > room:
            groups.append([])
            room = most - 2
        groups[-1].append(place)
        room -= len(ids) + 1
    return [_caption(tokens, group) for group in groups]


def _caption(tokens: Sequence[Sequence[int]], places: Sequence[int]) -> Caption:
    ids, owners = [_BEGIN], [-1]
    for number, place in enumerate(places):
        ids += [*tokens[place], _STOP]
        owners += [*([number] * len(tokens[place])), -1]
    return Caption((*ids, _END), (*owners, -1), tuple(places))


def fits(logits: Tensor, caption: Caption) -> tuple[Tensor, Tensor]:
    """Say which phrase of a caption fits each box best, and how well.

    A phrase fits as well as the best of its tokens; the full stops and the ends count for nothing.

    Args:
        logits: float (..., tokens), how well each token fits; there may be more of them than the
            caption has.
        caption: What was read.

    Returns:
        Scores, float32 (...), 0 to 1; and the phrase, int64 (...), by its place among all phrases.
        Of phrases that fit equally well it is the first.
    """
    owners = torch.tensor(caption.owners, device=logits.device)
    owned = logits[..., : len(owners)][..., owners >= 0].float()
    owners = owners[owners >= 0].expand(owned.shape)
    lowest = owned.new_full((*owned.shape[:-1], len(caption.phrases)), -torch.inf)
    each = lowest.scatter_reduce(-1, owners, owned, "amax")
    best, number = each.max(dim=-1)
    return best.sigmoid(), torch.tensor(caption.phrases, device=logits.device)[number]


class GroundingDino:
    """A GroundingDINO of transformers; a `Grounder`.

    Any number of threads may share it.

    Args:
        network: A ``GroundingDinoForObjectDetection``, in inference mode.
        tokenizer: Its ``BertTokenizer``.
        frames: How images are prepared.
        name: What its answers say made them.
    """

    threshold = 0.35
    """Least score, as its authors have it in their examples."""
    words: tuple[str, ...] = ()

    def __init__(self, network: Any, tokenizer: Any, frames: Scaled, name: str = _KIND) -> None:
        self.network, self.frames, self.name = network, frames, name
        self._tokenizer, self._spelling = tokenizer, threading.Lock()
        self._most = int(network.config.max_text_len)

    @classmethod
    def load(
        cls,
        name_or_path: str | os.PathLike[str],
        device: str | torch.device = "cpu",
        dtype: str | torch.dtype = "float32",
        *,
        offline: bool = False,
    ) -> GroundingDino:
        """Load by hub id or from a folder that ``save_pretrained`` wrote.

        Args:
            name_or_path: Such as ``"IDEA-Research/grounding-dino-tiny"``.
            device: Where to compute; "auto" is a GPU if there is one.
            dtype: To compute in.
            offline: Download nothing; ``$ANYMASK_OFFLINE`` says the same.

        Raises:
            MissingExtraError: transformers is not installed.
            WeightsError: There is no such model, it cannot be fetched, or it is another one.

        Examples:
            >>> from anymask import Image
            >>> grounder = GroundingDino.load(
            ...     "IDEA-Research/grounding-dino-tiny"
            ... )  # doctest: +SKIP
            >>> grounder.detect([Image.open("dog.jpg")], ["dog"], 0.35)  # doctest: +SKIP
            [Detections(1 box of 640 x 480, best score 0.81)]
        """
        optional("transformers", extra="text")  # before anything is fetched
        place = find_device(device)
        number = find_dtype(dtype, place)
        folder = find_folder(name_or_path, _KIND, offline=offline)
        network = load_network(folder, "GroundingDinoForObjectDetection", number)
        tokenizer = load_tokenizer(folder, "BertTokenizer", ("tokenizer.json", "vocab.txt"))
        _check_tokenizer(tokenizer, network, str(folder))
        frames = Scaled.read(image_settings(folder))
        return cls(network.to(place), tokenizer, frames, str(name_or_path))

    def unknown(self, phrases: Sequence[str]) -> tuple[str, ...]:
        """Tell which of the phrases hold no word or sign that it could read."""
        return self._spell(phrases).unreadable

    @torch.inference_mode()
    def detect(
        self, images: Sequence[Image], phrases: Sequence[str], threshold: float
    ) -> list[Detections]:
        """Find candidates in each image; see `Grounder.detect`.

        The backbone sees each image once, however many captions the phrases need. Images that come
        out equally large are seen together, so that none is filled up, which would change what is
        found in it.

        Raises:
            InputError: A phrase cannot be read, or is too long for the network.
        """
        spelled = self._spell(phrases).checked(self._most - 3)
        read = captions(spelled.ids, self._most)
        found: list[Detections] = [Detections.empty(image.size_hw) for image in images]
        for places in self._batches(images):
            some = [images[place] for place in places]
            parts: list[list[Detections]] = [[] for _ in some]
            for caption, logits, boxes in self._see(some, read):
                scores, numbers = fits(logits, caption)
                for i, image in enumerate(some):
                    parts[i].append(
                        candidates(
                            image,
                            boxes[i],
                            image.size_hw,
                            scores[i],
                            numbers[i],
                            spelled.names,
                            threshold,
                            self.name,
                        )
                    )
            for place, each in zip(places, parts, strict=True):
                found[place] = Detections.concat(each)
        return found

    def _batches(self, images: Sequence[Image]) -> Iterator[list[int]]:
        """Group images, by their places, that come out equally large."""
        sizes = [self.frames.size_of(image.size_hw) for image in images]
        order = sorted(range(len(images)), key=lambda place: sizes[place])
        for _, group in groupby(order, key=lambda place: sizes[place]):
            places = list(group)
            for start in range(0, len(places), _IMAGES_AT_ONCE):
                yield places[start : start + _IMAGES_AT_ONCE]

    def _see(
        self, images: Sequence[Image], read: Sequence[Caption]
    ) -> Iterator[tuple[Caption, Tensor, Tensor]]:
        """Yield for each caption logits (b, boxes, tokens) and boxes (b, boxes, 4) cxcywh, 0..1."""
        where = self.network.device
        pixels = torch.stack([self.frames(image) for image in images])
        pixels = pixels.to(where, self.network.dtype)
        inside = torch.ones(pixels[:, 0].shape, dtype=torch.int64, device=where)
        encoder = self.network.get_submodule(".".join(_ENCODER))
        network = _with(self.network, _ENCODER, _Seen(encoder(pixels, inside)))
        for caption in read:
            ids = torch.tensor([caption.ids] * len(images), device=where)
            said = network(pixel_values=pixels, pixel_mask=inside, input_ids=ids)
            yield caption, said.logits, said.pred_boxes

    def _spell(self, phrases: Sequence[str]) -> Spelled:
        # Delimiters inside of a phrase would cut it in two.
        with self._spelling:
            return spell(self._tokenizer, phrases, {_BEGIN, _END, _STOP, _QUESTION})


def load(name_or_path: str | os.PathLike[str], device: str | torch.device = "cpu") -> GroundingDino:
    """Load a GroundingDINO; see `GroundingDino.load`."""
    return GroundingDino.load(name_or_path, device)


def _check_tokenizer(tokenizer: Any, network: Any, folder: str) -> None:
    """Refuse a tokenizer whose numbers are not those of the network."""
    needed = {"[CLS]": _BEGIN, "[SEP]": _END, ".": _STOP, "?": _QUESTION}
    found = {token: tokenizer.convert_tokens_to_ids(token) for token in needed}
    words = int(network.config.text_config.vocab_size)
    if found != needed or max(tokenizer.get_vocab().values()) >= words:
        raise WeightsError(
            f"expected the tokenizer of an uncased BERT with at most {words} tokens in {folder!r}, "
            "got another; get the folder again"
        )


class _Seen(nn.Module):
    """Stands in for an encoder that has seen the images already."""

    def __init__(self, features: Any) -> None:
        super().__init__()
        self._features = features

    def forward(self, *_: Any, **__: Any) -> Any:
        return self._features


def _with(module: nn.Module, path: Sequence[str], part: nn.Module) -> Any:
    """Give a module with another part in place of one; it shares all else with the first.

    The first stays as it is, for other threads.
    """
    changed = copy.copy(module)
    inner = part if len(path) == 1 else _with(module.get_submodule(path[0]), path[1:], part)
    changed._modules = {**module._modules, path[0]: inner}
    return changed
