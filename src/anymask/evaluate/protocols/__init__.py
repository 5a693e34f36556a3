"""What can be measured, one file per protocol, and those that other packages add.

Another package adds a protocol by an entry point in its ``pyproject.toml``:

    [project.entry-points."anymask.protocols"]
    waterlines = "their_package.waterlines:Waterlines"

What it names is a class of `anymask.evaluate.protocol.EvaluationProtocol`: a frozen dataclass whose
fields are its options, each with a default and a sentence below it, and so the flags of
``anymask evaluate waterlines``. The first line of its docstring says what it does. Nothing of it is
imported before its name is given.
"""

from __future__ import annotations

import importlib
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Any

from anymask.errors import InputError
from anymask.plugins import load_plugin, plugin_names

if TYPE_CHECKING:
    from anymask.evaluate.protocol import EvaluationProtocol

__all__ = ["PROTOCOLS", "options_class", "protocol_of", "protocol_summaries"]

PROTOCOLS = {
    "points": ("Points", "Click on each mask, then correct the prediction click by click."),
    "boxes": ("Boxes", "Draw a box around each mask, tightly and with a hasty hand."),
    "edges": ("Edges", "Find everything, and compare its edges with those that people drew."),
    "covering": ("Covering", "Find everything, and see how its regions cover those people drew."),
    "proposals": ("Proposals", "Find everything, and count which true masks are among the best."),
    "instances": ("Instances", "Draw a mask for each box that a detector found."),
    "text": ("Text", "Prompt with the name of each category of an image."),
    "perseg": ("PerSeg", "Show the model an object in one image, and let it find it in others."),
}
"""The class of each protocol and what it does, by the name of its module, which is its own name.
Its options are a class of `options`, which the protocol's own class extends."""

_NEEDED = ("name", "legend", "measure", "summarise", "draw")


def protocol_summaries() -> dict[str, str]:
    """Say of every protocol, ours and others, what it does, without importing it.

    Raises:
        InputError: Two packages add the same name.

    Examples:
        >>> protocol_summaries()["boxes"]
        'Draw a box around each mask, tightly and with a hasty hand.'
    """
    others = dict.fromkeys(plugin_names("protocols"), "Added by another package.")
    return others | {name: line for name, (_, line) in PROTOCOLS.items()}


def options_class(name: str) -> Any:
    """Import the dataclass whose fields are the options of a protocol.

    Args:
        name: One of `protocol_summaries`.

    Raises:
        InputError: There is no such protocol; or another package adds it, and cannot be imported or
            brings something else.
    """
    if name in PROTOCOLS:
        from anymask.evaluate.protocols import options

        return getattr(options, f"{PROTOCOLS[name][0]}Options")
    found = load_plugin("protocols", name)
    if found is None:
        raise InputError(
            f"expected a protocol out of {', '.join(protocol_summaries())}, got {name!r}; name one"
        )
    missing = [part for part in _NEEDED if not hasattr(found, part)]
    if not isinstance(found, type) or not is_dataclass(found) or missing:
        lacks = f" without {' and '.join(missing)}" if missing else ""
        raise InputError(
            f"expected the protocol {name!r} of another package to be a dataclass with "
            f"{', '.join(_NEEDED)}, got {found!r}{lacks}; update or uninstall that package"
        )
    return found


def protocol_of(options: Any) -> EvaluationProtocol:
    """Make the protocol that the options are of; one of another package is its own options."""
    if hasattr(options, "measure"):
        ready: EvaluationProtocol = options
        return ready
    module = importlib.import_module(f"anymask.evaluate.protocols.{options.name}")
    protocol: EvaluationProtocol = getattr(module, PROTOCOLS[options.name][0])(**vars(options))
    return protocol
