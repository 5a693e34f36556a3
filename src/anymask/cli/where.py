"""What commands that change things in images have in common: which things, and the way out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import UseAppendAction, arg

from anymask.cli.options import ImageOptions
from anymask.cli.places import read_mask
from anymask.cli.segment import PromptOptions
from anymask.errors import InputError

if TYPE_CHECKING:
    import PIL.Image

    from anymask.cli.words import WordOptions
    from anymask.extras.change_job import ChangeJob
    from anymask.image.image import Image
    from anymask.masks.masks import Masks
    from anymask.predict.segmenter import Segmenter

__all__ = ["ChangeOptions", "MaskOptions", "WhereOptions"]

_WHERE = (
    "expected one of --point, --box, --text, --mask and --masks, got {}; say what to change in one "
    "of these ways"
)


@dataclass(frozen=True, kw_only=True)
class MaskOptions(PromptOptions):
    """Which things: --point and --box find them; or --mask or --masks say them."""

    mask: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """A mask for all images: an image of their size, light where the thing is. It is taken as it
    is, without a model."""
    masks: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """A file of masks, such as `anymask everything` writes; a COCO file may have those of many
    images."""
    label: Annotated[
        UseAppendAction[tuple[str, ...]], arg(metavar="NAME", help_behavior_hint="(repeatable)")
    ] = ()
    """Of --masks, only those with this name."""

    def check_label(self) -> None:
        """Check that a name is of masks that are given."""
        if self.label and not self.masks:
            raise InputError("expected --masks along with --label, got none; name a file of masks")


@dataclass(frozen=True, kw_only=True)
class WhereOptions(MaskOptions):
    """What to change: --point and --box find it; or --mask or --masks say it."""

    def given(self, words: WordOptions, *, usual_subject: bool = False) -> dict[str, Any]:
        """Give what was said, by the names that a `ChangeJob` has for it.

        Args:
            words: What --text says.
            usual_subject: Whether to say nothing means the main subject.

        Raises:
            InputError: Too much is said or too little, or not in the form that it should have.
        """
        found = [flag for flag in ("point", "not_", "box") if getattr(self, flag)]
        given = [flag for flag in ("mask", "masks") if getattr(self, flag)]
        given += ["text"] * bool(words.text)
        if usual_subject and not (given or found):
            words.check_unused()
            self.check_label()
            return {}
        if len(given) + bool(found) != 1:
            flags = [f"--{flag.rstrip('_')}" for flag in (*found, *given)]
            raise InputError(_WHERE.format(" and ".join(flags) or "none of them"))
        if words.text:
            return words.given()
        words.check_unused()
        self.check_label()
        if self.mask is not None:
            return {"masks": read_mask(self.mask)}
        if self.masks is not None:
            return {"masks": self.masks, "label": self.label or None}
        return {"prompt": self.read(None)}


@dataclass(frozen=True, kw_only=True)
class ChangeOptions(ImageOptions):
    """Finds a thing in each image, or is told where it is, and changes the image."""

    def run(self) -> int:
        """Do it and return the exit code."""
        from anymask.cli.process import process

        return process(self, self._job)

    def find(self, model: Segmenter | None, image: Image) -> Masks:
        """Find the thing in one image."""
        return self._job.find(model, image)

    def cut(self, masks: Masks, image: Image) -> PIL.Image.Image:
        """Change one image."""
        return self._job.edit(masks, image).to_pil(alpha=True)

    def load(self) -> Any:
        """Load the model that finds the thing; masks that are there need none."""
        return super().load() if self._job.needs_model else None

    @property
    def no_cutout(self) -> bool:
        """What goes out is an image, unless --format asks for masks."""
        return False

    @cached_property
    def _job(self) -> ChangeJob:
        raise NotImplementedError
