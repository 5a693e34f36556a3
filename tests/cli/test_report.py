from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from anymask.batch.run import ImageResult
from anymask.cli import report
from anymask.cli.report import Report


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What a terminal of 100 columns would show on standard error."""
    text = io.StringIO()

    def terminal(**_: object) -> Console:
        return Console(file=text, force_terminal=True, width=100, color_system=None)

    monkeypatch.setattr(report, "Console", terminal)
    return text


def test_a_terminal_sees_name_count_and_time_left(screen: io.StringIO) -> None:
    with Report(5, 4, lines=False, quiet=False) as watched:
        watched.add(ImageResult(Path("a.jpg"), "skipped"))
        for name in ["b.jpg", "c.jpg"]:
            watched.working_on(Path(name))
            watched.add(ImageResult(Path(name), "done"))
        watched.working_on(Path("a very long name of a photograph.jpg"))
    shown = screen.getvalue()
    assert "2/4" in shown
    assert "a very long …tograph.jpg" in shown
    assert "/s" in shown


@pytest.mark.parametrize(("waiting", "quiet"), [(4, True), (0, False)])
def test_no_bar(screen: io.StringIO, waiting: int, quiet: bool) -> None:
    with Report(5, waiting, lines=False, quiet=quiet) as watched:
        watched.add(ImageResult(Path("a.jpg"), "done"))
    assert screen.getvalue() == ""


def test_json_leaves_out_what_is_not_known() -> None:
    failed = ImageResult(Path("a.jpg"), "failed", error="it's broken")
    expected = {"image": "a.jpg", "status": "failed", "error": "it's broken"}
    assert failed.as_dict() == expected


def test_every_failure_is_named_once(capsys: pytest.CaptureFixture[str]) -> None:
    with Report(3, 3, lines=False, quiet=False) as watched:
        watched.add(ImageResult(Path("a.jpg"), "done"))
        watched.add(ImageResult(Path("b.jpg"), "failed", error="cannot read 'b.jpg'; get it again"))
        watched.add(ImageResult(Path("c.jpg"), "failed", error="[red]odd[/red]"))
        watched.conclude(Path("out"))
    captured = capsys.readouterr()
    assert captured.err.splitlines() == [
        "anymask: 2 of 3 images failed:",
        "  cannot read 'b.jpg'; get it again",
        "  c.jpg: [red]odd[/red]",
    ]
    assert captured.out == "3 images: 1 done, 2 failed; results in out/\n"
