"""Exported graphs behind the `Network` protocol.

numpy goes in and comes out; torch is not imported here. Of a prompt the graphs want what SAM's
original ONNX decoder wants: a box is two points with the labels 2 and 3, and what is missing is
said by labels of -1 and by ``has_mask_input``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from anymask.errors import CapabilityError, InputError, WeightsError
from anymask.models.config import Sam2Config
from anymask.models.exported import Computing, Exported, check_dtype
from anymask.models.runtime import HINTS, Array, Graph, open_graph

if TYPE_CHECKING:
    from anymask.models.prompt_batch import PromptBatch

__all__ = ["RuntimeNetwork", "floats"]

_PROMPTS_AT_ONCE = 4  # what the caches of a CPU hold
_PADDING, _TOP_LEFT, _BOTTOM_RIGHT = -1, 2, 3


class RuntimeNetwork:
    """Graphs of an exported folder as a `Network`; it computes on the CPU.

    Attributes:
        exported: What the folder says.
        runtime: What runs the graphs.
        computing: What was asked for to compute the encoder in: bfloat16 by OpenVINO, if the
            processor can; else what `HINTS` say. float32 goes in and comes out all the same.
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
        checked = [self.folder / name for name in self.exported.files]
        path = self.folder / self.exported.graphs[role]
        return open_graph(path, self.runtime, precision, checked)

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


def _sides(shape: Sequence[Any]) -> str:
    return " x ".join(str(side) if isinstance(side, int) else "?" for side in shape)
