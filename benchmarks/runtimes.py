"""Compare the published order of work, ours, and graphs by OpenVINO and ONNX Runtime.

    python benchmarks/runtimes.py           # all rows; on a quiet machine about 20 minutes
    python benchmarks/runtimes.py --rows mobile-sam bundled --threads 1

Writes SAM-B, MobileSAM and EfficientSAM-Ti with random weights, which compute as long as trained
ones, into a temporary folder, exports them, and runs `anymask evaluate speed --runtime ...` on
each: all by turns in one process, medians, processor time on one thread and the time that passes
on two. Random decoders trust few of their masks, so everything mode means asking and measuring
them. Prints the tables and, at the end, the load of the machine. How long a process needs to its
first mask: `python benchmarks/startup.py`.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import tyro

from anymask.cli import main as anymask
from anymask.export import export
from anymask.models.build import build
from anymask.models.variants import find

Row = Literal["sam-vit-b", "mobile-sam", "efficient-sam-ti", "bundled", "everything"]
PHOTO = Path(__file__).parents[1] / "docs" / "pictures" / "coffee.jpg"


@dataclass(frozen=True)
class Options:
    """What to run."""

    rows: tuple[Row, ...] = ("sam-vit-b", "mobile-sam", "efficient-sam-ti", "bundled", "everything")
    """Encoders, a click with the bundled model, everything mode of MobileSAM on 16 x 16 points."""
    threads: tuple[int, ...] = (1, 2)
    """Numbers of threads."""
    repeats: int = 3
    """Runs of each way that count; ten times as many of the bundled model, one of everything."""
    folder: Path | None = None
    """Where weights and graphs are kept for the next time; without it, nowhere."""


def main(options: Options) -> None:
    """Write, export, measure and print."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for row in options.rows:
            print(f"\n## {row}\n", flush=True)
            run(row, folder, options)
    print(f"\nThe machine's load (1, 5 and 15 minutes): {os.getloadavg()}.")


def run(row: Row, folder: Path, options: Options) -> None:
    """Measure one row."""
    words = [
        "evaluate",
        "speed",
        "--image",
        str(PHOTO),
        "--no-memory",
        "-o",
        str(folder / "report"),
    ]
    words += ["--threads", *map(str, options.threads)]
    if row == "bundled":
        words += [
            "--runtime",
            "torch",
            "onnx",
            "openvino",
            "--dtypes",
            "float32",
            "bfloat16",
            "--tasks",
            "segment",
            "embed",
            "predict",
        ]
        words += ["--repeats", str(10 * options.repeats)]
    else:
        name = "mobile-sam" if row == "everything" else row
        kinds = (None, "bf16")
        models = [weights(name, folder), *(graphs(name, kind, folder) for kind in kinds)]
        words += ["--model", *map(str, models)]
        words += ["--runtime", "published", "torch", "openvino", "onnx"]
        if row == "everything":
            words += [
                "--tasks",
                "everything",
                "--points-per-side",
                "16",
                "--repeats-everything",
                "1",
            ]
        else:
            words += ["--tasks", "embed", "--repeats", str(options.repeats)]
    if code := anymask(words):
        raise SystemExit(code)


def weights(name: str, folder: Path) -> Path:
    """Write random weights that let something of every branch through."""
    path = folder / f"{name}.pth"
    if not path.is_file():
        torch.manual_seed(0)
        network = build(find(name)).eval()
        for parameter in network.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.02)
        torch.save(network.state_dict(), path)
    return path


def graphs(name: str, kind: Literal["bf16"] | None, folder: Path) -> Path:
    """Export them."""
    place = folder / f"{name}-{kind or 'float32'}"
    if not place.is_dir():
        export(weights(name, folder), place, quantize=kind)
    return place


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
