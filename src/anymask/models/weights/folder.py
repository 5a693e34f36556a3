"""A folder of weights, as the hub has them: ``config.json`` beside ``model.safetensors``.

The config is anymask's own (a row of the table of variants) or that of transformers. A folder
without one is as good as the one file of weights in it.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError
from safetensors.torch import save_file

from anymask.atomic import cannot_write, make_folder
from anymask.errors import OutputError, WeightsError
from anymask.models.config import SamConfig
from anymask.models.variants import Variant
from anymask.models.weights import sam2_layout, transformers_layout, variant_json
from anymask.models.weights.files import State, read_state

__all__ = [
    "CONFIGS",
    "USUAL",
    "Layout",
    "files_of",
    "new_folder",
    "pick",
    "read_folder",
    "read_json",
    "shards",
    "write_files",
    "write_folder",
]

Layout = Literal["anymask", "transformers"]

CONFIGS = ("config.json", "preprocessor_config.json")
"""What may lie beside the weights and says what they are."""

USUAL = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""How the weights are called, the better first; an index lists the parts of several files."""

_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".pt.zip", ".pth.zip")


def pick(names: Iterable[str], origin: str) -> str:
    """Pick the file of weights, or the index of several, from the names in a folder.

    Raises:
        WeightsError: There is none, or it is not clear which one is meant.
    """
    names = sorted(names)
    for usual in USUAL:
        if usual in names:
            return usual
    found = [name for name in names if name.endswith(_SUFFIXES)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise WeightsError(
            f"expected weights in {origin}, got none among {len(names)} files; name the file"
        )
    raise WeightsError(
        f"expected one file of weights in {origin}, got {len(found)} ({', '.join(found[:5])}); "
        f"name the one that you mean"
    )


def shards(index: Path) -> list[str]:
    """List the files that an index names.

    Raises:
        WeightsError: It is no index, or names something outside of its folder.
    """
    weight_map = read_json(index).get("weight_map")
    names = sorted(set(weight_map.values())) if isinstance(weight_map, dict) else []
    if not names or any(not isinstance(n, str) or n != Path(n).name for n in names):
        raise WeightsError(
            f"expected file names of the same folder under weight_map in {str(index)!r}, got "
            f"others; get it again"
        )
    return names


def files_of(folder: Path) -> list[Path]:
    """List the files of a folder that make up the weights and say what they are."""
    chosen = pick((path.name for path in folder.iterdir() if path.is_file()), repr(str(folder)))
    weights = shards(folder / chosen) if chosen.endswith(".json") else []
    configs = [name for name in CONFIGS if (folder / name).is_file()]
    return [folder / name for name in [*configs, chosen, *weights]]


def read_folder(folder: Path) -> tuple[State, Variant | None]:
    """Read the weights in a folder, and which variant they are if its config says so.

    Raises:
        WeightsError: Something is missing, damaged, or unknown.
    """
    files = {path.name: path for path in files_of(folder)}
    config, preprocessor = (read_json(files.pop(n)) if n in files else {} for n in CONFIGS)
    origin, variant = repr(str(folder)), None
    if variant_json.describes_variant(config):
        variant = variant_json.read_variant(config, origin)
    elif transformers_layout.describes_sam(config):
        variant = transformers_layout.read_variant(config, preprocessor, origin)
    elif sam2_layout.describes_sam2(config):
        variant = sam2_layout.read_variant(config, preprocessor, origin)
    parts = [read_state(path) for path in files.values() if path.suffix != ".json"]
    return {key: value for part in parts for key, value in part.items()}, variant


def write_folder(folder: Path, variant: Variant, state: State, layout: Layout = "anymask") -> None:
    """Write weights and what they are into a new folder, whole or not at all.

    Args:
        folder: It must be missing or empty.
        variant: What they are.
        state: Tensors by the network's own keys.
        layout: anymask's own config, or keys and config of transformers (SAM only).

    Raises:
        OutputError: It cannot be written.
        WeightsError: The layout has no words for this network.
    """
    configs = {CONFIGS[0]: variant_json.write_variant(variant)}
    if layout == "transformers":
        configs, state = _in_transformers(variant, state)
    write_files(folder, configs, "model.safetensors", state)


def write_files(
    folder: Path, configs: Mapping[str, Mapping[str, Any]], weights: str, state: State
) -> None:
    """Write configs and one file of weights into a new folder, whole or not at all.

    Args:
        folder: It must be missing or empty.
        configs: What JSON can hold, by file name; at least one.
        weights: Name of the file of weights.
        state: Tensors by key.

    Raises:
        OutputError: It cannot be written.
    """
    try:
        with new_folder(folder) as draft:
            for name, config in configs.items():
                text = json.dumps(config, indent=2, ensure_ascii=False)
                (draft / name).write_text(f"{text}\n", encoding="utf-8")
            whole = {key: value.contiguous() for key, value in state.items()}
            save_file(whole, draft / weights, metadata={"format": "pt"})
            # It is made for nobody else to read: give it the user's usual permissions.
            shutil.copymode(draft / name, draft / weights)
    except OutputError:
        raise
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise OutputError(
            f"cannot write {str(folder)!r}: {reason}; choose another place or make room"
        ) from error


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder to write to, which takes its name when the block ends well.

    Raises:
        OutputError: There is such a folder, or it or what belongs into it cannot be written.
    """
    try:
        target = Path(os.path.realpath(folder))
        taken = target.exists() and (not target.is_dir() or any(target.iterdir()))
    except (OSError, ValueError) as error:  # ValueError: no system has such names
        raise OutputError(f"cannot write {str(folder)!r}: {error}; choose another place") from error
    if taken:
        raise OutputError(f"cannot write {str(folder)!r}: it is there already; choose a new folder")
    draft = target.with_name(f".anymask-{secrets.token_hex(6)}")
    make_folder(target.parent)
    try:
        draft.mkdir()
        yield draft
        draft.replace(target)
    except OutputError:
        raise
    except OSError as error:
        raise cannot_write(folder, error) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _in_transformers(variant: Variant, state: State) -> tuple[dict[str, dict[str, Any]], State]:
    if not isinstance(variant.network, SamConfig):
        raise WeightsError(
            f"expected a SAM for the layout of transformers, got {variant.name}; "
            f"convert it to anymask's layout"
        )
    config = transformers_layout.make_config(variant.network)
    preprocessor = transformers_layout.make_preprocessor_config(variant.preprocessing)
    configs = dict(zip(CONFIGS, (config, preprocessor), strict=True))
    return configs, transformers_layout.to_transformers(state)


def read_json(path: Path) -> dict[str, Any]:
    """Read a file that holds a JSON object.

    Raises:
        WeightsError: It does not, or cannot be read.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(
            f"expected JSON at {str(path)!r}, got something unreadable; get it again"
        ) from error
    if not isinstance(found, dict):
        raise WeightsError(
            f"expected a JSON object at {str(path)!r}, got {type(found).__name__}; get it again"
        )
    return found
