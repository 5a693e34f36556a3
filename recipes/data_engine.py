"""Go through the three stages of SAM's data engine with simulated annotators, and measure them.

    python recipes/data_engine.py --data ../shared/data --out runs/data-engine

Sixty photos of animals (``voc-animals-val``, from which the bundled model has not learned) are
labelled by the real `anymask.label`: 20 by clicks (assisted), 20 with masks filled in
(semi-automatic), 20 by the models alone (automatic). After the first stage, model and detector
learn from what was accepted, and are put to use only if they are better on photos that were held
back. In the last stage nobody looks at the masks but for a sample that is audited, as in the paper;
how sure and how stable a mask must be is found on photos that people have finished and that the
models have not learned from. Annotators are simulated: they know the true masks, click beside the
right pixel, draw outlines with a shaking hand, and take the time that `TimeModel` says. Everything
else is what people would use: a store, leases, reviews, versions.

Masks per minute and IoU with the truth go to ``results.json``, a table and a plot in the folder,
beside a photo with what was filled in. docs/data-engine.md has the numbers.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

import functools
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
import PIL.Image
import tyro

import anymask
from anymask import Masks
from anymask.data.open import open_dataset
from anymask.data.simulate import SimulatedUser
from anymask.data.truths import Truth
from anymask.evaluate.click_session import ClickSession
from anymask.formats.images import is_held_back
from anymask.label import Provenance, Store
from anymask.label.proposals import proposals_of
from anymask.label.records import Change, ImageRecord
from anymask.label.retrain import RetrainConfig, Retrained, retrain
from anymask.label.stages import AutoConfig, automatic, find_masks
from anymask.masks import rle
from anymask.train.config import LoopConfig
from anymask.train.finetuning.config import USUAL_LOOP

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where a script finds its neighbours
from recipes.data_engine_report import SAME, Stage, plot, table, told
from recipes.data_engine_thresholds import Thresholds, calibrate, distinct

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class TimeModel:
    """Seconds that things take people. What the SAM paper says is marked as theirs."""

    find: float = 5.0
    """To find the next thing to label and to begin. Assumed."""
    click: float = 1.5
    """A click, and a look at what comes of it. Assumed."""
    outline: float = 91.0
    """To draw a whole outline: theirs, 6.5 times the 14 s of their assisted stage (section 4, of
    polygons in COCO). To correct a mask by hand takes the share of it that is wrong."""
    check: float = 2.0
    """To look at a mask that is there, and to press a key. Assumed."""


@dataclass(frozen=True)
class Config:
    """What is labelled, by whom, and how long things take."""

    data: Path = Path("../shared/data")
    """Folder that holds the set."""
    out: Path = Path("runs/data-engine")
    """Folder of the project and of the results; what is there from a run before is deleted."""
    set: str = "voc-animals-val"
    """Which images, out of the folder of the data."""
    photos: int = 60
    """How many of them, drawn at random, a third for each stage."""
    things: int = 6
    """People label the largest so many things of each photo."""
    min_area: int = 400
    """Least pixels of these."""
    model: str = "bundled"
    """What the engine starts with."""
    clicks: int = 6
    """People click so often at most; then they draw."""
    calibrated: int = 10
    """Photos that people have finished, on which the thresholds of the last stage are found."""
    precision: float = 0.9
    """Share of its masks that should be right there."""
    audited: int = 40
    """Masks of the last stage that are looked at and corrected."""
    enough: float = 0.85
    """IoU with what an annotator has in mind that he is content with."""
    accepted: float = 0.75
    """IoU with the truth from which on the reviewer accepts a mask."""
    points_per_side: int = 16
    """Points of everything mode."""
    min_iou: float = 0.5
    """Least predicted IoU of a mask that is filled in; in the last stage, the least one that is
    tried."""
    retrains: Literal[1, 2] = 1
    """Retrain after the first stage, or after the second one, too."""
    steps: int = 60
    """Steps of the model in each retrain."""
    detector_steps: int = 300
    """Steps of the detector in each retrain."""
    seed: int = 0
    """Of everything that is drawn at random."""
    pictures: Path | None = None
    """Folder for the plot, such as docs/pictures; none: with the results."""
    time: TimeModel = field(default_factory=TimeModel)
    """How long things take."""


# -------------------------------------------------------------------------- annotators


def drawn(mask: Mask, rng: np.random.Generator, jitter: float) -> Mask:
    """Draw the outline of a mask by hand: some pixels beside, smoothly along its way."""
    h, w = mask.shape
    noise = rng.standard_normal((2, h, w)).astype(np.float32)
    moved = [cv2.GaussianBlur(one, (0, 0), 6) for one in noise]
    x, y = np.meshgrid(np.arange(w, dtype=np.float32), np.arange(h, dtype=np.float32))
    dx, dy = (one * (jitter / max(float(one.std()), 1e-6)) for one in moved)
    found: Mask = cv2.remap(mask.astype(np.uint8), x + dx, y + dy, cv2.INTER_NEAREST) > 0
    return found if found.any() else mask


@dataclass
class Annotator:
    """Somebody who labels."""

    name: str
    jitter: float
    """Standard deviation of clicks and outlines in pixels."""
    rng: np.random.Generator

    def beside(self, xy: tuple[float, float], region: Mask) -> tuple[float, float]:
        """Click beside a pixel, but still on what is meant."""
        x, y = (round(v + self.rng.normal(0, self.jitter)) for v in xy)
        h, w = region.shape
        inside = 0 <= x < w and 0 <= y < h and region[y, x]
        return (float(x), float(y)) if inside else xy

    def label(
        self, model: anymask.Segmenter, embedding: Any, truth: Mask, config: Config
    ) -> tuple[Masks, float]:
        """Label one thing by clicks, and by hand if these do not do: the mask, and its seconds."""
        meant = drawn(truth, self.rng, self.jitter / 2)  # what it looks like to this person
        start = self.beside(SimulatedUser().first_click(truth), truth)
        session = ClickSession(Truth(0, meant), start, model)
        best: tuple[float, Masks | None] = (-1.0, None)
        while len(session.points) <= config.clicks and session.click():
            if len(session.points) > 1:
                wanted = meant if session.labels[-1] else ~meant
                session.points[-1] = self.beside(session.points[-1], wanted)
            if len(session.points) > config.clicks:
                break
            first = len(session.points) == 1 and "multimask" in model.variant.capabilities
            answer = model.predict(embedding, prompts=[session.prompt()], multimask=first)[0]
            session.see(answer)
            if session.first[-1] > best[0]:
                best = session.first[-1], answer.best()
            if best[0] >= config.enough:
                break
        seconds = config.time.find + config.time.click * len(session.first)
        if best[0] >= config.enough and best[1] is not None:
            return replace(best[1], logits=None, labels=(None,)), seconds
        seconds += config.time.outline * (1 - max(0.0, best[0]))
        return Masks.from_dense(drawn(truth, self.rng, self.jitter)[None]), seconds


def annotators(seed: list[int]) -> list[Annotator]:
    """Three people, one with a calmer hand than the other."""
    return [
        Annotator(name, jitter, np.random.default_rng([*seed, number]))
        for number, (name, jitter) in enumerate((("Ada", 1.0), ("Bob", 1.5), ("Cid", 2.0)))
    ]


# ------------------------------------------------------------------------------ stages


@dataclass
class Engine:
    """The project, its truth, and its people."""

    config: Config
    store: Store
    truths: dict[str, Masks]
    """By the name of the image, all things of 100 pixels or more, the largest first."""
    people: list[Annotator]
    turn: int = 0
    learned: set[int] = field(default_factory=set)
    """Images that a version has learned from."""

    def wanted(self, image: ImageRecord) -> list[int]:
        """List the things that are to be labelled, the largest first."""
        areas = self.truths[image.name].areas
        large = [i for i, area in enumerate(areas) if area >= self.config.min_area]
        return large[: self.config.things]

    def used(self, kind: str) -> tuple[str, str]:
        """Give name and path of the version in use; what the engine started with, at first."""
        for one in self.store.versions():
            if one.promoted and one.kind == kind:
                return one.name, str(self.store.root / one.path)
        return ("bundled", self.config.model) if kind == "model" else ("bundled", "")

    def assisted(self, photos: int, stage: str = "assisted") -> list[ImageRecord]:
        """People label so many photos; what is filled in already, they keep or delete."""
        version, path = self.used("model")
        model = anymask.load(path)
        done = []
        for _ in range(photos):
            who = self.people[self.turn % len(self.people)]
            self.turn += 1
            lease = self.store.next(who.name)
            assert lease is not None
            seconds, has = self._sort_out(lease.image, who.name)
            truth = self.truths[lease.image.name]
            dense, embedding = truth.dense(), model.embed(self.store.root / lease.image.name)
            for i in self.wanted(lease.image):
                if i in has:
                    continue
                made, took = who.label(model, embedding, dense[i], self.config)
                by = Provenance(person=who.name, version=version, seconds=took)
                self.store.add_masks(lease.image, made, by)
                seconds += took
            self.store.finish(lease, seconds=seconds)
            done.append(lease.image)
        self.review()
        return done

    def _sort_out(self, image: ImageRecord, person: str) -> tuple[float, set[int]]:
        """Keep what is filled in and right, once for each thing; delete the rest."""
        stored, by = self.store.masks(image), Provenance(person=person)
        has: set[int] = set()
        changes = []
        for i, (thing, overlap) in enumerate(self.matches(stored.masks, image)):
            if overlap >= self.config.enough and thing not in has:
                has.add(thing)
            else:
                changes.append(Change("delete", stored.ids[i], stored.revisions[i]))
        self.store.change(image, changes, by)
        return self.config.time.check * len(stored.ids), has

    def matches(self, masks: Masks, image: ImageRecord) -> list[tuple[int, float]]:
        """Say of each mask which thing it is, and how well."""
        truth = self.truths[image.name]
        if not len(masks) or not len(truth):
            return [(-1, 0.0)] * len(masks)
        overlaps = rle.iou(masks.counts, truth.counts)
        return [(int(row.argmax()), float(row.max())) for row in overlaps]

    def review(self) -> None:
        """Let a reviewer look at all that is done."""
        while (lease := self.store.next("Rita", state="done")) is not None:
            self._judge(lease.image)
            seconds = self.config.time.check * lease.image.masks
            self.store.finish(lease, "accepted", seconds=seconds)

    def _judge(self, image: ImageRecord) -> None:
        stored = self.store.masks(image)
        taken: set[int] = set()
        changes = []
        for i, (thing, overlap) in enumerate(self.matches(stored.masks, image)):
            right = overlap >= self.config.accepted and thing not in taken
            taken |= {thing} if right else set()
            verdict: Any = "accepted" if right else "rejected"
            changes.append(Change("review", stored.ids[i], stored.revisions[i], review=verdict))
        self.store.change(image, changes, Provenance(person="Rita"))

    def fill(self, photos: int) -> int:
        """Let the models in use fill in the next photos, and give the number of masks."""
        version, path = self.used("model")
        usual = AutoConfig("semi-automatic", min_iou=self.config.min_iou)
        found = automatic(self.store, anymask.load(path), usual, version=version, limit=photos)
        return found.masks

    # ---------------------------------------------------------------------- the last stage

    def alone(self, photos: int) -> tuple[list[ImageRecord], list[Thresholds]]:
        """Let the models label the next photos; nobody looks at them."""
        version, path = self.used("model")
        model, boxes = anymask.load(path), proposals_of(self.store)
        find = functools.partial(self._sources, model, boxes and boxes[1])
        thresholds = self._calibrate(find)
        done = []
        for image in self.store.images():
            if image.state != "open" or len(done) == photos:
                continue
            found = Masks.concat(
                [
                    masks[one.keep(masks.scores, masks.stability)]
                    for masks, one in zip(find(image), thresholds, strict=True)
                ]
            )
            by = Provenance(version=version, stage="automatic", token=f"alone {image.id}")
            self.store.add_masks(image, distinct(found), by)
            done.append(image)
        return done, thresholds

    def _sources(self, model: anymask.Segmenter, boxes: Any, image: ImageRecord) -> list[Masks]:
        """Find masks by the detector's boxes and by everything mode, with all that may be right."""
        opened = anymask.Image.open(self.store.root / image.name)
        fill = AutoConfig("semi-automatic", min_iou=self.config.min_iou, min_stability=0.0)
        grid = replace(fill, stage="automatic", crops=0)
        grid = replace(grid, points_per_side=self.config.points_per_side)
        found = [find_masks(model, opened, fill, boxes), find_masks(model, opened, grid)]
        return [
            replace(one[one.areas >= self.config.min_area], labels=(), crop_boxes=None, meta=())
            for one in found
        ]

    def _calibrate(self, find: Callable[[ImageRecord], list[Masks]]) -> list[Thresholds]:
        """Find thresholds for each source, on photos that are finished and new to the models.

        People have labelled the largest things of a photo. So a mask that is as large as the
        smallest of these is right if it is one of them, and else it is wrong, be it a part or a
        thing that nobody asked for; of smaller masks, nothing is known.
        """
        known = [one for one in self.store.images() if one.state == "accepted" and one.masks > 1]
        new = [one for one in known if one.id not in self.learned]
        rng = np.random.default_rng([self.config.seed, 2])
        chosen = [new[i] for i in rng.permutation(len(new))[: self.config.calibrated]]
        seen: list[list[tuple[float, float, float]]] = [[], []]
        for image in chosen:
            stored = self.store.masks(image)
            right = stored.masks[np.array([one == "accepted" for one in stored.reviews], bool)]
            if not len(right):
                continue
            for place, masks in enumerate(find(image)):
                judged = masks[masks.areas >= right.areas.min()]
                if len(judged):
                    overlaps = rle.iou(judged.counts, right.counts).max(axis=1)
                    stability = np.nan_to_num(judged.stability, nan=1.0)
                    seen[place] += zip(judged.scores, stability, overlaps, strict=True)
        return [
            calibrate(np.array(one).reshape(-1, 3), self.config.accepted, self.config.precision)
            for one in seen
        ]

    def audit(self, images: Sequence[ImageRecord]) -> float:
        """Look at a sample of the masks, correct them, and give the seconds that it takes."""
        masks = [(one, i) for one in images for i in range(len(self.store.masks(one.id).ids))]
        rng = np.random.default_rng([self.config.seed, 3])
        seconds = 0.0
        for which in rng.permutation(len(masks))[: self.config.audited].tolist():
            image, i = masks[which]
            stored = self.store.masks(image.id)
            ((thing, overlap),) = self.matches(stored.masks[[i]], image)
            took = self.config.time.check
            if overlap >= self.config.enough:
                change = Change("review", stored.ids[i], stored.revisions[i], review="accepted")
            elif overlap >= SAME:
                took += self.config.time.outline * (1 - overlap)
                better = self.truths[image.name][[thing]]
                change = Change("edit", stored.ids[i], stored.revisions[i], masks=better)
            else:
                change = Change("review", stored.ids[i], stored.revisions[i], review="rejected")
            self.store.change(image, [change], Provenance(person="Rita", seconds=took))
            seconds += took
        return seconds

    def learn(self) -> Iterator[Retrained]:
        """Let model and detector learn from what was accepted so far."""
        few = replace(USUAL_LOOP, workers=0, seed=self.config.seed)
        steps = self.config.steps
        loop = replace(few, steps=steps, evaluate_every=steps)
        boxes = LoopConfig(
            steps=self.config.detector_steps, batch_size=8, lr=8e-4, warmup=10, seed=few.seed
        )
        start = RetrainConfig(model=self.config.model, val_fraction=0.3, pictures=0, loop=loop)
        part = start.val_fraction
        self.learned |= {
            one.id
            for one in self.store.images()
            if one.state == "accepted" and not is_held_back(one.sha256, part)
        }
        yield retrain(self.store, start)
        yield retrain(self.store, replace(start, learn="detector", loop=boxes))

    def measured(self, stage: str, images: Sequence[ImageRecord], filled: int) -> Stage:
        """Compare what came out with the truth, and with clicks on the first model."""
        ious: list[float] = []
        kept = right = wanted = found = 0
        seconds = 0.0
        for image in images:
            stored = self.store.masks(image.id)
            seconds += stored.image.seconds
            taken = ("accepted", "pending") if stage == "automatic" else ("accepted",)
            places = [i for i, said in enumerate(stored.reviews) if said in taken]
            pairs = self.matches(stored.masks[places], image)
            ious += [overlap for _, overlap in pairs]
            kept += sum(stored.people[i] is None for i in places)
            things = {thing for thing, overlap in pairs if overlap >= self.config.accepted}
            right += len(things)
            wanted += len(self.wanted(image))
            found += len(things & set(self.wanted(image)))
        of_things = [one for one in ious if one >= SAME]
        by_clicks, clicks_seconds = ious, seconds
        if stage != "assisted":
            by_clicks, clicks_seconds = self._by_clicks(images)
        return Stage(
            stage=stage,
            photos=len(images),
            version=self.used("model")[0],
            detector=self.used("detector")[0],
            masks=len(ious),
            right=right,
            minutes=seconds / 60,
            filled=filled,
            kept=kept,
            unknown=1 - len(of_things) / max(1, len(ious)),
            iou=_mean(of_things),
            above_75=_mean([iou > 0.75 for iou in of_things]),
            above_90=_mean([iou > 0.9 for iou in of_things]),
            found=found / max(1, wanted),
            clicks_minutes=clicks_seconds / 60,
            clicks_masks=len(by_clicks),
            clicks_iou=_mean(by_clicks),
        )

    def _by_clicks(self, images: Sequence[ImageRecord]) -> tuple[list[float], float]:
        """Label the same photos by clicks on the first model; nothing of it goes to the store."""
        model = anymask.load(self.config.model)
        ious, seconds = [], 0.0
        others = annotators([self.config.seed, 1])  # their luck is no other's
        for number, image in enumerate(images):
            who = others[number % len(others)]
            truth = self.truths[image.name]
            dense, embedding = truth.dense(), model.embed(self.store.root / image.name)
            for i in self.wanted(image):
                made, took = who.label(model, embedding, dense[i], self.config)
                overlap = float(rle.iou(made.counts, [truth.counts[i]])[0, 0])
                seconds += took + self.config.time.check
                ious += [overlap] if overlap >= self.config.accepted else []
        return ious, seconds


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else 0.0


# --------------------------------------------------------------------------- the whole


def prepare(config: Config) -> Engine:
    """Make the project: some photos of the set, and what is true of them."""
    shutil.rmtree(config.out, ignore_errors=True)
    folder = config.out / "photos"
    folder.mkdir(parents=True)
    data = open_dataset(config.data / config.set)
    rng = np.random.default_rng(config.seed)
    truths = {}
    for number, i in enumerate(rng.permutation(len(data))[: config.photos].tolist()):
        sample = data[i]
        h, w = sample.image.shape[:2]
        dense = [m for m in sample.masks() if 100 <= m.sum() < 0.9 * h * w]
        dense.sort(key=lambda m: -int(m.sum()))
        name = f"{number:03d}.png"
        PIL.Image.fromarray(sample.image).save(folder / name)
        truths[name] = Masks.from_dense(np.array(dense, bool).reshape(-1, h, w))
    store = Store.init(folder)
    store.add(folder)
    return Engine(config, store, truths, annotators([config.seed]))


def main(config: Config) -> dict[str, Any]:
    """Go through the stages, and give what is in ``results.json``, too."""
    begun = time.process_time()
    engine = prepare(config)
    third = config.photos // 3
    stages: list[Stage] = []
    learned: list[Retrained] = []
    spent: dict[str, float] = {}

    def ends(what: str) -> None:
        spent[what] = time.process_time() - begun - sum(spent.values())
        print(f"{what}: {spent[what]:.0f} s of a processor", flush=True)

    ends("prepare")
    stages.append(engine.measured("assisted", engine.assisted(third), 0))
    ends("assisted")
    learned += engine.learn()
    ends("first retrain")
    filled = engine.fill(third)
    panel = _panel(engine)
    done = engine.assisted(third, "semi-automatic")
    stages.append(engine.measured("semi-automatic", done, filled))
    ends("semi-automatic")
    if config.retrains > 1:
        learned += engine.learn()
        ends("second retrain")
    made, thresholds = engine.alone(third)
    stage = engine.measured("automatic", made, 0)  # before anybody corrects anything
    stage = replace(stage, filled=stage.masks, minutes=engine.audit(made) / 60)
    stages.append(stage)
    ends("automatic")
    results = conclude(engine, stages, [told(one) for one in learned], thresholds, spent)
    engine.store.close()
    panel.save(config.out / "data-engine-filled.jpg", quality=85)  # others' photos: not for docs
    return results


def conclude(
    engine: Engine,
    stages: Sequence[Stage],
    learned: Sequence[dict[str, Any]],
    thresholds: Sequence[Thresholds],
    spent: dict[str, float],
) -> dict[str, Any]:
    """Write the results, the table and the plot."""
    config, status = engine.config, engine.store.status()
    results = {
        "config": json.loads(json.dumps(asdict(config), default=str)),
        "stages": [{**asdict(s), "rate": s.rate, "clicks_rate": s.clicks_rate} for s in stages],
        "retrains": list(learned),
        "thresholds": [asdict(one) for one in thresholds],
        "masks": status.masks,
        "changes_over_30_s": [status.slow, status.timed],
        "processor_seconds": spent,
    }
    (config.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (config.out / "table.md").write_text(table(stages, learned, thresholds))
    plot(stages, (config.pictures or config.out) / "data-engine-stages.png")
    print(table(stages, learned, thresholds))
    return results


def _panel(engine: Engine) -> PIL.Image.Image:
    """Show a photo of the second stage: the truth beside what is filled in."""
    images = [one for one in engine.store.images() if one.state == "open" and one.masks]
    chosen = max(images, key=lambda one: one.masks, default=next(engine.store.images()))
    place = engine.store.root / chosen.name
    found = [engine.truths[chosen.name], engine.store.masks(chosen).masks]
    drawings = [np.array(masks.draw(place).convert("RGB")) for masks in found]
    return PIL.Image.fromarray(np.concatenate(drawings, axis=1))


if __name__ == "__main__":
    main(tyro.cli(Config))
