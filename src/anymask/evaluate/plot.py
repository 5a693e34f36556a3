"""Line plots as SVG, which needs no package and is sharp at every size."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

from anymask.evaluate.protocol import Curve

__all__ = ["svg"]

_WIDTH, _HEIGHT = 560, 320  # of the area of the lines, in pixels at full size
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 12, 48
_LEGEND_ROW = 20
_COLOURS = (
    *("#3778bf", "#e07b39", "#3f9b6c", "#c2434b", "#8463b0"),
    *("#9a6b4f", "#d06fa8", "#7f8790", "#a9a43a", "#35a5b5"),
)
_FEW = 30  # points of a line that are marked
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:currentColor}"
    ".grid{stroke:currentColor;opacity:.15}.line{fill:none;stroke-width:2;stroke-linejoin:round}"
)


def svg(curve: Curve) -> str:
    """Draw the lines of a curve with axes, grid and legend.

    The text has the colour of the page around it, black if there is none.
    """
    points = [xy for x, y in curve.lines.values() for xy in zip(x, y, strict=True)]
    x_ticks, y_ticks = (_ticks([xy[axis] for xy in points]) for axis in (0, 1))
    height = _TOP + _HEIGHT + _BOTTOM + _LEGEND_ROW * len(curve.lines)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_LEFT + _WIDTH + _RIGHT} {height}" '
        f'role="img"><title>{html.escape(curve.title)}</title><style>{_STYLE}</style>'
    ]
    for tick in x_ticks:
        x = _place(tick, x_ticks, _LEFT, _WIDTH)
        parts.append(f'<path class="grid" d="M{x:.1f} {_TOP}v{_HEIGHT}"/>')
        parts.append(_text(f"{tick:g}", x, _TOP + _HEIGHT + 18, "middle"))
    for tick in y_ticks:
        y = _place(tick, y_ticks, _TOP + _HEIGHT, -_HEIGHT)
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}h{_WIDTH}"/>')
        parts.append(_text(f"{tick:g}", _LEFT - 8, y + 4, "end"))
    parts.append(_text(curve.x_label, _LEFT + _WIDTH / 2, _TOP + _HEIGHT + 38, "middle"))
    middle = _TOP + _HEIGHT / 2
    turned = f' transform="rotate(-90 14 {middle})"'
    parts.append(_text(curve.y_label, 14, middle, "middle", turned))
    for number, (name, (xs, ys)) in enumerate(curve.lines.items()):
        line = [
            (_place(x, x_ticks, _LEFT, _WIDTH), _place(y, y_ticks, _TOP + _HEIGHT, -_HEIGHT))
            for x, y in zip(xs, ys, strict=True)
        ]
        parts.append(_line(line, name, number))
    return "".join(parts) + "</svg>\n"


def _line(places: Sequence[tuple[float, float]], name: str, number: int) -> str:
    """Draw a line and its row of the legend."""
    colour = _COLOURS[number % len(_COLOURS)]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    marked = places if len(places) < _FEW else ()
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in marked)
    y = _TOP + _HEIGHT + _BOTTOM + _LEGEND_ROW * number + 8
    return (
        f'<path class="line" stroke="{colour}" d="M{path}"/><g fill="{colour}">{dots}</g>'
        f'<path class="line" stroke="{colour}" d="M{_LEFT} {y}h24"/>'
        + _text(name, _LEFT + 32, y + 4, "start")
    )


def _text(words: str, x: float, y: float, anchor: str, more: str = "") -> str:
    words = html.escape(words)
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{words}</text>'


def _place(value: float, ticks: Sequence[float], start: float, length: float) -> float:
    """Tell where on an axis a value lies, in pixels."""
    return start + length * (value - ticks[0]) / (ticks[-1] - ticks[0])


def _ticks(values: Sequence[float]) -> list[float]:
    """Choose about five round numbers, from below the lowest value to above the highest."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(one for one in (1, 2, 5, 10) if one * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(n * step, 10) for n in range(first, last + 1)]
