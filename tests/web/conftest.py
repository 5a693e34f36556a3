"""The studio in a real browser: a server of the smallest network, and Debian's Chromium."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

WEB = Path(__file__).resolve().parents[2] / "web"
W, H = 640, 480  # of the test images: 10 pixels for each of the network's

# Where things are on the test images, and what they are painted with.
THINGS = {
    "red": ((80, 60, 240, 200), (255, 20, 20)),
    "green": ((320, 80, 560, 240), (20, 255, 20)),
    "blue": ((120, 280, 400, 420), (20, 20, 255)),
}


def photo(path: Path, shift: int = 0, scale: int = 1) -> Path:
    """Draw coloured things on a dark ground."""
    pixels = np.full((H * scale, W * scale, 3), 20 + shift, np.uint8)
    for (x0, y0, x1, y1), color in THINGS.values():
        pixels[y0 * scale : y1 * scale, x0 * scale : x1 * scale] = color
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, as Debian has it; ANYMASK_CHROMIUM names another.

    Playwright has an event loop in this thread until it ends, so no test after it could run one.
    """
    playwright = pytest.importorskip("playwright.sync_api")
    path = os.environ.get("ANYMASK_CHROMIUM") or shutil.which("chromium")
    if path is None:
        pytest.skip("needs Chromium: install Debian's package, or name it in ANYMASK_CHROMIUM")
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield found
        found.close()


@dataclass
class Served:
    """A running studio, whose answers can be spoilt."""

    folder: Path
    url: str = ""
    app: Any = None
    trouble: list[Callable[[str, str], tuple[int, float] | None]] = field(default_factory=list)
    _server: Any = None
    _thread: Any = None

    def start(self, model: Any = None, **settings: Any) -> None:
        import socket

        import uvicorn
        from tests.serve.conftest import flat_model

        from anymask.serve.app import create_app
        from anymask.serve.config import ServeConfig

        self.app = create_app(ServeConfig(**settings), model or flat_model())
        self.prepare()
        port = int(self.url.rpartition(":")[2] or 0)
        listener = socket.create_server(("127.0.0.1", port))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(
            self._spoilt,
            interface="asgi3",
            log_level="error",
            lifespan="on",
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._server.install_signal_handlers = lambda: None
        self._thread = threading.Thread(target=self._server.run, args=([listener],), daemon=True)
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive(), "the server did not start"
            time.sleep(0.01)

    def prepare(self) -> None:
        """Add the page to the application."""
        from anymask.serve.studio.api import add_studio

        add_studio(self.app, self.folder)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()
        for server in self._server.servers:
            server.close()

    async def _spoilt(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer with an error, or late, or not at all (status 0), as the trouble says."""
        import asyncio

        for trouble in self.trouble if scope["type"] == "http" else ():
            found = trouble(scope["method"], scope["path"])
            if found is None:
                continue
            status, seconds = found
            await asyncio.sleep(seconds)
            if status:
                body = b'{"error": {"code": "internal", "message": "the server is ill"}}'
                headers = [(b"content-type", b"application/json")]
                start = {"type": "http.response.start", "status": status, "headers": headers}
                await send(start)
                await send({"type": "http.response.body", "body": body})
                return
        await self.app(scope, receive, send)


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Served]:
    """A studio of a folder with three images."""
    pytest.importorskip("fastapi")
    pytest.importorskip("uvicorn")
    for i, name in enumerate(("a.png", "b.png", "c.png")):
        photo(tmp_path / "photos" / name, shift=i)
    served = Served(tmp_path / "photos")
    served.start()
    yield served
    served.stop()


@pytest.fixture
def page(browser: Any, studio: Served) -> Iterator[Any]:
    """One tab with the studio open, a `StudioPage`."""
    from tests.web.studio_page import StudioPage  # which needs this file

    found = StudioPage(browser, studio).go()
    yield found
    found.close()
