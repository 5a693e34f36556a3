"""The line runs where numpy, Pillow and ONNX Runtime are all there is (see docs/lite.md)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import anymask
from anymask.predict.loading import can_run

ROOT = Path(__file__).resolve().parents[2]
PHOTO = ROOT / "docs/pictures/coffee.jpg"

# Run in a fresh process: nothing is found but the three packages and ours, as if no other were
# installed. Each snippet is run after those before it, in an empty folder.
ALONE = """
import importlib.machinery, json, sys

job = json.loads(sys.argv[1])
known = set(job["packages"]) | sys.stdlib_module_names

class Installed(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        found = name.partition(".")[0] in known
        return super().find_spec(name, path, target) if found else None

sys.meta_path[:] = [*sys.meta_path[:2], Installed]
for snippet in job["snippets"].split("---\\n"):
    try:
        exec(snippet, globals())
    except Exception as error:
        raise SystemExit(f"{type(error).__name__}: {error}; in: {snippet}")
foreign = {name.partition(".")[0] for name in sys.modules} & {"torch", "safetensors", "cv2", "yaml"}
assert not foreign, foreign
"""
LINE = """
import io, pathlib, warnings; warnings.simplefilter("error")
import numpy as np
import anymask
from anymask import Embedding, Image, Prompt
CUP = 172, 20, 419, 319
---
model = anymask.load(FOLDER); assert model.device == "cpu" and "cpu" in repr(model)
---
embedding = model.embed(PHOTO)
assert all(type(maps) is np.ndarray for maps in embedding.features.values())
---
for kind in ("float32", "float16", "int8"):
    embedding.save("photo.embedding", kind)
    again = Embedding.load("photo.embedding")
    assert all(type(maps) is np.ndarray for maps in again.features.values())
---
cup = model.predict(embedding, points=[(365, 270)])
assert len(cup) == 3 and type(cup.logits) is np.ndarray
---
first = model.predict(again, points=[(365, 270)]).best()
---
boxed = model.predict(embedding, box=CUP)
both = model.predict(embedding, points=[(365, 270), (9, 9)], labels=[1, 0], box=CUP)
---
rough = model.predict(embedding, mask=boxed.dense()[0])
finer = model.predict(embedding, mask_logits=boxed.logits[0], box=CUP)
---
many = model.predict(embedding, prompts=[Prompt((365, 270)), Prompt(box=(9, 9, 90, 90))] * 5)
lists = model.predict(model.embed([PHOTO, PHOTO]), prompts=[[Prompt((365, 270))], []])
assert [len(some) for some in lists] == [1, 0] and len(many) == 10
---
everything = model.generate(PHOTO, points_per_side=6, ranking="outline")
sampled = model.generate(PHOTO, points_per_side=6, sampler="boxes", thing_boxes=4)
tiled = model.generate(PHOTO, points_per_side=3, tile=300)
assert min(len(everything), len(sampled), len(tiled)) > 1
---
overlay = cup.draw(PHOTO, prompts=True); overlay.save("overlay.png")
cup.best().cutout(PHOTO, soft=True).save("cut-out.png"); boxed.matte(PHOTO)
---
boxed.save("boxed.png"); cup.save("cup.json"); everything.save("all.json", format="coco")
assert anymask.read("cup.json") == anymask.read(pathlib.Path("cup.json").read_bytes())
assert len(anymask.read("all.json", format="coco")) == len(everything)
"""
WORDS = """
found = anymask.detect(PHOTO, "cup"); assert found.labels == ("cup",)
named = model.predict(embedding, text="cup. dog"); assert named.labels == ("cup",)
assert model.detect(PHOTO, "cup") == found
---
subject = model.subject(PHOTO); assert subject.labels == ("subject",)
---
np.savez(OUT, points=cup.best().dense()[0], box=boxed.dense()[0], mask=rough.dense()[0],
         text=named.dense()[0], subject=subject.dense()[0], detected=found.boxes)
"""
REFUSED = """
refused = [
    lambda: anymask.load("sam-vit-b"),
    lambda: anymask.load("bundled", runtime="torch"),
    lambda: anymask.load("bundled", runtime="openvino"),
    lambda: anymask.detect(PHOTO, "zebra", grounder="owlv2"),
    lambda: model.personalize(PHOTO, boxed),
]
said = []
for one in refused:
    try:
        one()
    except anymask.MissingExtraError as error:
        said.append(str(error))
assert len(said) == len(refused), said
assert all("not installed" in one and "pip install" in one for one in said), said
import contextlib
from anymask.cli import main
with contextlib.redirect_stderr(io.StringIO()) as stderr:
    assert main(["segment", PHOTO]) == 2 and main(["--version"]) == 0
assert "this needs the packages tyro and rich" in stderr.getvalue(), stderr.getvalue()
---
try:
    model.predict(PHOTO, text="zebra")
except anymask.InputError as error:
    assert "words that the grounder" in str(error)
"""


def run_alone(snippets: str, folder: Path, **values: object) -> str:
    """Run snippets where only three packages are found; return what they complain about."""
    head = "".join(f"{name} = {value!r}\n" for name, value in values.items())
    packages = ["anymask", "numpy", "PIL", "onnxruntime"]
    job = json.dumps({"snippets": head + "---\n" + snippets, "packages": packages})
    result = subprocess.run(
        [sys.executable, "-c", ALONE, job],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return result.stderr[-3000:] if result.returncode else ""


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.fixture(autouse=True)
def _needs_a_runtime() -> None:
    pytest.importorskip("onnxruntime")


def test_the_bundled_model_does_without_torch_and_gives_the_same_masks(tmp_path: Path) -> None:
    assert can_run("bundled", "onnx")
    known = {"FOLDER": "bundled", "PHOTO": str(PHOTO), "OUT": str(tmp_path / "masks.npz")}
    assert run_alone(LINE + "---" + WORDS + "---" + REFUSED, tmp_path, **known) == ""

    found = np.load(tmp_path / "masks.npz")
    model = anymask.load("bundled", "cpu", runtime="torch")
    embedding = model.embed(PHOTO)
    boxed = model.predict(embedding, box=(172, 20, 419, 319))
    wanted = {
        "points": model.predict(embedding, points=[(365, 270)]).best(),
        "box": boxed,
        "mask": model.predict(embedding, mask=boxed.dense()[0]),
        "text": model.predict(PHOTO, text="cup"),
        "subject": model.subject(PHOTO),
    }
    for name, masks in wanted.items():
        assert iou(found[name], masks.dense()[0]) >= 0.99, name
    np.testing.assert_allclose(found["detected"], model.detect(PHOTO, "cup").boxes, atol=0.1)


def test_the_guard_sees_another_package(tmp_path: Path) -> None:
    assert "No module named 'torch'; in: import torch" in run_alone("import torch", tmp_path)
    assert run_alone("import numpy, PIL, onnxruntime, json", tmp_path) == ""
