from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

from anymask.errors import InputError, MissingExtraError, WeightsError
from anymask.extras import depth
from anymask.extras.depth.sources import find_depth
from anymask.image.image import Image

# Where weights lie in memory decides how products are added up, so the last bits may differ.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}
PHOTO = np.random.default_rng(0).integers(0, 256, (40, 62, 3), dtype=np.uint8)


@pytest.mark.parametrize("which", ["depth_anything", "dpt"])
def test_the_answer_is_that_of_transformers(which, request) -> None:
    transformers = pytest.importorskip("transformers")
    folder = request.getfixturevalue(which)
    found = depth.load(folder).estimate(PHOTO)

    names = {"depth_anything": "DepthAnythingForDepthEstimation", "dpt": "DPTForDepthEstimation"}
    network = getattr(transformers, names[which]).from_pretrained(folder).eval()
    processor = transformers.DPTImageProcessorPil.from_pretrained(folder)
    with torch.inference_mode():
        inputs = processor(images=PIL.Image.fromarray(PHOTO), return_tensors="pt")
        (answer,) = processor.post_process_depth_estimation(
            network(**inputs), target_sizes=[(40, 62)]
        )
    expected = answer["predicted_depth"].numpy()
    assert found.kind == ("metric" if which == "depth_anything" else "relative")
    assert found.size_hw == (40, 62)
    assert np.ptp(expected) > 1e-3
    np.testing.assert_allclose(found.values, expected, **CLOSE)
    np.testing.assert_allclose(depth.estimate(PHOTO, folder).values, expected, **CLOSE)


def test_weights_that_nothing_computes_with_may_be_missing(dpt, tmp_path) -> None:
    from safetensors.torch import load, save_file

    folder = Path(shutil.copytree(dpt, tmp_path / "dpt"))
    state = load((folder / "model.safetensors").read_bytes())
    part = "neck.fusion_stage.layers.0.residual_layer1."
    kept = {name: value for name, value in state.items() if not name.startswith(part)}
    assert len(kept) < len(state)
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    answers = [depth.estimate(PHOTO, one).values for one in (dpt, folder)]
    np.testing.assert_allclose(*answers, rtol=1e-4, atol=1e-4)
    kept.pop("head.head.0.weight")
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(WeightsError, match=r"head\.head\.0\.weight"):
        depth.load(folder)


def test_what_is_no_depth_model_says_so(dpt, tmp_path, monkeypatch) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(WeightsError, match=r"depth_anything or dpt in .* type bert"):
        depth.load(tmp_path / "other")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="neither; name another folder"):
        find_depth(tmp_path / "empty")
    with pytest.raises(InputError, match=r"'lost\.png', which does not exist"):
        find_depth("lost.png")
    with pytest.raises(InputError, match="one of depth-anything-v2-small, dpt-large, got 'midas'"):
        find_depth("midas")
    with pytest.raises(InputError, match="says by itself what its numbers are"):
        find_depth(dpt, kind="metric")
    unprepared = Path(shutil.copytree(dpt, tmp_path / "dpt"))
    (unprepared / "preprocessor_config.json").unlink()
    with pytest.raises(WeightsError, match="says how images are prepared"):
        depth.load(unprepared)
    monkeypatch.setenv("ANYMASK_OFFLINE", "1")
    with pytest.raises(WeightsError):
        find_depth("depth-anything-v2-small")


def test_a_missing_extra_names_the_install_line(monkeypatch) -> None:
    import importlib

    real = importlib.import_module

    def without(name: str, *args):
        if name == "transformers":
            raise ModuleNotFoundError("No module named 'transformers'", name="transformers")
        return real(name, *args)

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(MissingExtraError, match=r"pip install 'anymask\[depth\]'"):
        depth.estimate(PHOTO)


def test_a_folder_of_depth_files_is_matched_by_name(tmp_path) -> None:
    for i, name in enumerate(("a", "b"), start=1):
        np.save(tmp_path / f"{name}.npy", np.array([[1.0, 2.0]]) * i)
    source = find_depth(tmp_path)
    photo = Image.open(np.zeros((1, 2), np.uint8))
    named = Image(photo.pixels, "photos/b.jpg")
    assert source.of(named).values.tolist() == [[2, 4]]
    with pytest.raises(InputError, match="depth file called 'c'"):
        source.of(Image(photo.pixels, "c.jpg"))
    np.save(tmp_path / "c.npy", np.array([[1.0, 2.0]]))
    PIL.Image.fromarray(np.array([[1, 2]], np.uint16)).save(tmp_path / "c.png")
    with pytest.raises(InputError, match="got 2; name"):
        find_depth(tmp_path).of(Image(photo.pixels, "c.jpg"))
