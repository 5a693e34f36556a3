"""Depth of an image by a network: Depth Anything and DPT, through transformers."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from anymask.errors import InputError, WeightsError
from anymask.extras.depth.depth_map import DepthMap
from anymask.extras.depth.files import Kind
from anymask.optional import optional

if TYPE_CHECKING:
    import torch

    from anymask.image.image import ImageLike

__all__ = ["DEFAULT", "NAMES", "Estimator", "estimate", "load"]

NAMES = {
    "depth-anything-v2-small": "depth-anything/Depth-Anything-V2-Small-hf",
    "dpt-large": "Intel/dpt-large",
}
"""Short names of models on the hub, both under Apache-2.0."""

DEFAULT = "depth-anything-v2-small"

_CLASSES = {
    "depth_anything": "DepthAnythingForDepthEstimation",
    "dpt": "DPTForDepthEstimation",
}
_METRIC = "depth_estimation_type"  # where a config says it; without, it is relative
# The first fusion has nothing to add, so published files of DPT lack these.
_UNUSED = ("neck.fusion_stage.layers.0.residual_layer1.",)
_DIGESTED = (".json", ".safetensors", ".bin")
_PROCESSOR = "DPTImageProcessorPil"
_BESIDE = ("config.json", "preprocessor_config.json", "processor_config.json")


@dataclass(frozen=True, eq=False)
class Estimator:
    """A network that estimates depth; any number of threads may ask it.

    Attributes:
        name: What the user called it.
        kind: What its numbers mean.
        digest: Tells its weights from others.
        device: Where it computes.
    """

    name: str
    kind: Kind
    digest: str
    device: Any
    _network: Any = field(repr=False)
    _processor: Any = field(repr=False)

    def estimate(self, image: ImageLike) -> DepthMap:
        """Estimate the depth of an image, at its size.

        The image is prepared, and the answer brought to its size, by transformers itself.

        Raises:
            InputError: The image cannot be read, or the network answers the same everywhere.
        """
        import torch

        from anymask.image.image import Image

        opened = Image.open(image)
        with torch.inference_mode():
            inputs = self._processor(images=opened.to_pil(), return_tensors="pt")
            pixels = inputs["pixel_values"].to(self.device, self._network.dtype)
            outputs = self._network(pixel_values=pixels)
            outputs.predicted_depth = outputs.predicted_depth.float()
            (answer,) = self._processor.post_process_depth_estimation(
                outputs, target_sizes=[opened.size_hw]
            )
        values = answer["predicted_depth"].cpu().numpy().astype(np.float32)
        if self.kind == "metric":
            # Between pixels the bicubic curve swings over; nothing is at or behind the lens.
            values = np.where(values > 0, values, np.nan)
        return DepthMap(values, self.kind, self.name)


def load(
    name_or_path: str | os.PathLike[str] = DEFAULT,
    *,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "float32",
    offline: bool = False,
) -> Estimator:
    """Load a network that estimates depth.

    Args:
        name_or_path: ``"depth-anything-v2-small"``, ``"dpt-large"``, a hub id (``org/name``) or a
            folder that ``save_pretrained`` wrote, of Depth Anything (1 or 2, relative or metric) or
            of DPT.
        device: Where to compute.
        dtype: What to compute in.
        offline: Download nothing; ``$ANYMASK_OFFLINE`` says the same.

    Raises:
        WeightsError: There is no such model, it is none of these, or it cannot be fetched.
        MissingExtraError: transformers is not installed; nothing is fetched then.

    Examples:
        >>> estimator = load("depth-anything-v2-small")  # doctest: +SKIP
        >>> estimator.estimate("photo.jpg")  # doctest: +SKIP
        DepthMap(640 x 480, relative: 0.31 to 9.2)
    """
    transformers = optional("transformers", extra="depth")
    from anymask.device import find_device, find_dtype
    from anymask.models import cache
    from anymask.models.weights.locate import locate_folder
    from anymask.text import pretrained

    name = os.fspath(name_or_path)
    place = NAMES.get(name, name)
    kind = pretrained.model_type(place, offline=offline)
    if kind not in _CLASSES:
        raise WeightsError(
            f"expected a depth model of the type {' or '.join(_CLASSES)} in {name!r}, got one of "
            f"the type {kind}; name another"
        )
    folder = locate_folder(place, _BESIDE, offline)
    settings = pretrained.image_settings(folder)
    where = find_device(device)
    network = pretrained.load_network(
        folder, _CLASSES[kind], find_dtype(dtype, where), "depth", _UNUSED
    )
    files = [path for path in sorted(folder.iterdir()) if path.suffix in _DIGESTED]
    return Estimator(
        name,
        "metric" if getattr(network.config, _METRIC, None) == "metric" else "relative",
        cache.digest(*files),
        where,
        network.to(where),
        getattr(transformers, _PROCESSOR)(**_known(settings)),
    )


def estimate(
    image: ImageLike,
    model: str | os.PathLike[str] | Estimator = DEFAULT,
    **options: Any,
) -> DepthMap:
    """Estimate the depth of one image; see `load` and `Estimator.estimate`.

    Args:
        image: Path, bytes, Pillow image or array.
        model: What `load` returned, or what it takes.
        **options: Of `load`.

    Examples:
        >>> estimate("photo.jpg").draw().save("depth.png")  # doctest: +SKIP
    """
    if isinstance(model, Estimator):
        if options:
            raise InputError(
                f"expected no {', '.join(options)} beside a loaded model, got it; say it to load"
            )
        return model.estimate(image)
    return load(model, **options).estimate(image)


def _known(settings: dict[str, Any]) -> dict[str, Any]:
    """Leave out what names the class, which is ours to choose: the one without torchvision."""
    named = "image_processor_type", "feature_extractor_type", "processor_class"
    return {name: value for name, value in settings.items() if name not in named}
