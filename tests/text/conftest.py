from __future__ import annotations

from pathlib import Path

import pytest
from tests.text.tiny_grounders import make_grounding_dino, make_owlv2


@pytest.fixture(scope="session")
def dino_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_grounding_dino(tmp_path_factory.mktemp("grounding-dino"))


@pytest.fixture(scope="session")
def owl_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_owlv2(tmp_path_factory.mktemp("owlv2"))
