"""A tiny SAM behind the original's names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.models.tiny import tiny

from anymask.compat import Sam
from anymask.compat.build_sam import assemble
from anymask.models.variants import find


@pytest.fixture
def sam() -> Sam:
    """Frames of 64 x 64, logits of 16 x 16, embeddings of 32 channels."""
    torch.manual_seed(0)
    return assemble(tiny(find("sam-vit-b")))


@pytest.fixture
def image() -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(0, 256, (37, 50, 3), dtype=np.uint8)
