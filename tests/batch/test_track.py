"""A clip to a folder: the files, going on where work ended, corrections, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from tests.predict.track.toy import GREEN, ColourModel, iou, moving, square

from anymask.batch.track import TrackProgress, track
from anymask.errors import InputError
from anymask.prompt import Prompt

PATH = [(4 + 3 * i, 10 + i) for i in range(12)]


class Enough(Exception):
    """Ends the work."""


def at(index: int) -> Prompt:
    x, y = PATH[index]
    return Prompt(box=(x, y, x + 12, y + 12))


def clip() -> tuple[list[Any], list[Any]]:
    frames, truth = moving(PATH)
    for frame in frames:
        square(frame, 2, 32, GREEN)
    return frames, truth


def run(prompts: Any, output: Path, model: Any = None, **options: Any) -> Any:
    model = ColourModel() if model is None else model
    return track(clip()[0], prompts, output=output, model=model, overlay=False, **options)


def stop_after(count: int) -> Any:
    seen: list[int] = []

    def tell(progress: TrackProgress) -> None:
        seen.append(progress.done)
        if len(seen) == count:
            raise Enough

    return tell


def content(folder: Path) -> dict[str, bytes]:
    files = (p for p in folder.rglob("*") if p.is_file() and ".anymask" not in p.parts)
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def test_files_of_a_clip(tmp_path: Path) -> None:
    _, truth = clip()
    found = run({3: {"cup": at(3)}}, tmp_path)
    assert found.frames == 12 and found.seen == {"cup": 12} and found.notes == ()
    names = sorted(p.name for p in (tmp_path / "Annotations" / "frames").iterdir())
    assert names == [f"{i:05d}.png" for i in range(12)]
    for i in range(12):
        numbers = np.asarray(PIL.Image.open(tmp_path / f"Annotations/frames/{i:05d}.png"))
        assert iou(numbers == 1, truth[i]) > 0.9
        assert found.masks(i).labels == ("cup",)
    about = json.loads((tmp_path / "frames.json").read_text(encoding="utf-8"))
    assert about["videos"][0]["length"] == 12
    assert about["annotations"][0]["status"][3] == "prompted"
    with pytest.raises(InputError, match="frame from 0 to 11, got 12"):
        found.masks(12)


def test_frames_before_anything_is_said_have_a_file_too(tmp_path: Path) -> None:
    from anymask.formats import davis

    run({0: {"cup": Prompt(mask=clip()[1][0])}}, tmp_path)
    assert davis.read(tmp_path / "Annotations/frames/00000.png").areas.tolist() == [144]


@pytest.mark.parametrize("count", [1, 4, 9, 12, 15])
def test_work_that_was_ended_goes_on_and_ends_alike(tmp_path: Path, count: int) -> None:
    said = {2: {"cup": at(2)}, 9: {"leaf": Prompt([(8, 38)])}}
    run(said, tmp_path / "whole")
    with pytest.raises(Enough):
        run(said, tmp_path / "ended", progress=stop_after(count))
    assert not (tmp_path / "ended/frames.json").exists()
    model = ColourModel()
    run(said, tmp_path / "ended", model)
    assert content(tmp_path / "ended") == content(tmp_path / "whole")
    assert model.embedded < 10 + 10 - count + 5  # no more than what was left, and read ahead
    again = ColourModel()
    run(said, tmp_path / "ended", again)
    assert again.embedded == 0


def test_a_correction_is_all_that_is_worked_on(tmp_path: Path) -> None:
    said = {0: {"cup": at(0), "leaf": Prompt([(8, 38)])}}
    run(said, tmp_path)
    before = content(tmp_path)
    model = ColourModel()
    found = run(said | {10: {"cup": at(10)}}, tmp_path, model)
    assert model.embedded <= 2 + 11 + 4
    anchors = [found.masks(i).meta[0]["anchor"] for i in range(12)]
    assert anchors[:5] == [0] * 5 and anchors[6:] == [10] * 6
    leaves = [found.masks(i).dense()[1] for i in range(12)]
    assert all(leaf.sum() == 144 for leaf in leaves)
    assert content(tmp_path).keys() == before.keys()


def test_a_thing_that_is_added_later_leaves_the_others_alone(tmp_path: Path) -> None:
    run({0: {"cup": at(0)}}, tmp_path)
    found = run({0: {"cup": at(0)}, 6: {"leaf": Prompt([(8, 38)])}}, tmp_path)
    whole = run({0: {"cup": at(0)}, 6: {"leaf": Prompt([(8, 38)])}}, tmp_path / "whole")
    for i in range(12):
        assert found.masks(i).labels == ("cup", "leaf")
        assert np.array_equal(found.masks(i).dense(), whole.masks(i).dense())


@pytest.mark.parametrize("forget", [False, True])
def test_things_keep_their_ids_when_others_are_added_before_them(
    tmp_path: Path, forget: bool
) -> None:
    first = {8: {"cup": at(8)}}
    run(first, tmp_path)
    if forget:  # as a folder that does not say which ids it has
        about = json.loads((tmp_path / "frames-run.json").read_text(encoding="utf-8"))
        del about["prompts"]["ids"]
        (tmp_path / "frames-run.json").write_text(json.dumps(about), encoding="utf-8")
    found = run(first | {6: {"leaf": Prompt([(8, 38)])}}, tmp_path)
    expected = {"leaf": 1, "cup": 2} if forget else {"cup": 1, "leaf": 2}
    assert found.names == tuple(expected)
    for i in range(12):
        masks = found.masks(i)
        assert dict(zip(masks.labels, masks.ids, strict=True)) == expected
    about = json.loads((tmp_path / "frames.json").read_text(encoding="utf-8"))
    assert {one["name"]: one["id"] for one in about["annotations"]} == expected
    assert all(all(one["segmentations"]) for one in about["annotations"])


def test_an_id_is_not_changed_in_frames_that_are_worked_on_again(tmp_path: Path) -> None:
    from anymask.formats import davis

    leaf = Prompt([(8, 38)])
    run({1: {"leaf": leaf}, 2: {"cup": at(2)}}, tmp_path)
    with pytest.raises(Enough):
        run({1: {"leaf": leaf}, 2: {"cup": at(2)}, 0: {"cup": at(0)}}, tmp_path,
            progress=stop_after(1))  # fmt: skip
    for i in (0, 1, 5):
        masks = davis.read(tmp_path / f"Annotations/frames/{i:05d}.png")
        assert (masks.labels, masks.ids) == (("leaf", "cup"), (1, 2))


NOTHING = Prompt(mask=np.zeros((48, 64), bool))


def test_what_never_appears_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected 'ghost' in frame 2 where its prompt is"):
        run({2: {"cup": at(2), "ghost": NOTHING}}, tmp_path)
    assert content(tmp_path) == {} and not (tmp_path / "Annotations").exists()
    assert run({2: {"cup": at(2)}}, tmp_path).seen == {"cup": 12}


@pytest.mark.parametrize("before", [False, True])
def test_a_prompt_that_was_refused_may_be_left_out_and_nothing_is_lost(
    tmp_path: Path, before: bool
) -> None:
    said = {0: {"cup": at(0)}}
    if before:
        run(said, tmp_path)
    with pytest.raises(InputError, match="expected 'ghost' in frame 7"):
        run(said | {7: {"ghost": NOTHING}}, tmp_path)
    model = ColourModel()
    run(said, tmp_path, model)
    assert model.embedded <= (0 if before else 12 - 7 + 4)
    run(said, tmp_path / "whole")
    assert content(tmp_path / "whole") == {
        name: data for name, data in content(tmp_path).items() if "whole" not in name
    }
    leaf = {7: {"leaf": Prompt([(8, 38)])}}  # or be said in another way
    assert run(said | leaf, tmp_path).seen == {"cup": 12, "leaf": 12}


def test_clips_that_share_a_folder_go_on_each_where_it_stopped(tmp_path: Path) -> None:
    frames, said = clip()[0], {0: {"cup": at(0)}}
    for name, count in (("a", 3), ("b", 9)):
        (tmp_path / name).mkdir()
        for i, frame in enumerate(frames):
            PIL.Image.fromarray(frame).save(tmp_path / name / f"{i}.png")
        with pytest.raises(Enough):
            track(tmp_path / name, said, output=tmp_path / "out", model=ColourModel(),
                  overlay=False, progress=stop_after(count))  # fmt: skip
    for name in ("a", "b"):
        found = track(
            tmp_path / name, said, output=tmp_path / "out", model=ColourModel(), overlay=False
        )
        assert found.seen == {"cup": 12}


def test_results_of_something_else_are_not_mixed(tmp_path: Path) -> None:
    said = {0: {"cup": at(0)}}
    run(said, tmp_path)
    before = content(tmp_path)
    with pytest.raises(InputError, match="none like the one for 'cup' in frame 0"):
        run({0: {"cup": at(0), "x": at(1)}} | {0: {"x": at(1)}}, tmp_path)
    with pytest.raises(InputError, match="model: 'toy"):
        run(said, tmp_path, ColourModel(name="other"))
    with pytest.raises(InputError, match="first_frame"):
        track(moving(PATH)[0], said, output=tmp_path, model=ColourModel(), overlay=False)
    assert content(tmp_path) == before
    run({1: {"spoon": at(1)}}, tmp_path, overwrite=True)
    about = json.loads((tmp_path / "frames.json").read_text(encoding="utf-8"))
    assert [thing["name"] for thing in about["annotations"]] == ["spoon"]


def test_nothing_is_written_for_prompts_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="got one for frame 40"):
        run({40: {"cup": at(0)}}, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_video_that_is_cut_off_keeps_what_was_read(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="PyAV is not installed")
    from tests.image.test_video import make

    whole = make(tmp_path / "whole.mp4", 60, movflags="faststart")
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    corner = {0: {"corner": Prompt([(8, 8)])}}
    found = track(cut, corner, output=tmp_path / "out", model=ColourModel())
    assert 10 < found.frames < 60 and "cut off or damaged" in found.notes[0]
    assert found.seen["corner"] == found.frames
    assert [file.name for file in found.files] == ["cut", "cut.json", "cut-overlay.mp4"]
