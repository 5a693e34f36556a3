"""Folders of small images, and what a farm made of them."""

from __future__ import annotations

import json
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.label.farm.squares import make_image


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Seven images in two folders, of which two are one, and a file that is none."""
    folder = tmp_path / "photos"
    for seed, name in enumerate(["b.jpg", "a.jpg", "sub/d.png", "sub/c.jpg", "sub/e.jpg", "z.jpg"]):
        make_image(folder / name, seed + 10)
    (folder / "sub/again.jpg").write_bytes((folder / "b.jpg").read_bytes())
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 no image")
    return folder


def contents(output: Path) -> dict[str, bytes]:
    """Give all that a farm is for: its files by their names, but for what is hidden."""
    paths = [path for path in output.rglob("*") if path.is_file()]
    names = {path.relative_to(output).as_posix(): path for path in paths}
    return {
        name: path.read_bytes()
        for name, path in sorted(names.items())
        if not name.startswith(".") and name != "run.json"
    }


def index(output: Path) -> dict[str, dict[str, Any]]:
    """Read the index, by name."""
    lines = (output / "index.jsonl").read_text(encoding="utf-8").splitlines()
    return {line["name"]: line for line in map(json.loads, lines)}


def documents(output: Path) -> dict[int, dict[str, Any]]:
    """Read all JSON files of all shards, by the number of their image."""
    found = {}
    for path in sorted((output / "shards").glob("sa_*.tar")):
        with tarfile.open(path) as tar:
            for name in tar.getnames():
                if name.endswith(".json"):
                    document = json.load(tar.extractfile(name))
                    found[document["image"]["image_id"]] = document
    return found


def wait_for(there: Callable[[], bool], seconds: float = 300) -> None:
    """Wait until something is so; the limit is for what never comes."""
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)
