"""Messages of errors have one form: what was expected, what came; what to do."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import anymask

SOURCE = Path(__file__).resolve().parents[2] / "src"
ERRORS = {error.__name__ for error in anymask.AnymaskError.__subclasses__()}


def template(node: ast.expr) -> str | None:
    """Give the text of a message, `{}` for what is filled in; None: it is made elsewhere."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join("{}" if not isinstance(v, ast.Constant) else v.value for v in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return (template(node.left) or "{}") + (template(node.right) or "{}")
    return None


def messages(source: str) -> Iterator[tuple[int, str]]:
    """Find the messages of our errors in a module, with their lines."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            text = template(node.args[0]) if node.func.id in ERRORS and node.args else None
            if text is not None:
                yield node.lineno, text


def complaint(message: str) -> str | None:
    """Say what is wrong with the form of a message; None: nothing."""
    if not re.match(r"expected |cannot |this needs |\{\}", message):
        return "does not begin with what was expected, or what cannot be done"
    if message.startswith("expected ") and not re.search(r"\b(got|but)\b|\{\}", message):
        return "does not say what came"
    if not re.search(r"; \S|\{\}$", message):
        return "does not say what to do, after a semicolon"
    if message.endswith((".", "!")) or re.search(r"\. [A-Z]", message):
        return "is more than one sentence, or ends with a full stop"
    if "\n" in message:
        return "has more than one line"
    return None


def test_messages_have_the_form_of_the_house() -> None:
    found = []
    count = 0
    for path in sorted(SOURCE.rglob("anymask/**/*.py")):
        for line, message in messages(path.read_text(encoding="utf-8")):
            count += 1
            if wrong := complaint(message):
                found.append(f"{path.relative_to(SOURCE)}:{line} {wrong}: {message!r}")
    assert found == []
    assert count > 200


@pytest.mark.parametrize(
    ("code", "wrong"),
    [
        ('raise InputError("expected a box, got a circle; give four numbers")', None),
        ('raise InputError(f"expected {what}, got {value!r}; " + hint)', None),
        ('raise OutputError(f"cannot write {path}: {why}; choose another place")', None),
        ('raise InputError("bad box")', "begin"),
        ('raise InputError("expected a box; give four numbers")', "what came"),
        ('raise InputError("expected a box, got a circle")', "what to do"),
        ('raise InputError("expected a box, got a circle; give four numbers.")', "full stop"),
        ('raise InputError("expected a box, got a circle; No. Give four")', "sentence"),
        ('raise WeightsError("expected a box,\\n got a circle; go")', "line"),
    ],
)
def test_the_guard_sees(code: str, wrong: str | None) -> None:
    ((_, message),) = messages(code)
    said = complaint(message)
    assert said is None if wrong is None else said is not None and wrong in said
