"""Requests that were answered: who heard no answer may send one again, and it happens once."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from anymask.errors import InputError
from anymask.label.database.connection import Transaction
from anymask.label.records import check_token

__all__ = ["answer_of", "note", "once"]


def answer_of(transaction: Transaction, project: int, token: str) -> Any:
    """Give the answer of a request, as plain JSON values; None if it was not done."""
    query = "SELECT answer FROM requests WHERE project_id = :project AND token = :token"
    found = transaction.value(query, project=project, token=token)
    return None if found is None else json.loads(found)


def note(transaction: Transaction, project: int, token: str, answer: Any) -> None:
    """Keep the answer of a request, in the transaction in which it is done."""
    row = {"project_id": project, "token": token, "answer": json.dumps(answer)}
    transaction.insert("requests", [row])


def once(
    transaction: Transaction, project: int, token: str | None, what: str, work: Callable[[], None]
) -> None:
    """Do something that gives no answer, unless the request of this token was done before.

    Args:
        transaction: Where to do it.
        project: Whose request it is.
        token: Its name; None: it has none, and is done.
        what: What is asked for, to refuse a token that belongs to something else.
        work: What to do.

    Raises:
        InputError: The token is that of another request.
    """
    check_token(token)
    if token is None:
        work()
        return
    transaction.lock_project(project)  # the same request may arrive twice at once
    before = answer_of(transaction, project, token)
    if before is None:
        work()
        note(transaction, project, token, what)
    elif before != what:
        raise InputError(
            f"expected a token of this request ({what}), got that of another; give each request a "
            "token of its own"
        )
