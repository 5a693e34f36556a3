"""The registry and its builders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tests.models.tiny import tiny

import anymask.compat
from anymask.compat import Sam, build_sam_vit_h, sam_model_registry
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
