"""A model that is ready for use: from images to embeddings, from these and prompts to masks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias, cast, overload

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from anymask.config import GenerateConfig, InstanceConfig, changed
from anymask.device import find_device, find_dtype
from anymask.embedding import Embedding
from anymask.errors import CapabilityError, InputError
from anymask.image.image import Image, ImageLike
from anymask.image.transform import Transform
from anymask.masks.masks import Masks
from anymask.models.network import MEMBERS, Network
from anymask.models.prompt_batch import PromptBatch
from anymask.models.variants import Variant
from anymask.parallel import in_order, threads_work
from anymask.predict.checks import (
    check_list,
    check_lists,
    check_no_words,
    check_said_once,
    check_words_alone,
    warn_of_shares,
)
from anymask.predict.implied import complete, is_alone, weighed
from anymask.predict.recent import Recent
from anymask.predict.track.tracks import Tracks
from anymask.predict.words import FindsWords
from anymask.prompt import Numbers, Prompt
from anymask.text.phrases import Text, Threshold

if TYPE_CHECKING:
    from anymask.everything.search import Progress, Promptable
    from anymask.text.ground import GrounderLike

__all__ = ["Segmenter"]

# These bound the memory of long lists.
_IMAGES_AT_ONCE = 8
_PROMPTS_AT_ONCE = 64
_IMAGES_SEARCHED_AT_ONCE = 2

_PREPARED_AT_ONCE = 4  # embeddings kept as the decoder likes them: some 14 MB each for a SAM

Subject: TypeAlias = Embedding | ImageLike


@dataclass(frozen=True, eq=False)
class Segmenter(FindsWords, Tracks):
    """A model that is ready for use.

    What it answers depends on the arguments alone, so any number of threads may share it. Of the
    latest few embeddings it remembers what their prompts have in common, to save time.

    Attributes:
        variant: Which model it is.
        network: Its network, in inference mode; anything with the members of `Network`.
        weights_digest: Tells its weights from all others: the SHA-256 of their file, in hex.
        scout: Loads a model that sees boundaries, for everything mode of a model that does not
            (sampler "boxes"); None: there is none.
    """

    variant: Variant
    network: Network
    weights_digest: str
    scout: Callable[[], Promptable] | None = field(default=None, kw_only=True, repr=False)
    _prepared: Recent[Embedding, Mapping[str, Tensor]] = field(
        default_factory=lambda: Recent(_PREPARED_AT_ONCE), init=False, repr=False
    )

    def __post_init__(self) -> None:
        """Check that the network is one."""
        if missing := [name for name in MEMBERS if not hasattr(self.network, name)]:
            raise InputError(
                f"expected a network with {', '.join(MEMBERS)}, got "
                f"{type(self.network).__name__} without {', '.join(missing)}; add what is missing, "
                "see anymask.models.network.Network"
            )

    def __repr__(self) -> str:
        """Name the model and its device."""
        return f"Segmenter({self.variant.name!r}, device={str(self.device)!r})"

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.network.device

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point dtype that it computes in."""
        return self.network.dtype

    def to(
        self,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
    ) -> Segmenter:
        """Make the same model on another device or of another dtype.

        This one stays as it is, so that whoever shares it can go on using it. Embeddings fit both.

        Args:
            device: As for `load`; None: the same.
            dtype: As for `load`; None: the same.

        Raises:
            InputError: There is no such device, or it does not have that dtype, or the network
                cannot be moved.
        """
        place = self.device if device is None else find_device(device)
        kind = find_dtype(self.dtype if dtype is None else dtype, place)
        return replace(self, network=self.network.moved(place, kind))

    # -------------------------------------------------------------------- embed

    @overload
    def embed(  # type: ignore[overload-overlap]  # a str is a sequence of str: it counts as one
        self, image: ImageLike
    ) -> Embedding: ...
    @overload
    def embed(self, image: Sequence[ImageLike]) -> list[Embedding]: ...

    def embed(self, image: ImageLike | Sequence[ImageLike]) -> Embedding | list[Embedding]:
        """Encode an image, or each image of a list; the slow part, done once per image.

        Of a list, a few images are read at a time, and those whose frames have one size go through
        the network together.

        Args:
            image: Path, bytes, Pillow image or array; see `Image.open`.

        Raises:
            InputError: It is missing, damaged, or no image.
        """
        if not isinstance(image, (list, tuple)):
            return self._embed([Image.open(cast(ImageLike, image))])[0]
        embeddings = []
        for start in range(0, len(image), _IMAGES_AT_ONCE):
            few = image[start : start + _IMAGES_AT_ONCE]
            embeddings += self._embed([Image.open(one) for one in few])
        return embeddings

    @threads_work()
    def _embed(self, images: Sequence[Image]) -> list[Embedding]:
        """Encode a few images, in their order."""
        wanted = self.variant.preprocessing
        transforms = [wanted.fit(image.size_hw) for image in images]
        embeddings: dict[int, Embedding] = {}
        for places in _alike([(t.resized_hw, t.frame_hw) for t in transforms]):
            resized = np.stack([transforms[i].resize(images[i], wanted.resize) for i in places])
            features = self._encode(resized, transforms[places[0]])
            for n, i in enumerate(places):
                # Copies, so that one embedding does not keep those of its neighbours in memory.
                own = {name: maps[n : n + 1].clone() for name, maps in features.items()}
                signature = self._sign(transforms[i], resized[n])
                embeddings[i] = Embedding(own, transforms[i], signature, images[i].source)
        return [embeddings[i] for i in range(len(images))]

    def _encode(self, resized: npt.NDArray[Any], transform: Transform) -> Mapping[str, Tensor]:
        """Normalise images, (b, h, w, 3) from 0 to 255, pad them, and run the encoder."""
        frames = self.variant.preprocessing.frames(resized, transform, self.device)
        with torch.inference_mode():
            features = self.network.encode(frames.to(self.dtype), transform.resized_hw)
            return {name: torch.as_tensor(maps) for name, maps in features.items()}

    def _sign(self, transform: Transform, resized: npt.NDArray[Any]) -> str:
        """Tell an embedding by the model and by what the network saw of the image."""
        shown = hashlib.sha256(f"{transform}".encode() + resized.tobytes()).hexdigest()
        return f"{self._signature}-{shown[:32]}"

    @property
    def _signature(self) -> str:
        """What all embeddings of this model have in common: the preprocessing and the weights."""
        identity = f"{self.variant.preprocessing} {self.weights_digest}"
        return hashlib.sha256(identity.encode()).hexdigest()[:32]

    # ------------------------------------------------------------------ predict

    @overload
    def predict(  # type: ignore[overload-overlap]  # a str is a sequence of str: it counts as one
        self,
        embedding: Subject,
        *,
        points: Numbers | None = ...,
        labels: Numbers | None = ...,
        box: Numbers | None = ...,
        mask: Numbers | None = ...,
        mask_logits: Numbers | None = ...,
        text: Text | None = ...,
        negative: Text | None = ...,
        threshold: Threshold | None = ...,
        grounder: GrounderLike | None = ...,
        prompts: Prompt | None = ...,
        multimask: bool | None = ...,
    ) -> Masks: ...
    @overload
    def predict(
        self,
        embedding: Sequence[Subject],
        *,
        text: Text,
        negative: Text | None = ...,
        threshold: Threshold | None = ...,
        grounder: GrounderLike | None = ...,
        multimask: bool | None = ...,
    ) -> list[Masks]: ...
    @overload
    def predict(
        self, embedding: Subject, *, prompts: Sequence[Prompt], multimask: bool | None = ...
    ) -> list[Masks]: ...
    @overload
    def predict(
        self,
        embedding: Sequence[Subject],
        *,
        prompts: Sequence[Sequence[Prompt]],
        multimask: bool | None = ...,
    ) -> list[list[Masks]]: ...

    def predict(
        self,
        embedding: Subject | Sequence[Subject],
        *,
        points: Numbers | None = None,
        labels: Numbers | None = None,
        box: Numbers | None = None,
        mask: Numbers | None = None,
        mask_logits: Numbers | None = None,
        text: Text | None = None,
        negative: Text | None = None,
        threshold: Threshold | None = None,
        grounder: GrounderLike | None = None,
        prompts: Prompt | Sequence[Prompt] | Sequence[Sequence[Prompt]] | None = None,
        multimask: bool | None = None,
    ) -> Masks | list[Masks] | list[list[Masks]]:
        """Cut out what prompts ask for.

        Say it directly, for one object, or give ``prompts``: one, or a list of them in any mixture
        (answered in the same order), or for a list of embeddings one list of prompts for each. Or
        name things by ``text``, alone: all instances are cut out, by the boxes of a detector that
        knows words (see `anymask.text.ground`), in one image or in each of a list. Say nothing to a
        model that learned to find one kind of thing by itself (SAM-Adapter).

        Args:
            embedding: What `embed` returned; an image is embedded on the fly. Or a list of these.
            points: (n, 2), x before y, pixels of the original image, whole at their centres.
            labels: (n,), 1 for points on the object, 0 for background points; None: all 1.
            box: (4,), xyxy, pixels of the original image, whole between them.
            mask: Rough mask, bool (h, w), original image size.
            mask_logits: One of an earlier answer's `Masks.logits`, float (h', w'), to improve.
            text: What things are called: ``"dog. red car."``, or a list of phrases. FastSAM, asked
                without ``grounder``, takes one text, and compares its instances with it by CLIP.
            negative: Words for what is not meant.
            threshold: Least score of the detector, for all phrases or by phrase.
            grounder: The detector, see `anymask.text.ground.ground`; None: the bundled one, or for
                words that it does not know one for open words that is at hand.
            prompts: Instead of all these.
            multimask: Three answers (whole, part, subpart), or one; None: three for a single point
                alone, which can mean any of them, else one.

        Returns:
            For each prompt its answers, best first by predicted IoU. Of words, for each image all
            instances, none if there is none, best first by the detector's score: ``labels`` are the
            words, ``prompts`` the boxes, and ``meta`` has the ``mask_predicted_iou``.

        Raises:
            InputError: A prompt is not what it should be, or the embedding is another model's; or
                a word is unknown, or the image of an embedding cannot be found.
            CapabilityError: The model does not know this kind of prompt.

        Examples:
            >>> from anymask import load
            >>> masks = load().predict("docs/pictures/coffee.jpg", text="cups. dog")
            >>> masks.labels, masks.scores.round(1).tolist()
            (('cups',), [0.5])
        """
        grounds = "text" not in self.variant.capabilities or grounder is not None
        if text is not None and grounds:
            check_words_alone(points, labels, box, mask, mask_logits, prompts)
            return self._predict_words(embedding, text, negative, threshold, grounder, multimask)
        check_no_words(text, negative, threshold, grounder)
        direct = {
            "points": points,
            "labels": labels,
            "box": box,
            "mask": mask,
            "mask_logits": mask_logits,
            "text": text,
        }
        check_said_once(direct, prompts, embedding)
        if isinstance(embedding, (list, tuple)):
            return self._answer(embedding, check_lists(prompts, len(embedding)), multimask)
        subject = cast(Subject, embedding)
        if prompts is None:
            silent = all(value is None for value in direct.values())
            if silent and "nothing" in self.variant.capabilities:
                prompts = Prompt.nothing()
            else:
                prompts = Prompt(points, labels, box, mask, mask_logits, cast("str | None", text))
        if isinstance(prompts, Prompt):
            return self._answer([subject], [[prompts]], multimask)[0][0]
        return self._answer([subject], [check_list(prompts)], multimask)[0]

    @threads_work()
    def decode(
        self, embedding: Embedding, prompts: Sequence[Prompt], multimask: bool
    ) -> tuple[Tensor, Tensor]:
        """Answer prompts with the network's own numbers, for those who go on computing.

        Args:
            embedding: What `embed` returned.
            prompts: n prompts; those of the same form go through the network together.
            multimask: Three answers each instead of one.

        Returns:
            Mask logits, float32 (n, k, h', w'), low resolution, covering the whole model frame;
            and predicted IoU, float32 (n, k). In the network's order of answers, not sorted.
        """
        self._check_embedding(embedding)
        self._check_capable(prompts, multimask)
        transform = embedding.transform
        features = self._prepare(embedding)
        mask_hw = self.network.mask_hw(transform.frame_hw)
        answers = 3 if multimask else 1
        logits = torch.empty((len(prompts), answers, *mask_hw), device=self.device)
        predicted_iou = torch.empty((len(prompts), answers), device=self.device)
        alone = [is_alone(one) and "mask" in self.variant.never_alone for one in prompts]
        said = [
            complete(one, transform, mask_hw) if incomplete else one
            for one, incomplete in zip(prompts, alone, strict=True)
        ]
        for places in _alike([prompt.form for prompt in said]):
            group = PromptBatch.of([said[i] for i in places], transform, mask_hw, self.device)
            logits[places], predicted_iou[places] = self._decode(features, group, multimask)
            if group.mask_logits is not None:
                for mask, i in zip(group.mask_logits, places, strict=True):
                    if alone[i] and said[i].mask is not None:
                        logits[i] = weighed(logits[i], mask)
        return logits, predicted_iou

    def _decode(
        self, features: Mapping[str, Tensor], group: PromptBatch, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        """Ask the network, and check that it answers in the shapes that it should."""
        with torch.inference_mode():
            answers = map(torch.as_tensor, self.network.decode(features, group, multimask))
        found, predicted_iou = answers
        wanted = len(group), 3 if multimask else 1
        wanted_hw = tuple(self.network.mask_hw(group.frame_hw))
        if found.shape != wanted + wanted_hw or predicted_iou.shape != wanted:
            raise InputError(
                f"expected logits {wanted + wanted_hw} and predicted IoU {wanted} of the network "
                f"of {self.variant.name}, got {tuple(found.shape)} and "
                f"{tuple(predicted_iou.shape)}; correct its decode"
            )
        return found.float(), predicted_iou.float()

    def _prepare(self, embedding: Embedding) -> Mapping[str, Tensor]:
        """Get an embedding ready for the network, unless that was done a moment ago."""
        return self._prepared.get(embedding, self.network.version, self._make_ready)

    @torch.inference_mode()
    def _make_ready(self, embedding: Embedding) -> Mapping[str, Tensor]:
        return self.network.prepare(embedding.to(self.device, self.dtype).features)

    def _answer(
        self,
        subjects: Sequence[Subject],
        groups: Sequence[Sequence[Prompt]],
        multimask: bool | None,
    ) -> list[list[Masks]]:
        """Answer a group of prompts about each subject, in their order."""
        embeddings = self._embedded(subjects, groups, multimask)
        answers = []
        for embedding, prompts in zip(embeddings, groups, strict=True):
            answers.append(self._answer_one(embedding, prompts, multimask))
            for prompt in prompts:
                warn_of_shares(prompt, embedding.size_hw)
        return answers

    def _embedded(
        self,
        subjects: Sequence[Subject],
        groups: Sequence[Sequence[Prompt]],
        multimask: bool | None,
    ) -> Iterator[Embedding]:
        """Embed those subjects that are images, a few at a time and once their prompts fit."""
        for start in range(0, len(subjects), _IMAGES_AT_ONCE):
            ready: dict[int, Embedding] = {}
            images: dict[int, Image] = {}
            few = subjects[start : start + _IMAGES_AT_ONCE]
            for i, (subject, prompts) in enumerate(zip(few, groups[start:], strict=False)):
                if isinstance(subject, Embedding):
                    ready[i] = subject
                    continue
                images[i] = Image.open(subject)
                self._check_capable(prompts, multimask)
                for prompt in prompts:
                    prompt.check_inside(images[i].size_hw)
            ready.update(zip(images, self._embed(list(images.values())), strict=True))
            yield from (ready[i] for i in range(len(few)))

    def _answer_one(
        self, embedding: Embedding, prompts: Sequence[Prompt], multimask: bool | None
    ) -> list[Masks]:
        """Answer prompts about one image, in their order."""
        three = [self._wants_three(p) if multimask is None else multimask for p in prompts]
        answers: dict[int, Masks] = {}
        for want in (False, True):
            places = [i for i in range(len(prompts)) if three[i] == want]
            for start in range(0, len(places), _PROMPTS_AT_ONCE):
                some = places[start : start + _PROMPTS_AT_ONCE]
                logits, predicted_iou = self.decode(embedding, [prompts[i] for i in some], want)
                for i, *answer in zip(some, logits, predicted_iou, strict=True):
                    answers[i] = self._masks(embedding, prompts[i], *answer)
        return [answers[i] for i in range(len(prompts))]

    def _masks(
        self, embedding: Embedding, prompt: Prompt, logits: Tensor, predicted_iou: Tensor
    ) -> Masks:
        """Bring the answers to one prompt, (k, h', w') and (k,), to the size of the image."""
        masks = Masks.from_dense(
            (embedding.transform.masks_to_image(logits) > 0).cpu().numpy(),
            scores=predicted_iou.cpu().numpy(),
            prompts=(prompt,) * len(predicted_iou),
            logits=logits.cpu().numpy(),
            source=embedding.source,
            model=self.variant.name,
        )
        return masks.sort()

    def _wants_three(self, prompt: Prompt) -> bool:
        """Return whether a prompt can mean several things: a single point says nothing of size."""
        ambiguous = prompt.form == (1, False, False) or self.variant.always_three
        return ambiguous and "multimask" in self.variant.capabilities

    def _check_embedding(self, embedding: Embedding) -> None:
        if not isinstance(embedding, Embedding):
            raise InputError(
                f"expected an Embedding, got {type(embedding).__name__}; embed the image first"
            )
        if not embedding.signature.startswith(self._signature):
            raise InputError(
                f"expected an embedding that {self.variant.name} made with these weights, got one "
                "of another model; embed the image with this one"
            )

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

    def subject(self, image: ImageLike) -> Masks:
        """Cut out what an image is of, its main subject, without a prompt.

        A small saliency network says roughly what that is, and this model where it ends.

        Returns:
            One mask, labelled "subject", whose score is the IoU to expect; none at all if the image
            is of nothing in particular. `Masks.matte` gives it a soft edge.

        Raises:
            InputError: The image cannot be read.
            CapabilityError: The model takes no boxes.

        Examples:
            >>> from anymask import load
            >>> load().subject("docs/pictures/coffee.jpg").labels
            ('subject',)
        """
        from anymask.predict.subject import find_subject  # the first click should not wait for it

        return find_subject(self, image)

    # ----------------------------------------------------------------- generate

    @overload
    def generate(
        self,
        image: ImageLike,
        config: GenerateConfig | InstanceConfig | None = ...,
        *,
        tile: int | None = ...,
        halo: int | None = ...,
        progress: Progress | None = ...,
        **options: Any,
    ) -> Masks: ...
    @overload
    def generate(
        self,
        image: Sequence[ImageLike],
        config: GenerateConfig | InstanceConfig | None = ...,
        *,
        tile: int | None = ...,
        halo: int | None = ...,
        progress: Progress | None = ...,
        **options: Any,
    ) -> list[Masks]: ...

    def generate(
        self,
        image: ImageLike | Sequence[ImageLike],
        config: GenerateConfig | InstanceConfig | None = None,
        *,
        tile: int | None = None,
        halo: int | None = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> Masks | list[Masks]:
        """Find everything in an image, or in each image of a list, without a prompt.

        Of a list, the model answers for one image while the answers for another are sorted out.

        Args:
            image: Path, bytes, Pillow image or array.
            config: What to look for and what to drop, of the class that this model takes; None:
                what suits it.
            tile: Search squares of this many pixels along each side, one by one, and join what
                crosses them (see `everything.tiled`); None: only if the image has more pixels than
                may be decoded at once, 200 million, in squares of 1024.
            halo: How far each square reaches into its neighbours, in pixels; None: an eighth of
                its side.
            progress: Told now and then how much is done, and of how much: tiles, else points.
                Several threads may call it. What it raises ends the search within one batch of
                points, and comes out of `generate`.
            **options: Single settings that should differ from those of ``config``.

        Returns:
            The masks; none at all if nothing was found.

        Raises:
            InputError: The image cannot be read, or a setting does not fit.
            CapabilityError: The settings need what this model does not know.

        Examples:
            >>> from anymask import load
            >>> masks = load().generate("docs/pictures/coffee.jpg", points_per_side=4)
            >>> masks.size_hw
            (400, 600)
        """
        settings = changed(self._usual, config, options)
        if tile is not None or halo is not None:
            from anymask.everything import grid, tiled

            grid.check_tiles(tiled.TILE if tile is None else tile, halo)

        def find(one: ImageLike) -> Masks:
            from anymask.everything.tiled import TILE, generate_tiled, is_large

            if tile is None and not is_large(one):
                return self._find(one, settings, progress)
            side = TILE if tile is None else tile
            return generate_tiled(self, one, settings, tile=side, halo=halo, progress=progress)

        if not isinstance(image, (list, tuple)):
            return find(cast(ImageLike, image))
        workers = min(_IMAGES_SEARCHED_AT_ONCE, max(1, len(image)))
        return list(in_order(find, image, workers))

    @property
    def _usual(self) -> GenerateConfig | InstanceConfig:
        """The settings of `generate` unless others are given."""
        return self.variant.generate

    def _find(self, image: ImageLike, settings: Any, progress: Progress | None = None) -> Masks:
        """Find everything in an image, with settings of the model's class."""
        from anymask.everything.generate import generate  # the first click should not wait for it

        masks = generate(self, image, settings, self.scout, progress)
        return replace(masks, model=self.variant.name)


def _alike(keys: Sequence[Hashable]) -> list[list[int]]:
    """Group the numbers of equal keys, in the order in which they first come."""
    groups: dict[Hashable, list[int]] = {}
    for i, key in enumerate(keys):
        groups.setdefault(key, []).append(i)
    return list(groups.values())
