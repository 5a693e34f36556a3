"""LoRA in the layout of Hugging Face's peft: what its config says, and the names of its tensors."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import nn

from anymask.models.lora import LoraConfig, lora_layers
from anymask.models.weights.files import State
from anymask.models.weights.transformers_layout import to_original

__all__ = [
    "Misfit",
    "check_complete",
    "describe_lora",
    "key_of",
    "own_names",
    "read_lora",
    "scale_of",
    "whole_parts",
]

_PREFIX = "base_model.model."
# What it is under when the model was wrapped for several devices, or compiled, before or after.
_WRAPPED = re.compile(rf"^((module|_orig_mod)\.)*({re.escape(_PREFIX)})?((module|_orig_mod)\.)*")

# What peft also calls LoRA: products that count in another way, and other weights to begin with.
_OTHER_WAYS = ("use_dora", "use_qalora", "use_bdlora", "kasa_config", "monteclora_config")
_SAME_WEIGHTS = (None, True, False, "gaussian", "orthogonal", "eva")


class Misfit(Exception):
    """What is wrong with an adapter, in words that follow "got"."""


def describe_lora(network: nn.Module, config: LoraConfig) -> dict[str, Any]:
    """Say which layers of a network have products, and how these count."""
    layers = lora_layers(network)
    alphas = {name: layer.scale * layer.rank for name, layer in layers.items()}
    return {
        "peft_type": "LORA",
        "task_type": None,
        "inference_mode": True,
        "r": config.rank,
        "lora_alpha": config.alpha,
        "lora_dropout": config.dropout,
        "target_modules": list(layers),
        "modules_to_save": list(config.whole) or None,
        "rank_pattern": {n: layer.rank for n, layer in layers.items() if layer.rank != config.rank},
        "alpha_pattern": {n: alpha for n, alpha in alphas.items() if alpha != config.alpha},
        "bias": "none",
        "fan_in_fan_out": False,
    }


def read_lora(network: nn.Module, facts: Mapping[str, Any]) -> LoraConfig:
    """Read a config, but for the layers, which the tensors tell; refuse what is not computed here.

    Raises:
        Misfit: It is of another kind, or a number is none.
        InputError: A number is out of range.
    """
    if facts.get("peft_type") != "LORA":
        raise Misfit(f"one of another kind than LoRA ({facts.get('peft_type')!r:.60})")
    other = [word for word in _OTHER_WAYS if facts.get(word)]
    if other:
        raise Misfit(f"a kind of LoRA that anymask does not know ({other[0]})")
    if facts.get("init_lora_weights") not in _SAME_WEIGHTS:
        raise Misfit(
            f"LoRA that begins with other weights than the model's "
            f"({facts['init_lora_weights']!r:.60}; peft can convert it)"
        )
    usual = {"r": 8, "lora_alpha": 8, "lora_dropout": 0.0}
    rank, alpha, dropout = (facts.get(name, value) for name, value in usual.items())
    if type(rank) is not int or any(type(n) not in (int, float) for n in (alpha, dropout)):
        raise Misfit(f"{', '.join(usual)} of {rank!r:.20}, {alpha!r:.20}, {dropout!r:.20}")
    return LoraConfig(rank, alpha, (), dropout, whole_parts(network, facts))


def whole_parts(network: nn.Module, facts: Mapping[str, Any]) -> tuple[str, ...]:
    """Name the parts of a network that lie in the file as a whole."""
    said = facts.get("modules_to_save")
    known = [name for name, _ in network.named_modules() if name]
    return tuple(name for name in said if name in known) if isinstance(said, list) else ()


def scale_of(facts: Mapping[str, Any], rank: int, names: Sequence[str]) -> float:
    """Return how many times a product counts, for a layer that goes by some names.

    Raises:
        Misfit: The config says another rank, or does not say it in numbers.
    """
    said = _number_for("rank_pattern", facts, facts.get("r", 8), names)
    if said != rank:
        raise Misfit(f"a product of rank {rank} at {names[0]}, where its config says {said:g},")
    alpha = _number_for("alpha_pattern", facts, facts.get("lora_alpha", 8), names)
    return alpha / (math.sqrt(rank) if facts.get("use_rslora") else rank)


def check_complete(facts: Mapping[str, Any], names: Iterable[str]) -> None:
    """Check that there are products for what a config targets, as far as it lists endings of names.

    Args:
        facts: What the config says.
        names: All names of the layers that have a product.

    Raises:
        Misfit: A target has none.
    """
    said = facts.get("target_modules")
    there = [f".{name}" for name in names]
    for target in said if isinstance(said, list) else ():
        if not any(name.endswith(f".{target}") for name in there):
            raise Misfit(f"no product for {target!r:.80}, which its config lists,")


def _number_for(word: str, facts: Mapping[str, Any], usual: float, names: Iterable[str]) -> float:
    """Look up a number that a config gives for some layers by patterns of their names."""
    patterns, number = facts.get(word) or {}, float(usual)
    try:
        for pattern, value in patterns.items():
            if any(re.match(rf"(.*\.)?({pattern})$", name) for name in names):
                number = float(value)
                break
    except (AttributeError, TypeError, ValueError, re.error) as error:
        raise Misfit(f"{word} {patterns!r:.60}") from error
    if not math.isfinite(number):
        raise Misfit(f"{word} {patterns!r:.60}")
    return number


def own_names(state: State, facts: Mapping[str, Any]) -> dict[str, str]:
    """Find out what the tensors of a file are called in a network: the file's keys by these names.

    Files made with transformers' SAM have its names.
    """
    called = {_without_wrappers(key): key for key in state}
    mapping = facts.get("auto_mapping")
    home = str(mapping.get("parent_library")) if isinstance(mapping, dict) else ""
    if home.startswith("transformers.") or any(key.startswith("vision_encoder.") for key in called):
        return {next(iter(to_original({name: state[key]}))): key for name, key in called.items()}
    return called


def key_of(key: str) -> str:
    """Give a tensor the key that peft would."""
    return _PREFIX + key


def _without_wrappers(key: str) -> str:
    """Take out of a key what stands for peft's own modules."""
    key = _WRAPPED.sub("", key).replace(".base_layer.", ".")
    return re.sub(r"\.(lora_[AB])\.\w+\.weight$", r".\1.weight", key)
