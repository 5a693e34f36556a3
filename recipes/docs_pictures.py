"""Make the pictures of the tutorial, the gallery and other pages, with the bundled model.

    python recipes/docs_pictures.py

The prompts are those of `docs/tutorial.md`; nothing is retouched. `recipes/readme_picture.py` makes
the one of the README.
"""

from __future__ import annotations

import io
import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageEnhance

import anymask
from anymask.extras import edit, inpaint, paste

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "pictures"
PHOTOS = PICTURES / "photos"
GAP = 8
HEIGHT = 360


def on_squares(cut: PIL.Image.Image, step: int = 12) -> PIL.Image.Image:
    """Lay a cut-out, RGBA, over the grey and white squares that stand for "nothing here"."""
    y, x = np.mgrid[: cut.height, : cut.width] // step
    grey = np.where((x + y) % 2, 255, 225).astype(np.uint8)
    paper = PIL.Image.fromarray(grey).convert("RGB")
    paper.paste(cut, mask=cut)
    return paper


def in_a_row(panels: Sequence[PIL.Image.Image], name: str) -> None:
    """Bring the panels to one height and save them side by side."""
    same = [
        panel.convert("RGB").resize(
            (round(panel.width * HEIGHT / panel.height), HEIGHT), PIL.Image.Resampling.LANCZOS
        )
        for panel in panels
    ]
    width = sum(panel.width for panel in same) + GAP * (len(same) - 1)
    strip = PIL.Image.new("RGB", (width, HEIGHT), "white")
    left = 0
    for panel in same:
        strip.paste(panel, (left, 0))
        left += panel.width + GAP
    strip.save(PICTURES / name, quality=88, optimize=True)
    print(name, strip.size)


def rocket(model: anymask.Segmenter) -> None:
    """Cut out by a box: the overlay, and the cut-out from closer."""
    path = PHOTOS / "rocket.jpg"
    mask = model.predict(path, box=(305, 95, 345, 330)).best()
    near = (225, 80, 425, 380)
    overlay, cut = mask.draw(path), mask.cutout(path, crop=False)
    in_a_row([overlay, overlay.crop(near), on_squares(cut.crop(near))], "tutorial-rocket.jpg")


def clicks(model: anymask.Segmenter) -> None:
    """Cut the cat out by a click, and the astronaut by a click and its corrections."""
    path = PHOTOS / "astronaut.jpg"
    cat = model.predict(PHOTOS / "cat.jpg", points=[(230, 180)]).best()
    embedding = model.embed(path)
    first = model.predict(embedding, points=[(225, 300)]).best()
    better = model.predict(
        embedding,
        points=[(225, 300), (225, 60), (400, 420)],
        labels=[1, 1, 0],
        mask_logits=first.logits[0],
    )
    panels = [cat.draw(PHOTOS / "cat.jpg"), first.draw(path), better.draw(path)]
    in_a_row(panels, "tutorial-clicks.jpg")


def words(model: anymask.Segmenter) -> None:
    """Cut out by name, each photo asked for the same words; and the boxes behind it."""
    panels = []
    for path in (PHOTOS / "cat.jpg", PICTURES / "coffee.jpg", PHOTOS / "astronaut.jpg"):
        panels.append(model.predict(path, text="cat. cup. person").draw(path))
    in_a_row([*panels, anymask.detect(path).draw(path)], "words.jpg")


def everything(model: anymask.Segmenter) -> None:
    """Find everything; and which mask is a part of which; and one number for each pixel."""
    astronaut, coffee = PHOTOS / "astronaut.jpg", PICTURES / "coffee.jpg"
    found = {path: model.generate(path, min_area=200) for path in (astronaut, coffee)}
    in_a_row(
        [masks.draw(path, prompts=False) for path, masks in found.items()],
        "tutorial-everything.jpg",
    )
    masks = found[astronaut]
    tree = masks.tree()
    parts = masks[[i for i in range(len(masks)) if tree.depth[i] > 0]]
    in_a_row(
        [m.draw(astronaut, prompts=False) for m in (masks[tree.roots], parts)], "gallery-tree.jpg"
    )
    labels = found[coffee].label_map("best_on_top", fill=True)
    colours = np.random.default_rng(3).integers(40, 256, (labels.max() + 1, 3), dtype=np.uint8)
    photo = PIL.Image.open(coffee)
    in_a_row([photo, PIL.Image.fromarray(colours[labels])], "gallery-label-map.jpg")


def names(model: anymask.Segmenter) -> None:
    """Name the masks of everything mode: all of them, the things alone, and the semantic map."""
    path, words = PHOTOS / "cat.jpg", ["cat", "dog", "person"]
    masks = model.generate(path)
    named = anymask.label(masks, path, words)
    things = anymask.label(masks, path, words, label_keep="things")
    values = io.BytesIO()
    named.save(values, format="semantic", names=words)
    panels = [named.draw(path, prompts=False), things.draw(path, prompts=False)]
    in_a_row([*panels, PIL.Image.open(values)], "labels.jpg")


def subject(model: anymask.Segmenter) -> None:
    """Cut out what three photos are of, and lay it over other colours; fur from closer."""
    papers = {"coffee": (38, 120, 128), "astronaut": (240, 186, 60), "cat": (205, 60, 120)}
    panels = [PIL.Image.open(PICTURES / "coffee.jpg")]
    for name, colour in papers.items():
        path = (PICTURES if name == "coffee" else PHOTOS) / f"{name}.jpg"
        cut = model.subject(path).cutout(path, soft=True)
        paper = PIL.Image.new("RGB", cut.size, colour)
        paper.paste(cut, mask=cut)
        panels.append(paper)
    whiskers = panels[-1].crop((0, 160, 210, 300))
    in_a_row([*panels, whiskers], "subject.jpg")


def removal(model: anymask.Segmenter) -> None:
    """Remove the spoon and the rocket."""
    spoon, rocket = PICTURES / "coffee.jpg", PHOTOS / "rocket.jpg"
    asked = {
        spoon: {"points": [(365, 290), (412, 85)]},
        rocket: {"box": (305, 95, 345, 330)},
    }
    panels = []
    for path, prompt in asked.items():
        mask = model.predict(path, **prompt).best()
        panels += [mask.draw(path), inpaint(path, mask, feather=2).to_pil()]
    in_a_row(panels[:2], "inpaint-spoon.jpg")
    in_a_row(panels[2:], "inpaint-rocket.jpg")


def edits(model: anymask.Segmenter) -> None:
    """Change what is behind a cup, and its colour."""
    coffee = PICTURES / "coffee.jpg"
    cup = model.subject(coffee)
    asked = [
        {"background": "blur"},
        {"background": "grey"},
        {"background": PHOTOS / "rocket.jpg"},
        {"colour": "#1f5fbf"},
    ]
    in_a_row([edit(coffee, cup, **one).to_pil() for one in asked], "edit.jpg")


def drag_in(model: anymask.Segmenter) -> None:
    """Hand a cup to the astronaut; and a second rocket, cut out with some of its sky."""
    coffee, rocket = PICTURES / "coffee.jpg", PHOTOS / "rocket.jpg"
    cup = model.subject(coffee).cutout(coffee, soft=True)
    placed = {"at": (250, 400), "scale": 0.4, "rotate": 10}
    astronaut = PHOTOS / "astronaut.jpg"
    in_a_row(
        [
            on_squares(cup),
            paste(cup, astronaut, **placed).image.to_pil(),
            paste(cup, astronaut, **placed, shadow=True).image.to_pil(),
        ],
        "paste-cup.jpg",
    )
    y, x = np.mgrid[:427, :640]
    loose = np.hypot((x - 322) / 45, (y - 200) / 150) < 1
    placed = {"at": (480, 130), "scale": 0.6, "mask": loose}
    blends = [paste(rocket, rocket, **placed, blend=b).image.to_pil() for b in ("alpha", "poisson")]
    in_a_row(blends, "paste-blends.jpg")


def main() -> None:
    """Make them all."""
    model = anymask.load()
    pictures = (rocket, clicks, words, everything, subject, names, removal, example, edits, drag_in)
    for picture in pictures:
        picture(model)


def example(model: anymask.Segmenter) -> None:
    """Know a cup from one photo, and find it in another into which it was pasted, twice.

    Smaller, turned and darker; and a photo without it.
    """
    path = PICTURES / "coffee.jpg"
    cup = model.predict(path, box=(170, 15, 412, 310)).best()
    personal = model.personalize(path, cup, names="my cup")
    ground = PIL.Image.open(PHOTOS / "astronaut.jpg").convert("RGB")
    pasted = ground.copy()
    cut = cup.cutout(path, crop=True)
    for scale, light, turn, place in ((0.5, 0.85, 12, (10, 330)), (0.6, 0.95, -8, (320, 10))):
        one = PIL.ImageEnhance.Brightness(cut).enhance(light).rotate(turn, expand=True)
        one = one.resize((round(one.width * scale), round(one.height * scale)))
        pasted.paste(one, place, one)
    panels = [cup.draw(path, prompts=False)]
    for photo in (pasted, ground):
        masks = personal.find(photo)
        print(masks)
        panels.append(masks.draw(photo, prompts=False))
    in_a_row(panels, "example.jpg")


if __name__ == "__main__":
    main()
