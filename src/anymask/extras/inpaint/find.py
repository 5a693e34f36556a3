"""From what a user calls an engine to the engine, with its weights."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from anymask.errors import InputError, WeightsError
from anymask.extras.inpaint.classical import ENGINES
from anymask.extras.inpaint.engine import Engine

if TYPE_CHECKING:
    import torch

__all__ = ["find_engine"]


def find_engine(
    name: str | os.PathLike[str] | Engine = "classical",
    *,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "float32",
    offline: bool = False,
) -> Engine:
    """Find the engine that a name or a path means, and load its weights.

    Args:
        name: ``"classical"``, ``"patchmatch"`` or ``"telea"``, which need no weights; the file,
            address or folder of big-LaMa's weights; the folder or hub id (``org/name``) of a
            diffusers pipeline; or an engine, which comes back as it is.
        device: Where networks compute.
        dtype: What they compute in.
        offline: Download nothing.

    Raises:
        InputError: It is no name of an engine, and no path.
        WeightsError: There are no such weights, or they are of something else.
        MissingExtraError: What the engine needs is not installed.

    Examples:
        >>> sorted(find_engine("telea").tasks)
        ['remove']
    """
    if not isinstance(name, str | os.PathLike):
        if not hasattr(name, "paint"):
            raise InputError(
                f"expected an engine by name, path or with a method paint, got "
                f"{type(name).__name__}; try 'classical'"
            )
        return name
    known = ENGINES.get(os.fsdecode(name))
    if known is not None:
        return known()
    return _from_weights(os.fsdecode(name), device, dtype, offline)


def _from_weights(
    name: str, device: str | torch.device, dtype: str | torch.dtype, offline: bool
) -> Engine:
    path = Path(name).expanduser()
    if (path / "model_index.json").is_file() or _is_hub_id(name, path):
        from anymask.extras.inpaint.diffusion import Diffusion

        return Diffusion.load(name if not path.exists() else path, device, dtype, offline)
    if not path.exists() and "://" not in name:
        raise InputError(
            f"expected an engine out of {', '.join(ENGINES)}, the path of big-LaMa's weights, or "
            f"a diffusers pipeline by folder or hub id, got {name!r}; check the spelling"
        )
    if path.is_dir() and not any(path.glob("*.safetensors")) and not any(path.glob("*.pt")):
        found = sorted(entry.name for entry in path.iterdir())[:5]
        raise WeightsError(
            f"expected big-LaMa's weights or the model_index.json of a diffusers pipeline in "
            f"{name!r}, got {', '.join(found) or 'nothing'}; name another folder"
        )
    from anymask.extras.inpaint.lama import LamaEngine

    return LamaEngine.load(name, device, dtype, offline)


def _is_hub_id(name: str, path: Path) -> bool:
    parts = name.split("/")
    usual = len(parts) == 2 and all(part and part[0] not in ".~" for part in parts)
    weights = path.suffix in (".pt", ".pth", ".ckpt", ".safetensors", ".bin", ".zip")
    return usual and not path.exists() and not weights
