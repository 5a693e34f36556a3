"""Install the wheel with each extra alone in an empty environment, and run that extra's tests.

    make extras                                  # all of them: an hour, mostly installing
    python recipes/try_extras.py dist/*.whl image eval

What is tested is what users get: the package comes from the wheel, never from `src/`, and nothing
is installed beside the extra but pytest and hypothesis. A test that skips because a package is
missing counts as a failure. Exit code 1 if anything failed.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import tyro

ROOT = Path(__file__).resolve().parents[1]

SLOW_TOO = ("-m", "slow or not slow")

TESTS: dict[str, list[str]] = {
    "": ["tests/image/test_image.py", "tests/predict/test_segmenter.py", "-k", "not on_the_earth"],
    "image": ["tests/image/test_tiff.py", "tests/image/test_bands.py"],
    "heic": ["tests/image/test_files.py", "-k", "heic"],
    "eval": [
        *("tests/evaluate/test_average_precision.py", "tests/evaluate/report/test_plot.py"),
        *("-k", "not equals_pycocotools"),
    ],
    "text": ["tests/text/test_rank.py", "tests/text/test_grounding_dino.py"],
    "inpaint": ["tests/extras/inpaint/test_classical.py"],
    "diffusion": ["tests/extras/inpaint/test_diffusion.py"],
    "depth": ["tests/extras/depth/test_network.py"],
    "lift": ["tests/extras/lift/test_merge.py", "tests/extras/lift/test_ply.py"],
    "viewer": ["tests/cli/test_lift.py", "-k", "viewer_is_told"],
    "video": ["tests/image/test_video.py", "tests/draw/test_video.py"],
    "export": ["tests/export/test_simplify.py", "tests/export/test_samexporter.py"],
    "openvino": ["tests/export/test_bundled.py", "-k", "answer_like and openvino", *SLOW_TOO],
    "serve": ["tests/serve/test_run.py"],
    "label": ["tests/label", "--ignore=tests/label/farm", "-m", "not slow and not postgres"],
    "farm": [
        *("tests/label/farm", "--ignore=tests/label/farm/test_project.py"),
        *("-k", "not pycocotools and not formats_are_known"),  # and what the extra label brings
    ],
    "notebook": ["tests/test_notebook.py"],
}
"""What to run with each extra, as arguments of pytest; "" is the core alone."""

_PACKAGE = re.compile(r"could not import|not installed|extra '")
"""How those say it that skip because a package is missing."""

FOR_DEVELOPERS = ("dev", "docs")
"""Extras that hold no feature: what `make check`, `make test` and `make docs` install."""


@dataclass(frozen=True)
class Config:
    """Which extras to try."""

    wheel: tyro.conf.Positional[Path]
    """The wheel, as `make dist` builds it."""
    extras: tyro.conf.Positional[tuple[str, ...]] = ()
    """Which extras; none: all that hold a feature, and the core without any."""
    keep: Path | None = None
    """Folder for the environments, which are kept; none: a temporary one, one at a time."""


@dataclass(frozen=True)
class Tried:
    """What came out of one extra."""

    extra: str
    megabytes: float
    passed: int
    trouble: str
    note: str = ""

    def __str__(self) -> str:
        """Say it in one line."""
        said = self.trouble or self.note or f"{self.passed} passed"
        return f"{self.extra or '(core)':12} {self.megabytes:7.0f} MB   {said}"


def main(config: Config) -> None:
    features = all_extras()
    extras = config.extras or ("", *features)
    if unknown := [extra for extra in extras if extra and extra not in features]:
        raise SystemExit(f"expected extras of {', '.join(features)}, got {', '.join(unknown)}")
    if not config.wheel.is_file():
        raise SystemExit(f"expected a wheel, but {config.wheel} is not there; run: make dist")
    results = []
    for extra in extras:
        results.append(attempt(config.wheel.resolve(), extra, config.keep))
        print(results[-1], flush=True)
    if any(result.trouble for result in results):
        raise SystemExit(1)


def all_extras() -> list[str]:
    """List the extras that hold a feature."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [name for name in project["optional-dependencies"] if name not in FOR_DEVELOPERS]


def attempt(wheel: Path, extra: str, keep: Path | None) -> Tried:
    """Install an extra and run its tests, in an environment of its own."""
    if keep is not None:
        return attempt_in(keep.resolve() / (extra or "core"), wheel, extra)
    with tempfile.TemporaryDirectory(prefix="anymask-extra-") as folder:
        return attempt_in(Path(folder), wheel, extra)


def attempt_in(folder: Path, wheel: Path, extra: str) -> Tried:
    """Do so in a given folder."""
    if extra not in TESTS:
        return Tried(extra, 0, 0, "no tests are named for it, see TESTS")
    folder.mkdir(parents=True, exist_ok=True)
    environment, python = folder / "venv", folder / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    asked = f"{wheel}[{extra}]" if extra else str(wheel)
    install(python, asked)
    megabytes = sum(f.stat().st_size for f in environment.rglob("*") if f.is_file()) / 1e6
    install(python, "pytest", "hypothesis")
    if absent := [name for name in TESTS[extra] if is_absent(name)]:
        return Tried(extra, megabytes, 0, "", f"installed; there is no {', '.join(absent)} yet")
    passed, trouble = run_tests(python, folder, TESTS[extra])
    return Tried(extra, megabytes, passed, trouble)


def is_absent(argument: str) -> bool:
    """Return whether an argument names tests that nobody has written yet."""
    return argument.startswith("tests/") and not (ROOT / argument).exists()


def install(python: Path, *packages: str) -> None:
    """Install packages of the versions that anymask is tested with."""
    quiet = ("--quiet", "--disable-pip-version-check")
    pins = ("--constraint", str(ROOT / "constraints.txt"))
    subprocess.run([python, "-m", "pip", "install", *quiet, *pins, *packages], check=True)


def run_tests(python: Path, folder: Path, tests: list[str]) -> tuple[int, str]:
    """Run tests beside a copy of `tests/`, so that the package can only come from the wheel."""
    shutil.copytree(ROOT / "tests", folder / "tests", dirs_exist_ok=True)
    shutil.copytree(ROOT / "docs" / "pictures", folder / "docs" / "pictures", dirs_exist_ok=True)
    shutil.copy(ROOT / "pyproject.toml", folder)
    report = folder / "report.xml"
    report.unlink(missing_ok=True)
    options = ["-q", "-x", "-p", "no:cacheprovider", "-o", "pythonpath=.", f"--junitxml={report}"]
    done = subprocess.run(
        [python, "-m", "pytest", *options, *tests],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
    )
    if not report.is_file():
        return 0, "pytest did not run: " + " ".join((done.stdout + done.stderr).split())[-300:]
    return judge(report)


def judge(report: Path) -> tuple[int, str]:
    """Count the tests that passed, and name the first that did not.

    Tests may skip for other reasons than a package, such as data that is not here.
    """
    passed = 0
    for case in ElementTree.parse(report).iter("testcase"):
        found = {what: case.find(what) for what in ("failure", "error", "skipped")}
        for what, trouble in found.items():
            why = "" if trouble is None else " ".join(str(trouble.get("message")).split())[:200]
            if trouble is not None and (what != "skipped" or _PACKAGE.search(why)):
                return passed, f"{what}: {case.get('classname')}::{case.get('name')}: {why}"
        passed += all(trouble is None for trouble in found.values())
    return passed, "" if passed else "no test passed"


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
