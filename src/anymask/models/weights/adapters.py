"""Adapters as files: what a network learned beside its weights, in a folder that peft can read.

``adapter_config.json`` says what kind of adapter it is and which model it was made for, and
``adapter_model.safetensors`` holds its tensors. For LoRA both are peft's own; peft has no word for
a SAM-Adapter, so the words in its config are ours. Parts of the network that learned besides lie
there as a whole (peft's ``modules_to_save``).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from torch import Tensor, nn

from anymask.errors import InputError, WeightsError
from anymask.models.lora import LoraConfig, adapt, adaptable, lora_layers
from anymask.models.parts import find_part
from anymask.models.sam_adapter import PLACE, SamAdapterConfig, find_encoder, fitting
from anymask.models.variants import VARIANTS, Variant, find
from anymask.models.weights.files import State, read_state
from anymask.models.weights.filling import first, misfits
from anymask.models.weights.folder import read_json, write_files
from anymask.models.weights.locate import locate
from anymask.models.weights.peft_layout import (
    Misfit,
    check_complete,
    describe_lora,
    key_of,
    own_names,
    read_lora,
    scale_of,
    whole_parts,
)

__all__ = ["Adapter", "AdapterConfig", "load_adapter", "read_adapter", "save_adapter"]

AdapterConfig: TypeAlias = LoraConfig | SamAdapterConfig

_CONFIG = "adapter_config.json"
_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")  # the second from before 2024
_SAM_ADAPTER = "SAM_ADAPTER"
_A, _B = ".lora_A.weight", ".lora_B.weight"


@dataclass(frozen=True)
class Adapter:
    """An adapter that was found; its tensors are not read yet."""

    config: Path
    """The file that says what it is."""
    weights: Path
    """The file of its tensors."""
    facts: Mapping[str, Any]
    """What the first of these says."""

    def locate_base(self, offline: bool = False) -> tuple[Path, Variant | None]:
        """Find the model that it was made for, see `locate`.

        Raises:
            WeightsError: It does not name one, or that is not to be found.
            OutputError: A download cannot be written.
        """
        base = self.facts.get("base_model_name_or_path")
        if not isinstance(base, str) or not base:
            raise WeightsError(
                f"expected the name of a model under base_model_name_or_path in "
                f"{str(self.config)!r}, got {base!r}; load that model with this as its adapter"
            )
        try:
            return locate(base, offline)
        except WeightsError as error:
            raise WeightsError(
                f"cannot find the model of the adapter in {str(self.config.parent)!r} ({error}); "
                f"or load it from elsewhere with this as its adapter"
            ) from error

    def check_made_for(self, variant: Variant) -> None:
        """Check that it was made for a network like a variant's, as far as it names one.

        The decoders of different models can have the same shapes, and so have the weights that
        ship with different versions of anymask.

        Raises:
            WeightsError: It was made for another network, or for other weights of it.
        """
        base = self.facts.get("base_model_name_or_path")
        made_for = next((row for row in VARIANTS if base in (row.name, *row.aliases)), variant)
        if made_for.network != variant.network:
            raise WeightsError(
                f"expected an adapter for {variant.name}, got one for {made_for.name} in "
                f"{str(self.config.parent)!r}; load {made_for.name} with it"
            )
        if (shipped := _shipped(base)) and self.facts.get("revision") != shipped:
            raise WeightsError(
                f"expected an adapter for the weights of {made_for.name} that ship with this "
                f"version of anymask, got one for others in {str(self.config.parent)!r}; fine-tune "
                f"again, or go back to the version that it was made with"
            )

    @property
    def promptless(self) -> bool:
        """Whether a network with it answers to no prompt at all."""
        return self.facts.get("peft_type") == _SAM_ADAPTER


def read_adapter(path: str | os.PathLike[str]) -> Adapter:
    """Find the adapter in a folder, or that to which a file belongs.

    Raises:
        WeightsError: There is none, or half of it is missing or damaged.
    """
    path = Path(path)
    folder = path.parent if path.is_file() else path
    config = folder / _CONFIG
    weights = next((folder / name for name in _WEIGHTS if (folder / name).is_file()), None)
    if not config.is_file() or weights is None:
        raise WeightsError(
            f"expected a folder with {_CONFIG} and {_WEIGHTS[0]} at {str(path)!r}, got "
            f"{'something else' if path.exists() else 'nothing'}; check the path"
        )
    return Adapter(config, weights, read_json(config))


def save_adapter(
    network: nn.Module, folder: str | os.PathLike[str], config: AdapterConfig, base: str
) -> None:
    """Write what a network learned beside its weights, merged or not, into a new folder.

    Args:
        network: It has LoRA or a SAM-Adapter.
        folder: It must be missing or empty.
        config: What was added to the network.
        base: Which model the network was before, in words for `load`; a path is made absolute.

    Raises:
        OutputError: It cannot be written.
    """
    if isinstance(config, LoraConfig):
        facts = describe_lora(network, config)
        learned = [f"{name}.lora_{half}" for name in lora_layers(network) for half in "AB"]
    else:
        facts = {"peft_type": _SAM_ADAPTER, "reduction": config.reduction}
        facts |= {"low_share": config.low_share, "modules_to_save": list(config.whole)}
        learned = [PLACE]
    tensors = _tensors(network, [*learned, *config.whole])
    state = {key_of(name): tensor for name, tensor in tensors.items()}
    facts = {"base_model_name_or_path": _lasting(base), "revision": _shipped(base), **facts}
    write_files(Path(folder), {_CONFIG: facts}, _WEIGHTS[0], state)


def _shipped(base: object) -> str | None:
    """Tell the weights that a name means, if they ship in the package and so change with it."""
    row = next((row for row in VARIANTS if base in (row.name, *row.aliases)), None)
    return None if row is None or row.weights.url else row.weights.sha256


def load_adapter(
    network: nn.Module, source: str | os.PathLike[str] | Adapter, name: str = "this network"
) -> AdapterConfig:
    """Give a network what an adapter learned; it answers with it at once.

    Args:
        network: Changed in place, but for what learns, which is left to the caller to say.
        source: The adapter, or its folder.
        name: What the network is called, for messages.

    Returns:
        What was added to the network.

    Raises:
        WeightsError: There is no adapter, it is damaged, holds numbers that are not finite, or is
            of a kind or size that does not fit.
        InputError: The network has one of that kind already.
        CapabilityError: A SAM-Adapter for a network that can have none.
    """
    found = source if isinstance(source, Adapter) else read_adapter(source)
    try:
        return (_load_sam_adapter if found.promptless else _load_lora)(network, found)
    except Misfit as misfit:
        base = found.facts.get("base_model_name_or_path") or "which it does not name"
        raise WeightsError(
            f"expected an adapter that fits {name}, got {misfit} in {str(found.weights)!r}; load "
            f"the model that it was made for, {base}"
        ) from misfit


def _load_lora(network: nn.Module, found: Adapter) -> LoraConfig:
    """Give layers the products that a file has for them, as its keys say."""
    if lora_layers(network):
        raise InputError("expected a network without LoRA, got one that has it; drop that first")
    config = read_lora(network, found.facts)
    state, called = _read(found)
    own = _tensors(network, [name for name, _ in network.named_children()])
    wanted = {name: own[name] for name in state if name in own}
    wanted |= _tensors(network, config.whole)
    layers = {name: layer for name, layer in network.named_modules() if adaptable(layer)}
    products = {}
    for name in (name.removesuffix(_A) for name in state if name.endswith(_A)):
        if name in layers and state[name + _A].numel():
            rank = len(state[name + _A])
            wanted |= _thin(name, layers[name].weight, rank)
            names = name, called[name + _A].removesuffix(_A)
            products[name] = rank, scale_of(found.facts, rank, names)
    if fault := misfits(wanted, state):
        raise Misfit(fault)
    halves = [name for both in called.items() for name in both if name.endswith(_A)]
    check_complete(found.facts, [name.removesuffix(_A) for name in halves])
    for name, (rank, scale) in products.items():
        adapt(layers[name], rank, scale, config.dropout)
    network.load_state_dict(state, strict=False)
    return replace(config, targets=tuple(lora_layers(network)))


def _load_sam_adapter(network: nn.Module, found: Adapter) -> SamAdapterConfig:
    """Give the image encoder the SAM-Adapter of a file, and the parts their weights."""
    facts, encoder = found.facts, find_encoder(network)
    reduction, low_share = facts.get("reduction"), facts.get("low_share")
    if type(reduction) is not int or not isinstance(low_share, int | float):
        raise Misfit(f"reduction {reduction!r:.20} and low_share {low_share!r:.20}")
    config = SamAdapterConfig(reduction, low_share, whole_parts(network, facts))
    adapter = fitting(encoder, config)
    wanted = {f"{PLACE}.{key}": value for key, value in adapter.state_dict().items()}
    wanted |= _tensors(network, config.whole)
    state, _ = _read(found)
    if fault := misfits(wanted, state):
        raise Misfit(fault)
    encoder.adapter = adapter
    network.load_state_dict(state, strict=False)
    return config


def _read(found: Adapter) -> tuple[State, dict[str, str]]:
    """Read the tensors of an adapter by name; and what the file calls them."""
    state = read_state(found.weights)
    if spoilt := [key for key, tensor in state.items() if not tensor.isfinite().all()]:
        raise WeightsError(
            f"expected finite numbers in {str(found.weights)!r}, got others in {first(spoilt)}; "
            "its training or a conversion went wrong: take weights that were saved earlier"
        )
    called = own_names(state, found.facts)
    return {ours: state[theirs] for ours, theirs in called.items()}, called


def _tensors(network: nn.Module, parts: Iterable[str]) -> State:
    """List the tensors of some parts of a network by name, which in files may have other keys."""
    states = {part: find_part(network, part).state_dict() for part in parts}
    return {f"{part}.{key}": value for part, some in states.items() for key, value in some.items()}


def _thin(name: str, weight: Tensor, rank: int) -> State:
    """Give the shapes of a product beside a weight, as tensors by name."""
    out, *inside = weight.shape
    a, b = (rank, *inside), (out, rank, *[1] * (len(inside) - 1))
    return {name + _A: weight.new_empty(a), name + _B: weight.new_empty(b)}


def _lasting(base: str) -> str:
    """Say which model is meant in words that hold in any folder."""
    try:
        find(base)
    except WeightsError:
        return str(Path(base).resolve()) if Path(base).exists() else base
    return base
