from __future__ import annotations

import json
from pathlib import Path

import pytest

from anymask.models.cache import place
from anymask.models.variants import VARIANTS, find


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ANYMASK_CACHE", "cache")
    return tmp_path / "cache"


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


def test_it_says_what_is_here(run, cache: Path) -> None:
    cache.mkdir()
    place(find("sam-vit-b")).touch()
    here = {
        line["name"] for line in map(json.loads, run("models", "--json").out.splitlines())
        if line["path"]
    }  # fmt: skip
    assert here == {"anymask-compact", "sam-vit-b"}
    rows = {line.split()[0]: line.split() for line in run("models").out.splitlines() if line}
    assert "yes" in rows["sam-vit-b"] and "yes" not in rows["sam-vit-l"]
