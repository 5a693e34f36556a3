"""``anymask.process``: a folder of images in, results out, from Python."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anymask.batch.inputs import Images, find_images
from anymask.batch.job import Everything, Job, MaskJob, Segment
from anymask.batch.results import known_keys
from anymask.batch.run import Batch, Cancelled, ImageResult, Progress
from anymask.batch.subject import Subject
from anymask.batch.words import Words
from anymask.config import LabelConfig
from anymask.errors import InputError

if TYPE_CHECKING:
    from anymask.predict.segmenter import Segmenter
    from anymask.prompt import Numbers, Prompt
    from anymask.text.ground import GrounderLike
    from anymask.text.label import Labeller
    from anymask.text.phrases import Text, Threshold

__all__ = ["BatchReport", "process"]


@dataclass(frozen=True)
class BatchReport:
    """What became of a batch.

    Attributes:
        output: Folder of the results.
        results: What became of each image; of a cancelled batch, of those that it came to.
        cancelled: Whether it was given up; the same call goes on.
        notes: Sentences that the user should know.
    """

    output: Path
    results: list[ImageResult] = field(default_factory=list)
    cancelled: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def failed(self) -> list[ImageResult]:
        """The images that failed, each with its ``error``."""
        return [result for result in self.results if result.status == "failed"]

    def count(self, status: str) -> int:
        """Count the images that are "done", "skipped" or "failed"."""
        return sum(result.status == status for result in self.results)

    def __str__(self) -> str:
        """Say it in one line, with a line for each failure."""
        numbers = [f"{self.count('done')} done", f"{self.count('skipped')} already there"]
        numbers += [f"{len(self.failed)} failed"]
        end = ", cancelled" if self.cancelled else ""
        lines = [f"{len(self.results)} images: {', '.join(numbers)}{end}; results in {self.output}"]
        return "\n".join([*lines, *(f"  {one.image}: {one.error}" for one in self.failed)])


def process(
    images: Images,
    output: str | os.PathLike[str] = "anymask-out",
    *,
    model: str | Segmenter = "bundled",
    points: Numbers | None = None,
    labels: Numbers | str | os.PathLike[str] | Sequence[str] | None = None,
    box: Numbers | None = None,
    mask: Numbers | None = None,
    text: Text | None = None,
    negative: Text | None = None,
    threshold: Threshold | None = None,
    grounder: GrounderLike | None = None,
    prompts: Prompt | Sequence[Prompt] | None = None,
    job: Job[Any, Any] | None = None,
    subject: bool = False,
    all: bool = False,
    format: str = "sa1b",
    overlay: bool = True,
    cutout: bool = True,
    workers: int = 2,
    overwrite: bool = False,
    on_result: Callable[[ImageResult], None] | None = None,
    progress: Callable[[Progress], None] | None = None,
    cancel: Callable[[], bool] | None = None,
    **options: Any,
) -> BatchReport:
    """Cut something out of many images, or find everything in them, into a folder of results.

    It does what ``anymask segment`` and ``anymask everything`` do, and the folder is the same: what
    is finished there is skipped, whoever did it, so a call that was interrupted or killed goes on
    when it is repeated, and several processes may share the work. An image that cannot be done does
    not stop the others; see `BatchReport.failed`.

    Args:
        images: A file, a folder (with all that is in it), a pattern such as ``"in/**/*.jpg"``, or
            a list of these. Or a mapping from names of results to images in memory, such as
            ``{"first": array, "second": jpeg_bytes}``; see `Image.open` for what may be one.
        output: Folder for the results; made when missing.
        model: What `load` returned, or the name or path that it takes.
        points: With ``labels``, ``box`` and ``mask``: what to cut out of each image, as
            for `Segmenter.predict`, in pixels of the image, x before y. Nothing: find everything.
        labels: (n,), 1 for points on the object, 0 for background points. Where everything is to be
            found: words to name the masks by, as for `text.label.label`.
        box: (4,), xyxy.
        mask: Rough mask, bool (h, w), the size of each image.
        text: What things are called: all that words name is cut out, as by `Segmenter.predict`.
        negative: With ``text``: words for what is not meant.
        threshold: With ``text``: least score of the detector.
        grounder: With ``text``: the detector.
        prompts: Instead of these: a prompt, or several, one object each.
        job: Instead of all that: something else to do with each image, such as an `Inpaint` of
            `anymask.extras.inpaint`, which says by itself what it writes.
        subject: Instead of all these: cut out the main subject of each image, with a soft edge.
        all: Keep all three answers to a prompt, best first, instead of the best.
        format: "sa1b": one JSON file for each image; "coco": one JSON file for all; "png": a label
            map each; "semantic": a map of the labels each; "yolo": a data set with ``data.yaml``,
            labels and images; "labelme": a JSON file of LabelMe's each; "voc": a data set with PNGs
            and XML of Pascal VOC's; "grounded-sam": a label map and a JSON file each; "cvat": one
            XML of CVAT's for all; "labelstudio": one JSON of Label Studio's tasks for all; or a
            format that another package adds.
        overlay: Draw the masks over the images.
        cutout: Write what was cut out by itself, with everything else transparent.
        workers: Images worked on at a time, which share the processor's cores.
        overwrite: Do every image again, also where results exist.
        on_result: Called with the result of each image when it is there, in the caller's thread;
            ``result.masks`` are its masks.
        progress: Called with how far it is, from several threads, but by one at a time.
        cancel: Asked often, from several threads; when it returns true, the work ends within about
            a second, and the report says so.
        **options: In everything mode: ``tile``, ``halo``, the settings of `Segmenter.generate`, and
            those of `LabelConfig`.

    Returns:
        What became of each image.

    Raises:
        InputError: There are no such images, an argument does not fit, the folder holds results of
            other settings, or another process is making such there.
        CapabilityError: The model does not know this kind of prompt.
        OutputError: The folder cannot be written to, or the disk is full.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> photo = np.zeros((48, 64, 3), np.uint8)
        >>> photo[10:30, 20:40] = 255
        >>> report = process({"square": photo}, tempfile.mkdtemp(), points=[(30, 20)])
        >>> [result.status for result in report.results], len(report.results[0].masks)
        (['done'], 1)
        >>> report.failed
        []
    """
    direct = {"points": points, "labels": labels, "box": box, "mask": mask, "text": text}
    words: dict[str, Any] = {
        "negative": negative,
        "threshold": threshold,
        "grounder": grounder,
    }
    drawn: dict[str, Any] = {"format": format, "overlay": overlay}
    if job is not None:
        _check_only_job(direct | words | {"prompts": prompts, "subject": subject or None} | options)
    elif subject:
        _check_alone([*direct.values(), *words.values(), prompts, *options, all or None])
        job = Subject(cutout=cutout, **drawn)
    else:
        if direct["text"] is not None and isinstance(direct["labels"], str | os.PathLike):
            raise InputError(
                "expected text or labels, as text cuts out what it names and labels names all that "
                "is found, got both; leave one of them out"
            )
        labeller = _labeller(direct, prompts, options, model)
        job = _job(direct, words, prompts, options, labeller, all=all, cutout=cutout, **drawn)
    folder = Path(output)
    items = find_images(images, folder, known_keys(folder))
    segmenter = None
    if job.needs_model and isinstance(model, str | os.PathLike):
        from anymask.predict.loading import load

        segmenter = load(model)
    elif not isinstance(model, str | os.PathLike):
        segmenter = model
    results: list[ImageResult] = []
    notes: list[str] = []
    batch = Batch(
        job,
        segmenter,
        items,
        folder,
        workers=workers,
        overwrite=overwrite,
        progress=progress,
        cancel=cancel,
        note=notes.append,
    )
    try:
        with batch:
            for result in batch:
                results.append(result)
                if on_result is not None:
                    on_result(result)
    except Cancelled:
        return BatchReport(folder, results, True, notes)
    return BatchReport(folder, results, False, notes)


def _check_only_job(others: dict[str, Any]) -> None:
    said = [name for name, value in others.items() if value is not None]
    if said:
        raise InputError(
            f"expected a job alone, got {', '.join(said)}, too; say it when the job is made"
        )


def _labeller(
    direct: dict[str, Any],
    prompts: Prompt | Sequence[Prompt] | None,
    options: dict[str, Any],
    model: str | Segmenter,
) -> Labeller | None:
    """Take the labels out of what was said, if they are words and not those of points."""
    labels = direct["labels"]
    alone = prompts is None and all(direct[name] is None for name in direct if name != "labels")
    one = isinstance(labels, str | os.PathLike)
    several = isinstance(labels, list | tuple) and all(isinstance(word, str) for word in labels)
    if not alone or not (one or several):
        return None
    from anymask.text.label import load_labeller

    device = "auto" if isinstance(model, str | os.PathLike) else model.device
    known = {field.name for field in fields(LabelConfig)} & options.keys()
    how = {name: options.pop(name) for name in known}
    return load_labeller(direct.pop("labels"), device=device, **how)


def _check_alone(others: Sequence[object]) -> None:
    if any(other is not None for other in others):
        raise InputError(
            "expected subject alone, got a prompt or a setting beside it; leave one of them out"
        )


def _job(
    direct: dict[str, Any],
    words: dict[str, Any],
    prompts: Prompt | Sequence[Prompt] | None,
    options: dict[str, Any],
    labeller: Labeller | None,
    *,
    all: bool,
    cutout: bool,
    format: str,
    overlay: bool,
) -> MaskJob:
    """Make a job of what was said."""
    from anymask.predict.checks import check_no_words
    from anymask.prompt import Prompt

    said = [name for name, value in direct.items() if value is not None]
    if said and prompts is not None:
        raise InputError(
            f"expected {' and '.join(said)} or prompts, got both; put it all into the prompts"
        )
    if said != ["text"]:
        check_no_words(None, **words)
    if not said and prompts is None:
        tiles = {name: options.pop(name, None) for name in ("tile", "halo")}
        return Everything(
            options=options, **tiles, labeller=labeller, format=format, overlay=overlay
        )
    if options:
        raise InputError(
            f"expected no settings of everything mode beside a prompt, got {', '.join(options)}; "
            "leave one of them out"
        )
    if said == ["text"]:
        text = direct["text"]
        return Words(text=text, **words, all=all, cutout=cutout, format=format, overlay=overlay)
    if prompts is None:
        points = direct.pop("points")
        prompts = Prompt(points, **direct)
    some = (prompts,) if isinstance(prompts, Prompt) else tuple(prompts)
    if not some or not {type(one) for one in some} <= {Prompt}:
        raise InputError(
            "expected a Prompt or a list of them, got something else; make one with "
            "Prompt(points_xy=...)"
        )
    return Segment(prompts=some, all=all, cutout=cutout, format=format, overlay=overlay)
