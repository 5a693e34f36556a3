"""How the automatic stage finds masks: everything mode as in SAM's last stage of labelling.

Kirillov et al. (2023), section 5 and appendix B: a grid over the image and over 20 crops of it,
confident and stable masks alone, nothing that covers the image, no small islands and holes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from anymask.config import GenerateConfig, InstanceConfig, changed
from anymask.optional import optional

if TYPE_CHECKING:
    from anymask.masks.masks import Masks
    from anymask.predict.segmenter import Segmenter

__all__ = ["Automatic", "GivenModel", "Work", "automatic_settings", "find_masks"]

_SMALL = 100  # pixels of an island or a hole
_WHOLE = 0.95  # share of the image
_LAYERS, _DOWNSCALE = 2, 2  # 4 and 16 crops, each with half and a quarter of the points per side
_NEUTRAL = ("points_per_batch", "memory")  # change how the masks are found, not which


class Work(Protocol):
    """What is done with the content of an image; a picklable value."""

    def identity(self) -> dict[str, Any]:
        """Give all that decides what comes out, as plain JSON values."""
        ...

    def open(self) -> Callable[[bytes], Masks]:
        """Get ready in the process that does it, such as by loading a model."""
        ...


@dataclass(frozen=True)
class Automatic:
    """Everything mode by a model that each worker loads.

    Attributes:
        model: A name from `anymask models`, a path, an address or a hub id.
        device: Where to compute.
        dtype: What to compute in.
        runtime: What computes.
        offline: Download nothing.
        options: Settings of everything mode that differ from those of the stage.
    """

    model: str = "bundled"
    device: str = "auto"
    dtype: str = "float32"
    runtime: str = "auto"
    offline: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    def identity(self) -> dict[str, Any]:
        """Give the model and the settings that are in force.

        Raises:
            WeightsError: The model is unknown, or its weights are missing or damaged.
            InputError: It does not know one of the settings.
            MissingExtraError: OpenCV, which removes small regions, is not installed.
        """
        # On the processor: who leads the work may have no GPU, and needs none.
        return _identity(self._load("cpu"), self.options)

    def open(self) -> Callable[[bytes], Masks]:
        """Load the model."""
        return GivenModel(self._load(self.device), self.options).open()

    def _load(self, device: str) -> Segmenter:
        from anymask.predict.loading import load

        how: dict[str, Any] = {"offline": self.offline, "runtime": self.runtime}
        return load(self.model, device, self.dtype, **how)


@dataclass(frozen=True)
class GivenModel:
    """Everything mode by a model that is loaded already, and shared by threads of this process.

    Attributes:
        model: The model.
        options: Settings of everything mode that differ from those of the stage.
    """

    model: Segmenter
    options: Mapping[str, Any] = field(default_factory=dict)

    def identity(self) -> dict[str, Any]:
        """Give the model and the settings; errors as for `Automatic`."""
        return _identity(self.model, self.options)

    def open(self) -> Callable[[bytes], Masks]:
        """Give what finds the masks."""
        settings = automatic_settings(self.model.variant.generate, self.options)
        return lambda content: find_masks(self.model, content, settings)


def automatic_settings(
    usual: GenerateConfig | InstanceConfig, options: Mapping[str, Any] | None = None
) -> GenerateConfig | InstanceConfig:
    """Give the settings of the automatic stage for a model.

    Args:
        usual: The model's own, whose thresholds stay: SAM's are 0.88 and 0.95, as in the paper.
        options: Single settings that should differ.

    Raises:
        InputError: The model does not know one of them.

    Examples:
        >>> settings = automatic_settings(GenerateConfig())
        >>> settings.crop_n_layers, settings.pred_iou_thresh, settings.min_mask_region_area
        (2, 0.88, 100)
    """
    if isinstance(usual, GenerateConfig):
        usual = replace(
            usual,
            crop_n_layers=_LAYERS,
            crop_n_points_downscale_factor=_DOWNSCALE,
            min_mask_region_area=_SMALL,
        )
    return changed(usual, None, dict(options or {}))


def find_masks(
    model: Segmenter, content: bytes, settings: GenerateConfig | InstanceConfig
) -> Masks:
    """Find the masks of an image, none of which covers 95 % of it or more.

    Args:
        model: Who finds them.
        content: That of the image's file.
        settings: From `automatic_settings`.

    Raises:
        InputError: The image cannot be read.
    """
    from anymask.everything.generate import clean_regions
    from anymask.everything.tiled import is_large
    from anymask.image.image import Image

    masks = model.generate(content if is_large(content) else Image.open(content), settings)
    if isinstance(settings, InstanceConfig):  # which does not know small regions
        masks = clean_regions(masks, _SMALL, settings.box_nms_thresh)
    h, w = masks.size_hw
    return masks[masks.areas < _WHOLE * h * w]


def _identity(model: Segmenter, options: Mapping[str, Any]) -> dict[str, Any]:
    settings = automatic_settings(model.variant.generate, options)
    if isinstance(settings, InstanceConfig) or settings.min_mask_region_area:
        optional("cv2", extra="farm")
    search = {name: value for name, value in asdict(settings).items() if name not in _NEUTRAL}
    return {
        "model": model.variant.name,
        "weights": model.weights_digest[:16],
        "dtype": str(model.dtype).removeprefix("torch."),
        **search,
    }
