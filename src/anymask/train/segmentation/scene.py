"""Photos that are encoded once and asked about many times, also backwards."""

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

__all__ = ["DECODERS", "Features", "Scene", "Shown", "encoder_learns", "of_one_frame"]

Features: TypeAlias = Mapping[str, Tensor]

DECODERS = ("mask_decoder.", "prompt_encoder.", "decoder.", "prompt_maps.")
"""How the names of those parameters begin that no network encodes with."""


class Shown(Protocol):
    """One photo in a network's frame; see `anymask.data.item.Item`, which is one."""

    @property
    def key(self) -> str:
        """Names the photo."""

    @property
    def transform(self) -> Transform:
        """The way from its pixels into the frame."""

    @property
    def image(self) -> npt.NDArray[Any] | None:
        """What is to be encoded, (h, w, 3) of ``transform.resized_hw``; None with features."""

    @property
    def features(self) -> Mapping[str, Tensor] | None:
        """What it was encoded as beforehand; None: it is encoded when it is asked about."""


Photo = TypeVar("Photo", bound=Shown)


class Scene:
    """The features of photos that share a frame, and what they shall learn.

    All that is asked about them is learned from a copy that is cut off from the encoder; what the
    copies gather goes through the encoder in one pass at the end.
    """

    def __init__(
        self,
        model: nn.Module,
        items: Sequence[Shown],
        preprocessing: Preprocessing,
        device: torch.device,
    ) -> None:
        """Encode the photos, unless their items carry features."""
        self.model: Any = model
        self.frame_hw = items[0].transform.frame_hw
        if items[0].features is None:
            self._features = self._encode(items, preprocessing, device)
        else:
            self._features = _carried(items, device)
        self.leaves = {name: _cut(maps) for name, maps in self._features.items()}
        """The features cut off from the encoder, float32 (b, c, h', w') each."""

    @property
    def mask_hw(self) -> tuple[int, int]:
        """Size of the network's answers, which cover the frame."""
        size_hw: tuple[int, int] = self.model.mask_hw(self.frame_hw)
        return size_hw

    def _encode(
        self, items: Sequence[Shown], preprocessing: Preprocessing, device: torch.device
    ) -> Features:
        frames = []
        for item in items:
            if item.image is None:
                raise InputError(
                    f"expected an image or features of {item.key!r}, got neither; keep one of them"
                )
            frames.append(preprocessing.frames(item.image[None], item.transform, device))
        with torch.set_grad_enabled(encoder_learns(self.model)):
            features: Features = self.model.encode(torch.cat(frames), self.frame_hw)
        return features

    @contextmanager
    def about(self, owners: Sequence[int]) -> Iterator[Features]:
        """Lend the features for prompts on one image, or for one prompt each on several.

        Args:
            owners: Which image each of the prompts is about.
        """
        owners = owners[:1] if len(set(owners)) == 1 else owners
        places = torch.tensor(owners, device=next(iter(self.leaves.values())).device)
        lent = {name: _cut(leaf[places]) for name, leaf in self.leaves.items()}
        yield lent
        for name, copies in lent.items():
            if copies.grad is not None:
                leaf = self.leaves[name]
                if leaf.grad is None:
                    leaf.grad = torch.zeros_like(leaf)
                leaf.grad.index_add_(0, places, copies.grad)

    def teach_encoder(self) -> None:
        """Back-propagate through the encoder what was learned about its features."""
        pairs = [(self._features[name], leaf.grad) for name, leaf in self.leaves.items()]
        learned = [(maps, grad.to(maps.dtype)) for maps, grad in pairs if grad is not None]
        if learned:
            features, gradients = zip(*learned, strict=True)
            torch.autograd.backward(features, gradients)


def of_one_frame(batch: Sequence[Photo]) -> list[list[Photo]]:
    """Group photos that can go through a network together, in the order in which they come."""
    groups: dict[Any, list[Photo]] = {}
    for photo in batch:
        groups.setdefault((photo.transform.frame_hw, photo.features is None), []).append(photo)
    return list(groups.values())


def encoder_learns(model: nn.Module) -> bool:
    """Tell whether anything learns that images go through before they are asked about."""
    learned = (name for name, weights in model.named_parameters() if weights.requires_grad)
    return not all(name.startswith(DECODERS) for name in learned)


def _carried(items: Sequence[Shown], device: torch.device) -> Features:
    each = [item.features or {} for item in items]
    # First as float32, for autocast joins nothing of a 16-bit type that is not its own.
    return {name: torch.cat([f[name].to(device).float() for f in each]) for name in each[0]}


def _cut(maps: Tensor) -> Tensor:
    """Cut off from the graph, but gather gradients where the graph would have."""
    return maps.detach().float().requires_grad_(maps.requires_grad)
