"""The widget of notebooks, without a browser: messages in, masks out."""

from __future__ import annotations

import io
import sys
import types
from typing import Any

import numpy as np
import PIL.Image
import pytest
from tests.serve.conftest import flat_model

import anymask
from anymask import CapabilityError, InputError, Masks, MissingExtraError, Prompt, notebook
from anymask.masks import rle
from anymask.notebook import Desk

SQUARE = np.zeros((48, 64), bool)
SQUARE[10:30, 20:44] = True


def photo() -> np.ndarray:
    pixels = np.full((48, 64, 3), 10, np.uint8)
    pixels[SQUARE] = (200, 220, 40)
    return pixels


class Page:
    """Asks as the page does."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.asked, self.buffers = desk, 0, []

    def ask(self, what: str, **words: Any) -> Any:
        reply = self.reply(what, **words)
        assert "error" not in reply, reply
        return reply["result"]

    def reply(self, what: str, **words: Any) -> dict[str, Any]:
        self.asked += 1
        reply, self.buffers = self.desk.answer({"id": str(self.asked), "ask": what, "words": words})
        assert reply is not None and reply["to"] == str(self.asked)
        return reply


@pytest.fixture
def page() -> Page:
    return Page(Desk(photo(), flat_model()))


def thing(mask: np.ndarray = SQUARE, **known: Any) -> dict[str, Any]:
    lengths = {"size": list(mask.shape), "counts": rle.to_string(rle.encode(mask))}
    return {
        "thing": "t1",
        "rle": lengths,
        "score": 0.9,
        "stability": None,
        "label": "cup",
        "points": [[30, 15]],
        "labels": [1],
        "prompt_box": None,
        "meta": {},
        **known,
    }


def test_a_click_is_answered_and_its_mask_is_there(page: Page) -> None:
    (picture,) = page.ask("folder")["pictures"]
    assert (picture["w"], picture["h"], picture["masks"]) == (64, 48, 0)
    assert page.ask("image") == {"media": "image/png"}
    assert np.array_equal(PIL.Image.open(io.BytesIO(page.buffers[0])), photo())
    page.ask("prepare")
    asked = {"points": [[30, 20]], "labels": [1]}
    found = page.ask("predict", prompt=asked, multimask=True, logits=True)["masks"]
    assert len(found) == 3 and found[0]["logits"]["shape"]
    again = {**asked, "mask_logits": found[0]["logits"]}
    assert len(page.ask("predict", prompt=again, multimask=False)["masks"]) == 1
    seen: list[Masks] = []
    page.desk.changed = seen.append
    assert page.ask("put_things", revision=0, things=[thing()]) == {"revision": 1}
    masks = page.desk.masks
    assert seen == [masks] and masks.labels == ("cup",) and masks.scores[0] == np.float32(0.9)
    assert np.array_equal(masks.dense()[0], SQUARE)
    assert masks.prompts[0].points_xy.tolist() == [[30, 15]]
    assert masks.meta == ({},)  # what the page calls it is nobody else's business


def test_other_verbs(page: Page) -> None:
    assert page.ask("everything")["masks"]
    assert page.ask("subject")["masks"] is not None
    encoded = page.desk.model.network.prepared
    assert encoded >= 1 and page.desk.embedding is page.desk.embedding


def test_masks_to_begin_with_keep_what_is_known_of_them() -> None:
    masks = Masks.from_dense(
        SQUARE[None],
        labels=["cup"],
        ids=[7],
        prompts=[Prompt([(30, 20)])],
        meta=[{"colour": "red"}],
    )
    page = Page(Desk(photo(), flat_model(), masks))
    assert page.desk.masks == masks
    (known,) = page.ask("things")["things"]
    assert known["label"] == "cup" and known["points"] == [[30, 20]]
    page.ask("put_things", revision=0, things=[known, thing(thing="t2")])
    assert page.desk.masks.ids == (7, None)
    assert page.desk.masks.meta[0] == {"colour": "red"}


def test_two_views_do_not_overwrite_each_other(page: Page) -> None:
    page.ask("put_things", revision=0, things=[thing()])
    error = page.reply("put_things", revision=0, things=[])["error"]
    assert error["status"] == 409 and error["current"]["revision"] == 1
    assert len(error["current"]["things"]) == 1 and len(page.desk.masks) == 1
    classes = [{"name": "cup", "color": "#4da3ff"}]
    assert page.ask("put_classes", revision=0, classes=classes) == {"revision": 1}
    assert page.reply("put_classes", revision=0, classes=[])["error"]["status"] == 409
    assert page.ask("folder")["classes"] == classes


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("format_disk", {}),
        ("predict", {}),
        ("predict", {"prompt": {"points": [["a", 1]]}}),
        ("predict", {"prompt": {"points": [[1000, 1]]}}),
        ("put_things", {"revision": 0, "things": [{"thing": "t"}]}),
        ("put_things", {"revision": 0, "things": [3]}),
        ("put_things", {"revision": 0, "things": [thing(np.ones((4, 4), bool))]}),
        ("put_classes", {"revision": 0, "classes": [{"name": "", "color": "#000000"}]}),
    ],
)
def test_what_cannot_be_understood_is_told(page: Page, what: str, words: dict[str, Any]) -> None:
    error = page.reply(what, **words)["error"]
    assert error["status"] == 422 and error["message"]
    assert len(page.desk.masks) == 0


def test_messages_of_others_are_left_alone(page: Page) -> None:
    for message in (None, 3, {}, {"id": 3}):
        assert page.desk.answer(message) == (None, [])


def test_masks_of_another_size_are_refused() -> None:
    with pytest.raises(InputError, match="expected masks of 64 x 48"):
        Desk(photo(), masks=Masks.empty((3, 3)))


# -------------------------------------------------------------------------- the widget


def test_outside_of_a_notebook_it_says_where_to_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    with pytest.raises(CapabilityError, match="plain Python process; run `anymask studio"):
        anymask.pick(photo())
    shell = types.SimpleNamespace()
    terminal = types.SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython", terminal)
    with pytest.raises(CapabilityError, match="IPython in a terminal"):
        anymask.pick(photo())
    shell.kernel = object()
    notebook._check_notebook()


def test_without_anywidget_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebook, "_check_notebook", lambda: None)
    monkeypatch.setitem(sys.modules, "anywidget", None)
    notebook._widget_class.cache_clear()
    with pytest.raises(MissingExtraError, match=r"pip install 'anymask\[notebook\]'"):
        anymask.pick(photo())


def test_the_widget_carries_messages_and_shows_its_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("anywidget")
    notebook._widget_class.cache_clear()
    monkeypatch.setattr(notebook, "_check_notebook", lambda: None)
    widget = anymask.pick(photo(), flat_model(), height=400)
    assert widget.height == 400 and "export{" in widget._esm.replace(" ", "")
    assert len(widget.masks) == 0 and widget.image.size_hw == (48, 64)
    sent: list[Any] = []
    monkeypatch.setattr(widget, "send", lambda content, buffers: sent.append((content, buffers)))
    changes: list[Any] = []
    widget.observe(lambda change: changes.append(change["new"]), "masks")
    things = {"revision": 0, "things": [thing()]}
    widget._handle_custom_msg({"id": "1", "ask": "put_things", "words": things}, [])
    widget._handle_custom_msg({"id": "2", "ask": "image", "words": {}}, [])
    assert sent[0] == ({"to": "1", "result": {"revision": 1}}, [])
    assert sent[1][1][0].startswith(b"\x89PNG")
    assert len(widget.masks) == 1 and changes == [widget.masks]
    with pytest.raises(Exception, match="read-only"):
        widget.masks = Masks.empty((48, 64))
    assert repr(widget) == f"Pick({widget.masks!r})"
