"""How alike masks of the page's model are to the library's, and how large its files are.

    python benchmarks/browser_model.py IMAGES [--count 48]

The page's weights have 8 bits where there are many (`anymask.export.browser`). Both encoders run in
ONNX Runtime, one decoder answers about the embeddings of both: nine clicks in each image, the one
answer and the three, and boxes around what the library found. Printed are mean IoU, and the bytes
of each file as it goes over the wire.
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

from anymask.batch.inputs import find_images
from anymask.export import browser
from anymask.export.agreement import compare_masks
from anymask.image.image import Image
from anymask.models import cache
from anymask.models.exported import MANIFEST, read_exported
from anymask.models.graph_folder import open_folder
from anymask.models.variants import find
from anymask.predict.segmenter import Segmenter


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


def as_the_page_has_it(folder: Path, files: dict[str, bytes], draft: Path) -> Path:
    """Write the graphs with the weights that the page makes of its files."""
    for path in folder.iterdir():
        shutil.copy(path, draft)
    encoder = json.loads(files[browser.ABOUT])["graphs"]["encoder"]
    for name in encoder["weights"]:
        for file, content in browser.unpacked(gzip.decompress(files[name])).items():
            (draft / file).write_bytes(content)
            about = json.loads((draft / MANIFEST).read_text("utf-8"))
            about["files"][file] = {
                "size": len(content),
                "sha256": cache.digest(draft / file),
            }
            about["graphs"] = {"encoder": about["graphs"]["encoder"]}
            (draft / MANIFEST).write_text(json.dumps(about), encoding="utf-8")
    return draft


def opened(folder: Path) -> Segmenter:
    """Open a folder of graphs as a model."""
    exported = read_exported(folder)
    network = open_folder(folder, exported, "onnx")
    return Segmenter(exported.variant, network, exported.weights_digest)


if __name__ == "__main__":
    main()
