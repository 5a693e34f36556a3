"""What is done with each image of a batch by words: cut things out by name, or find their boxes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anymask.batch.job import Add, Job, MaskJob, Watch, answer
from anymask.errors import InputError

if TYPE_CHECKING:
    import PIL.Image

    from anymask.detections import Detections
    from anymask.folder import ResumableFolder
    from anymask.image.image import Image, ImageLike
    from anymask.masks.masks import Masks
    from anymask.predict.segmenter import Segmenter
    from anymask.text.ground import Grounder, GrounderLike
    from anymask.text.phrases import Phrases, Text, Threshold

__all__ = ["Detect", "Words"]


@dataclass(frozen=True, kw_only=True)
class Words(MaskJob):
    """Cut out of each image all that words name.

    A model that compares text in its own way (FastSAM) does so unless a grounder is named.

    Attributes:
        text: What to look for.
        negative: What is not meant.
        threshold: Least score.
        grounder: Who looks for it.
        all: Keep all three answers of a model that compares text in its own way.
        cutout: Write what was cut out by itself, with everything else transparent.
    """

    name = "segment"
    text: Text
    negative: Text | None = None
    threshold: Threshold | None = None
    grounder: GrounderLike | None = None
    all: bool = False
    cutout: bool = True

    def classes(self) -> Sequence[str]:
        """List the phrases."""
        from anymask.text.phrases import parse

        return parse(self.text)

    def settings(self, model: Segmenter) -> dict[str, Any]:
        """Give the words and what is drawn."""
        drawn = {"format": self.format, "overlay": self.overlay, "cutout": self.cutout}
        said = _said(self.text, self.negative, self.threshold)
        if self._compares(model):
            return {**said, "all": self.all, **drawn}
        if self.all:
            raise InputError(
                "expected one answer for each thing that words name, got all (--all) too; leave it "
                "out"
            )
        from anymask.predict.words import check_capable
        from anymask.text.ground import choose
        from anymask.text.phrases import Phrases

        check_capable(model)
        phrases = Phrases.of(self.text, self.negative, self.threshold)
        chosen = choose(phrases, self.grounder, model.device)
        return {**said, "grounder": _name(self.grounder, chosen), **drawn}

    def _compares(self, model: Segmenter) -> bool:
        return "text" in model.variant.capabilities and self.grounder is None

    def work(self, model: Segmenter, source: ImageLike, watch: Watch) -> tuple[Masks, Image | None]:
        """Ask the model."""
        from anymask.image.image import Image

        image = Image.open(source)
        watch.step()
        return self.find(model, image), image

    def find(self, model: Segmenter, image: Image) -> Masks:
        """Cut it out of one image."""
        if not self._compares(model):
            return model.predict(
                image,
                text=self.text,
                negative=self.negative,
                threshold=self.threshold,
                grounder=self.grounder,
            )
        from anymask.predict.checks import check_no_words
        from anymask.prompt import Prompt

        check_no_words(self.text, self.negative, self.threshold, self.grounder)
        prompt = Prompt(text=self.text)  # type: ignore[arg-type]  # which says what is wrong
        masks = model.predict(image, prompts=prompt, multimask=True if self.all else None)
        return masks if self.all else masks.best()

    def draw(self, found: Masks, image: Image) -> Iterator[tuple[str, PIL.Image.Image]]:
        """Draw all masks over the image, and cut them out together."""
        if self.overlay and len(found):
            yield "-overlay.png", found.draw(image)
        if self.cutout and len(found):
            yield "-cutout.png", found.cutout(image)

    def endings(self) -> list[str]:
        """Name what is drawn."""
        return ["-overlay.png"] * self.overlay + ["-cutout.png"] * self.cutout

    def describe(self, found: Masks) -> dict[str, Any]:
        """Give word, score, area and box of each thing."""
        answers = [{"label": label} for label in found.labels]
        return {
            "text": _plain(self.text),
            "answers": [told | answer(mask) for told, mask in zip(answers, found, strict=True)],
        }


@dataclass(frozen=True, kw_only=True)
class Detect(Job["Grounder", "Detections"]):
    """Find boxes of all that words name in each image.

    Attributes:
        text: What to look for; None: all words that the grounder knows.
        negative: What is not meant.
        threshold: Least score.
    """

    name = "detect"
    unit = "boxes"
    format: str = "json"
    """json: one file in COCO's layout for each image; coco: one for all."""
    text: Text | None = None
    negative: Text | None = None
    threshold: Threshold | None = None

    def __post_init__(self) -> None:
        """Check the format."""
        if self.format not in ("json", "coco"):
            raise InputError(f"expected a format out of json, coco, got {self.format!r}; name one")

    def identity(self, model: Grounder) -> dict[str, Any]:
        """Give the grounder's name."""
        return {"grounder": model.name}

    def settings(self, model: Grounder) -> dict[str, Any]:
        """Give the words and what is drawn."""
        from anymask.text.ground import all_words, choose

        choose(self.phrases(all_words(model) if self.text is None else ()), model)
        said = _said(self.text, self.negative, self.threshold)
        return {**said, "format": self.format, "overlay": self.overlay}

    def phrases(self, all_words: Text = ()) -> Phrases:
        """Read the words.

        Args:
            all_words: Instead of a text that is None.

        Raises:
            InputError: They are not what they should be.
        """
        from anymask.text.phrases import Phrases

        text = all_words if self.text is None else self.text
        return Phrases.of(text, self.negative, self.threshold)

    def work(
        self, model: Grounder, source: ImageLike, watch: Watch
    ) -> tuple[Detections, Image | None]:
        """Ask the grounder."""
        from anymask.image.image import Image

        image = Image.open(source)
        watch.step()
        return self.find(model, image), image

    def find(self, model: Grounder, image: Image) -> Detections:
        """Find the boxes in one image."""
        from anymask.text.ground import detect

        return detect(
            image, self.text, negative=self.negative, threshold=self.threshold, grounder=model
        )

    def draw(self, found: Detections, image: Image) -> Iterator[tuple[str, PIL.Image.Image]]:
        """Draw the boxes over the image."""
        if self.overlay and len(found):
            yield "-boxes.png", found.draw(image)

    def endings(self) -> list[str]:
        """Name what is drawn."""
        return ["-boxes.png"] * self.overlay

    def written(self) -> None:
        """Name no format of masks."""
        return

    def suffix(self) -> str:
        """Name the file of an image as that of its masks would not be named."""
        return "-boxes.json"

    def save(self, found: Detections, path: Path, image_path: str) -> None:
        """Write COCO's layout."""
        found.save(path)

    @property
    def place(self) -> str:
        """The file of all boxes."""
        return "annotations.json" if self.format == "coco" else ""

    @contextmanager
    def joining(self, folder: ResumableFolder) -> Iterator[Add]:
        """Join the documents of the images in one."""
        from anymask.detections import Detections
        from anymask.formats import boxes

        with folder.writing(self.place) as draft, boxes.writer(draft) as put:
            yield lambda name, part, source, image: put(Detections.load(part), source)

    def describe(self, found: Detections) -> dict[str, Any]:
        """Give word, score and box of each thing."""
        rows = zip(found.labels, found.scores.tolist(), found.boxes.tolist(), strict=True)
        answers = [
            {"label": label, "score": round(score, 4), "box": [round(edge, 1) for edge in box]}
            for label, score, box in rows
        ]
        return {"text": _plain(self.text), "answers": answers}


def _said(text: Text | None, negative: Text | None, threshold: Threshold | None) -> dict[str, Any]:
    limits = dict(threshold) if isinstance(threshold, Mapping) else threshold
    return {"text": _plain(text), "negative": _plain(negative), "threshold": limits}


def _plain(text: Text | None) -> str | list[str] | None:
    return text if text is None or isinstance(text, str) else list(text)


def _name(named: GrounderLike | None, chosen: Grounder) -> str:
    """Name a grounder as the user does, as far as possible."""
    return os.fspath(named) if isinstance(named, str | os.PathLike) else chosen.name
