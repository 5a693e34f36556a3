"""`anymask distill`: three ways, each with its flags, and what is said at the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from anymask.cli.distill import parse
from anymask.train.distillation import distill as home
from anymask.train.distillation.config import CoupledConfig, DecoupledConfig, SamiConfig
from anymask.train.loop import Outcome
from anymask.train.report import Report

Run = Callable[..., SimpleNamespace]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Nothing is learned, but it is remembered what should have been."""
    calls: list[Any] = []

    def distill(*args: Any, **kwargs: Any) -> Report:
        calls.append((args, kwargs))
        if isinstance(args[0], SamiConfig):
            numbers: Any = {"similarity": 0.02}, {"similarity": 0.54}
        else:
            numbers = (
                {"click": 0.2, "box": 0.1, "iou": 0.15},
                {"click": 0.7, "box": 0.8, "iou": 0.75},
            )
        return Report(Outcome("steps", 40, 90.0, 0.75), 95, 5, *numbers)

    monkeypatch.setattr(home, "distill", distill)
    return calls


def test_decoupled(run: Run, asked: list[Any], tmp_path: Path) -> None:
    words = ("--data", "photos", "--student", "mobile-sam", "--from-scratch", "--steps", 40)
    said = run("distill", "decoupled", *words, "--overwrite", "-o", "small")
    assert (said.code, said.err) == (0, "")
    (config, out, device), flags = asked[0]
    assert isinstance(config, DecoupledConfig)
    assert (config.teacher, config.student, config.from_scratch) == (
        "sam-vit-h",
        "mobile-sam",
        True,
    )
    assert (config.data, config.loop.steps, config.loop.batch_size) == ((Path("photos"),), 40, 8)
    assert (out, device) == (Path("small"), "auto")
    assert flags == {"offline": False, "allow_changes": False, "overwrite": True, "quiet": False}
    assert said.out.splitlines() == [
        "learned from 95 images in 40 steps, 1.5 minutes (all steps made)",
        "mean IoU with the teacher on 5 other images, before and now:",
        "  one click    0.200  0.700",
        "  box          0.100  0.800",
        "  mean         0.150  0.750",
        'use it: anymask.load("small"), or --model small',
    ]


def test_coupled(run: Run, asked: list[Any]) -> None:
    words = ("--learn", "decoder", "--masks", 4, "--rounds", 5, "--student", "runs/mobile")
    assert run("distill", "coupled", "--data", "a", "b", *words, "-q").out == ""
    config = asked[0][0][0]
    assert isinstance(config, CoupledConfig)
    assert (config.learn, config.masks, config.rounds) == ("decoder", 4, 5)
    assert config.data == (Path("a"), Path("b"))


def test_sami(run: Run, asked: list[Any]) -> None:
    said = run("distill", "sami", "--data", "photos", "--mask-ratio", 0.6, "--store", "kept")
    config = asked[0][0][0]
    assert isinstance(config, SamiConfig)
    assert (config.mask_ratio, config.store, config.side) == (0.6, Path("kept"), 224)
    assert "similarity to the teacher on 5 other images" in said.out
    assert "cosine       0.020  0.540" in said.out


def test_a_file_of_settings_gives_way_to_flags(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("data: [photos]\nmasks: 3\nloop: {lr: 1e-5}\nfound: {teacher: abc}\n")
    command: Any = parse(["coupled", "--config", str(file), "--masks", "2"])
    assert command.settings.data == (Path("photos"),)
    assert (command.settings.masks, command.settings.loop.lr) == (2, 1e-5)
    assert command.settings.loop.steps == CoupledConfig().loop.steps


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--help"], 0, "decoupled"),
        (["sami", "--help"], 0, "--mask-ratio"),
        (["semi"], 2, "decoupled, coupled, sami"),
        (["coupled", "--masks", "0"], 2, "expected masks as a whole number"),
        (["decoupled"], 2, "expected images to learn from"),
    ],
)
def test_help_and_wrong_usage(run: Run, words: list[str], code: int, said: str) -> None:
    answer = run("distill", *words)
    assert answer.code == code
    assert said in answer.out + answer.err
