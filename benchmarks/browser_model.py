"""How alike the answers of the page's model are to the library's, and how large its files are.

    python benchmarks/browser_model.py IMAGES [--count 48]

The page's weights have fewer bits where there are many (`anymask.export.browser`). Both models run
in ONNX Runtime: nine clicks in each image, the one answer and the three, and boxes around what the
library found, which one decoder answers about the embeddings of both. Beside them the detector's
boxes and scores, of what it is surer of than 0.3, and the saliency network's map, cut at 0.5.
Printed are mean IoU, how far scores differ, and the bytes of each file as it goes over the wire.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

import argparse
import gzip
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime

from anymask import geometry
from anymask.arrays import sigmoid
from anymask.batch.inputs import find_images
from anymask.export import browser
from anymask.export.agreement import compare_masks
from anymask.image.image import Image
from anymask.models import cache, salient, ssd
from anymask.models.exported import MANIFEST, read_exported
from anymask.models.graph_folder import open_folder
from anymask.models.preprocessing import Preprocessing
from anymask.models.variants import find
from anymask.predict.segmenter import Segmenter

SEARCHES = {"detector": ssd.PREPROCESSING, "saliency": salient.PREPROCESSING}
SURE = 0.3


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("images", type=Path)
    parser.add_argument("--count", type=int, default=48)
    options = parser.parse_args()
    found = find_images([str(options.images)], options.images / "anymask-out")
    chosen = np.linspace(0, len(found) - 1, min(len(found), options.count)).astype(int)
    images = [Image.open(found[i].source) for i in chosen]
    folder = cache.place(find("bundled")).parent
    model = opened(folder)
    files = browser.browser_model(model)
    for name, content in files.items():
        print(f"{name:22} {len(content):10,} bytes")
    with tempfile.TemporaryDirectory() as draft:
        small = opened(as_the_page_has_it(folder, files, Path(draft)))
        clicks, boxes, masks = compare_masks(model, small.embed, images)
        over = f"{masks} masks of {len(images)} images"
        print(f"mean IoU over {over}: clicks {clicks:.4f}, boxes {boxes:.4f}")
        compare_searches(folder, Path(draft), images)


def compare_searches(whole: Path, small: Path, images: list[Image]) -> None:
    """Ask detector and saliency network of two folders about images, and print how they differ."""
    seen: list[float] = []
    gaps: list[float] = []
    subjects: list[float] = []
    graphs = {role: [session(place, role) for place in (whole, small)] for role in SEARCHES}
    for image in images:
        pixels = {role: pixels_of(image, wanted) for role, wanted in SEARCHES.items()}
        said = {
            role: [dict(zip(names, graph.run(names, {"pixels": pixels[role]}), strict=True))
                   for graph, names in both]
            for role, both in graphs.items()
        }  # fmt: skip
        scores = [sigmoid(one["logits"][0][:, 1:]) for one in said["detector"]]
        sure = scores[0].max(axis=1) > SURE
        gaps.extend(np.abs(scores[0] - scores[1])[sure].max(axis=1))
        boxes = [ssd.decode(one["codes"][0])[sure] for one in said["detector"]]
        seen.extend(np.diag(geometry.box_iou(*boxes)))
        a, b = (next(iter(one.values())) > 0 for one in said["saliency"])
        subjects.append((a & b).sum() / max((a | b).sum(), 1))
    print(f"detector: {len(seen)} boxes, mean IoU {np.mean(seen):.4f}, least {np.min(seen):.4f};")
    print(f"    scores differ by {np.mean(gaps):.4f}, at most by {np.max(gaps):.4f}")
    print(f"saliency: mean IoU {np.mean(subjects):.4f}, least {np.min(subjects):.4f}")


def session(folder: Path, role: str) -> tuple[onnxruntime.InferenceSession, list[str]]:
    """Open a graph of a folder; gives the names of its answers, too."""
    opened = onnxruntime.InferenceSession(str(folder / f"{role}.onnx"))
    return opened, [one.name for one in opened.get_outputs()]


def pixels_of(image: Image, wanted: Preprocessing) -> np.ndarray:
    """Bring an image into the frame of a network."""
    transform = wanted.fit(image.size_hw)
    frames = wanted.frames(transform.resize(image, wanted.resize)[None], transform, "cpu")
    return np.asarray(frames, np.float32)


def as_the_page_has_it(folder: Path, files: dict[str, bytes], draft: Path) -> Path:
    """Write the graphs with the weights that the page makes of its files."""
    for path in folder.iterdir():
        if path.is_file():
            shutil.copy(path, draft)
    about = json.loads((draft / MANIFEST).read_text("utf-8"))
    whole: dict[str, np.ndarray] = {}
    for name in (one for one in files if one.endswith(".weights.gz")):
        for file, content in browser.unpacked(gzip.decompress(files[name])).items():
            values = np.frombuffer(content, np.uint8)
            whole[file] = np.maximum(whole.get(file, 0), values)  # zeros where others belong
    for file, values in whole.items():
        (draft / file).write_bytes(values.tobytes())
        about["files"][file] = {"size": values.size, "sha256": cache.digest(draft / file)}
    (draft / MANIFEST).write_text(json.dumps(about), encoding="utf-8")
    return draft


def opened(folder: Path) -> Segmenter:
    """Open a folder of graphs as a model."""
    exported = read_exported(folder)
    network = open_folder(folder, exported, "onnx")
    return Segmenter(exported.variant, network, exported.weights_digest)


if __name__ == "__main__":
    main()
