from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from tests.cli.conftest import FakeModel
from tests.cli.test_pipe import Pipes

from anymask import InputError, process
from anymask.extras.edit import EditConfig
from anymask.extras.edit.job import Edit


def pixels(source: object) -> np.ndarray:
    return np.asarray(PIL.Image.open(source))


def test_a_folder_of_main_subjects_on_white(
    run, fake: FakeModel, photos: Path, tmp_path: Path
) -> None:
    words = ("edit", photos, "--background", "white", "--hard-edges", "-o", tmp_path / "out")
    result = run(*words)
    assert result.code == 0, result.err
    edited = sorted((tmp_path / "out").rglob("*-edited.png"))
    assert len(edited) == 4
    after, before = pixels(edited[0]), pixels(photos / "1.png")
    np.testing.assert_array_equal(after[:4, :4], before[:4, :4])
    assert (after[4:] == 255).all() and fake.prompts == []
    assert "4 already there" in run(*words).out
    assert "now 'black'" in run(*words[:3], "black", *words[4:]).err


def test_a_mask_needs_no_model(
    run, big: Path, mask: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("anymask.predict.loading.load")
    words = ("--mask", mask, "--background", "grey", "--colour", "red", "-o", tmp_path / "out")
    result = run("edit", big, *words)
    assert result.code == 0, result.err
    names = sorted(path.name for path in (tmp_path / "out").glob("[!.]*"))
    assert names == ["anymask-run.json", "big-edited.png", "big-overlay.png", "big.json"]
    after = pixels(tmp_path / "out/big-edited.png").astype(int)
    assert np.ptp(after[60:], axis=2).max() == 0 and np.ptp(after[35:45, 45:65], axis=2).min() > 60


def test_a_click_and_standard_streams(
    fake: FakeModel, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipes = Pipes(monkeypatch)
    words = ("edit", "-", "--point", "3,3", "--background", "transparent", "-o", "-")
    assert pipes.run(*words, given=photo.read_bytes()) == 0
    cut = pipes.image()
    assert cut.shape == (10, 20, 4) and cut[9, 19, 3] == 0 and cut[0, 0, 3] == 255
    assert fake.prompts[0].points_xy.tolist() == [[3, 3]]


def test_the_digest_of_a_background_image_tells_runs_apart(photos: Path, tmp_path: Path) -> None:
    mask = np.zeros((10, 20), bool)
    mask[2:5, 3:9] = True
    jobs = [
        Edit(masks=mask, config=EditConfig(background=np.full((4, 8, 3), value, np.uint8)))
        for value in (5, 5, 6)
    ]
    for job, status in zip(jobs[:2], ("done", "skipped"), strict=True):
        report = process(photos / "1.png", tmp_path / "out", job=job)
        assert [result.status for result in report.results] == [status]
    with pytest.raises(InputError, match=r"of other settings \(how.background"):
        process(photos / "1.png", tmp_path / "out", job=jobs[2])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "expected a background or a colour, got neither"),
        (["--background", "sepia"], "a background out of blur, grey, transparent, a colour or"),
        (["--colour", "mauve-ish"], "a colour for the thing"),
        (["--background", "blur", "--label", "dog"], "--masks along with --label"),
        (
            ["--background", "blur", "--not", "3,3"],
            "expected --point, --box, --mask or --text beside --not",
        ),
        (["--background", "blur", "--point", "3,3", "--text", "dog"], "got --point and --text"),
        (["--background", "blur", "--threshold", "0.4"], "--text alone with --threshold"),
    ],
)
def test_wrong_words(run, fake: FakeModel, photo: Path, words: list[str], message: str) -> None:
    result = run("edit", photo, *words)
    assert result.code == 2 and message in result.err


def test_nothing_found_stays_as_it_is(
    run, fake: FakeModel, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from anymask import Masks

    monkeypatch.setattr(FakeModel, "subject", lambda self, image: Masks.empty(image.size_hw))
    assert run("edit", photo, "--background", "blur", "-o", tmp_path / "out").code == 0
    np.testing.assert_array_equal(pixels(tmp_path / "out/photo-edited.png"), pixels(photo))


# ------------------------------------------------------------------------ paste


@pytest.fixture
def cut(tmp_path: Path) -> Path:
    image = np.full((12, 12, 4), (250, 0, 0, 0), np.uint8)
    image[3:9, 3:9, 3] = 255
    PIL.Image.fromarray(image).save(tmp_path / "cut.png")
    return tmp_path / "cut.png"


@pytest.mark.parametrize("shadow", [[], ["--shadow"]])
@pytest.mark.parametrize("blend", ["alpha", "poisson"])
def test_pasting(run, cut: Path, big: Path, tmp_path: Path, blend: str, shadow: list) -> None:
    words = ("--at", "60,40", "--scale", 2, "--rotate", -20, "--blend", blend, *shadow)
    result = run("paste", cut, big, *words, "-o", tmp_path / "o.png")
    assert result.code == 0, result.err
    assert "pasted 1" in result.out and str(tmp_path / "o-mask.png") in result.out
    mask, after, before = pixels(tmp_path / "o-mask.png"), pixels(tmp_path / "o.png"), pixels(big)
    mask = mask if mask.ndim == 2 else mask[..., 0]
    assert mask[40, 60] == 255 and after.shape == before.shape
    changed = (after != before).any(2)
    if not shadow:
        assert not changed[mask == 0].any()
    assert not changed[:20].any() and changed.any()


def test_a_place_left_of_the_image(run, cut: Path, big: Path, tmp_path: Path) -> None:
    result = run("paste", cut, big, "--at", "-1,40", "-o", tmp_path / "o.png")
    assert result.code == 0, result.err
    assert (pixels(tmp_path / "o.png")[40, 0] == (250, 0, 0)).all()


def test_pasting_to_standard_output(cut: Path, big: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipes = Pipes(monkeypatch)
    assert pipes.run("paste", cut, big, "--at", "60,40", "-o", "-") == 0
    assert (pipes.image()[40, 60] == (250, 0, 0)).all()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--at", "60"], "expected --at X,Y like 500,375"),
        (["--at", "900,40"], "some of the thing lies in the 120 x 90 image, got 900,40"),
        (["--at", "60,40", "--scale", "0"], "a scale above 0"),
        (["--at", "60,40", "--scale", "nan"], "scale"),
        (["--at", "60,40", "-o", "out.gif"], "got 'out.gif'"),
    ],
)
def test_wrong_pastes(
    run,
    cut: Path,
    big: Path,
    tmp_path: Path,
    words: list,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    result = run("paste", cut, big, *words)
    assert result.code == 2 and message in result.err
    assert sorted(tmp_path.iterdir()) == before


def test_a_photo_is_no_cut_out(run, big: Path, mask: Path, tmp_path: Path) -> None:
    result = run("paste", big, big, "--at", "5,5", "-o", tmp_path / "o.png")
    assert result.code == 2 and "opaque everywhere; cut the thing out first" in result.err
    words = ("--at", "20,20", "--mask", mask, "-o", tmp_path / "o.png")
    assert run("paste", big, big, *words).code == 0
