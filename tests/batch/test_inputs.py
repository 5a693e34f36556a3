from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from anymask.batch.inputs import find_images
from anymask.errors import InputError


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def keys(root: Path, *arguments: str, output: str = "out") -> list[str]:
    items = find_images([str(root / argument) for argument in arguments], root / output)
    return [item.key for item in items]


@pytest.mark.parametrize(
    ("files", "arguments", "expected"),
    [
        (["a.jpg"], ["a.jpg"], ["a"]),
        (["a.weird"], ["a.weird"], ["a"]),
        (["p/10.jpg", "p/2.jpg", "p/1.JPG", "p/x.txt"], ["p"], ["1", "2", "10"]),
        (["p/a.jpg", "p/deep/er/a.jpg"], ["p"], ["a", "deep/er/a"]),
        (["p/a.jpg", "p/.hidden/b.jpg", "p/.b.jpg"], ["p"], ["a"]),
        (["p/a.jpg", "p/b.jpg", "q/c.jpg"], ["p/*.jpg"], ["a", "b"]),
        (["p/a.jpg", "p/q/b.jpg", "p/q/c.txt"], ["p/**/*"], ["a", "q/b"]),
        (["p/[1].jpg", "p/1.jpg"], ["p/[1].jpg"], ["[1]"]),
        (["z.jpg", "a.jpg"], ["z.jpg", "a.jpg"], ["z", "a"]),
        # the same picture twice
        (["p/a.jpg"], ["p", "p/a.jpg", "p/*.jpg"], ["a"]),
        # names that would write over each other
        (["p/a.jpg", "q/a.jpg"], ["p/a.jpg", "q/a.jpg"], ["p/a", "q/a"]),
        (["p/a.jpg", "q/a.jpg", "q/b.jpg"], ["p", "q"], ["p/a", "q/a", "b"]),
        (["p/a.jpg", "p/a.png", "p/b.png"], ["p"], ["a.jpg", "a.png", "b"]),
        (["p/a.jpg", "q/A.jpg"], ["p/a.jpg", "q/A.jpg"], ["p/a", "q/A"]),
    ],
)
def test_keys(tmp_path: Path, files: list[str], arguments: list[str], expected: list[str]) -> None:
    touch(tmp_path, *files)
    assert keys(tmp_path, *arguments) == expected


def test_results_inside_the_folder_are_not_taken_for_pictures(tmp_path: Path) -> None:
    touch(tmp_path, "p/a.jpg", "p/out/a-overlay.png", "p/out/deep/a-overlay.png")
    assert keys(tmp_path, "p", output="p/out") == ["a"]
    assert keys(tmp_path, "p/**/*.*", output="p/out") == ["a"]


def test_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "p/a.jpg", "b.jpg", "p/out/a-overlay.png")
    monkeypatch.chdir(tmp_path / "p")
    items = find_images([".", "../b.jpg"], Path("out"))
    assert [(str(item.path), item.key) for item in items] == [("a.jpg", "a"), ("../b.jpg", "b")]
    assert [item.key for item in find_images(["**/*.*g"], Path("out"))] == ["a"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "got none"),
        (["missing.jpg"], "does not exist"),
        (["empty"], "leads to none"),
        (["empty/*.jpg"], "leads to none"),
        (["out"], "different folders"),
    ],
)
def test_refusals(tmp_path: Path, arguments: list[str], message: str) -> None:
    touch(tmp_path, "empty/notes.txt", "out/a.jpg")
    with pytest.raises(InputError, match=message):
        keys(tmp_path, *arguments)


@pytest.fixture
def unprivileged(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of one who is not root, who could read everything."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o777)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        yield Path(name)
        os.seteuid(user)
        for path in [Path(name), *Path(name).rglob("*")]:
            path.chmod(0o777)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")
@pytest.mark.parametrize("argument", ["in", "in/**/*.jpg", "in/*/*.jpg"])
def test_what_may_not_be_read_is_named(unprivileged: Path, argument: str) -> None:
    touch(unprivileged, "in/x/a.jpg", "in/private/b.jpg")
    (unprivileged / "in" / "private").chmod(0)
    items = find_images([str(unprivileged / argument)], unprivileged / "out")
    assert [item.path.name for item in items if item.error is None] == ["a.jpg"]
    (error,) = (item.error for item in items if item.error is not None)
    assert f"cannot read '{unprivileged}/in/private': Permission denied" in error
    for name in ("in/private", "in/private/b.jpg"):
        (item,) = find_images([unprivileged / name], unprivileged / "out")
        assert "Permission denied" in (item.error or "")


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/a.jpg", "p/b.jpg", "out/c.jpg")
    (tmp_path / "p" / "album").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "p" / "results").symlink_to(tmp_path / "out")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "p")
    (tmp_path / "p" / "notes.txt").symlink_to("nowhere")
    items = find_images([tmp_path / "p"], tmp_path / "out")
    assert [item.key for item in items if item.error is None] == ["album/a", "b"]
    (error,) = (item.error for item in items if item.error is not None)
    assert "album/back': it is a link back to a folder above it" in error
    assert keys(tmp_path, "p/**/*.jpg") == ["album/a", "", "b"]


def test_a_key_stays_whatever_comes_beside_it(tmp_path: Path) -> None:
    touch(tmp_path, "p/a.jpg", "p/a.png", "p/a.tif", "q/a.jpg")
    known = {str(tmp_path / "p" / "a.png"): "a", str(tmp_path / "p" / "a.tif"): "a.jpg"}
    items = find_images([tmp_path / "p"], tmp_path / "out", known)
    assert {item.path.name: item.key for item in items} == {
        "a.jpg": "a.jpg~2", "a.png": "a", "a.tif": "a.jpg",
    }  # fmt: skip


def test_names_that_differ_in_case_alone(tmp_path: Path) -> None:
    touch(tmp_path, "p/a.jpg", "p/A.jpg")
    if len(os.listdir(tmp_path / "p")) == 1:
        pytest.skip("this file system takes them for one")
    assert sorted(keys(tmp_path, "p")) in (["A.jpg", "a.jpg~2"], ["A.jpg~2", "a.jpg"])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_among_images_is_named_and_not_waited_for(tmp_path: Path) -> None:
    touch(tmp_path, "p/a.jpg")
    os.mkfifo(tmp_path / "p/b.jpg")
    os.symlink("gone.jpg", tmp_path / "p/c.jpg")
    items = {item.path.name: item.error for item in find_images([tmp_path / "p"], tmp_path / "out")}
    assert items.keys() == {"a.jpg", "b.jpg", "c.jpg"}
    assert "b.jpg': it is no file but a pipe" in str(items["b.jpg"])
    assert items["a.jpg"] is None
