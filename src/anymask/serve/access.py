"""Who is let in, with what, and how much of it: around the application, before anything is read.

A web page that the user happens to look at can send requests to this machine, too. So the name by
which the server is called must be one of its own (against DNS that changes under the page), and
pages of other origins are refused unless they are listed.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import logging
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

from anymask.serve.config import ServeConfig
from anymask.serve.errors import ApiError
from anymask.serve.notes import HEADER, NOTES, header_of

__all__ = ["Access"]

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]
Answered: TypeAlias = Callable[[str, str, int, float], None]

_LOG = logging.getLogger("anymask.serve")
_OPEN = ("/healthz", "/readyz")  # without a token, for whoever watches over the process
_WATCHING = (*_OPEN, "/metrics")  # answered at once, however many requests are at work
_UPLOADS = re.compile(  # images, files of masks, and masks in any number
    r"/v1/embed|/v1/studio/(elsewhere|pictures(/[^/]+/(import|things|depth|paint))?)"
    r"|/v1/label/images/[^/]+/masks"
)
_LEAKS = {"token", "access_token", "api_key", "apikey", "key", "auth", "authorization", "bearer"}
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"cache-control": b"no-store",
}
_BUSY = {"Retry-After": "1"}


class _Stop(Exception):
    """The body is not read any further."""


class Access:
    """The application behind its door.

    Args:
        app: The application.
        config: Who may come in, and with how much.
        answered: Told method, route, status and seconds of each request.
    """

    def __init__(self, app: App, config: ServeConfig, answered: Answered) -> None:
        self._app, self._config, self._answered = app, config, answered
        self._inside = 0

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Let a request in, or say why not."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})
        visit = _Visit(scope, receive, send, self._config)
        start = time.perf_counter()
        NOTES.set([])
        counted = scope["path"] not in _WATCHING
        self._inside += counted
        try:
            if counted and self._inside > self._config.max_requests:
                raise ApiError(
                    503,
                    f"expected at most {self._config.max_requests} requests at a time, got more; "
                    "come back in a second",
                    "busy",
                    _BUSY,
                )
            if not await visit.enter():
                await self._app(scope, visit.read, visit.write)
        except ApiError as error:
            await visit.refuse(error)
        except _Stop:
            pass
        except Exception:
            if not visit.gone:  # of which whoever reads the body makes an error
                _LOG.exception("%s %s failed", scope["method"], scope["path"])
                await visit.refuse(ApiError(500, "cannot answer: an unexpected error; see the log"))
        finally:
            self._inside -= counted
            if visit.problem is not None:
                await visit.refuse(visit.problem)
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._answered(method, route, visit.status, time.perf_counter() - start)


class _Visit:
    """One request."""

    def __init__(
        self, scope: MutableMapping[str, Any], receive: Receive, send: Send, config: ServeConfig
    ) -> None:
        self._scope, self._receive, self._send, self._config = scope, receive, send, config
        self._headers: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            self._headers.setdefault(name.decode("latin-1").lower(), []).append(
                value.decode("latin-1")
            )
        upload = _UPLOADS.fullmatch(scope["path"]) is not None
        self._limit = config.request_bytes if upload else config.json_bytes
        self._bytes, self._whole, self._started = 0, False, False
        self._deadline = time.monotonic() + config.timeout
        self._origin: str | None = None
        self.status = 499
        self.gone = False  # in the middle of what it sends
        self.problem: ApiError | None = None

    # ------------------------------------------------------------------------ the door

    async def enter(self) -> bool:
        """Check who calls; return whether that was all that was wanted.

        Raises:
            ApiError: It may not come in.
        """
        self._check_host()
        self._check_origin()
        if self._origin and self._scope["method"] == "OPTIONS":
            await self._preflight()
            return True
        self._check_token()
        length = self._one("content-length")
        if length is not None and not re.fullmatch(r"\d{1,18}", length):
            raise ApiError(400, "expected a length in Content-Length, got none; send a number")
        if length is not None and int(length) > self._limit:
            raise self._too_large()
        return False

    def _one(self, name: str) -> str | None:
        values = self._headers.get(name, [])
        return values[0] if len(values) == 1 else None

    def _check_host(self) -> None:
        host = self._one("host") or ""
        name = re.sub(r":\d{1,5}$", "", host).strip("[]").lower()
        known = {"localhost", self._config.host.lower(), *map(str.lower, self._config.allow_host)}
        if name not in known and not _is_address(name):
            raise ApiError(
                421,
                f"expected to be called by a name of this server, got {host[:100]!r}; use its "
                "address, or add it to allow_host of anymask serve",
            )

    def _check_origin(self) -> None:
        origin, site = self._one("origin"), self._one("sec-fetch-site")
        listed = origin in self._config.allow_origin
        own = origin is not None and origin.partition("://")[2] == self._one("host")
        if listed and not own:
            self._origin = origin
        if len(self._headers.get("origin", [])) > 1 or (origin and not (own or listed)):
            foreign = True
        else:
            foreign = site in ("cross-site", "same-site") and not listed
        if foreign:
            raise ApiError(
                403,
                "expected a web page that may call this server, got another; add its origin to "
                "allow_origin of anymask serve",
            )

    def _check_token(self) -> None:
        query = self._scope.get("query_string", b"").decode("latin-1")
        try:
            named = {name.lower() for name, _ in parse_qsl(query, True, max_num_fields=100)}
        except ValueError:
            raise ApiError(
                400, "expected at most 100 parameters in the address, got more; send fewer"
            ) from None
        if named & _LEAKS:
            raise ApiError(
                400,
                "expected the token as 'Authorization: Bearer TOKEN', got one in the address, "
                "which is kept in logs; change the token, and send it in the header",
                "token_in_address",
            )
        if self._config.token is None or self._scope["path"] in _OPEN:
            return
        scheme, _, given = (self._one("authorization") or "").partition(" ")
        right = hmac.compare_digest(
            given.strip().encode("latin-1"), self._config.token.encode("ascii")
        )
        if scheme.lower() != "bearer" or not right:
            raise ApiError(
                401,
                "expected the server's token as 'Authorization: Bearer TOKEN', got none or "
                "another; it stands where the server was started",
                headers={"WWW-Authenticate": "Bearer"},
            )

    async def _preflight(self) -> None:
        self.status = 204
        headers = {
            "Access-Control-Allow-Methods": "GET, POST, DELETE",
            "Access-Control-Allow-Headers": "Authorization, Content-Type",
            "Access-Control-Max-Age": "600",
        }
        await self._answer(204, b"", headers)

    # ------------------------------------------------------------------------ the body

    async def read(self) -> Message:
        """Receive a piece of the body, as long as it is neither too large nor too slow."""
        if self._whole:
            return await self._receive()
        try:
            async with asyncio.timeout(max(0.0, self._deadline - time.monotonic())):
                message = await self._receive()
        except TimeoutError:
            self.problem = ApiError(
                408,
                f"expected the whole request within {self._config.timeout:g} seconds, got a part; "
                "send it faster",
            )
            raise _Stop from None
        self.gone = message["type"] == "http.disconnect"
        self._bytes += len(message.get("body", b""))
        self._whole = message["type"] != "http.request" or not message.get("more_body", False)
        if self._bytes > self._limit:
            self.problem = self._too_large()
            raise _Stop
        return message

    def _too_large(self) -> ApiError:
        return ApiError(
            413,
            f"expected a body of at most {self._limit / 1e6:g} MB here, got more; shrink it, or "
            "raise request_mb of anymask serve",
        )

    # ---------------------------------------------------------------------- the answer

    async def write(self, message: Message) -> None:
        """Send a piece of the answer, with the headers that every answer has."""
        if (self.problem is not None or self.gone) and not self._started:
            raise _Stop  # what the application made of a body that it was not given
        if message["type"] == "http.response.start":
            self._started, self.status = True, message["status"]
            headers = list(message.get("headers", ()))
            said = {name.lower() for name, _ in headers}
            message = {**message, "headers": [*headers, *self._further(said)]}
        await self._send(message)

    def _further(self, said: set[bytes]) -> list[tuple[bytes, bytes]]:
        further = [(name, value) for name, value in _HEADERS.items() if name not in said]
        if notes := header_of(NOTES.get() or []):
            further.append((HEADER.encode(), notes.encode()))
        if self._config.allow_origin:
            further.append((b"vary", b"Origin"))
        if self._origin:
            further = [(n, v) for n, v in further if n != b"cross-origin-resource-policy"]
            further.append((b"access-control-allow-origin", self._origin.encode("latin-1")))
            further.append((b"access-control-expose-headers", HEADER.encode()))
        return further

    async def refuse(self, error: ApiError) -> None:
        """Answer with an error, if no answer has begun."""
        if not self._started:
            self.problem = None
            await self._answer(error.status, error.body, dict(error.headers))

    async def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        headers = {"Content-Length": str(len(body)), **headers}
        if body:
            headers["Content-Type"] = "application/json"
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await self.write({"type": "http.response.start", "status": status, "headers": raw})
        await self.write({"type": "http.response.body", "body": body})


def _is_address(name: str) -> bool:
    """Return whether a host is an address, which no DNS can turn into another's."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
