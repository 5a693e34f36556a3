from __future__ import annotations

from pathlib import Path

import pytest

from anymask.errors import InputError
from anymask.plugins import load_plugin, plugin_names


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages on the path; `install` adds to it."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def install(folder: Path, package: str, module: str, *lines: str) -> None:
    about = folder / f"{package}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[anymask.formats]\n" + "\n".join(lines) + "\n")
    (folder / f"{package.replace('-', '_')}.py").write_text(module)


def test_a_package_adds_a_name(installed: Path) -> None:
    install(installed, "their-labels", "FORMAT = 'theirs'", "theirs = their_labels:FORMAT")
    assert "theirs" in plugin_names("formats")
    assert load_plugin("formats", "theirs") == "theirs"
    assert load_plugin("models", "theirs") is None


def test_listing_imports_nothing(installed: Path) -> None:
    install(installed, "bad-labels", "raise OSError('no disk')", "bad = bad_labels:FORMAT")
    assert "bad" in plugin_names("formats")


@pytest.mark.parametrize("module", ["raise OSError('no disk')", "OTHER = 1", "import no_such_one"])
def test_a_broken_package_is_named(installed: Path, module: str) -> None:
    install(installed, "broken-labels", module, "broken = broken_labels:FORMAT")
    with pytest.raises(InputError, match=r"'broken-labels'.*uninstall"):
        load_plugin("formats", "broken")


def test_two_packages_with_one_name_are_named(installed: Path) -> None:
    install(installed, "one-labels", "FORMAT = 1", "both = one_labels:FORMAT")
    install(installed, "two-labels", "FORMAT = 2", "both = two_labels:FORMAT")
    with pytest.raises(InputError, match=r"one-labels.*two-labels|two-labels.*one-labels"):
        load_plugin("formats", "both")
