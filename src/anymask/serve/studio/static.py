"""The studio as files for any static host: the page, the model that it runs, and images if wanted.

Beside ``index.html`` lies ``sw.js``, which browsers run between the page and the host. It knows the
digest of every file, keeps the files for offline use, never mixes those of two versions, and adds
the headers that static hosts do not send. What people make stays in their browsers.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anymask import formats
from anymask.atomic import DRAFT, cannot_write, make_folder
from anymask.errors import AnymaskError, InputError, OutputError
from anymask.export.browser import ABOUT
from anymask.models.vocabulary import LABELS
from anymask.serve.studio.gallery import Gallery, Picture
from anymask.serve.studio.page_files import FOLDER
from anymask.serve.studio.project import Project

__all__ = ["Written", "write_static"]

_INDEX, _WORKER, _IMAGES = "index.html", "sw.js", "images.json"
_SHELL = ("static.js", "studio.css", "icon.svg", "manifest.webmanifest")
_PARTS = ("example.jpg", "licenses.txt", "worker.js", "ort.mjs", "ort.wasm.gz")
_TEXT = (".html", ".js", ".mjs", ".css", ".svg", ".json", ".webmanifest", ".txt")
_SITE = re.compile(r"^self\.SITE = (\{.*\});$", re.MULTILINE)
_NEEDS = {"words": "detector", "subject": "saliency"}  # commands of the page, and parts of a model
_SUFFIXES = {"image/jpeg": ".jpg", "image/png": ".png", "image/webp": ".webp"}


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        page: Bytes that a visitor loads, compressed as hosts do it, without images.
        first: Those of them that are loaded before the first mask; the others follow meanwhile.
        images: How many images are there.
        image_bytes: Their bytes.
        left_out: Images that could not be read, with the reason.
    """

    page: int
    first: int
    images: int = 0
    image_bytes: int = 0
    left_out: tuple[str, ...] = ()


@dataclass
class _Draft:
    """The files that are being written, with their digests."""

    folder: Path
    groups: dict[str, dict[str, str]] = field(
        default_factory=lambda: {"shell": {}, "parts": {}, "images": {}}
    )

    def put(self, group: str, name: str, content: bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        self.groups[group][name] = hashlib.sha256(content).hexdigest()


def write_static(
    folder: str | os.PathLike[str],
    model: Mapping[str, bytes],
    *,
    images: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    max_pixels: int = 100_000_000,
    heard: Callable[[str], None] | None = None,
) -> Written:
    """Write the studio as files.

    Args:
        folder: Where to; whole or not at all if it is new.
        model: Files of the model by name, from `anymask.export.browser.browser_model`.
        images: A folder of images that the page begins with, with the masks and classes that a
            studio has saved there. They can be read by everybody who can read the page.
        overwrite: Write into a folder that holds something: the files of an earlier studio are
            replaced, all others stay.
        max_pixels: Larger images are left out.
        heard: Called with the name of each image that is at hand.

    Raises:
        InputError: The folder holds something, or lies in that of the images.
        OutputError: It cannot be written to.
    """
    target = Path(os.path.realpath(Path(folder).expanduser()))
    source = None if images is None else Path(os.path.realpath(Path(images).expanduser()))
    _check(target, source, overwrite)
    make_folder(target.parent)
    try:
        draft = Path(tempfile.mkdtemp(prefix=DRAFT, dir=target.parent))
    except OSError as error:
        raise cannot_write(target, error) from error
    try:
        made = _Draft(draft)
        written = _write(made, model, source, max_pixels, heard or (lambda name: None))
        _move(draft, target, made.groups)
    except OSError as error:
        raise cannot_write(target, error) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return written


def _check(target: Path, source: Path | None, overwrite: bool) -> None:
    if os.path.lexists(target) and not target.is_dir():
        raise OutputError(
            f"expected a folder for the page, got the file {str(target)!r}; name another place"
        )
    if target.is_dir() and any(target.iterdir()) and not overwrite:
        raise InputError(
            f"expected an empty folder or none, but {str(target)!r} holds something; write into it "
            "all the same (--overwrite), or choose another"
        )
    if source is not None and (target == source or source in target.parents):
        raise InputError(
            f"expected a folder outside of that of the images, got {str(target)!r}, whose images "
            "would be taken for some of them; choose another"
        )


def _write(
    draft: _Draft,
    model: Mapping[str, bytes],
    source: Path | None,
    max_pixels: int,
    heard: Callable[[str], None],
) -> Written:
    for name in _SHELL:
        draft.put("shell", f"page/{name}", (FOLDER / name).read_bytes())
    for name in _PARTS:
        draft.put("parts", f"page/{name}", (FOLDER / name).read_bytes())
    for name, content in model.items():
        draft.put("parts", f"model/{name}", content)
    about = json.loads(model[ABOUT])
    given: dict[str, Any] = {"name": "", "pictures": [], "classes": []}
    left_out: list[str] = []
    if source is not None:
        given = _images(draft, source, max_pixels, heard, left_out)
    lacks = [name for name, role in _NEEDS.items() if role not in about["graphs"]]
    words = [] if "words" in lacks else [word.lower() for word in LABELS]
    given |= {"model": about["variant"]["name"], "words": words, "lacks": lacks}
    draft.put("shell", _IMAGES, _json(given))
    draft.put("shell", _INDEX, (FOLDER / "static.html").read_bytes())
    worker = f"self.SITE = {_json(draft.groups).decode()};\n".encode()
    (draft.folder / _WORKER).write_bytes(worker + (FOLDER / _WORKER).read_bytes())
    images = [name for name in draft.groups["images"] if not name.endswith(".json")]
    sent = {
        path.relative_to(draft.folder).as_posix(): _sent(path)
        for path in _files(draft.folder, draft.groups["images"])
    }
    return Written(
        sum(sent.values()),
        sum(size for name, size in sent.items() if name not in _later(about)),
        len(given["pictures"]),
        sum((draft.folder / name).stat().st_size for name in images),
        tuple(left_out),
    )


def _later(about: Mapping[str, Any]) -> set[str]:
    """List the files that nobody waits for: those of searches, the example, the licences."""
    files = {
        role: {one.get("graph"), *one.get("weights", ())} for role, one in about["graphs"].items()
    }
    at_once = files.get("encoder", set()) | files.get("decoder", set())
    model = set().union(*files.values()) - at_once
    return {f"model/{name}" for name in model} | {"page/example.jpg", "page/licenses.txt"}


def _json(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=True, separators=(",", ":")).encode()


def _files(folder: Path, without: Mapping[str, str]) -> list[Path]:
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return [path for path in found if path.relative_to(folder).as_posix() not in without]


def _sent(path: Path) -> int:
    """Count the bytes of a file as a host sends it: text compressed, all else as it is."""
    content = path.read_bytes()
    is_text = path.suffix in (
        ".html",
        ".js",
        ".mjs",
        ".css",
        ".svg",
        ".json",
        ".webmanifest",
        ".txt",
    )
    return len(gzip.compress(content, 6)) if is_text else len(content)


# ------------------------------------------------------------------------------ images


def _images(
    draft: _Draft,
    source: Path,
    max_pixels: int,
    heard: Callable[[str], None],
    left_out: list[str],
) -> dict[str, Any]:
    """Put images and what is known of them beside the page."""
    gallery, project = Gallery(source, max_pixels), Project(source)
    pictures = []
    for picture in gallery.look():
        heard(picture.name)
        try:
            if picture.error is not None:
                raise InputError(picture.error)
            pictures.append(_image(draft, gallery, project, picture))
        except AnymaskError as error:
            left_out.append(f"{picture.name}: {error}")
    classes = [vars(one) for one in project.classes().part]
    return {"name": source.name, "pictures": pictures, "classes": classes}


def _image(draft: _Draft, gallery: Gallery, project: Project, picture: Picture) -> dict[str, Any]:
    data, media = gallery.shown(picture)
    small = gallery.thumbnail(picture)
    masks = project.masks(picture.name, picture.size_hw).part
    # As the page numbers files that are dropped onto it, so that it knows the same one again.
    key = hashlib.sha256(picture.name.encode() + b"\0" + data).hexdigest()[:32]
    names = {
        "file": f"images/{key}{_SUFFIXES[media]}",
        "thumbnail": f"images/{key}-small.jpg",
        "things": f"images/{key}.json" if len(masks) else None,
    }
    draft.put("images", str(names["file"]), data)
    draft.put("images", str(names["thumbnail"]), small)
    if names["things"] is not None:
        path = draft.folder / names["things"]
        formats.write(path, masks, format="sa1b")
        draft.put("images", names["things"], path.read_bytes())
    h, w = picture.size_hw
    return {"id": key, "name": picture.name, "w": w, "h": h, "masks": len(masks), **names}


# ------------------------------------------------------------------------------ moving


def _move(draft: Path, target: Path, groups: Mapping[str, Mapping[str, str]]) -> None:
    """Put what was written in its place; the page itself last."""
    if not target.is_dir() or not any(target.iterdir()):
        with suppress(FileNotFoundError):
            target.rmdir()
        os.chmod(draft, 0o755)  # a temporary folder is its owner's alone
        os.replace(draft, target)
        return
    before = _known(target)
    last = (_IMAGES, _INDEX, _WORKER)
    files = [path.relative_to(draft).as_posix() for path in _files(draft, {})]
    for name in [*(name for name in files if name not in last), *last]:
        place = target / name
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(draft / name, place)
    now = {name for group in groups.values() for name in group}
    for name in before - now:
        place = target / name
        if place.is_file() and Path(os.path.realpath(place)).is_relative_to(target):
            place.unlink()


def _known(target: Path) -> set[str]:
    """List the files of the studio that was there before."""
    try:
        found = _SITE.search((target / _WORKER).read_text(encoding="utf-8"))
        site = json.loads(found[1]) if found is not None else {}
        return {str(name) for group in site.values() for name in group}
    except (OSError, ValueError, AttributeError, TypeError):
        return set()
