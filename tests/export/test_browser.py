"""Models as files for the page: small, complete, and what they were."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import anymask
from anymask import geometry, tensor_file
from anymask.arrays import sigmoid
from anymask.errors import CapabilityError, InputError
from anymask.export.browser import ABOUT, browser_model, packed, unpacked, write_browser_model
from anymask.image.image import Image
from anymask.models import onnx_file, salient, ssd
from anymask.models.exported import read_exported
from anymask.models.preprocessing import Preprocessing
from anymask.serve.studio.static import write_static

FOLDER = Path(anymask.__file__).parent / "models" / "bundled"
PICTURES = Path(__file__).parents[2] / "docs" / "pictures"


@pytest.fixture(scope="module")
def bundled() -> dict[str, bytes]:
    return browser_model(anymask.load("bundled", device="cpu"))


def written_out(files: dict[str, bytes], role: str, folder: Path) -> Path:
    """Do what the page does with the files of a graph."""
    graph = json.loads(files[ABOUT])["graphs"][role]
    whole: dict[str, np.ndarray[Any, Any]] = {}
    for name in graph["weights"]:
        for file, content in unpacked(gzip.decompress(files[name])).items():
            data = np.frombuffer(content, np.uint8)
            whole[file] = np.maximum(whole.get(file, 0), data)  # each has zeros for the others'
    for file, data in whole.items():
        (folder / file).write_bytes(data.tobytes())
    path = folder / f"{role}.onnx"
    path.write_bytes(gzip.decompress(files[graph["graph"]]))
    return path


def test_page_runtime_and_model_are_small(bundled: dict[str, bytes], tmp_path: Path) -> None:
    written = write_static(tmp_path / "site", bundled)
    assert written.page < 14_000_000  # all that a visitor loads, see `Written`
    assert written.first < 10_700_000
    assert json.loads(bundled[ABOUT])["sizes"] == {
        name: len(content) for name, content in bundled.items() if name != ABOUT
    }


def test_the_page_is_told_where_each_weight_of_the_decoder_is() -> None:
    files = browser_model(anymask.load("bundled", device="cpu"), ["decoder"])
    about = json.loads(files[ABOUT])
    content = unpacked(gzip.decompress(files["decoder.weights.gz"]))[about["compact"]["file"]]
    tensors, _ = tensor_file.unpack((FOLDER / "anymask-compact.safetensors").read_bytes())
    wanted = {name for name in tensors if name.startswith(("decoder.", "prompt_maps."))}
    assert set(about["compact"]["weights"]) == wanted
    for name, (offset, count, dtype) in about["compact"]["weights"].items():
        found = np.frombuffer(content, dtype, count, offset)
        assert np.array_equal(found, tensors[name].ravel()), name


def test_a_decoder_for_a_server_is_to_the_bit_the_librarys(tmp_path: Path) -> None:
    files = browser_model(anymask.load("bundled", device="cpu"), ["decoder"])
    path = written_out(files, "decoder", tmp_path)
    for file, offset, length in onnx_file.places(path.read_bytes()):
        ours, theirs = (place / file for place in (tmp_path, FOLDER))
        part = slice(offset, offset + length)
        assert ours.read_bytes()[part] == theirs.read_bytes()[part]


@pytest.mark.parametrize("role", ["encoder", "decoder", "detector", "saliency"])
def test_weights_are_nearly_the_librarys(
    bundled: dict[str, bytes], tmp_path: Path, role: str
) -> None:
    path = written_out(bundled, role, tmp_path)
    share = {"encoder": 0.005, "detector": 0.01}.get(role, 0.002)
    for file, offset, length in onnx_file.places(path.read_bytes()):
        ours, theirs = (
            np.frombuffer((place / file).read_bytes(), np.float16, length // 2, offset).astype("f4")
            for place in (tmp_path, FOLDER)
        )
        assert np.abs(ours - theirs).max() <= share * np.abs(theirs).max() + 1e-7


def pixels_of(picture: str, wanted: Preprocessing) -> np.ndarray[Any, Any]:
    image = Image.open(PICTURES / picture)
    transform = wanted.fit(image.size_hw)
    frames = wanted.frames(transform.resize(image, wanted.resize)[None], transform, "cpu")
    return np.asarray(frames, np.float32)


def both(
    files: dict[str, bytes], role: str, folder: Path, given: dict[str, np.ndarray[Any, Any]]
) -> list[dict[str, np.ndarray[Any, Any]]]:
    """Run a graph with the library's weights and with the page's."""
    onnxruntime = pytest.importorskip("onnxruntime")
    said = []
    for path in (FOLDER / f"{role}.onnx", written_out(files, role, folder)):
        session = onnxruntime.InferenceSession(str(path))
        wanted = [one.name for one in session.get_outputs() if one.name != "masks"]
        said.append(dict(zip(wanted, session.run(wanted, given), strict=True)))
    return said


@pytest.mark.parametrize("picture", ["coffee.jpg", "photos/astronaut.jpg", "photos/cat.jpg"])
def test_the_detector_sees_the_same_things(
    bundled: dict[str, bytes], tmp_path: Path, picture: str
) -> None:
    given = {"pixels": pixels_of(picture, ssd.PREPROCESSING)}
    said = both(bundled, "detector", tmp_path, given)
    scores = [sigmoid(one["logits"][0][:, 1:]) for one in said]
    sure = scores[0].max(axis=1) > 0.3
    assert sure.any()
    assert np.abs(scores[0] - scores[1])[sure].max() < 0.02
    boxes = [ssd.decode(one["codes"][0])[sure] for one in said]
    assert np.diag(geometry.box_iou(*boxes)).min() > 0.97


@pytest.mark.parametrize("picture", ["coffee.jpg", "photos/astronaut.jpg", "photos/cat.jpg"])
def test_the_main_subject_is_the_same(
    bundled: dict[str, bytes], tmp_path: Path, picture: str
) -> None:
    given = {"pixels": pixels_of(picture, salient.PREPROCESSING)}
    masks = [next(iter(one.values())) > 0 for one in both(bundled, "saliency", tmp_path, given)]
    assert masks[0].mean() > 0.1
    assert (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum() > 0.97


def test_the_decoder_ends_masks_where_the_librarys_does(
    bundled: dict[str, bytes], tmp_path: Path
) -> None:
    model = anymask.load("bundled", device="cpu")
    embedding = model.embed(PICTURES / "coffee.jpg")
    features = {name: np.asarray(maps) for name, maps in embedding.features.items()}
    h, w = features["image4"].shape[2:]
    features.pop("boundary")  # which the decoder does not read
    xs, ys = np.meshgrid([w, 2 * w, 3 * w], [h, 2 * h, 3 * h])
    points = np.stack([xs, ys], axis=-1).reshape(-1, 1, 2)
    given = features | {
        "point_coords": np.concatenate([points, np.zeros_like(points)], axis=1),
        "point_labels": np.array([[1, -1]] * len(points)),
        "mask_input": np.zeros((1, 1, 2 * h, 2 * w)),
        "has_mask_input": np.zeros(1),
        "orig_im_size": np.zeros(2),
    }
    given = {name: values.astype(np.float32) for name, values in given.items()}
    one, other = both(bundled, "decoder", tmp_path, given)
    masks = [said["low_res_masks"] > 0 for said in (one, other)]
    shared, either = masks[0] & masks[1], masks[0] | masks[1]
    ious = shared.sum(axis=(2, 3)) / np.maximum(either.sum(axis=(2, 3)), 1)
    assert ious.mean() > 0.99
    apart = np.abs(one["iou_predictions"] - other["iou_predictions"])
    assert apart.mean() < 0.01
    assert apart.max() < 0.05  # of 36 answers, some of which are next to nothing


def test_the_detector_shares_the_encoders_weights(bundled: dict[str, bytes]) -> None:
    about = json.loads(bundled[ABOUT])
    assert about["graphs"]["detector"]["weights"] == ["encoder.weights.gz", "detector.weights.gz"]
    assert about["vocabulary"]["words"]["kitten"] == ["Cat"]


def test_a_network_is_exported_first(
    tiny_weights: Callable[[str], Path], photo: np.ndarray, tmp_path: Path
) -> None:
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    model = anymask.load(tiny_weights("sam-vit-b"))
    paths = write_browser_model(model, tmp_path / "out", ["decoder"])
    files = {path.name: path.read_bytes() for path in paths}
    assert set(files) == {"decoder.onnx.gz", "decoder.weights.gz", ABOUT}
    session = onnxruntime.InferenceSession(str(written_out(files, "decoder", tmp_path)))
    embedding = model.embed(photo)
    side = model.variant.preprocessing.side
    given = {
        "image_embeddings": embedding.features["image"].numpy(),
        "point_coords": np.array([[[20 * side / 70, 15 * side / 70], [0, 0]]], np.float32),
        "point_labels": np.array([[1, -1]], np.float32),
        "mask_input": np.zeros((1, 1, side // 4, side // 4), np.float32),
        "has_mask_input": np.zeros(1, np.float32),
        "orig_im_size": np.zeros(2, np.float32),
    }
    (scores,) = session.run(["iou_predictions"], given)
    wanted = model.predict(embedding, points=[(20, 15)], multimask=True)
    assert np.allclose(sorted(scores[0, 1:]), sorted(wanted.scores), atol=1e-2)


def test_an_exported_folder_is_taken_as_it_is(
    exported: Callable[[str], Any], tmp_path: Path
) -> None:
    folder = exported("mobile-sam").folder
    files = browser_model(anymask.load(folder, runtime="onnx"))
    about = json.loads(files[ABOUT])
    assert about["features"] == read_exported(folder).features
    assert about["weights_digest"] == read_exported(folder).weights_digest
    import onnx

    whole = onnx.load(str(folder / "decoder.onnx"))
    again = onnx.load(str(written_out(files, "decoder", tmp_path)))
    for one, other in zip(whole.graph.initializer, again.graph.initializer, strict=True):
        ours, theirs = (onnx.numpy_helper.to_array(x) for x in (other, one))
        assert np.allclose(ours, theirs, atol=1e-3)


def test_what_the_page_cannot_run_is_refused(tiny_weights: Callable[[str], Path]) -> None:
    with pytest.raises(CapabilityError, match="select among instances"):
        browser_model(anymask.load(tiny_weights("fastsam-s")))
    with pytest.raises(InputError, match="roles out of"):
        browser_model(anymask.load("bundled"), ["head"])


def test_a_way_that_the_page_does_not_know_is_refused() -> None:
    from dataclasses import replace

    model = anymask.load("bundled", device="cpu")
    seen = replace(model.variant.preprocessing, resize="opencv")
    strange = replace(model, variant=replace(model.variant, preprocessing=seen))
    with pytest.raises(
        CapabilityError, match="got anymask-compact, which wants OpenCV's arithmetic; let"
    ):
        browser_model(strange, ["encoder"])
    assert "decoder.onnx.gz" in browser_model(strange, ["decoder"])


def test_whose_boxes_come_first_is_said(tiny_weights: Callable[[str], Path]) -> None:
    pytest.importorskip("onnx")
    for name, first in (("sam2.1-tiny", True), ("sam-vit-b", False)):
        files = browser_model(anymask.load(tiny_weights(name), device="cpu"), ["decoder"])
        assert json.loads(files[ABOUT])["box_first"] is first


def test_a_network_of_another_package_is_refused() -> None:
    from tests.serve.conftest import flat_model

    with pytest.raises(CapabilityError, match="another package"):
        browser_model(flat_model())


def test_each_channel_has_a_scale_of_its_own() -> None:
    values = np.random.default_rng(0).normal(0, 1, (64, 300)).astype(np.float32)
    values *= np.geomspace(1e-3, 1e3, 64, dtype=np.float32)[:, None]
    place = onnx_file.Place("w", 0, values.nbytes)
    content = packed({place: values}, {"w": values.nbytes}, "int8")
    assert len(content) < values.nbytes / 3.5
    tensors, _ = tensor_file.unpack(content)
    assert tensors["0000"].dtype == np.int8 and tensors["0000/scale"].shape == (64,)
    found = np.frombuffer(unpacked(content)["w"], np.float32).reshape(values.shape)
    assert (np.abs(found - values).max(axis=1) <= np.abs(values).max(axis=1) / 250).all()


@pytest.mark.parametrize("damage", [b"\x3a\xff\xff\x7f", b"\x0b", b"\x38\xff"])
def test_damaged_graphs_are_noticed(damage: bytes) -> None:
    with pytest.raises(ValueError, match=r"cut off|unknown kind"):
        onnx_file.places(damage)
