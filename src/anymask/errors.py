"""The errors that anymask raises, one base class and five kinds.

    AnymaskError
    ├── InputError         an image, prompt, mask or option is not what it should be
    ├── WeightsError       a model name is unknown, or its weights are missing, damaged or foreign
    ├── CapabilityError    the model at hand cannot do what was asked
    ├── OutputError        a result cannot be written
    └── MissingExtraError  an optional package is not installed

Each message is one sentence that says what was expected, what came, and what to do. Where Python
has a class of its own for the situation, ours derives from it too, so ``except ValueError`` keeps
working.
"""

from __future__ import annotations

__all__ = [
    "AnymaskError",
    "CapabilityError",
    "InputError",
    "MissingExtraError",
    "OutputError",
    "WeightsError",
]


class AnymaskError(Exception):
    """Base of every error that anymask raises on purpose; catch it to catch them all."""


class InputError(AnymaskError, ValueError):
    """An image, prompt, mask or option whose content is not what it should be."""


class WeightsError(AnymaskError):
    """An unknown model name, or weights that are missing, damaged or of another network."""


class CapabilityError(AnymaskError):
    """A request that the model at hand cannot fulfil, such as a text prompt for SAM."""


class OutputError(AnymaskError, OSError):
    """A result that cannot be written: no permission, a full disk, a folder in the way."""


class MissingExtraError(AnymaskError, ImportError):
    """An optional package that is not installed; the message holds the install line."""
