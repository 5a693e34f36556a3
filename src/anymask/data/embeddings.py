"""Embeddings of many images: computed once, kept on disk, read again in every epoch.

A store is a folder. ``store.json`` says which model made it; ``shards/`` holds safetensors files
with the feature maps of some images each, in half precision, and their headers say of which images.
A shard is written whole or not at all, so what was interrupted goes on where it stopped.

for done in fill("runs/teacher", model, data): ...
store = EmbeddingStore("runs/teacher", model)
store.read(data.key(0), data[0].image).features["image"]      # float16, (1, 256, 64, 64) of a SAM
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
from torch import Tensor

from anymask.data.dataset import Dataset
from anymask.embedding import Embedding
from anymask.errors import InputError
from anymask.folder import ResumableFolder
from anymask.image.image import Image
from anymask.image.transform import Transform
from anymask.parallel import in_order
from anymask.plain import from_plain, to_plain
from anymask.predict.segmenter import Segmenter

__all__ = ["EmbeddingStore", "fill"]

_ABOUT, _SHARDS = "store.json", "shards"
_FORMAT = "anymask-embeddings"  # key of a shard's header, whose value is JSON
_VERSION = 1
_PER_SHARD = 32  # images; what an interruption may cost
_AT_ONCE = 8  # images that go through the encoder together


@dataclass(frozen=True)
class _Place:
    """Where the embedding of one image lies, and what it is of."""

    shard: Path
    row: int
    digest: str
    signature: str
    transform: Transform


class EmbeddingStore:
    """What one model's encoder made of many images, to be read.

    It knows what was there when it was opened.
    """

    def __init__(self, folder: str | os.PathLike[str], model: Segmenter) -> None:
        """Open a store.

        Args:
            folder: Where it lies.
            model: Whose embeddings are expected.

        Raises:
            InputError: There is no store, it is another model's, or it is damaged.
        """
        self.folder = Path(folder)
        store = _store(self.folder, model)
        if store.saved() is None:
            raise InputError(
                f"expected a store of embeddings at {str(folder)!r}, got none; fill a new folder"
            )
        store.check()
        self._places: dict[str, _Place] = {}
        for shard in sorted((self.folder / _SHARDS).glob("[!.]*.safetensors")):
            self._places |= _read_header(shard)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def read(self, key: str, image: np.ndarray) -> Embedding:
        """Read one embedding.

        Args:
            key: Of the image in its data set.
            image: uint8 (h, w, 3), RGB: what the embedding must be of.

        Returns:
            float16 features on the CPU, as good for `Segmenter.predict` as those of `embed`.

        Raises:
            InputError: There is none, it is of another image, or its file is gone or damaged.
        """
        place = self._places.get(key)
        if place is None:
            raise InputError(
                f"expected the embedding of {key!r} in {str(self.folder)!r}, got none; fill the "
                "store first"
            )
        if place.digest != _digest(image):
            raise InputError(
                f"expected the image {key!r} as it was when {str(self.folder)!r} was filled, got "
                "another one; delete the folder, or name a new one"
            )
        return Embedding(_read_row(place), place.transform, place.signature, key)


def fill(
    folder: str | os.PathLike[str],
    model: Segmenter,
    data: Dataset,
    process: int = 0,
    processes: int = 1,
) -> Iterator[int]:
    """Embed those images of a data set that are missing in a store.

    Args:
        folder: The store; made when missing.
        model: Whose encoder looks at the images.
        data: Its keys name the images in the store.
        process: Number of this process, when several share the work, ...
        processes: ... and how many they are.

    Yields:
        How many images of this process's share are safe on disk.

    Raises:
        InputError: The store is another model's or damaged, or features are not finite or too
            large for half precision.
        OutputError: The folder cannot be written to, or the disk is full.
    """
    store = _store(Path(folder), model)
    if store.saved() is not None or not any((store.path / _SHARDS).glob("*")):
        store.begin()  # shards without a word about them may be anybody's
    with store.at_work(alone=False):
        yield from _fill(store, model, data, process, processes)


def _fill(
    folder: ResumableFolder, model: Segmenter, data: Dataset, process: int, processes: int
) -> Iterator[int]:
    store = EmbeddingStore(folder.path, model)
    share = range(process, len(data), processes)
    todo = [i for i in share if data.key(i) not in store]
    done = len(share) - len(todo)
    yield done
    # While the encoder is at work, the next images are read.
    samples = in_order(lambda i: (data.key(i), data[i].image), todo, workers=2)
    waiting: list[tuple[str, np.ndarray]] = []
    for n, sample in enumerate(samples, start=1):
        waiting.append(sample)
        if len(waiting) == _PER_SHARD or n == len(todo):
            _write_shard(folder, model, waiting)
            done += len(waiting)
            waiting = []
            yield done


def _store(folder: Path, model: Segmenter) -> ResumableFolder:
    """Describe a store: the identity is what all its embeddings have in common."""
    identity = {
        "version": _VERSION,
        "model": model.variant.name,
        "preprocessing": str(model.variant.preprocessing),
        "weights": model.weights_digest,
    }
    return ResumableFolder(
        folder,
        identity,
        holds=f"embeddings by {model.variant.name} with these weights",
        about=_ABOUT,
        remedy="delete the folder, or name a new one",
    )


def _write_shard(
    folder: ResumableFolder, model: Segmenter, images: Sequence[tuple[str, np.ndarray]]
) -> None:
    """Embed some images and write them as one file."""
    tensors: dict[str, Tensor] = {}
    rows: list[list[Any]] = []
    for start in range(0, len(images), _AT_ONCE):
        some = images[start : start + _AT_ONCE]
        embeddings = model.embed([Image.open(image) for _, image in some])
        for (key, image), embedding in zip(some, embeddings, strict=True):
            tensors |= {f"{len(rows)}/{n}": x for n, x in _halve(key, embedding).items()}
            rows.append([key, _digest(image), embedding.signature, to_plain(embedding.transform)])
    with folder.writing(f"{_SHARDS}/{secrets.token_hex(8)}.safetensors") as draft:
        draft.write_bytes(safetensors.torch.save(tensors, {_FORMAT: json.dumps(rows)}))


def _digest(image: np.ndarray) -> str:
    """Tell an image by its pixels: 32 hex digits."""
    pixels = np.ascontiguousarray(image)
    return hashlib.sha256(f"{pixels.shape}".encode() + pixels.data).hexdigest()[:32]


def _halve(key: str, embedding: Embedding) -> dict[str, Tensor]:
    """Bring features to half precision."""
    halves = {name: tensor.half().cpu().contiguous() for name, tensor in embedding.features.items()}
    for name, half in halves.items():
        if not half.isfinite().all():
            raise InputError(
                f"expected features that half precision can hold, got larger ones or NaN in "
                f"{name!r} of the image {key!r}; check the image and the weights"
            )
    return halves


def _read_header(shard: Path) -> dict[str, _Place]:
    """List the images of a shard by key."""
    try:
        with safetensors.safe_open(os.fspath(shard), framework="pt") as file:
            rows = json.loads((file.metadata() or {})[_FORMAT])
        return {
            key: _Place(shard, row, digest, signature, from_plain(Transform, about))
            for row, (key, digest, signature, about) in enumerate(rows)
        }
    except (safetensors.SafetensorError, OSError, LookupError, TypeError, ValueError) as error:
        raise _damaged(shard) from error


def _read_row(place: _Place) -> dict[str, Tensor]:
    """Read the features of one image, by name."""
    prefix = f"{place.row}/"
    try:
        with safetensors.safe_open(os.fspath(place.shard), framework="pt") as file:
            names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118
            # Copies: the file stays mapped no longer than it takes to read them.
            return {name.removeprefix(prefix): file.get_tensor(name).clone() for name in names}
    except (safetensors.SafetensorError, OSError) as error:
        raise _damaged(place.shard) from error


def _damaged(path: Path) -> InputError:
    return InputError(
        f"expected a part of a store of embeddings at {str(path)!r}, got something missing, "
        "damaged or foreign; delete that file, and its images are embedded again"
    )
