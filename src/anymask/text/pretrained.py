"""Networks of transformers, from a folder that ``save_pretrained`` wrote or from the hub."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from anymask.errors import AnymaskError, WeightsError
from anymask.models.weights.folder import read_json
from anymask.models.weights.locate import locate_config, locate_folder
from anymask.optional import optional

__all__ = [
    "find_folder",
    "image_settings",
    "is_at_hand",
    "load_network",
    "load_tokenizer",
    "model_type",
    "quiet",
]

_FILES = (
    "config.json",
    "processor_config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
)


def find_folder(name_or_path: str | os.PathLike[str], kind: str, *, offline: bool = False) -> Path:
    """Find the folder of a model; fetch it from the hub if it is not here.

    Args:
        name_or_path: A folder, or a hub id (``org/name``).
        kind: What `model_type` has to say; of another model no weights are fetched.
        offline: Download nothing; ``$ANYMASK_OFFLINE`` says the same.

    Raises:
        WeightsError: There is none, it is of another kind, or it cannot be fetched.
    """
    found = model_type(name_or_path, offline=offline)
    if found != kind:
        raise WeightsError(
            f"expected a model of the type {kind} in {str(name_or_path)!r}, got one of the type "
            f"{found}; name another"
        )
    return locate_folder(name_or_path, _FILES, offline)


def model_type(name_or_path: str | os.PathLike[str], *, offline: bool = False) -> str:
    """Say what type of model something is, in the words of transformers, such as "owlv2".

    Args:
        name_or_path: A folder, or a hub id (``org/name``).
        offline: Download nothing.

    Raises:
        WeightsError: There is no such thing, or its config cannot be read or fetched.
    """
    return str(read_json(locate_config(name_or_path, offline)).get("model_type"))


def is_at_hand(hub_id: str) -> bool:
    """Return whether a model of the hub could be loaded without a download."""
    if importlib.util.find_spec("transformers") is None:
        return False
    import huggingface_hub

    files = ("config.json", "model.safetensors")
    found = [huggingface_hub.try_to_load_from_cache(hub_id, file) for file in files]
    return all(isinstance(path, str) for path in found)


def load_network(
    folder: Path,
    class_name: str,
    dtype: torch.dtype,
    extra: str = "text",
    unused: tuple[str, ...] = (),
) -> Any:
    """Load a network, in inference mode.

    Args:
        folder: See `find_folder`.
        class_name: Name of its class in transformers.
        dtype: Of its numbers.
        extra: Which extra of anymask brings transformers for it.
        unused: How names of weights begin that may be missing, for nothing computes with them.

    Raises:
        MissingExtraError: transformers is not installed.
        WeightsError: Files are missing or damaged.
    """
    transformers = optional("transformers", extra=extra)
    with _explained(folder), quiet(transformers):
        network, about = getattr(transformers, class_name).from_pretrained(
            folder, dtype=dtype, local_files_only=True, output_loading_info=True
        )
    # transformers fills what a file lacks with random numbers, and only warns.
    if missing := sorted(key for key in about["missing_keys"] if not key.startswith(unused)):
        raise WeightsError(
            f"expected all weights of {class_name} in {str(folder)!r}, got none for {missing[0]} "
            f"and {len(missing) - 1} more; get the folder again"
        )
    return network.eval().requires_grad_(False)


def load_tokenizer(folder: Path, class_name: str, files: Sequence[str]) -> Any:
    """Load a tokenizer.

    Args:
        folder: See `find_folder`.
        class_name: Name of its class in transformers.
        files: Names of the files that it can be made of, any of which is enough.

    Raises:
        MissingExtraError: transformers is not installed.
        WeightsError: Files are missing or damaged.
    """
    transformers = optional("transformers", extra="text")
    # Without any of these transformers makes a tokenizer that knows no word, and says nothing.
    if not any((folder / name).is_file() for name in files):
        raise WeightsError(
            f"expected a tokenizer in {str(folder)!r}, got none of {', '.join(files)}; get these "
            "files, too"
        )
    with _explained(folder):
        return getattr(transformers, class_name).from_pretrained(folder, local_files_only=True)


def image_settings(folder: Path) -> dict[str, Any]:
    """Read how images are prepared, as it is written today or as it was before.

    Raises:
        WeightsError: It is not written there, or cannot be read.
    """
    whole, alone = folder / "processor_config.json", folder / "preprocessor_config.json"
    settings = read_json(whole).get("image_processor") if whole.is_file() else None
    if not isinstance(settings, dict):
        settings = read_json(alone) if alone.is_file() else None
    if settings is None:
        raise WeightsError(
            f"expected processor_config.json or preprocessor_config.json in {str(folder)!r}, got "
            "neither; get one of them, which says how images are prepared"
        )
    return settings


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """Turn whatever transformers raises while it reads a folder into one sentence."""
    try:
        yield
    except AnymaskError:
        raise
    except Exception as error:  # it has no kind of its own, and passes on those of many packages
        reason = next((line for line in map(str.strip, str(error).splitlines()) if line), "")
        raise WeightsError(
            f"cannot load the model in {str(folder)!r} ({type(error).__name__}: "
            f"{reason.rstrip('.').replace('. ', ', ')}); get the folder again"
        ) from error


@contextmanager
def quiet(transformers: Any, *, bars: bool = False) -> Iterator[None]:
    """Keep transformers from reporting on a load that we report on ourselves.

    Args:
        transformers: The package.
        bars: Let it show how far a download is.
    """
    logging = transformers.utils.logging
    level, drawn = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    if not bars:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if drawn:
            logging.enable_progress_bar()
