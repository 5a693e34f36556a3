"""The options that all commands which work on images share."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import OmitArgPrefixes, Positional, arg

from anymask import formats

__all__ = ["ComputeOptions", "Flag", "Format", "ImageOptions", "RuntimeName", "load_model"]

Flag = Annotated[bool, arg(help_behavior_hint="")]
RuntimeName = Literal["auto", "torch", "onnx", "openvino"]
if TYPE_CHECKING:  # which cannot know the formats that other packages add
    Format = str
else:
    Format = Literal[tuple(formats.names())]


@dataclass(frozen=True)
class ComputeOptions:
    """Where and how a model computes; for all commands that load one."""

    device: Annotated[str, arg(metavar="DEVICE")] = "auto"
    """Where to compute: cpu, cuda, mps, or auto for the fastest there is."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Dtype to compute in; the 16-bit ones are faster on GPUs and on some newer CPUs."""
    runtime: RuntimeName = "auto"
    """What computes: torch; or onnx or openvino, for the bundled model and for a folder that
    `anymask export` wrote."""
    compile: Flag = False
    """Let PyTorch compile the encoder: the first image takes a minute, many more take less on a
    GPU."""
    offline: Flag = False
    """Download no weights; use only what is here."""


def load_model(model: str, compute: ComputeOptions) -> Any:
    """Load the model that a command names."""
    from anymask.predict import loading

    return loading.load(
        model,
        compute.device,
        compute.dtype,
        offline=compute.offline,
        runtime=compute.runtime,
        compile=compute.compile,
    )


@dataclass(frozen=True, kw_only=True)
class ImageOptions:
    """Which images, which model, and where the results go."""

    images: Annotated[
        tuple[str, ...], Positional, arg(metavar="IMAGE...", help_behavior_hint="")
    ] = ()
    """Images, folders (with all that is in them), or quoted patterns such as 'in/**/*.jpg'; -: the
    image that comes in from standard input."""
    output: Annotated[Path, arg(aliases=["-o"], metavar="DIR")] = Path("anymask-out")
    """Folder for the results; made when missing. -: one result goes to standard output."""
    model: Annotated[str, arg(aliases=["-m"], metavar="MODEL")] = "bundled"
    """A name from `anymask models`; or a path, an address or a hub id (org/name) of weights, with
    a name and a colon before it where files of several models look alike (medsam:weights.pth)."""
    compute: OmitArgPrefixes[ComputeOptions] = field(default_factory=ComputeOptions)
    """Where and how the model computes."""
    format: Annotated[Format, arg(aliases=["-f"])] = "sa1b"
    """How masks are written. sa1b: a JSON file for each image; coco: one JSON file for all; png: a
    label map for each; semantic: a map of the labels for each; yolo: a data set with data.yaml,
    labels and images; labelme: a JSON file for each image, for LabelMe; voc: a data set with PNGs
    and XML; grounded-sam: a label map and a JSON file of labels, scores and boxes; cvat: one XML
    for all, for CVAT; labelstudio: one JSON of tasks for all, for Label Studio."""
    workers: Annotated[int, arg(metavar="INT")] = 2
    """Images worked on at a time, which share the processor's cores; each needs memory."""
    no_overlay: Flag = False
    """Do not draw the masks over the image."""
    overwrite: Flag = False
    """Do every image again, also where results exist."""
    json: Flag = False
    """Print one line of JSON for each image."""
    quiet: Annotated[bool, arg(aliases=["-q"], help_behavior_hint="")] = False
    """Print nothing but errors."""
    debug: Flag = False
    """Show the traceback of an error."""

    def load(self) -> Any:
        """Load who does the work: the model."""
        return load_model(self.model, self.compute)

    def encode(self, found: Any) -> bytes:
        """Give what was found in one image as the content of a file."""
        file = io.BytesIO()
        found.save(file, format=self.format)
        return file.getvalue()
