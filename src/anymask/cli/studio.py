"""``anymask studio``: a page in the browser on which masks are made with the mouse."""

from __future__ import annotations

import os
import socket
import sys
import webbrowser
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote, urlencode

from tyro.conf import OmitArgPrefixes, Positional, arg

from anymask.cli.options import ComputeOptions, Flag, load_model
from anymask.cli.parser import parse as parse_words
from anymask.errors import InputError
from anymask.label.database.place import is_project
from anymask.lock import Lock
from anymask.serve.config import ServeConfig
from anymask.serve.studio.project import FOLDER

if TYPE_CHECKING:
    from fastapi import FastAPI

    from anymask.cli.parser import Command
    from anymask.predict.segmenter import Segmenter

__all__ = ["Studio", "parse"]

_USUAL_FOLDER = Path("anymask-images")
_USUAL_MODEL = "bundled"
_USUAL_PORT = 8765
_PATIENCE = 900.0  # seconds: who waits for everything mode sees it, and can cancel it
_SHORT_PATIENCE = 5.0
_ABOUT = """Make masks on a page in the browser: what you point at lights up, a click keeps it.

Everything is saved at once, beside the images: the masks of photos/a.jpg in
photos/anymask-studio/a.jpg.json, which all commands read. This machine alone can open the page; if
another --host is named, only with the token in the address that is printed.

A folder that is a label project (see `anymask label init`) opens as its queue instead: one image
after the other, which nobody else gets meanwhile, and everything goes into the project's database.
Several people may have the page open, and several studios the same project.

With --static, nothing is served: the page is written as files for any web host, and does all of it
in the browser of whoever opens it, the model included. What they make stays in their browser.

Examples:
  anymask studio photos/
  anymask studio                          # drop images onto the page
  anymask studio photos/ --model mobile-sam --port 9000
  anymask studio photos/ --host 0.0.0.0  # from other machines, with a token
  anymask studio photos/ --person ada    # a label project: the images that Ada gets
  anymask studio --static site/          # for a web host; python -m http.server --directory site/
  anymask convert photos/anymask-studio --images photos/ --format coco -o coco.json"""


def parse(words: Sequence[str]) -> Command:
    """Turn the words after ``anymask studio`` into a command."""
    return parse_words(Studio, words, "anymask studio", _ABOUT)


@dataclass(frozen=True, kw_only=True)
class Studio:
    """Make masks on a page in the browser."""

    images: Annotated[Positional[Path | None], arg(metavar="[FOLDER]", help_behavior_hint="")] = (
        None
    )
    """Folder of the images, with those below it. Without it, what is dropped onto the page goes to
    anymask-images/, here. With --static, they are copied beside the page, with their masks."""
    model: Annotated[str, arg(aliases=["-m"], metavar="MODEL")] = _USUAL_MODEL
    """A name from `anymask models`; or a path, an address or a hub id (org/name) of weights. In a
    label project, without it, the version in use if there is one (`anymask label retrain`)."""
    compute: OmitArgPrefixes[ComputeOptions] = field(default_factory=ComputeOptions)
    """Where and how the model computes."""
    host: str = "127.0.0.1"
    """Address to listen on. Anything but this machine's own needs a token."""
    port: Annotated[int | None, arg(metavar="PORT", help_behavior_hint="(default: 8765)")] = None
    """Port to listen on; by itself a free one if 8765 is taken."""
    token: Annotated[str | None, arg(metavar="TOKEN", help_behavior_hint="")] = None
    """What the page needs to know if the address is not this machine's own, at least 16 characters;
    by itself one is made. ANYMASK_TOKEN says it, too."""
    max_pixels: int = 100_000_000
    """Pixels of an image; larger ones are refused before they are decoded."""
    depth_model: str = "depth-anything-v2-small"
    """What estimates depth, as for `anymask depth`. The page downloads nothing: run that before."""
    inpaint_engine: str = "classical"
    """What paints what is removed: classical, patchmatch, telea, the file of big-LaMa's weights, or
    the folder or hub id of a diffusion model, which can fill and replace, too."""
    person: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")] = None
    """Of a label project: who works on the page that opens; without it, the page asks."""
    no_browser: Flag = False
    """Do not open the page, only print its address."""
    static: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="")] = None
    """Write the page as files into this folder instead, for a web host that serves files."""
    overwrite: Flag = False
    """With --static: write into a folder that holds something; the files of an earlier page are
    replaced, others stay."""
    debug: Flag = False
    """Show the traceback of an error."""

    def run(self) -> int:
        """Serve the page until told to stop, or write it, and return the exit code."""
        folder = (self.images or _USUAL_FOLDER).expanduser()
        self._check(folder)
        if self.static is not None:
            return self._write(self.static)
        if is_project(folder):
            return self._label(folder)
        from anymask.serve.studio.api import add_studio

        self._check_links(folder)
        lock = Lock(folder / FOLDER / ".open") if os.access(folder, os.W_OK) else None
        if lock is not None and not lock.acquire():
            raise InputError(
                f"expected a folder that no studio has open, but one has {str(folder)!r}; use its "
                "page, or stop it first"
            )
        try:
            self._serve(
                folder, load_model(self.model, self.compute), lambda app: add_studio(app, folder)
            )
        finally:
            if lock is not None:
                lock.release()
                with suppress(OSError):  # unless something was saved
                    (folder / FOLDER).rmdir()
        return 0

    def _label(self, folder: Path) -> int:
        """Serve the page of a label project."""
        from anymask.cli.label.project import find_version
        from anymask.label.store import Store
        from anymask.serve.label.api import add_label

        # A page that waits asks again by itself, so nobody should wait long for a busy database.
        with Store.open(folder, patience=_SHORT_PATIENCE) as store:
            usual = self.model == _USUAL_MODEL
            used = find_version(store) if usual else find_version(store, self.model)
            model = load_model(self.model if used is None else used[1], self.compute)
            version = used[0] if used is not None else None if usual else self.model
            self._serve(folder, model, lambda app: add_label(app, store, version))
        return 0

    def _serve(self, folder: Path, model: Segmenter, prepare: Callable[[FastAPI], object]) -> None:
        """Serve a page, and say where it is."""
        from anymask.serve.run import run, with_token

        config = with_token(self._config())
        os.environ["ANYMASK_OFFLINE"] = "1"  # a request must not make it fetch anything
        known = {"token": config.token, "person": self.person}
        parts = urlencode({name: value for name, value in known.items() if value}, quote_via=quote)

        def say(address: str) -> None:
            page = f"{address}/#{parts}" if parts else f"{address}/"
            print(f"{model.variant.name} with {folder}/ on {page}", flush=True)
            if not self.no_browser:
                self._open(page)

        run(config, model, say, prepare)

    def _check(self, folder: Path) -> None:
        if folder.is_file():
            raise InputError(
                f"expected a folder of images, got the file {str(folder)!r}; name its folder"
            )
        if not folder.is_dir() and self.images not in (None, _USUAL_FOLDER):
            raise InputError(
                f"expected a folder of images, but {str(folder)!r} does not exist; check the path"
            )
        if self.static is None and self.overwrite:
            raise InputError(
                "expected --overwrite together with --static, got it alone; the studio overwrites "
                "nothing without being asked"
            )
        if self.person is not None and not (self.static is None and is_project(folder)):
            raise InputError(
                f"expected a label project for --person, got {str(folder)!r}, which is none; make "
                f"it one with: anymask label init {folder}"
            )
        served = {"host": "127.0.0.1", "port": None, "token": None, "no_browser": False}
        served |= {"depth_model": "depth-anything-v2-small", "inpaint_engine": "classical"}
        given = [name for name, usual in served.items() if getattr(self, name) != usual]
        if self.static is not None and given:
            flag = f"--{given[0].replace('_', '-')}"
            raise InputError(
                f"expected either --static or {flag}, got both; files are served by whatever host "
                "they are put on"
            )

    def _write(self, target: Path) -> int:
        """Write the page as files."""
        from rich.console import Console

        from anymask.export.browser import browser_model
        from anymask.serve.studio.static import write_static

        with Console(stderr=True).status("writing the page") as status:
            written = write_static(
                target,
                browser_model(load_model(self.model, self.compute)),
                images=self.images,
                overwrite=self.overwrite,
                max_pixels=self.max_pixels,
                heard=lambda name: status.update(f"writing the page: {name}"),
            )
        for reason in written.left_out:
            print(f"left out: {reason}", file=sys.stderr)
        print(
            f"{target}/: {written.page / 1e6:.1f} MB to load once, {written.first / 1e6:.1f} MB of "
            "them before the first mask; index.html is the page"
        )
        if written.images:
            print(
                f"{written.images} images, {written.image_bytes / 1e6:.1f} MB, which everybody can "
                "read who can read the page"
            )
        print(f"Look at it with: {Path(sys.executable).name} -m http.server --directory {target}")
        return 0

    @staticmethod
    def _check_links(folder: Path) -> None:
        """Check that nothing is written outside of the folder, which may come from elsewhere."""
        for path in (folder / FOLDER, folder / FOLDER / ".open"):
            if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
                raise InputError(
                    f"expected {str(path)!r} in the folder of the images, got a link that leads "
                    "out of it; put the folder itself there"
                )

    def _config(self) -> ServeConfig:
        port = _free_port(self.host) if self.port is None else self.port
        token = self.token or os.environ.get("ANYMASK_TOKEN") or None
        config = ServeConfig(
            host=self.host,
            port=port,
            max_pixels=self.max_pixels,
            timeout=_PATIENCE,
            depth_model=self.depth_model,
            inpaint_engine=self.inpaint_engine,
        )
        # On this machine's own address it would only be in the way.
        return config if config.is_local and self.token is None else replace(config, token=token)

    @staticmethod
    def _open(page: str) -> None:
        """Open the page where there is a browser with windows."""
        if sys.platform.startswith("linux") and not (
            os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
        ):
            return
        webbrowser.open(page)


def _free_port(host: str) -> int:
    """Give the usual port, or 0, which stands for any, if somebody has that."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.create_server((host, _USUAL_PORT), family=family):
            return _USUAL_PORT
    except OSError:
        return 0
