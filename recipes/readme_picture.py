"""Make the picture at the top of the README, with the bundled model.

    python recipes/readme_picture.py

From left to right: a foreground and a background point; a box and six clicks that correct its
mask; the cut-out; everything.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

from pathlib import Path

import numpy as np
import PIL.Image

import anymask

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "pictures"
SPOON = {"points": [(365, 270), (372, 190)], "labels": [1, 0]}
CUP = {
    "box": (170, 15, 412, 310),
    "points": [(300, 215), (182, 100), (225, 270), (365, 270), (300, 290), (195, 8)],
    "labels": [1, 1, 1, 0, 0, 0],
}
GAP = 8


def squares(size: tuple[int, int], step: int = 12) -> PIL.Image.Image:
    """Draw the grey and white squares that stand for "nothing here": RGB, (width, height)."""
    y, x = np.mgrid[: size[1], : size[0]] // step
    grey = np.where((x + y) % 2, 255, 225).astype(np.uint8)
    return PIL.Image.fromarray(grey).convert("RGB")


def main() -> None:
    """Cut the coffee out in four ways and put the results side by side."""
    photo = anymask.Image.open(PICTURES / "coffee.jpg")
    model = anymask.load()
    embedding = model.embed(photo)
    spoon = model.predict(embedding, **SPOON).best()
    cup = model.predict(embedding, **CUP).best()
    paper = squares(photo.to_pil().size)
    cut = cup.cutout(photo)
    paper.paste(cut, mask=cut)
    panels = [
        spoon.draw(photo),
        cup.draw(photo),
        paper,
        model.generate(photo).draw(photo, prompts=False),
    ]
    w, h = panels[0].size
    strip = PIL.Image.new("RGB", (len(panels) * (w + GAP) - GAP, h), "white")
    for i, panel in enumerate(panels):
        strip.paste(panel, (i * (w + GAP), 0))
    strip = strip.resize(
        (strip.width * 2 // 3, strip.height * 2 // 3), PIL.Image.Resampling.LANCZOS
    )
    strip.save(PICTURES / "cut-outs.jpg", predicted_iou=90, optimize=True)


if __name__ == "__main__":
    main()
