from __future__ import annotations

import numpy as np
import pytest

import anymask
from anymask.errors import InputError
from anymask.extras.depth import DepthMap, Session


@pytest.fixture(scope="module")
def model() -> anymask.Segmenter:
    return anymask.load()


@pytest.fixture
def photo() -> np.ndarray:
    photo = np.full((60, 80, 3), 30, np.uint8)
    photo[15:45, 10:35] = (220, 60, 40)
    photo[15:45, 45:70] = (40, 90, 230)
    return photo


def depth_of(photo: np.ndarray) -> DepthMap:
    return DepthMap(
        np.where(photo[..., 0] > 100, 2.0, np.where(photo[..., 2] > 100, 3, 6)), "metric"
    )


def test_each_click_reads_depth_from_one_embedding_and_one_map(model, photo, monkeypatch) -> None:
    embedded = []
    embed = type(model).embed

    def counted(self, *args, **kwargs):
        embedded.append(args)
        return embed(self, *args, **kwargs)

    monkeypatch.setattr(type(model), "embed", counted)
    session = Session(photo, model=model, depth=depth_of(photo))
    assert session.reading is None
    first = session.click(22, 30)
    assert (first.at_click, first.unit) == (2, "m")
    assert first.depth.median == 2
    assert first.depth.rank is None
    second = session.click(57, 30)
    assert second.at_click == 3
    both = session.click(40, 50, background=True)
    assert len(both.mask) == 1
    assert session.clicks == ((22, 30, True), (57, 30, True), (40, 50, False))
    assert both.mask.prompts[0].mask_logits is not None  # it refines the one before
    assert session.undo() is second
    assert session.undo() is first
    assert session.undo() is None
    again = session.click(22, 30)
    assert again.mask.areas.tolist() == first.mask.areas.tolist()
    assert "depth 2 (2 to" in str(again)
    assert len(embedded) == 1


def test_a_box_begins_and_reset_begins_anew(model, photo) -> None:
    session = Session(photo, model=model, depth=depth_of(photo))
    boxed = session.box((10, 15, 35, 45))
    assert (boxed.depth.median, boxed.at_click) == (2, None)
    refined = session.click(30, 30)
    assert refined.mask.prompts[0].box is not None
    with pytest.raises(InputError, match="reset first"):
        session.box((0, 0, 5, 5))
    session.reset()
    assert session.reading is None
    assert session.click(57, 30).depth.median == 3


def test_wrong_clicks_change_nothing(model, photo) -> None:
    session = Session(photo, model=model, depth=depth_of(photo))
    with pytest.raises(InputError, match="on the object first"):
        session.click(3, 3, background=True)
    for x, y in ((80, 5), (5, -1), (float("nan"), 5)):
        with pytest.raises(InputError, match="expected a point"):
            session.click(x, y)
    assert session.clicks == ()
    assert session.reading is None
    with pytest.raises(InputError, match="proportions"):
        Session(photo, model=model, depth=np.arange(1.0, 401).reshape(10, 40))
