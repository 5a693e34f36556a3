"""Line plots as SVG, sharp at every size; by matplotlib."""

from __future__ import annotations

import io

from anymask.errors import MissingExtraError
from anymask.evaluate.protocol import Curve
from anymask.optional import optional

__all__ = ["svg"]

_FEW = 30  # points of a line that are marked


def svg(curve: Curve) -> str | None:
    """Draw the lines of a curve with axes, grid and legend; None where matplotlib is missing."""
    try:
        figures = optional("matplotlib.figure", extra="eval")
    except MissingExtraError:
        return None
    import matplotlib

    figure = figures.Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot(xlabel=curve.x_label, ylabel=curve.y_label)
    for name, (x, y) in curve.lines.items():
        axes.plot(x, y, marker="o" if len(x) < _FEW else "", markersize=3.5, label=name)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if curve.lines:
        axes.legend(frameon=False)
    text = io.StringIO()
    # Words stay words; names inside are the same in every run, and others in other plots of a page.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": curve.name}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Title": curve.title})
    drawn = text.getvalue()
    return drawn[drawn.index("<svg") :]
