"""Commands of the extras and their Python: one import each, and the same words."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import typing
from collections.abc import Callable
from typing import Any

import pytest

from anymask import extras
from anymask.cli.options import ImageOptions
from anymask.extras import depth
from anymask.extras.depth.job import Depth as DepthJob
from anymask.extras.edit import EditConfig, PasteConfig
from anymask.extras.edit.job import Edit
from anymask.extras.edit.redraw_job import Redraw
from anymask.extras.inpaint import InpaintConfig
from anymask.extras.inpaint.job import Inpaint
from anymask.extras.lift import MergeConfig, Scene

TWINS: dict[str, list[Any]] = {
    "inpaint": [extras.inpaint, InpaintConfig, Inpaint],
    "edit": [extras.edit, EditConfig, Edit],
    "redraw": [extras.redraw, InpaintConfig, Redraw],
    "paste": [extras.paste, PasteConfig],
    "depth": [depth.everything, DepthJob],
    "lift": [extras.lift, MergeConfig, Scene],
}
"""What has the words of a command: its function, the settings of that, its job for a folder."""

OF_THE_SHELL = {"images", "output", "json", "quiet", "debug", "workers", "overwrite", "format"}
OTHER_WORDS = {  # where the name in Python cannot be the flag's
    "point": "points of a Prompt",
    "not_": "labels of a Prompt",
    "box": "box of a Prompt",
    "not_text": "negative of a job, whose text is the detector's alone",
    "mask": "masks, an array",
    "no_overlay": "overlay",
    "no_map": "keep_map",
    "example": "grounder, an Owlv2 that was shown one",
    "example_box": "the same",
    "example_mask": "the same",
    "picture": "Scene.draw",
    "rrd": "Scene.view",
    "sam3d_objects": "write_sam3d_objects",
}
OF_A_FINDER = {
    *("text", "threshold", "grounder", "label"),
    *("model", "runtime", "device", "dtype", "compile", "offline"),
}
"""What finds masks: in Python a model that is loaded and asked first, or a job."""


def flags(kind: type) -> set[str]:
    hints = typing.get_type_hints(kind)
    found: set[str] = set()
    for field in dataclasses.fields(kind):
        inner = hints[field.name]
        found |= flags(inner) if dataclasses.is_dataclass(inner) else {field.name}
    return found


def words(twin: Any) -> set[str]:
    if isinstance(twin, type):
        fields = {field.name for field in dataclasses.fields(twin)}
        return fields | {name for name in vars(twin) if not name.startswith("_")}
    return set(inspect.signature(twin).parameters)


@pytest.mark.parametrize("name", TWINS)
def test_every_flag_has_its_word_in_python(name: str) -> None:
    command = _command(name)
    known = set.union(*map(words, TWINS[name]))
    allowed = known | OF_THE_SHELL | set(OTHER_WORDS) | OF_A_FINDER
    assert not flags(command) - allowed


@pytest.mark.parametrize("name", TWINS)
def test_every_word_of_python_has_its_flag(name: str) -> None:
    command = _command(name)
    spelt = {
        "config",  # single settings are flags
        "progress",  # a bar
        "options",  # single settings again, or those of everything mode
        *("image", "cut", "onto", "source"),  # the images
    }
    functions: list[Callable[..., Any]] = [one for one in TWINS[name] if not isinstance(one, type)]
    settings = [one for one in TWINS[name] if isinstance(one, type) and "Config" in one.__name__]
    wanted = set.union(*map(words, functions))
    wanted |= {field.name for one in settings for field in dataclasses.fields(one)}
    assert not wanted - flags(command) - spelt


@pytest.mark.parametrize("name", TWINS)
def test_it_is_one_import(name: str) -> None:
    assert callable(getattr(extras, name, None)) or name == "depth"
    assert callable(depth.measure)


def test_the_shell_has_no_word_too_many() -> None:
    shared = flags(ImageOptions)
    assert shared >= OF_THE_SHELL
    used = set.union(*(flags(_command(name)) for name in TWINS))
    assert set(OTHER_WORDS) <= used and used >= OF_A_FINDER


def _command(name: str) -> type:
    found: type = getattr(importlib.import_module(f"anymask.cli.{name}"), name.capitalize())
    return found
