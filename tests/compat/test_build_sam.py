"""The registry and its builders."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.models.tiny import tiny

import anymask.compat
from anymask.compat import Sam, SamPredictor, build_sam_vit_h, sam_model_registry
from anymask.compat.build_sam import assemble
from anymask.errors import WeightsError
from anymask.models.variants import find


def test_the_registry_holds_the_originals_names() -> None:
    assert set(sam_model_registry) == {"default", "vit_h", "vit_l", "vit_b", "vit_t"}
    assert sam_model_registry["default"] is sam_model_registry["vit_h"] is build_sam_vit_h
    for name in ("vit_h", "vit_l", "vit_b", "vit_t"):
        assert sam_model_registry[name] is getattr(anymask.compat, f"build_sam_{name}")


def test_vit_b_has_the_published_keys(parity_dir: Path) -> None:
    layout = json.loads((parity_dir / "keys/sam_vit_b.json").read_text())
    sam = sam_model_registry["vit_b"]()
    assert not sam.training
    state = sam.state_dict()
    assert {key: list(value.shape) for key, value in state.items()} == {
        key: shape for key, (shape, _) in layout["keys"].items()
    }
    assert sum(parameter.numel() for parameter in sam.parameters()) == 93_735_472
    assert sam.prompt_encoder.mask_input_size == (256, 256)


@pytest.mark.parametrize("name", ["sam-vit-b", "mobile-sam"])
def test_every_family_goes_all_the_way(name: str, tmp_path: Path) -> None:
    """Forward, backward, save and load."""
    sam = assemble(tiny(find(name)))
    sam.train()
    pixels = sam.preprocess(torch.full((2, 3, 40, 64), 99.0))
    sparse, dense = sam.prompt_encoder(None, torch.tensor([[1.0, 2, 30, 40]]), None)
    low_res, iou = sam.mask_decoder(
        sam.image_encoder(pixels)[:1], sam.prompt_encoder.get_dense_pe(), sparse, dense, True
    )
    (low_res.sum() + iou.sum()).backward()
    trained = [n for n, p in sam.image_encoder.named_parameters() if p.grad is not None]
    assert len(trained) > 10
    path = tmp_path / "sam.pth"
    torch.save(sam.state_dict(), path)
    again = assemble(tiny(find(name)), path)
    predictors = [SamPredictor(sam.eval()), SamPredictor(again)]
    for predictor in predictors:
        predictor.set_image(np.full((40, 64, 3), 99, dtype=np.uint8))
    wanted, got = (p.predict(box=np.array([1, 2, 30, 40]))[2] for p in predictors)
    np.testing.assert_allclose(got, wanted, atol=1e-5)


def test_a_checkpoint_comes_back(sam: Sam, tmp_path: Path) -> None:
    path = tmp_path / "sam.pth"
    torch.save(sam.state_dict(), path)
    again = assemble(tiny(find("sam-vit-b")), checkpoint=str(path))
    torch.testing.assert_close(dict(again.state_dict()), dict(sam.state_dict()), rtol=0, atol=0)
    assert all(parameter.requires_grad for parameter in again.parameters())
    blank = assemble(tiny(find("sam-vit-b")))
    with path.open("rb") as file:
        blank.load_state_dict(torch.load(file))
    torch.testing.assert_close(dict(blank.state_dict()), dict(sam.state_dict()), rtol=0, atol=0)


def test_a_checkpoint_of_another_size_is_refused(sam: Sam, tmp_path: Path) -> None:
    path = tmp_path / "sam.pth"
    torch.save(sam.state_dict(), path)
    with pytest.raises(WeightsError, match=r"the 314 keys of sam-vit-b, got .* missing"):
        sam_model_registry["vit_b"](checkpoint=str(path))
