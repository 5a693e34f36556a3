"""From a name, path, address or hub id to a model that is ready for use."""

from __future__ import annotations

import os
from functools import partial

import torch

from anymask.device import find_device, find_dtype
from anymask.models.weights import load_network
from anymask.predict.segmenter import Segmenter

__all__ = ["load"]


def load(
    name_or_path: str | os.PathLike[str] = "bundled",
    device: str | torch.device = "auto",
    dtype: str | torch.dtype | None = None,
    *,
    adapter: str | os.PathLike[str] | None = None,
    offline: bool = False,
) -> Segmenter:
    """Load a model.

    Args:
        name_or_path: Name of a variant, such as ``"bundled"`` or ``"sam-vit-b"``, which is
            downloaded when it is missing; or weights whose variant is recognised: the path of a
            file or folder, an address (``https://...``), or an id of the Hugging Face hub
            (``org/name``, ``org/name@revision``, ``org/name:file``). The folder of an adapter means
            the model that it was made for, with the adapter.
        device: Where to compute: ``"cpu"``, ``"cuda"``, ``"mps"`` ...; ``"auto"`` takes a GPU if
            there is one.
        dtype: Dtype to compute in: ``"float32"`` (as does None), ``"bfloat16"`` or ``"float16"``.
            The half types save memory, and time where the device has units for them; the outlines
            of masks may differ by a few pixels.
        adapter: Folder of what the model learned beside its weights: LoRA, which costs no time, as
            it is added to the weights; or a SAM-Adapter, with which the model takes no prompt.
        offline: Download nothing; so does ``ANYMASK_OFFLINE=1`` in the environment.

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
    place = find_device(device)
    kind = None if dtype is None else find_dtype(dtype, place)
    network, variant, digest = load_network(name_or_path, place, kind, offline, adapter)
    if variant.kind == "instances":
        from anymask.predict.instances import InstanceSegmenter

        return InstanceSegmenter(variant, network, digest)
    return Segmenter(variant, network, digest, scout=partial(load, device=place))
