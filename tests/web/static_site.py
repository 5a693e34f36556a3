"""The studio as files, on a host that serves nothing else; and the page as a person uses it."""

from __future__ import annotations

import functools
import http.server
import io
import threading
import zipfile
from pathlib import Path
from typing import Any

from tests.web.studio_page import StudioPage

from anymask import Masks, formats

PLACE = "repo"  # below the root of the host, as project pages are


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


class Site:
    """A host of files, as ``python -m http.server`` is."""

    def __init__(self, root: Path) -> None:
        self.root, self.folder = root, root / PLACE
        self._server: http.server.ThreadingHTTPServer | None = None
        self.port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/{PLACE}"

    def start(self) -> None:
        handler = functools.partial(_Quiet, directory=str(self.root))
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()


SILENT = """
window.Worker = class {
    postMessage({ id }) { setTimeout(() => this.onmessage?.({ data: { id, answers: [] } })); }
    terminate() {}
};
"""
"""A model that finds nothing, at once: for what has nothing to do with it."""


class StaticPage(StudioPage):
    """One tab of a browser that has nothing of the page yet."""

    def __init__(self, browser: Any, site: Site, silent: bool = True, **options: Any) -> None:
        super().__init__(browser, site, **options)  # type: ignore[arg-type]
        if silent:
            self.context.add_init_script(SILENT)
        self.requests: list[str] = []
        self.context.on("request", lambda request: self.requests.append(request.url))

    def begin(self) -> StaticPage:
        """Open the page, which has no images yet."""
        self.page.goto(f"{self.studio.url}/")
        self.page.locator("#example").wait_for()
        return self

    def add(self, *files: Path) -> None:
        """Choose image files."""
        with self.page.expect_file_chooser() as chooser:
            self.page.locator("[title='Add images']").click()
        chooser.value.set_files(list(files))

    def opened(self, name: str) -> None:
        """Wait until an image is shown and can be worked on."""
        self.until(lambda: self.page.title().startswith(name))
        self.page.locator(".side-empty:visible, .mask").first.wait_for()
        self.ready()

    def stroke(self, name: str) -> None:
        """Paint a mask with the brush over a thing."""
        self.press("b")
        x, y = self.middle(name)
        mouse = self.page.mouse
        mouse.move(x - 20, y)
        mouse.down()
        mouse.move(x + 20, y, steps=4)
        mouse.up()
        self.press("Enter")

    def tell(self, label: str) -> None:
        """Add a class, which the next masks have."""
        self.page.locator("#new-class").fill(label)
        self.press("Enter")
        self.page.locator("#stage").focus()

    def export(self, *names: str) -> zipfile.ZipFile:
        """Export all images in formats, and open the archive."""
        self.page.locator("#export").click()
        for box in self.page.locator(".export input[type=checkbox]").all():
            box.set_checked(box.get_attribute("name") in names)
        with self.page.expect_download() as download:
            self.page.locator("#export-go").click()
        return zipfile.ZipFile(io.BytesIO(Path(download.value.path()).read_bytes()))

    def stored(self, name: str = "a.png") -> Masks:
        """Read what an export says of an image, as the library does."""
        archive = self.export("sa1b")
        return formats.read(archive.read(f"sa1b/{Path(name).with_suffix('.json').as_posix()}"))

    def bring_in(self, *files: Path) -> None:
        """Choose files of masks."""
        with self.page.expect_file_chooser() as chooser:
            self.page.locator("[title='Import masks']").click()
        chooser.value.set_files(list(files))
