"""The graphs that ship with the package belong to its weights, and answer as PyTorch does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import anymask
from anymask.errors import WeightsError
from anymask.models.exported import MANIFEST, read_exported
from anymask.models.graph_folder import open_network
from anymask.models.variants import VARIANTS
from anymask.models.weights.locate import locate

BUNDLED = locate("bundled", offline=True)[0].parent
GRAPHS = {"encoder", "decoder", "detector", "saliency"}
AGAIN = "run: python recipes/export_bundled.py"


def test_the_graphs_are_not_older_than_the_weights() -> None:
    try:
        exported = read_exported(BUNDLED)
    except WeightsError as error:
        pytest.fail(f"{error}; {AGAIN}")
    assert exported.weights_digest == VARIANTS[0].weights.sha256, AGAIN
    assert exported.variant == VARIANTS[0], AGAIN
    assert set(exported.graphs) == GRAPHS
    weights = {name for name in exported.files if name.endswith(".safetensors")}
    assert weights == {path.name for path in BUNDLED.glob("*.safetensors")}


def test_they_share_their_weights_with_the_other_files() -> None:
    onnx = pytest.importorskip("onnx")
    exported = read_exported(BUNDLED)
    assert sum(exported.files[name].size for name in exported.graphs.values()) < 500_000
    assert sum(path.stat().st_size for path in BUNDLED.iterdir() if path.is_file()) <= 22e6
    for name in exported.graphs.values():
        graph = onnx.load(BUNDLED / name, load_external_data=False).graph
        places = [{e.key: e.value for e in w.external_data} for w in graph.initializer]
        assert {place["location"] for place in places if place} <= set(exported.files)
        assert sum(bool(place) for place in places) > 50


@pytest.mark.parametrize("runtime", ["onnx", pytest.param("openvino", marks=pytest.mark.slow)])
def test_they_answer_like_the_weights(runtime: str, photo: np.ndarray) -> None:
    ours = anymask.load(runtime=runtime)  # type: ignore[arg-type]
    theirs = anymask.load(runtime="torch")
    assert ours.network.runtime == runtime  # type: ignore[attr-defined]
    embedding, other = ours.embed(photo), theirs.embed(photo)
    for prompt in (
        {"points": [(20, 15)]},
        {"points": [(20, 15), (50, 40)], "labels": [1, 0]},
        {"box": (8, 3, 32, 27)},
        {"box": (8, 3, 32, 27), "points": [(20, 15)]},
        {"mask": photo[..., 0] > 120},
    ):
        wanted, found = theirs.predict(other, **prompt), ours.predict(embedding, **prompt)
        np.testing.assert_allclose(found.logits, wanted.logits, atol=2e-3)
        np.testing.assert_allclose(found.scores, wanted.scores, atol=1e-4)


def test_everything_and_an_example_by_graphs(photo: np.ndarray) -> None:
    ours, theirs = anymask.load(runtime="onnx"), anymask.load(runtime="torch")
    wanted, found = (m.generate(photo, points_per_side=4) for m in (theirs, ours))
    assert len(wanted) and len(found) == len(wanted)
    np.testing.assert_allclose(found.areas, wanted.areas, atol=4, rtol=0.02)
    mask = np.zeros(photo.shape[:2], bool)
    mask[5:25, 10:30] = True
    shown, expected = (
        model.personalize(photo, mask, names="square").find(photo) for model in (ours, theirs)
    )
    assert shown.labels == expected.labels
    # A mask of 400 pixels; what is shown becomes a prompt of its own, whose edges lie close to 0.
    np.testing.assert_allclose(shown.areas, expected.areas, rtol=0.05)


def test_graphs_of_other_weights_are_refused(tmp_path: Path) -> None:
    """Offsets into a file that was written anew would lead anywhere."""
    copy = Path(shutil.copytree(BUNDLED, tmp_path / "copy of it"))
    assert open_network(copy)[1].digest == VARIANTS[0].weights.sha256
    file = copy / "anymask-compact.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(
        WeightsError, match=r"expected 'anymask-compact.safetensors' in .* as it was"
    ):
        open_network(copy)
    about = json.loads((copy / MANIFEST).read_text())
    assert about["files"]["anymask-compact.safetensors"]["size"] == len(content)


def test_buffers_stay_for_the_same_size_only() -> None:
    graph = anymask.load("bundled", runtime="onnx").network._encoder
    session, returned = graph._session, []

    class Spy:
        def run(self, names, inputs, options):
            returned.append(options is not None)
            return session.run(names, inputs, options)

    graph._session = Spy()
    for side in (32, 32, 64, 64, 32):
        graph(pixels=np.zeros((1, 3, side, 32), np.float32))
    assert returned == [True, False, True, False, True]
