"""The three methods of distillation: what learns, what it learns, and how it is validated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import torch
from torch import nn

from anymask.data.dataset import Dataset
from anymask.data.embeddings import EmbeddingStore
from anymask.errors import CapabilityError, InputError
from anymask.models.efficient_sam import EfficientSam, PlainVit
from anymask.models.sam import Promptable
from anymask.models.variants import Preprocessing
from anymask.predict.segmenter import Segmenter
from anymask.train.distillation.agreement import Agreement
from anymask.train.distillation.config import CoupledConfig, DistillConfig, SamiConfig
from anymask.train.distillation.coupled import Coupled
from anymask.train.distillation.decoupled import Decoupled, take_over
from anymask.train.distillation.sami import Reconstruct, Sami, Similarity
from anymask.train.distillation.sample import DistillSamples
from anymask.train.objective import Objective, Validation
from anymask.train.segmentation.encoded_batch import DECODERS

__all__ = ["Method", "method_of"]


@dataclass(frozen=True)
class Method:
    """One method, for one student and one teacher."""

    model: nn.Module
    """What learns, with what it needs for that."""
    preprocessing: Preprocessing
    """How it wants its images."""
    objective: Objective
    """What it learns from a batch of samples."""
    validate: Callable[[Dataset, EmbeddingStore], Validation]
    """Makes the validation, of images and of the teacher's embeddings of them."""


def method_of(config: DistillConfig, teacher: Segmenter, student: Segmenter) -> Method:
    """Prepare the method that the class of the settings tells.

    Args:
        config: The settings.
        teacher: Who teaches.
        student: Who learns; its network is changed in place.

    Raises:
        CapabilityError: The teacher cannot teach this student in this way.
        InputError: A setting does not fit the student.
    """
    if isinstance(config, SamiConfig):
        return _sami(config, teacher, student)
    network, wanted = cast(nn.Module, student.network), student.variant.preprocessing
    if isinstance(config, CoupledConfig):
        _learn_share(network, config.learn)
        objective: Objective = Coupled(teacher, student.variant, config.masks, config.rounds)
    else:
        take_over(network, teacher)
        network.train()
        objective = Decoupled(wanted)
    return Method(network, wanted, objective, partial(Agreement, student.variant, teacher))


def _sami(config: SamiConfig, teacher: Segmenter, student: Segmenter) -> Method:
    """Put around an EfficientSAM's encoder what it is pre-trained by."""
    network, expert = student.network, teacher.network
    if not isinstance(network, EfficientSam) or not isinstance(expert, Promptable):
        raise CapabilityError(
            f"expected an EfficientSAM as student and a SAM, MobileSAM or EfficientSAM as teacher, "
            f"got {student.variant.name} and {teacher.variant.name}; choose others, or let the one "
            "learn from the other's answers (coupled)"
        )
    patch = network.config.encoder.patch
    if config.side % patch:
        raise InputError(
            f"expected a side that is a multiple of {patch}, got {config.side}; the paper has 224"
        )
    wanted = replace(student.variant.preprocessing, side=config.side)
    encoder = cast(PlainVit, network.image_encoder)
    encoder.requires_grad_(True)
    encoder.neck.requires_grad_(False)
    width = expert.mask_decoder.iou_token.weight.shape[1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.loop.seed)
        model = Sami(encoder, width, config).to(student.device)
    return Method(model, wanted, Reconstruct(wanted), partial(_similarity, wanted))


def _similarity(wanted: Preprocessing, images: Dataset, store: EmbeddingStore) -> Similarity:
    samples = DistillSamples(images, wanted, store)
    return Similarity(wanted, [samples[i] for i in range(len(samples))])


def _learn_share(network: nn.Module, share: str) -> None:
    """Let the encoder learn, the decoder, or everything."""
    for name, weights in network.named_parameters():
        decodes = name.startswith(DECODERS)
        weights.requires_grad_(share == "everything" or decodes == (share == "decoder"))
    network.train(share != "decoder")
