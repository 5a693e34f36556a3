"""The built page is that of its sources."""

from __future__ import annotations

import gzip
import hashlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WEB = ROOT / "web"
PAGE = ROOT / "src" / "anymask" / "serve" / "page"
NAMED = {
    "http://www.w3.org/2000/svg",
    "https://web.dev/cross-origin-isolation-guide/",  # in a warning of the runtime
}
BESIDE = ("build.mjs", "package-lock.json", "tsconfig.json")


def digest_of_sources() -> str:
    """Do what ``digest`` of web/build.mjs does."""
    paths = [WEB / name for name in BESIDE]
    paths += [path for path in (WEB / "src").rglob("*") if path.is_file()]
    digest = hashlib.sha256()
    for name, path in sorted((path.relative_to(WEB).as_posix(), path) for path in paths):
        digest.update(f"{name}\0".encode())
        digest.update(path.read_text("utf-8").replace("\r\n", "\n").encode())
        digest.update(b"\0")
    return digest.hexdigest()


@pytest.mark.parametrize(
    "name", ["studio.js", "static.js", "sw.js", "studio.css", "worker.js", "widget.js"]
)
def test_the_page_is_not_older_than_its_sources(name: str) -> None:
    if not WEB.is_dir():
        pytest.skip("needs the sources of the page, which an unpacked archive has not")
    found = re.search(r"sources ([0-9a-f]{64})", (PAGE / name).read_text("utf-8")[:300])
    assert found is not None, f"{name} does not say what it was built from"
    assert found[1] == digest_of_sources(), "build the page again: make web"


def test_no_source_of_the_page_is_over_600_lines() -> None:
    paths = [path for path in (WEB / "src").rglob("*") if path.suffix in (".ts", ".css")]
    lengths = {path.name: len(path.read_text("utf-8").splitlines()) for path in paths}
    assert {name: lines for name, lines in lengths.items() if lines > 600} == {}


def test_the_page_asks_nobody_else_for_anything() -> None:
    for path in PAGE.iterdir():
        if path.suffix in (".js", ".mjs", ".css", ".html"):
            addresses = re.findall(r"https?://[^\s\"'`)]+", path.read_text("utf-8"))
            assert set(addresses) <= NAMED, path.name


def test_the_runtime_is_that_of_the_lock_file() -> None:
    loader = WEB / "node_modules" / "onnxruntime-web" / "dist" / "ort-wasm-simd-threaded.mjs"
    if not loader.is_file():
        pytest.skip("needs the page's tools: make web")
    assert (PAGE / "ort.mjs").read_bytes() == loader.read_bytes(), "build the page again: make web"
    built = gzip.decompress((PAGE / "ort.wasm.gz").read_bytes())
    assert built == loader.with_suffix(".wasm").read_bytes(), "build the page again: make web"
