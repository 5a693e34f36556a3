"""A model that is ready for use: from images to embeddings, from these and prompts to masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast, overload

from anymask.config import GenerateConfig, InstanceConfig, changed
from anymask.image.image import ImageLike
from anymask.masks.masks import Masks
from anymask.parallel import in_order
from anymask.predict.answers import Answers
from anymask.predict.shown import TakesExamples
from anymask.predict.track.tracks import Tracks

if TYPE_CHECKING:
    from anymask.everything.search import Progress

__all__ = ["Segmenter"]

_IMAGES_SEARCHED_AT_ONCE = 2  # this bounds the memory of long lists


@dataclass(frozen=True, eq=False, repr=False)
class Segmenter(Answers, TakesExamples, Tracks):
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
