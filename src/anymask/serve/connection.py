"""A client's end of the wire: requests, tries, events, and the errors that a server tells of."""

from __future__ import annotations

import http.client
import json
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from anymask.errors import (
    AnymaskError,
    CapabilityError,
    InputError,
    MissingExtraError,
    OutputError,
    WeightsError,
)

__all__ = ["Connection", "ServerError"]

_KINDS: dict[str, type[AnymaskError]] = {
    "capability": CapabilityError,
    "no_weights": WeightsError,
    "not_installed": MissingExtraError,
    "storage": OutputError,
}
_AGAIN = ("busy", "queue_full", "unavailable")
_NOTES = "anymask-notes"
_LONGEST_WAIT = 10.0  # seconds between two tries


class ServerError(AnymaskError):
    """A server that cannot be reached, or that cannot answer now.

    Attributes:
        status: Of HTTP; 0 if there was no answer.
        code: Name of the kind of error.
    """

    def __init__(self, message: str, status: int = 0, code: str = "no_answer") -> None:
        super().__init__(message)
        self.status, self.code = status, code


class Connection:
    """Requests to one server; connections are kept open for the next ones.

    Args:
        url: Where the server listens.
        token: What it asks for, if it does.
        timeout: Seconds that a call may take, all tries together.
    """

    def __init__(self, url: str, token: str | None, timeout: float) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
            raise InputError(
                f"expected the address of a server, such as http://127.0.0.1:8000, got {url!r}; "
                "give scheme, host and port, and the token by itself"
            )
        self.address = parts.geturl()
        self._url, self._token, self._timeout = parts, token, timeout
        self._idle: list[http.client.HTTPConnection] = []  # as many as were used at a time

    def close(self) -> None:
        """Close what is kept open; who calls again opens a new connection."""
        while self._idle:
            self._idle.pop().close()

    def json(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Send a request, and read the JSON that comes back; see `call`."""
        found: dict[str, Any] = json.loads(self.call(method, path, body))
        return found

    def call(self, method: str, path: str, body: Any = None) -> bytes:
        """Send a request until it is answered or the time is up.

        Args:
            method: Of HTTP.
            path: From the server's root, with what follows a question mark.
            body: Bytes go as they are, anything else as JSON.

        Raises:
            AnymaskError: Of the kind that the server tells of.
            ServerError: It cannot be reached, or cannot answer.
        """
        until = time.monotonic() + self._timeout
        while True:
            status, headers, data = self._send(method, path, body, until)
            if status < 400:
                for note in json.loads(headers.get(_NOTES, "[]")):
                    warnings.warn(note, stacklevel=4)
                return data
            error = _error_of(status, data)
            again = isinstance(error, ServerError) and error.code in _AGAIN
            pause = min(float(headers.get("retry-after", "nan")), _LONGEST_WAIT) if again else 0
            if not again or pause != pause or time.monotonic() + pause > until:
                raise error
            time.sleep(pause)

    def _send(
        self, method: str, path: str, body: Any, until: float
    ) -> tuple[int, dict[str, str], bytes]:
        headers = {"Accept": "*/*"}
        content: bytes | None = None
        if isinstance(body, bytes):
            headers["Content-Type"], content = "application/octet-stream", body
        elif body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(body, allow_nan=False).encode()
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        for fresh in (False, True):
            line = self._line(fresh=fresh)
            line.timeout = max(0.1, until - time.monotonic())
            if line.sock is not None:
                line.sock.settimeout(line.timeout)
            try:
                line.request(method, self._url.path.rstrip("/") + path, content, headers)
                answer = line.getresponse()
                said = {name.lower(): value for name, value in answer.getheaders()}
                data = answer.read()
                self._idle.append(line)
                return answer.status, said, data
            except (OSError, http.client.HTTPException) as error:
                line.close()
                # A connection that was kept may have been closed meanwhile: then once more, for
                # the same request gives the same answer. Only jobs are not begun a second time.
                if fresh or isinstance(error, TimeoutError) or path == "/v1/jobs":
                    raise ServerError(
                        f"expected an answer from {self.address}, got {_reason(error)}; is "
                        "`anymask serve` running there?"
                    ) from error
        raise AssertionError("the second try answers or raises")

    def _line(self, *, fresh: bool) -> http.client.HTTPConnection:
        """Take a connection that nobody uses, or a new one."""
        with suppress(IndexError):
            if not fresh:
                return self._idle.pop()
        return self._new_line()

    def _new_line(self) -> http.client.HTTPConnection:
        secure = self._url.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        assert self._url.hostname is not None
        return kind(self._url.hostname, self._url.port, timeout=self._timeout)

    def events(self, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Listen to server-sent events, on a connection of their own."""
        line = self._new_line()
        headers = {} if self._token is None else {"Authorization": f"Bearer {self._token}"}
        try:
            line.request("GET", self._url.path.rstrip("/") + path, headers=headers)
            answer = line.getresponse()
            if answer.status != 200:
                raise _error_of(answer.status, answer.read())
            name = ""
            for raw in answer:
                key, _, value = raw.decode().rstrip("\n").partition(": ")
                if key == "event":
                    name = value
                elif key == "data":
                    yield name, json.loads(value)
        except (OSError, http.client.HTTPException) as error:
            raise ServerError(
                f"expected events from {self.address}, got {_reason(error)}; look at the job again"
            ) from error
        finally:
            line.close()


def _error_of(status: int, data: bytes) -> AnymaskError:
    """Make the error of the library that a server tells of."""
    try:
        said = json.loads(data)["error"]
        code, message = str(said["code"]), str(said["message"])
    except (ValueError, LookupError, TypeError):
        return ServerError(
            f"expected an answer of anymask, got status {status}; check the address", status
        )
    if code in _KINDS:
        return _KINDS[code](message)
    if status in (413, 415, 422):
        return InputError(message)
    return ServerError(message, status, code)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
