from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import anymask

SOURCE = Path(__file__).resolve().parents[2] / "src"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(SOURCE)}


def test_version(run) -> None:
    assert run("--version").out == f"anymask {anymask.__version__}\n"


@pytest.mark.parametrize("words", [[], ["--help"]])
def test_help_names_commands_and_exit_codes(run, words: list[str]) -> None:
    result = run(*words)
    assert result.code == 0
    assert all(f"• {name}" in result.out for name in ("segment", "everything", "models"))
    assert all(f"  {code} " in result.out for code in (0, 1, 2, 130))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["segmant"], "segmant"),
        (["segment", "a.jpg", "--pont", "1,2"], "--pont"),
        (["everything", "a.jpg", "--format", "gif"], "sa1b"),
        (["everything", "a.jpg", "--points-per-side", "many"], "many"),
    ],
)
def test_wrong_usage(run, words: list[str], message: str) -> None:
    result = run(*words)
    assert result.code == 2
    assert message in result.err
    assert result.out == ""


def test_errors_show_where_only_when_asked(run, tmp_path) -> None:
    words = ["segment", tmp_path / "missing.jpg", "--point", "1,1"]
    plain = run(*words)
    assert plain.code == 2
    assert plain.err.startswith("anymask: error: ")
    assert plain.err.count("\n") == 1
    assert "Traceback" in run(*words, "--debug").err


def test_an_unexpected_error_is_one_line(run, photo, monkeypatch) -> None:
    def explode(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("anymask.predict.loading.load", explode)
    result = run("everything", photo)
    assert result.code == 2
    assert (
        result.err == "anymask: error: unexpected ZeroDivisionError: by zero; --debug shows where\n"
    )


@pytest.mark.parametrize("words", [["models", "--json"], ["models"], ["--help"], ["--version"]])
def test_a_reader_that_leaves_is_no_error(words: list[str]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "anymask", *words],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()
    _, errors = process.communicate(timeout=60)
    assert errors == b""
    assert process.returncode in (141, 1)  # rich, which prints the table of models, says 1


ENDLESS = """
import signal, sys, time
from types import SimpleNamespace
from anymask.predict import loading
from anymask.cli import main
from anymask.atomic import atomic_write
from anymask.config import GenerateConfig

signal.signal(signal.SIGINT, signal.default_int_handler)  # shells let jobs in the back ignore it

def generate(image, **options):
    with atomic_write(sys.argv[2] + "/slow.json"):
        print("working", flush=True)
        time.sleep(60)

variant = SimpleNamespace(name="fake", kind="promptable", generate=GenerateConfig())
model = SimpleNamespace(variant=variant, weights_digest="0", dtype="float32", generate=generate)
loading.load = lambda *args, **kwargs: model
sys.exit(main(["everything", sys.argv[1], "-o", sys.argv[2]]))
"""


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ending_from_outside_leaves_no_half_written_file(
    photo: Path, tmp_path: Path, sign: signal.Signals, code: int
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", ENDLESS, photo, tmp_path / "out"],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"working\n"
    time.sleep(0.1)
    process.send_signal(sign)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert b"Traceback" not in errors
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["anymask-run.json"]
