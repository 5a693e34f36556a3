"""The same verbs, done by a server: `Client` speaks to ``anymask serve``.

It needs no FastAPI and no weights: Python's own HTTP, and the library's values.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote, urlencode

import numpy as np
import numpy.typing as npt

from anymask.detections import Detections
from anymask.errors import (
    InputError,
)
from anymask.image.image import Image, ImageLike
from anymask.masks.masks import Masks
from anymask.plain import to_plain
from anymask.prompt import Numbers, Prompt
from anymask.serve.connection import Connection, ServerError
from anymask.serve.wire import (
    boxes_of,
    document_of_array,
    document_of_mask,
    masks_document,
    masks_of,
)

if TYPE_CHECKING:
    from anymask.embedding import Embedding, StoredDtype

__all__ = ["Client", "RemoteImage", "RemoteJob", "RemotePersonal", "ServerError"]


@dataclass(frozen=True, eq=False)
class RemoteImage:
    """An image that a server has embedded; what `Client.embed` returns.

    Attributes:
        session: Its id there.
        size_hw: Height and width in pixels.
        model: Who embedded it.
        content: The image file, to embed it again when the server had to let it go.
    """

    session: str
    size_hw: tuple[int, int]
    model: str
    content: bytes = field(repr=False)


Subject: TypeAlias = "RemoteImage | ImageLike"


class Client:
    """A server's model, with the verbs of `Segmenter`; any number of threads may share it.

    It keeps connections open for the next calls, until `close` or the end of a ``with`` block.

    A server that is busy is asked again until the time is up. What it warns of becomes a Python
    warning.

    Args:
        url: Where the server listens.
        token: What it asks for, if it does.
        timeout: Seconds that a call may take, all tries together.

    Examples:
        >>> client = Client("http://127.0.0.1:8000")
        >>> image = client.embed("photo.jpg")  # doctest: +SKIP
        >>> client.predict(image, points=[(500, 375)]).best()  # doctest: +SKIP
        Masks(1 mask of 1800 x 1200, best score 0.97)
    """

    def __init__(
        self, url: str = "http://127.0.0.1:8000", token: str | None = None, timeout: float = 120
    ) -> None:
        self._connection = Connection(url, token, timeout)

    def __repr__(self) -> str:
        """Name the server; the token stays hidden."""
        return f"Client({self._connection.address!r})"

    def __enter__(self) -> Client:
        """Use it in a block, at whose end it is closed."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections; a later call opens a new one."""
        self._connection.close()

    # ------------------------------------------------------------------------- the verbs

    @property
    def about(self) -> dict[str, Any]:
        """What the server can do: model, capabilities, words, formats, folders of jobs."""
        return self._connection.json("GET", "/v1/model")

    def embed(self, image: ImageLike | Sequence[ImageLike]) -> Any:
        """Let the server encode an image, or each of a list.

        Args:
            image: What `Image.open` takes. Files and bytes are sent as they are.

        Returns:
            A `RemoteImage`, or a list of them.

        Raises:
            InputError: It is missing, damaged, too large for the server, or no image.
            ServerError: The server cannot be reached, or cannot answer.
        """
        if isinstance(image, list | tuple):
            return [self._embed(_content_of(one)) for one in image]
        return self._embed(_content_of(image))  # type: ignore[arg-type]  # a list is gone by now

    def predict(
        self,
        embedding: Subject | Sequence[Subject],
        *,
        points: Numbers | None = None,
        labels: Numbers | None = None,
        box: Numbers | None = None,
        mask: Numbers | None = None,
        mask_logits: Numbers | None = None,
        text: str | Sequence[str] | None = None,
        negative: str | Sequence[str] | None = None,
        threshold: float | Mapping[str, float] | None = None,
        prompts: Any = None,
        multimask: bool | None = None,
        logits: bool = False,
    ) -> Any:
        """Cut out what prompts ask for, as `Segmenter.predict` does.

        Args:
            embedding: What `embed` returned, or an image; or a list of these.
            points: (n, 2), x before y, pixels of the image.
            labels: (n,), 1 object, 0 background.
            box: (4,), xyxy.
            mask: Rough mask, bool (h, w).
            mask_logits: One of an earlier answer's logits.
            text: What things are called.
            negative: Words for what is not meant.
            threshold: Least score of the detector.
            prompts: Instead of the direct words: a `Prompt`, a list, or a list for each image.
            multimask: Three answers, or one; None: as the prompt asks.
            logits: Fetch the model's small answers, too, to feed back as ``mask_logits``.

        Returns:
            `Masks`, a list of them, or lists of these, as the library does.

        Raises:
            InputError: A prompt is not what it should be.
            CapabilityError: The server's model does not know this kind of prompt.
            ServerError: The server cannot be reached, or cannot answer.
        """
        several = isinstance(embedding, list | tuple)
        images = self._all(embedding)
        said = {
            "points": points,
            "labels": labels,
            "box": box,
            "mask": mask,
            "mask_logits": mask_logits,
        }
        direct = {name: value for name, value in said.items() if value is not None}
        asked: dict[str, Any] = {"multimask": multimask, "logits": logits}
        kept: Any = prompts
        if text is not None:
            asked |= _about_words(text, negative, threshold)
            asked |= {} if prompts is None else {"prompts": _nested(prompts)}
            asked |= _words(direct) if direct else {}
        elif prompts is None:
            kept = Prompt(points, labels, box, mask, mask_logits) if direct else None
            asked |= {} if kept is None else _prompt(kept)
        elif direct:
            raise InputError(
                f"expected {' and '.join(direct)} or prompts, got both; put it all into the prompts"
            )
        elif isinstance(prompts, Prompt):
            asked |= _prompt(prompts)
        else:
            asked["prompts"] = _nested(prompts)
        document = self._about(images, several, "/v1/predict", asked)
        answers = document.get("answers", document)
        return _decoded(answers, None if text is not None else kept)

    def generate(
        self,
        image: Subject,
        config: Any = None,
        *,
        tile: int | None = None,
        halo: int | None = None,
        labels: Sequence[str] | None = None,
        **options: Any,
    ) -> Masks:
        """Find everything, as `Segmenter.generate` does.

        Args:
            image: What `embed` returned, or an image.
            config: A `GenerateConfig`, all of whose settings count; None: what suits the model.
            tile: Search squares of so many pixels.
            halo: How far they reach into each other.
            labels: Words to name the masks by.
            **options: Single settings that differ.
        """
        known = {} if config is None else to_plain(config)
        asked: dict[str, Any] = {"options": {**known, **options}, "tile": tile, "halo": halo}
        asked |= {} if labels is None else {"labels": list(labels)}
        return masks_of(self._about(self._all(image), False, "/v1/everything", asked))

    def detect(
        self,
        image: Subject,
        text: str | Sequence[str] | None = None,
        *,
        negative: str | Sequence[str] | None = None,
        threshold: float | Mapping[str, float] | None = None,
    ) -> Detections:
        """Find boxes of what words name, as `Segmenter.detect` does."""
        asked = _about_words(text, negative, threshold)
        return boxes_of(self._about(self._all(image), False, "/v1/detect", asked))

    def subject(self, image: Subject) -> Masks:
        """Cut out what an image is of, as `Segmenter.subject` does."""
        return masks_of(self._about(self._all(image), False, "/v1/subject", {}))

    def personalize(
        self,
        reference: Subject | Sequence[Subject],
        mask: Masks | npt.NDArray[np.bool_] | Sequence[Any],
        names: str | Sequence[str] | None = None,
        **options: Any,
    ) -> RemotePersonal:
        """Show things, to find them in other images, as `Segmenter.personalize` does.

        Args:
            reference: An image, or a list of them.
            mask: Where the thing is in each: bool (h, w), or `Masks` that count together.
            names: What the things are called; None: "thing".
            **options: Settings of `PersonalConfig`.
        """
        images = self._all(reference)
        masks = list(mask) if isinstance(mask, list | tuple) else [mask]
        called = [names] * len(images) if isinstance(names, str) else list(names or ())
        called = called or ["thing"] * len(images)
        if not len(images) == len(masks) == len(called):
            raise InputError(
                f"expected a mask and a name for each of {len(images)} references, got "
                f"{len(masks)} and {len(called)}; give as many"
            )
        return RemotePersonal(self, images, [_dense(one) for one in masks], called, options)

    def inpaint(
        self,
        image: Subject,
        masks: Masks | npt.NDArray[np.bool_],
        *,
        remove: bool = False,
        fill: str | None = None,
        replace: str | None = None,
        engine: str | None = None,
        **options: Any,
    ) -> Image:
        """Remove what masks cover, put something else there, or replace the background.

        Args:
            image: What `embed` returned, or an image.
            masks: What to change.
            remove: Paint as if it had never been there; so does saying nothing.
            fill: Paint this instead of it.
            replace: Paint this instead of everything else.
            engine: classical, patchmatch or telea; None: the server's own.
            **options: Settings of `InpaintConfig`.
        """
        asked: dict[str, Any] = {"remove": remove, "fill": fill, "replace": replace}
        asked |= {"masks": _lengths(masks), "engine": engine, "options": options}
        answer = self._about(self._all(image), False, "/v1/inpaint", asked, raw=True)
        return Image.open(answer)

    def depth(self, image: Subject) -> npt.NDArray[np.float32]:
        """Estimate depth: float32 (h, w), NaN where it is unknown; see `measure` for masks."""
        asked = {"format": "npy"}
        answer = self._about(self._all(image), False, "/v1/depth", asked, raw=True)
        values: npt.NDArray[np.float32] = np.load(io.BytesIO(answer), allow_pickle=False)
        return values

    def measure(self, image: Subject, masks: Masks) -> dict[str, Any]:
        """Say how far away masks are, in which order, and which lies in front of which."""
        asked = {"masks": _lengths(masks)}
        found: dict[str, Any] = self._about(self._all(image), False, "/v1/depth", asked)
        return found

    def export(
        self, image: Subject, masks: Masks, format: str = "zip", *, soft: bool = False
    ) -> bytes:
        """Write masks as the file of a format, a cut-out, or all of them in a zip."""
        asked = {"masks": masks_document(masks)["masks"], "format": format, "soft": soft}
        data: bytes = self._about(self._all(image), False, "/v1/export", asked, raw=True)
        return data

    def embedding(self, image: Subject, dtype: StoredDtype = "float16") -> Embedding:
        """Fetch an embedding, for a model of the same weights here; this needs torch."""
        from anymask.embedding import Embedding

        (one,) = self._all(image)
        address = f"/v1/sessions/{one.session}/embedding?{urlencode({'dtype': dtype})}"
        try:
            content = self._connection.call("GET", address)
        except ServerError as error:
            if error.code != "no_session":
                raise
            self._embed(one.content)
            content = self._connection.call("GET", address)
        return Embedding.load(content)

    def process(self, images: str, output: str | None = None, **asked: Any) -> RemoteJob:
        """Begin a job over a folder of the server, as ``anymask.process`` does here.

        Args:
            images: An allowed folder by its name, or a path below it.
            output: Folder for the results, below that of the server; None: the id of the job.
            **asked: The rest of the request: ``kind`` ("everything" unless said), ``prompts``,
                ``text``, ``options``, ``format``, ...; see ``POST /v1/jobs``.
        """
        prompts = asked.pop("prompts", None)
        if prompts is not None:
            some = [prompts] if isinstance(prompts, Prompt) else list(prompts)
            asked = {"kind": "segment", **asked, "prompts": _nested(some)}
        body = {"kind": "everything", "images": images, "output": output, **asked}
        return RemoteJob(self, self._connection.json("POST", "/v1/jobs", body)["id"])

    # ------------------------------------------------------------------- over the wire

    def _embed(self, content: bytes) -> RemoteImage:
        about = self._connection.json("POST", "/v1/embed", content)
        h, w = about["size_hw"]
        return RemoteImage(about["session"], (h, w), about["model"], content)

    def _all(self, subjects: Subject | Sequence[Subject]) -> list[RemoteImage]:
        listed: Any = subjects if isinstance(subjects, list | tuple) else [subjects]
        return [one if isinstance(one, RemoteImage) else self.embed(one) for one in listed]

    def _about(
        self,
        images: Sequence[RemoteImage],
        several: bool,
        path: str,
        asked: Mapping[str, Any],
        *,
        others: Sequence[RemoteImage] = (),
        raw: bool = False,
    ) -> Any:
        """Ask about sessions; those that the server had to let go are embedded again, once."""
        names = [one.session for one in images]
        body = {**asked, "session": names if several else names[0]}
        try:
            answer = self._connection.call("POST", path, body)
        except ServerError as error:
            if error.code != "no_session":
                raise
            for one in (*images, *others):
                self._embed(one.content)
            answer = self._connection.call("POST", path, body)
        return answer if raw else json.loads(answer)


@dataclass(frozen=True, eq=False)
class RemotePersonal:
    """Things that a server can be shown; what `Client.personalize` returns."""

    client: Client
    references: Sequence[RemoteImage]
    masks: Sequence[npt.NDArray[np.bool_]]
    names: Sequence[str]
    options: Mapping[str, Any]

    def find(self, image: Subject | Sequence[Subject]) -> Any:
        """Find the things in an image, or in each of a list, as `Personal.find` does."""
        several = isinstance(image, list | tuple)
        images = self.client._all(image)
        shown = [
            {"session": one.session, "mask": document_of_mask(mask), "name": name}
            for one, mask, name in zip(self.references, self.masks, self.names, strict=True)
        ]
        asked = {"references": shown, "options": dict(self.options)}
        document = self.client._about(
            images, several, "/v1/personalize", asked, others=self.references
        )
        return _decoded(document.get("answers", document), None)


@dataclass(frozen=True, eq=False)
class RemoteJob:
    """A job of a server; what `Client.process` returns.

    Attributes:
        client: Who asks.
        id: Its id.
    """

    client: Client
    id: str

    @property
    def state(self) -> dict[str, Any]:
        """How far it is, as ``GET /v1/jobs/{id}`` says it."""
        return self.client._connection.json("GET", f"/v1/jobs/{self.id}")

    def wait(self, progress: Callable[[dict[str, Any]], None] | None = None) -> dict[str, Any]:
        """Wait until it ends, and give its last state; ``progress`` hears of every change."""
        for name, state in self.client._connection.events(f"/v1/jobs/{self.id}/events"):
            if progress is not None:
                progress(state)
            if name == "end":
                return state
        return self.state

    def cancel(self) -> dict[str, Any]:
        """Give it up; finished images stay."""
        return self.client._connection.json("DELETE", f"/v1/jobs/{self.id}")

    @property
    def results(self) -> list[dict[str, Any]]:
        """What became of each image so far."""
        found: list[dict[str, Any]] = []
        while True:
            address = f"/v1/jobs/{self.id}/results?offset={len(found)}&limit=1000"
            page = self.client._connection.json("GET", address)
            found += page["results"]
            if len(found) >= page["total"] or not page["results"]:
                return found

    def fetch(self, file: str) -> bytes:
        """Fetch a file that it wrote, by its name in `results`."""
        return self.client._connection.call("GET", f"/v1/jobs/{self.id}/files/{quote(file)}")


# ------------------------------------------------------------------------- what is sent


def _content_of(image: ImageLike) -> bytes:
    """Give an image as the content of a file: as it is, if it is one."""
    if isinstance(image, str | os.PathLike):
        from anymask.image.files import open_file

        with open_file(image) as file:
            return file.read()
    if isinstance(image, bytes | bytearray | memoryview):
        return bytes(image)
    opened = Image.open(image)
    file = io.BytesIO()
    opened.save(file, "png")
    return file.getvalue()


def _prompt(prompt: Prompt) -> dict[str, Any]:
    """Write a prompt in the words of the server."""
    said: dict[str, Any] = {}
    if len(prompt.points_xy):
        said |= {"points": prompt.points_xy.tolist(), "labels": prompt.labels.tolist()}
    if prompt.box is not None:
        said["box"] = prompt.box.tolist()
    if prompt.mask is not None:
        said["mask"] = document_of_mask(prompt.mask)
    if prompt.mask_logits is not None:
        said["mask_logits"] = document_of_array(prompt.mask_logits)
    return said


def _words(direct: Mapping[str, Any]) -> dict[str, Any]:
    known = dict(direct)
    return _prompt(Prompt(known.pop("points", None), **known))


def _nested(prompts: Any) -> Any:
    """Write lists of prompts, however deep."""
    if isinstance(prompts, Prompt):
        return _prompt(prompts)
    return [_nested(one) for one in prompts]


def _about_words(text: Any, negative: Any, threshold: Any) -> dict[str, Any]:
    """Write what is said by words."""
    least = dict(threshold) if isinstance(threshold, Mapping) else threshold
    return {"text": _listed(text), "negative": _listed(negative), "threshold": least}


def _listed(text: str | Sequence[str] | None) -> str | list[str] | None:
    return text if text is None or isinstance(text, str) else list(text)


def _dense(mask: Any) -> npt.NDArray[np.bool_]:
    dense: Any = mask.dense().any(axis=0) if isinstance(mask, Masks) else mask
    return np.asarray(dense, np.bool_)


def _lengths(masks: Masks | npt.NDArray[np.bool_]) -> list[dict[str, Any]]:
    return (masks if isinstance(masks, Masks) else Masks.from_dense(masks)).rle()


# --------------------------------------------------------------------- what comes back


def _decoded(answers: Any, prompts: Any) -> Any:
    """Read answers, however deep they lie, each with the prompt that asked for it."""
    if isinstance(answers, list):
        asked = prompts if isinstance(prompts, list | tuple) else [prompts] * len(answers)
        return [_decoded(one, prompt) for one, prompt in zip(answers, asked, strict=True)]
    masks = masks_of(answers)
    if not isinstance(prompts, Prompt):
        return masks
    return dataclasses.replace(masks, prompts=(prompts,) * len(masks))
