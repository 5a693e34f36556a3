"""Every command in the README and in the docs is one that the real parser takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.docs.markdown import PAGES, ROOT, Block, blocks, commands

from anymask import cli
from anymask.errors import InputError

BLOCKS = [block for page in PAGES for block in blocks(page, "bash", "shell", "console")]
OTHERS = {"pip", "mkdir", "cp", "cd", "git", "export", "podman"}
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))


def check(words: list[str]) -> None:
    """Fail unless a command can be said like this."""
    while "=" in words[0]:  # a variable set for the command, or for those that follow
        words = words[1:]
        if not words:
            return
    program = words[0]
    if "anymask" in words[:6] and program in ("anymask", "torchrun", "python", "python3"):
        arguments = words[words.index("anymask") + 1 :]
        if "--help" in arguments or "--version" in arguments:
            with pytest.raises(SystemExit, match=r"^0$"):
                cli.parse(arguments)
            return
        cli.parse(arguments)
    elif program == "make":
        assert set(words[1:]) <= TARGETS, f"no such target: {words}"
    elif program in ("python", "python3", ".venv/bin/python"):
        if words[1] != "-m":
            assert (ROOT / words[1]).is_file(), f"no such script: {words[1]}"
    elif program == "curl":
        assert any(word.startswith("http://127.0.0.1:8000/v1/") for word in words), words
    else:
        assert program in OTHERS, f"what is {program}?"


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with the files that the parser itself reads."""
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    (tmp_path / "runs" / "mine" / "config.yaml").write_text("{}")
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_the_parser_takes_every_command(block: Block, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands(block)
    for words in commands(block):
        try:
            check(words)
        except (SystemExit, InputError):
            pytest.fail(f"{' '.join(words)}\n{capsys.readouterr()}")


def test_there_are_commands_to_check() -> None:
    assert len({block.page for block in BLOCKS}) > 8


@pytest.mark.parametrize("words", [["anymask", "segmnt", "a.jpg"], ["make", "tea"], ["sudo", "rm"]])
def test_the_check_can_fail(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises((SystemExit, InputError, AssertionError)):
        check(words)
