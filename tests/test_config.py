from __future__ import annotations

import pytest

from anymask.config import GenerateConfig, InstanceConfig, changed
from anymask.errors import InputError


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("confidence", -0.1),
        ("confidence", float("nan")),
        ("box_nms_thresh", 1.1),
        ("max_instances", 0),
        ("max_instances", 2.5),
        ("text_thresh", "high"),
    ],
)
def test_a_setting_out_of_range_is_one_sentence(name: str, value: object) -> None:
    with pytest.raises(InputError, match=f"expected {name} as a .*; (the default is|leave it out)"):
        InstanceConfig(**{name: value})


@pytest.mark.parametrize("kind", [GenerateConfig, InstanceConfig])
def test_settings_are_changed_one_by_one(kind: type) -> None:
    default = kind()
    assert changed(default, None, {}) == default
    other = kind(box_nms_thresh=0.5)
    assert changed(default, other, {}) == other
    assert changed(default, other, {"box_nms_thresh": 0.6}) == kind(box_nms_thresh=0.6)
    with pytest.raises(InputError, match="got 'colour'; leave it out"):
        changed(default, None, {"colour": "red"})
    with pytest.raises(InputError, match=f"as {kind.__name__}, got dict"):
        changed(default, {}, {})
