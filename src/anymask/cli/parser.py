"""From words to a command: its flags are the fields of a dataclass, which tyro reads."""

from __future__ import annotations

import difflib
import io
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Protocol, TextIO, TypeVar, Union, cast

from anymask.cli.complaints import WIDTH, as_sentence
from anymask.cli.flags import RefusedError, registry
from anymask.errors import InputError

__all__ = ["Command", "choose", "parse"]

_WIDTHS = (30, 100)  # of a page of help, however narrow or wide the terminal is


class Command(Protocol):
    """What words become."""

    def run(self) -> int:
        """Do it and return the exit code."""
        ...


Options = TypeVar("Options")


def parse(
    kind: type[Options], words: Sequence[str], prog: str, about: str, default: Any = None
) -> Options:
    """Turn words into a dataclass; help and wrong usage end the process here, as is the custom.

    Args:
        kind: The dataclass; the sentence under each field is the help of its flag.
        words: What follows the name of the command.
        prog: That name.
        about: What its help begins with.
        default: An instance to take values from that no word gives; None: the class's own.

    Raises:
        InputError: The dataclass refuses a value, or a flag is like another one.
    """
    import tyro

    def read(words: Sequence[str]) -> Options:
        found: Options = tyro.cli(
            kind,
            prog=prog,
            description=about,
            args=words,
            default=tyro.MISSING_NONPROP if default is None else default,
            config=(tyro.conf.FlagCreatePairsOff,),
            registry=registry(),
        )
        return found

    complaint = io.StringIO()
    with _page():
        try:
            with redirect_stderr(complaint):
                return read(words)
        except RefusedError as refused:
            raise refused.error from None
        except SystemExit as end:
            if end.code:
                _check_flags(words, prog, partial(read, ["--help"]))
                _check_values(prog, partial(read, words))
                print(complaint.getvalue(), end="", file=sys.stderr)
            raise


def _check_flags(words: Sequence[str], prog: str, show_help: Callable[[], object]) -> None:
    """Say which flag may be meant by one that the page of help does not know."""
    with redirect_stdout(io.StringIO()) as page, suppress(SystemExit):
        show_help()
    known = set(re.findall(r"--[a-z0-9-]+", page.getvalue()))
    for word in words:
        flag = word.partition("=")[0].replace("_", "-")
        close = difflib.get_close_matches(flag, known, 1, 0.7)
        if flag.startswith("--") and flag not in known and close:
            raise InputError(f"expected a flag of `{prog}`, got {flag}; did you mean {close[0]}?")


def _check_values(prog: str, fail: Callable[[], object]) -> None:
    """Say what is wrong with the words in one sentence, if that is known."""
    os.environ["COLUMNS"] = str(WIDTH)
    with redirect_stderr(io.StringIO()) as box, suppress(SystemExit):
        fail()
    if said := as_sentence(box.getvalue(), prog):
        raise InputError(said)


def choose(words: Sequence[str], prog: str, about: str, summaries: Mapping[str, str]) -> str:
    """Give the name of the subcommand that the words begin with; help ends the process here.

    Args:
        words: What follows the name of the command.
        prog: That name.
        about: What its help begins with.
        summaries: One line about each subcommand, by its name.

    Raises:
        InputError: There is no such subcommand.
    """
    name = words[0] if words else "--help"
    if name in summaries:
        return name
    if name not in ("-h", "--help"):
        close = difflib.get_close_matches(name.lower(), summaries, 1)
        hint = (
            f"did you mean `{prog} {close[0]}`?" if close else f"name one of {', '.join(summaries)}"
        )
        raise InputError(f"expected a command of `{prog}`, got {name!r}; {hint}")
    listed = [Annotated[_Listed, _subcommand(name, line)] for name, line in summaries.items()]
    parse(Union[tuple(listed)], ["--help"], prog, about)  # type: ignore[arg-type]  # noqa: UP007
    raise AssertionError("help ends the process")


@dataclass(frozen=True)
class _Listed:
    """A line in a list: to make flags of the command itself would take too long for that."""


def _subcommand(name: str, line: str) -> Any:
    from tyro.conf import subcommand

    return subcommand(name, description=line)


# --------------------------------------------------------------------------- pages


@contextmanager
def _page() -> Iterator[None]:
    """Let pages be as wide as the terminal is, within reason."""
    before = os.environ.get("COLUMNS"), sys.stdout
    width = min(max(shutil.get_terminal_size().columns, _WIDTHS[0]), _WIDTHS[1])
    os.environ["COLUMNS"] = str(width)  # where tyro looks first
    sys.stdout = cast(TextIO, _Filled(sys.stdout, width))
    try:
        yield
    finally:
        sys.stdout = before[1]
        os.environ.pop("COLUMNS")
        if before[0] is not None:
            os.environ["COLUMNS"] = before[0]


@dataclass(frozen=True)
class _Filled:
    """A stream that breaks paragraphs where the terminal ends, for tyro does so in boxes only."""

    stream: TextIO
    width: int

    def __getattr__(self, name: str) -> Any:
        """Be the stream in all else."""
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Write, but lines that are indented, such as examples, or coloured as they are."""
        return self.stream.write("\n".join(map(self._filled, text.split("\n"))))

    def _filled(self, line: str) -> str:
        if len(line) <= self.width or line[0].isspace() or "\033" in line:
            return line
        return textwrap.fill(line, self.width, break_on_hyphens=False, break_long_words=False)
