from __future__ import annotations

import json
from typing import Any

import pytest

from anymask.errors import WeightsError
from anymask.models.variants import VARIANTS, Variant, find
from anymask.models.weights.variant_json import describes_variant, read_variant, write_variant


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: v.name)
def test_every_row_survives_json(variant: Variant) -> None:
    config = json.loads(json.dumps(write_variant(variant)))
    assert describes_variant(config)
    assert read_variant(config, "x") == variant


def test_only_our_own_configs_are_meant() -> None:
    assert not describes_variant({})
    assert not describes_variant({"model_type": "sam"})


def changed(*path: str, value: Any) -> dict[str, Any]:
    config: dict[str, Any] = json.loads(json.dumps(write_variant(find("sam-vit-b"))))
    inside = config
    for name in path[:-1]:
        inside = inside[name]
    inside[path[-1]] = value
    return config


def test_whole_numbers_are_numbers() -> None:
    config = changed("preprocessing", "mean", value=[1, 2, 3])
    assert read_variant(config, "x").preprocessing.mean == (1.0, 2.0, 3.0)


BAD = {
    "a word for a number": (("parameters",), "many", r"config\.parameters as int, got 'many'"),
    "true for a number": (("parameters",), True, "as int, got True"),
    "two of three": (
        ("preprocessing", "mean"),
        [1.0, 2.0],
        r"config\.preprocessing\.mean as list of 3",
    ),
    "a wrong item": (("preprocessing", "mean"), [1.0, 2.0, "3"], "as float, got '3'"),
    "an unknown choice": (("preprocessing", "resize"), "magic", "'magic'"),
    "an unknown setting": (
        ("preprocessing", "zoom"),
        2,
        r"settings out of side, .*, got config\.preprocessing\.zoom",
    ),
    "an unknown class": (("network", "class"), "os.system", "class as one of .*, got 'os.system'"),
    "no class": (("network", "class"), None, "class as one of"),
    "no dictionary": (("network",), "SamConfig", "config.network"),
    "an unknown capability": (("capabilities",), ["points", "smell"], "'smell'"),
    "nothing": (
        ("network",),
        {"class": "SamConfig"},
        r"expected config\.network\.encoder, got none",
    ),
    "bad settings": (
        ("generate", "points_per_side"),
        0,
        "points_per_side as a whole number of at least 1, got 0",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_value_that_does_not_fit(kind: str) -> None:
    path, value, words = BAD[kind]
    with pytest.raises(WeightsError, match=words) as caught:
        read_variant(changed(*path, value=value), "'folder'")
    assert "in the config.json of 'folder'" in str(caught.value)
    assert "\n" not in str(caught.value)
