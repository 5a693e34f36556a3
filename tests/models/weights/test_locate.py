from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tests.models.weights.conftest import Server, below, state_of

from anymask.errors import WeightsError
from anymask.models.variants import VARIANTS, Variant, WeightSource
from anymask.models.weights.loading import load_network
from anymask.models.weights.locate import locate


def saved(variant: Variant) -> bytes:
    buffer = io.BytesIO()
    torch.save(state_of(variant), buffer)
    return buffer.getvalue()


@pytest.fixture
def published(known: tuple[Variant, ...], server: Server) -> Variant:
    """A row of the table whose weights lie on the server."""
    server.files["/small.pth"] = saved(known[0])
    source = replace(known[0].weights, file="small.pth", url=f"{server.address}/small.pth")
    return replace(known[0], weights=source)


def test_a_name_is_downloaded_once(published: Variant, server: Server, cache: Path) -> None:
    for _ in range(2):
        assert load_network(published)[1] is published
    assert [path for path, _ in server.asked] == ["/small.pth"]
    assert below(cache) == ["small.pth"]


@pytest.mark.parametrize("switch", ["ANYMASK_OFFLINE", "HF_HUB_OFFLINE", None])
def test_offline_nothing_is_asked(
    published: Variant, server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch, switch: str
) -> None:
    if switch:
        monkeypatch.setenv(switch, "1")
    where = rf"small at '.*small\.pth', got nothing, .*\(offline\); download {server.address}"
    with pytest.raises(WeightsError, match=where):
        locate(published, offline=not switch)
    assert server.asked == []
    cache.mkdir()
    (cache / "small.pth").write_bytes(server.files["/small.pth"])
    assert locate(published, offline=not switch) == (cache / "small.pth", published)


def test_a_named_file_with_another_hash_is_refused(cache: Path) -> None:
    cache.mkdir()
    (cache / "sam_vit_b_01ec64.pth").write_bytes(b"half a download")
    with pytest.raises(WeightsError, match=r"SHA-256 01ec64\.\.\., got .*delete it"):
        locate("sam-vit-b")


def test_a_download_with_another_hash_leaves_nothing(published: Variant, cache: Path) -> None:
    wanted = replace(published, weights=replace(published.weights, sha256="0123abcd"))
    with pytest.raises(WeightsError, match=r"SHA-256 0123abcd\.\.\. from http.*small\.pth, got"):
        locate(wanted)
    assert below(cache) == []


def test_bundled_weights_are_looked_up_in_the_package(known: tuple[Variant, ...]) -> None:
    absent = replace(known[2], weights=WeightSource("no-such.safetensors", "Apache-2.0"))
    with pytest.raises(WeightsError, match=r"models.bundled.no-such\.safetensors', got nothing"):
        locate(absent)


def test_an_address_is_kept_under_a_name_of_its_own(
    known: tuple[Variant, ...], server: Server, cache: Path
) -> None:
    for query in ("", "?token=1"):
        server.files[f"/a/my%20weights.pth{query}"] = saved(known[0])
        for _ in range(2):
            assert load_network(f"{server.address}/a/my%20weights.pth{query}")[1] is known[0]
    assert len(server.asked) == 2
    names = below(cache)
    assert len(names) == 2
    assert all(name.endswith("-my_weights.pth") for name in names)
    with pytest.raises(WeightsError, match="switched off"):
        locate(f"{server.address}/other.pth", offline=True)


def test_an_address_with_letters_of_every_kind(known: tuple[Variant, ...], server: Server) -> None:
    server.files["/m%C3%B6bel%20b.pth"] = saved(known[0])
    assert load_network(f"{server.address}/möbel b.pth")[1] is known[0]


def test_an_address_without_weights_leaves_nothing(server: Server, cache: Path) -> None:
    server.files["/page"] = b"<html>log in</html>"
    with pytest.raises(WeightsError, match=rf"at '{server.address}/page', got a web page"):
        load_network(f"{server.address}/page")
    assert below(cache) == []


@pytest.mark.parametrize("end", [-400, -20])
@pytest.mark.parametrize("kind", [save_file, torch.save])
def test_half_a_file_at_an_address_leaves_nothing(
    known: tuple[Variant, ...], server: Server, cache: Path, tmp_path: Path, kind: Any, end: int
) -> None:
    """The server has no more of it, so that its length is as announced."""
    kind(state_of(known[0]), tmp_path / "whole")
    server.files["/half.pth"] = (tmp_path / "whole").read_bytes()[:end]
    with pytest.raises(WeightsError, match=rf"at '{server.address}/half.pth', got .* cut off"):
        load_network(f"{server.address}/half.pth")
    assert below(cache) == []


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("sam-vit-bb", "try sam-vit-b"),
        ("no/such/file.pth", "expected a weight file or a folder at 'no/such/file.pth', got noth"),
        ("absent.safetensors", "got nothing"),
        ("./absent/", "got nothing"),
        (Path("absent"), "got nothing"),
        ("file:///etc/passwd", "begins with https://, got 'file:///etc/passwd'; use a path"),
        ("ftp://example.org/a.pth", "begins with https://"),
        ("https://", "begins with https://"),
        ("http://[::1", r"begins with https://, got 'http://\[::1'"),
        ("x" * 5000, "expected the name of a model"),
        ("x" * 5000 + ".pth", "got nothing"),
        (Path("x" * 5000), "got nothing"),
        ("", "got ''"),
        (" ", "got ' '"),
        (None, "got None; try 'bundled'"),
        (b"sam-vit-b", "got b'sam-vit-b'"),
    ],
)
def test_what_cannot_be_found(source: Any, words: str) -> None:
    with pytest.raises(WeightsError, match=words):
        locate(source)


def test_a_path_may_begin_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "file.pth").touch()
    assert locate("~/file.pth") == (tmp_path / "file.pth", None)


@pytest.mark.parametrize(
    ("there", "meant"),
    [
        (["config.yaml", "best", "last"], "best"),
        (["config.yaml", "last"], "last"),
        (["config.yaml"], ""),
        (["best", "last"], ""),  # no training run
    ],
)
@pytest.mark.parametrize("kind", [str, Path])
def test_the_folder_of_a_run_stands_for_its_best_weights(
    tmp_path: Path, there: list[str], meant: str, kind: type
) -> None:
    for name in there:
        (tmp_path / name).touch() if "." in name else (tmp_path / name).mkdir()
    assert locate(kind(tmp_path)) == (tmp_path / meant, None)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: v.name)
def test_every_row_says_where_its_weights_are(variant: Variant) -> None:
    source = variant.weights
    assert source.licence
    if source.url:
        assert source.url.startswith("https://")
        assert Path(source.url).suffixes == Path(source.file).suffixes
        assert source.sha256 is None or int(source.sha256, 16) >= 0
