"""What models do between the steps of people: fill in, label alone, learn, and be audited."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from tests.models.tiny import tiny

import anymask
from anymask import Image, InputError, Masks
from anymask.detections import Detections
from anymask.label import Provenance, Store
from anymask.label import proposals as proposals
from anymask.label.retrain import RetrainConfig, retrain
from anymask.label.review.audit import begin_audit, read_audit
from anymask.label.stages import AutoConfig, automatic, find_masks
from anymask.models.build import build
from anymask.models.variants import find
from anymask.models.weights.folder import write_folder
from anymask.optional import optional
from anymask.train.config import LoopConfig

ADA, BOB = Provenance(person="Ada"), Provenance(person="Bob")
COFFEE = Path(__file__).resolve().parents[2] / "docs/pictures/coffee.jpg"
LOOP = LoopConfig(steps=2, batch_size=1, warmup=0, ema_decay=0, evaluate_every=1, workers=0)


@pytest.fixture
def coffee(tmp_path: Path) -> Store:
    folder = tmp_path / "coffee"
    folder.mkdir()
    (folder / "coffee.jpg").write_bytes(COFFEE.read_bytes())
    store = Store.init(folder)
    store.add(folder)
    yield store
    store.close()


def test_others_write_while_masks_are_compared_and_are_seen(
    coffee: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On SQLite nobody else can write within a transaction that does."""
    from anymask.label import stages

    dense = np.zeros((1, *coffee.image(1).size_hw), bool)
    dense[:, :3, :3] = True
    coffee.add_masks(1, Masks.from_dense(dense), ADA)
    compare = stages._without_known
    seen: list[int] = []

    def slowly(known: Any, found: Masks) -> Masks:
        seen.append(len(known))
        if len(seen) == 1:
            with Store.open(coffee.root, patience=5) as other:
                other.add_masks(1, found, BOB)
        return compare(known, found)

    monkeypatch.setattr(stages, "_without_known", slowly)
    config = AutoConfig("semi-automatic", text="cups", min_iou=0.5)
    done = automatic(coffee, anymask.load(), config)
    assert seen == [1, 2]  # once more, for Bob has added one meanwhile
    assert (done.images, done.masks) == (1, 0)  # it is the one that was found


def test_confident_masks_are_filled_in_once(coffee: Store) -> None:
    model = anymask.load()
    config = AutoConfig("semi-automatic", text="cups", min_iou=0.5)
    done = automatic(coffee, model, config)
    assert (done.images, done.masks, done.known) == (1, 1, 0)
    found = coffee.masks(1)
    assert found.masks.labels == ("cups",) and found.stages == ("semi-automatic",)
    assert found.versions == ("anymask-compact",) and found.people == (None,)
    assert found.image.state == "open"
    assert automatic(coffee, model, config).known == 1
    # Another version does it again, but adds nothing that is there.
    assert automatic(coffee, model, config, version="next").masks == 0
    assert coffee.status().masks == 1
    assert len(find_masks(model, Image.open(COFFEE), replace(config, min_iou=1))) == 0


def test_everything_mode_labels_alone(coffee: Store) -> None:
    model = anymask.load()
    config = AutoConfig(min_iou=0.6, min_stability=0.8, crops=0, min_region=0, points_per_side=4)
    done = automatic(coffee, model, config)
    stored = coffee.masks(1)
    assert done.masks == len(stored.masks) > 1 and set(stored.stages) == {"automatic"}
    assert stored.masks.scores.min() >= 0.6 and stored.masks.stability.min() >= 0.8
    assert stored.masks.areas.max() < 0.95 * 400 * 600
    largest = int(stored.masks.areas.max())
    fewer = find_masks(
        model, Image.open(COFFEE), replace(config, max_area=(largest - 0.5) / 240_000)
    )
    assert len(fewer) < len(stored.masks) and (fewer.areas < largest).all()


def test_images_that_are_done_or_broken_are_left(coffee: Store) -> None:
    Image.open(np.zeros((8, 8, 3), np.uint8)).save(coffee.root / "b.png")
    coffee.add(coffee.root)
    coffee.finish(coffee.next("Ada"))
    (coffee.root / "coffee.jpg").write_bytes(b"broken")
    (coffee.root / "b.png").write_bytes(b"broken")
    done = automatic(coffee, anymask.load(), AutoConfig("semi-automatic"))
    assert done.images == 0 and len(done.failed) == 1


def test_nothing_is_changed_beneath_who_has_an_image(
    coffee: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, config = anymask.load(), AutoConfig("semi-automatic", text="cups", min_iou=0.5)
    lease = coffee.next("Ada")
    done = automatic(coffee, model, config)
    assert (done.images, done.leased) == (0, ("coffee.jpg",)) and coffee.status().masks == 0
    coffee.release(lease)

    def meanwhile(*values: Any) -> Masks:
        """Ada takes the image while the model looks at it."""
        leases.append(coffee.next("Ada"))
        return find_masks(*values)

    leases: list[Any] = []
    monkeypatch.setattr("anymask.label.stages.find_masks", meanwhile)
    done = automatic(coffee, model, config)
    assert (done.images, done.leased) == (0, ("coffee.jpg",)) and coffee.status().masks == 0
    coffee.finish(leases[0], "open")
    monkeypatch.undo()
    assert automatic(coffee, model, config).masks == 1  # the next time


def test_settings_are_checked() -> None:
    for wrong in (
        {"stage": "manual"},
        {"text": "cup"},
        {"min_iou": 2},
        {"max_area": 0},
        {"crops": -1},
    ):
        with pytest.raises(InputError, match="expected"):
            AutoConfig(**wrong)
    with pytest.raises(InputError, match="val_fraction above 0"):
        RetrainConfig(val_fraction=1)


# ------------------------------------------------------------------------------- audits


def test_an_audit_tells_how_good_masks_were(store: Store, mask_of: Callable[..., Masks]) -> None:
    made = []
    for image, who in ((1, ADA), (2, BOB), (3, Provenance(version="tiny"))):
        made += store.add_masks(image, Masks.concat([mask_of(4), mask_of(8)]), who)
    assert begin_audit(store, "first", 100) == 6
    assert len(read_audit(store, "first").waiting) == 6
    cid = Provenance(person="Cid")
    (a, _), (b, _), (c, _), (d, _), (e, _), (f, _) = made
    store.review_mask(a, 1, "accepted", cid)  # right as it is: 1
    store.edit_mask(b, 1, mask_of(7), cid)  # 7 of 8 rows: 0.875
    store.edit_mask(c, 1, mask_of(3), cid)  # 3 of 4 rows: 0.75, which is not above
    store.delete_mask(d, 1, cid)  # 0
    store.edit_mask(e, 1, mask_of(4, "other"), cid)  # its name alone: 1
    found = read_audit(store, "first")
    assert found.sampled == 6 and found.waiting == ((f, "photo-2.png"),)
    rows = {row.of: (row.masks, row.above_90, row.above_75, row.mean_iou) for row in found.rows}
    assert rows == {
        "all": (5, 0.4, 0.6, pytest.approx(3.625 / 5)),
        "model tiny": (1, 1.0, 1.0, 1.0),
        "person Ada": (2, 0.5, 1.0, pytest.approx(1.875 / 2)),
        "person Bob": (2, 0.0, 0.0, 0.375),
    }
    with pytest.raises(InputError, match="new name for the audit, got 'first'"):
        begin_audit(store, "first")
    with pytest.raises(InputError, match="name of an audit, got 'second'"):
        read_audit(store, "second")


def test_a_sample_is_drawn_from_masks_that_are_there(
    store: Store, mask_of: Callable[..., Masks], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="got none; label some first"):
        begin_audit(store, "none")
    made = store.add_masks(1, Masks.concat([mask_of(rows) for rows in (1, 2, 3) * 20]), ADA)
    for mask, _ in made[:10]:
        store.delete_mask(mask, 1, ADA)
    for sample in (2, 30):  # by numbers, and out of all
        assert begin_audit(store, f"of {sample}", sample, seed=0) == sample
        waiting = {mask for mask, _ in read_audit(store, f"of {sample}").waiting}
        assert len(waiting) == sample and waiting <= {mask for mask, _ in made[10:]}


def test_a_sample_may_be_of_one_stage_and_one_version(
    store: Store, mask_of: Callable[..., Masks]
) -> None:
    """Also where so few masks are of it that hardly a number meets one."""
    store.add_version("tiny", "tiny")
    store.add_version("other", "other")
    everything = Provenance(version="tiny", stage="automatic")
    store.add_masks(1, Masks.concat([mask_of(rows) for rows in (1, 2, 3) * 100]), ADA)
    made = store.add_masks(1, Masks.concat([mask_of(4), mask_of(5), mask_of(6)]), everything)
    store.edit_mask(made[0][0], 1, mask_of(7), ADA)  # is a person's by now
    later = Provenance(version="other", stage="automatic")
    made += store.add_masks(2, mask_of(8), later)

    def drawn(name: str, **which: Any) -> set[int]:
        number = begin_audit(store, name, 2, seed=0, **which)
        waiting = {mask for mask, _ in read_audit(store, name).waiting}
        assert len(waiting) == number
        return waiting

    last = {mask for mask, _ in made[1:]}
    assert len(drawn("stage", stage="automatic")) == 2
    assert drawn("stage again", stage="automatic") < last
    assert drawn("tiny", model_version="tiny") == {mask for mask, _ in made[1:3]}
    assert drawn("both", stage="automatic", model_version="other") == {made[3][0]}
    with pytest.raises(
        InputError, match="masks of stage semi-automatic by tiny to audit, got none"
    ):
        begin_audit(store, "none", stage="semi-automatic", model_version="tiny")
    with pytest.raises(InputError, match="a model version out of tiny, other, got 'third'"):
        begin_audit(store, "third", model_version="third")
    with pytest.raises(InputError, match=r"a stage out of assisted, .*, got 'manual'"):
        begin_audit(store, "manual", stage="manual")  # type: ignore[arg-type]


def test_a_large_sample_is_begun_in_few_statements(
    store: Store, mask_of: Callable[..., Masks]
) -> None:
    """On SQLite nobody else can write meanwhile."""
    store.add_masks(1, Masks.concat([mask_of(rows) for rows in (1, 2, 3) * 100]), ADA)
    said: list[str] = []
    optional("sqlalchemy").event.listen(
        store.database.engine, "before_cursor_execute", lambda *given: said.append(given[2])
    )
    assert begin_audit(store, "all", 1000) == 300
    assert 0 < len(said) < 20


# ------------------------------------------------------------------------------ retrain


@pytest.fixture
def labelled(tmp_path: Path) -> Store:
    """Eight photos of a bright and a dark square, labelled and accepted."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "squares"
    folder.mkdir()
    store = Store.init(folder)
    for number in range(8):
        labels = np.zeros((48, 64), np.uint8)
        labels[8:26, 4 + number : 24 + number] = 1
        labels[24:42, 40 - number : 60 - number] = 2
        shades = np.array([120, 220, 30])[labels] + rng.normal(0, 5, labels.shape)
        pixels = np.repeat(shades[..., None], 3, axis=2).clip(0, 255).astype(np.uint8)
        PIL.Image.fromarray(pixels).save(folder / f"{number}.png")
        store.add(folder)
        dense = np.stack([labels == 1, labels == 2])
        masks = Masks.from_dense(dense, labels=["bright", "dark"])
        store.add_masks(f"{number}.png", masks, ADA, review="accepted")
    yield store
    store.close()


@pytest.fixture
def tiny_sam(tmp_path: Path) -> str:
    torch.manual_seed(1)
    variant = tiny(find("bundled"))
    write_folder(tmp_path / "tiny", variant, build(variant).state_dict())
    return str(tmp_path / "tiny")


def test_a_better_version_is_put_to_use_and_a_worse_one_is_not(
    labelled: Store, tiny_sam: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from anymask.train.finetuning import finetune as module

    real = module.finetune

    def learn(*words, **more):  # the tiny network learns by chance: say which way
        report = real(*words, **more)
        after = {name: value + gain for name, value in report.before.items()}
        return replace(report, after=after)

    config = RetrainConfig(model=tiny_sam, val_fraction=0.4, loop=LOOP, pictures=1)
    for gain, promoted, used in ((0.1, True, "version-1"), (-0.1, False, "version-1")):
        monkeypatch.setattr(module, "finetune", learn)
        done = retrain(labelled, config, device="cpu")
        assert done.promoted is promoted and labelled.status().version == used
        assert done.after["iou"] - done.before["iou"] == pytest.approx(gain)
        assert done.train_images + done.val_images == 8 and done.val_images >= 1
        with PIL.Image.open(done.pictures[0]) as picture:
            assert picture.size == (3 * 64 + 20, 48) and len(done.pictures) == 1
        assert json.loads((done.path.parent / "report.json").read_text())["better"] is promoted
        anymask.load(done.path)
    first, second = (one for one in labelled.versions() if one.parent is not None)
    assert (first.parent, second.parent) == (tiny_sam, "version-1")
    assert second.metrics["val_images"] == first.metrics["val_images"]
    assert labelled.add(labelled.root).added == ()  # what it wrote is no photo


def test_a_detector_of_boxes_is_learned_compared_and_used(
    labelled: Store, tiny_sam: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = LoopConfig(steps=12, batch_size=4, lr=2e-3, warmup=1)
    config = RetrainConfig(learn="detector", val_fraction=0.4, loop=loop, pictures=1)
    done = retrain(labelled, config)
    assert done.parent == "anymask-detector" and done.train_images + done.val_images == 8
    assert set(done.before) == {"recall", "precision", "average_precision"} == set(done.after)
    assert done.promoted and done.after["average_precision"] > done.before["average_precision"]
    with PIL.Image.open(done.pictures[0]) as picture:
        assert picture.size == (3 * 64 + 20, 48)
    status = labelled.status()
    assert (status.detector, status.version) == ("version-1", None)
    # A version of the other kind does not take its place.
    labelled.add_version("sam", tiny_sam)
    labelled.promote("sam")
    assert (labelled.status().detector, labelled.status().version) == ("version-1", "sam")

    # One that is worse is kept, and not put to use; it starts from the one in use.
    worse = proposals.train_proposals

    def learn(*words, **more):
        report = worse(*words, **more)
        return replace(report, after=dict.fromkeys(report.after, 0.0))

    monkeypatch.setattr("anymask.label.retrain.train_proposals", learn)
    again = retrain(labelled, replace(config, loop=replace(loop, steps=1)), device="cpu")
    assert (again.parent, again.promoted) == ("version-1", False)
    assert again.before == pytest.approx(done.after) and labelled.status().detector == "version-1"
    kinds = {one.name: (one.kind, one.promoted) for one in labelled.versions()}
    assert kinds["version-2"] == ("detector", False) == kinds["anymask-detector"]

    # What it finds is filled in, without a name, by each detector once.
    name, propose = proposals.proposals_of(labelled)
    found = propose(Image.open(labelled.root / "0.png"))
    assert name == "version-1" and set(found.labels) <= {None}
    used = []
    monkeypatch.setattr(
        "anymask.label.stages.find_masks",
        lambda model, image, config, propose: (
            used.append(propose) or Masks.empty(image.size_hw)  # what it is given is looked at
        ),
    )
    model = anymask.load(tiny_sam)
    auto = AutoConfig("semi-automatic")
    assert automatic(labelled, model, auto).images == 8 and None not in used
    assert automatic(labelled, model, auto).known == 8
    assert automatic(labelled, model, replace(auto, text="cup")).images == 8
    assert used[8:] == [None] * 8
    assert "version-1" not in {one.version for one in labelled.status().versions}
    labelled.promote("anymask-detector")  # back to the bundled one, which knows names
    assert proposals.proposals_of(labelled) is None
    labelled.promote("version-2")
    assert automatic(labelled, model, auto).images == 8


def test_boxes_that_a_detector_proposes_become_masks() -> None:
    image = Image.open(COFFEE)
    everyday = proposals.load_proposals(None, "cpu")
    found = find_masks(anymask.load(), image, AutoConfig("semi-automatic", min_iou=0.5), everyday)
    assert found.labels == (None,)  # the cup, whose lower edge is hard to see
    assert found.boxes[0].tolist() == pytest.approx([172, 20, 419, 290], abs=50)


def test_proposals_are_measured_by_hand() -> None:
    def boxes(*rows: tuple[float, ...]) -> np.ndarray:
        return np.array(rows, np.float32).reshape(-1, 4)

    first = Detections((20, 20), boxes((0, 0, 4, 4), (0, 0, 4, 4), (9, 9, 12, 12)), [0.9, 0.8, 0.7])
    second = Detections((20, 20), boxes((5, 5, 9, 9)), [0.2])
    truths = [boxes((0, 0, 4, 4), (15, 15, 19, 19)), boxes((5, 5, 9, 9), (0, 0, 2, 2))]
    found = proposals.measure([first, second], truths)
    # By score: right, again the same, wrong; below 0.3: right.
    assert found["recall"] == 0.5 and found["precision"] == pytest.approx(1 / 3)
    assert found["average_precision"] == pytest.approx(0.25 * 1 + 0.25 * 0.5)
    nothing = proposals.measure([Detections.empty((9, 9))], [boxes()])
    assert nothing == {"recall": 0.0, "precision": 0.0, "average_precision": 0.0}


def test_retraining_needs_its_turn_a_name_and_masks(labelled: Store, tiny_sam: str) -> None:
    config = RetrainConfig(model=tiny_sam, loop=LOOP)
    other = Store.open(labelled.root)
    with other.exclusive("retrain"), pytest.raises(InputError, match="somebody else is at it"):
        retrain(labelled, config)
    other.close()
    for name in ("a/b", "..", "../..", ".hidden", "a\\b", " "):
        with pytest.raises(InputError, match=r"new name for the version|name of a version"):
            retrain(labelled, config, version=name)
        assert (labelled.root / "0.png").exists()
    labelled.add_version("taken", "bundled")
    labelled.add_version("version-1", "bundled")  # as an import of masks of another project does
    with pytest.raises(InputError, match="new name for the version"):
        retrain(labelled, config, version="taken")
    for image in list(labelled.images()):
        found = labelled.masks(image)
        for mask, revision in zip(found.ids, found.revisions, strict=True):
            labelled.review_mask(mask, revision, "rejected", BOB)
    with pytest.raises(InputError, match=r"got 0 and 0 images; accept more"):
        retrain(labelled, config)
    assert [one.name for one in labelled.versions()] == ["taken", "version-1"]
