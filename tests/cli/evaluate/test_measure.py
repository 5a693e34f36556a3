"""``anymask evaluate PROTOCOL`` from words to report, with the bundled model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from anymask.evaluate.protocols import PROTOCOLS
from anymask.evaluate.protocols.boxes import Boxes

ONCE = ["--counts", "1", "--max-clicks", "1", "--cases", "1"]


def test_the_report_is_written_and_the_tables_are_printed(
    run: Any, squares: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = run("points", "--data", squares, "-o", out, *ONCE, "--min-area", 150)
    assert result.code == 0, result.err
    assert result.out.startswith("**Mean IoU after N clicks**")
    assert "| squares | 3 |" in result.out
    assert str(out / "index.html") in result.out
    assert {"results.json", "results.md", "points.csv", "index.html", "run.json"} <= {
        path.name for path in out.iterdir()
    }
    about = json.loads((out / "run.json").read_text())
    assert about["options"]["mask_filter"]["min_area"] == 150
    assert about["model"] == "anymask-compact"


def test_a_run_goes_on_where_it_stopped(run: Any, squares: Path, tmp_path: Path) -> None:
    words = ["boxes", "--data", squares, "-o", tmp_path / "out", "--cases", 0, "--quiet"]
    first = run(*words)
    assert (first.code, first.out) == (0, "")
    rows = sorted((tmp_path / "out" / "rows" / "squares").iterdir())
    kept, again = rows[0].stat().st_mtime_ns, rows[1].read_text()
    rows[1].unlink()
    assert run(*words).code == 0
    assert rows[0].stat().st_mtime_ns == kept
    assert rows[1].read_text() == again

    other = run(*words, "--spread", 0.3)
    assert other.code == 2
    assert "got others in options.spread: " in other.err
    assert run(*words, "--spread", 0.3, "--overwrite").code == 0
    assert rows[0].stat().st_mtime_ns != kept


def test_an_interrupted_run_says_that_it_can_go_on(
    run: Any, squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure, calls = Boxes.measure, iter(range(9))

    def stop_at_the_second(*words: Any) -> Any:
        if next(calls) == 1:
            raise KeyboardInterrupt
        return measure(*words)

    monkeypatch.setattr(Boxes, "measure", stop_at_the_second)
    words = ["boxes", "--data", squares, "-o", tmp_path / "out", "--cases", 0]
    stopped = run(*words)
    assert stopped.code == 130
    assert "the same command goes on where it stopped" in stopped.err
    rows = tmp_path / "out" / "rows" / "squares"
    assert len(list(rows.iterdir())) == 1
    assert run(*words).code == 0
    assert next(calls) == 4  # the first, the one that was stopped, and the two that were left


def test_a_set_with_nothing_to_measure_is_named(run: Any, squares: Path, tmp_path: Path) -> None:
    words = ["boxes", "--data", squares, "-o", tmp_path / "out", "--cases", 0]
    empty = run(*words, "--min-area", 99_999)
    assert empty.code == 0
    assert "nothing to measure in 'squares'" in empty.err
    assert "| squares | 0 | - | - |" in empty.out
    assert "nothing to measure" not in run(*words, "--overwrite").err


def test_models_stand_side_by_side(run: Any, squares: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["--data", squares, "--model", "bundled", "compact", "--images", 2, "-o", out]
    result = run("points", *words, *ONCE)
    assert result.code == 0, result.err
    lines = [line for line in result.out.splitlines() if line.startswith("| squares |")]
    assert lines[0].startswith("| squares | anymask-compact | 4 |")
    assert lines[1].startswith("| squares | anymask-compact-")
    assert (out / "anymask-compact" / "index.html").is_file()
    assert 'href="anymask-compact/index.html"' in (out / "index.html").read_text()


@pytest.mark.parametrize("name", [*PROTOCOLS, "speed", "audit"])
def test_every_subcommand_has_help(run: Any, name: str) -> None:
    result = run(name, "--help")
    assert result.code == 0
    assert f"usage: anymask evaluate {name}" in result.out
    assert f"• {name} " in run("--help").out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["points", "--data", "nowhere"], "nowhere"),
        (["points", "--data", "{squares}", "--images", "0"], "expected images of at least 1"),
        (["points", "--data", "{squares}", "{squares}", "{squares}"], "different names"),
        (["points", "--data", "{squares}", "--model", "no-such"], "no-such"),
        (["points", "--data", "{squares}", "--peers", "canny"], "felzenszwalb"),
        (["points", "--data", "{squares}", "--image-folder", "x"], "leave the folder of images"),
        (["points"], "--data"),
        (["pints"], "pints"),
    ],
)
def test_wrong_words(run: Any, squares: Path, words: list[str], message: str) -> None:
    result = run(*[word.format(squares=squares) for word in words])
    assert result.code == 2
    assert message in " ".join(result.err.split())
