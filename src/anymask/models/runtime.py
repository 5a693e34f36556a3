"""Graphs that ONNX Runtime or OpenVINO runs; numpy goes in and comes out, without torch."""

from __future__ import annotations

import mmap
import os
import queue
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from anymask.errors import InputError, MissingExtraError, WeightsError
from anymask.models import onnx_file
from anymask.models.exported import NEWEST_OPSET
from anymask.models.linked_files import open_linked
from anymask.optional import optional

__all__ = ["HINTS", "Array", "Graph", "Runtime", "open_graph", "openvino_core", "pick_runtime"]

Runtime = Literal["torch", "onnx", "openvino", "auto"]
Array: TypeAlias = npt.NDArray[Any]

_PACKAGES = {"onnx": ("onnxruntime", "export"), "openvino": ("openvino", "openvino")}
HINTS = {"bf16": "bf16", "int8": "bf16", "int8-dynamic": "bf16"}
"""What OpenVINO may compute in, where the processor can, by the precision of the encoder; else f32.

What 8 bits leave in floating point, attention above all, would take much of the time that is left.
"""

_CAPABILITIES = "OPTIMIZATION_CAPABILITIES"
_CORES: list[Any] = []  # OpenVINO's, once it is wanted
_LOCK = Lock()


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

    def __init__(self, path: Path, checked: Collection[Path] = ()) -> None:
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
                checked,
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

    def __init__(self, path: Path, precision: str = "f32", checked: Collection[Path] = ()) -> None:
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
                path, lambda real: core.compile_model(str(real), "CPU", settings), checked
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


def open_graph(
    path: Path,
    runtime: Literal["onnx", "openvino"],
    precision: str = "f32",
    checked: Collection[Path] = (),
) -> Graph:
    """Open one graph.

    Args:
        path: An ``.onnx`` file, or of OpenVINO an ``.xml``.
        runtime: What is to run it.
        precision: What OpenVINO computes in: ``"f32"`` or ``"bf16"``.
        checked: Files that may be links, see `open_linked`.

    Raises:
        WeightsError: It is damaged, or the runtime cannot run it.
        MissingExtraError: The runtime is not installed.
    """
    if runtime == "onnx":
        return OnnxGraph(path, checked)
    return OpenVinoGraph(path, precision, checked)


def _shape(port: Any) -> list[int | str]:
    """List the sides of what goes in or out of OpenVINO's graphs; of no known number: none."""
    shape = port.get_partial_shape()
    if shape.rank.is_dynamic:
        return []
    return [side.get_length() if side.is_static else str(side) for side in shape]


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
