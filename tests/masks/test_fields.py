"""What masks are: labels, ids and meta, checked, locked, and kept with their mask."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from anymask.errors import InputError
from anymask.masks.masks import Masks


def squares() -> Masks:
    """Three squares, the second inside the first."""
    dense = np.zeros((3, 6, 8), dtype=bool)
    dense[0, :5, :5] = dense[1, 1:3, 1:3] = dense[2, 3:6, 4:7] = True
    return Masks.from_dense(dense, scores=np.array([0.5, 0.9, 0.7]))


EMPTY = Masks.empty((6, 8))


def known() -> Masks:
    return replace(
        squares(),
        labels=("dog", None, "cat"),
        ids=(7, None, 9),
        meta=({"iscrowd": 1, "tags": ["wet", {"deep": None}]}, {}, {"note": 0.5}),
        image_meta={"licence": 3},
    )


@pytest.mark.parametrize("name", ["scores", "stability"])
@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e39])
def test_numbers_of_masks_are_finite_or_unknown(name: str, value: float) -> None:
    with pytest.raises(InputError, match=f"expected {name} that float32 can hold, or NaN"):
        replace(squares(), **{name: [0.5, np.nan, value]})


def test_nothing_is_known_of_masks_unless_it_is_said() -> None:
    masks = squares()
    assert masks.labels == masks.ids == (None, None, None)
    assert masks.meta == ({}, {}, {})
    assert masks.image_meta == {}
    assert (EMPTY.labels, EMPTY.ids, EMPTY.meta) == ((), (), ())


@pytest.mark.parametrize(
    ("pick", "places"),
    [
        (lambda m: m[1:], [1, 2]),
        (lambda m: m[2], [2]),
        (lambda m: m[[2, 0]], [2, 0]),
        (lambda m: m[[label == "cat" for label in m.labels]], [2]),
        (lambda m: m.filter(min_score=0.6), [1, 2]),
        (lambda m: m.filter(label="dog"), [0]),
        (lambda m: m.filter(label=["dog", "cat"]), [0, 2]),
        (lambda m: m.filter(label="bird"), []),
        (lambda m: m.sort(), [1, 2, 0]),
        (lambda m: m.best(), [1]),
        (lambda m: m.nms(1), [1, 2, 0]),
        (lambda m: m.nms(1, "mask"), [1, 2, 0]),
        (lambda m: m.nms(0.5, "containment"), [1, 2]),
        (lambda m: Masks.concat(list(m)), [0, 1, 2]),
        (lambda m: Masks.concat([m[1:], EMPTY, m[:1]]), [1, 2, 0]),
    ],
)
def test_what_is_known_stays_with_its_mask(pick: Any, places: list[int]) -> None:
    masks = known()
    picked = pick(masks)
    assert picked.labels == tuple(masks.labels[i] for i in places)
    assert picked.ids == tuple(masks.ids[i] for i in places)
    assert picked.meta == tuple(masks.meta[i] for i in places)


def test_what_is_known_of_the_image_stays_where_all_agree() -> None:
    masks = known()
    other = replace(masks, image_meta={"licence": 3, "taken": "at night"})
    assert masks[:0].image_meta == {"licence": 3}
    assert Masks.concat([masks, other]).image_meta == {"licence": 3}
    assert Masks.concat([masks, EMPTY]).image_meta == {}


def test_what_is_known_counts_when_comparing() -> None:
    assert known() == known()
    for change in ({"labels": ()}, {"ids": ()}, {"meta": ()}, {"image_meta": {}}):
        assert replace(known(), **change) != known()


def test_what_is_known_is_read_only() -> None:
    tags = ["wet"]
    masks = replace(squares(), meta=[{"tags": tags}, {}, {}])
    tags.append("dry")
    assert masks.meta[0] == {"tags": ["wet"]}
    for change in (
        lambda: masks.meta[0].update(tags=1),  # type: ignore[attr-defined]
        lambda: masks.meta[0]["tags"].append(1),
        lambda: masks.meta[0].__setitem__("a", 1),  # type: ignore[attr-defined]
        lambda: masks.meta[0]["tags"].__iadd__([1]),
        lambda: masks.image_meta.clear(),  # type: ignore[attr-defined]
    ):
        with pytest.raises(TypeError, match="read-only"):
            change()


def test_masks_can_be_pickled_and_copied() -> None:
    masks = known()[[0, 2]]  # equal prompts of a mask are no equal objects
    masks = replace(masks, prompts=())
    assert pickle.loads(pickle.dumps(masks)) == masks
    assert copy.deepcopy(masks) == masks
    assert json.loads(json.dumps(masks.meta)) == list(masks.meta)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"labels": "dog"}, "labels as a list"),
        ({"labels": ["dog"]}, "for each of the 3 masks, got 1"),
        ({"labels": ["dog", 3, "cat"]}, "got 3 for mask 1; numbers that identify masks are ids"),
        ({"ids": 5}, "ids as a list"),
        ({"ids": [1, 2.5, 3]}, "got 2.5 for mask 1"),
        ({"ids": [1, True, 3]}, "got True for mask 1"),
        ({"ids": [1, "b", 3]}, "names are labels"),
        ({"meta": {"a": 1}}, "meta as a list"),
        ({"meta": [{}, {}]}, "for each of the 3 masks, got 2"),
        ({"meta": [{}, {}, 3]}, "meta of mask 2 as a mapping"),
        ({"meta": [{}, {"a": np.nan}, {}]}, "meta of mask 1 of plain JSON values"),
        ({"meta": [{}, {"a": {1: 2}}, {}]}, "got {1: 2}"),
        ({"meta": [{}, {"a": [object]}, {}]}, "got <class 'object'>"),
        ({"image_meta": {"a": b"b"}}, "image_meta of plain JSON values"),
    ],
)
def test_what_cannot_be_known_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        replace(squares(), **change)


def test_numpy_is_taken_for_what_it_means() -> None:
    masks = replace(
        squares(),
        labels=np.array(["a", "b", "c"]),
        ids=np.array([3, 4, 5]),
        meta=[{"a": np.float32(0.5), "b": np.arange(2)}, {}, {}],
    )
    assert masks.labels == ("a", "b", "c") and type(masks.labels[0]) is str
    assert masks.ids == (3, 4, 5) and type(masks.ids[0]) is int
    assert masks.meta[0] == {"a": 0.5, "b": [0, 1]}


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        ([None, None, None], "Masks(3 masks of 8 x 6, best score 0.90)"),
        (["dog", None, "dog"], "Masks(3 masks of 8 x 6: 2 dog; best score 0.90)"),
        (["cat", "dog", "dog"], "Masks(3 masks of 8 x 6: 2 dog, cat; best score 0.90)"),
        (["a" * 40, None, None], f"Masks(3 masks of 8 x 6: {'a' * 29}\u2026; best score 0.90)"),
    ],
)
def test_repr_names_what_is_there(labels: list[str | None], text: str) -> None:
    assert repr(replace(squares(), labels=labels)) == text


def test_repr_of_many_names_is_short() -> None:
    masks = Masks.from_dense(np.ones((5, 2, 2), bool), labels=list("abcde"))
    assert repr(masks) == "Masks(5 masks of 2 x 2: a, b, c and 2 more)"
