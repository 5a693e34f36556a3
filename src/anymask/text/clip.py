"""CLIP: how alike images and a text are (Radford et al., 2021)."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import PIL.Image
import torch

from anymask.errors import WeightsError
from anymask.masks import rle
from anymask.masks.masks import Masks
from anymask.models.cache import offline
from anymask.optional import optional

__all__ = ["Clip", "Scorer", "cut"]

Pixels = npt.NDArray[np.uint8]

# Of the values 0 to 255 of the images that CLIP was trained with.
_MEAN = np.array([122.77, 116.75, 104.09], dtype=np.float32)
_STD = np.array([68.5, 66.63, 70.32], dtype=np.float32)
_GREY = np.array([123, 117, 104], dtype=np.uint8)
_AT_ONCE = 32


class Scorer(Protocol):
    """Anything that compares images with a text."""

    def __call__(self, images: Sequence[Pixels], text: str) -> npt.ArrayLike:
        """Return how alike each of n images, RGB uint8 (h, w, 3), is to the text: (n,), -1 to 1."""
        ...


class Clip:
    """A CLIP of transformers; a `Scorer`.

    Args:
        model: A ``CLIPModel``, in inference mode.
        tokenizer: Its tokenizer.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model = model
        self.tokenizer = tokenizer

    @classmethod
    @functools.lru_cache(maxsize=1)  # its weights take longer to read than an answer to give
    def load(cls, name_or_path: str, device: str = "cpu") -> Clip:
        """Load by hub id or from a folder; nothing is downloaded with ``$ANYMASK_OFFLINE``.

        Raises:
            MissingExtraError: transformers is not installed.
            WeightsError: There is no such model, or it cannot be fetched.
        """
        transformers = optional("transformers", extra="text")
        here = {"local_files_only": offline()}
        try:
            model = transformers.CLIPModel.from_pretrained(
                name_or_path, dtype=torch.float32, **here
            )
            tokenizer = transformers.AutoTokenizer.from_pretrained(name_or_path, **here)
        except (OSError, ValueError) as error:
            reason = next(iter(str(error).splitlines()), "").rstrip(".")
            raise WeightsError(
                f"cannot load the CLIP {name_or_path!r}: {reason}; give text_model a hub id that "
                "can be reached or the folder of a CLIP"
            ) from error
        return cls(model.to(device).eval(), tokenizer)

    @torch.inference_mode()
    def __call__(self, images: Sequence[Pixels], text: str) -> npt.NDArray[np.float32]:
        """Compare each of n images with the text: cosines, float32 (n,)."""
        device = self.model.device
        words = self.tokenizer([f"a photo of {text}"], return_tensors="pt", truncation=True)
        side = self.model.config.vision_config.image_size
        cosines = [np.zeros(0, np.float32)]
        for start in range(0, len(images), _AT_ONCE):
            some = [_prepare(image, side) for image in images[start : start + _AT_ONCE]]
            pixels = torch.from_numpy(np.stack(some)).to(device)
            seen = self.model(**words.to(device), pixel_values=pixels)
            cosines.append((seen.image_embeds @ seen.text_embeds.T)[:, 0].float().cpu().numpy())
        return np.concatenate(cosines)


def cut(masks: Masks, image: Pixels) -> Iterator[Pixels]:
    """Cut the box of each mask out of an image, with grey where the mask is not.

    Args:
        masks: n masks.
        image: RGB uint8 (h, w, 3), the masks' image in any size.

    Yields:
        RGB uint8, n images of different sizes.
    """
    (h, w), (height, width) = image.shape[:2], masks.size_hw
    rows = ((np.arange(h) + 0.5) * height / h).astype(np.int64)
    columns = ((np.arange(w) + 0.5) * width / w).astype(np.int64)
    for counts, box in zip(masks.counts, masks.boxes, strict=True):
        x0, y0 = np.floor(box[:2] * (w / width, h / height)).astype(np.int64)
        x1, y1 = np.ceil((box[2:] + 1) * (w / width, h / height)).astype(np.int64)
        mask = rle.decode(counts, masks.size_hw)[np.ix_(rows[y0:y1], columns[x0:x1])]
        yield np.where(mask[..., None], image[y0:y1, x0:x1], _GREY)


def _prepare(image: Pixels, side: int) -> npt.NDArray[np.float32]:
    """Fill an image up to a square, resize and normalise it: float32 (3, side, side)."""
    h, w = image.shape[:2]
    square = PIL.Image.new("RGB", (max(h, w), max(h, w)), tuple(_GREY.tolist()))
    square.paste(PIL.Image.fromarray(image), ((max(h, w) - w) // 2, (max(h, w) - h) // 2))
    small = square.resize((side, side), PIL.Image.Resampling.BICUBIC)
    normal: npt.NDArray[np.float32] = (np.asarray(small, np.float32) - _MEAN) / _STD
    return normal.transpose(2, 0, 1)
