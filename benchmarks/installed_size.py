"""Measure how much an installation takes, with PyTorch and without (docs/lite.md).

    make dist && python benchmarks/installed_size.py dist/*.whl

Each is made in an empty folder, without pip and setuptools, and measured by the files that lie in
it, compiled bytecode included. Without PyTorch, the bundled model then answers a click there, where
nothing else can be imported, and the folder is measured again: with what was compiled for it.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PHOTO = ROOT / "docs" / "pictures" / "coffee.jpg"
# -S: without what else is installed for this Python.
CLICK = (
    sys.executable,
    "-S",
    "-c",
    """
import sys
sys.path.insert(0, sys.argv[1])
import anymask
assert len(anymask.load().predict(sys.argv[2], points=[(365, 270)])) == 3
""",
)


def size(*installs: tuple[str, ...], click: bool = False) -> tuple[float, float]:
    """Install into an empty folder; give its megabytes, and those of them that are bytecode."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    pins = ["--constraint", str(ROOT / "constraints.txt")]
    with tempfile.TemporaryDirectory() as folder:
        for packages in installs:
            subprocess.run([*pip, *pins, "--target", folder, *packages], check=True)
        if click:
            skipped = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
            environment = {k: v for k, v in os.environ.items() if k not in skipped}
            subprocess.run([*CLICK, folder, str(PHOTO)], env=environment, check=True)
        files = [path for path in Path(folder).rglob("*") if path.is_file()]
        compiled = sum(path.stat().st_size for path in files if path.suffix == ".pyc")
        return sum(path.stat().st_size for path in files) / 1e6, compiled / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--lite", action="store_true", help="without PyTorch alone: a minute")
    options = parser.parse_args()
    wheel = str(options.wheel.resolve())
    lite = (("--no-deps", wheel, "onnxruntime"), ("numpy", "pillow"))
    ways = {
        "without PyTorch": size(*lite, click=True),
        "... --no-compile": size(*(("--no-compile", *one) for one in lite), click=True),
    }
    if not options.lite:
        ways["all"] = size((wheel,))
    for name, (whole, compiled) in ways.items():
        print(f"{name:16} {whole:6.0f} MB, of which {compiled:.0f} MB are bytecode")


if __name__ == "__main__":
    main()
