"""What a server says instead of an answer: a status and one sentence, without a trace."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from anymask.errors import (
    AnymaskError,
    CapabilityError,
    InputError,
    MissingExtraError,
    OutputError,
    WeightsError,
)

__all__ = ["CODES", "ApiError", "as_api_error", "dumps", "of_validation"]

CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "too_slow",
    409: "conflict",
    413: "too_large",
    415: "media_type",
    421: "wrong_host",
    422: "input",
    429: "queue_full",
    499: "client_gone",
    500: "internal",
    501: "not_installed",
    503: "unavailable",
    504: "timeout",
    507: "storage",
}
"""What errors of a status are called, unless they have a name of their own."""

_LONGEST = 1000  # characters of a message, which may quote what came


@dataclass(eq=False)  # not frozen: whoever passes it on sets its traceback
class ApiError(Exception):
    """An answer that is an error.

    Attributes:
        status: Of HTTP.
        message: One sentence: what was expected, what came, what to do.
        code: Name of the kind of error, which does not change with the sentence.
        headers: Further headers, such as ``Retry-After``.
    """

    status: int
    message: str
    code: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        """The answer as JSON."""
        code = self.code or CODES.get(self.status, "error")
        text = self.message
        text = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}\u2026"
        return dumps({"error": {"code": code, "message": text}})


def dumps(document: Any) -> bytes:
    """Write JSON, in ASCII: what came in may hold characters that no encoding has."""
    return json.dumps(document, allow_nan=False).encode()


def as_api_error(error: AnymaskError) -> ApiError:
    """Say what an error of the library means to a client."""
    message = " ".join(str(error).split())
    if isinstance(error, InputError):  # a missing reader of HEIC is one, too
        return ApiError(422, message)
    if isinstance(error, CapabilityError):
        return ApiError(422, message, "capability")
    if isinstance(error, MissingExtraError):
        return ApiError(501, message)
    if isinstance(error, WeightsError):
        return ApiError(503, message, "no_weights")
    if isinstance(error, OutputError):
        return ApiError(507, message)
    return ApiError(500, message)


def of_validation(errors: Sequence[Mapping[str, Any]]) -> ApiError:
    """Say in a sentence the first thing that does not fit the schema."""
    first = errors[0] if errors else {}
    place, *path = first.get("loc", ("body",))
    if first.get("type") == "json_invalid":
        return ApiError(400, "expected a body of JSON, got something else; check its brackets")
    where = ".".join(map(str, path)) or f"the {place}"
    if first.get("type") == "missing":
        return ApiError(422, f"expected {where} in the {place}, got none; add it")
    said = str(first.get("msg", "it does not fit"))
    said = said[:1].lower() + said[1:]
    return ApiError(422, f"expected {where} as the schema has it, but {said}; see /v1/openapi.json")
