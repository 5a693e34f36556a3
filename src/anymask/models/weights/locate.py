"""From what a user calls a model to the file or folder of its weights."""

from __future__ import annotations

import hashlib
import os
import re
import urllib.parse
from collections.abc import Sequence
from pathlib import Path

from anymask.errors import WeightsError
from anymask.models import cache
from anymask.models.variants import VARIANTS, Variant, find

__all__ = ["locate", "locate_config", "locate_folder"]

_SUFFIXES = {".pth", ".pt", ".safetensors", ".bin", ".ckpt", ".zip"}
_KEPT = ("best", "last")
_HUB_ID = re.compile(
    r"(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?(:(?P<file>[^:]+))?", re.ASCII
)


def locate(
    source: str | os.PathLike[str] | Variant, offline: bool = False
) -> tuple[Path, Variant | None]:
    """Find the file or folder that holds weights; download it if need be.

    Args:
        source: A row of the table of variants, its name or alias, the path of a file, of a folder
            or of a training run, an address (``https://...``), or a hub id: ``org/name``,
            ``org/name@revision``, ``org/name:file``. With a name and a colon before it, it is said
            which variant the weights are, where files of several look the same:
            ``medsam:weights.pth``.
        offline: Use nothing but what is here already.

    Returns:
        Where it is; and the variant, if the source names one.

    Raises:
        WeightsError: There is no such thing, or it is not what it should be.
        OutputError: It cannot be written to the cache.
    """
    offline = offline or cache.offline()
    if isinstance(source, Variant):
        return _named(source, offline), source
    if not isinstance(source, str | os.PathLike):
        raise WeightsError(
            f"expected the name of a model or the path of a weight file, got {source!r}; "
            f"try 'bundled'"
        )
    if isinstance(source, str):
        if said := _said(source):
            path, named = locate(said[1], offline)
            return path, said[0] if named is None else named
        if "://" in source:
            return _at_address(source, offline), None
        try:
            variant = find(source)
        except WeightsError as error:
            unknown = error
        else:
            return _named(variant, offline), variant
        if found := _elsewhere(source, offline):
            return found, None
        raise unknown
    return _at_path(Path(source)), None


def _said(source: str) -> tuple[Variant, str] | None:
    """Take apart what says which variant the weights at a place are; None: it does not.

    An adapter says for itself which model it was made for.
    """
    name, colon, place = source.partition(":")
    if not colon or not place or place.startswith("//"):
        return None
    known = name.strip().lower()
    row = next((row for row in VARIANTS if known in (row.name, *row.aliases)), None)
    return None if row is None else (row, place)


def locate_folder(
    source: str | os.PathLike[str], beside: Sequence[str], offline: bool = False
) -> Path:
    """Find the folder of a model as transformers writes it; fetch it if need be.

    Args:
        source: The path of a folder, or a hub id: ``org/name`` or ``org/name@revision``.
        beside: Names of the files that belong to the weights, those that there are.
        offline: Use nothing but what is here already.

    Raises:
        WeightsError: There is no such thing, or no connection.
        OutputError: It cannot be written to the cache.
    """
    return _folder_or_hub(source, None, beside, offline)


def locate_config(source: str | os.PathLike[str], offline: bool = False) -> Path:
    """Find the config.json of what `locate_folder` takes, without its weights.

    Raises:
        WeightsError: There is no such thing, or no connection.
        OutputError: It cannot be written to the cache.
    """
    return _folder_or_hub(source, "config.json", (), offline)


def _folder_or_hub(
    source: str | os.PathLike[str], file: str | None, beside: Sequence[str], offline: bool
) -> Path:
    """Find a folder or, if one is named, a file in it."""
    path = Path(source).expanduser()
    if str(source).strip() and _exists(path):
        if not path.is_dir():
            raise WeightsError(
                f"expected a folder with config.json and weights, got the file {str(path)!r:.500}; "
                "name the folder that it is in"
            )
        found = path / file if file else path
        if not found.exists():
            raise WeightsError(
                f"expected {file} and weights in {str(path)!r:.500}, got no {file}; name a folder "
                "that save_pretrained of transformers wrote"
            )
        return found
    hub_id = _HUB_ID.fullmatch(str(source))
    if hub_id is None or hub_id["file"]:
        raise WeightsError(
            f"expected the folder of a model or a hub id (org/name), got {str(source)!r:.500}; "
            "check the path"
        )
    from anymask.models.weights import hub

    offline = offline or cache.offline()
    fetched = hub.fetch(hub_id["repo"], hub_id["revision"], file, offline, beside)
    return fetched.parent if fetched.is_file() and not file else fetched


def _elsewhere(source: str, offline: bool) -> Path | None:
    """Find what is no name: a path, or something on the hub."""
    path = Path(source).expanduser()
    if not source.strip():  # which as a path would be the current folder
        return None
    if _exists(path):
        return _at_path(path)
    hub_id = _HUB_ID.fullmatch(source)
    if hub_id and (hub_id["file"] or path.suffix not in _SUFFIXES):
        from anymask.models.weights import hub

        return hub.fetch(hub_id["repo"], hub_id["revision"], hub_id["file"], offline)
    if path.suffix in _SUFFIXES or path.name != source:
        return _at_path(path)
    return None


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name too long for the system, or in a folder that is closed
        return False


def _at_path(path: Path) -> Path:
    if not _exists(path):
        raise WeightsError(
            f"expected a weight file or a folder at {str(path)!r:.500}, got nothing; check the path"
        )
    # The folder of a training run stands for the best that came out of it.
    runs = (path / name for name in _KEPT if (path / "config.yaml").is_file())
    return next((kept for kept in runs if kept.is_dir()), path)


def _named(variant: Variant, offline: bool) -> Path:
    """Find the weights of a row of the table, in the package or in the cache, and check them."""
    weights, path = variant.weights, cache.place(variant)
    if not path.is_file():
        if weights.url is None:
            raise WeightsError(
                f"expected the weights of {variant.name} at {str(path)!r}, got nothing; install "
                f"{'anymask' if variant.network else 'the package that adds it'} again"
            )
        _refuse_offline(offline, variant.name, path, weights.url)
        _download(weights.url, path, weights.sha256, variant.name)
    found = cache.digest(path)
    if weights.sha256 and not found.startswith(weights.sha256):
        raise WeightsError(
            f"expected weights of {variant.name} with SHA-256 {weights.sha256}..., got "
            f"{found[:12]}... at {str(path)!r}; delete it, which is damaged or incomplete, and "
            f"call again"
        )
    return path


def _at_address(url: str, offline: bool) -> Path:
    """Find what is at an address, kept in the cache under a name of its own."""
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:  # brackets that do not match, and the like
        parts = urllib.parse.SplitResult("", "", "", "", "")
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise WeightsError(
            f"expected an address that begins with https://, got {url!r}; use a path for a file "
            f"of this machine"
        )
    mark = hashlib.sha256(url.encode()).hexdigest()[:16]
    file = re.sub(r"[^\w.-]", "_", urllib.parse.unquote(parts.path).rpartition("/")[2])
    path = cache.cache_dir() / "addresses" / f"{mark}-{file[-80:] or 'weights'}"
    if not path.is_file():
        _refuse_offline(offline, "weights", path, url)
        # What is escaped already stays as it is.
        _download(urllib.parse.quote(url, safe="%/:=&?~#+!$,;'@()*[]"), path, None, "weights")
    return path


def _refuse_offline(offline: bool, name: str, path: Path, url: str) -> None:
    if offline:
        raise WeightsError(
            f"expected {name} at {str(path)!r}, got nothing, and downloads are switched off "
            f"(offline); download {url} to that place"
        )


def _download(url: str, path: Path, sha256: str | None, name: str) -> None:
    from anymask.models.weights.download import download  # brings a quarter of the web with it

    download(url, path, sha256, name)
