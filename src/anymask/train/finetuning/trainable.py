"""What of a model learns, and how what it learned is kept."""

from __future__ import annotations

from functools import partial
from typing import cast

from torch import nn

from anymask.models.config import CompactConfig
from anymask.models.lora import LoraConfig, add_lora
from anymask.models.parts import freeze_untaught, learn_only
from anymask.models.sam_adapter import SamAdapterConfig, add_sam_adapter
from anymask.models.variants import Variant
from anymask.models.weights.adapters import save_adapter
from anymask.predict.segmenter import Segmenter
from anymask.train.finetuning.config import FineTuneConfig
from anymask.train.objective import SaveModel
from anymask.train.save_model import save_full

__all__ = ["choose_trainable"]


def choose_trainable(model: Segmenter, config: FineTuneConfig, name: str) -> SaveModel:
    """Let some of a model learn, and nothing else.

    Args:
        model: Its network is changed in place.
        config: What learns.
        name: What the model should be called when it has learned.

    Returns:
        How to keep it.

    Raises:
        CapabilityError: The model cannot learn in this way.
        InputError: No layer has the name of a target.
        OutputError: (of what is returned) It cannot be written.
    """
    save = _choose(model, config, name)
    freeze_untaught(cast(nn.Module, model.network))
    return save


def _choose(model: Segmenter, config: FineTuneConfig, name: str) -> SaveModel:
    """Do so as if all of a network could learn from images."""
    variant, network = model.variant, cast(nn.Module, model.network)
    decoder = _decoder(variant)
    if config.learn == "lora":
        lora = LoraConfig(config.rank, 2.0 * config.rank, config.targets, whole=decoder)
        add_lora(network, lora)
        return partial(save_adapter, config=lora, base=config.model)
    if config.learn == "adapter":
        adapter = SamAdapterConfig(whole=decoder)
        add_sam_adapter(network, adapter)
        return partial(save_adapter, config=adapter, base=config.model)
    if config.learn == "everything":
        network.requires_grad_(True)
    else:
        prompts = _prompts(variant) if config.learn == "decoder+prompts" else ()
        learn_only(network, (*decoder, *prompts))
    return save_full(variant, name, f"{variant.name}, fine-tuned")


def _decoder(variant: Variant) -> tuple[str, ...]:
    """Name the parts that come after all that depends on the image alone."""
    compact = isinstance(variant.network, CompactConfig)
    return ("decoder", "prompt_maps") if compact else ("mask_decoder",)


def _prompts(variant: Variant) -> tuple[str, ...]:
    """Name the parts in which prompts meet the image."""
    if isinstance(variant.network, CompactConfig):
        # What makes the keys that clicks are compared by, and the image's share of the decoder.
        scales = ("key4", "key8", "key16", "image4", "image8", "image16", "image32")
        return (*scales, "boundary")
    return ("prompt_encoder",)
