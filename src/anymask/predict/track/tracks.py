"""What a `Segmenter` does with clips: a class that it inherits, for clips are many lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from anymask.errors import CapabilityError, InputError

if TYPE_CHECKING:
    from anymask.image.image import ImageLike
    from anymask.image.video import ClipLike
    from anymask.masks.masks import Masks
    from anymask.predict.track.clip import ClipPrompts, TrackedFrame
    from anymask.predict.track.track import Track
    from anymask.prompt import Prompt

__all__ = ["Tracks"]


class Tracks:
    """What a `Segmenter` does with clips."""

    variant: Any
    weights_digest: str

    def track(
        self, clip: ClipLike, prompts: ClipPrompts, *, forget_corrections: bool = False
    ) -> Iterator[TrackedFrame]:
        """Follow things through a clip, from prompts on any of its frames, in both directions.

        Frames come in the order of the work: onwards from the first prompt, then backwards for
        what lies before a thing's first prompt and between two of its prompts. A frame that comes
        again has better masks and replaces the one before, so ``{f.index: f.masks for f in ...}``
        has the results. For files that can be resumed, see `anymask.track`.

        Args:
            clip: A video file (extra ``video``), a folder of frames of one size, or a list of
                images; see `anymask.image.video.open_clip`.
            prompts: ``{number of a frame: {name of a thing: Prompt}}``. Frames count from 0. More
                prompts of one name correct it: clicks alone change what was followed until then, a
                box or a mask says it anew.
            forget_corrections: Do as the original SAM 2 does: what is said of a thing that is being
                followed already changes nothing. Only for models with a memory.

        Raises:
            InputError: The clip cannot be read, a frame or name does not exist, or a prompt does
                not fit.
            CapabilityError: The model does not take boxes.

        Examples:
            >>> import numpy as np
            >>> from anymask import Image, Prompt, load
            >>> photo = Image.open("docs/pictures/coffee.jpg").pixels
            >>> clip = [np.roll(photo, 8 * i, axis=1) for i in range(3)]
            >>> cup = Prompt(box=(170, 15, 412, 310))
            >>> for frame in load().track(clip, {0: {"cup": cup}}):
            ...     print(frame.index, frame.masks.labels, frame.masks.meta[0]["status"])
            0 ('cup',) prompted
            1 ('cup',) tracked
            2 ('cup',) tracked
        """
        from anymask.image.video import open_clip
        from anymask.predict.track.clip import Kept, Plan, run, without_corrections

        self._check_tracks(forget_corrections)
        opened = open_clip(clip)
        plan = Plan.of(prompts, len(opened))
        if forget_corrections:
            plan = Plan.of(without_corrections(prompts), len(opened))
        return run(self, opened, plan, Kept())  # type: ignore[arg-type]

    def follow(
        self,
        track: Track,
        image: ImageLike,
        prompts: Mapping[str, Prompt] | None = None,
        *,
        forget_corrections: bool = False,
    ) -> tuple[Track, Masks]:
        """Go one frame further, of frames that come one by one, as from a camera.

        Args:
            track: ``Track()`` to begin with, then what the call before returned. It is left as it
                is, so that any of them can be kept, saved, and gone on from.
            image: The next frame, of the same size as those before.
            prompts: What is said about things in this frame, by their names: new ones are followed
                from now on, known ones corrected.
            forget_corrections: As for `track`.

        Returns:
            The track to go on with, and the masks of all things, in the order in which they were
            named; see `TrackedFrame.masks`. A thing that is not seen has an empty mask.

        Raises:
            InputError: The frame is of another size, the track of another model, or a prompt does
                not fit.
            CapabilityError: The model does not take boxes.

        Examples:
            >>> import numpy as np
            >>> from anymask import Image, Prompt, Track, load
            >>> photo, model = Image.open("docs/pictures/coffee.jpg").pixels, load()
            >>> cup = Prompt(box=(170, 15, 412, 310))
            >>> track, masks = model.follow(Track(), photo, {"cup": cup})
            >>> track, masks = model.follow(track, np.roll(photo, 8, axis=1))
            >>> track, masks.labels
            (Track(frame 1: cup), ('cup',))
        """
        from anymask.image.image import Image
        from anymask.predict.track.look_at import look_at
        from anymask.predict.track.step import check_prompts, model_of

        self._check_tracks(forget_corrections)
        opened = Image.open(image)
        if track.size_hw is not None and opened.size_hw != track.size_hw:
            (h, w), (height, width) = opened.size_hw, track.size_hw
            raise InputError(
                f"expected a frame of {width} x {height} pixels like those before, got one of {w} "
                f"x {h}; resize it, or begin with Track()"
            )
        if track.model is not None and track.model != model_of(self):
            raise InputError(
                f"expected a track of {self.variant.name} with these weights, got one of another "
                "model; begin with Track()"
            )
        said = prompts or {}
        check_prompts(track, said, opened.size_hw)
        if forget_corrections:
            said = {name: prompt for name, prompt in said.items() if name not in track.names}
        looked = look_at(self, opened)  # type: ignore[arg-type]
        new, masks = looked.step(track, said, track.frame + 1)
        return new, replace(masks, source=opened.source)

    def _check_tracks(self, forget_corrections: bool = False) -> None:
        if self.variant.kind != "promptable" or "box" not in self.variant.capabilities:
            raise CapabilityError(
                f"expected a model that answers each prompt and takes boxes, got "
                f"{self.variant.name}; take the bundled model, or one of SAM's kind"
            )
        from anymask.predict.track.look_at import remembers

        if forget_corrections and not remembers(self):
            raise InputError(
                f"expected a model with a memory to forget corrections, got {self.variant.name}; "
                "leave that out, or take sam2.1-tiny"
            )
