"""From a folder that `anymask.export` wrote, of any layout, to its graphs as a `Network`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from anymask.models.exported import Exported, read_exported
from anymask.models.runtime import Runtime, RuntimeNetwork, pick_runtime
from anymask.models.samexporter import SamexporterNetwork
from anymask.models.transformers_js import TransformersJsNetwork

__all__ = ["open_folder", "open_network"]


def open_network(
    folder: str | os.PathLike[str], runtime: Runtime = "auto"
) -> tuple[RuntimeNetwork, Exported]:
    """Open a folder that `anymask.export` wrote.

    Raises:
        WeightsError: A file is missing, damaged or of another version.
        MissingExtraError: There is no runtime.
        InputError: The runtime cannot read the files.
    """
    place = Path(folder).expanduser()
    exported = read_exported(place)
    return open_folder(place, exported, pick_runtime(runtime, exported.layout)), exported


def open_folder(
    folder: Path,
    exported: Exported,
    runtime: Literal["onnx", "openvino"],
    *,
    any_decoder: bool = False,
) -> RuntimeNetwork:
    """Open the graphs of a folder, of any layout; see `RuntimeNetwork`."""
    own = {"transformers-js": TransformersJsNetwork, "samexporter": SamexporterNetwork}
    kind: type[RuntimeNetwork] = own.get(exported.layout, RuntimeNetwork)
    return kind(folder, exported, runtime, any_decoder=any_decoder)
