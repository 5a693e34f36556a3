"""What tyro complains about in a box, as one sentence: what was expected, what came, what to do."""

from __future__ import annotations

import re

__all__ = ["WIDTH", "as_sentence"]

WIDTH = 10_000
"""Columns of a terminal in which no line of a box is broken."""

_KINDS = {"INT": "a whole number", "FLOAT": "a number", "PATH": "a path"}


def as_sentence(box: str, prog: str) -> str | None:
    """Say what a box says in one sentence; None if it says something else than known things.

    Args:
        box: As tyro prints it on a terminal of `WIDTH` columns.
        prog: The command that complains.

    Examples:
        >>> box = "│ invalid choice 'a' for argument '--to'. Expected one of ('b', 'c'). │"
        >>> as_sentence(box, "anymask export")
        "expected --to out of b, c, got 'a'; see `anymask export --help`"
    """
    # Where a terminal has no such lines, the box is drawn by spaces.
    text = "\n".join(line.strip("│").rstrip() for line in box.splitlines())
    said = _choice(text) or _value(text) or _missing(text) or _unknown(text, prog)
    return f"{said}; see `{prog} --help`" if said else None


def _choice(text: str) -> str | None:
    found = re.search(r"invalid choice '(.*)' for argument '(.*)'\. Expected one of \((.*)\)", text)
    if not found:
        return None
    got, flag, choices = found.groups()
    known = ", ".join(re.findall(r"'([^']*)'", choices))
    return f"expected {_long(flag)} out of {known}, got {got!r}"


def _long(flag: str) -> str:
    """Name a flag that has a short name, too, by its long one."""
    return flag.split("/")[-1]


def _value(text: str) -> str | None:
    if found := re.search(r"Missing value for argument '(.*?)'", text):
        return f"expected a value behind {_long(found[1])}, got none"
    found = re.search(r"Error parsing (\S+): (.*)", text)
    if not found:
        return None
    flag, reason = _long(found[1]), found[2]
    named = re.search(rf"^ +(?:.*, )?{re.escape(flag)} (\S.*)$", text, re.MULTILINE)
    wanted = named[1] if named else "a value of another kind"
    got = re.findall(r"'([^']*)'", reason)
    return f"expected {flag} as {_KINDS.get(wanted, wanted)}, got {got[-1] if got else reason!r}"


def _missing(text: str) -> str | None:
    found = re.search(r"^( *)Missing from (.*):\n((?:\1 {4}.*\n)+)", text, re.MULTILINE)
    if not found:
        return None
    margin, command, listed = found.groups()
    names = re.findall(rf"^{margin} {{4}}(\S.*)$", listed, re.MULTILINE)
    shown = " and ".join(name.split(", ")[-1] for name in names)
    return f"expected {shown} for `{command}`, got {_others(text) or 'none'}"


def _unknown(text: str, prog: str) -> str | None:
    others = _others(text)
    return f"expected flags and values that `{prog}` knows, got {others}" if others else None


def _others(text: str) -> str:
    """List what tyro can make nothing of, beside whatever else is wrong."""
    found = re.search(r"Unrecognized options:\s+(.*)", text)
    return found[1] if found else ""
