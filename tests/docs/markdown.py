"""Fenced blocks of Markdown pages, and what comments beside them say about running them.

A comment right before a block changes how it is tested; readers do not see it:

    <!-- not run: needs the weights of SAM -->

    <!-- setup
    network = anymask.load().network
    -->
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / name for name in ("README.md", "README.zh-CN.md", "CONTRIBUTING.md")),
    ]
)

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<code>.*?)^(?P=indent)```", re.M | re.S
)
_SKIP = re.compile(r"<!-- not run: (?P<reason>[^>]+?) -->\s*\Z")
_SETUP = re.compile(r"<!-- setup\n(?P<code>(?:(?!-->).)*)-->\s*\Z", re.S)


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    page: Path
    line: int  # of the fence
    language: str
    code: str
    skip: str = ""  # why it is not run
    setup: str = ""  # what is run before it, unseen

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path, *languages: str) -> list[Block]:
    """List the blocks of a page that are in one of these languages."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        before = text[: match.start()]
        skip, setup = _SKIP.search(before), _SETUP.search(before)
        block = Block(
            page=page,
            line=before.count("\n") + 1,
            language=match["language"],
            code=dedent(match["code"]),
            skip=skip["reason"] if skip else "",
            setup=dedent(setup["code"]) if setup else "",
        )
        if block.language in languages:
            found.append(block)
    return found


def commands(block: Block) -> list[list[str]]:
    """Split a block of shell into commands, each a list of words; comments are left out."""
    found = []
    for line in block.code.replace("\\\n", " ").splitlines():
        words: list[str] = []
        for word in [*shlex.split(line, comments=True), "&&"]:
            if word not in ("&&", "|", ";"):
                words.append(word)
            elif words:
                found.append(_without_redirections(words))
                words = []
    return found


def _without_redirections(words: list[str]) -> list[str]:
    """Leave out ``< file`` and ``> file``, which are the shell's."""
    signs = {number for number, word in enumerate(words) if word in ("<", ">", ">>", "2>")}
    return [w for n, w in enumerate(words) if n not in signs and n - 1 not in signs]
