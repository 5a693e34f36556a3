"""From a model to a folder of graphs that were compared with it."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import numpy as np
import numpy.typing as npt
import torch

from anymask import __version__
from anymask.embedding import Embedding
from anymask.errors import CapabilityError, InputError, MissingExtraError, WeightsError
from anymask.export import samexporter, transformers_js, weights
from anymask.export.agreement import (
    Agreement,
    check_least,
    compare_masks,
    frames_of,
    read_images,
    time_calls,
)
from anymask.export.parts import DecoderOptions, Part, parts_of, side_parts, tensor_names
from anymask.export.quantize import Quantize, check_quantize
from anymask.export.quantize import quantize as quantized
from anymask.export.report import REPORT_JSON, REPORT_TEXT, Report
from anymask.export.trace import OPSET, OPSETS, check_opset, trace
from anymask.image.image import Image
from anymask.models.exported import MANIFEST, Exported, FileRecord, Layout, is_exported, record
from anymask.models.graph_folder import open_folder
from anymask.models.network import Network
from anymask.models.runtime import HINTS, open_graph, openvino_core, pick_runtime
from anymask.models.sam import Promptable
from anymask.models.weights.folder import new_folder
from anymask.models.weights.loading import load_network
from anymask.optional import optional
from anymask.predict.instances import InstanceSegmenter
from anymask.predict.segmenter import Segmenter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from anymask.models.detector import Detector
    from anymask.models.saliency import Saliency
    from anymask.models.sam2 import Detailed
    from anymask.models.variants import Variant

__all__ = ["export"]

_LAYOUTS: tuple[Layout, ...] = get_args(Layout)


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
    quantize: Quantize | None = None,
    calibrate: str | os.PathLike[str] | None = None,
    min_agreement: float = 0.95,
    adapter: str | os.PathLike[str] | None = None,
    offline: bool = False,
) -> Report:
    """Write a model as graphs that run without PyTorch, and compare them with it.

    The folder is loaded by `load`, and by whatever runs ONNX; docs/export.md describes its files.

    Args:
        model: What `load` takes: a name, a path, an address or a hub id.
        output: The new folder, which must be missing or empty.
        to: ``"onnx"``; ``"openvino"`` for files of OpenVINO's own; of SAM and MobileSAM
            ``"transformers-js"`` for ONNX as that library reads it; of SAM 2 ``"samexporter"``
            for ONNX with that one's names, which `load` does not take.
        opset: Version of ONNX's operators.
        raw_image: Let the encoder take uint8 images (b, h, w, 3), which it resizes and normalises,
            not preprocessed frames (b, 3, h, w).
        single_mask: Let the decoder choose one mask for each prompt: the first slot if there are
            several points, else the best of the others.
        stability_score: Let it score by stability instead of the predicted IoU.
        extra_metrics: Let it give stability and area of the masks, too.
        quantize: ``"fp16"`` or ``"bf16"``: all weights in 16 bits; ``"int8-dynamic"`` or
            ``"int8"``: those of the encoder in 8, and activations too, measured in every run or
            beforehand. None: float32.
        calibrate: A folder of images such as those to come: on them ``"int8"`` measures
            activations, and masks are compared with those of the model in float32.
        min_agreement: Least mean IoU with those masks.
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
    check_least(min_agreement)
    precision = check_quantize(quantize, calibrate is not None)
    if to == "transformers-js":
        transformers_js.check_options(precision, raw_image, extra_metrics)
    if to == "samexporter":
        samexporter.check_options(raw_image, extra_metrics)
    images = read_images(Path(calibrate).expanduser()) if calibrate is not None else []
    source = load_source(model, offline, adapter)
    if to == "transformers-js":
        transformers_js.check_network(source.network, source.variant)
    if to == "samexporter":
        samexporter.check_network(source.network, source.variant)
    decoder = DecoderOptions(single_mask, stability_score, extra_metrics)
    place = Path(output).expanduser()
    with new_folder(place) as draft, tempfile.TemporaryDirectory() as plain:
        exported = replace(about(source, decoder, to, opset, raw_image), precision=precision)
        frames = frames_of(images, source.variant)
        exported = _write_graphs(draft, source, decoder, exported, frames, Path(plain))
        if to == "transformers-js":
            _write_configs(draft, exported)
        (draft / MANIFEST).write_text(as_json(exported.to_json()), encoding="utf-8")
        report = compare(draft, source, exported)
        report.check()
        if precision != "float32" and images:
            agreements = []
            for runtime in runtimes_for(exported):
                one = _agree(draft, source, exported, runtime, images, Path(plain), min_agreement)
                one.check()
                agreements.append(one)
            report = replace(report, agreements=tuple(agreements))
        (draft / REPORT_JSON).write_text(as_json(report.to_json()), encoding="utf-8")
        (draft / REPORT_TEXT).write_text(report.to_text(), encoding="utf-8")
    return replace(report, folder=place)


def write_parts(
    network: nn.Module, variant: Variant, digest: str, folder: Path, roles: Sequence[str]
) -> Exported:
    """Write some of a network's graphs, unmeasured, for a use that takes no others.

    Args:
        network: On the CPU, in float32.
        variant: Its row of the table.
        digest: That of its weights.
        folder: Where; it has to be there.
        roles: Which of its graphs.

    Raises:
        CapabilityError: It is no network that can be exported.
    """
    tensor_names(network)  # refuses what has none
    options = DecoderOptions()
    source = Source(network, variant, digest, None)
    exported = about(source, options, "onnx", OPSET, raw_image=False)
    files: dict[str, FileRecord] = {}
    graphs: dict[str, str] = {}
    for part in list_parts(source, options):
        if part.role not in roles:
            continue
        graph = trace(part.module, part.inputs, part.outputs, part.sizes, OPSET)
        mark(graph, exported, part.role)
        written = weights.save(graph, folder / f"{part.role}.onnx")
        graphs[part.role] = written[0].name
        files |= {path.name: record(path) for path in written}
    exported = replace(exported, graphs=graphs, files=files)
    (folder / MANIFEST).write_text(as_json(exported.to_json()), encoding="utf-8")
    return exported


def _check_options(to: str, opset: int, raw_image: bool) -> None:
    from anymask.export.image_input import LEAST_OPSET

    if to not in _LAYOUTS:
        raise InputError(f"expected a layout out of {', '.join(_LAYOUTS)}, got {to!r}; pick one")
    if raw_image and to == "openvino":
        raise InputError(
            "expected preprocessed frames for OpenVINO, got raw_image, whose resizing OpenVINO "
            "does in another way; leave it out, or export to onnx"
        )
    check_opset(opset, LEAST_OPSET if raw_image else OPSETS.start)
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

    if isinstance(model, str | os.PathLike) and is_exported(model):
        raise InputError(
            f"expected weights to export, got {str(model)!r}, which anymask export wrote; name the "
            "model that it was made from"
        )
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


def list_parts(source: Source, options: DecoderOptions, to: Layout = "onnx") -> Sequence[Part]:
    """List all graphs of what is exported."""
    if to == "transformers-js":
        network = cast("Promptable", source.network)
        return list(transformers_js.parts_of(network, source.variant, options))
    if to == "samexporter":
        return list(samexporter.parts_of(cast("Detailed", source.network), source.variant, options))
    parts = list(parts_of(source.network, source.variant, options))
    return parts if source.beside is None else [*parts, *side_parts(*source.beside)]


def _write_graphs(
    folder: Path,
    source: Source,
    options: DecoderOptions,
    exported: Exported,
    frames: Sequence[npt.NDArray[np.float32]],
    plain: Path,
) -> Exported:
    """Record all graphs and write them into a folder, and into another the encoder in float32."""
    files: dict[str, FileRecord] = {}
    graphs: dict[str, str] = {}
    opset, precision = exported.opset, exported.precision
    for part in list_parts(source, options, exported.layout):
        model = trace(part.module, part.inputs, part.outputs, part.sizes, opset)
        if precision != "float32":
            if part.role == "encoder":
                weights.save(model, plain / "encoder.onnx")
            model = quantized(model, precision, part.role, frames)
        if exported.raw_image and part.role == "encoder":
            from anymask.export.image_input import with_image_input

            model = with_image_input(model, source.variant.preprocessing.for_encoder, opset)
        mark(model, exported, part.role)
        name = _file_name(part.role, exported)
        (folder / name).parent.mkdir(exist_ok=True)
        beside_as = "_data" if exported.layout == "transformers-js" else ".data"
        written = weights.save(model, folder / name, beside_as)
        check_graph(written[0])
        if exported.layout == "openvino":
            written = _to_openvino(written)
        paths = {path.relative_to(folder).as_posix(): path for path in written}
        graphs[part.role] = next(iter(paths))
        files |= {name: record(path) for name, path in paths.items()}
    return replace(exported, graphs=graphs, files=files)


def _file_name(role: str, exported: Exported) -> str:
    """Name the file of a graph, as its layout has it."""
    if exported.layout == "transformers-js":
        return transformers_js.file_name(role, exported.precision)
    if exported.layout == "samexporter":
        return samexporter.file_name(role, exported.variant)
    return f"{role}.onnx"


def _write_configs(folder: Path, exported: Exported) -> None:
    """Write what transformers.js reads beside the graphs."""
    graphs = exported.graphs.items()
    beside = [role for role, name in graphs if f"{name}_data" in exported.files]
    configs = transformers_js.make_configs(exported.variant, exported.precision, beside)
    for name, config in configs.items():
        (folder / name).write_text(as_json(config), encoding="utf-8")


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


def _to_openvino(written: Sequence[Path]) -> list[Path]:
    """Turn an ONNX graph into OpenVINO's two files, and delete it."""
    openvino = optional("openvino", extra="openvino")
    path = written[0]
    model = openvino_core().read_model(str(path))
    for key, value in _marks(path).items():
        model.set_rt_info(value, ["anymask", key.removeprefix("anymask.")])
    target = path.with_suffix(".xml")
    openvino.save_model(model, str(target), compress_to_fp16=False)
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
    from anymask.export.verify import Row, verify, verify_side

    runtimes = runtimes_for(exported)
    rows: list[Row] = []
    for runtime in runtimes:
        graphs = open_folder(folder, exported, runtime, any_decoder=True)
        rows += verify(source.network, graphs)
        if source.beside is not None:
            for part in side_parts(*source.beside):
                pixels = torch.rand(part.inputs["pixels"].shape) * 2 - 1
                rows += verify_side(part.module, graphs, part.role, pixels)
    sizes = {name: one.size for name, one in exported.files.items()}
    return Report(folder, exported, runtimes, tuple(rows), sizes)


def runtimes_for(exported: Exported) -> tuple[Literal["onnx", "openvino"], ...]:
    """List what is to run a folder for the comparison.

    It is what runs it by itself, and OpenVINO, if it is there, where that computes in another
    dtype.
    """
    usual = pick_runtime("auto", exported.layout)
    if usual == "openvino" or exported.precision not in HINTS or exported.raw_image:
        return (usual,)
    try:
        return usual, pick_runtime("openvino", exported.layout)
    except MissingExtraError:
        return (usual,)


def _agree(
    folder: Path,
    source: Source,
    exported: Exported,
    runtime: Literal["onnx", "openvino"],
    images: Sequence[Image],
    plain: Path,
    least: float,
) -> Agreement:
    """Compare the masks of a quantized encoder with those of the network, and its speed."""
    graphs = open_folder(folder, exported, runtime, any_decoder=True)
    kind = InstanceSegmenter if source.variant.kind == "instances" else Segmenter
    # Of one digest, so that one model answers about the embeddings of both.
    model = kind(source.variant, cast(Network, source.network), source.digest)
    small = Segmenter(source.variant, cast(Network, graphs), source.digest)

    def encode(image: Image) -> Embedding:
        embedding = small.embed(image)
        features = {name: torch.as_tensor(maps) for name, maps in embedding.features.items()}
        return replace(embedding, features=features)

    clicks, boxes, masks = compare_masks(model, encode, images)
    exact = open_graph(plain / "encoder.onnx", runtime)
    frame = frames_of(images[:1], source.variant)[0]
    resized_hw = source.variant.preprocessing.for_encoder.fit(images[0].size_hw).resized_hw
    (takes,) = exact.inputs
    calls = (lambda: exact(**{takes: frame}), lambda: graphs.encode(frame, resized_hw))
    before, after = time_calls(calls)
    encoder = exported.graphs["encoder"].rpartition(".")[0]
    files = [name for name in exported.files if name.startswith(f"{encoder}.")]
    return Agreement(
        runtime=runtime,
        images=len(images),
        masks=masks,
        clicks=clicks,
        boxes=boxes,
        least=least,
        bytes=sum(exported.files[name].size for name in files),
        bytes_float32=sum(file.stat().st_size for file in plain.iterdir()),
        seconds=after,
        seconds_float32=before,
    )


def as_json(about: Mapping[str, Any]) -> str:
    """Write what JSON can hold for people to read, too."""
    return json.dumps(about, indent=2, ensure_ascii=False) + "\n"
