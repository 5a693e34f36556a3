"""A model whose decoder can be asked: from embeddings and prompts to the network's own numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from anymask.arrays import Array, empty, inference, placed, to_numpy, unrecorded
from anymask.embedding import Embedding
from anymask.errors import CapabilityError, InputError
from anymask.models.prompt_batch import PromptBatch
from anymask.parallel import threads_work
from anymask.predict.embedder import Embedder, alike
from anymask.predict.implied import complete, is_alone, weighed
from anymask.prompt import Prompt

__all__ = ["Decoder"]


@dataclass(frozen=True, eq=False, repr=False)
class Decoder(Embedder):
    """How a `Segmenter` asks its network."""

    @threads_work()
    def decode(
        self, embedding: Embedding, prompts: Sequence[Prompt], multimask: bool
    ) -> tuple[Array, Array]:
        """Answer prompts with the network's own numbers, for those who go on computing.

        Args:
            embedding: What `embed` returned.
            prompts: n prompts; those of the same form go through the network together.
            multimask: Three answers each instead of one.

        Returns:
            Mask logits, float32 (n, k, h', w'), low resolution, covering the whole model frame;
            and predicted IoU, float32 (n, k). In the network's order of answers, not sorted.
            Tensors if the network computes with these, else numpy arrays.
        """
        self._check_embedding(embedding)
        self._check_capable(prompts, multimask)
        transform = embedding.transform
        features = self._prepare(embedding)
        mask_hw = self.network.mask_hw(transform.frame_hw)
        alone = [is_alone(one) and "mask" in self.variant.never_alone for one in prompts]
        said = [
            complete(one, transform, mask_hw) if incomplete else one
            for one, incomplete in zip(prompts, alone, strict=True)
        ]
        groups = alike([prompt.form for prompt in said])
        if len(groups) == 1 and not any(alone):  # nothing to sort, so nothing to copy
            group = PromptBatch.of(said, transform, mask_hw, self.device)
            return self._decode(features, group, multimask)
        answers = 3 if multimask else 1
        logits = empty((len(prompts), answers, *mask_hw), self.device)
        predicted_iou = empty((len(prompts), answers), self.device)
        for places in groups:
            group = PromptBatch.of([said[i] for i in places], transform, mask_hw, self.device)
            logits[places], predicted_iou[places] = self._decode(features, group, multimask)
            for place, i in enumerate(places):
                if alone[i] and said[i].mask is not None and group.mask_logits is not None:
                    logits[i] = weighed(logits[i], to_numpy(group.mask_logits[place, 0]))
        return logits, predicted_iou

    def _decode(
        self, features: Mapping[str, Array], group: PromptBatch, multimask: bool
    ) -> tuple[Array, Array]:
        """Ask the network, and check that it answers in the shapes that it should."""
        with unrecorded(self.device):
            answers = self.network.decode(features, group, multimask)
            found, predicted_iou = (placed(answer, self.device, "float32") for answer in answers)
        wanted = len(group), 3 if multimask else 1
        wanted_hw = tuple(self.network.mask_hw(group.frame_hw))
        if found.shape != wanted + wanted_hw or predicted_iou.shape != wanted:
            raise InputError(
                f"expected logits {wanted + wanted_hw} and predicted IoU {wanted} of the network "
                f"of {self.variant.name}, got {tuple(found.shape)} and "
                f"{tuple(predicted_iou.shape)}; correct its decode"
            )
        return found, predicted_iou

    def _prepare(self, embedding: Embedding) -> Mapping[str, Array]:
        """Get an embedding ready for the network, unless that was done a moment ago."""
        return self._prepared.get(embedding, self.network.version, self._make_ready)

    def _make_ready(self, embedding: Embedding) -> Mapping[str, Array]:
        with inference(self.device):
            here = embedding.features.items()
            return self.network.prepare({k: placed(v, self.device, self.dtype) for k, v in here})

    def _check_capable(self, prompts: Sequence[Prompt], multimask: bool | None) -> None:
        for prompt in prompts:
            self.variant.check_capable(prompt.required_capabilities)
            self._check_alone(prompt)
        if multimask:
            self.variant.check_capable(["multimask"])

    def _check_alone(self, prompt: Prompt) -> None:
        """Refuse nothing but background points where the model makes nothing of them."""
        only_background = len(prompt.labels) > 0 and not prompt.labels.any()
        others = {"box", "mask", "text"}.intersection(prompt.required_capabilities)
        if only_background and not others and "negative_points" in self.variant.never_alone:
            raise CapabilityError(
                f"{self.variant.name} does not know background points (label 0) alone; add a point "
                "on the object (label 1), or something else that says where it is"
            )
