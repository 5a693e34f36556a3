"""``anymask models``: what there is to choose from."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from anymask.cli.options import Flag
from anymask.cli.parser import parse as parse_words

if TYPE_CHECKING:
    from anymask.models.variants import Variant

__all__ = ["Models", "parse"]

_ABOUT = """List the models, with size, licence and what they can do.

Examples:
  anymask models
  anymask models --json"""


def parse(words: Sequence[str]) -> Models:
    """Turn the words after ``anymask models`` into a command."""
    return parse_words(Models, words, "anymask models", _ABOUT)


@dataclass(frozen=True, kw_only=True)
class Models:
    """List the models, with size, licence and what they can do."""

    json: Flag = False
    """Print one line of JSON for each model."""
    debug: Flag = False
    """Show the traceback of an error."""

    def run(self) -> int:
        """Do it and return the exit code."""
        from anymask.models.variants import all_variants

        if self.json:
            for variant in all_variants():
                print(jsonlib.dumps(_as_dict(variant)))
        else:
            _print_table(all_variants())
        return 0


def _as_dict(variant: Variant) -> dict[str, Any]:
    return {
        "name": variant.name,
        "aliases": list(variant.aliases),
        "family": variant.family,
        "summary": variant.summary,
        "parameters": variant.parameters,
        "capabilities": sorted(variant.capabilities),
        "bytes": variant.weights.size,
        "licence": variant.weights.licence,
        "url": variant.weights.url,
        "sha256": variant.weights.sha256,
        "path": _path(variant),
        "paper": variant.paper and dict(zip(("title", "url"), variant.paper, strict=True)),
    }


def _print_table(variants: tuple[Variant, ...]) -> None:
    """Print two lines for each model: its numbers in columns, and what it is."""
    from rich.console import Console
    from rich.padding import Padding

    from anymask.models.cache import cache_dir

    console = Console(highlight=False)
    width = max(len(variant.name) for variant in variants)
    heading = _columns(width, "name", "parameters", "weights", "here", "licence", "prompts")
    console.print(heading, style="bold underline", soft_wrap=True)
    for v in variants:
        size = f"{v.parameters / 1e6:.1f} M"
        here = "yes" if _path(v) else "-"
        line = _columns(width, v.name, size, _weights(v), here, v.weights.licence, _prompts(v))
        console.print(line, style="bold" if v.weights.url is None else "", soft_wrap=True)
        console.print(Padding(v.summary, (0, 0, 0, 2)), style="dim")
    console.print(
        "\nUse one with --model NAME or anymask.load(NAME). Weights that are not here are\n"
        f"downloaded once, to {cache_dir()}.",
        soft_wrap=True,
    )


def _columns(width: int, name: str, size: str, weights: str, here: str, *rest: str) -> str:
    licence, prompts = rest
    return f"{name:<{width}}  {size:>10}  {weights:>8}  {here:<4}  {licence:<10}  {prompts}"


def _path(variant: Variant) -> str | None:
    """Tell where the weights are on this machine, if they are."""
    from anymask.models.cache import place

    path = place(variant)
    return str(path) if path.is_file() else None


def _weights(variant: Variant) -> str:
    if variant.weights.url is None:
        return "bundled"
    return "" if variant.weights.size is None else f"{variant.weights.size / 1e6:,.0f} MB"


def _prompts(variant: Variant) -> str:
    known = variant.capabilities
    points = ["points" if "negative_points" in known else "points (no --not)"]
    others: list[str] = [word for word in ("box", "mask", "text") if word in known]
    return ", ".join(points * ("points" in known) + others)
