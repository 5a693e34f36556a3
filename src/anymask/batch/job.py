"""What is done with each image of a batch: cut something out by prompts, or find everything."""

from __future__ import annotations

import hashlib
import io
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeAlias, TypeVar

from anymask import formats
from anymask.config import Keep, changed
from anymask.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import PIL.Image

    from anymask.folder import ResumableFolder
    from anymask.image.image import Image, ImageLike
    from anymask.masks.masks import Masks
    from anymask.predict.segmenter import Segmenter
    from anymask.prompt import Prompt
    from anymask.text.label import Labeller

__all__ = [
    "Everything",
    "Job",
    "MaskJob",
    "Segment",
    "Watch",
    "answer",
    "prompt_settings",
]

Model = TypeVar("Model")
Add: TypeAlias = Callable[[str, Path, str, Path | None], None]
"""Takes the name of an image (a path without suffix), the file of its part, what the image is
called, and where it is, if it is a file."""
Found = TypeVar("Found")

_FOR_DETECTORS = ("coco", "yolo", "voc")
_NEUTRAL = ("points_per_batch", "memory")  # change how the masks are found, not which


class Watch(Protocol):
    """Who looks on while an image is worked on."""

    def step(self, text: str = "") -> None:
        """Hear how far it is; may raise, to end the work."""
        ...

    def note(self, text: str) -> None:
        """Hear something about this image that the user should know."""
        ...


@dataclass(frozen=True, kw_only=True)
class Job(ABC, Generic[Model, Found]):
    """What is done with each image; a frozen value that any number of threads may use.

    ``Model`` is who does it, and ``Found`` what is found: `Masks`, say.
    """

    name: ClassVar[str]
    """Name of the command that does the same."""
    unit: ClassVar[str]
    """What is counted, in the plural."""
    format: str
    """How what is found is written."""
    overlay: bool = True
    """Draw what is found over the image."""

    @property
    def needs_model(self) -> bool:
        """Whether a model does it; without one, None takes its place."""
        return True

    @abstractmethod
    def identity(self, model: Model) -> dict[str, Any]:
        """Tell the model from others: plain JSON values."""

    @abstractmethod
    def settings(self, model: Model) -> dict[str, Any]:
        """Give all that decides how the results look, but for the model: plain JSON values.

        Raises:
            InputError: The model does not know one of them.
        """

    @abstractmethod
    def work(self, model: Model, source: ImageLike, watch: Watch) -> tuple[Found, Image | None]:
        """Search an image; None takes the place of one that is too large to draw."""

    @abstractmethod
    def draw(self, found: Found, image: Image) -> Iterator[tuple[str, PIL.Image.Image]]:
        """Draw what was found: images, each with the end of its file name."""

    @abstractmethod
    def endings(self) -> list[str]:
        """List the ends of those names, as far as they are known beforehand."""

    @abstractmethod
    def written(self) -> str | None:
        """Name the format of that file, as `formats` knows it; None: it holds boxes alone."""

    @abstractmethod
    def suffix(self) -> str:
        """Give the end of the name of the file of an image, if each has one."""

    @abstractmethod
    def save(self, found: Found, path: Path, image_path: str) -> None:
        """Write that file, or the part of what all share.

        Args:
            found: What was found.
            path: Where to write.
            image_path: Where the image is, from the folder that the file will be in.
        """

    @property
    @abstractmethod
    def place(self) -> str:
        """The file to open of what all images share, below their folder; nothing: each has one."""

    @abstractmethod
    def joining(self, folder: ResumableFolder) -> AbstractContextManager[Add]:
        """Write what all images share."""

    @property
    def copies_images(self) -> bool:
        """Whether the images lie beside what they share, as in data sets for training."""
        return False

    def further(self, found: Found) -> Iterator[tuple[str, bytes]]:
        """Write what else belongs to an image: contents, each with the end of its file name."""
        return iter(())

    def further_endings(self) -> list[str]:
        """List the ends of those names."""
        return []

    def describe(self, found: Found) -> dict[str, Any]:
        """Say what is worth knowing about what was found, as plain JSON values."""
        return {}

    def classes(self) -> Sequence[str]:
        """List the labels that masks may get, as formats that number them should count them."""
        return ()


@dataclass(frozen=True, kw_only=True)
class MaskJob(Job["Segmenter", "Masks"]):
    """A job that finds masks."""

    unit = "masks"
    format: str = "sa1b"
    """sa1b: one JSON file for each image; coco: one JSON file for all; png: a label map each;
    semantic: a map of the labels each; yolo: a data set with data.yaml, labels and images; labelme:
    a JSON file of LabelMe's each; voc: a data set with PNGs and XML of Pascal VOC's; grounded-sam:
    a label map and a JSON file each; cvat: one XML of CVAT's for all; labelstudio: one JSON of
    Label Studio's tasks for all; or a format that another package adds."""

    def __post_init__(self) -> None:
        """Check the format."""
        formats.find(self.format)

    def identity(self, model: Segmenter) -> dict[str, Any]:
        """Give name, weights and dtype."""
        return {
            "model": model.variant.name,
            "weights": model.weights_digest[:16],
            "dtype": str(model.dtype).removeprefix("torch."),
        }

    def written(self) -> str:
        """Name the format of the file of an image, or of its part."""
        return self.format if formats.find(self.format).collect is None else "sa1b"

    def suffix(self) -> str:
        """Give the suffix of the format; a label map must not be taken for an overlay."""
        suffix = formats.find(self.written()).suffix
        return f"-labels{suffix}" if suffix == ".png" else suffix

    def save(self, found: Masks, path: Path, image_path: str) -> None:
        """Write masks."""
        known = formats.find(self.written())
        known.write(path, found, **({"image_path": image_path} if known.names_image else {}))

    @property
    def place(self) -> str:
        """The file to open of formats whose files need each other."""
        known = formats.find(self.format)
        return "" if known.collect is None else known.place

    @property
    def copies_images(self) -> bool:
        """Whether the format copies the images."""
        return formats.find(self.format).copies_images

    def further(self, found: Masks) -> Iterator[tuple[str, bytes]]:
        """Write what the format puts beside that file."""
        beside = formats.find(self.written()).beside
        for ending, (_, write) in zip(self.further_endings(), beside, strict=True):
            content = io.BytesIO()
            write(content, found)
            yield ending, content.getvalue()

    def further_endings(self) -> list[str]:
        """Name those files as that one, but for the suffix."""
        known = formats.find(self.written())
        name = self.suffix().removesuffix(known.suffix)
        return [name + suffix for suffix, _ in known.beside]

    @contextmanager
    def joining(self, folder: ResumableFolder) -> Iterator[Add]:
        """Write masks as the format collects them."""
        from anymask.formats import sa1b

        known = formats.find(self.format)
        assert known.collect is not None
        with known.collect(folder, self.classes()) as put:

            def add(name: str, part: Path, source: str, image: Path | None) -> None:
                put(name, replace(sa1b.read(part), source=source), image)

            yield add


@dataclass(frozen=True, kw_only=True)
class Segment(MaskJob):
    """Cut the same things out of each image.

    Attributes:
        prompts: What to cut out, one thing each.
        all: Keep all three answers to each prompt, best first, instead of the best.
        cutout: Write each thing by itself, with everything else transparent.
    """

    name = "segment"
    prompts: Sequence[Prompt]
    all: bool = False
    cutout: bool = True

    def settings(self, model: Segmenter) -> dict[str, Any]:
        """Give the prompts and what is drawn."""
        said = [prompt_settings(prompt) for prompt in self.prompts]
        prompts = said[0] if len(said) == 1 else {"prompts": dict(enumerate(said, start=1))}
        return {
            **prompts,
            "all": self.all,
            "format": self.format,
            "overlay": self.overlay,
            "cutout": self.cutout,
        }

    def work(self, model: Segmenter, source: ImageLike, watch: Watch) -> tuple[Masks, Image | None]:
        """Ask the model."""
        from anymask.image.image import Image
        from anymask.masks.masks import Masks

        image = Image.open(source)
        watch.step()
        multimask = True if self.all else None
        if len(self.prompts) == 1:
            answers = [model.predict(image, prompts=self.prompts[0], multimask=multimask)]
        else:
            answers = model.predict(image, prompts=list(self.prompts), multimask=multimask)
        return Masks.concat(some if self.all else some.best() for some in answers), image

    def draw(self, masks: Masks, image: Image) -> Iterator[tuple[str, PIL.Image.Image]]:
        """Draw each mask over the image and by itself."""
        for i, mask in enumerate(masks):
            number = f"-{i + 1}" if self._many else ""
            if self.overlay:
                yield f"{number}-overlay.png", mask.draw(image)
            if self.cutout:
                yield f"{number}-cutout.png", mask.cutout(image)

    def endings(self) -> list[str]:
        """Count the answers that there may be."""
        answers = len(self.prompts) * (3 if self.all else 1)
        numbers = [f"-{i + 1}" for i in range(answers)] if self._many else [""]
        kinds = ["-overlay.png"] * self.overlay + ["-cutout.png"] * self.cutout
        return [number + kind for number in numbers for kind in kinds]

    @property
    def _many(self) -> bool:
        return self.all or len(self.prompts) > 1

    def describe(self, masks: Masks) -> dict[str, Any]:
        """Give score, area and box of each answer."""
        return {"answers": [answer(mask) for mask in masks]}


@dataclass(frozen=True, kw_only=True)
class Everything(MaskJob):
    """Find everything in each image.

    Attributes:
        options: What to look for and what to drop; what is not given is what suits the model.
        tile: Height and width in pixels of the squares to look at one by one; None: all at once,
            unless the image is too large for that.
        halo: How far each square reaches into its neighbours; None: an eighth of its side.
        labeller: Gives the masks names; None: they have none.
    """

    name = "everything"
    options: Mapping[str, Any] = field(default_factory=dict)
    tile: int | None = None
    halo: int | None = None
    labeller: Labeller | None = None

    def __post_init__(self) -> None:
        """Check the format, and keep of a data set for detectors one mask for each thing."""
        super().__post_init__()
        if self.labeller is not None:
            usual: Keep = "things" if self.format in _FOR_DETECTORS else "all"
            object.__setattr__(self, "labeller", self.labeller.keeping(usual))
        elif self.format == "semantic":
            raise InputError(
                "expected words for the format semantic, whose values are their numbers, got none; "
                "name the masks (--labels)"
            )

    def classes(self) -> Sequence[str]:
        """List all names that masks may have."""
        return () if self.labeller is None else self.labeller.classes

    def settings(self, model: Segmenter) -> dict[str, Any]:
        """Give what the options and the model's own settings come to."""
        search = asdict(changed(model.variant.generate, None, dict(self.options)))
        for name in _NEUTRAL:
            search.pop(name, None)
        tiles = {"tile": self.tile, "halo": self.halo}
        names = {} if self.labeller is None else self.labeller.settings()
        return {"format": self.format, "overlay": self.overlay, **tiles, **search, **names}

    def work(self, model: Segmenter, source: ImageLike, watch: Watch) -> tuple[Masks, Image | None]:
        """Search the image, or its tiles."""
        from anymask.everything.tiled import TILE, is_large, size_of
        from anymask.image.geo import read_geo
        from anymask.image.image import Image

        large = is_large(source)
        if large and self.labeller is not None:
            raise InputError(
                "expected an image that fits into memory to name its masks, got one in tiles; "
                "shrink it, or leave the names (--labels) out"
            )
        if large and self.tile is None:
            h, w = size_of(source) or (0, 0)
            watch.note(f"{w} x {h} pixels, so in tiles of {TILE}; choose another size (--tile)")
        image = None if large else Image.open(source)
        unit = "tile {} of {}" if large or self.tile else "{} of {} points"
        masks = model.generate(
            source if image is None else image,
            tile=self.tile,
            halo=self.halo,
            progress=lambda done, total: watch.step(f", {unit.format(done, total)}"),
            **self.options,
        )
        if self.labeller is not None and image is not None:
            watch.step(", naming")
            masks = self.labeller(masks, image)
        if isinstance(source, str | os.PathLike):
            masks = replace(masks, geo=read_geo(source))
        return masks, image

    def draw(self, masks: Masks, image: Image) -> Iterator[tuple[str, PIL.Image.Image]]:
        """Draw all masks over the image."""
        if self.overlay:
            yield "-overlay.png", masks.draw(image)

    def describe(self, masks: Masks) -> dict[str, Any]:
        """Give how many answers which setting dropped, and how many masks have which name."""
        dropped = {"dropped": dict(masks.dropped)}
        if self.labeller is None:
            return dropped
        named = Counter(name for name in masks.labels if name is not None)
        return {**dropped, "labels": dict(named.most_common())}

    def endings(self) -> list[str]:
        """Name the overlay."""
        return ["-overlay.png"] * self.overlay


def prompt_settings(prompt: Prompt) -> dict[str, Any]:
    """Give a prompt as plain JSON values, arrays by their digest."""
    return {
        "points": prompt.points_xy[prompt.labels == 1].tolist(),
        "not": prompt.points_xy[prompt.labels == 0].tolist(),
        "box": None if prompt.box is None else prompt.box.tolist(),
        "mask": _digest(prompt.mask),
        "mask_logits": _digest(prompt.mask_logits),
        "text": prompt.text,
    }


def _digest(array: npt.NDArray[np.generic] | None) -> str | None:
    return None if array is None else hashlib.sha256(array.tobytes()).hexdigest()[:16]


def answer(mask: Masks) -> dict[str, Any]:
    """Describe one mask."""
    score = float(mask.scores[0])
    return {
        "score": None if score != score else round(score, 4),
        "area": int(mask.areas[0]),
        "box": mask.boxes[0].tolist(),
    }
