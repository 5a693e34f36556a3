"""``anymask --help`` answers at once; values, files and drawings do without torch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from anymask.evaluate.protocols import PROTOCOLS

SOURCE = Path(__file__).resolve().parents[2] / "src"
HEAVY = {"torch", "numpy", "PIL", "cv2", "safetensors", "huggingface_hub"}

HELP = """
import sys
from anymask.cli import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    assert not end.code, end.code
print(",".join(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
"""

# Each is run after those before it, in one process and an empty folder.
VALUES = """
import io, json, os; from pathlib import Path
import numpy as np, PIL.Image
---
import anymask; from anymask import Detections, Image, InputError, Masks, Prompt
---
anymask.VARIANTS; anymask.GenerateConfig(); anymask.InstanceConfig(); anymask.errors
---
dense = np.zeros((3, 48, 64), bool); dense[0, 5:40, 6:50] = dense[1, 10:20, 10:20] = True
dense[2, 6:40, 6:50] = True
---
prompts = [Prompt([(8, 9), (60, 40)], [1, 0]), Prompt(box=(10, 10, 20, 20)), None]
---
Prompt(mask=dense[0]).check_inside((48, 64)); Prompt(text="cup").required_capabilities
---
Prompt(mask_logits=np.zeros((4, 4), np.float32)).form; Prompt.nothing()
---
picture = Image.open(np.random.default_rng(0).integers(0, 256, (48, 64, 4), dtype=np.uint8))
---
for name in ("a.png", "a.jpg", "a.webp", "a.tif"): picture.save(name)
---
for name in ("a.png", "a.jpg", "a.webp", "a.tif"): Image.open(name).crop((3, 3, 20, 20)).to_pil()
---
Image.open(Path("a.png").read_bytes()); Image.open(PIL.Image.open("a.jpg")); Image.open("a.tif").geo
---
from anymask.image.bands import open_bands
for name in ("a.png", "a.jpg"):
    with open_bands(name) as bands: bands.read(3, 9)
---
from anymask.image.geo import read_geo; from anymask.image.pixels import read_size
read_geo("a.png"); read_size("a.jpg")
---
scores = np.array([0.5, 0.9, 0.7])
masks = Masks.from_dense(dense, scores=scores, prompts=tuple(prompts), source="a.png")
---
masks[0]; masks[::2]; masks[masks.areas > 100]; masks == masks[:]; repr(masks); list(masks)
---
Masks.concat([masks, Masks.empty((48, 64))]).dense(); masks.rle(); masks.points_xy
---
masks.best(); masks.sort("area"); masks.filter(min_area=9, min_score=0.1, max_area=0.9)
---
for kind in ("box", "mask", "containment"): masks.nms(0.5, kind)
---
masks.tree(); masks.label_map(); masks.label_map("first_on_top")
---
masks.draw(picture).save("overlay.png"); masks.draw("a.png", alpha=0.2, prompts=True)
---
masks.cutout(picture); masks.cutout("a.jpg", crop=True, feather=0)
---
from anymask.formats import names, read, write
for name in names(): masks.save(f"masks.{name}", format=name)
---
for name in names():
    for other in names(): read(f"masks.{name}", format=name).save("other", format=other)
---
masks.save("masks.json"); assert len(anymask.read("masks.json")) == 3
---
assert anymask.read("masks.json").prompts[0].points_xy.shape == (2, 2)
---
found = Detections((48, 64), [(1, 2, 30, 40), (2, 2, 30, 40)], scores[:2], ["cup", "dog"])
---
found.nms(); found.sort().filter(min_score=0.1); found[0]; found.clip(); repr(found)
---
found.prompts(); found.masks(); found.draw(picture); found.save("d.json"); Detections.load("d.json")
---
Detections.from_masks(masks); Detections.concat([found, found])
---
for bad in (b"", "no.png", [1]):
    try: Image.open(bad)
    except InputError: pass
"""
WITH_EXTRAS = """
masks.polygons(); masks.label_map(fill=True)
---
masks.save("polygons.json", format="coco", polygons=True); anymask.read("polygons.json")
---
import tifffile; tifffile.imwrite("b.tif", np.zeros((9, 9, 3)), photometric="rgb")
---
Image.open("b.tif"); read_size("b.tif")
with open_bands("b.tif") as bands: bands.read(3, 9)
"""
RUN = """
import sys
for place, snippet in enumerate(sys.stdin.read().split("---\\n")):
    exec(snippet, globals())
    assert "torch" not in sys.modules, f"torch is loaded by: {snippet}"
"""


def help_seconds(arguments: list[str]) -> float:
    """Run the help in a fresh process and return the processor seconds it took.

    Not wall time: that would fail the check whenever the machine has something else to do.
    """
    before = os.times()
    subprocess.run(
        [sys.executable, "-m", "anymask", *arguments],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        stdout=subprocess.DEVNULL,
        timeout=60,
        check=True,
    )
    after = os.times()
    return (after.children_user - before.children_user) + (
        after.children_system - before.children_system
    )


def test_help_takes_less_than_300_milliseconds() -> None:
    assert min(help_seconds(["--help"]) for _ in range(7)) < 0.3


@pytest.mark.parametrize(
    "arguments",
    [[*words, "--help"] for words in ([], ["segment"], ["everything"], ["evaluate"], ["train"])]
    + [["evaluate", name, "--help"] for name in PROTOCOLS]
    + [["distill", "--help"], ["distill", "sami", "--help"]],
)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    result = subprocess.run(
        [sys.executable, "-c", HELP, *arguments],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "usage" in result.stdout.lower()
    assert set(result.stderr.split()[-1].split(",")) & HEAVY == set()


def run_without_torch(snippets: str, folder: Path) -> str:
    """Run snippets one after the other in a fresh process; return what it complains about."""
    result = subprocess.run(
        [sys.executable, "-c", RUN],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        input=snippets,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return result.stderr[-2000:] if result.returncode else ""


def test_values_files_and_drawings_do_without_torch(tmp_path: Path) -> None:
    assert run_without_torch(VALUES, tmp_path) == ""


def test_so_do_the_parts_with_extras(tmp_path: Path) -> None:
    for module in ("cv2", "tifffile"):
        pytest.importorskip(module)
    assert run_without_torch(VALUES + "---" + WITH_EXTRAS, tmp_path) == ""


def test_the_guard_sees_torch(tmp_path: Path) -> None:
    assert "torch is loaded by: 2; import torch" in run_without_torch(
        "1\n---\n2; import torch\n---\n3", tmp_path
    )
