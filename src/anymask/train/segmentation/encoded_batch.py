"""Images that are encoded once and prompted many times, also backwards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy.typing as npt
import torch
from torch import Tensor, nn

from anymask.errors import InputError
from anymask.image.transform import Transform
from anymask.models.variants import Preprocessing

__all__ = [
    "DECODERS",
    "EncodedBatch",
    "Features",
    "NetworkInput",
    "encoder_learns",
    "group_by_frame",
]

Features: TypeAlias = Mapping[str, Tensor]

DECODERS = ("mask_decoder.", "prompt_encoder.", "decoder.", "prompt_maps.")
"""How the names of those parameters begin that no network encodes with."""


class NetworkInput(Protocol):
    """One image in a network's frame; see `anymask.data.item.Item`, which is one."""

    @property
    def key(self) -> str:
        """Names the image."""

    @property
    def transform(self) -> Transform:
        """The way from its pixels into the frame."""

    @property
    def image(self) -> npt.NDArray[Any] | None:
        """What is to be encoded, (h, w, 3), as the encoder sees it; None with features."""

    @property
    def features(self) -> Mapping[str, Tensor] | None:
        """What it was encoded as beforehand; None: it is encoded with its batch."""


Input = TypeVar("Input", bound=NetworkInput)


class EncodedBatch:
    """The features of images that share a frame, and the gradients that they gather.

    Every prediction starts from a copy of them that is detached from the encoder; the gradients of
    all copies go through the encoder in one pass at the end.
    """

    def __init__(
        self,
        model: nn.Module,
        items: Sequence[NetworkInput],
        preprocessing: Preprocessing,
        device: torch.device,
    ) -> None:
        """Encode the images, unless their items carry features."""
        self.model: Any = model
        self.frame_hw = items[0].transform.frame_hw
        if items[0].features is None:
            self._features = self._encode(items, preprocessing, device)
        else:
            self._features = _stacked(items, device)
        self.leaves = {name: _detached(maps) for name, maps in self._features.items()}
        """The features detached from the encoder, float32 (b, c, h', w') each."""

    @property
    def mask_hw(self) -> tuple[int, int]:
        """Size of the network's predictions, which cover the frame."""
        size_hw: tuple[int, int] = self.model.mask_hw(self.frame_hw)
        return size_hw

    def _encode(
        self, items: Sequence[NetworkInput], preprocessing: Preprocessing, device: torch.device
    ) -> Features:
        frames = []
        for item in items:
            if item.image is None:
                raise InputError(
                    f"expected an image or features of {item.key!r}, got neither; keep one of them"
                )
            seen = preprocessing.seen(item.transform)
            frames.append(preprocessing.frames(item.image[None], seen, device))
        with torch.set_grad_enabled(encoder_learns(self.model)):
            features: Features = self.model.encode(torch.cat(frames), self.frame_hw)
        return features

    @contextmanager
    def features_of(self, indices: Sequence[int]) -> Iterator[Features]:
        """Lend the features for prompts on one image, or for one prompt each on several.

        Args:
            indices: Which of the images each of the prompts belongs to.
        """
        indices = indices[:1] if len(set(indices)) == 1 else indices
        places = torch.tensor(indices, device=next(iter(self.leaves.values())).device)
        lent = {name: _detached(leaf[places]) for name, leaf in self.leaves.items()}
        yield lent
        for name, copies in lent.items():
            if copies.grad is not None:
                leaf = self.leaves[name]
                if leaf.grad is None:
                    leaf.grad = torch.zeros_like(leaf)
                leaf.grad.index_add_(0, places, copies.grad)

    def backward_encoder(self) -> None:
        """Back-propagate the gathered gradients through the encoder."""
        pairs = [(self._features[name], leaf.grad) for name, leaf in self.leaves.items()]
        pairs = [(maps, grad.to(maps.dtype)) for maps, grad in pairs if grad is not None]
        if pairs:
            features, gradients = zip(*pairs, strict=True)
            torch.autograd.backward(features, gradients)


def group_by_frame(batch: Sequence[Input]) -> list[list[Input]]:
    """Group images that can go through a network together, in the order in which they come."""
    groups: dict[Any, list[Input]] = {}
    for one in batch:
        groups.setdefault((one.transform.frame_hw, one.features is None), []).append(one)
    return list(groups.values())


def encoder_learns(model: nn.Module) -> bool:
    """Return whether anything learns that images go through before prompts meet them."""
    trainable = (name for name, weights in model.named_parameters() if weights.requires_grad)
    return not all(name.startswith(DECODERS) for name in trainable)


def _stacked(items: Sequence[NetworkInput], device: torch.device) -> Features:
    each = [item.features or {} for item in items]
    # First as float32, for autocast joins nothing of a 16-bit type that is not its own.
    return {name: torch.cat([f[name].to(device).float() for f in each]) for name in each[0]}


def _detached(maps: Tensor) -> Tensor:
    """Detach from the graph, but gather gradients where the graph would have."""
    return maps.detach().float().requires_grad_(maps.requires_grad)
