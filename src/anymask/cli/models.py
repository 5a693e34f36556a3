"""``anymask models``: what there is to choose from."""

from __future__ import annotations

import json as jsonlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from anymask.cli.options import Flag

if TYPE_CHECKING:
    from anymask.models.variants import Variant

__all__ = ["Models"]


@dataclass(frozen=True, kw_only=True)
class Models:
    """List the models, with size, licence and what they can do."""

    json: Flag = False
    """Print one line of JSON for each model."""
    debug: Flag = False
    """Show the traceback of an error."""

    def run(self) -> int:
        """Do it and return the exit code."""
        from anymask.models.variants import VARIANTS

        if self.json:
            for variant in VARIANTS:
                print(jsonlib.dumps(_as_dict(variant)))
        else:
            _print_table(VARIANTS)
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
        "paper": variant.paper and dict(zip(("title", "url"), variant.paper, strict=True)),
    }


def _print_table(variants: tuple[Variant, ...]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("name", no_wrap=True, style="bold")
    for name in ("parameters", "file"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("prompts")
    table.add_column("licence", no_wrap=True)
    table.add_column("what it is", ratio=1)
    for variant in variants:
        table.add_row(
            variant.name,
            f"{variant.parameters / 1e6:.1f} M",
            _file(variant),
            _prompts(variant),
            variant.weights.licence,
            variant.summary,
        )
    console = Console()
    console.print(table)
    console.print(
        "Use one with --model NAME or anymask.load(NAME); "
        "what is not in the package is downloaded on first use.",
        highlight=False,
    )


def _file(variant: Variant) -> str:
    megabytes = "" if variant.weights.size is None else f"{variant.weights.size / 1e6:,.0f} MB"
    return megabytes if variant.weights.url else f"{megabytes} (in the package)".strip()


def _prompts(variant: Variant) -> str:
    shown = {"points": "points", "negative_points": "not", "box": "box", "mask": "mask"}
    return ", ".join(word for name, word in shown.items() if name in variant.capabilities)
