"""Numbers that reference implementations gave, and how to compare with them.

What is compared, and how closely: logits, tokens and embeddings to 2e-4 + 0.1 %, predicted IoU to
1e-4, masks but for 0.05 % of their pixels.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tests.parity import pseudo_weights
from torch import Tensor, nn

from anymask.image.image import Image
from anymask.image.transform import Transform
from anymask.masks.masks import Masks
from anymask.models.build import build
from anymask.models.prompt_batch import PromptBatch
from anymask.models.variants import Variant
from anymask.models.vit import split_windows
from anymask.predict.segmenter import Segmenter


class Golden:
    """One recorded ``.npz`` file."""

    def __init__(self, path: Path) -> None:
        with np.load(path) as file:
            self.values = dict(file)
        self.meta: dict[str, Any] = json.loads(str(self.values["meta"]))

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def __getitem__(self, name: str) -> np.ndarray:
        return self.values[name]

    def tensor(self, name: str) -> Tensor | None:
        """A float32 or int64 tensor, None where there is no such value."""
        if name not in self.values:
            return None
        value = torch.from_numpy(self.values[name])
        return value.float() if value.is_floating_point() else value


def close(got: Tensor | np.ndarray, wanted: np.ndarray, *, scale: float = 1.0) -> None:
    np.testing.assert_allclose(np.asarray(got), wanted, rtol=1e-3, atol=2e-4 * scale)


# ---- networks with pseudo-weights -----------------------------------------------------------


def weights(layout: Mapping[str, Any], *prefixes: str) -> dict[str, Tensor]:
    """The pseudo-weights whose key begins with one of the prefixes."""
    keys = {k: v for k, v in layout["keys"].items() if k.startswith(prefixes)}
    state = pseudo_weights.make_state_dict({**layout, "keys": keys})
    return {key: torch.from_numpy(value) for key, value in state.items()}


def segmenter(variant: Variant, layout: Path) -> Segmenter:
    """A model whose weights anybody can make from the layout of its file."""
    network = build(variant).eval()
    network.load_state_dict(weights(pseudo_weights.load_layout(layout), ""))
    return Segmenter(variant, network, "pseudo-weights")


def framed(image: Image, variant: Variant) -> tuple[Tensor, Transform]:
    """Normalised pixels (1, 3, side, side), and the way into that frame."""
    how = variant.preprocessing
    transform = how.fit(image.size_hw)
    pixels = torch.from_numpy(transform.resize(image, how.resize)).float()
    pixels = ((pixels - torch.tensor(how.mean)) / torch.tensor(how.std)).permute(2, 0, 1)
    frame = torch.zeros(1, 3, *transform.frame_hw)
    frame[0, :, : pixels.shape[1], : pixels.shape[2]] = pixels
    return frame, transform


# ---- stages of an encoder -------------------------------------------------------------------


@contextmanager
def watched(modules: Mapping[str, nn.Module]) -> Iterator[dict[str, Any]]:
    """Keep what modules give, under the names they have here, before others write upon it."""
    stages: dict[str, Any] = {}

    def keep(name: str, out: Any) -> None:
        stages[name] = out.clone() if isinstance(out, Tensor) else out

    hooks = [
        module.register_forward_hook(lambda _m, _i, out, name=name: keep(name, out))
        for name, module in modules.items()
    ]
    try:
        yield stages
    finally:
        for hook in hooks:
            hook.remove()


def compare_stages(golden: Golden, stages: Mapping[str, Tensor]) -> None:
    """Compare every stage that was recorded; maps of tokens are (b, h, w, c) here."""
    for name, shape in golden.meta["shapes"].items():
        got = stages[name].contiguous()
        if got.numel() != np.prod(shape):  # recorded in windows; we do not keep what fills those up
            side = shape[1] if len(shape) == 4 else isqrt(shape[1])
            got = split_windows(got, side, fill=torch.full((shape[-1],), torch.nan))
        got = got.reshape(shape).flatten()[:: int(golden[f"{name}__stride"][0])]
        wanted = golden[f"{name}__values"]
        kept = ~torch.isnan(got)
        assert kept.float().mean() > 0.8
        _, std = golden.values.get(f"{name}__mean_std", (0.0, 1.0))
        close(got[kept], wanted[kept.numpy()], scale=max(1.0, std))


def compare_embedding(golden: Golden, embedding: Tensor) -> None:
    close(embedding[0, ::4, ::3, ::3], golden["emb_sub"])
    close(embedding[0].mean(dim=(1, 2)), golden["emb_mean"])
    close(embedding[0].std(dim=(1, 2), correction=0), golden["emb_std"])


# ---- answers to prompts ---------------------------------------------------------------------


def prompt_batch(n: int, **given: Tensor | None) -> PromptBatch:
    points, labels = given.get("points"), given.get("labels")
    return PromptBatch(
        points_xy=torch.zeros(n, 0, 2) if points is None else points,
        labels=torch.zeros(n, 0, dtype=torch.int64) if labels is None else labels,
        boxes=given.get("boxes"),
        mask_logits=given.get("mask"),
        frame_hw=(1024, 1024),
    )


def compare_answer(golden: Golden, case: str, logits: Tensor, iou: Tensor, high: Tensor) -> None:
    """Compare the network's own answer, low and high resolution, with what was recorded."""
    step = golden.meta["cases"][case].get("low_res_stride", golden.meta["low_res_stride"])
    if f"{case}__low_res_sub" in golden:
        close(logits[..., ::step, ::step], golden[f"{case}__low_res_sub"])
    np.testing.assert_allclose(iou.numpy(), golden[f"{case}__iou"], atol=1e-4)
    compare_masks(golden, case, (high > 0).numpy())
    if f"{case}__high_res_sub" in golden:
        close(high[..., ::7, ::7], golden[f"{case}__high_res_sub"])


def compare_masks(golden: Golden, case: str, masks: np.ndarray, order: Any = slice(None)) -> None:
    """Compare masks (..., h, w) at the size of the image, perhaps given in another order."""
    masks = masks.reshape(-1, *masks.shape[-2:])
    off = np.abs(masks.sum(axis=(1, 2)) - golden[f"{case}__area"].reshape(-1)[order])
    assert off.max() <= max(3, 5e-4 * masks[0].size), (case, off)
    if f"{case}__masks_packed" in golden:
        wanted = np.unpackbits(golden[f"{case}__masks_packed"])[: masks.size].reshape(masks.shape)
        assert (masks != wanted.astype(bool)[order]).mean() <= 5e-4, case


def compare_prediction(golden: Golden, case: str, masks: Masks) -> None:
    """Compare what `Segmenter.predict` says to one prompt: the same answers, the best first."""
    iou = golden[f"{case}__iou"].reshape(-1)
    order = np.argsort(-iou)
    np.testing.assert_allclose(masks.scores, iou[order], atol=1e-4)
    compare_masks(golden, case, masks.dense(), order)
