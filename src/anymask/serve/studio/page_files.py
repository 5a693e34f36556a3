"""The page of the studio: a few files that hold no secret, so that anyone may have them."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anymask.serve.access import App, Message, Receive, Send

__all__ = ["EXAMPLE", "FOLDER", "Page"]

FOLDER = Path(__file__).parents[1] / "page"
"""What ``make web`` builds."""

EXAMPLE = FOLDER / "example.jpg"
"""An image to begin with."""

_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page/studio.js": ("studio.js", "text/javascript; charset=utf-8"),
    "/page/studio.css": ("studio.css", "text/css; charset=utf-8"),
    "/page/icon.svg": ("icon.svg", "image/svg+xml"),
    "/page/worker.js": ("worker.js", "text/javascript; charset=utf-8"),
    "/page/ort.mjs": ("ort.mjs", "text/javascript; charset=utf-8"),
    "/page/ort.wasm.gz": ("ort.wasm.gz", "application/gzip"),
}
_HEADERS = {
    # Nothing inline, nothing from elsewhere; images that were fetched are shown from memory. What
    # decodes in the page is WebAssembly; no other code may be made at run time.
    "content-security-policy": (
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; "
        "img-src 'self' blob:; connect-src 'self'; worker-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cache-control": "no-cache",
}


class Page:
    """The application with the page before it, which needs no token: the page asks for one itself.

    Args:
        app: Answers everything else.
        index: What stands at ``/``.
    """

    def __init__(self, app: App, index: str = "index.html") -> None:
        self._app, self._index = app, index

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Give a file of the page, or let the application answer."""
        asked = scope["type"] == "http" and scope["method"] in ("GET", "HEAD")
        if not asked or scope["path"] not in _FILES:
            return await self._app(scope, receive, send)
        name, media = _FILES[scope["path"]]
        name = self._index if scope["path"] == "/" else name
        data, tag = _read(name)
        known = dict(scope["headers"]).get(b"if-none-match") == tag.encode()
        headers = {**_HEADERS, "content-type": media, "etag": tag}
        if not known:
            headers["content-length"] = str(len(data))
        raw = [(key.encode(), value.encode()) for key, value in headers.items()]
        status = 304 if known else 200  # nobody should fetch the runtime at every visit
        await send({"type": "http.response.start", "status": status, "headers": raw})
        body = b"" if known or scope["method"] == "HEAD" else data
        await send({"type": "http.response.body", "body": body})


@cache
def _read(name: str) -> tuple[bytes, str]:
    data = (FOLDER / name).read_bytes()
    return data, f'"{hashlib.sha256(data).hexdigest()[:32]}"'
