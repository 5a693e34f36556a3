"""``anymask serve``: the library over HTTP."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated

from tyro.conf import OmitArgPrefixes, arg

from anymask.cli.options import ComputeOptions, Flag, load_model
from anymask.cli.parser import parse as parse_words
from anymask.serve.config import ServeConfig

if TYPE_CHECKING:
    from anymask.cli.parser import Command

__all__ = ["Serve", "parse"]

_ABOUT = """Answer over HTTP: embed images, cut out, find everything, work on folders.

It listens to this machine alone unless --host says otherwise, and then asks for a token. The routes
are described at /v1/openapi.json; from Python, call them by anymask.Client.

Examples:
  anymask serve
  anymask serve --model mobile-sam --port 9000
  ANYMASK_TOKEN=... anymask serve --host 0.0.0.0
  anymask serve --images photos/ --results out/  # jobs over folders"""


def parse(words: Sequence[str]) -> Command:
    """Turn the words after ``anymask serve`` into a command."""
    return parse_words(Serve, words, "anymask serve", _ABOUT)


@dataclass(frozen=True, kw_only=True)
class Serve:
    """Answer over HTTP: embed images, cut out, find everything, work on folders."""

    model: Annotated[str, arg(aliases=["-m"], metavar="MODEL")] = "bundled"
    """A name from `anymask models`; or a path, an address or a hub id (org/name) of weights."""
    compute: OmitArgPrefixes[ComputeOptions] = field(default_factory=ComputeOptions)
    """Where and how the model computes."""
    config: OmitArgPrefixes[ServeConfig] = field(default_factory=ServeConfig)
    """What is allowed, and how much of it."""
    debug: Flag = False
    """Show the traceback of an error."""

    def run(self) -> int:
        """Serve until told to stop, and return the exit code."""
        from anymask.serve.run import run, with_token

        config = self.config
        if config.token is None and (token := os.environ.get("ANYMASK_TOKEN")):
            config = replace(config, token=token)  # where the list of processes does not show it
        given = config.token is not None
        config = with_token(config)
        model = load_model(self.model, self.compute)
        os.environ["ANYMASK_OFFLINE"] = "1"  # a request must not make the server fetch anything

        def say(address: str) -> None:
            made = f"; token {config.token}" if config.token and not given else ""
            print(f"{model.variant.name} on {address}{made}", flush=True)

        run(config, model, say)
        return 0
