"""An encoder that resizes, normalises and pads by itself does as our preprocessing does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

import anymask
from anymask.errors import InputError
from anymask.export.image_input import with_image_input
from anymask.export.write import export
from anymask.image.image import Image
from anymask.models.variants import Preprocessing, find

SIZES = [(40, 60), (97, 33), (20, 20), (1, 50), (300, 200)]


def front(wanted: Preprocessing) -> onnxruntime.InferenceSession:
    """The preprocessing alone, in front of an encoder that does nothing."""
    shape = ["b", 3, "h", "w"]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["pixels"], ["same"])],
        "nothing",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("same", TensorProto.FLOAT, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    joined = with_image_input(model, wanted, 18)
    onnx.checker.check_model(joined)
    return onnxruntime.InferenceSession(joined.SerializeToString())


@pytest.mark.parametrize(
    ("name", "most"),
    [("sam-vit-b", 5), ("anymask-compact", 5), ("efficient-sam-ti", 0.01), ("fastsam-s", 1.01)],
)
def test_frames_are_those_of_our_preprocessing(name: str, most: float) -> None:
    wanted = find(name).preprocessing
    session = front(wanted)
    rng = np.random.default_rng(0)
    for h, w in SIZES:
        smooth = np.linspace(0, 200, w)[None, :, None] + rng.integers(0, 55, (h, w, 3))
        image = Image.open(smooth.astype(np.uint8))
        transform = wanted.fit((h, w))
        resized = transform.resize(image, wanted.resize)[None]
        frames = np.asarray(wanted.frames(resized, transform, "cpu"))
        (found,) = session.run(None, {"image": image.pixels[None]})
        assert found.shape == frames.shape
        levels = np.abs(found - frames) * np.float32(wanted.std)[:, None, None]
        assert levels.max() <= most
        assert (levels > 0.01).mean() < (0.2 if wanted.resize == "opencv" else 0.01)


def test_a_folder_with_a_raw_encoder(
    tiny_weights: Callable[[str], Path], tmp_path: Path, photo: np.ndarray
) -> None:
    weights, out = tiny_weights("mobile-sam"), tmp_path / "out"
    report = export(weights, out, raw_image=True)
    assert "takes uint8 images" in (out / "report.txt").read_text()
    assert report.exported.raw_image
    encoder = onnxruntime.InferenceSession(str(out / "encoder.onnx"))
    assert [some.name for some in encoder.get_inputs()] == ["image"]
    model = anymask.load(weights)
    (found,) = encoder.run(None, {"image": np.stack([photo, photo[::-1]])})
    wanted = [model.embed(one).features["image"] for one in (photo, photo[::-1].copy())]
    assert np.abs(found - np.concatenate(wanted)).max() < 0.05 * found.std()
    masks = anymask.load(out).predict(photo, points=[(20, 15)])
    expected = model.predict(photo, points=[(20, 15)])
    np.testing.assert_allclose(masks.logits, expected.logits, atol=1e-4)
    with pytest.raises(InputError, match="which OpenVINO resizes in another way"):
        anymask.load(out, runtime="openvino")
    with pytest.raises(InputError, match="whose resizing OpenVINO does in another way"):
        export(weights, tmp_path / "more", raw_image=True, to="openvino")
