"""What a server allows, and how much of it; no FastAPI: the command line lists it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from anymask.errors import InputError
from anymask.plain import check_number

__all__ = ["ServeConfig"]

_LEAST_TOKEN = 16


@dataclass(frozen=True, kw_only=True)
class ServeConfig:
    """What a server allows, and how much of it."""

    host: str = "127.0.0.1"
    """Address to listen on. Anything but this machine's own needs a token."""
    port: int = 8000
    """Port to listen on; 0 takes a free one."""
    token: str | None = None
    """Who calls says "Authorization: Bearer TOKEN", at least 16 characters; $ANYMASK_TOKEN says the
    same unseen. Without it, one is made and printed if the address is not this machine's own, else
    none is needed."""
    allow_host: tuple[str, ...] = ()
    """Further names by which the server may be called, such as that of a proxy in front of it."""
    allow_origin: tuple[str, ...] = ()
    """Web pages of other origins that may call it, such as https://example.org; by itself none."""
    images: tuple[Path, ...] = ()
    """Folders whose images jobs may read; each is known by its own name. By itself none."""
    results: Path | None = None
    """Folder that jobs write below; without it, there are no jobs."""
    inpaint_engine: str = "classical"
    """What paints what is removed unless a request names classical, patchmatch or telea: the file
    of big-LaMa's weights, or the folder or hub id of a diffusion model, which can fill and replace,
    too."""
    depth_model: str = "depth-anything-v2-small"
    """What estimates depth, as for `anymask depth`. Requests download nothing: fetch it before."""
    workers: int = 1
    """Slow requests worked on at a time, beside clicks, which have a thread of their own."""
    timeout: float = 60.0
    """Seconds that a request may take. What computes then ends at its next step: everything mode
    within a batch of points, other work only when it is done."""
    grace: float = 30.0
    """Seconds that running requests and jobs have to finish when the server is told to stop."""
    max_requests: int = 64
    """Requests at a time; further ones are told to come back."""
    request_mb: float = 64.0
    """Megabytes of an uploaded image; bodies of JSON may have a quarter of it."""
    max_pixels: int = 50_000_000
    """Pixels of an image; larger ones are refused before they are decoded."""
    session_mb: float = 1024.0
    """Megabytes of images and embeddings to keep; the longest unused go first."""
    max_jobs: int = 8
    """Jobs that may wait; further ones are told to come back."""

    def __post_init__(self) -> None:
        """Check the values."""
        check_number(self, "port", 0, 65535, whole=True)
        for name in ("workers", "max_requests", "max_pixels", "max_jobs"):
            check_number(self, name, 1, whole=True)
        for name in ("timeout", "request_mb", "session_mb"):
            check_number(self, name, 0.001)
        check_number(self, "grace", 0)
        self._check_token()
        for origin in self.allow_origin:
            scheme, _, rest = origin.partition("://")
            if scheme not in ("http", "https") or not rest or "/" in rest or "*" in rest:
                raise InputError(
                    f"expected an origin such as https://example.org, got {origin!r}; give scheme "
                    "and host, with the port if it has one, and nothing else"
                )
        names = [path.resolve().name for path in self.images]
        for path in self.images:
            if not path.is_dir():
                raise InputError(f"expected a folder of images, got {str(path)!r}; check the path")
        if len(set(names)) < len(names) or "" in names:
            raise InputError(
                f"expected folders of images with names of their own, got {', '.join(names)}; "
                "rename one, or name the folder above them"
            )

    def _check_token(self) -> None:
        if self.token is None:
            return
        if len(self.token) < _LEAST_TOKEN or not self.token.isascii() or " " in self.token:
            raise InputError(
                f"expected a token of at least {_LEAST_TOKEN} letters and digits, got one of "
                f"{len(self.token)} characters; leave it out to have one made"
            )

    @property
    def is_local(self) -> bool:
        """Whether only this machine can call."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def request_bytes(self) -> int:
        """Largest body of an upload."""
        return int(self.request_mb * 1e6)

    @property
    def json_bytes(self) -> int:
        """Largest body of any other request."""
        return self.request_bytes // 4

    @property
    def session_bytes(self) -> int:
        """What sessions may hold together."""
        return int(self.session_mb * 1e6)
