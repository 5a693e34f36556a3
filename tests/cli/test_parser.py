from __future__ import annotations

import importlib
from dataclasses import dataclass, fields

import pytest

from anymask.cli import COMMANDS
from anymask.cli.complaints import as_sentence
from anymask.cli.parser import parse
from anymask.cli.search import ONLY_IN_PYTHON, Search
from anymask.config import GenerateConfig, InstanceConfig
from anymask.models.variants import find
from anymask.plain import sentences


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_table_has_a_parser(name: str) -> None:
    assert callable(importlib.import_module(f"anymask.cli.{name}").parse)


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["segmant"], "anymask segment"),
        (["Everthing"], "anymask everything"),
        (["model"], "anymask models"),
        (["evaluate", "ponts"], "anymask evaluate points"),
        (["distill", "copled"], "anymask distill coupled"),
    ],
)
def test_typing_errors_in_commands(words: list[str], meant: str, run) -> None:
    result = run(*words, "--help")
    assert result.code == 2 and result.out == ""
    assert result.err.endswith(f"got {words[-1]!r}; did you mean `{meant}`?\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["inpaint", "a.jpg", "--mask", "m.png", "--size", "9"], "size as a whole number of at"),
        (["personalize", "a.jpg", "--threshold", "3"], "threshold as a number from 0 to 1, got 3"),
        (["lift", "a.png", "--voxel-size", "-1"], "voxel_size as a number of at least 1e-06"),
        (["paste", "a.png", "b.png", "--at", "1,2", "--scale", "0"], "a scale above 0, got 0"),
        (["edit", "a.jpg", "--blur", "3"], "a background or a colour, got neither"),
        (["train", "--data", "x", "--lr", "-1"], "lr as a number of at least 0, got -1"),
    ],
)
def test_what_settings_refuse_is_told_in_one_sentence(words: list[str], message: str, run) -> None:
    result = run(*words)
    assert result.code == 2 and result.out == ""
    assert result.err.startswith("anymask: error: expected ") and message in result.err
    assert result.err.count("\n") == 1


@pytest.mark.parametrize("word", ["xyz", "--debug", "-x", ""])
def test_what_is_like_no_command(word: str, run) -> None:
    result = run(word)
    assert result.code == 2
    assert f"got {word!r}; name one of segment, everything, " in result.err


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["segment", "a.jpg", "--pont", "1,2"], "--point"),
        (["everything", "a.jpg", "--point-per-side", "8"], "--points-per-side"),
        (["models", "--jsn"], "--json"),
        (["evaluate", "points", "--layuot", "coco"], "--layout"),
        (["train", "--overwite"], "--overwrite"),
        (["convert", "a", "--ofline"], "--offline"),
    ],
)
def test_typing_errors_in_flags(words: list[str], meant: str, run) -> None:
    result = run(*words)
    assert result.code == 2
    assert result.err.endswith(f"did you mean {meant}?\n")
    assert result.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["everything", "a.jpg", "--xyzzy"], "--xyzzy"),
        (["evaluate", "points"], "--data"),
        (["everything", "a.jpg", "--dtype", "int"], "bfloat16"),
        (["models", "a"], "a"),
    ],
)
def test_other_wrong_usage(words: list[str], said: str, run) -> None:
    result = run(*words)
    assert result.code == 2 and result.out == ""
    assert said in result.err and "--help" in result.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["segment", "a.png", "--point"], "expected a value behind --point, got none"),
        (
            ["segment", "a.png", "--dtype", "x"],
            "expected --dtype out of float32, bfloat16, float16, got 'x'",
        ),
        (
            ["everything", "a.png", "--points-per-side", "1.5"],
            "expected --points-per-side as a whole number, got '1.5'",
        ),
        (["segment", "a.png", "-o"], "expected a value behind --output, got none"),
        (["serve", "--port", "x"], "expected --port as a whole number, got 'x'"),
        (["convert"], "expected MODEL and --output DIR for `anymask convert`, got none"),
        (
            ["evaluate", "points", "zzz"],
            "expected --data PATH... for `anymask evaluate points`, got zzz",
        ),
        (["segment", "a.png", "--zzzzzz", "4"], "that `anymask segment` knows, got --zzzzzz, 4"),
    ],
)
def test_wrong_usage_is_one_sentence(words: list[str], said: str, run) -> None:
    result = run(*words)
    assert result.code == 2 and result.out == ""
    assert said in result.err
    assert result.err.endswith(" --help`\n") and result.err.count("\n") == 1


def test_what_is_unknown_stays_in_its_box() -> None:
    assert as_sentence("│ Something that nobody has heard of. │", "anymask") is None


@dataclass(frozen=True)
class Base:
    """What all have."""

    first: int = 1
    """A sentence
    that goes on."""


@dataclass(frozen=True)
class Inner:
    """What lies inside."""

    deep: str = "a"
    """Deep down,
    in two lines."""


@dataclass(frozen=True)
class Outer(Base):
    """What is parsed."""

    inner: Inner = Inner()
    """A group."""
    bare: bool = False


def test_sentences() -> None:
    assert sentences(Outer) == {"first": "A sentence that goes on.", "inner": "A group."}
    assert sentences(Inner) == {"deep": "Deep down, in two lines."}
    assert sentences(int) == {}


def test_sentences_reach_the_help_of_fields_inside(capsys) -> None:
    with pytest.raises(SystemExit):
        parse(Outer, ["--help"], "outer", "About it.\nIn one line.")
    said = capsys.readouterr().out
    assert "About it. In one line.\n" in said
    assert "A sentence that goes on. (default: 1)" in said
    assert "Deep down, in two lines. (default: a)" in said
    assert parse(Outer, ["--inner.deep", "b"], "outer", "").inner.deep == "b"
    assert parse(Outer, [], "outer", "", Outer(first=3)).first == 3


def test_flags_of_the_search_are_the_settings() -> None:
    settings = {field.name for kind in (GenerateConfig, InstanceConfig) for field in fields(kind)}
    assert {field.name for field in fields(Search)} == settings - ONLY_IN_PYTHON
    assert Search().given() == {}
    assert Search(max_area=0.5, points_per_side=3).given() == {
        "points_per_side": 3,
        "max_area": 0.5,
    }


def test_help_says_what_is_in_force(run, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    page = " ".join(run("everything", "--help").out.replace("│", " ").split())
    ours = find("bundled").generate
    assert f"(bundled: {ours.points_per_side}; others: 32)" in page
    assert f"(bundled: {ours.pred_iou_thresh}; others: 0.88; sam2.1, sam2: 0.8; " in page
    assert f"(bundled, fastsam: {ours.box_nms_thresh}; others: 0.7)" in page
    assert "(only fastsam: 0.4)" in page  # confidence
    assert "(default: 1024)" in page  # memory
    assert "{grid,hierarchical,boxes}" in page and "None" not in page
