"""``anymask models``: what there is to choose from."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from anymask.cli.options import Flag
from anymask.cli.parser import parse as parse_words
from anymask.errors import AnymaskError, InputError

if TYPE_CHECKING:
    from anymask.models.variants import Variant

__all__ = ["Models", "parse"]

_ABOUT = """List the models, with size, licence and what they can do; or show single ones in full.

Examples:
  anymask models
  anymask models bundled
  anymask models --json"""


def parse(words: Sequence[str]) -> Models:
    """Turn the words after ``anymask models`` into a command."""
    return parse_words(Models, words, "anymask models", _ABOUT)


@dataclass(frozen=True, kw_only=True)
class Models:
    """List the models, with size, licence and what they can do; or show single ones in full."""

    names: Annotated[
        tuple[str, ...], Positional, arg(metavar="NAME...", help_behavior_hint="")
    ] = ()
    """Models to show in full; none: all of them in a table."""
    json: Flag = False
    """Print one line of JSON for each model."""
    debug: Flag = False
    """Show the traceback of an error."""

    def run(self) -> int:
        """Do it and return the exit code."""
        from anymask.models.variants import all_variants

        chosen = tuple(dict.fromkeys(map(_find, self.names))) if self.names else all_variants()
        if self.json:
            for variant in chosen:
                print(jsonlib.dumps(_as_dict(variant)))
        elif self.names:
            for i, variant in enumerate(chosen):
                _print_whole(variant, first=not i)
        else:
            _print_table(chosen)
        return 0


def _find(name: str) -> Variant:
    """Find a model by its name."""
    from anymask.models.variants import find

    try:
        return find(name)
    except AnymaskError as error:
        raise InputError(
            f"expected the name of a model, got {name!r}; `anymask models` lists them, see --help"
        ) from error


def _as_dict(variant: Variant) -> dict[str, Any]:
    return {
        "name": variant.name,
        "aliases": list(variant.aliases),
        "family": variant.family,
        "summary": variant.summary,
        "parameters": variant.parameters,
        "capabilities": sorted(variant.capabilities),
        "words": _words(variant),
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

    console = Console(highlight=False, markup=False)
    width = max(len(variant.name) for variant in variants)
    heading = _columns(width, "name", "params", "weights", "here", "licence", "prompts")
    console.print(heading, style="bold underline", soft_wrap=True)
    for v in variants:
        size = f"{v.parameters / 1e6:.1f} M"
        here = "yes" if _path(v) else "-"
        line = _columns(width, v.name, size, _weights(v), here, v.weights.licence, _prompts(v))
        console.print(line, style="bold" if v.weights.url is None else "", soft_wrap=True)
        console.print(Padding(v.summary, (0, 0, 0, 2)), style="dim")
    console.print(
        "\nUse one with --model NAME or anymask.load(NAME). Weights that are not here are\n"
        f"downloaded once, to {cache_dir()}.\n"
        "+points: on the thing only, without --not. Which words: anymask models NAME.",
        soft_wrap=True,
    )


def _print_whole(variant: Variant, *, first: bool) -> None:
    """Print all that there is to know about a model, a line for each kind of thing."""
    from rich.console import Console
    from rich.padding import Padding

    console = Console(highlight=False, markup=False)
    if not first:
        console.print()
    console.print(variant.name, style="bold")
    console.print(variant.summary)
    weights = f"{_weights(variant) or 'of unknown size'}, {variant.weights.licence}"
    here = _path(variant)
    lines = {
        "other names": ", ".join(variant.aliases),
        "parameters": f"{variant.parameters / 1e6:.1f} M",
        "weights": f"{weights}; {'here: ' + here if here else 'not here yet'}",
        "prompts": _prompts(variant).replace("+points", "points on the thing, without --not"),
        "answers": "three for a prompt, or one" if _has_three(variant) else "one for a prompt",
        "words": _about_words(variant),
        "paper": ", ".join(variant.paper or ()),
    }
    for name, said in lines.items():
        if said:
            console.print(f"  {name}")
            console.print(Padding(said, (0, 0, 0, 4)))


def _has_three(variant: Variant) -> bool:
    return "multimask" in variant.capabilities


def _words(variant: Variant) -> dict[str, Any]:
    """Say which words a model knows, by the grounders there are."""
    from anymask.models.vocabulary import LABELS

    if not variant.takes_words:
        return {}
    own = {"own": "any, compared by CLIP"} if "text" in variant.capabilities else {}
    return {**own, "bundled": [label.lower() for label in LABELS], "open": "any, anymask[text]"}


def _about_words(variant: Variant) -> str:
    """Say it in a few sentences."""
    known = _words(variant)
    if not known:
        return "none"
    own = "by itself any, by CLIP (pip install 'anymask[text]'); with --grounder bundled: "
    return (
        f"{own if 'own' in known else 'without a download: '}{', '.join(known['bundled'])}; with "
        "their plurals and usual synonyms. Any others with a grounder for open words: pip install "
        "'anymask[text]', then --grounder."
    )


def _columns(width: int, name: str, size: str, weights: str, here: str, *rest: str) -> str:
    licence, prompts = rest
    return f"{name:<{width}} {size:>7} {weights:>8}  {here:<4} {licence:<10} {prompts}"


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
    points = ["points" if "negative_points" in known else "+points"]
    others: list[str] = [word for word in ("box", "mask") if word in known]
    words = ["words"] * variant.takes_words
    return ", ".join(points * ("points" in known) + others + words)
