"""The command line: one verb per subcommand, each in the module of its name.

    anymask segment photo.jpg --point 500,375 -o out/
    anymask everything photos/ -o out/ --format coco
    anymask personalize photos/ --reference mug.jpg --mask mug-mask.png -o out/
    anymask detect photos/ --text "dog. person."
    anymask track clip.mp4 --point 500,375@30 -o out/
    anymask inpaint photo.jpg --point 500,375 --remove -o out/
    anymask edit photo.jpg --background blur -o out/
    anymask redraw photo.jpg --region 500,375 --fill "a cup" --engine PIPELINE --controlnet NET
    anymask paste cut.png onto.jpg --at 420,300 -o out.png
    anymask depth photo.jpg --point 500,375 --depth photo-depth.png
    anymask lift rgb.png --depth depth.png --intrinsics 577.6,578.7,318.9,242.7 -o scene.ply
    anymask label init photos/
    anymask serve --port 8000
    anymask models
    anymask evaluate points --data photos-val/ -o runs/points
    anymask train --data photos/ -o runs/mine
    anymask distill decoupled --data photos/ --student mobile-sam --from-scratch -o runs/mobile
    anymask export --model sam-vit-b -o sam-onnx/
    anymask convert sam_vit_b_01ec64.pth -o sam-vit-b/
    anymask convert masks/ --format yolo -o set/

Nothing heavy is imported before a command really runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from anymask.cli.terminal import forget_output, prepare_terminal, say
from anymask.errors import AnymaskError, MissingExtraError

if TYPE_CHECKING:
    from anymask.cli.parser import Command

__all__ = ["COMMANDS", "main", "parse"]

COMMANDS = {
    "segment": "Cut things out of each image: by clicks, a box, a mask, words; or its subject.",
    "everything": "Find everything in each image, without a prompt.",
    "personalize": "Find things that you show in one image in all others, by an example.",
    "detect": "Find boxes of all things in each image that a detector knows by name.",
    "track": "Follow things through a clip, from clicks, boxes or masks on any of its frames.",
    "inpaint": "Remove a thing from each image, put another one there, or replace the background.",
    "edit": "Change what is behind a thing in each image, its colour, or both.",
    "redraw": "Draw one region of each image anew as words say, in the shape that it has.",
    "paste": "Paste what was cut out of one image into another.",
    "depth": "Say how far away things are in each image, and what lies in front of what.",
    "lift": "Lift images with depth and masks to labelled points in space.",
    "studio": "Make masks on a page in the browser: point, click, saved.",
    "label": "Label a folder of images together, people and models, with a database.",
    "serve": "Answer over HTTP: embed, cut out, find everything, work on folders.",
    "models": "List the models, with size, licence and what they can do.",
    "export": "Write a model as graphs that run without PyTorch: ONNX or OpenVINO.",
    "convert": "Write weights as a folder, or masks in another format.",
    "evaluate": "Measure models: clicks, boxes, speed and more.",
    "train": "Let a model learn from your own images with masks.",
    "distill": "Let a small model learn from a large one.",
}
"""What each command does. Its module has a function ``parse``, from words to a `Command`."""

_PACKAGES = ("tyro", "rich")
"""What the commands need and the library does not, see docs/lite.md."""

_ABOUT = """Cut anything out of any image.

Examples:
  anymask segment photo.jpg --point 500,375
  anymask segment photo.jpg --box 425,600,700,875 --not 575,750 -o out/
  anymask segment photos/ --text "dog. person." -o out/
  anymask segment - --point 500,375 -o - < photo.jpg > cutout.png
  anymask everything photos/ --format coco -o out/
  anymask personalize photos/ --reference mug.jpg --mask mug-mask.png --name mug
  anymask evaluate points --data photos-val/ -o runs/points
  anymask train --data photos/ -o runs/mine
  anymask COMMAND --help
  anymask --version

Exit codes:
  0    all is well
  1    some images failed; the others are done
  2    wrong usage, bad input, or results that cannot be written
  130  interrupted; the same command goes on where it stopped"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Words after ``anymask``; None: those of this process.

    Returns:
        The exit code: 0 all is well, 1 some images failed, 2 wrong usage or bad input,
        130 interrupted, 141 nobody reads the output any more.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    # Threads of OpenMP spin while they wait, which stops whatever else the processor has to do. It
    # reads this once, when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with prepare_terminal():
        try:
            try:
                return _run(words)
            finally:
                sys.stdout.flush()
        except BrokenPipeError:  # whoever read our output has seen enough
            forget_output()
            return 141
        except OSError as error:
            forget_output()
            say(f"error: expected to write to standard output, got {error.strerror}; free it")
            return 2


def _run(words: list[str]) -> int:
    if words in (["--version"], ["-V"]):
        from anymask import __version__

        print(f"anymask {__version__}")
        return 0
    debug = "--debug" in words
    try:
        return parse(words).run()
    except BrokenPipeError:
        raise
    except AnymaskError as error:
        return _fail(debug, f"error: {error}", 2)
    except KeyboardInterrupt:
        return _fail(debug, "interrupted; the same command goes on where it stopped", 130)
    except Exception as error:
        message = f"error: unexpected {type(error).__name__}: {error}; --debug shows where"
        return _fail(debug, message, 2)


def parse(words: list[str]) -> Command:
    """Turn words into a command; help and wrong usage end the process here, as is the custom."""
    from anymask.cli.parser import choose

    _check_packages()
    name = choose(words, "anymask", _ABOUT, COMMANDS)
    command: Command = importlib.import_module(f"anymask.cli.{name}").parse(words[1:])
    return command


def _check_packages() -> None:
    """Check that what reads the commands is there, where anymask was installed without it.

    Raises:
        MissingExtraError: It is not.
    """
    if missing := [name for name in _PACKAGES if importlib.util.find_spec(name) is None]:
        names = " and ".join(missing)
        raise MissingExtraError(
            f"this needs the packages {names}, which are not installed; "
            f"run: pip install {' '.join(missing)}"
        )


def _fail(debug: bool, message: str, code: int) -> int:
    if debug:
        import traceback

        traceback.print_exc()
    say(message)
    return code
