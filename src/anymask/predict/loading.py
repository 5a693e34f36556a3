"""From a name, path, address or hub id to a model that is ready for use."""

from __future__ import annotations

import importlib.util
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anymask.device import find_device, find_dtype
from anymask.errors import InputError
from anymask.models import cache
from anymask.models.exported import is_exported
from anymask.models.graph_folder import open_network
from anymask.models.runtime import Runtime
from anymask.models.variants import VARIANTS
from anymask.predict.segmenter import Segmenter

if TYPE_CHECKING:
    import torch

__all__ = ["can_run", "load"]

_RUNTIMES = ("auto", "torch", "onnx", "openvino")


def load(
    name_or_path: str | os.PathLike[str] = "bundled",
    device: str | torch.device = "auto",
    dtype: str | torch.dtype | None = None,
    *,
    adapter: str | os.PathLike[str] | None = None,
    offline: bool = False,
    runtime: Runtime = "auto",
    compile: bool = False,
) -> Segmenter:
    """Load a model.

    Args:
        name_or_path: Name of a variant, such as ``"bundled"`` or ``"sam-vit-b"``, which is
            downloaded when it is missing; or weights whose variant is recognised: the path of a
            file or folder, an address (``https://...``), or an id of the Hugging Face hub
            (``org/name``, ``org/name@revision``, ``org/name:file``); ``name:path`` where files of
            several variants look the same, as in ``medsam:weights.pth``. The folder of an adapter
            means the model that it was made for, with the adapter. A folder that `anymask.export`
            wrote is run by ONNX Runtime or OpenVINO.
        device: Where to compute: ``"cpu"``, ``"cuda"``, ``"mps"`` ...; ``"auto"`` takes a GPU if
            there is one.
        dtype: Dtype to compute in: ``"float32"`` (as does None), ``"bfloat16"`` or ``"float16"``.
            The half types save memory, and time where the device has units for them; the outlines
            of masks may differ by a few pixels. OpenVINO computes the encoder in bfloat16 where the
            processor has units for it, else in float32.
        adapter: Folder of what the model learned beside its weights: LoRA, which costs no time, as
            it is added to the weights; or a SAM-Adapter, with which the model takes no prompt.
        offline: Download nothing; so does ``ANYMASK_OFFLINE=1`` in the environment.
        runtime: What computes: ``"torch"``, or ``"onnx"`` (ONNX Runtime) or ``"openvino"`` for an
            exported folder and for the bundled model; ``"auto"`` takes PyTorch for weights, or
            ONNX Runtime for the bundled model where PyTorch is not installed, and for an exported
            folder what can run it.
        compile: Let `torch.compile` work on the encoder, and on a GPU record it as CUDA graphs. The
            first image of each size then takes a minute or so, the others less than before: worth
            it for many images on a GPU. It needs a C++ compiler.

    Raises:
        WeightsError: The name is unknown, or the weights are missing, damaged or foreign, or the
            adapter was made for another model.
        OutputError: A download cannot be written.
        InputError: There is no such device, or it does not have that dtype.

    Examples:
        >>> masks = load().predict("docs/pictures/coffee.jpg", points=[(365, 270)])
        >>> len(masks), masks.size_hw
        (3, (400, 600))
    """
    if folder := _graphs(name_or_path, runtime):
        if compile:
            raise InputError(
                "expected PyTorch for compile, got exported graphs, which are compiled when they "
                "are opened; leave compile out"
            )
        return _load_graphs(folder, device, dtype, adapter, runtime)
    place = find_device(device)
    kind = None if dtype is None else find_dtype(dtype, place)
    from anymask.models.weights import load_network  # brings PyTorch with it

    network, variant, digest = load_network(name_or_path, place, kind, offline, adapter)
    if variant.kind == "instances":
        from anymask.predict.instances import InstanceSegmenter

        return InstanceSegmenter(variant, network, digest, compile=compile)
    return Segmenter(variant, network, digest, scout=partial(load, device=place), compile=compile)


def _graphs(source: str | os.PathLike[str], runtime: str) -> Path | None:
    """Find the folder of graphs that is meant; None: weights are, for PyTorch.

    Raises:
        InputError: There is no such runtime, or it cannot run what is asked for.
    """
    if runtime not in _RUNTIMES:
        raise InputError(
            f"expected a runtime out of {', '.join(_RUNTIMES)}, got {runtime!r}; leave it out for "
            "auto"
        )
    if isinstance(source, str | os.PathLike) and is_exported(source):
        return Path(source).expanduser()
    is_bundled = _is_bundled(source)
    if runtime == "torch" or (runtime == "auto" and (not is_bundled or _has_torch())):
        return None
    if is_bundled:
        return cache.place(VARIANTS[0]).parent
    raise InputError(
        f"expected the bundled model or an exported folder for runtime {runtime}, got "
        f"{str(source)!r:.200}; run anymask export on it first, and load what that writes"
    )


def can_run(source: str | os.PathLike[str], runtime: Runtime) -> bool:
    """Return whether `load` would find something that a runtime can run, be it installed or not.

    Examples:
        >>> can_run("bundled", "onnx"), can_run("sam-vit-b", "onnx")
        (True, False)
    """
    if runtime == "auto":
        return True
    return is_exported(source) != (runtime == "torch") or _is_bundled(source)


def _is_bundled(source: str | os.PathLike[str]) -> bool:
    bundled = VARIANTS[0]
    return isinstance(source, str) and source.lower() in (bundled.name, *bundled.aliases)


def _has_torch() -> bool:
    return importlib.util.find_spec("torch") is not None


def _load_graphs(
    folder: Path,
    device: str | torch.device,
    dtype: str | torch.dtype | None,
    adapter: str | os.PathLike[str] | None,
    runtime: Runtime,
) -> Segmenter:
    """Load a folder of graphs, which are what they were exported as."""
    if adapter is not None:
        raise InputError(
            "expected no adapter for exported graphs, got one; give it to anymask export instead"
        )
    place = "cpu" if device == "auto" else device
    network, exported = open_network(folder, runtime, place, dtype)
    variant, digest = exported.variant, exported.digest
    options: dict[str, Any] = {"runtime": "auto" if runtime == "torch" else runtime}
    if variant.kind == "instances":
        from anymask.predict.instances import InstanceSegmenter

        return InstanceSegmenter(variant, network, digest)
    return Segmenter(variant, network, digest, scout=partial(load, **options))
