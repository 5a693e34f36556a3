"""A model learns from what people accepted, and is put to use only if it has become better.

It may be the one that makes masks, or the detector that says where things are.

Which images are held back, to compare on, is told by their content alone: an image that one
version learned from is never held back for another.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import numpy as np
import PIL.Image

from anymask.atomic import atomic_write, make_folder
from anymask.detections import Detections
from anymask.errors import AnymaskError, InputError
from anymask.formats import coco
from anymask.formats.images import is_held_back
from anymask.image.image import Image
from anymask.label.proposals import BUNDLED, MEASURE, load_proposals, train_proposals
from anymask.label.records import ImageRecord, VersionKind, check_name
from anymask.masks.masks import Masks
from anymask.plain import to_plain
from anymask.train.config import LoopConfig
from anymask.train.finetuning.config import USUAL_LOOP, FineTuneConfig, Learn

if TYPE_CHECKING:
    from anymask.label.store import Store
    from anymask.predict.segmenter import Segmenter

__all__ = ["FOLDER", "RetrainConfig", "Retrained", "retrain"]

FOLDER = ".anymask-label"
"""Where versions, their data and their pictures lie, in the folder of the project."""

_Shown: TypeAlias = Callable[[Image, Masks], Sequence[Masks | Detections]]
_MEASURE = "iou"  # mean of all that a fine-tune validates: clicks and boxes


@dataclass(frozen=True)
class RetrainConfig:
    """How the model learns."""

    model: str = "bundled"
    """What to start from as long as no version is in use; after that, the version in use."""
    learn: Literal["decoder", "lora", "everything", "detector"] = "decoder"
    """What changes: the mask decoder; that and LoRA's small matrices in the encoder; all of it. Or
    the detector: it learns from the boxes of the masks where things are, whatever they are, for the
    semi-automatic stage."""
    val_fraction: float = 0.2
    """Share of the images that are held back, to compare before and after; their content tells
    which, so that it stays so."""
    pictures: int = 8
    """Held-back images that before and after are drawn for."""
    loop: LoopConfig = field(default=USUAL_LOOP)
    """How long and how fast it learns; for the detector, steps, batch-size, lr, weight-decay,
    warmup, grad-clip and seed count."""

    def __post_init__(self) -> None:
        """Check the settings."""
        if not 0 < self.val_fraction < 1:
            raise InputError(
                f"expected val_fraction above 0 and below 1, got {self.val_fraction}; 0.2 is usual"
            )
        if self.pictures < 0:
            raise InputError(f"expected pictures of 0 or more, got {self.pictures}; 8 is usual")


@dataclass(frozen=True)
class Retrained:
    """What came of it.

    Attributes:
        version: Name of the new version.
        path: Its folder, which `anymask.load` takes, or `load_proposals` if it is a detector.
        parent: Name of the version that it learned from.
        train_images: Number of images that it learned from.
        val_images: Number of held-back images.
        before: How good the parent is on these, by measure: IoUs by prompt, or what
            `anymask.label.proposals.measure` gives of a detector.
        after: How good the new version is.
        promoted: Whether it is in use now, which it is only if it is better: in the mean IoU, or
            in average precision.
        pictures: Files that show held-back images: what people made, before, after.
    """

    version: str
    path: Path
    parent: str
    train_images: int
    val_images: int
    before: Mapping[str, float]
    after: Mapping[str, float]
    promoted: bool
    pictures: tuple[Path, ...]


def retrain(
    store: Store,
    config: RetrainConfig | None = None,
    *,
    version: str | None = None,
    device: str = "auto",
    quiet: bool = True,
) -> Retrained:
    """Let the version in use learn from all accepted masks, register the result, and compare.

    The new version is put to use only if it is better on the held-back images; it stays registered
    in any case. Only one process of a project may do this at a time.

    Args:
        store: The store.
        config: How.
        version: What to call the new version; None: the next number.
        device: Where to compute.
        quiet: Say nothing meanwhile.

    Raises:
        InputError: Somebody else retrains, the name is taken, or there are too few accepted masks.
        CapabilityError: The model cannot learn in this way.
        OutputError: Something cannot be written.
    """
    config = config or RetrainConfig()
    with store.exclusive("retrain"):
        known = store.versions()
        kind: VersionKind = "detector" if config.learn == "detector" else "model"
        used = next((one for one in known if one.promoted and one.kind == kind), None)
        first = BUNDLED if kind == "detector" else config.model
        parent, start = (first, first) if used is None else (used.name, used.path)
        names = {one.name for one in known}  # some may have come with an import
        free = (f"version-{number}" for number in count(1))
        name = version or next(one for one in free if one not in names)
        check_name(name, "name of a version", 100)
        # It names a folder that is deleted first, so nothing may lead out of ours.
        if not re.fullmatch(r"\w[\w.-]*", name) or name in names:
            raise InputError(
                "expected a new name for the version, of letters, digits, dots and dashes, got "
                f"{name!r}; choose another"
            )
        folder = store.root / FOLDER / name
        shutil.rmtree(folder, ignore_errors=True)  # of one that was not finished
        work = _Retrain(store, config, name, kind, parent, str(_place(store, start)), folder)
        return work.run(device, quiet)


def _place(store: Store, path: str) -> str | Path:
    """Find a version's folder: those of the project lie in it."""
    return store.root / path if (store.root / path).is_dir() else path


@dataclass
class _Retrain:
    store: Store
    config: RetrainConfig
    version: str
    kind: VersionKind
    parent: str
    start: str
    folder: Path

    def run(self, device: str, quiet: bool) -> Retrained:
        parts = self._write_data()
        run = self.folder / "run"
        learn = self._learn_boxes if self.kind == "detector" else self._learn_masks
        report, shown = learn(parts, run, device, quiet)
        name = MEASURE if self.kind == "detector" else _MEASURE
        better = report.after.get(name, 0.0) > report.before.get(name, 0.0)
        pictures = tuple(self._draw(parts["val"], shown))
        metrics = {
            "before": dict(report.before),
            "after": dict(report.after),
            "train_images": report.train_images,
            "val_images": report.val_images,
            "better": better,
        }
        with atomic_write(self.folder / "report.json") as draft:
            document = {"version": self.version, "parent": self.parent, **metrics}
            draft.write_text(json.dumps(to_plain(document), indent=1) + "\n", encoding="utf-8")
        path, metrics = run.relative_to(self.store.root).as_posix(), to_plain(metrics)
        self.store.add_version(
            self.version, path, parent=self.parent, metrics=metrics, kind=self.kind
        )
        if better:
            self.store.promote(self.version)
        return Retrained(
            version=self.version,
            path=run,
            parent=self.parent,
            train_images=report.train_images,
            val_images=report.val_images,
            before=report.before,
            after=report.after,
            promoted=better,
            pictures=pictures,
        )

    def _learn_masks(
        self, parts: Mapping[str, Path], run: Path, device: str, quiet: bool
    ) -> tuple[Any, _Shown]:
        from anymask.predict.loading import load
        from anymask.train.finetuning.finetune import finetune

        settings = FineTuneConfig(
            data=(parts["train"],),
            val=(parts["val"],),
            layout="coco",
            model=self.start,
            learn=cast(Learn, self.config.learn),
            loop=self.config.loop,
        )
        report = finetune(settings, run, device, quiet=quiet, overwrite=True)
        models = load(self.start, device), load(run, device)

        def show(image: Image, truth: Masks) -> list[Masks]:
            return [truth, *(_by_boxes(model, image, truth) for model in models)]

        return report, show

    def _learn_boxes(
        self, parts: Mapping[str, Path], run: Path, device: str, quiet: bool
    ) -> tuple[Any, _Shown]:
        start = None if self.start == BUNDLED else Path(self.start)
        report = train_proposals(
            parts["train"], parts["val"], run, self.config.loop, start, device, quiet=quiet
        )
        detectors = load_proposals(start, device), load_proposals(run, device)

        def show(image: Image, truth: Masks) -> list[Detections]:
            return [Detections.from_masks(truth), *(find(image) for find in detectors)]

        return report, show

    # ------------------------------------------------------------------------- the data

    def _write_data(self) -> dict[str, Path]:
        """Write the accepted masks of all images as two data sets."""
        found: dict[str, list[Masks]] = {"train": [], "val": []}
        for part in found:
            make_folder(self.folder / "data" / part)
        for image in self.store.images():
            if not image.masks:
                continue
            stored = self.store.masks(image)
            places = [i for i, one in enumerate(stored.reviews) if one == "accepted"]
            if not places:
                continue
            part = "val" if is_held_back(image.sha256, self.config.val_fraction) else "train"
            name = self._link(image, self.folder / "data" / part)
            if name is not None:
                chosen = replace(stored.masks[places], source=name, meta=(), crop_boxes=None)
                found[part].append(chosen)
        if not all(found.values()):
            raise InputError(
                "expected accepted masks of images to learn from and of images to compare on, got "
                f"{len(found['train'])} and {len(found['val'])} images; accept more, or hold back "
                "another share (val_fraction)"
            )
        paths = {part: self.folder / "data" / part / "annotations.json" for part in found}
        for part, path in paths.items():
            coco.write(path, found[part])
        return paths

    def _link(self, image: ImageRecord, folder: Path) -> str | None:
        """Put an image beside its masks; None if it is gone."""
        try:
            opened = self.store.open_image(image)
        except AnymaskError:
            return None
        name = f"{image.id}{Path(image.name).suffix.lower()}"
        if isinstance(opened, bytes):
            (folder / name).write_bytes(opened)
            return name
        try:
            os.symlink(opened.resolve(), folder / name)
        except OSError:  # not everybody may make links on Windows
            shutil.copyfile(opened, folder / name)
        return name

    # ------------------------------------------------------------------------- pictures

    def _draw(self, annotations: Path, shown: _Shown) -> Iterator[Path]:
        """Draw held-back images three times: what people made, and what both versions make."""
        make_folder(self.folder / "pictures")
        for truth in coco.read_all(annotations)[: self.config.pictures]:
            truth = truth[truth.areas > 0]
            if not len(truth):
                continue
            image = Image.open(annotations.parent / str(truth.source))
            drawn = [one.draw(image).convert("RGB") for one in shown(image, truth)]
            h, w = image.size_hw
            whole = PIL.Image.new("RGB", (3 * w + 20, h), (255, 255, 255))
            for number, one in enumerate(drawn):
                whole.paste(one, (number * (w + 10), 0))
            path = self.folder / "pictures" / f"{Path(str(truth.source)).stem}.png"
            with atomic_write(path) as draft:
                whole.save(draft)
            yield path


def _by_boxes(model: Segmenter, image: Image, truth: Masks) -> Masks:
    from anymask.prompt import Prompt

    boxes: Any = truth.boxes + np.array([0, 0, 1, 1], np.float32)  # round the last pixels
    answers = model.predict(
        model.embed(image), prompts=[Prompt(box=box) for box in boxes], multimask=False
    )
    best = [
        replace(one.best(), labels=(name,)) for one, name in zip(answers, truth.labels, strict=True)
    ]
    return Masks.concat(best)
