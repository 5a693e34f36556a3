"""The server as a process: it listens, and when it is told to stop, finishes what runs."""

from __future__ import annotations

import math
import secrets
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from anymask.errors import InputError
from anymask.optional import optional
from anymask.serve.app import create_app
from anymask.serve.config import ServeConfig

if TYPE_CHECKING:
    from fastapi import FastAPI

    from anymask.predict.segmenter import Segmenter

__all__ = ["run", "with_token"]


def with_token(config: ServeConfig) -> ServeConfig:
    """Make a token for a server that others than this machine can call, unless it has one."""
    if config.token is None and not config.is_local:
        return replace(config, token=secrets.token_urlsafe(24))
    return config


def run(
    config: ServeConfig,
    model: Segmenter,
    say: Callable[[str], None],
    prepare: Callable[[FastAPI], object] = lambda app: None,
) -> None:
    """Serve until a signal (SIGTERM, SIGINT) says stop; a second one ends at once.

    Args:
        config: What is allowed; its token is made by `with_token`.
        model: Who answers.
        say: Told where the server listens, once it does.
        prepare: Adds to the application before it starts.

    Raises:
        InputError: The address cannot be listened on.
        MissingExtraError: FastAPI or uvicorn is not installed.
    """
    uvicorn: Any = optional("uvicorn", extra="serve")
    app = create_app(config, model)
    prepare(app)
    listener = _listen(config)
    settings = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,  # addresses may hold what should not be kept
        server_header=False,
        proxy_headers=False,
        lifespan="on",
        # Beyond what requests and jobs are given, so that their own limits come first.
        timeout_graceful_shutdown=math.ceil(config.grace + 5),
    )

    class Server(uvicorn.Server):  # type: ignore[misc]  # its type is not known here
        should_exit: bool
        force_exit: bool

        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            if self.started:
                host, port = listener.getsockname()[:2]
                say(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")

        def handle_exit(self, sig: int, frame: Any) -> None:
            # Not uvicorn's own, which raises the signal again at the end: ours ends well.
            self.force_exit = self.should_exit
            self.should_exit = True
            app.state.server.stop()

    with listener:
        Server(settings).run(sockets=[listener])


def _listen(config: ServeConfig) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    try:
        return socket.create_server((config.host, config.port), family=family, backlog=256)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"cannot listen on {config.host}, port {config.port}: {reason}; choose another --host "
            "or --port"
        ) from error
