"""Protocols that other packages add."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from anymask.cli import main
from anymask.errors import InputError
from anymask.evaluate.protocols import options_class, protocol_of, protocol_summaries

GOOD = '''
from dataclasses import dataclass, field
from anymask.data.mask_filter import MaskFilter
from anymask.evaluate.protocol import Summary, Table

@dataclass(frozen=True)
class Count:
    """Count the masks of each image.

    And nothing else.
    """

    factor: int = 1
    """What each mask counts."""
    mask_filter: MaskFilter = field(default_factory=MaskFilter)
    """Which masks take part."""

    name = "count"
    legend = "The image."

    def measure(self, model, sample):
        found = len(self.mask_filter.select(sample))
        return [{"found": self.factor * found, "score": 0.5}]

    def summarise(self, sets):
        rows = tuple(
            (name, sum(row["found"] for some in rows.values() for row in some))
            for name, rows in sets.items()
        )
        return Summary((Table("count", "Masks", ("set", "masks"), rows),))

    def draw(self, model, sample, row):
        import PIL.Image
        return PIL.Image.fromarray(sample.image)
'''


def install(folder: Path, module: str, name: str = "count", value: str = "Count") -> None:
    about = folder / "their_count-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: their-count\nVersion: 1.0\n")
    points = f"[anymask.protocols]\n{name} = their_count:{value}\n"
    (about / "entry_points.txt").write_text(points)
    (folder / "their_count.py").write_text(module)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages on the path."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    sys.modules.pop("their_count", None)
    return folder


def test_it_is_listed_without_being_imported(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(site, "raise OSError('no disk')")
    assert protocol_summaries()["count"] == "Added by another package."
    with pytest.raises(SystemExit):
        main(["evaluate", "--help"])
    assert "count" in capsys.readouterr().out


def test_its_fields_are_options(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install(site, GOOD)
    protocol = protocol_of(options_class("count")(factor=3))
    assert (protocol.name, asdict(protocol)["factor"]) == ("count", 3)  # type: ignore[call-overload]
    with pytest.raises(SystemExit):
        main(["evaluate", "count", "--help"])
    words = capsys.readouterr().out
    assert "Count the masks of each image." in words and "And nothing else" not in words
    assert "--factor" in words and "--min-area" in words


def test_it_measures_like_ours(site: Path, squares: Path, tmp_path: Path) -> None:
    install(site, GOOD)
    out = tmp_path / "out"
    words = ["--data", str(squares), "-o", str(out), "--factor", "2", "--min-area", "150"]
    assert main(["evaluate", "count", *words, "--quiet"]) == 0
    assert "squares,6" in (out / "count.csv").read_text()
    assert (out / "cases" / "worst-1.jpg").is_file()


@pytest.mark.parametrize(
    ("module", "complaint"),
    [
        ("raise OSError('no disk')", "got OSError: no disk; update or uninstall"),
        ("Count = 7", "to be a dataclass with name, .*, got 7 without name and"),
        (GOOD.replace("@dataclass(frozen=True)", ""), "to be a dataclass with name"),
        (GOOD.replace("def draw", "def paint"), "without draw; update or uninstall"),
    ],
)
def test_a_broken_one_is_one_sentence(
    site: Path, module: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    install(site, module)
    with pytest.raises(InputError, match=complaint):
        options_class("count")
    sys.modules.pop("their_count", None)
    assert main(["evaluate", "count", "--data", "x"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("anymask: error: expected the p") and said.count("\n") == 1


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(InputError, match=r"out of points, .*, got 'clicks'"):
        options_class("clicks")


def test_ours_need_no_look_at_other_packages() -> None:
    code = (
        "import anymask.evaluate.protocols as p, anymask.plugins as q; "
        "q.entry_points = None; p.options_class('points')"
    )
    source = Path(__file__).resolve().parents[3] / "src"
    environment = {**os.environ, "PYTHONPATH": str(source)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60)
