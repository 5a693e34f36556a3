"""From words to a command: its flags are the fields of a dataclass, which tyro reads."""

from __future__ import annotations

import ast
import difflib
import inspect
import io
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, is_dataclass, replace
from functools import cache, partial
from itertools import pairwise
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    Protocol,
    TextIO,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
)

from anymask.errors import InputError

if TYPE_CHECKING:
    from tyro.constructors import ConstructorRegistry

__all__ = ["Command", "choose", "parse", "sentences"]

_WIDTHS = (30, 100)  # of a page of help, however narrow or wide the terminal is


class Command(Protocol):
    """What words become."""

    @property
    def debug(self) -> bool:
        """Whether errors show where they happened."""
        ...

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
            registry=_registry(),
        )
        return found

    complaint = io.StringIO()
    with _page():
        try:
            with redirect_stderr(complaint):
                return read(words)
        except SystemExit as end:
            if end.code:
                _check_flags(words, prog, partial(read, ["--help"]))
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
        """Write, but lines that are indented, such as examples, as they are."""
        lines = [
            line if len(line) <= self.width or line[:1].isspace() else self._fill(line)
            for line in text.split("\n")
        ]
        return self.stream.write("\n".join(lines))

    def _fill(self, line: str) -> str:
        return textwrap.fill(line, self.width, break_on_hyphens=False, break_long_words=False)


# ----------------------------------------------------------------------- sentences


def sentences(kind: type[Any]) -> dict[str, str]:
    """List what stands under the fields of a dataclass, each in one line, by their names.

    tyro reads it as well, but keeps the line breaks of the source, which lie wrong in a terminal.

    Example:
        >>> from anymask.config import InstanceConfig
        >>> sentences(InstanceConfig)["confidence"]
        'Keep instances whose score is above this.'
    """
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if is_dataclass(base):
            found |= _sentences_of(base.__module__).get(base.__name__, {})
    return found


@cache
def _sentences_of(module: str) -> dict[str, dict[str, str]]:
    """Read the sentences of all classes of a module, by the names of class and field."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except OSError:  # of a program that was shipped without its source
        return {}
    found: dict[str, dict[str, str]] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            found[node.name] = {
                declared.target.id: " ".join(below.value.value.split())
                for declared, below in pairwise(node.body)
                if isinstance(declared, ast.AnnAssign)
                and isinstance(declared.target, ast.Name)
                and isinstance(below, ast.Expr)
                and isinstance(below.value, ast.Constant)
                and isinstance(below.value.value, str)
            }
    return found


def _registry() -> ConstructorRegistry:
    """Tell tyro how the flags of our dataclasses read."""
    from tyro.constructors import ConstructorRegistry, StructConstructorSpec, StructTypeInfo

    registry = ConstructorRegistry()
    asking = False

    @registry.struct_rule
    def flags(info: StructTypeInfo) -> StructConstructorSpec | None:
        nonlocal asking
        if asking or not is_dataclass(info.type):
            return None  # and tyro's own rule is next
        asking = True
        try:
            spec = ConstructorRegistry.get_struct_spec(info)
        finally:
            asking = False
        assert isinstance(spec, StructConstructorSpec)
        said = sentences(info.type)
        fields = [
            replace(
                field, type=_with_looks(field.type), helptext=said.get(field.name, field.helptext)
            )
            for field in spec.fields
        ]
        return replace(spec, fields=tuple(fields))

    return registry


def _with_looks(kind: Any) -> Any:
    """Annotate the type of a flag with what its value and its default are called.

    What the dataclass says itself comes later and wins.
    """
    from tyro.conf import arg

    bare, *own = get_args(kind) if get_origin(kind) is Annotated else (kind,)
    if get_origin(bare) not in (None, UnionType, Union, Literal, tuple) or is_dataclass(bare):
        return kind
    looks = arg(metavar=_metavar(bare), help_behavior_hint=_hint)
    return Annotated.__class_getitem__((bare, looks, *own))  # type: ignore[attr-defined]


def _hint(default: str) -> str:
    return "" if default in ("", "None", "False") else f"(default: {default})"


def _metavar(kind: Any) -> str | None:
    """Name a value that may be missing or come several times; None: as tyro names it."""
    parts = [part for part in get_args(kind) if part is not NoneType]
    if get_origin(kind) in (UnionType, Union) and len(parts) == 1:
        return _metavar(parts[0]) or _name(parts[0])
    if get_origin(kind) is tuple and parts[1:] == [...]:
        return f"{_metavar(parts[0]) or _name(parts[0])}..."
    return None


def _name(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return "{" + ",".join(map(str, get_args(kind))) + "}"
    return str(getattr(kind, "__name__", kind)).upper()
