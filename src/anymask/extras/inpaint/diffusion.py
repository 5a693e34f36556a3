"""Diffusion as an engine: any inpainting pipeline of diffusers, by hub id or folder.

Cropping, scaling and pasting are ours, so all pipelines are treated alike (Stable Diffusion 1 to 3,
SDXL, FLUX Fill, Kandinsky, ...), and none of them touches a pixel outside of the hole.
"""

from __future__ import annotations

import inspect
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import PIL.Image

from anymask.errors import AnymaskError, CapabilityError, InputError, WeightsError
from anymask.extras.inpaint.engine import Request, Task
from anymask.extras.inpaint.region import smooth_fill
from anymask.extras.inpaint.scaling import scaled_mask
from anymask.optional import optional

if TYPE_CHECKING:
    import torch

__all__ = ["Diffusion"]

_MULTIPLE = 64  # of which the sides of what a pipeline paints are multiples
_SIDE = 512  # where a pipeline does not say at which it has learned
_EXTRA = "diffusion"
_WORDS = {
    "negative_prompt": "negative",
    "num_inference_steps": "steps",
    "guidance_scale": "guidance",
}
"""What the settings are called here, by the names that pipelines have for them."""
_LANCZOS = PIL.Image.Resampling.LANCZOS


@dataclass(frozen=True, eq=False)
class Diffusion:
    """Paints what a text says. One thread at a time computes; the others wait."""

    pipeline: Any
    name: str
    controlnet: str | None = None
    _alone: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @classmethod
    def load(
        cls,
        source: str | os.PathLike[str],
        device: str | torch.device,
        dtype: str | torch.dtype,
        offline: bool,
        controlnet: str | os.PathLike[str] | None = None,
    ) -> Diffusion:
        """Open a pipeline, on its own or under a ControlNet; weights are downloaded if need be.

        Raises:
            WeightsError: There is none, or it cannot paint holes.
            MissingExtraError: diffusers is not installed.
        """
        diffusers = optional("diffusers", extra=_EXTRA)
        transformers = optional("transformers", extra=_EXTRA)
        from anymask.device import find_device, find_dtype
        from anymask.models import cache
        from anymask.text.pretrained import quiet

        place = find_device(device)
        how = {
            "dtype": find_dtype(dtype, place),
            "local_files_only": offline or cache.offline(),
        }
        try:
            # It has something to say about torchvision.
            with quiet(transformers, bars=not os.path.isdir(source)):
                if controlnet is not None:
                    net = diffusers.ControlNetModel.from_pretrained(controlnet, **how)
                    pipeline = _opened(diffusers, source, {**how, "controlnet": net})
                else:
                    pipeline = _opened(diffusers, source, how)
        except AnymaskError:
            raise
        except Exception as error:  # of the hub, of diffusers or of transformers: any kind
            what = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            raise WeightsError(
                f"expected a diffusers pipeline that paints holes at {_named(source, controlnet)}, "
                f"got {what}; check the name, or whether all of it is there"
            ) from error
        pipeline.set_progress_bar_config(disable=True)
        beside = None if controlnet is None else os.fspath(controlnet)
        return cls(pipeline.to(place), os.fspath(source), beside)

    @property
    def controlled(self) -> bool:
        """Whether it has a ControlNet, which has to see something."""
        return getattr(self.pipeline, "controlnet", None) is not None

    @property
    def tasks(self) -> frozenset[Task]:
        """All of them; to remove is to paint without a text."""
        return frozenset({"remove", "fill", "replace"})

    @property
    def identity(self) -> dict[str, str]:
        """The pipeline and what it is computed in."""
        dtype = str(self.pipeline.dtype).removeprefix("torch.")
        beside = {} if self.controlnet is None else {"controlnet": self.controlnet}
        return {"engine": "diffusion", "weights": self.name, **beside, "dtype": dtype}

    def paint(
        self, pixels: npt.NDArray[np.uint8], hole: npt.NDArray[np.bool_], request: Request
    ) -> npt.NDArray[np.uint8]:
        """Paint at the size that the pipeline has learned at.

        Raises:
            CapabilityError: The pipeline does not know a setting that was given.
            InputError: The pipeline's own filter held the result back.
        """
        frame = _Frame.around(hole.shape, request.size or self._side())
        options = self._options(request)
        if self.controlled != (request.control is not None):
            has, got = ("a", "none") if self.controlled else ("no", "an id map")
            raise CapabilityError(
                f"expected what {self.name} takes, which has {has} ControlNet, got {got} for it; "
                "redraw with a ControlNet, inpaint without one"
            )
        if request.control is not None:
            options["control_image"] = frame.control(request.control)
        if request.task == "remove" and not hole.all():  # nothing of it may shine through
            around = smooth_fill(pixels, ~hole)
            pixels = np.where(hole[..., None], np.rint(around), pixels).astype(np.uint8)
        image, mask = frame.image(pixels), frame.mask(hole)
        with self._alone:
            # Once more before the work: whoever waited may have been told to stop.
            request.progress(0, request.steps or 1)
            found = self.pipeline(
                image=image, mask_image=mask, height=image.height, width=image.width, **options
            )
        if any(getattr(found, "nsfw_content_detected", None) or ()):
            raise InputError(
                f"expected a result of {self.name}, but its safety checker held it back; choose "
                "other words or another seed"
            )
        return frame.back(found.images[0].convert("RGB"))

    def _options(self, request: Request) -> dict[str, Any]:
        """Give the arguments of the pipeline, under the names that it has for them."""
        import torch

        known = _arguments(self.pipeline)
        given = {
            "negative_prompt": request.negative,
            "num_inference_steps": request.steps,
            "strength": request.strength,
            "guidance_scale": request.guidance,
        }
        options: dict[str, Any] = {
            name: value for name, value in given.items() if value is not None
        }
        for name in options:
            if name not in known:
                raise CapabilityError(
                    f"expected no {_WORDS.get(name, name)} for {type(self.pipeline).__name__}, "
                    f"which knows none, got {options[name]!r}; leave it out"
                )
        if "strength" in known:  # less than 1 would leave the thing where it is
            options.setdefault("strength", 1.0)
        options["prompt"] = request.prompt
        # On the CPU, so that a seed means the same on every device.
        options["generator"] = torch.Generator("cpu").manual_seed(request.seed)
        if "callback_on_step_end" in known:
            options["callback_on_step_end"] = _follower(request.progress)
        return options

    def _side(self) -> int:
        """Find out at which size the pipeline has learned."""
        for part in ("unet", "transformer"):
            config = getattr(getattr(self.pipeline, part, None), "config", None)
            cells = getattr(config, "sample_size", None)
            if isinstance(cells, int):
                factor = getattr(self.pipeline, "vae_scale_factor", 8)
                return max(_MULTIPLE, cells * int(factor))
        return 1024 if hasattr(self.pipeline, "transformer") else _SIDE


def _opened(diffusers: Any, source: str | os.PathLike[str], how: dict[str, Any]) -> Any:
    """Open a pipeline as one that paints holes, whatever its parts were saved as."""
    try:
        pipeline = diffusers.AutoPipelineForInpainting.from_pretrained(source, **how)
    except ValueError:  # it knows no such pipeline, as that of FLUX Fill
        pipeline = diffusers.DiffusionPipeline.from_pretrained(source, **how)
    if not {"prompt", "image", "mask_image"} <= _arguments(pipeline):
        raise WeightsError(
            f"expected a pipeline that takes a prompt, an image and a mask at "
            f"{os.fspath(source)!r}, got {type(pipeline).__name__}; choose one for inpainting"
        )
    return pipeline


def _named(source: str | os.PathLike[str], controlnet: str | os.PathLike[str] | None) -> str:
    beside = "" if controlnet is None else f" with the ControlNet {os.fspath(controlnet)!r}"
    return f"{os.fspath(source)!r}{beside}"


def _arguments(pipeline: Any) -> set[str]:
    return set(inspect.signature(type(pipeline).__call__).parameters)


def _follower(progress: Callable[[int, int], None]) -> Callable[..., dict[str, Any]]:
    def follow(pipeline: Any, step: int, _: Any, values: dict[str, Any]) -> dict[str, Any]:
        total = int(getattr(pipeline, "num_timesteps", 0) or step + 1)
        progress(min(step + 1, total), total)
        return values

    return follow


@dataclass(frozen=True)
class _Frame:
    """The way from a part of an image into a pipeline and back: scaled, and padded by mirroring."""

    size_hw: tuple[int, int]
    scaled_hw: tuple[int, int]

    @classmethod
    def around(cls, size_hw: tuple[int, ...], side: int) -> _Frame:
        """Let the longer side be as long as the pipeline likes it."""
        height, width = size_hw
        scale = max(_MULTIPLE, side // _MULTIPLE * _MULTIPLE) / max(height, width)
        scaled = max(1, round(height * scale)), max(1, round(width * scale))
        return cls((height, width), scaled)

    def image(self, pixels: npt.NDArray[np.uint8]) -> PIL.Image.Image:
        """Scale and pad RGB."""
        height, width = self.scaled_hw
        scaled = PIL.Image.fromarray(pixels).resize((width, height), _LANCZOS)
        return PIL.Image.fromarray(
            np.pad(np.asarray(scaled), (*self._ends(), (0, 0)), mode="symmetric")
        )

    def control(self, colours: npt.NDArray[np.uint8]) -> PIL.Image.Image:
        """Scale and pad colours that are numbers, which cannot be averaged."""
        height, width = self.scaled_hw
        nearest = PIL.Image.Resampling.NEAREST
        scaled = PIL.Image.fromarray(colours).resize((width, height), nearest)
        return PIL.Image.fromarray(np.pad(np.asarray(scaled), (*self._ends(), (0, 0))))

    def mask(self, hole: npt.NDArray[np.bool_]) -> PIL.Image.Image:
        """Scale and pad a mask; a pixel of which a part is to be painted is painted."""
        wanted = scaled_mask(hole, self.scaled_hw).astype(np.uint8) * 255
        return PIL.Image.fromarray(np.pad(wanted, self._ends()))

    def back(self, painted: PIL.Image.Image) -> npt.NDArray[np.uint8]:
        """Cut the padding off and scale back."""
        height, width = self.scaled_hw
        cut = painted.crop((0, 0, width, height))
        return np.asarray(cut.resize((self.size_hw[1], self.size_hw[0]), _LANCZOS))

    def _ends(self) -> tuple[tuple[int, int], tuple[int, int]]:
        height, width = self.scaled_hw
        return (0, -height % _MULTIPLE), (0, -width % _MULTIPLE)
