"""What a run leaves in its folder, and the line that shows how it goes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from anymask.errors import OutputError
from anymask.train.run.checkpoint import Place
from anymask.train.run.record import Record


def test_lines_after_the_checkpoint_are_dropped(tmp_path: Path) -> None:
    record = Record(tmp_path, quiet=True)
    record.begin({}, Place())
    for step in range(1, 5):
        record.add({"step": step, "loss": 0.5})
        record.add({"step": step, "validation": {}})
    record.begin({}, Place(steps=3, validated=2))
    found = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in found if "validation" in line] == [1, 2]
    assert [line["step"] for line in found if "loss" in line] == [1, 2, 3]


def test_weights_are_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    record = Record(tmp_path, quiet=True)

    def write(folder: Path, text: str, *, fail: bool = False) -> None:
        folder.mkdir()
        (folder / "weights").write_text(text)
        if fail:
            raise OutputError("no room")

    record.weights("best", lambda folder: write(folder, "first"))
    with pytest.raises(OutputError):
        record.weights("best", lambda folder: write(folder, "half", fail=True))
    assert (tmp_path / "best" / "weights").read_text() == "first"
    record.weights("best", lambda folder: write(folder, "second"))
    assert (tmp_path / "best" / "weights").read_text() == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["best"]


def test_the_line_of_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    with Record(tmp_path, quiet=False) as record:
        record.show(37, 0.5, {"loss": 0.123456, "best iou": 0.7})
        record._progress.refresh()
    shown = capsys.readouterr().err
    assert "step 37" in shown
    assert "loss 0.1235, best iou 0.7" in shown


def test_nothing_is_shown_where_nobody_looks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Record(tmp_path, quiet=False) as record:
        record.show(37, 0.5, {"loss": 0.1})
    assert capsys.readouterr().err == ""


def test_metrics_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"metrics\.jsonl"):
        Record(tmp_path / "none", quiet=True).add({"step": 1})
