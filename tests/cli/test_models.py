from __future__ import annotations

import json

from anymask.models.variants import VARIANTS


def test_the_table_names_every_model(run) -> None:
    result = run("models")
    assert result.code == 0
    for variant in VARIANTS:
        assert variant.name in result.out
    assert max(map(len, result.out.splitlines())) <= 80


def test_json_lines(run) -> None:
    lines = [json.loads(line) for line in run("models", "--json").out.splitlines()]
    assert [line["name"] for line in lines] == [variant.name for variant in VARIANTS]
    assert all(line["parameters"] > 0 and line["capabilities"] for line in lines)
