"""`anymask train`: flags and files of settings, and what is said at the end."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from anymask.cli.train import parse
from anymask.train.finetuning import finetune as home
from anymask.train.finetuning.config import USUAL_LOOP, FineTuneConfig
from anymask.train.loop import Outcome
from anymask.train.report import Report

Run = Callable[..., SimpleNamespace]
BEFORE = {"one_click": 0.41, "best_of_three": 0.5, "five_clicks": 0.71, "box": 0.7, "iou": 0.61}
AFTER = {"one_click": 0.52, "best_of_three": 0.6, "five_clicks": 0.77, "box": 0.76, "iou": 0.68}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Nothing is learned, but it is remembered what should have been."""
    calls: list[Any] = []

    def finetune(*args: Any, **kwargs: Any) -> Report:
        calls.append((args, kwargs))
        outcome = Outcome("patience", 150, 192.0, 0.68)
        judged = 4 if args[0].val_fraction else 0
        return Report(outcome, args[0].images or 16, judged, BEFORE, AFTER)

    monkeypatch.setattr(home, "finetune", finetune)
    return calls


def test_nothing_but_data_is_needed(run: Run, asked: list[Any], tmp_path: Path) -> None:
    said = run("train", "--data", "photos", "-o", tmp_path / "mine")
    assert (said.code, said.err) == (0, "")
    (config, out, device), flags = asked[0]
    assert config == FineTuneConfig(data=(Path("photos"),))
    assert (out, device, any(flags.values())) == (tmp_path / "mine", "auto", False)


def test_the_end_says_how_much_better_it_is(run: Run, asked: list[Any]) -> None:
    said = run("train", "--data", "photos", "-o", "mine").out
    assert said.splitlines() == [
        "learned from 16 images in 150 steps, 3.2 minutes (no longer better)",
        "mean IoU on 4 other images, before and now:",
        "  one click    0.410  0.520",
        "  best of 3    0.500  0.600",
        "  five clicks  0.710  0.770",
        "  box          0.700  0.760",
        "  mean         0.610  0.680",
        'use it: anymask.load("mine"), or --model mine',
    ]
    assert "learned from 1 image in" in run("train", "--data", "photos", "--images", 1).out
    assert "nobody knows" in run("train", "--data", "photos", "--val-fraction", 0).out
    assert run("train", "--data", "photos", "-q").out == ""


def test_flags_reach_the_loop(run: Run, asked: list[Any]) -> None:
    words = ("--learn", "lora", "--rank", 4, "--lr", 1e-4, "--steps", 7, "--val", "a", "b")
    run("train", "--data", "photos", *words, "--overwrite")
    (config, *_), flags = asked[0]
    assert (config.learn, config.rank) == ("lora", 4)
    assert (config.loop.lr, config.loop.steps) == (1e-4, 7)
    assert config.loop.batch_size == USUAL_LOOP.batch_size
    assert config.val == (Path("a"), Path("b"))
    assert flags["overwrite"]


@pytest.mark.parametrize("form", ["--config {}", "--config={}"])
def test_a_file_of_settings_gives_way_to_flags(tmp_path: Path, form: str) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("data: [photos]\nlearn: everything\nloop: {lr: 1e-5}\nfound: {weights: abc}\n")
    words = form.format(file).split()
    config = parse([*words, "--masks", "2"]).settings
    assert (config.data, config.learn, config.masks) == ((Path("photos"),), "everything", 2)
    assert (config.loop.lr, config.loop.steps) == (1e-5, USUAL_LOOP.steps)


def test_a_file_may_name_settings_of_the_loop_as_flags_do(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("steps: 7\nlr: 1e-5\nloop: {lr: 1e-4}\n")
    config = parse(["--config", str(file)]).settings
    assert (config.loop.steps, config.loop.lr) == (7, 1e-4)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("lern: lora", "expected settings out of .*, got lern"),
        ("- 1", "got list"),
        ("loop: 3", "loop.*got 3"),
        ("loop: {rat: 3}", "got loop.rat"),
    ],
)
def test_a_wrong_file_of_settings_is_one_sentence(
    run: Run, tmp_path: Path, text: str, complaint: str
) -> None:
    (tmp_path / "settings.yaml").write_text(text)
    said = run("train", "--config", tmp_path / "settings.yaml")
    assert said.code == 2
    assert said.err.count("\n") == 1
    assert re.search(complaint, said.err)


def test_data_is_asked_for(run: Run, tmp_path: Path) -> None:
    said = run("train", "-o", tmp_path / "mine")
    assert said.code == 2
    assert "expected at least one data set to learn from" in said.err


@pytest.mark.parametrize("text", ["rate: 1e-5\n", "loop: {rate: 1e-5}\n"])
def test_settings_of_an_earlier_version_are_refused(tmp_path: Path, run: Run, text: str) -> None:
    (tmp_path / "old.yaml").write_text(text)
    said = run("train", "--config", tmp_path / "old.yaml")
    assert said.code == 2
    assert "of an earlier one; rename them (rate is lr now)" in said.err


def test_the_layout_is_said(run: Run, asked: list[Any], tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text("names: [dog]")
    data = tmp_path / "data.yaml"
    assert run("train", "--data", data).err == f"anymask: {data} is read in the layout yolo\n"
    assert run("train", "--data", data, "--quiet").err == ""
    assert run("train", "--data", data, "--layout", "yolo").err == ""
    assert len(asked) == 3
