from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from anymask.errors import MissingExtraError
from anymask.optional import optional


def test_it_imports_what_is_there() -> None:
    assert optional("json", extra="image") is json


def test_it_says_which_line_installs_the_rest() -> None:
    with pytest.raises(MissingExtraError, match=r"'no_such'.*pip install 'anymask\[image\]'"):
        optional("no_such", extra="image")


@pytest.mark.parametrize(("module", "package"), [("cv2", "opencv-python-headless"), ("a.b", "a")])
def test_without_pytorch_it_names_the_package_alone(
    module: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module.partition(".")[0], None)
    with pytest.raises(MissingExtraError, match=f"run: pip install {package}$"):
        optional(module)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=f"run: pip install {package}$"):
        optional(module, extra="image")


def test_a_missing_submodule_means_the_package_is_missing() -> None:
    with pytest.raises(MissingExtraError, match=r"'no_such\.part'"):
        optional("no_such.part", extra="image")


def test_a_package_that_imports_are_kept_from_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wave", None)
    for module in ("wave", "wave.part"):
        with pytest.raises(MissingExtraError, match=f"'{module}'"):
            optional(module, extra="image")


def test_a_broken_package_shows_its_own_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_one.py").write_text("import no_such_dependency")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency") as caught:
        optional("broken_one", extra="image")
    assert not isinstance(caught.value, MissingExtraError)
