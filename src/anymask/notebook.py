"""Masks by clicks in a notebook: the studio's page as a widget, the kernel as its server.

A kernel does one thing after the other: while a cell runs, no click reaches it. So `pick` does not
wait; it gives a widget, whose masks are there when a later cell asks for them.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anymask.errors import AnymaskError, CapabilityError, InputError
from anymask.image.image import Image, ImageLike
from anymask.masks.masks import Masks
from anymask.optional import optional
from anymask.plain import from_plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from anymask.embedding import Embedding
    from anymask.predict.segmenter import Segmenter

__all__ = ["Desk", "pick"]

_PAGE = Path(__file__).parent / "serve" / "page" / "widget.js"
_ID = "image"
_LARGE = 8_000_000  # pixels from which on the page is sent JPEG


def pick(
    image: ImageLike,
    model: Segmenter | str | None = None,
    masks: Masks | None = None,
    *,
    height: int = 560,
) -> Any:
    """Make masks by clicks in a notebook: Jupyter, JupyterLab, VS Code, Colab, marimo.

    What it returns shows itself as the last line of a cell, or by ``display(...)``. It is there at
    once, and the cell ends: a kernel that waits in a cell hears no clicks. The next cell reads
    ``widget.masks``; ``widget.observe(f, "masks")`` calls a function at every change.

    Args:
        image: What `Image.open` takes.
        model: Who answers the clicks: a model, or what `load` takes; None: the bundled one. It is
            loaded when the first view of the widget asks for it.
        masks: Masks of the image to begin with, to correct them or to add others.
        height: Of the widget, in pixels of the screen.

    Returns:
        An `anywidget.AnyWidget`. Its ``masks`` are `Masks` with prompts, labels and scores, empty
        before the first click; ``image`` is the `Image`.

    Raises:
        CapabilityError: This is no notebook.
        InputError: The image cannot be read, or the masks are of another size.
        MissingExtraError: anywidget is not installed.

    Examples:
        >>> widget = anymask.pick("photo.jpg")  # doctest: +SKIP
        >>> widget  # shows the page: click; then, in the next cell  # doctest: +SKIP
        >>> widget.masks.save("photo.json")  # doctest: +SKIP
    """
    _check_notebook()
    made: Any = _widget_class()(Desk(image, model, masks), height)
    return made


def _check_notebook() -> None:
    """Check that somebody can see a widget, and that its messages arrive.

    Raises:
        CapabilityError: Nobody can.
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if getattr(shell, "kernel", None) is not None:
        return
    marimo = sys.modules.get("marimo")
    if marimo is not None and marimo.running_in_notebook():
        return
    where = "IPython in a terminal" if shell is not None else "a plain Python process"
    raise CapabilityError(
        f"expected a notebook to show a widget in, got {where}; run `anymask studio FOLDER` for a "
        "page in the browser"
    )


@cache
def _widget_class() -> type:
    """Make the class of the widget, whose base comes with an optional package."""
    anywidget: Any = optional("anywidget", extra="notebook")
    import traitlets

    class Pick(anywidget.AnyWidget):  # type: ignore[misc]
        """A page for one image; what `pick` returns."""

        _esm = _PAGE.read_text(encoding="utf-8")
        height = traitlets.Int(560).tag(sync=True)
        masks = traitlets.Any(read_only=True)

        def __init__(self, desk: Desk, height: int) -> None:
            super().__init__(height=height)
            self.image, self._desk = desk.image, desk
            self.set_trait("masks", desk.masks)
            desk.changed = lambda masks: self.set_trait("masks", masks)
            self.on_msg(self._hear)

        def _hear(self, widget: Any, message: Any, buffers: Any) -> None:
            reply, data = self._desk.answer(message)
            if reply is not None:
                self.send(reply, buffers=data)

        def __repr__(self) -> str:
            return f"Pick({self.masks!r})"

    return Pick


class Desk:
    """What the page asks for, and its answers: one image with its masks, and who finds them.

    Args:
        image: What `Image.open` takes.
        model: A model, or what `load` takes; None: the bundled one.
        masks: Those to begin with.

    Raises:
        InputError: The image cannot be read, or the masks are of another size.
    """

    def __init__(
        self, image: ImageLike, model: Segmenter | str | None = None, masks: Masks | None = None
    ) -> None:
        from anymask.serve.studio.project import named

        self.image = Image.open(image)
        if masks is not None and masks.size_hw != self.image.size_hw:
            (h, w), (found_h, found_w) = self.image.size_hw, masks.size_hw
            raise InputError(
                f"expected masks of {w} x {h} like the image, got {found_w} x {found_h}; give "
                "those of this image"
            )
        self.changed: Callable[[Masks], None] = lambda masks: None
        self._named = named(masks or Masks.empty(self.image.size_hw, source=self.image.source))
        self._revision, self._classes_revision = 0, 0
        self._classes: list[dict[str, Any]] = []
        self._model = model
        self._embedding: Embedding | None = None

    @property
    def masks(self) -> Masks:
        """The masks as they are on the page."""
        from anymask.serve.studio.api import plain

        return plain(self._named)

    def answer(self, message: Any) -> tuple[dict[str, Any] | None, list[bytes]]:
        """Answer a message of the page: JSON, and bytes beside it; None for no message of ours."""
        from anymask.serve.errors import ApiError, as_api_error

        if not isinstance(message, dict) or not isinstance(message.get("id"), str):
            return None, []
        ask = _ASKED.get(str(message.get("ask")))
        words = message.get("words")
        try:
            if ask is None or not isinstance(words, dict):
                raise InputError("expected a question of the page, got something else; reload it")
            result, data = ask(self, words)
            return {"to": message["id"], "result": result}, data
        except _Outdated as outdated:
            error: dict[str, Any] = {"code": "conflict", "status": 409, "message": str(outdated)}
            error["current"] = outdated.current
        except AnymaskError as problem:
            found: ApiError = as_api_error(problem)
            error = {"code": found.code, "status": found.status, "message": found.message}
        except (
            AttributeError,
            KeyError,
            TypeError,
            ValueError,
        ) as problem:  # of a page that is not ours
            error = {"code": "input", "status": 422, "message": f"cannot understand it: {problem}"}
        return {"to": message["id"], "error": error}, []

    # ------------------------------------------------------------------ what is asked

    def _folder(self, words: Mapping[str, Any]) -> Any:
        from anymask.models.vocabulary import LABELS

        h, w = self.image.size_hw
        picture = {
            "id": _ID,
            "name": Path(self.image.source or "image").name,
            "w": w,
            "h": h,
            "masks": len(self._named),
            "revision": self._revision,
            "error": None,
        }
        return {
            "name": "",
            "pictures": [picture],
            "classes": self._classes,
            "classes_revision": self._classes_revision,
            "model": "",
            "words": [word.lower() for word in LABELS],
            "example": False,
        }, []

    def _image(self, words: Mapping[str, Any]) -> Any:
        import io

        file = io.BytesIO()
        shown = self.image.to_pil()
        if shown.width * shown.height > _LARGE:
            shown.save(file, "JPEG", quality=95, subsampling=0)
            return {"media": "image/jpeg"}, [file.getvalue()]
        shown.save(file, "PNG", compress_level=1)
        return {"media": "image/png"}, [file.getvalue()]

    def _things(self, words: Mapping[str, Any]) -> Any:
        return self._document(), []

    def _put_things(self, words: Mapping[str, Any]) -> Any:
        from anymask.serve.studio import wire
        from anymask.serve.studio.gallery import Picture

        if words["revision"] != self._revision:
            raise _Outdated(self._document())
        things = [from_plain(wire.ThingRecord, one) for one in words["things"]]
        picture = Picture(_ID, self.image.source or "", Path(), self.image.size_hw)
        found = wire.masks_of_things(things, picture, self.model.variant.name)
        self._named = replace(
            found, source=self.image.source, geo=self._named.geo, image_meta=self._named.image_meta
        )
        self._revision += 1
        self.changed(self.masks)
        return {"revision": self._revision}, []

    def _put_classes(self, words: Mapping[str, Any]) -> Any:
        from anymask.serve.studio.project import Class

        if words["revision"] != self._classes_revision:
            current = {"revision": self._classes_revision, "classes": self._classes}
            raise _Outdated(current)
        self._classes = [vars(from_plain(Class, one)) for one in words["classes"]]
        self._classes_revision += 1
        return {"revision": self._classes_revision}, []

    def _prepare(self, words: Mapping[str, Any]) -> Any:
        return {"size_hw": list(self.embedding.size_hw)}, []

    def _predict(self, words: Mapping[str, Any]) -> Any:
        from anymask.serve.routes.prompts import prompt_of
        from anymask.serve.routes.schemas import PromptWords

        prompt = prompt_of(from_plain(PromptWords, words["prompt"]), self.image.size_hw)
        found = self.model.predict(
            self.embedding, prompts=prompt, multimask=bool(words.get("multimask"))
        )
        return _written(found, logits=bool(words.get("logits")))

    def _everything(self, words: Mapping[str, Any]) -> Any:
        return _written(self._knowing.generate(self.image))

    def _words(self, words: Mapping[str, Any]) -> Any:
        return _written(self._knowing.predict(self.image, text=str(words["text"])))

    def _subject(self, words: Mapping[str, Any]) -> Any:
        return _written(self._knowing.subject(self.image))

    # ------------------------------------------------------------------------ who answers

    @property
    def model(self) -> Segmenter:
        """Who answers; it is loaded when it is first asked."""
        if self._model is None or isinstance(self._model, str):
            from anymask.predict.loading import load

            self._model = load() if self._model is None else load(self._model)
        return self._model

    @property
    def embedding(self) -> Embedding:
        """What the model made of the image."""
        if self._embedding is None:
            self._embedding = self.model.embed(self.image)
        return self._embedding

    @property
    def _knowing(self) -> Segmenter:
        return self.model.knowing(self.image, self.embedding)

    def _document(self) -> dict[str, Any]:
        from anymask.serve.studio.project import Stored
        from anymask.serve.studio.wire import things_document

        return things_document(Stored(self._named, self._revision))


class _Outdated(Exception):
    """Another view of the widget has changed it meanwhile."""

    def __init__(self, current: Any) -> None:
        super().__init__("expected what is here, got an earlier state; look at what has changed")
        self.current = current


def _written(masks: Masks, *, logits: bool = False) -> Any:
    from anymask.serve.wire import masks_document

    return masks_document(masks, logits=logits), []


_ASKED: dict[str, Callable[[Desk, Mapping[str, Any]], Any]] = {
    "folder": Desk._folder,
    "image": Desk._image,
    "things": Desk._things,
    "put_things": Desk._put_things,
    "put_classes": Desk._put_classes,
    "prepare": Desk._prepare,
    "predict": Desk._predict,
    "everything": Desk._everything,
    "words": Desk._words,
    "subject": Desk._subject,
}
