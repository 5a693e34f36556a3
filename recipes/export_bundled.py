"""The graphs that ship with the package, made of the weights that ship with it.

    python recipes/export_bundled.py

Run it after each change of a file of weights in src/anymask/models/bundled: the graphs read their
weights from those very files, so that they add but little to the package, and refuse others. It
compares what it wrote with PyTorch for every kind of prompt, and prints the report.
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

from anymask.export import weights
from anymask.export.parts import DecoderOptions
from anymask.export.simplify import simplify
from anymask.export.trace import OPSET, trace
from anymask.export.write import about, as_json, check_graph, compare, list_parts, load_source, mark
from anymask.models.compact import TAPS
from anymask.models.exported import MANIFEST, record
from anymask.models.weights.locate import locate

COMPACT, DETECTOR, SALIENCY = (
    f"anymask-{name}.safetensors" for name in ("compact", "detector", "saliency")
)
OPTIONS = DecoderOptions()

KEYS = {
    "encoder": {"network.": f"{COMPACT}:"},
    "decoder": {"network.": f"{COMPACT}:"},
    "detector": {"trunk.": f"{COMPACT}:{TAPS}backbone.", "": f"{DETECTOR}:"},
    "saliency": {"": f"{SALIENCY}:"},
}
"""Of each graph: how the names of its weights begin, and in which file the rest is a key."""


def main() -> int:
    """Write the graphs beside the weights, once they answer as PyTorch does."""
    place = locate("bundled", offline=True)[0].parent
    files = {name: place / name for name in (COMPACT, DETECTOR, SALIENCY)}
    source = load_source("bundled", offline=True, adapter=None)
    exported = about(source, OPTIONS, "onnx", OPSET, raw_image=False)
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder)
        for name, path in files.items():
            (draft / name).write_bytes(path.read_bytes())
        graphs, written = {}, dict(files)
        for part in list_parts(source, OPTIONS):
            model = trace(
                part.module, part.inputs, part.outputs, part.sizes, OPSET, keep_names=True
            )
            simplify(model)
            weights.share(model, KEYS[part.role], files)
            weights.shorten(model)
            mark(model, exported, part.role)
            path = draft / f"{part.role}.onnx"
            weights.save(model, path)
            check_graph(path)
            graphs[part.role] = path.name
            written[path.name] = path
        records = {name: record(draft / name) for name in written}
        exported = replace(exported, graphs=graphs, files=records)
        report = compare(draft, source, exported)
        print(report.to_text())
        report.check()
        for name in graphs.values():
            (place / name).write_bytes((draft / name).read_bytes())
        (place / MANIFEST).write_text(as_json(exported.to_json()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
