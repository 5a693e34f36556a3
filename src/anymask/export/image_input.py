"""An encoder that takes images as they are: resizing, normalising and padding inside the graph."""

from __future__ import annotations

from typing import Any

from anymask.errors import CapabilityError
from anymask.models.variants import Preprocessing

__all__ = ["DIFFERENCES", "LEAST_OPSET", "with_image_input"]

LEAST_OPSET = 18
"""Resizing with antialiasing came with it."""

DIFFERENCES = {
    "antialias": "resizes them by ONNX Resize with antialiasing: as Pillow, but for single pixels "
    "(one in a thousand) by a few of 255 levels",
    "bilinear": "resizes them by ONNX Resize between the four nearest pixels, as the model's own "
    "code",
    "opencv": "resizes them by ONNX Resize in floating point, and rounds: as OpenCV's whole "
    "numbers, but for one pixel in ten by one of 255 levels",
}
"""How the graph's resizing differs from ours, by the kind of resizing."""


def with_image_input(encoder: Any, wanted: Preprocessing, opset: int) -> Any:
    """Put preprocessing in front of an encoder.

    Args:
        encoder: A graph that takes ``pixels``.
        wanted: What to do to an image.
        opset: Version of the operators, at least `LEAST_OPSET`.

    Raises:
        CapabilityError: There are no such operators.

    Returns:
        A graph that takes ``image``, uint8 (b, h, w, 3), RGB: images of one size.
    """
    if wanted.stretch or wanted.resize not in DIFFERENCES:
        raise CapabilityError(
            "expected a model whose images are resized and normalised as ONNX can, got one that "
            "does it in another way; export it without image input"
        )
    import onnx
    from onnx import compose, parser

    text = _graph(wanted).replace("OPSET", str(opset)).replace("IR", str(encoder.ir_version))
    front = parser.parse_model(text)
    onnx.checker.check_model(front)
    joined = compose.merge_models(front, encoder, io_map=[("frames", "pixels")])
    joined.ir_version = encoder.ir_version
    return joined


def _graph(wanted: Preprocessing) -> str:
    """Write the preprocessing down in ONNX's own words."""
    sizes = f"""
      hw_whole = Shape <start = 1, end = 3> (image)
      hw = Cast <to = 1> (hw_whole)
      longest = ReduceMax <keepdims = 1> (hw)
      side = Constant <value = float[1] {{{float(wanted.side)}}}> ()
      half = Constant <value = float[1] {{0.5}}> ()
      one = Constant <value = int64[2] {{1, 1}}> ()
      scale = Div (side, longest)
      scaled = Mul (hw, scale)
      nearest = Add (scaled, half)
      floored = Floor (nearest)
      whole = Cast <to = 7> (floored)
      resized_hw = Max (whole, one)"""
    if wanted.squash:
        pair = f"{{{wanted.side}, {wanted.side}}}"
        sizes = f"\n      resized_hw = Constant <value = int64[2] {pair}> ()"
    return f"""<ir_version: IR, opset_import: ["" : OPSET]>
    images (uint8[batch, image_height, image_width, 3] image) => (float[batch, 3, H, W] frames) {{
      {sizes}
      maps = Transpose <perm = [0, 3, 1, 2]> (image)
      first = Shape <start = 0, end = 1> (image)
      three = Constant <value = int64[1] {{3}}> ()
      sizes = Concat <axis = 0> (first, three, resized_hw)
      {_resize(wanted)}
      {_normalise(wanted)}
    }}"""


def _resize(wanted: Preprocessing) -> str:
    linear = 'mode = "linear", coordinate_transformation_mode = "half_pixel"'
    if wanted.resize == "antialias":  # on uint8, as Pillow does it
        return f"""small = Resize <{linear}, antialias = 1> (maps, , , sizes)
      values = Cast <to = 1> (small)"""
    floats = "floats = Cast <to = 1> (maps)\n      "
    if wanted.resize == "bilinear":
        return f"{floats}values = Resize <{linear}> (floats, , , sizes)"
    if wanted.resize == "opencv":
        return f"""{floats}small = Resize <{linear}> (floats, , , sizes)
      values = Round (small)"""
    raise CapabilityError(
        f"expected resizing that ONNX can describe, got {wanted.resize!r}; export an encoder that "
        "takes preprocessed frames"
    )


def _normalise(wanted: Preprocessing) -> str:
    def each(values: tuple[float, float, float]) -> str:
        return f"float[1, 3, 1, 1] {{{', '.join(map(str, map(float, values)))}}}"

    def normalise(before: str, after: str) -> str:
        return f"""mean = Constant <value = {each(wanted.mean)}> ()
      std = Constant <value = {each(wanted.std)}> ()
      centred = Sub ({before}, mean)
      {after} = Div (centred, std)"""

    def pad(before: str, after: str) -> str:
        return f"""{_frame(wanted)}
      fill = Constant <value = float {{{float(wanted.fill or 0)}}}> ()
      {after} = Pad ({before}, pads, fill)"""

    if wanted.pad is None or wanted.squash:
        return normalise("values", "frames")
    if wanted.fill is None:  # zeros after normalising
        return f"{normalise('values', 'normal')}\n      {pad('normal', 'frames')}"
    return f"{pad('values', 'padded')}\n      {normalise('padded', 'frames')}"


def _frame(wanted: Preprocessing) -> str:
    """Compute how much padding there is: before and behind each of the four dimensions."""
    if wanted.pad == "square":
        frame = f"frame_hw = Constant <value = int64[2] {{{wanted.side}, {wanted.side}}}> ()"
    else:
        frame = f"""step = Constant <value = int64[2] {{{wanted.pad}, {wanted.pad}}}> ()
      unit = Constant <value = int64[2] {{1, 1}}> ()
      more = Sub (step, unit)
      up = Add (resized_hw, more)
      steps = Div (up, step)
      frame_hw = Mul (steps, step)"""
    nothing = "none = Constant <value = int64[2] {0, 0}> ()"
    if not wanted.centre:
        return f"""{frame}
      {nothing}
      behind = Sub (frame_hw, resized_hw)
      pads = Concat <axis = 0> (none, none, none, behind)"""
    return f"""{frame}
      {nothing}
      two = Constant <value = int64[2] {{2, 2}}> ()
      spare = Sub (frame_hw, resized_hw)
      ahead = Div (spare, two)
      behind = Sub (spare, ahead)
      pads = Concat <axis = 0> (none, ahead, none, behind)"""
