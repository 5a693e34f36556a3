"""`anymask track`: whose prompts are whose, what is printed, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
from tests.predict.track.toy import ColourModel, moving

from anymask.cli.track import _summary, read_said, to_prompts
from anymask.errors import InputError

PATH = [(4 + 3 * i, 10 + i) for i in range(6)]


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> ColourModel:
    found = ColourModel()
    monkeypatch.setattr("anymask.predict.loading.load", lambda *args, **kwargs: found)
    return found


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    folder = tmp_path / "frames"
    folder.mkdir()
    for i, frame in enumerate(moving(PATH)[0]):
        PIL.Image.fromarray(frame).save(folder / f"{i}.png")
    return folder


def said(words: str) -> Any:
    return {
        name: [(one.flag, one.value, one.frame) for one in some]
        for name, some in read_said(words.split()).items()
    }


def test_whose_prompts_are_whose() -> None:
    one = [("--point", "1,2", 0), ("--not", "3,4", 9)]
    assert said("clip --point 1,2 --not=3,4@9 -o out") == {"thing": one}
    assert said("--point 1,2 --name cup --not 3,4@9") == {"cup": one}
    box = [("--box", "1,2,3,4", 30)]
    two = {"cup": box, "spoon": [("--point", "5,6", 0)]}
    assert said("--box 1,2,3,4@30 --name cup --point 5,6 --name spoon") == two
    assert said("--name cup --box 1,2,3,4@30 --name spoon --point 5,6") == two
    again = said("--name cup --box 1,2,3,4@30 --name spoon --point 5,6 --name cup --not 7,8@40")
    assert again["cup"] == [*box, ("--not", "7,8", 40)]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("--name cup --point 1,2 --name cup --point 3,4", "'cup' twice"),
        ("--name cup --name spoon --point 1,2", "to say where 'cup' is"),
        ("--point 1,2 --name cup --point 3,4 --name spoon --point 5,6", "a --name for each thing"),
        ("--point 1,2@x", "number of a frame after @"),
        ("--point 1,2@-3", "number of a frame after @"),
        ("--point 1@3", "expected --point X,Y"),
        ("--box 1,2,3,4 --box 5,6,7,8", "expected one --box for 'thing' in frame 0, got 2"),
        ("clip.mp4", "say what to follow, got none"),
    ],
)
def test_what_is_not_said_well(words: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        to_prompts(read_said(words.split()))


def test_a_folder_of_frames(
    model: ColourModel, frames: Path, tmp_path: Path, run: Callable[..., Any]
) -> None:
    out = tmp_path / "out"
    done = run(
        "track", frames, "--box", "10,12,22,24@2", "--name", "cup", "--no-overlay", "-o", out
    )
    assert done.code == 0, done.err
    assert done.out.splitlines()[0] == f"{frames}: 6 frames; cup seen in 6"
    assert sorted(p.name for p in (out / "Annotations/frames").iterdir()) == [
        f"{i}.png" for i in range(6)
    ]
    words = ["--box", "10,12,22,24@2", "--name", "cup", "--no-overlay", "-o", out, "--json"]
    about = json.loads(run("track", frames, *words).out)
    assert about["seen"] == {"cup": 6} and about["frames"] == 6


def test_a_mask_as_the_first_prompt(
    model: ColourModel, frames: Path, tmp_path: Path, run: Callable[..., Any]
) -> None:
    PIL.Image.fromarray(moving(PATH)[1][0]).save(tmp_path / "first.png")
    done = run(
        "track", frames, "--mask", tmp_path / "first.png", "--no-overlay", "-o", tmp_path / "o"
    )
    assert done.code == 0 and "thing seen in 6" in done.out, done.err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--point", "5,12@6"], "frames 0 to 5, got one for frame 6"),
        (["--point", "500,12"], "points inside the 64 x 48 image"),
        (["--not", "5,5"], "background points alone"),
        ([], "to say what to follow, got none"),
        (["--point", "5;12"], "expected --point X,Y"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    model: ColourModel,
    frames: Path,
    tmp_path: Path,
    run: Callable[..., Any],
    words: list[str],
    complaint: str,
) -> None:
    done = run("track", frames, *words, "--no-overlay", "-o", tmp_path / "out")
    assert done.code == 2 and complaint in done.err
    assert not (tmp_path / "out/Annotations").exists()


def test_clips_that_are_none(model: ColourModel, tmp_path: Path, run: Callable[..., Any]) -> None:
    (tmp_path / "empty").mkdir()
    done = run("track", tmp_path / "empty", "--point", "1,1", "-o", tmp_path / "out")
    assert done.code == 2 and "there is no image in" in done.err
    done = run("track", tmp_path / "gone.mp4", "--point", "1,1", "-o", tmp_path / "out")
    assert done.code == 2 and "does not exist" in done.err


def test_ctrl_c_can_be_resumed(
    model: ColourModel,
    frames: Path,
    tmp_path: Path,
    run: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ["track", frames, "--box", "4,10,16,22", "--no-overlay", "-o", tmp_path / "out"]
    decode, calls = model.decode, []

    def interrupted(*args: Any) -> Any:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return decode(*args)

    monkeypatch.setattr(model, "decode", interrupted)
    done = run(*words)
    assert done.code == 130 and "goes on where it stopped" in done.err
    written = sorted(p.name for p in (tmp_path / "out/Annotations/frames").iterdir())
    assert written == ["0.png", "1.png", "2.png"]
    before = model.embedded
    done = run(*words)
    assert done.code == 0 and "thing seen in 6" in done.out
    assert model.embedded - before == 3


def test_of_many_things_the_summary_names_a_few() -> None:
    seen = {f"thing {i}": i % 3 for i in range(12)}
    said = _summary(seen)
    assert said.startswith("thing 0 seen in 0, thing 1 seen in 1, ") and "thing 10" not in said
    assert said.endswith("thing 9 seen in 0, and 2 more, 4 of all 12 never seen")
    assert _summary({"cup": 6}) == "cup seen in 6"
