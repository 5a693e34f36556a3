"""The command line: one verb per subcommand.

    anymask segment photo.jpg --point 500,375 -o out/
    anymask everything photos/ -o out/ --format coco
    anymask models
    anymask evaluate points --data photos-val/ -o runs/points
    anymask train --data photos/ -o runs/mine
    anymask distill decoupled --data photos/ --student mobile-sam --from-scratch -o runs/mobile
    anymask convert sam_vit_b_01ec64.pth -o sam-vit-b/

Nothing heavy is imported before a command really runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from anymask.cli.convert import Convert
from anymask.cli.distill import parse as parse_distill
from anymask.cli.evaluate import parse as parse_evaluate
from anymask.cli.everything import Everything
from anymask.cli.listing import show_list
from anymask.cli.models import Models
from anymask.cli.segment import Segment
from anymask.cli.train import parse as parse_train
from anymask.errors import AnymaskError

if TYPE_CHECKING:
    from anymask.cli.evaluate.options import EvaluateOptions
    from anymask.cli.learning import LearningOptions

__all__ = ["main"]

_ABOUT = """Cut anything out of any picture.

Examples:
  anymask segment photo.jpg --point 500,375
  anymask segment photo.jpg --box 425,600,700,875 --not 575,750 -o out/
  anymask everything photos/ --format coco -o out/
  anymask evaluate points --data photos-val/ -o runs/points
  anymask train --data photos/ -o runs/mine
  anymask distill decoupled --data photos/ --student mobile-sam --from-scratch -o runs/mobile
  anymask --version

Exit codes:
  0    all is well
  1    some pictures failed; the others are done
  2    wrong usage, bad input, or results that cannot be written
  130  interrupted; the same command goes on where it stopped"""

_SEGMENT = """Cut one thing out of each picture, by clicks, a box or a rough mask.

Each picture gets an overlay, a cut-out with a transparent background, and the mask as JSON.
Coordinates are pixels of the picture, x from the left and y from the top.

Examples:
  anymask segment photo.jpg --point 500,375 --point 520,380 --not 40,60
  anymask segment photo.jpg --box 425,600,700,875 --model sam-vit-b -o out/
  anymask segment photo.jpg --model runs/roofs  # after anymask train --learn adapter"""

_EVERYTHING = """Find everything in each picture, without a prompt.

Each picture gets an overlay and its masks. A folder that was interrupted goes on where it stopped.

Examples:
  anymask everything photo.jpg
  anymask everything photos/ --format coco -o out/
  anymask everything 'photos/**/*.jpg' --points-per-side 16 --json"""

_CONVERT = """Write weights as a folder of config.json and model.safetensors.

The folder loads by its path, needs no table, and holds nothing that could run.

Examples:
  anymask convert sam_vit_b_01ec64.pth -o sam-vit-b/
  anymask convert facebook/sam-vit-base --dtype float16 -o half/
  anymask convert sam-vit-b --adapter runs/lora/best -o merged/
  anymask convert sam-vit-b --layout transformers -o for-transformers/"""

_COMMANDS: dict[str, tuple[type[Segment | Everything | Models | Convert], str]] = {
    "segment": (Segment, _SEGMENT),
    "everything": (Everything, _EVERYTHING),
    "models": (Models, "List the models, with size, licence and what they can do."),
    "convert": (Convert, _CONVERT),
}

_PARSERS: dict[str, tuple[Callable[[list[str]], EvaluateOptions | LearningOptions], str]] = {
    "evaluate": (parse_evaluate, "Measure models: clicks, boxes, speed and more."),
    "train": (parse_train, "Let a model learn from your own images with masks."),
    "distill": (parse_distill, "Let a small model learn from a large one."),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Words after ``anymask``; None: those of this process.

    Returns:
        The exit code: 0 all is well, 1 some pictures failed, 2 wrong usage or bad input,
        130 interrupted, 141 nobody reads the output any more.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        try:
            return _run(words)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has seen enough; Python must not complain while it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _run(words: list[str]) -> int:
    if words == ["--version"]:
        from anymask import __version__

        print(f"anymask {__version__}")
        return 0
    debug = "--debug" in words
    try:
        return _parse(words).run()
    except BrokenPipeError:
        raise
    except AnymaskError as error:
        return _fail(debug, f"error: {error}", 2)
    except KeyboardInterrupt:
        return _fail(debug, "interrupted; the same command goes on where it stopped", 130)
    except Exception as error:
        message = f"error: unexpected {type(error).__name__}: {error}; --debug shows where"
        return _fail(debug, message, 2)


def _parse(
    words: list[str],
) -> Segment | Everything | Models | Convert | EvaluateOptions | LearningOptions:
    """Turn words into a command; help and wrong usage end the process here, as is the custom."""
    import tyro
    from tyro.conf import FlagCreatePairsOff

    name = words[0] if words else "--help"
    if name in _PARSERS:
        return _PARSERS[name][0](words[1:])
    if name in _COMMANDS:
        kind, about = _COMMANDS[name]
        return tyro.cli(
            kind,
            prog=f"anymask {name}",
            description=about,
            args=words[1:],
            config=(FlagCreatePairsOff,),
        )
    summaries = {name: str(kind.__doc__) for name, (kind, _) in _COMMANDS.items()}
    summaries |= {name: line for name, (_, line) in _PARSERS.items()}
    show_list(summaries, words or [name], "anymask", _ABOUT)


def _fail(debug: bool, message: str, code: int) -> int:
    if debug:
        import traceback

        traceback.print_exc()
    print(f"anymask: {message}", file=sys.stderr)
    return code
