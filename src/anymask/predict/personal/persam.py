"""PerSAM and PerSAM-F (Zhang et al., 2024) as published: one thing found again in another image.

The embedding of the reference, averaged over the thing's cells, is compared with every cell of the
other image. The most alike place is a click, the least alike a background point, and in SAM's
decoder the whole map guides the attention (`models.two_way.Guidance`); two more passes improve the
mask. There is always an answer, and one only: `match` knows "not here" and several.

Anything with maps of features and a decoder of points will do; the guidance is for networks with
SAM's decoder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from anymask.arrays import to_numpy
from anymask.embedding import Embedding
from anymask.errors import CapabilityError
from anymask.image.image import Image
from anymask.image.transform import Transform
from anymask.masks.masks import Masks
from anymask.models.prompt_batch import PromptBatch
from anymask.models.sam import Promptable
from anymask.models.two_way import Guidance
from anymask.parallel import threads_work
from anymask.predict.personal.mask_weights import MaskWeights, learn_weights
from anymask.predict.personal.model import Model
from anymask.prompt import Prompt

__all__ = [
    "MASK_VALUE",
    "Target",
    "answer",
    "appearance_of",
    "covered_cells",
    "extremes",
    "find",
    "learn",
    "mean_target",
    "similarity",
    "target_of",
]

MASK_VALUE = 255
"""What a mask's pixels are on the way into the frame: see `covered_cells`."""

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Target:
    """What a thing looks like to a model: one vector (c,) for each of its feature maps.

    Attributes:
        vectors: What other images are compared with, by the names of the maps.
        weights: How its three answers are mixed (PerSAM-F); None: PerSAM, which learns nothing.
    """

    vectors: Mapping[str, Tensor]
    weights: MaskWeights | None = None


def covered_cells(
    model: Model,
    mask: BoolArray,
    transform: Transform,
    cells_hw: tuple[int, int],
    value: int = MASK_VALUE,
) -> Tensor:
    """Find the cells of a feature map that a mask covers: bool (h', w').

    The mask goes the way of an image, as the reference has it: a cell counts if what arrives is
    lighter than the mean of the images that the model has learned from. Where the map is much
    coarser than the frame, the pixels in the middle of a cell decide.

    Args:
        model: Whose map it is.
        mask: bool (h, w) of the image.
        transform: Of the image.
        cells_hw: Size of the map.
        value: Of the mask's pixels, 1 to 255. With 255 half of them must be in the mask, with 128,
            as in PerSeg's files, nearly all.
    """
    grey = np.repeat(mask[..., None].astype(np.uint8) * np.uint8(value), 3, axis=2)
    how = model.variant.preprocessing
    resized = transform.resize(Image.open(grey), how.resize)[None]
    frame = how.frames(resized, transform, torch.device("cpu"))[:, :1]
    return F.interpolate(frame, cells_hw, mode="bilinear", align_corners=False)[0, 0] > 0


def target_of(
    model: Model,
    embedding: Embedding,
    mask: BoolArray,
    pool: Literal["mean", "half_max"] = "mean",
    value: int = MASK_VALUE,
) -> Target:
    """Sum a thing up, one vector for each map that images can be compared by.

    Args:
        model: What embedded it.
        embedding: Of the reference.
        mask: The thing in it, bool (h, w), not empty.
        pool: The mean over its cells (PerSAM), or the mean of that and of their maximum (PerSAM-F).
        value: See `covered_cells`.
    """
    vectors = {}
    for name in appearance_of(model):
        maps = torch.as_tensor(embedding.features[name])[0].float().cpu()
        covered = covered_cells(model, mask, embedding.transform, _hw(maps), value)
        cells = maps[:, covered]
        if not cells.shape[1]:  # thinner than a cell
            cells = maps.flatten(1)[:, _nearest_cell(mask, embedding.transform, _hw(maps))][:, None]
        mean = cells.mean(dim=1)
        vectors[name] = mean if pool == "mean" else cells.amax(dim=1) / 2 + mean / 2
    return Target(vectors)


def mean_target(targets: Sequence[Target]) -> Target:
    """Average what several references show of one thing."""
    vectors = {
        name: torch.stack([target.vectors[name] for target in targets]).mean(dim=0)
        for name in targets[0].vectors
    }
    learned = [astuple(target.weights) for target in targets if target.weights is not None]
    weights = MaskWeights(*np.mean(learned, axis=0).tolist()) if learned else None
    return Target(vectors, weights)


def appearance_of(model: Model) -> tuple[str, ...]:
    """Name the feature maps by which places in a model's images can be compared.

    Raises:
        CapabilityError: There are none, or the model does not give three answers to a click.
    """
    names: tuple[str, ...] = getattr(model.network, "appearance", ())
    if not names or not {"points", "multimask"} <= model.variant.capabilities:
        raise CapabilityError(
            f"expected a model that can be shown an example, got {model.variant.name}, whose "
            "features cannot be compared; take the bundled model or one of SAM's kind"
        )
    return names


def similarity(model: Model, embedding: Embedding, target: Target) -> Tensor:
    """Compare each pixel of an image with a target: cosine, float32 (h, w) of the image."""
    size = model.network.mask_hw(embedding.transform.frame_hw)
    found = []
    for name, vector in target.vectors.items():
        maps = torch.as_tensor(embedding.features[name]).float().cpu()
        cells = F.normalize(maps, dim=1, eps=1e-12)
        cosine = torch.einsum("c,nchw->nhw", vector / vector.norm().clamp(min=1e-12), cells)
        found.append(F.interpolate(cosine[None], size, mode="bilinear", align_corners=False))
    similar: Tensor = embedding.transform.masks_to_image(torch.stack(found).mean(dim=0)[0, 0])
    return similar


def extremes(similar: Tensor) -> npt.NDArray[np.int64]:
    """Find the most and the least similar pixel of a map (h, w): (2, 2), x before y."""
    places = torch.stack([similar.argmax(), similar.argmin()])
    width = similar.shape[1]
    return torch.stack([places % width, places // width], dim=1).numpy()


def guidance_of(similar: Tensor, target: Target, grid: int) -> Guidance:
    """Turn a map (h, w) of similarities into guidance of a decoder with grid x grid cells."""
    spread = (similar - similar.mean()) / similar.std().clamp(min=1e-12)
    cells = F.interpolate(spread[None, None], (grid, grid), mode="bilinear", align_corners=False)
    (vector,) = target.vectors.values()
    return Guidance(cells.sigmoid().flatten(), vector)


@threads_work()
def learn(model: Model, embedding: Embedding, mask: BoolArray, value: int = MASK_VALUE) -> Target:
    """Learn as PerSAM-F does how the answers to the most similar place are to be mixed.

    Args:
        model: One that gives three masks (multimask).
        embedding: Of the reference.
        mask: The thing in it, bool (h, w), not empty.
        value: See `covered_cells`.
    """
    target = target_of(model, embedding, mask, "half_max", value)
    top, _ = extremes(similarity(model, embedding, target))
    weights = learn_weights(model, embedding, mask, Prompt(points_xy=[top]))
    return Target(target.vectors, weights)


def find(model: Model, embedding: Embedding, target: Target) -> Masks:
    """Find a thing as published: one mask, whether it is there or not.

    Args:
        model: What embedded the reference, too.
        embedding: Of the image.
        target: From `target_of`, or from `learn`.

    Returns:
        The best answer of the last of three passes, with its prompt and logits; no mask if the one
        before was empty.
    """
    similar = similarity(model, embedding, target)
    return answer(model, embedding, extremes(similar), similar, target)


def answer(
    model: Model,
    embedding: Embedding,
    places: npt.NDArray[Any],
    similar: Tensor | None,
    target: Target,
) -> Masks:
    """Click on the most similar place, and improve the answer twice; see `find`.

    Args:
        model: Who answers.
        embedding: Of the image.
        places: The most and the least similar pixel, (2, 2), x before y.
        similar: The map that guides the decoder, (h, w); None: it looks by itself.
        target: What is looked for.
    """
    known = model.variant.capabilities
    multimask = "multimask" in known
    if target.weights is None:
        number = 2 if "negative_points" in known else 1
        clicks = Prompt(places[:number], [1, 0][:number])
        logits = _first(model, embedding, clicks, similar, target)
        asked = clicks
        if "mask" in known:
            asked = Prompt(clicks.points_xy, clicks.labels, mask_logits=logits)
    else:
        clicks = Prompt(places[:1])
        mixed = target.weights.predict(model, embedding, clicks)
        if not mixed.areas[0]:
            return _none(model, embedding)
        asked = _improved(model, clicks, mixed)
    better, scores = map(torch.as_tensor, model.decode(embedding, [asked], multimask))
    best = better[0, scores[0].argmax()]
    mask = (embedding.transform.masks_to_image(best) > 0).cpu().numpy()
    if not mask.any():
        return _none(model, embedding)
    middle = Masks.from_dense(mask, logits=best[None].cpu().numpy())
    return model.predict(
        embedding, prompts=_improved(model, clicks, middle), multimask=multimask
    ).best()


def _first(
    model: Model, embedding: Embedding, prompt: Prompt, similar: Tensor | None, target: Target
) -> npt.NDArray[np.float32]:
    """Answer the clicks, guided if the decoder can be: logits (h', w')."""
    network, transform = model.network, embedding.transform
    if similar is None or not isinstance(network, Promptable):
        return to_numpy(model.decode(embedding, [prompt], False)[0][0, 0])
    guidance = guidance_of(similar, target, network.prompt_encoder.grid)
    guidance = Guidance(*(part.to(model.device) for part in guidance))
    batch = PromptBatch.of([prompt], transform, network.mask_hw(transform.frame_hw), model.device)
    with torch.inference_mode():
        features = embedding.to(model.device, model.dtype).features
        logits, _ = network.decode_all(features, batch, slice(1), guidance)
    guided: npt.NDArray[np.float32] = logits[0, 0].cpu().numpy()
    return guided


def _improved(model: Model, clicks: Prompt, mask: Masks) -> Prompt:
    """Ask again, with the mask of an answer and with its first and last pixels as a box."""
    assert mask.logits is not None
    known = model.variant.capabilities
    box = mask.boxes[0].copy()
    box[2:] += box[2:] == box[:2]  # of a single row or column: a prompt's box has an area
    return Prompt(
        clicks.points_xy,
        clicks.labels,
        box=box if "box" in known else None,
        mask_logits=mask.logits[0] if "mask" in known else None,
    )


def _none(model: Model, embedding: Embedding) -> Masks:
    return Masks.empty(embedding.size_hw, source=embedding.source, model=model.variant.name)


def _hw(maps: Tensor) -> tuple[int, int]:
    return maps.shape[-2], maps.shape[-1]


def _nearest_cell(mask: BoolArray, transform: Transform, cells_hw: tuple[int, int]) -> int:
    """Number the cell in which the middle of a mask lies."""
    middle = np.array([np.argwhere(mask).mean(axis=0)[::-1]])
    x, y = transform.points_to_frame(middle)[0]
    (h, w), (frame_h, frame_w) = cells_hw, transform.frame_hw
    column, row = min(int(x * w / frame_w), w - 1), min(int(y * h / frame_h), h - 1)
    return row * w + column
