"""Line plots as SVG, sharp at every size; by matplotlib."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from anymask.errors import MissingExtraError
from anymask.evaluate.protocol import Curve
from anymask.optional import optional

__all__ = ["COLOURS", "draw_svg", "svg"]

_FEW = 30  # points of a line that are marked
COLOURS = ("#2f86cb", "#e08a00", "#1d9e77", "#d1495b", "#9a6fd0", "#8a8f98")
"""Distinct for colour-blind eyes, too, on white and on black."""
_INK = "#010203"  # stands for the colour of the text around the plot
_INKED = (
    *("text.color", "axes.labelcolor", "axes.edgecolor", "grid.color"),
    *("xtick.color", "ytick.color"),
)


def svg(curve: Curve) -> str | None:
    """Draw the lines of a curve with axes, grid and legend; None where matplotlib is missing."""

    def draw(axes: Any) -> None:
        axes.set(xlabel=curve.x_label, ylabel=curve.y_label)
        for name, (x, y) in curve.lines.items():
            dots = "o" if len(x) < _FEW else ""
            axes.plot(x, y, marker=dots, markersize=4.5, linewidth=2, label=name)
        axes.grid(alpha=0.15)
        if curve.lines:
            axes.legend(frameon=False)

    return draw_svg(curve.name, curve.title, draw)


def draw_svg(
    name: str,
    title: str,
    draw: Callable[[Any], None],
    size: tuple[float, float] = (7, 4.2),
) -> str | None:
    """Draw a plot; None where matplotlib is missing.

    The background is transparent, and axes and words have the colour of the text around them.

    Args:
        name: Unlike that of any other plot of the page.
        title: What it shows.
        draw: Draws on the axes that it is given.
        size: Width and height in inches.
    """
    try:
        figures = optional("matplotlib.figure", extra="eval")
    except MissingExtraError:
        return None
    import matplotlib

    # Words stay words; names inside are the same in every run, and others in other plots of a page.
    style: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "font.family": "sans-serif",
        "text.parse_math": False,  # names may hold dollars
    }
    with matplotlib.rc_context(style | dict.fromkeys(_INKED, _INK)):
        figure = figures.Figure(figsize=size, layout="constrained")
        axes = figure.add_subplot()
        axes.set_prop_cycle(color=COLOURS)
        axes.spines[["top", "right"]].set_visible(False)
        draw(axes)
        text = io.StringIO()
        about = {"Date": None, "Title": title}
        figure.savefig(text, format="svg", metadata=about, transparent=True)
    drawn = text.getvalue().replace(_INK, "currentColor")
    return drawn[drawn.index("<svg") :]
