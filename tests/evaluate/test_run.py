"""Running, stopping, going on; and the report."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from anymask.errors import InputError
from anymask.evaluate.protocols.boxes import Boxes
from anymask.evaluate.protocols.instances import Instances
from anymask.evaluate.protocols.points import Points
from anymask.evaluate.report.report import cases_of, write_report
from anymask.evaluate.run import Evaluation


def test_a_stopped_run_goes_on_where_it_stopped(tmp_path: Path, squares: Any, knowing: Any) -> None:
    evaluation = Evaluation(Boxes(), knowing(), {"squares": squares}, tmp_path / "new" / "run")
    evaluation.begin()
    assert list(islice(evaluation.steps(), 1)) == [("squares", "square-0")]
    squares.read.clear()

    evaluation.begin()
    assert list(evaluation.steps()) == [("squares", "square-1"), ("squares", "square-2")]
    assert squares.read == [1, 2]
    assert evaluation.todo() == []
    whole = Evaluation(Boxes(), knowing(), {"squares": squares}, tmp_path / "whole")
    whole.begin()
    list(whole.steps())
    assert evaluation.rows() == whole.rows()


def test_other_options_do_not_mix_into_the_same_folder(
    tmp_path: Path, squares: Any, knowing: Any
) -> None:
    Evaluation(Boxes(), knowing(), {"squares": squares}, tmp_path).begin()
    other = Evaluation(Boxes(spread=0.3), knowing(), {"squares": squares}, tmp_path)
    with pytest.raises(
        InputError, match=r"options\.spread: 0\.1, now 0\.3; start anew .*choose another"
    ):
        other.begin()
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        other.begin()


def test_a_file_of_the_options_is_known_by_its_content(
    tmp_path: Path, squares: Any, knowing: Any
) -> None:
    boxes = tmp_path / "boxes.json"
    evaluation = Evaluation(Instances(boxes), knowing(), {"squares": squares}, tmp_path / "run")
    with pytest.raises(InputError, match=r"boxes\.json.*No such file"):
        evaluation.begin()
    boxes.write_text("[]")
    evaluation.begin()
    evaluation.begin()
    boxes.write_text("[ ]")
    with pytest.raises(
        InputError, match=r"got others in files\..*boxes.*: '.*', now '.*choose another"
    ):
        evaluation.begin()


def test_the_report_holds_tables_plots_and_cases(
    tmp_path: Path, squares: Any, knowing: Any
) -> None:
    pytest.importorskip("matplotlib", reason="plots need the extra 'eval'")
    evaluation = Evaluation(
        Points(counts=(1, 2)), knowing(needed=2), {"squares": squares}, tmp_path
    )
    evaluation.begin()
    list(evaluation.steps())
    summary = write_report(evaluation, cases=2)

    results = json.loads((tmp_path / "results.json").read_text())
    assert results["options"]["counts"] == [1, 2]
    assert results["versions"]["torch"]
    assert results["tables"][0]["rows"][0][1] == 3
    assert (tmp_path / "points.csv").read_text().startswith("set,masks,1 ranked first")
    assert "| squares | 3 |" in (tmp_path / "results.md").read_text()
    page = (tmp_path / "index.html").read_text()
    assert summary.tables[0].title in page
    assert sorted(p.name for p in (tmp_path / "cases").iterdir()) == [
        "best-1.jpg", "worst-1.jpg", "worst-2.jpg",
    ]  # fmt: skip
    assert (tmp_path / "iou-by-clicks.svg").read_text() in page
    assert evaluation.protocol.legend in page
    assert all(f"cases/{kind}-1.jpg" in page for kind in ("best", "worst"))
    worst, best = cases_of(evaluation, 1)
    assert worst[0].row["score"] <= best[0].row["score"]


def test_a_report_about_nothing_is_no_error(tmp_path: Path, squares: Any, knowing: Any) -> None:
    evaluation = Evaluation(Points(), knowing(), {"squares": squares}, tmp_path)
    evaluation.begin()
    write_report(evaluation)
    assert "| squares | 0 | - |" in (tmp_path / "results.md").read_text()
