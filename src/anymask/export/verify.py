"""Do graphs answer as the network does? Every kind of prompt, several of each, two images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from anymask.export.graphs import OFFSET
from anymask.geometry import stability_score
from anymask.image.transform import Transform
from anymask.models.fastsam import FastSam
from anymask.models.prompt_batch import PromptBatch
from anymask.models.runtime_network import RuntimeNetwork
from anymask.models.sam2 import Detailed
from anymask.models.sam_hq import HqPromptable
from anymask.models.samexporter import LIMIT
from anymask.models.variants import Variant

if TYPE_CHECKING:
    from anymask.models.exported import Exported, Precision

__all__ = ["TOLERANCES", "Row", "verify", "verify_side"]

TOLERANCES: Mapping[Precision, float | None] = {
    "float32": 2e-3,
    "fp16": 5e-2,
    "bf16": 4e-1,
    "int8-dynamic": None,
    "int8": None,
}
"""How far graphs may be from the network, by precision: the largest difference of a map, divided by
the standard deviation of its values (but for predicted IoU, of which it is the difference itself).
None: any; `agreement` judges them by their masks."""

_IMAGES = ((37, 50), (64, 41))
"""Height and width of the images, as shares of the frame in 64ths."""


@dataclass(frozen=True)
class Row:
    """What came out of one comparison."""

    case: str
    """What was asked."""
    what: str
    """What was compared."""
    difference: float
    """See `TOLERANCES`."""
    tolerance: float | None
    """The most that is allowed."""
    runtime: str = ""
    """What ran the graphs."""

    @property
    def good(self) -> bool:
        """Whether it is within the tolerance."""
        small = self.tolerance is None or self.difference <= self.tolerance
        return small and math.isfinite(self.difference)


def verify(network: nn.Module, graphs: RuntimeNetwork) -> list[Row]:
    """Compare graphs with the network that they were made from.

    Args:
        network: On the CPU, in float32.
        graphs: What `open_network` gave.
    """
    exported = graphs.exported
    variant, tolerance = exported.variant, TOLERANCES[exported.precision]
    rows: list[Row] = []
    with torch.inference_mode():
        transforms, frames = _frames(variant)
        features = _encoded(network, graphs, transforms, frames, rows, tolerance)
        if isinstance(network, FastSam):
            return _worst(rows, graphs.runtime)
        for transform, (wanted, found) in zip(transforms, features, strict=True):
            for case, prompts in _prompts(network, variant, transform):
                some = prompts.labels.numel() or prompts.boxes is not None
                if exported.layout == "samexporter" and not some:
                    continue  # its decoder wants a point or a box
                # Each side with its own features: what a user would see.
                theirs = _answers(network, exported, wanted, prompts)
                ours = graphs.decode_all(found, prompts)
                for what, a, b in zip(("logits", "predicted_iou"), theirs, ours, strict=True):
                    rows.append(Row(case, what, _difference(what, a, b), tolerance))
            if exported.layout == "transformers-js":
                rows += _in_one_call(network, exported, graphs, transform, wanted, found)
            elif exported.layout != "samexporter":  # which takes no size
                rows.append(_at_image_size(graphs, transform, found))
    return _worst(rows, graphs.runtime)


def _worst(rows: list[Row], runtime: str) -> list[Row]:
    """Keep the worst image of each case, in the order of the cases, and note what ran them."""
    kept: dict[tuple[str, str], Row] = {}
    for row in rows:
        known = kept.setdefault((row.case, row.what), row)
        if not row.difference <= known.difference:
            kept[row.case, row.what] = row
    return [replace(row, runtime=runtime) for row in kept.values()]


def _answers(
    network: nn.Module, exported: Exported, features: dict[str, Tensor], prompts: PromptBatch
) -> list[npt.NDArray[Any]]:
    """Ask the network, and do by numbers what the decoder's options want."""
    if isinstance(network, Detailed | HqPromptable):  # one answer is not their slot 0 as it is
        both = [network.decode(features, prompts, three) for three in (False, True)]
        logits, scores = (torch.cat(parts, dim=1) for parts in zip(*both, strict=True))
    else:
        logits, scores = network.decode_all(features, prompts)  # type: ignore[operator]
    if exported.stability_score:
        scores = stability_score(logits, 0.0, OFFSET)
    if exported.single_mask:
        # As the original counts them: with the padding point, and with the corners of a box.
        box = 3 if isinstance(network, Detailed) else 2
        tokens = prompts.points_xy.shape[1] + (box if prompts.boxes is not None else 1)
        several = tokens > 2 and prompts.points_xy.shape[1] + 2 * (prompts.boxes is not None) > 0
        slot = torch.zeros(len(scores), dtype=torch.long)
        if not several:
            slot = scores[:, 1:].argmax(dim=1) + 1
        every = torch.arange(len(scores))
        logits, scores = logits[every, slot, None], scores[every, slot, None]
    if exported.layout == "samexporter":
        first = 0 if exported.single_mask else 1
        logits, scores = logits[:, first:].clamp(-LIMIT, LIMIT), scores[:, first:]
    return [logits.numpy(), scores.numpy()]


def _at_image_size(graphs: RuntimeNetwork, transform: Transform, features: Any) -> Row:
    """Compare masks that the graph brought to the size of the image with ours of its logits."""
    decoder, exported = graphs.decoder, graphs.exported
    assert decoder is not None
    own = {ours: features[name] for name, ours in exported.features.items()}
    answer = decoder(
        **{name: maps for name, maps in own.items() if name in decoder.inputs},
        point_coords=np.array([[[9, 12], [20, 30]], [[12, 9], [0, 0]]], np.float32),
        point_labels=np.array([[1, 1], [1, -1]], np.float32),
        mask_input=np.zeros((1, 1, *graphs.mask_hw(transform.frame_hw)), np.float32),
        has_mask_input=np.zeros(1, np.float32),
        orig_im_size=np.array(transform.original_hw, np.float32),
    )
    wanted = transform.masks_to_image(torch.from_numpy(answer["low_res_masks"])).numpy()
    difference = _difference("masks", wanted, answer["masks"])
    return Row("at image size", "masks", difference, TOLERANCES["float32"])


def _in_one_call(
    network: nn.Module,
    exported: Exported,
    graphs: RuntimeNetwork,
    transform: Transform,
    theirs: dict[str, Tensor],
    ours: dict[str, Any],
) -> list[Row]:
    """Compare prompts of several kinds in one call, on two images, with each on its own.

    The second image is the first one turned over.
    """
    from anymask.models.transformers_js import FILL, TransformersJsNetwork, lay_out

    assert isinstance(graphs, TransformersJsNetwork)
    kinds = [
        prompts
        for case, prompts in _prompts(network, exported.variant, transform)
        if prompts.mask_logits is None and not case.startswith("3 x")
    ]
    laid = [lay_out(prompts) for prompts in kinds]
    most = max(labels.shape[1] for _, labels in laid)
    spare = [(0, most - labels.shape[1]) for _, labels in laid]
    pairs = list(zip(laid, spare, strict=True))
    points = [np.pad(some, ((0, 0), more, (0, 0))) for (some, _), more in pairs]
    labels = [np.pad(some, ((0, 0), more), constant_values=FILL) for (_, some), more in pairs]
    images = np.concatenate([ours["image"], ours["image"][..., ::-1]])
    shape = (2, len(kinds), most)
    found = graphs.answer(
        images,
        np.broadcast_to(np.concatenate(points), (*shape, 2)),
        np.broadcast_to(np.concatenate(labels), shape),
    )
    rows = []
    for i, image in enumerate((theirs["image"], theirs["image"].flip(-1))):
        for j, prompts in enumerate(kinds):
            logits, scores = _answers(network, exported, {"image": image}, prompts)
            there = slice(-found["pred_masks"].shape[2], None)
            both = (("logits", logits, "pred_masks"), ("predicted_iou", scores, "iou_scores"))
            for what, wanted, name in both:
                difference = _difference(what, wanted[:, there], found[name][i, j][None])
                tolerance = TOLERANCES[exported.precision]
                rows.append(Row("all in one call", what, difference, tolerance))
    return rows


def _frames(variant: Variant) -> tuple[list[Transform], list[Tensor]]:
    """Make images, of one size and of another, and bring them into frames."""
    wanted, rng = variant.preprocessing, np.random.default_rng(0)
    transforms, frames = [], []
    for shares in (_IMAGES[0], _IMAGES[0], _IMAGES[1]):
        size_hw = tuple(max(8, share * wanted.side // 64) for share in shares)
        transform = wanted.fit(size_hw)  # type: ignore[arg-type]
        seen = wanted.seen(transform)
        h, w = seen.resized_hw
        waves = rng.random((3, 2)) * 12
        y, x = np.mgrid[:h, :w] / max(h, w)
        smooth = np.stack([np.sin(a * x + b * y) for a, b in waves], axis=-1)
        image = (127 + 90 * smooth + rng.normal(0, 12, smooth.shape)).clip(0, 255).astype(np.uint8)
        transforms.append(transform)
        frames.append(wanted.frames(image[None], seen, torch.device("cpu")))
    return transforms, frames


def _encoded(
    network: nn.Module,
    graphs: RuntimeNetwork,
    transforms: list[Transform],
    frames: list[Tensor],
    rows: list[Row],
    tolerance: float | None,
) -> Iterator[tuple[dict[str, Tensor], dict[str, Any]]]:
    """Encode the first two images together and the third alone, and compare the features."""
    pairs = []
    for case, chosen in (("two images", [0, 1]), ("another size", [2])):
        batch = torch.cat([frames[i] for i in chosen])
        resized_hw = transforms[chosen[0]].resized_hw
        wanted = network.encode(batch, resized_hw)  # type: ignore[operator]
        found = graphs.encode(batch.numpy(), resized_hw)
        for name in graphs.exported.features:
            difference = _difference(name, wanted[name].numpy(), found[name])
            rows.append(Row(case, name, difference, tolerance))
        for i in range(len(chosen)):
            pairs.append(
                tuple({n: maps[i : i + 1] for n, maps in some.items()} for some in (wanted, found))
            )
    return iter(pairs)  # type: ignore[arg-type]


def _prompts(
    network: nn.Module, variant: Variant, transform: Transform
) -> Iterator[tuple[str, PromptBatch]]:
    """Make prompts of all kinds that a model knows, alone and several at a time."""
    rng, known = np.random.default_rng(1), variant.capabilities
    frame_hw = transform.frame_hw
    mask_hw = network.mask_hw(frame_hw)  # type: ignore[operator]
    kinds = [(points, box, mask) for mask in (0, 1) for box in (0, 1) for points in (0, 1, 3)]
    for n in (1, 3):
        for points, box, mask in kinds:
            if (mask and "mask" not in known) or (box and "box" not in known):
                continue
            if points > 1 and "points" not in known:
                continue
            labels = rng.integers(2, size=(n, points)) if "negative_points" in known else 1
            yield (
                _name(n, points, box, mask),
                PromptBatch(
                    points_xy=_floats(rng.random((n, points, 2)) * transform.resized_hw[::-1]),
                    labels=torch.from_numpy(np.ones((n, points), np.int64) * labels),
                    boxes=_floats(_boxes(rng, n, transform)) if box else None,
                    mask_logits=_floats(rng.normal(0, 4, (n, 1, *mask_hw))) if mask else None,
                    frame_hw=frame_hw,
                ),
            )


def _name(n: int, points: int, box: int, mask: int) -> str:
    parts = [f"{points} points" if points > 1 else "1 point"] if points else []
    parts += ["box"] * box + ["mask"] * mask
    return f"{n} x {' + '.join(parts) or 'nothing'}" if n > 1 else " + ".join(parts) or "nothing"


def _boxes(rng: np.random.Generator, n: int, transform: Transform) -> npt.NDArray[Any]:
    corners = np.sort(rng.random((n, 2, 2)), axis=1)
    corners[:, 1] += 0.05
    return (corners * transform.resized_hw[::-1]).reshape(n, 4)


def _floats(values: npt.NDArray[Any]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))


def _difference(what: str, wanted: npt.NDArray[Any], found: npt.NDArray[Any]) -> float:
    if wanted.shape != found.shape or not np.isfinite(found).all():
        return float("inf")
    away = float(np.abs(wanted - found).max())
    return away if what == "predicted_iou" else away / max(float(wanted.std()), 1e-6)


def verify_side(module: nn.Module, graphs: RuntimeNetwork, role: str, pixels: Tensor) -> list[Row]:
    """Compare a graph beside encoder and decoder, which takes ``pixels``, with its network."""
    graph = graphs.open(role)
    with torch.inference_mode():
        given = module(pixels)
    wanted = given if isinstance(given, tuple) else (given,)
    found = graph(pixels=pixels.numpy())
    tolerance = TOLERANCES["float32"]
    return [
        Row(role, name, _difference(name, x.numpy(), found[name]), tolerance, graphs.runtime)
        for name, x in zip(graph.outputs, wanted, strict=True)
    ]
