"""What the orders of the queue go by: how sure models are, how they agree, what is new."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from tests.models.tiny import tiny

import anymask
from anymask import CapabilityError, InputError, Masks
from anymask.label import Provenance, Store
from anymask.label.queue.order import farthest_first
from anymask.label.queue.ordering import OrderConfig, agreement_of, order_images, pooled
from anymask.models.build import build
from anymask.models.variants import find
from anymask.models.weights.folder import write_folder

CONFIG = OrderConfig(points_per_side=2)


def tiny_model(folder: Path, seed: int) -> anymask.Segmenter:
    torch.manual_seed(seed)
    variant = tiny(find("bundled"))
    write_folder(folder, variant, build(variant).state_dict())
    return anymask.load(folder)


@pytest.mark.parametrize("known", [0, 1, 700])
def test_novelty_is_that_of_the_plain_rule(known: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Piece by piece it is what looking at all pairs gives, and equal ones stay in their order."""
    monkeypatch.setattr("anymask.label.queue.order._PRODUCTS", 20_000)
    monkeypatch.setattr("anymask.label.queue.order._PIECE", 50)
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(1000, 16)).astype(np.float32)
    vectors[900:] = vectors[750:850]  # photos that are there twice
    vectors[720] = vectors[3]
    found = farthest_first(vectors, known, limit=60)
    rest = vectors[known:].astype(np.float64)
    if known:
        far = np.min(((rest[:, None] - vectors[None, :known]) ** 2).sum(2), axis=1)
    else:
        far = ((rest - rest.mean(axis=0)) ** 2).sum(1)
    wanted = []
    for step in range(60):
        place = int(np.argmax(far))
        wanted.append(known + place)
        here = ((rest - rest[place]) ** 2).sum(1)
        far = here if not known and not step else np.minimum(far, here)
        far[[one - known for one in wanted]] = -1
    assert found[:60].tolist() == wanted
    assert sorted(found) == list(range(known, 1000))
    assert known < 700 or 720 not in found[:200]  # as one that is known


@pytest.fixture
def model(tmp_path: Path) -> anymask.Segmenter:
    return tiny_model(tmp_path / "one", 1)


@pytest.fixture
def other(tmp_path: Path) -> anymask.Segmenter:
    return tiny_model(tmp_path / "two", 2)


@pytest.fixture
def project(tmp_path: Path) -> Store:
    """Three alike photos, and one that is unlike them."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(4):
        pixels = rng.integers(100, 110, (48, 64, 3)) if number < 3 else np.indices((48, 64)).sum(0)
        pixels = np.broadcast_to(np.asarray(pixels).reshape(48, 64, -1) % 250, (48, 64, 3))
        PIL.Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    with Store.init(folder) as store:
        store.add(folder)
        yield store


def columns(store: Store) -> list[tuple[float, float, float]]:
    query = "SELECT confidence, agreement, novelty FROM images ORDER BY id"
    return [tuple(row) for row in store.database.read(lambda t: t.rows(query))]


def test_all_orders_are_worked_out_once(
    project: Store, model: anymask.Segmenter, other: anymask.Segmenter
) -> None:
    seen: list[int] = []
    done = order_images(project, model, other, CONFIG, limit=3, progress=seen.append)
    assert (done.images, done.compared, done.known, done.failed) == (3, 3, 0, ())
    assert seen == [1, 2, 3]
    assert all(value < 2 for row in columns(project)[:3] for value in row)
    assert columns(project)[3] == (2, 2, 2)  # not looked at: last in each order
    done = order_images(project, model, None, CONFIG)
    assert (done.images, done.compared, done.known) == (1, 0, 3)
    confidence, agreement, novelty = columns(project)[3]
    assert confidence < 2 and agreement == 2 and novelty == 0  # of all four, it is the newest
    lease = project.next("Ada", order="novelty")
    assert lease.image.name == "3.png"
    lowest = min(range(3), key=lambda i: columns(project)[i][1])
    assert project.next("Bob", order="disagreement").image.name == f"{lowest}.png"
    assert order_images(project, model, other, OrderConfig(2, again=True)).images == 4


def test_a_version_agrees_with_itself(project: Store, model: anymask.Segmenter) -> None:
    order_images(project, model, model, CONFIG)
    assert [row[1] for row in columns(project)] == pytest.approx([1] * 4)


def test_what_is_labelled_is_known_and_not_ordered(
    project: Store, model: anymask.Segmenter
) -> None:
    dense = np.ones((48, 64), bool)
    mask = Masks.from_dense(dense, scores=[0.25])
    project.add_masks("0.png", mask, Provenance(version="tiny"))
    project.finish(project.next("Ada", skip=[1]))  # the second
    done = order_images(project, model, model, CONFIG)
    assert (done.images, done.compared) == (4, 3)
    rows = columns(project)
    assert rows[0][0] == 0.25  # how sure the maker of its mask was
    assert rows[1] == (2, 2, 2) and rows[3][2] == 0
    # Labelled images stay embedded; the next time they are no longer counted.
    assert order_images(project, model, None, CONFIG).known == 3


def test_what_cannot_be_looked_at_is_said(project: Store, model: anymask.Segmenter) -> None:
    (project.root / "1.png").write_bytes(b"broken")
    done = order_images(project, model, None, CONFIG)
    assert done.images == 3 and [name for name, _ in done.failed] == ["1.png"]
    project.set_embeddings({})
    with pytest.raises(InputError, match=r"embeddings of one model.*--again"):
        project.set_embeddings({1: np.ones(3, np.float32)})
    with pytest.raises(InputError, match="points_per_side of 1 or more"):
        OrderConfig(0)


def test_a_model_without_points_is_refused(project: Store, model: anymask.Segmenter) -> None:
    class Blind:
        variant = type("Variant", (), {"capabilities": frozenset({"box"}), "name": "blind"})

    with pytest.raises(CapabilityError, match="at points: it takes none"):
        order_images(project, model, Blind())


def test_agreement_and_vectors_by_hand(model: anymask.Segmenter) -> None:
    dense = np.zeros((3, 4, 4), bool)
    dense[0, :2] = dense[1, 0] = True
    first, second = Masks.from_dense(dense), Masks.from_dense(dense[[1, 1, 2]])
    assert agreement_of(first, second) == pytest.approx((0.5 + 1 + 1) / 3)
    grey = np.full((48, 64, 3), 100, np.uint8)
    vectors = [pooled(model.embed(grey[:h])) for h in (48, 24)]
    assert np.linalg.norm(vectors[0]) == pytest.approx(1) and vectors[0].dtype == np.float32
    assert vectors[0] @ vectors[1] > 0.9  # the padding below the second one does not count
