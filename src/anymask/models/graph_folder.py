"""From a folder that `anymask.export` wrote, of any layout, to its graphs as a `Network`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from anymask.models.exported import Computing, Exported, check_dtype, read_exported
from anymask.models.runtime import Runtime, pick_runtime
from anymask.models.runtime_network import RuntimeNetwork
from anymask.models.samexporter import SamexporterNetwork
from anymask.models.transformers_js import TransformersJsNetwork

__all__ = ["open_folder", "open_network"]


def open_network(
    folder: str | os.PathLike[str],
    runtime: Runtime = "auto",
    device: Any = "cpu",
    dtype: Any = None,
) -> tuple[RuntimeNetwork, Exported]:
    """Open a folder that `anymask.export` wrote.

    Args:
        folder: Where it is.
        runtime: What is to run it.
        device: Where; there is the CPU alone.
        dtype: What to compute the encoder in; None: float32.

    Raises:
        WeightsError: A file is missing, damaged or of another version.
        MissingExtraError: There is no runtime.
        InputError: The runtime cannot read the files, or not compute so.
    """
    place = Path(folder).expanduser()
    exported = read_exported(place)
    picked = pick_runtime(runtime, exported.layout)
    computing = check_dtype(picked, device, dtype)
    return open_folder(place, exported, picked, dtype=computing), exported


def open_folder(
    folder: Path,
    exported: Exported,
    runtime: Literal["onnx", "openvino"],
    *,
    dtype: Computing = "float32",
    any_decoder: bool = False,
) -> RuntimeNetwork:
    """Open the graphs of a folder, of any layout; see `RuntimeNetwork`."""
    own: dict[str, type[RuntimeNetwork]] = {
        "transformers-js": TransformersJsNetwork,
        "samexporter": SamexporterNetwork,
    }
    kind = own.get(exported.layout, RuntimeNetwork)
    return kind(folder, exported, runtime, dtype=dtype, any_decoder=any_decoder)
