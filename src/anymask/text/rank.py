"""Ranking of masks by words: how alike each mask's part of the image and a phrase are.

CLIP (Radford et al., 2021), SigLIP (Zhai et al., 2023) and SigLIP 2 (Tschannen et al., 2025), of a
fixed size or NaFlex, through transformers. Each mask is cut out of the image, in one of several
ways, and compared with all phrases at once.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import PIL.Image
import torch
from torch import Tensor

from anymask.config import Outside
from anymask.errors import WeightsError
from anymask.masks import rle
from anymask.masks.masks import Masks
from anymask.models.cache import digest
from anymask.models.cache import offline as is_offline
from anymask.optional import optional
from anymask.parallel import threads_work
from anymask.text import pretrained

__all__ = ["RANKERS", "Ranker", "Scorer", "crops", "is_at_hand", "load_ranker"]

Pixels = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float32]
One = TypeVar("One")

RANKERS = {
    "siglip2": "google/siglip2-base-patch16-224",
    "siglip2-naflex": "google/siglip2-base-patch16-naflex",
    "clip": "openai/clip-vit-base-patch32",
}
"""Hub ids by the short names that commands take, the first choice first."""

_FAMILIES = {"clip": "CLIPModel", "siglip": "SiglipModel", "siglip2": "Siglip2Model"}
_TEMPLATES = {"clip": "a photo of {}", "siglip": "this is a photo of {}."}

_GREY = np.array([123, 117, 104], dtype=np.uint8)  # the mean of the images that CLIP learned from
_IMAGES_AT_ONCE = 32
_PHRASES_AT_ONCE = 256
_LONGEST = 2048  # pixels; a crop that is longer is shrunk before it is filled up to a square


class Scorer(Protocol):
    """Anything that compares images with phrases."""

    def __call__(self, images: Iterable[Pixels], phrases: Sequence[str], /) -> npt.ArrayLike:
        """Return how alike n images, RGB uint8 (h, w, 3), and k phrases are: (n, k), -1 to 1."""
        ...


class Ranker:
    """A CLIP or SigLIP of transformers; a `Scorer`.

    Args:
        network: A ``CLIPModel``, ``SiglipModel`` or ``Siglip2Model``, in inference mode.
        tokenizer: Its tokenizer.
        processor: Its image processor.
        name: Where it came from.
        version: Tells its weights from others that came from there.

    Attributes:
        sigmoid: Whether it says by itself that a phrase fits nothing, as SigLIP does: each phrase
            has a probability of its own. With CLIP, phrases share one.
    """

    def __init__(
        self, network: Any, tokenizer: Any, processor: Any, name: str = "", version: str = ""
    ) -> None:
        self.network, self.tokenizer, self.processor = network, tokenizer, processor
        self.name, self.version = name, version
        self.sigmoid = network.config.model_type != "clip"
        self._said: tuple[tuple[str, ...], Tensor] | None = None
        self._saying = threading.Lock()

    @property
    def template(self) -> str:
        """The sentence that it knows phrases in, with ``{}`` in the place of the phrase."""
        return _TEMPLATES["siglip" if self.sigmoid else "clip"]

    @threads_work()
    @torch.inference_mode()
    def __call__(
        self, images: Iterable[Pixels], phrases: Sequence[str], template: str | None = None
    ) -> FloatArray:
        """Compare n images with k phrases.

        Args:
            images: RGB uint8, any sizes; 32 of them go through the network at once.
            phrases: What they may show; those of the last call are remembered.
            template: Sentence for the phrases, with ``{}`` in it; None: the network's own.

        Returns:
            Cosines, float32 (n, k).
        """
        sentences = tuple((template or self.template).replace("{}", words) for words in phrases)
        said = self._vectors_of(sentences)
        seen = [self._see(few) for few in _batches(images, _IMAGES_AT_ONCE)]
        vectors = torch.cat(seen) if seen else said.new_zeros(0, said.shape[1])
        cosines: FloatArray = (vectors @ said.T).float().cpu().numpy()
        return cosines

    def probabilities(self, cosines: npt.ArrayLike) -> FloatArray:
        """Turn cosines, (n, k), into what the network was trained to say.

        Returns:
            float32 (n, k), 0 to 1. SigLIP's are those of each phrase by itself, all small where
            none fits; CLIP's add up to 1 over the phrases.
        """
        network = self.network
        with torch.inference_mode():
            logits = torch.as_tensor(cosines).to(network.device) * network.logit_scale.exp()
            if self.sigmoid:
                said = torch.sigmoid(logits + network.logit_bias)
            else:
                said = logits.softmax(dim=-1)
            probabilities: FloatArray = said.float().cpu().numpy()
        return probabilities

    def _vectors_of(self, sentences: tuple[str, ...]) -> Tensor:
        """Encode sentences, unless that was done for the image before: (k, d), of length 1."""
        with self._saying:
            if self._said is None or self._said[0] != sentences:
                parts = [self._say(few) for few in _batches(sentences, _PHRASES_AT_ONCE)]
                self._said = sentences, torch.cat(parts)
            return self._said[1]

    def _say(self, sentences: list[str]) -> Tensor:
        config = self.network.config.text_config
        if self.sigmoid:
            # As it was trained: lower case, filled up at the right to the full length, and without
            # a mask of attention; the vector is that of the last token, whatever that is.
            lower = [sentence.lower() for sentence in sentences]
            words = self.tokenizer(
                lower,
                padding="max_length",
                padding_side="right",
                max_length=config.max_position_embeddings,
                truncation=True,
                return_tensors="pt",
            )
            asked = {"input_ids": words["input_ids"]}
        else:
            words = self.tokenizer(
                sentences,
                padding=True,
                max_length=config.max_position_embeddings,
                truncation=True,
                return_tensors="pt",
            )
            asked = {name: words[name] for name in ("input_ids", "attention_mask")}
        moved = {name: value.to(self.network.device) for name, value in asked.items()}
        return _unit(self.network.get_text_features(**moved).pooler_output)

    def _see(self, images: list[Pixels]) -> Tensor:
        square = self.network.config.model_type != "siglip2"  # NaFlex keeps proportions by itself
        prepared = self.processor(
            images=[_framed(image, square) for image in images], return_tensors="pt"
        )
        moved = {name: value.to(self.network.device) for name, value in prepared.items()}
        return _unit(self.network.get_image_features(**moved).pooler_output)


@functools.lru_cache(maxsize=1)  # its weights take longer to read than an answer to give
def load_ranker(name_or_path: str, device: str = "cpu", *, offline: bool = False) -> Ranker:
    """Load a CLIP or SigLIP, without a second time if it was the last one.

    Args:
        name_or_path: One of `RANKERS`, a hub id, or a folder as transformers writes it.
        device: Where to compute.
        offline: Download nothing; so it is with ``$ANYMASK_OFFLINE``, too.

    Raises:
        MissingExtraError: transformers is not installed.
        WeightsError: There is no such model, it cannot be fetched, or it is of another kind.

    Examples:
        >>> ranker = load_ranker("siglip2")  # doctest: +SKIP
        >>> ranker([photo], ["a dog", "a cat"]).shape  # doctest: +SKIP
        (1, 2)
    """
    transformers = optional("transformers", extra="text")
    source = RANKERS.get(name_or_path, name_or_path)
    here = {"local_files_only": offline or is_offline()}
    try:
        if not Path(source).is_dir() and (source.count("/") != 1 or source[0] in "/.~"):
            raise ValueError("there is no such folder, and no such id of the hub")
        local = here["local_files_only"] or Path(source).is_dir()
        with pretrained.quiet(transformers, bars=not local):
            kind = transformers.AutoConfig.from_pretrained(source, **here).model_type
            if kind not in _FAMILIES:
                raise ValueError(f"it is of the kind {kind!r}")
            network, loading = getattr(transformers, _FAMILIES[kind]).from_pretrained(
                source, dtype=torch.float32, output_loading_info=True, **here
            )
            if lost := sorted(loading["missing_keys"]):  # which would be left to chance
                raise ValueError(f"its weights lack {len(lost)} tensors, {lost[0]!r} first")
            tokenizer = transformers.AutoTokenizer.from_pretrained(source, **here)
            _check_tokenizer(tokenizer, network.config.text_config.vocab_size)
            processor = transformers.AutoImageProcessor.from_pretrained(source, **here)
    except (OSError, ValueError, ImportError, KeyError, RuntimeError) as error:
        raise WeightsError(
            f"cannot load the CLIP or SigLIP {name_or_path!r}: {_reason(error)}; name a hub id "
            "that can be reached, or a folder with its config, weights, tokenizer and preprocessor"
        ) from error
    version = _version(source, network.config)
    return Ranker(network.to(device).eval(), tokenizer, processor, name_or_path, version)


def is_at_hand(name: str) -> bool:
    """Return whether a ranker could be loaded without a download, by its short name."""
    return pretrained.is_at_hand(RANKERS[name])


def _version(source: str, config: Any) -> str:
    """Tell weights by the hub's commit, or those of a folder by their content."""
    files = sorted(Path(source).glob("*.safetensors")) if Path(source).is_dir() else []
    return digest(*files)[:16] if files else str(getattr(config, "_commit_hash", None) or "")


def _check_tokenizer(tokenizer: Any, vocab_size: int) -> None:
    """Refuse the empty tokenizer that transformers makes up where a folder has no file of one."""
    known = len(tokenizer)
    if known > vocab_size:
        raise ValueError(f"its tokenizer has {known} tokens, its network {vocab_size}")
    ids = tokenizer("a photo of a dog", add_special_tokens=False)["input_ids"]
    if not set(ids) - {tokenizer.unk_token_id}:
        raise ValueError("its tokenizer knows no word, as if its file were missing")


def _reason(error: Exception) -> str:
    """Take the first sentence of what transformers says, as part of another."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    first = lines[0] if lines else type(error).__name__
    return first.strip().split(". ")[0].rstrip(".:")


def crops(
    masks: Masks, image: Pixels, *, context: float = 0.0, outside: Outside = "blank"
) -> Iterator[Pixels]:
    """Cut the box of each mask out of an image.

    Args:
        masks: n masks.
        image: RGB uint8 (h, w, 3), the masks' image in any size.
        context: How far the box is widened to each side, as a share of its longer side; it ends at
            the border of the image.
        outside: What becomes of what is not the mask: "keep" it, "dim" it half way to grey, or
            "blank" it with grey.

    Yields:
        RGB uint8, n images of different sizes, at least one pixel each.

    Examples:
        >>> mask = np.zeros((8, 12), bool)
        >>> mask[2:4, 2:6] = True
        >>> (crop,) = crops(Masks.from_dense(mask), np.full((8, 12, 3), 9, np.uint8), context=0.25)
        >>> crop.shape, crop[0, 0].tolist()
        ((4, 6, 3), [123, 117, 104])
    """
    (h, w), (height, width) = image.shape[:2], masks.size_hw
    scale = np.array([w / width, h / height])
    # The row and the column of the mask that each pixel of the image lies in.
    rows = ((np.arange(h) + 0.5) * height / h).astype(np.int64)
    columns = ((np.arange(w) + 0.5) * width / w).astype(np.int64)
    for counts, box in zip(masks.counts, masks.boxes.astype(np.float64), strict=True):
        low, high = box[:2] * scale, (box[2:] + 1) * scale
        margin = context * (high - low).max()
        x0, y0 = np.floor(low - margin).clip(0).astype(np.int64)
        x1, y1 = np.minimum(np.ceil(high + margin), (w, h)).astype(np.int64)
        crop = image[y0:y1, x0:x1]
        if outside != "keep":
            inside = _window(counts, masks.size_hw, rows[y0:y1], columns[x0:x1])[..., None]
            # uint16, for the sum of two colours does not fit into 8 bits.
            other = _GREY if outside == "blank" else (crop.astype(np.uint16) + _GREY) // 2
            crop = np.where(inside, crop, other).astype(np.uint8)
        yield crop


def _window(
    counts: rle.Counts,
    size_hw: tuple[int, int],
    rows: npt.NDArray[np.int64],
    columns: npt.NDArray[np.int64],
) -> npt.NDArray[np.bool_]:
    """Decode the given rows and columns of a mask alone, however large the whole is."""
    x0, y0, x1, y1 = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    box = (int(x0), int(y0), int(x1), int(y1))
    inside = rle.decode(rle.crop(counts, size_hw, box), (box[3] - box[1], box[2] - box[0]))
    return inside[np.ix_(rows - y0, columns - x0)]


def _framed(image: Pixels, square: bool) -> PIL.Image.Image:
    """Fill an image up to a square with grey, so that nothing is squashed or cut off."""
    framed = PIL.Image.fromarray(image)
    framed.thumbnail((_LONGEST, _LONGEST), PIL.Image.Resampling.BICUBIC)  # of larger ones only
    w, h = framed.size
    if not square or w == h:
        return framed
    side = max(w, h)
    canvas = PIL.Image.new("RGB", (side, side), tuple(_GREY.tolist()))
    canvas.paste(framed, ((side - w) // 2, (side - h) // 2))
    return canvas


def _batches(some: Iterable[One], size: int) -> Iterator[list[One]]:
    rest = iter(some)
    while few := list(islice(rest, size)):
        yield few


def _unit(vectors: Tensor) -> Tensor:
    return torch.nn.functional.normalize(vectors, dim=-1)
