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


def test_single_models_are_shown_in_full(run) -> None:
    shown = run("models", "bundled", "anymask-compact", "fastsam_s").out
    assert shown.count("our own small model") == 1
    assert "bicycle, boot, laptop, person" in " ".join(shown.split())
    assert "pip install 'anymask[text]'" in " ".join(shown.split())
    assert "by itself any, by CLIP" in shown
    assert "sam-vit-b" not in shown
    result = run("models", "nobody")
    assert result.code == 2 and "got 'nobody'" in result.err


def test_which_words_a_model_knows(run) -> None:
    (told,) = map(json.loads, run("models", "vit_b", "--json").out.splitlines())
    assert told["name"] == "sam-vit-b"
    assert "dog" in told["words"]["bundled"] and len(told["words"]["bundled"]) == 23
    from anymask.cli.models import _words

    assert _words(find("sam-vit-b").unprompted()) == {}
