"""Exported graphs behind the `Network` protocol, run by ONNX Runtime or OpenVINO.

numpy goes in and comes out; torch is not imported here. Of a prompt the graphs want what SAM's
original ONNX decoder wants: a box is two points with the labels 2 and 3, and what is missing is
said by labels of -1 and by ``has_mask_input``.
"""

from __future__ import annotations

import mmap
import os
import queue
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from anymask.errors import CapabilityError, InputError, MissingExtraError, WeightsError
from anymask.models import onnx_file
from anymask.models.config import Sam2Config
from anymask.models.exported import NEWEST_OPSET, Exported
from anymask.models.linked_files import open_linked
from anymask.optional import optional

if TYPE_CHECKING:
    from anymask.models.prompt_batch import PromptBatch

__all__ = [
    "HINTS",
    "Computing",
    "Graph",
    "Runtime",
    "RuntimeNetwork",
    "check_dtype",
    "floats",
    "open_graph",
    "openvino_core",
    "pick_runtime",
]

Runtime = Literal["torch", "onnx", "openvino", "auto"]
Computing = Literal["float32", "bfloat16"]
Array: TypeAlias = npt.NDArray[Any]

_PACKAGES = {"onnx": ("onnxruntime", "export"), "openvino": ("openvino", "openvino")}
HINTS = {"bf16": "bf16", "int8": "bf16", "int8-dynamic": "bf16"}
"""What OpenVINO may compute in, where the processor can, by the precision of the encoder; else f32.

What 8 bits leave in floating point, attention above all, would take much of the time that is left.
"""

_CAPABILITIES = "OPTIMIZATION_CAPABILITIES"
_PROMPTS_AT_ONCE = 4  # what the caches of a CPU hold
_CORES: list[Any] = []  # OpenVINO's, once it is wanted
_LOCK = Lock()
_PADDING, _TOP_LEFT, _BOTTOM_RIGHT = -1, 2, 3


class Graph(Protocol):
    """A graph that is ready to run; several threads may share it."""

    @property
    def inputs(self) -> Mapping[str, Sequence[Any]]:
        """Shape of each input by its name; what is no number may be any."""
        ...

    @property
    def outputs(self) -> Mapping[str, Sequence[Any]]:
        """Shape of each output by its name; what is no number may be any."""
        ...

    def __call__(self, **inputs: Array) -> dict[str, Array]:
        """Compute all outputs, by their names.

        Raises:
            WeightsError: The runtime cannot, which is the graph's fault or that of little memory.
        """
        ...


class OnnxGraph:
    """A graph that ONNX Runtime runs."""

    def __init__(self, path: Path) -> None:
        ort = optional("onnxruntime", extra="export")
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads()
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what goes wrong is said by the error
        # Threads that spin while they wait stop whatever else the processor has to do.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = open_linked(
                path,
                lambda real: ort.InferenceSession(
                    str(real), options, providers=["CPUExecutionProvider"]
                ),
            )
        except Exception as error:
            raise _unreadable(path, "ONNX Runtime", error) from error
        self.inputs = {some.name: some.shape for some in self._session.get_inputs()}
        self.outputs = {some.name: some.shape for some in self._session.get_outputs()}
        self._path = path
        # Buffers of an image stay for the next one of the same size, for fresh memory is dear; when
        # another size comes, all are returned, or they would grow with every new one.
        self._returning = ort.RunOptions()
        self._returning.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        self._latest: list[tuple[int, ...]] | None = None

    def __call__(self, **inputs: Array) -> dict[str, Array]:
        """Compute all outputs, by their names."""
        sizes = [values.shape for values in inputs.values()]
        options = None if sizes == self._latest else self._returning
        self._latest = sizes
        try:
            given = self._session.run(None, inputs, options)
        except Exception as error:
            raise _unreadable(self._path, "ONNX Runtime", error) from error
        return dict(zip(self.outputs, given, strict=True))


class OpenVinoGraph:
    """A graph that OpenVINO runs."""

    def __init__(self, path: Path, precision: str = "f32") -> None:
        core = openvino_core()
        if precision == "bf16" and "BF16" not in core.get_property("CPU", _CAPABILITIES):
            precision = "f32"  # or AVX-512 without units for it would imitate them, slowly
        settings = {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": threads(),
            "PERFORMANCE_HINT": "LATENCY",
        }
        if path.suffix == ".onnx":
            _check_opset(path)
        try:
            self._model = open_linked(
                path, lambda real: core.compile_model(str(real), "CPU", settings)
            )
        except Exception as error:
            raise _unreadable(path, "OpenVINO", error) from error
        self._path = path
        self.inputs = {port.node.friendly_name: _shape(port) for port in self._model.inputs}
        # Several names may stand for one tensor, such as one that is both an output and handed on.
        self._named = [
            (name, i) for i, port in enumerate(self._model.outputs) for name in port.names
        ]
        self.outputs = {name: _shape(self._model.outputs[i]) for name, i in self._named}
        self._free: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def __call__(self, **inputs: Array) -> dict[str, Array]:
        """Compute all outputs, by their names."""
        try:
            request = self._free.get_nowait()
        except queue.Empty:
            request = self._model.create_infer_request()
        try:
            given = request.infer(inputs)
            arrays = [np.array(given[i]) for i in range(len(self._model.outputs))]
            return {name: arrays[i] for name, i in self._named}
        except Exception as error:
            raise _unreadable(self._path, "OpenVINO", error) from error
        finally:
            self._free.put(request)


def openvino_core() -> Any:
    """Return OpenVINO's core, one for all graphs and as long as the process lives.

    The plugin for CPUs gives the thread in which it is loaded another stack for signals, and takes
    it back in the thread in which the last core goes. Where that is not the same, the first one is
    left with a stack that is no more: the next signal with a handler, such as of a child that ends
    or of Ctrl-C, is a segmentation fault that nothing reports.

    Raises:
        MissingExtraError: OpenVINO is not installed.
    """
    openvino = optional("openvino", extra="openvino")
    with _LOCK:
        if not _CORES:
            _CORES.append(openvino.Core())
    return _CORES[0]


def threads() -> int:
    """Count the threads to compute in: as many as torch would, if it is there."""
    if torch := sys.modules.get("torch"):
        number: int = torch.get_num_threads()
        return number
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdecimal() and int(wanted) > 0:
        return int(wanted)
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def pick_runtime(runtime: Runtime, layout: str = "onnx") -> Literal["onnx", "openvino"]:
    """Pick what is to run graphs of a layout.

    Raises:
        InputError: That runtime cannot read them, or there is no such runtime.
        MissingExtraError: It is not installed, or none is.
    """
    if runtime not in ("torch", "onnx", "openvino", "auto"):
        raise InputError(
            f"expected a runtime out of torch, onnx, openvino, auto, got {runtime!r}; leave it out "
            "for auto"
        )
    if runtime == "torch":
        raise InputError(
            "expected a runtime of graphs for an exported folder, got torch; leave it out, or load "
            "the weights that the folder was made from"
        )
    able: tuple[Literal["onnx", "openvino"], ...]
    able = ("openvino",) if layout == "openvino" else ("onnx", "openvino")
    if runtime != "auto":
        if runtime not in able:
            raise InputError(
                f"expected runtime openvino for a folder of OpenVINO's files, got {runtime}; leave "
                "it out, or export the model --to onnx"
            )
        optional(_PACKAGES[runtime][0], extra=_PACKAGES[runtime][1])
        return runtime
    missing: MissingExtraError | None = None
    for one in able:
        try:
            optional(_PACKAGES[one][0], extra=_PACKAGES[one][1])
        except MissingExtraError as error:
            missing = missing or error
        else:
            return one
    assert missing is not None
    raise missing


def check_dtype(runtime: str, device: Any, dtype: Any) -> Computing:
    """Check that graphs can be computed there and so.

    Args:
        runtime: What runs them.
        device: Such as ``"cpu"``.
        dtype: Such as ``"float32"``; None means that.

    Raises:
        InputError: They cannot.

    Examples:
        >>> check_dtype("openvino", "cpu", "bfloat16")
        'bfloat16'
    """
    wanted = str(dtype or "float32").removeprefix("torch.")
    if str(device).partition(":")[0] == "cpu":
        if wanted == "float32":
            return "float32"
        if wanted == "bfloat16" and runtime == "openvino":
            return "bfloat16"
    raise InputError(
        f"expected float32 on the CPU for exported graphs, or bfloat16 with runtime openvino, got "
        f"{wanted} on {device} with {runtime}; leave it out, or load the weights themselves with "
        "torch"
    )


def open_graph(path: Path, runtime: Literal["onnx", "openvino"], precision: str = "f32") -> Graph:
    """Open one graph.

    Args:
        path: An ``.onnx`` file, or of OpenVINO an ``.xml``.
        runtime: What is to run it.
        precision: What OpenVINO computes in: ``"f32"`` or ``"bf16"``.

    Raises:
        WeightsError: It is damaged, or the runtime cannot run it.
        MissingExtraError: The runtime is not installed.
    """
    return OnnxGraph(path) if runtime == "onnx" else OpenVinoGraph(path, precision)


class RuntimeNetwork:
    """Graphs of an exported folder as a `Network`; it computes on the CPU.

    Attributes:
        exported: What the folder says.
        runtime: What runs the graphs.
        computing: What OpenVINO computes the encoder in, if the processor can; float32 goes in and
            comes out of it.
        appearance: As the exported network's; see `predict.personal.persam`.
        texture: As the exported network's; see `predict.personal.matching`.
        decoder: The decoder's graph; None: it has none.
    """

    device, dtype, version = "cpu", "float32", 0
    frames_name = "pixels"
    """How the encoder's graph calls preprocessed frames."""
    logits_name = "low_res_masks"
    """How the decoder's graph calls logits of low resolution."""
    _no_size: Mapping[str, Array] = {"orig_im_size": np.zeros(2, np.float32)}
    """Asks the decoder for nothing but these."""

    def __init__(
        self,
        folder: Path,
        exported: Exported,
        runtime: Literal["onnx", "openvino"],
        *,
        dtype: Computing = "float32",
        any_decoder: bool = False,
    ) -> None:
        """Open the graphs.

        Args:
            folder: Where they are.
            exported: What `read_exported` says of them.
            runtime: What is to run them.
            dtype: What `check_dtype` gave.
            any_decoder: Take one that chooses a mask by itself, too, for those who ask it directly.

        Raises:
            WeightsError: They are damaged, or of other names and shapes than they should be.
        """
        if not any_decoder:
            self._check_slots(folder, exported)
        if exported.raw_image and runtime == "openvino":
            raise InputError(
                f"expected an encoder of preprocessed frames for OpenVINO, got one of raw images "
                f"in {str(folder)!r}, which OpenVINO resizes in another way; take runtime onnx"
            )
        self.folder, self.exported, self.runtime = folder, exported, runtime
        self.appearance, self.texture = exported.appearance, dict(exported.texture)
        self.computing = dtype
        hint = "bf16" if dtype == "bfloat16" else HINTS.get(exported.precision, "f32")
        self._encoder = self.open("encoder", hint)
        takes = {"image"} if exported.raw_image else {self.frames_name}
        self._check(self._encoder, "encoder", takes, set(exported.features.values()))
        self._check_frame()
        self.decoder: Graph | None = None
        if "decoder" in exported.graphs:
            self.decoder = self.open("decoder")
            self._check_decoder()
            self._check_fit(self.decoder)

    @staticmethod
    def _check_slots(folder: Path, exported: Exported) -> None:
        """Check that the decoder gives all that `Network.decode` is asked for.

        Raises:
            InputError: It does not.
        """
        if exported.single_mask:
            raise InputError(
                f"expected a decoder with all four masks in {str(folder)!r}, got one that chooses "
                "one by itself; export the model without --single-mask for anymask"
            )

    def __repr__(self) -> str:
        """Name the model and what runs it."""
        return f"RuntimeNetwork({self.exported.variant.name!r}, {self.runtime!r})"

    def open(self, role: str, precision: str = "f32") -> Graph:
        """Open one more graph of the folder.

        Args:
            role: ``"detector"``, ``"saliency"`` ...
            precision: What OpenVINO computes in.

        Raises:
            CapabilityError: The folder does not have it.
        """
        if role not in self.exported.graphs:
            raise CapabilityError(
                f"expected a graph of the {role} in {str(self.folder)!r}, got "
                f"{', '.join(self.exported.graphs)}; export the bundled model, which has one"
            )
        return open_graph(self.folder / self.exported.graphs[role], self.runtime, precision)

    def mask_hw(self, frame_hw: tuple[int, int]) -> tuple[int, int]:
        """Return the size of the mask logits."""
        if self.exported.mask_hw is not None:
            return self.exported.mask_hw
        stride = self.exported.mask_stride
        return frame_hw[0] // stride, frame_hw[1] // stride

    def encode(self, pixels: Any, resized_hw: tuple[int, int]) -> dict[str, Array]:
        """Turn images into features; see `Network.encode`."""
        frames = floats(pixels)
        given = self._encoded(frames, resized_hw)
        features = {name: given[own] for name, own in self.exported.features.items()}
        if self.exported.variant.kind == "instances":
            features["picture"] = frames.astype(np.float16)  # see `FastSam`
        return features

    def _encoded(self, frames: Array, resized_hw: tuple[int, int]) -> dict[str, Array]:
        """Run the encoder, and give all that comes out by its names."""
        if self.exported.raw_image:
            return self._encoder(image=self._undone(frames, resized_hw))
        return self._encoder(**{self.frames_name: frames})

    def _undone(self, frames: Array, resized_hw: tuple[int, int]) -> Array:
        """Undo the preprocessing, for a graph that does it itself: uint8 (b, h, w, 3).

        An image of the right size is not resized again.
        """
        wanted = self.exported.variant.preprocessing.for_encoder
        h, w = resized_hw
        top, left = ((frames.shape[2] - h) // 2, (frames.shape[3] - w) // 2)
        if not wanted.centre:
            top = left = 0
        shown = frames[:, :, top : top + h, left : left + w].transpose(0, 2, 3, 1)
        std, mean = (np.array(values, np.float32) for values in (wanted.std, wanted.mean))
        values = shown * std + mean
        return np.ascontiguousarray(values.round().clip(0, 255).astype(np.uint8))

    def prepare(self, features: Mapping[str, Any]) -> dict[str, Array]:
        """Lay features out as the decoder takes them."""
        return {name: floats(maps) for name, maps in features.items()}

    def decode(
        self, features: Mapping[str, Any], prompts: PromptBatch, multimask: bool
    ) -> tuple[Array, Array]:
        """Answer n prompts on one image; see `Network.decode`."""
        return self.decode_all(features, prompts, slice(1, 4) if multimask else slice(1))

    def decode_all(
        self, features: Mapping[str, Any], prompts: PromptBatch, slots: slice = slice(4)
    ) -> tuple[Array, Array]:
        """Answer n prompts in all slots, or in some: logits (n, k, h', w') and IoU (n, k)."""
        if self.decoder is None:
            raise CapabilityError(
                f"expected a model with a decoder, got {self.exported.variant.name}, whose prompts "
                "select among instances; call predict, or load another model"
            )
        shared = {
            own: floats(features[name])
            for name, own in self.exported.features.items()
            if own in self.decoder.inputs
        }
        coords, labels = self._points(prompts)
        given = None if prompts.mask_logits is None else floats(prompts.mask_logits)
        whole: list[Array] = []
        for start in range(0, len(coords), _PROMPTS_AT_ONCE):
            some = slice(start, start + _PROMPTS_AT_ONCE)
            if given is None:
                mask = np.zeros((1, 1, *self.mask_hw(prompts.frame_hw)), np.float32)
            else:
                mask = given[some]
            answer = self.decoder(
                **shared,
                **self._no_size,
                point_coords=coords[some],
                point_labels=labels[some],
                mask_input=mask,
                has_mask_input=np.array([given is not None], np.float32),
            )
            found = [answer[name][:, slots] for name in (self.logits_name, "iou_predictions")]
            # Into one place each, so that the runtime is given the same memory again.
            whole = whole or [np.empty((len(coords), *a.shape[1:]), a.dtype) for a in found]
            for into, values in zip(whole, found, strict=True):
                into[some] = values
        logits, predicted_iou = whole
        return logits, predicted_iou

    def _points(self, prompts: PromptBatch) -> tuple[Array, Array]:
        """Lay out points and box as the graph takes them: (n, t, 2) and (n, t)."""
        points, labels = floats(prompts.points_xy), floats(prompts.labels)
        n = len(points)
        family, padded = self.exported.variant.family, points.shape[1] > 0
        boxes_first = isinstance(self.exported.variant.network, Sam2Config)
        if prompts.boxes is not None:
            corners = floats(prompts.boxes).reshape(n, 2, 2)
            kinds = np.tile(np.array([_TOP_LEFT, _BOTTOM_RIGHT], np.float32), (n, 1))
            # EfficientSAM cuts what is too much; SAM 2 was trained with the box before the points.
            order = (1, 0) if family == "efficient-sam" or boxes_first else (0, 1)
            parts = [(points, labels), (corners, kinds)]
            points = np.concatenate([parts[i][0] for i in order], axis=1)
            labels = np.concatenate([parts[i][1] for i in order], axis=1)
        if boxes_first if prompts.boxes is not None else padded or family == "compact":
            # A padding point, which no model was trained to see beside nothing at all but ours.
            points = np.concatenate([points, np.zeros((n, 1, 2), np.float32)], axis=1)
            labels = np.concatenate([labels, np.full((n, 1), _PADDING, np.float32)], axis=1)
        return np.ascontiguousarray(points), np.ascontiguousarray(labels)

    def moved(self, device: Any, dtype: Any) -> RuntimeNetwork:
        """Stay on the CPU; OpenVINO may compute in another dtype.

        Raises:
            InputError: Another device or dtype is wanted.
        """
        computing = check_dtype(self.runtime, device, dtype)
        if computing == self.computing:
            return self
        return type(self)(self.folder, self.exported, self.runtime, dtype=computing)

    def _check_decoder(self) -> None:
        """Check the decoder's names.

        Raises:
            WeightsError: They are others.
        """
        assert self.decoder is not None
        prompts = {"point_coords", "point_labels", "mask_input", "has_mask_input"}
        read = set(self.exported.features.values()) & set(self.decoder.inputs)
        answers = {self.logits_name, "iou_predictions"}
        self._check(self.decoder, "decoder", prompts | self._no_size.keys() | read, answers)

    def _check_fit(self, decoder: Graph) -> None:
        """Check that the decoder takes what the encoder gives, and masks of the model's size.

        Raises:
            WeightsError: It does not.
        """
        given = {name: list(shape) for name, shape in self._encoder.outputs.items()}
        if self.exported.mask_hw is not None:
            given["mask_input"] = [None, 1, *self.exported.mask_hw]
        for name in sorted(given.keys() & decoder.inputs.keys()):
            own, wanted = given[name], list(decoder.inputs[name])
            pairs = list(zip(own[1:], wanted[1:], strict=False))  # of batches there is one more
            fits = all(a == b for a, b in pairs if isinstance(a, int) and isinstance(b, int))
            if own and wanted and not (fits and len(own) == len(wanted)):
                raise WeightsError(
                    f"expected a decoder of {name} as {_sides(own)} in {str(self.folder)!r}, got "
                    f"one of {_sides(wanted)}, which is another model's; export the model again"
                )

    def _check_frame(self) -> None:
        """Check that the encoder takes frames of the model's size.

        Raises:
            WeightsError: It does not.
        """
        side = self.exported.variant.preprocessing.for_encoder.side
        shape = [] if self.exported.raw_image else list(self._encoder.inputs[self.frames_name])[2:]
        if any(isinstance(length, int) and length != side for length in shape):
            raise WeightsError(
                f"expected an encoder of frames of {side} x {side} in {str(self.folder)!r}, got "
                f"one of {' x '.join(map(str, shape))}; export the model again"
            )

    def _check(self, graph: Graph, role: str, inputs: set[str], outputs: set[str]) -> None:
        """Check that a graph takes and gives what the folder says.

        Raises:
            WeightsError: It does not.
        """
        missing = sorted(outputs - set(graph.outputs))
        if set(graph.inputs) != inputs or missing:
            raise WeightsError(
                f"expected a graph of the {role} from {', '.join(sorted(inputs))} to "
                f"{', '.join(sorted(outputs))} in {str(self.folder)!r}, got one from "
                f"{', '.join(sorted(graph.inputs))} to {', '.join(graph.outputs)}; export the "
                "model again"
            )


def floats(values: Any) -> Array:
    """Take an array, or a tensor on the CPU, as contiguous float32."""
    return np.ascontiguousarray(np.asarray(values), dtype=np.float32)


def _shape(port: Any) -> list[int | str]:
    """List the sides of what goes in or out of OpenVINO's graphs; of no known number: none."""
    shape = port.get_partial_shape()
    if shape.rank.is_dynamic:
        return []
    return [side.get_length() if side.is_static else str(side) for side in shape]


def _sides(shape: Sequence[Any]) -> str:
    return " x ".join(str(side) if isinstance(side, int) else "?" for side in shape)


def _check_opset(path: Path) -> None:
    """Check that OpenVINO knows a graph's operators: of later ones it dies, without a word.

    Raises:
        WeightsError: They are later than any that anymask writes.
    """
    try:
        with path.open("rb") as file:
            version = onnx_file.opset(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError):
        return  # OpenVINO says what is wrong
    if version > NEWEST_OPSET:
        raise WeightsError(
            f"expected a graph of opset {NEWEST_OPSET} or earlier for OpenVINO, got {version} in "
            f"{str(path)!r}; take runtime onnx, or export the model again with this anymask"
        )


def _unreadable(path: Path, name: str, error: Exception) -> WeightsError:
    reason = " ".join(str(error).split())[:300]
    return WeightsError(
        f"expected a graph that {name} can run at {str(path)!r}, got one that it refuses "
        f"({reason}); export the model again, or update {name}"
    )
