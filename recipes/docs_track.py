"""Make the picture of the page about tracking: a cup that moves, grows and turns.

    python recipes/docs_track.py

The clip is put together from photos of the docs: the main subject of one, shrunk, moves over
another, grows and turns. Its mask in the first frame is given.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

from pathlib import Path

import numpy as np
import PIL.Image

import anymask
from anymask import Prompt

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "pictures"
SIZE = 480, 320  # width and height of the frames
LENGTH = 25
SHOWN = (0, 8, 16, 24)


def cut_out(model: anymask.Segmenter, path: Path, width: int) -> PIL.Image.Image:
    """Cut the main subject out of a photo, RGBA, and shrink it."""
    cut = model.subject(path).cutout(path, soft=True)
    cut = cut.crop(cut.getchannel("A").point(lambda a: 255 * (a > 32)).getbbox())
    return cut.resize((width, round(width * cut.height / cut.width)))


def make_clip(model: anymask.Segmenter) -> tuple[list[np.ndarray], np.ndarray]:
    """Put the frames together; also give the mask of the cup in the first one, bool (h, w)."""
    ground = PIL.Image.open(PICTURES / "photos" / "rocket.jpg").convert("RGB").resize(SIZE)
    cup = cut_out(model, PICTURES / "coffee.jpg", 150)
    frames, first = [], np.zeros(SIZE[::-1], bool)
    for i in range(LENGTH):
        scale = 0.7 + 0.5 * i / LENGTH
        turned = cup.rotate(-i, PIL.Image.Resampling.BICUBIC, expand=True)
        shrunk = turned.resize((round(turned.width * scale), round(turned.height * scale)))
        x, y = 8 + round(12 * i), 150 - round(60 * np.sin(i / 8))
        frame = ground.copy()
        frame.paste(shrunk, (x, y), shrunk)
        if i == 0:
            first[y : y + shrunk.height, x : x + shrunk.width] = np.asarray(shrunk)[..., 3] > 127
        frames.append(np.asarray(frame))
    return frames, first


def main() -> None:
    model = anymask.load()
    frames, first = make_clip(model)
    found = model.track(frames, {0: {"cup": Prompt(mask=first)}})
    masks = {frame.index: frame.masks for frame in found}
    for index in SHOWN:
        print(index, masks[index].meta[0]["status"], masks[index].scores.round(2))
    drawn = [masks[index].draw(frames[index]) for index in SHOWN]
    strip = PIL.Image.new("RGB", (2 * SIZE[0] + 6, 2 * SIZE[1] + 6), "white")
    for place, image in enumerate(drawn):
        at = (place % 2 * (SIZE[0] + 6), place // 2 * (SIZE[1] + 6))
        strip.paste(image.convert("RGB"), at)
    strip.save(PICTURES / "track.jpg", quality=88)


if __name__ == "__main__":
    main()
