"""From weights to a network: recognise them, build what they fit, and fill it.

Which variant weights belong to follows from their keys and shapes, never from a file's name.
"""

from __future__ import annotations

import gc
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from anymask.errors import WeightsError
from anymask.models import cache
from anymask.models.build import AnyNetwork, build_empty
from anymask.models.config import CompactConfig, FastSamConfig, Sam2Config
from anymask.models.network import Network
from anymask.models.variants import VARIANTS, ModelPlugin, Variant, find_plugin
from anymask.models.weights.files import State, read_state
from anymask.models.weights.filling import fill, first
from anymask.models.weights.locate import locate
from anymask.parallel import one_thread

if TYPE_CHECKING:
    from anymask.models.weights.adapters import Adapter

__all__ = [
    "Checkpoint",
    "build_filled",
    "fill",
    "in_original_layout",
    "load_network",
    "read_checkpoint",
    "recognise",
    "without_prefix",
]

_ADAPTER = "adapter_config.json"
_LONGEST_PREFIX = 5  # _orig_mod.module.model.net. and the like
# What PyTorch puts into keys where a part is shared out, compiled or checkpointed.
_WRAPPER = re.compile(
    r"(?<![^.])(?:module|_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\."
)


@dataclass(frozen=True)
class Checkpoint:
    """Weights that were found and read."""

    variant: Variant
    """What they are."""
    state: State
    """Tensors by key; all keys may have a prefix."""
    files: tuple[Path, ...]
    """Where they lie."""
    adapters: tuple[Adapter, ...] = ()
    """What was learned beside them, the first first."""

    @property
    def origin(self) -> str:
        """Where they lie, for messages."""
        return str(self.files[-1])

    def digest(self) -> str:
        """Compute the SHA-256 of the file, or of all that belongs to a folder, in hex."""
        added = [file for adapter in self.adapters for file in (adapter.config, adapter.weights)]
        return cache.digest(*self.files, *added)


def load_network(
    source: str | os.PathLike[str] | Variant,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    offline: bool = False,
    adapter: str | os.PathLike[str] | None = None,
) -> tuple[Network, Variant, str]:
    """Load a network with its weights, ready for inference.

    Args:
        source: What `locate` finds: a variant or its name, a path, an address, or a hub id.
        device: Where the network should live.
        dtype: Floating-point type of its weights, float32 if not given.
        offline: Download nothing.
        adapter: Folder of what it learned beside its weights.

    Returns:
        The network, the variant it is, and the SHA-256 of the weight file in hex.

    Raises:
        WeightsError: The name is unknown, or the weights are missing, damaged or foreign.
        OutputError: A download cannot be written.

    Examples:
        >>> network, variant, digest = load_network("sam_vit_b_01ec64.pth")  # doctest: +SKIP
    """
    if plugin := _plugin_of(source):
        return _open_plugin(plugin, device, dtype or torch.float32, offline, adapter)
    # Whoever loads a model and then forks processes that use it finds no threads lost.
    with one_thread(), _no_collection():
        found = read_checkpoint(source, offline, adapter)
        network = build_filled(found, dtype or torch.float32)
        if isinstance(found.variant.network, CompactConfig | FastSamConfig):
            # Nothing but convolutions, which like it better on a CPU.
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        network.to(device).eval()
    return network, found.variant, found.digest()


def _plugin_of(source: str | os.PathLike[str] | Variant) -> ModelPlugin | None:
    """Find the model of another package that a source names."""
    if isinstance(source, Variant):
        return None if source.network else find_plugin(source.name)
    if not isinstance(source, str) or "/" in source:
        return None
    own = {name for variant in VARIANTS for name in (variant.name, *variant.aliases)}
    return None if source.lower() in own else find_plugin(source)


def _open_plugin(
    plugin: ModelPlugin,
    device: torch.device | str,
    dtype: torch.dtype,
    offline: bool,
    adapter: str | os.PathLike[str] | None,
) -> tuple[Network, Variant, str]:
    """Let another package make its network."""
    variant = plugin.variant
    if adapter is not None:
        raise WeightsError(
            f"expected an adapter for a network of anymask, got one for {variant.name}, which "
            "another package brings; load it without one"
        )
    path, _ = locate(variant, offline)
    return plugin.open(path, torch.device(device), dtype), variant, cache.digest(path)


def read_checkpoint(
    source: str | os.PathLike[str] | Variant,
    offline: bool = False,
    adapter: str | os.PathLike[str] | None = None,
) -> Checkpoint:
    """Find weights, read them, and tell what they are.

    Args:
        source: What `locate` finds, or the folder of an adapter, which says which model it is for.
        offline: Download nothing.
        adapter: Folder of another adapter, which comes on top.

    Raises:
        WeightsError: They are missing, damaged, or of no network that anymask knows.
        OutputError: A download cannot be written.
    """
    # What only some weights need is imported for them alone: the first click should not wait.
    path, variant, adapters = _locate(source, offline, adapter)
    if variant is not None and variant.network is None:
        raise WeightsError(
            f"expected a network of anymask, got {variant.name}, which another package brings; it "
            "can be loaded and asked, not converted or trained"
        )
    if path.is_dir():
        from anymask.models.weights.folder import files_of, read_folder

        files = tuple(files_of(path))
        state, described = read_folder(path)
        variant = variant or described
    else:
        files, state = (path,), read_state(path)
    state = in_original_layout(state)
    named, variant = variant, variant or recognise(state, path)
    if isinstance(variant.network, Sam2Config):
        from anymask.models.weights.sam2_layout import check_version, fit_memory

        if named and not path.is_dir() and _share(state, _layout(named)) < 1:
            check_version(named, recognise(state, path), str(path))
        variant = fit_memory(variant, state)
    if isinstance(variant.network, FastSamConfig):
        from anymask.models.fastsam import fit_bins

        variant = replace(variant, network=fit_bins(variant.network, state))
    if any(some.promptless for some in adapters):
        variant = variant.unprompted()
    return Checkpoint(variant, state, files, adapters)


def _locate(
    source: str | os.PathLike[str] | Variant, offline: bool, adapter: str | os.PathLike[str] | None
) -> tuple[Path, Variant | None, tuple[Adapter, ...]]:
    """Find weights, the variant if the source names one, and the adapters on top of them."""
    path, variant = locate(source, offline)
    if adapter is None and not _is_adapter(path):
        return path, variant, ()
    from anymask.models.weights.adapters import read_adapter

    found = () if adapter is None else (read_adapter(adapter),)
    while _is_adapter(path):
        latest = read_adapter(path)
        if latest in found:
            raise WeightsError(
                f"expected the adapter in {str(path)!r} to be made for a model, got one made for "
                f"itself; correct base_model_name_or_path in its {_ADAPTER}"
            )
        found = (latest, *found)
        path, variant = latest.locate_base(offline)
    return path, variant, found


def build_filled(found: Checkpoint, dtype: torch.dtype | None = None) -> AnyNetwork:
    """Build the network of a checkpoint and put the weights into it, strictly, LoRA merged.

    Args:
        found: What `read_checkpoint` returned.
        dtype: Floating-point type of the weights, None: as they are.

    Raises:
        WeightsError: They do not fit.
    """
    try:
        network = build_empty(found.variant)
    except (
        ArithmeticError,
        LookupError,
        MemoryError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        raise WeightsError(
            f"expected numbers that make a network in the config of {found.origin!r}, got "
            f"{found.variant.network!r:.200}; correct it"
        ) from error
    state = without_prefix(found.state, network.state_dict())
    _check_trunk(found, state)
    fill(network, state, found.origin, dtype, found.variant.name)
    for adapter in found.adapters:
        from anymask.models.lora import drop_lora, merge
        from anymask.models.weights.adapters import load_adapter

        adapter.check_made_for(found.variant)
        load_adapter(network, adapter, found.variant.name)
        merge(network)
        drop_lora(network)
    return network


def _check_trunk(found: Checkpoint, state: State) -> None:
    """Refuse weights of the bundled model from before it stood on a trunk, in one sentence.

    Raises:
        WeightsError: These are such weights.
    """
    if not isinstance(found.variant.network, CompactConfig) or not found.variant.network.trunk:
        return
    from anymask.models.compact import has_trunk

    if not has_trunk(state) and any(key.startswith("encoder.") for key in state):
        raise WeightsError(
            f"expected weights of {found.variant.name} with its trained trunk, got older ones "
            f"without it in {found.origin!r}; fine-tune again with this version of anymask, or go "
            f"back to the version that they were made with"
        )


def recognise(state: Mapping[str, Tensor], origin: str | os.PathLike[str]) -> Variant:
    """Return which variant weights belong to, by their keys and shapes.

    A prefix that all keys have in common is overlooked.

    Args:
        state: Tensors by key.
        origin: Where they come from, for messages.

    Returns:
        The variant whose layout fits best; whether it fits entirely is for `fill` to check. A SAM
        of a size that is not in the table gets a row of its own.

    Raises:
        WeightsError: No variant shares even half of the layout, and no SAM of other sizes does.
    """
    # Some rows share a network; the first of them stands for all whose files look the same. So
    # does SAM-HQ's that adds up.
    rows = {variant.network: variant for variant in reversed(VARIANTS)}
    firsts = dict.fromkeys(rows[row.network] for row in VARIANTS)
    shares = {}
    for variant in (row for row in firsts if not getattr(row.network, "alone", False)):
        shares[variant] = _share(state, _layout(variant))
        if shares[variant] == 1:
            return variant
    from anymask.models.weights.sam_sizes import check_pruned_evenly, row_by_sizes

    for some in _prefixes_off(state):
        check_pruned_evenly(some, origin)
    best = max(shares, key=lambda variant: shares[variant])
    if shares[best] < 0.5:
        for some in _prefixes_off(state):
            if row := row_by_sizes(some, origin):
                return row
        if any(key.endswith("hf_token.weight") for key in state):
            raise WeightsError(
                f"expected a whole SAM-HQ, got only what it adds to SAM's mask decoder in "
                f"{str(origin)!r}; put these weights into the SAM that they were trained on, or "
                "use a published file such as sam_hq_vit_b.pth"
            )
        if any(key.endswith("ffc.convl2l.weight") for key in state):
            raise WeightsError(
                f"expected weights of a model that finds masks, got those of LaMa in "
                f"{str(origin)!r}; use them with anymask inpaint --engine"
            )
        names = ", ".join(variant.name for variant in VARIANTS)
        raise WeightsError(
            f"expected weights of one of {names}, got {str(origin)!r}{_said_type(Path(origin))} "
            f"with {len(state)} other keys ({first(state)}); anymask has no network for them"
        )
    return best


def _said_type(place: Path) -> str:
    """Tell what the config of a folder calls its model, for messages; "" if nothing does."""
    from anymask.models.weights.folder import CONFIGS, read_json

    config = place / CONFIGS[0]
    said = read_json(config).get("model_type") if config.is_file() else None
    return f" of model_type {said[:80]!r}" if isinstance(said, str) else ""


def _is_adapter(path: Path) -> bool:
    """Return whether a path leads to an adapter, without importing what reads it."""
    folder = path.parent if path.name.startswith("adapter_") and path.is_file() else path
    return (folder / _ADAPTER).is_file()


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep Python from looking for garbage while a network is built.

    That is thousands of new objects and no garbage, but enough of them to have Python walk through
    all that PyTorch has made, which takes a tenth of a second.
    """
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


@lru_cache
def _layout(variant: Variant) -> frozenset[tuple[str, torch.Size]]:
    """List the keys and shapes of a variant."""
    return _entries(build_empty(variant).state_dict())


def _entries(state: Mapping[str, Tensor]) -> frozenset[tuple[str, torch.Size]]:
    return frozenset((key, value.shape) for key, value in state.items())


def _share(state: Mapping[str, Tensor], layout: frozenset[tuple[str, torch.Size]]) -> float:
    """Return how much of a layout weights have, 0 to 1, under the prefix that suits it best."""
    return max(_overlap(_entries(some), layout) for some in _prefixes_off(state))


def without_prefix(state: State, wanted: Mapping[str, Tensor]) -> State:
    """Take off the prefix that all keys have in common, as far as those wanted do not have it."""
    layout = _entries(wanted)
    return max(_prefixes_off(state), key=lambda some: _overlap(_entries(some), layout))


def in_original_layout(state: State) -> State:
    """Give weights their original keys, but for a prefix that all of them share.

    These are other keys for a SAM or SAM 2 in transformers' layout, and for a network whose parts
    were wrapped when it was saved, such as `image_encoder.module.pos_embed`.
    """
    bare = {_WRAPPER.sub("", key): value for key, value in state.items()}
    state = bare if len(bare) == len(state) else state
    for some in _prefixes_off(state):
        if any(key.startswith("vision_encoder.") for key in some):
            from anymask.models.weights import sam2_layout, transformers_layout

            if sam2_layout.is_sam2(some):
                return sam2_layout.to_original(some)
            return transformers_layout.to_original(some)
    return state


def _overlap(some: frozenset[object], other: frozenset[object]) -> float:
    return len(some & other) / max(1, len(some | other))


def _prefixes_off(state: Mapping[str, Tensor]) -> Iterator[State]:
    """Yield weights as they are, then without one common prefix after another."""
    for _ in range(_LONGEST_PREFIX + 1):
        yield dict(state)
        prefixes = {key.partition(".")[0] for key in state}
        if len(prefixes) != 1 or not all("." in key for key in state):
            return
        state = {key.partition(".")[2]: value for key, value in state.items()}
