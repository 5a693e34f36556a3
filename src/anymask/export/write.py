"""From a model to a folder of graphs that were compared with it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from anymask import __version__
from anymask.errors import CapabilityError, InputError, WeightsError
from anymask.export import weights
from anymask.export.parts import DecoderOptions, Part, parts_of, side_parts, tensor_names
from anymask.export.report import REPORT_JSON, REPORT_TEXT, Report
from anymask.export.trace import OPSET, check_opset, trace
from anymask.models.exported import MANIFEST, Exported, Layout, record
from anymask.models.runtime import RuntimeNetwork, pick_runtime
from anymask.models.sam import Promptable
from anymask.models.weights.folder import new_folder
from anymask.models.weights.loading import load_network
from anymask.optional import optional

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from anymask.models.detector import Detector
    from anymask.models.saliency import Saliency
    from anymask.models.variants import Variant

__all__ = ["export"]

_LAYOUTS = ("onnx", "openvino", "transformers-js")


@dataclass(frozen=True)
class Source:
    """What is exported."""

    network: nn.Module
    variant: Variant
    digest: str
    beside: tuple[Detector, Saliency] | None
    """What comes with the bundled model."""


def export(
    model: str | os.PathLike[str] = "bundled",
    output: str | os.PathLike[str] = "anymask-export",
    *,
    to: Layout = "onnx",
    opset: int = OPSET,
    raw_image: bool = False,
    single_mask: bool = False,
    stability_score: bool = False,
    extra_metrics: bool = False,
    adapter: str | os.PathLike[str] | None = None,
    offline: bool = False,
) -> Report:
    """Write a model as graphs that run without PyTorch, and compare them with it.

    The folder is loaded by `load`, and by whatever runs ONNX; docs/export.md describes its files.

    Args:
        model: What `load` takes: a name, a path, an address or a hub id.
        output: The new folder, which must be missing or empty.
        to: ``"onnx"``, or ``"openvino"`` for files of OpenVINO's own.
        opset: Version of ONNX's operators.
        raw_image: Let the encoder take uint8 images (b, h, w, 3), which it resizes and normalises,
            not preprocessed frames (b, 3, h, w).
        single_mask: Let the decoder choose one mask for each prompt: the first slot if there are
            several points, else the best of the others.
        stability_score: Let it score by stability instead of the predicted IoU.
        extra_metrics: Let it give stability and area of the masks, too.
        adapter: Folder of what the model learned beside its weights; see `load`.
        offline: Download nothing.

    Returns:
        How close the graphs come to the network, for every kind of prompt; it lies in the folder,
        too, as ``report.json`` and ``report.txt``.

    Raises:
        InputError: The opset is too old, or the options do not go together.
        CapabilityError: The model has no network that can be exported.
        WeightsError: The weights are missing or damaged, or the graphs differ from the network.
        OutputError: The folder cannot be written.
        MissingExtraError: A package is missing.

    Examples:
        >>> import tempfile
        >>> from anymask import export, load
        >>> report = export("bundled", tempfile.mkdtemp())  # doctest: +SKIP
        >>> load(report.folder).predict("photo.jpg", points=[(365, 270)])  # doctest: +SKIP
    """
    _check_options(to, opset, raw_image)
    source = load_source(model, offline, adapter)
    decoder = DecoderOptions(single_mask, stability_score, extra_metrics)
    place = Path(output).expanduser()
    with new_folder(place) as draft:
        exported = _write_graphs(draft, source, decoder, to, opset, raw_image)
        (draft / MANIFEST).write_text(as_json(exported.toas_json()), encoding="utf-8")
        report = compare(draft, source, exported)
        report.check()
        (draft / REPORT_JSON).write_text(as_json(report.toas_json()), encoding="utf-8")
        (draft / REPORT_TEXT).write_text(report.to_text(), encoding="utf-8")
    return replace(report, folder=place)


def _check_options(to: str, opset: int, raw_image: bool) -> None:
    from anymask.export.image_input import LEAST_OPSET

    if to not in _LAYOUTS:
        raise InputError(f"expected a layout out of {', '.join(_LAYOUTS)}, got {to!r}; pick one")
    if to == "transformers-js":
        raise CapabilityError(
            "expected layout onnx or openvino, got transformers-js, which is not written yet; "
            "pick one of the two"
        )
    check_opset(opset, LEAST_OPSET if raw_image else 0)
    optional("onnx", extra="export")
    pick_runtime("auto", to)


def load_source(
    model: str | os.PathLike[str], offline: bool, adapter: str | os.PathLike[str] | None
) -> Source:
    """Load what is to be exported, on the CPU and in float32.

    Raises:
        CapabilityError: It is no network of ours.
    """
    from anymask.models.weights.locate import locate

    network, variant, digest = load_network(model, "cpu", torch.float32, offline, adapter)
    if variant.network is None:
        raise CapabilityError(
            f"expected a network of anymask, got {variant.name}, which another package brings and "
            "whose insides are not known; export it with that package"
        )
    tensor_names(cast("nn.Module", network))  # refuses what has none
    beside = None
    if variant.family == "compact" and digest == load_digest(locate("bundled", offline=True)[0]):
        from anymask.models.detector import load_detector
        from anymask.models.saliency import load_saliency

        beside = load_detector(), load_saliency()
    return Source(cast("nn.Module", network), variant, digest, beside)


def load_digest(path: Path) -> str:
    """Compute what `load_network` calls the weights in a file."""
    from anymask.models import cache

    return cache.digest(path)


def list_parts(source: Source, options: DecoderOptions) -> Sequence[Part]:
    """List all graphs of what is exported."""
    parts = list(parts_of(source.network, source.variant, options))
    return parts if source.beside is None else [*parts, *side_parts(*source.beside)]


def _write_graphs(
    folder: Path,
    source: Source,
    options: DecoderOptions,
    to: Layout,
    opset: int,
    raw_image: bool,
) -> Exported:
    """Record all graphs and write them into a folder."""
    exported = about(source, options, to, opset, raw_image)
    files, graphs = {}, {}
    for part in list_parts(source, options):
        model = trace(part.module, part.inputs, part.outputs, part.sizes, opset)
        if raw_image and part.role == "encoder":
            from anymask.export.image_input import with_image_input

            model = with_image_input(model, source.variant.preprocessing, opset)
        mark(model, exported, part.role)
        written = weights.save(model, folder / f"{part.role}.onnx")
        check_graph(written[0])
        if to == "openvino":
            written = _to_openvino(written, exported)
        graphs[part.role] = written[0].name
        files |= {path.name: record(path) for path in written}
    return replace(exported, graphs=graphs, files=files)


def about(
    source: Source, options: DecoderOptions, to: Layout, opset: int, raw_image: bool
) -> Exported:
    """Say what a folder is going to be; which files it has comes later."""
    network = source.network
    fixed = isinstance(network, Promptable)
    side = source.variant.preprocessing.side
    return Exported(
        variant=source.variant,
        weights_digest=source.digest,
        layout=to,
        graphs={},
        files={},
        features=tensor_names(network),
        mask_hw=network.mask_hw((side, side)) if isinstance(network, Promptable) else None,
        mask_stride=4 if fixed or source.variant.kind == "instances" else 2,
        appearance=tuple(getattr(network, "appearance", ())),
        texture=dict(getattr(network, "texture", {})),
        raw_image=raw_image,
        opset=opset,
        anymask=__version__,
        **asdict(options),
    )


def mark(model: Any, exported: Exported, role: str) -> None:
    """Write into a graph's metadata what it is."""
    variant = exported.variant
    about: Mapping[str, Any] = {
        "anymask": exported.anymask,
        "anymask.role": role,
        "anymask.model": variant.name,
        "anymask.family": variant.family,
        "anymask.licence": variant.weights.licence,
        "anymask.weights_sha256": exported.weights_digest,
        "anymask.precision": exported.precision,
        "anymask.preprocessing": json.dumps(asdict(variant.preprocessing)),
    }
    model.producer_name, model.producer_version = "anymask", exported.anymask
    del model.metadata_props[:]
    for key, value in about.items():
        model.metadata_props.add(key=key, value=str(value))


def check_graph(path: Path) -> None:
    """Check that a graph is one.

    Raises:
        WeightsError: It is not.
    """
    import onnx

    try:
        onnx.checker.check_model(str(path), full_check=False)
    except onnx.checker.ValidationError as error:
        raise WeightsError(
            f"expected a valid ONNX graph of the {path.stem}, got one that its checker refuses "
            f"({' '.join(str(error).split())[:200]}); try another --opset, and tell us"
        ) from error


def _to_openvino(written: Sequence[Path], exported: Exported) -> list[Path]:
    """Turn an ONNX graph into OpenVINO's two files, and delete it."""
    openvino = optional("openvino", extra="openvino")
    path = written[0]
    model = openvino.Core().read_model(str(path))
    for key, value in _marks(path).items():
        model.set_rt_info(value, ["anymask", key.removeprefix("anymask.")])
    target = path.with_suffix(".xml")
    openvino.save_model(model, str(target), compress_to_fp16=exported.precision == "fp16")
    del model  # which maps the file that is deleted next
    for old in written:
        old.unlink()
    return [target, target.with_suffix(".bin")]


def _marks(path: Path) -> dict[str, str]:
    import onnx

    model = onnx.load(str(path), load_external_data=False)
    return {entry.key: entry.value for entry in model.metadata_props}


def compare(folder: Path, source: Source, exported: Exported) -> Report:
    """Run what was written beside the network, for every kind of prompt."""
    from anymask.export.verify import verify, verify_side

    runtime = pick_runtime("auto", exported.layout)
    graphs = RuntimeNetwork(folder, exported, runtime, any_decoder=True)
    rows = verify(source.network, graphs)
    if source.beside is not None:
        for part in side_parts(*source.beside):
            pixels = torch.rand(part.inputs["pixels"].shape) * 2 - 1
            rows += verify_side(part.module, graphs, part.role, pixels)
    sizes = {name: one.size for name, one in exported.files.items()}
    return Report(folder, exported, runtime, tuple(rows), sizes)


def as_json(about: Mapping[str, Any]) -> str:
    """Write what JSON can hold for people to read, too."""
    return json.dumps(about, indent=2, ensure_ascii=False) + "\n"
