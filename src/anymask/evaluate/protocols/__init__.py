"""What can be measured, one file per protocol."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anymask.evaluate.protocol import EvaluationProtocol

__all__ = ["PROTOCOLS", "protocol_of"]

PROTOCOLS = {
    "points": ("Points", "Click on each mask, then correct the answer click by click."),
    "boxes": ("Boxes", "Draw a box around each mask, tightly and with a hasty hand."),
    "edges": ("Edges", "Find everything, and compare its edges with those that people drew."),
    "proposals": ("Proposals", "Find everything, and count which true masks are among the best."),
    "instances": ("Instances", "Draw a mask for each box that a detector found."),
    "text": ("Text", "Ask for each category of an image by its name."),
    "perseg": ("PerSeg", "Show the model an object in one image, and let it find it in others."),
}
"""The class of each protocol and what it does, by the name of its module, which is its own name.
Its options are a class of `options`, which the protocol's own class extends."""


def protocol_of(options: Any) -> EvaluationProtocol:
    """Make the protocol that one of the classes of `options` is about."""
    module = importlib.import_module(f"anymask.evaluate.protocols.{options.name}")
    protocol: EvaluationProtocol = getattr(module, PROTOCOLS[options.name][0])(**vars(options))
    return protocol
