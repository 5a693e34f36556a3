"""Output arrives in every encoding, on narrow and dumb terminals, and also where nobody reads."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from tests.cli.conftest import make_photo

from anymask.cli import COMMANDS, main
from anymask.cli.terminal import prepare_terminal, say
from anymask.evaluate.protocols import PROTOCOLS

SOURCE = Path(__file__).resolve().parents[2] / "src"
ENCODINGS = ["gbk", "cp932", "cp949", "cp437", "cp1252", "latin-1", "ascii", "utf-8", "utf-16"]
PAGES = [
    ["--help"],
    *([name, "--help"] for name in COMMANDS),
    *(["evaluate", name, "--help"] for name in [*PROTOCOLS, "speed", "audit"]),
    *(["distill", name, "--help"] for name in ("decoupled", "coupled", "sami")),
]


class Screen(io.BytesIO):
    terminal = False

    def isatty(self) -> bool:
        return self.terminal


class Terminal:
    """Stands in for standard output and standard error of an encoding, bytes and all."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, encoding: str, errors: str = "strict"):
        self.encoding = encoding
        self.bytes = {name: Screen() for name in ("stdout", "stderr")}
        for name, file in self.bytes.items():
            stream = io.TextIOWrapper(file, encoding=encoding, errors=errors)
            monkeypatch.setattr(sys, name, stream)

    def run(self, *words: object) -> int:
        try:
            return main([str(word) for word in words])
        except SystemExit as end:
            return int(end.code or 0)

    def text(self, name: str) -> str:
        getattr(sys, name).flush()
        return self.bytes[name].getvalue().decode(self.encoding)


@pytest.mark.parametrize("page", PAGES, ids=" ".join)
def test_every_page_of_help_speaks_ascii(page: list[str], monkeypatch) -> None:
    terminal = Terminal(monkeypatch, "ascii")
    assert terminal.run(*page) == 0
    assert "usage: anymask" in terminal.text("stdout")
    assert "\\u" not in terminal.text("stdout"), "a mark without an equivalent"
    assert terminal.text("stderr") == ""


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--help"], 0),
        (["distill", "--help"], 0),
        (["segment", "a.jpg", "--pont", "1,2"], 2),
        (["segment", "фото-é-日本.jpg", "--point", "1,2"], 2),
        (["everything", "a.jpg", "--format", "図"], 2),
        (["日本"], 2),
    ],
)
def test_help_and_errors(words: list[str], code: int, encoding: str, monkeypatch) -> None:
    terminal = Terminal(monkeypatch, encoding)
    assert terminal.run(*words) == code
    assert "anymask" in terminal.text("stderr" if code else "stdout")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_names_of_files_that_the_encoding_does_not_hold(
    encoding: str, fake, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    photo = make_photo(Path("фото-日本-é.png"))
    terminal = Terminal(monkeypatch, encoding)
    assert terminal.run("segment", photo, "--point", "1,1", "-o", "out") == 0
    shown = str(photo).encode(encoding, "backslashreplace").decode(encoding)
    assert terminal.text("stdout").startswith(f"{shown}: 1 mask, 16 pixels")


def test_bytes_that_are_no_text_in_the_name_of_a_file(fake, tmp_path, monkeypatch) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))
    try:
        make_photo(path)
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    for encoding in ("utf-8", "cp1252", "gbk"):
        terminal = Terminal(monkeypatch, encoding)
        assert terminal.run("segment", path, "--point", "1,1", "-o", tmp_path / "out") == 0
        assert "caf\\xe9.png: 1 mask" in terminal.text("stdout")


def test_failures_of_many_images_and_the_bar(fake, photos, tmp_path, monkeypatch) -> None:
    (photos / "ж.png").write_text("no image", encoding="utf-8")
    terminal = Terminal(monkeypatch, "cp1252")
    assert terminal.run("everything", photos, "-o", tmp_path / "out") == 1
    assert "1 of 5 images failed" in terminal.text("stderr")
    assert "\\u0436.png" in terminal.text("stderr")


def test_who_asks_for_marks_of_another_kind_gets_them(monkeypatch) -> None:
    terminal = Terminal(monkeypatch, "ascii", errors="replace")
    with prepare_terminal():
        print("фото")
    assert terminal.text("stdout").strip() == "????"
    assert sys.stdout.errors == "replace"


def test_the_streams_are_as_before_afterwards(monkeypatch) -> None:
    terminal = Terminal(monkeypatch, "ascii")
    before = sys.stdout, sys.stderr, warnings.showwarning
    assert terminal.run("--version") == 0
    assert (sys.stdout, sys.stderr, warnings.showwarning) == before
    assert (sys.stdout.errors, sys.stderr.errors) == ("strict", "strict")


def test_ornaments_become_similar_ones(monkeypatch) -> None:
    terminal = Terminal(monkeypatch, "ascii")
    with prepare_terminal():
        print("• 3 × 4 … ─│╭ ‘a’ “b” – ⠋ é 日")
        say("×")
    assert terminal.text("stdout").strip() == "* 3 x 4 ... -|+ 'a' \"b\" - * \\xe9 \\u65e5"
    assert terminal.text("stderr").strip() == "anymask: x"


@pytest.mark.parametrize("closed", [None, "closed"])
def test_closed_output(closed: str | None, fake, photo, tmp_path, monkeypatch) -> None:
    for name in ("stdout", "stderr"):
        stream = None if closed is None else io.TextIOWrapper(io.BytesIO())
        if stream is not None:
            stream.close()
        monkeypatch.setattr(sys, name, stream)
    assert main(["everything", str(photo), "-o", str(tmp_path / "out")]) == 0
    assert main(["segment", "missing.png", "--point", "1,1"]) == 2
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    assert (tmp_path / "out" / "photo.json").is_file()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_an_error() -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        run = subprocess.run(
            [sys.executable, "-m", "anymask", "--version"],
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert run.returncode == 2
    assert run.stderr.startswith("anymask: error: expected to write to standard output, got No")
    assert run.stderr.count("\n") == 1


@pytest.mark.parametrize("columns", ["1", "30", "61", "400", "many"])
@pytest.mark.parametrize("page", [["--help"], ["everything", "--help"], ["train", "--help"]])
def test_any_width(columns: str, page: list[str], monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    terminal = Terminal(monkeypatch, "utf-8")
    assert terminal.run(*page) == 0
    assert os.environ["COLUMNS"] == columns
    lines = terminal.text("stdout").splitlines()
    boxes = [line for line in lines if line.startswith("│")]
    assert boxes and max(map(len, boxes)) <= 100


def test_paragraphs_end_where_the_terminal_does(monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    terminal = Terminal(monkeypatch, "utf-8")
    assert terminal.run("segment", "--help") == 0
    about, _, options = terminal.text("stdout").partition("Examples:")
    assert max(map(len, about.splitlines())) <= 50
    assert "\n  anymask segment photo.jpg --point 500,375" in options, "examples stay in one line"


def test_pages_in_colour_look_like_those_without(monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "72")
    pages = []
    for term in ("dumb", "xterm"):
        monkeypatch.setenv("TERM", term)
        terminal = Terminal(monkeypatch, "utf-8")
        terminal.bytes["stdout"].terminal = True
        assert terminal.run("segment", "--help") == 0
        pages.append(terminal.text("stdout"))
    assert "\033[" in pages[1] and "\033[" not in pages[0]
    assert re.sub(r"\033\[[\d;]*m", "", pages[1]) == pages[0]


def test_sentences_of_several_lines_are_filled(monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    terminal = Terminal(monkeypatch, "utf-8")
    assert terminal.run("everything", "--help") == 0
    rows = [line.strip("│ ") for line in terminal.text("stdout").splitlines()]
    start = next(i for i, row in enumerate(rows) if row.startswith("--sampler"))
    said = rows[start + 1 : next(i for i in range(start, 999) if "(default: grid)" in rows[i])]
    assert min(map(len, said)) > 20, "no line ends early, where the source has a break"


def test_warnings_are_one_line(monkeypatch) -> None:
    terminal = Terminal(monkeypatch, "ascii")
    with prepare_terminal(), warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("look – out", stacklevel=1)
    assert terminal.text("stderr") == "anymask: warning: look - out\n"


@pytest.mark.parametrize("set_before", [None, "ACTIVE"])
def test_threads_sleep_while_they_wait(set_before: str | None, monkeypatch) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if set_before is not None:
        monkeypatch.setenv("OMP_WAIT_POLICY", set_before)
    assert main(["--version"]) == 0
    assert os.environ["OMP_WAIT_POLICY"] == (set_before or "PASSIVE")
    os.environ.pop("OMP_WAIT_POLICY")  # where nothing was set, nothing is restored
