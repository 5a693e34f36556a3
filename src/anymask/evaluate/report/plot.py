"""Line plots as SVG, sharp at every size; by matplotlib."""

from __future__ import annotations

import io
from typing import Any

from anymask.errors import MissingExtraError
from anymask.evaluate.protocol import Curve
from anymask.optional import optional

__all__ = ["svg"]

_FEW = 30  # points of a line that are marked
_COLOURS = ("#2f86cb", "#e08a00", "#1d9e77", "#d1495b", "#9a6fd0", "#8a8f98")
"""Distinct for colour-blind eyes, too, on white and on black."""
_INK = "#010203"  # stands for the colour of the text around the plot
_INKED = (
    *("text.color", "axes.labelcolor", "axes.edgecolor", "grid.color"),
    *("xtick.color", "ytick.color"),
)


def svg(curve: Curve) -> str | None:
    """Draw the lines of a curve with axes, grid and legend; None where matplotlib is missing.

    The background is transparent, and what is not a line has the colour of the text around it.
    """
    try:
        figures = optional("matplotlib.figure", extra="eval")
    except MissingExtraError:
        return None
    import matplotlib

    # Words stay words; names inside are the same in every run, and others in other plots of a page.
    style: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": curve.name,
        "font.family": "sans-serif",
    }
    with matplotlib.rc_context(style | dict.fromkeys(_INKED, _INK)):
        figure = figures.Figure(figsize=(7, 4.2), layout="constrained")
        axes = figure.add_subplot(xlabel=curve.x_label, ylabel=curve.y_label)
        axes.set_prop_cycle(color=_COLOURS)
        for name, (x, y) in curve.lines.items():
            dots = "o" if len(x) < _FEW else ""
            axes.plot(x, y, marker=dots, markersize=4.5, linewidth=2, label=name)
        axes.grid(alpha=0.15)
        axes.spines[["top", "right"]].set_visible(False)
        if curve.lines:
            axes.legend(frameon=False)
        text = io.StringIO()
        about = {"Date": None, "Title": curve.title}
        figure.savefig(text, format="svg", metadata=about, transparent=True)
    drawn = text.getvalue().replace(_INK, "currentColor")
    return drawn[drawn.index("<svg") :]
