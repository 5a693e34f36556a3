"""``anymask track``: things followed through a clip, from prompts on any of its frames."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from tyro.conf import OmitArgPrefixes, Positional, UseAppendAction, arg

from anymask.cli.options import ComputeOptions, Flag, load_model
from anymask.cli.parser import parse as parse_words
from anymask.cli.places import check_commas, read_mask, read_numbers
from anymask.errors import InputError

if TYPE_CHECKING:
    from anymask.batch.track import TrackProgress, TrackResult
    from anymask.cli.parser import Command
    from anymask.prompt import Prompt

__all__ = ["Said", "Track", "parse", "read_said", "to_prompts"]

_ABOUT = """Follow things through a clip: a video, or a folder of frames.

Say where a thing is on any frame: --point X,Y@FRAME, --box X0,Y0,X1,Y1@FRAME or --mask FILE@FRAME;
frames count from 0, and without @FRAME it is frame 0. It is carried on and back from there. Several
things need a --name each, before their prompts or after them. More prompts of a thing on other
frames correct it; run the same command again with them, and only what changes is worked on.

Writes the masks of each frame as PNG (Annotations/CLIP/, as DAVIS has them), all of them as one
JSON file (CLIP.json, as YouTube-VIS has it), and the clip with its masks (CLIP-overlay.mp4). Video
files need: pip install 'anymask[video]'.

Examples:
  anymask track clip.mp4 --point 500,375 -o out/
  anymask track clip.mp4 --box 425,600,700,875@30 --name cup --point 90,80 --name spoon
  anymask track frames/ --point 500,375 --not 520,410@48 -o out/  # corrected in frame 48
  anymask track frames/ --mask first.png --no-overlay"""

_DEFAULT_NAME = "thing"
_NAMED = 10  # things that the summary names; the files have all of them
_SPOKEN = ("--point", "--not", "--box", "--mask")
_Repeated = UseAppendAction[tuple[str, ...]]


class Said(NamedTuple):
    """One prompt, as the command line has it."""

    flag: str
    value: str
    frame: int


def parse(words: Sequence[str]) -> Command:
    """Turn the words after ``anymask track`` into a command."""
    check_commas(words)
    options = parse_words(Track, words, "anymask track", _ABOUT)
    return _Tracking(options, read_said(words))


@dataclass(frozen=True, kw_only=True)
class Track:
    """Follow things through a clip, from prompts on any of its frames."""

    clip: Annotated[Positional[Path], arg(metavar="VIDEO|FOLDER")]
    """A video file, or a folder of frames of one size in the order of their names."""
    point: Annotated[_Repeated, arg(metavar="X,Y[@FRAME]", help_behavior_hint="(repeatable)")] = ()
    """A pixel on the thing: x from the left, y from the top."""
    not_: Annotated[
        _Repeated, arg(name="not", metavar="X,Y[@FRAME]", help_behavior_hint="(repeatable)")
    ] = ()
    """A background point: a pixel that does not belong to the thing."""
    box: Annotated[
        _Repeated, arg(metavar="X0,Y0,X1,Y1[@FRAME]", help_behavior_hint="(repeatable)")
    ] = ()
    """The thing's left, top, right and bottom edge."""
    mask: Annotated[_Repeated, arg(metavar="FILE[@FRAME]", help_behavior_hint="(repeatable)")] = ()
    """An image as large as the frames: light where the thing is, dark elsewhere."""
    name: Annotated[_Repeated, arg(metavar="NAME", help_behavior_hint="(repeatable)")] = ()
    """What the thing is called whose prompts stand beside it."""
    output: Annotated[Path, arg(aliases=["-o"], metavar="DIR")] = Path("anymask-out")
    """Folder for the results; made when missing."""
    model: Annotated[str, arg(aliases=["-m"], metavar="MODEL")] = "bundled"
    """A name from `anymask models`; or a path, an address or a hub id (org/name) of weights."""
    compute: OmitArgPrefixes[ComputeOptions] = field(default_factory=ComputeOptions)
    """Where and how the model computes."""
    no_overlay: Flag = False
    """Do not write the clip with its masks."""
    overwrite: Flag = False
    """Begin anew, also where results exist."""
    forget_corrections: Flag = False
    """Do as the original SAM 2 does: what is said of a thing that is being followed already changes
    nothing. Only for models with a memory."""
    json: Flag = False
    """Print what was found as one line of JSON."""
    quiet: Annotated[bool, arg(aliases=["-q"], help_behavior_hint="")] = False
    """Print nothing but errors."""
    debug: Flag = False
    """Show the traceback of an error."""


@dataclass(frozen=True)
class _Tracking:
    """The options, and the prompts in the order in which they were said."""

    options: Track
    said: dict[str, list[Said]]

    def run(self) -> int:
        """Do it and return the exit code."""
        from anymask.batch.track import track
        from anymask.cli.report import progress_bar
        from anymask.image.video import open_clip

        options = self.options
        clip = open_clip(options.clip)
        prompts = to_prompts(self.said)
        model = load_model(options.model, options.compute)
        with progress_bar(hidden=options.quiet or options.json) as bar:
            task = bar.add_task(options.clip.name, total=None)

            def tell(progress: TrackProgress) -> None:
                if progress.frame is None:
                    bar.update(task, description=f"{options.clip.name}, writing")
                    return
                way = "" if progress.frame.place.way == "onwards" else ", backwards"
                place = f"{options.clip.name}, frame {progress.frame.index}{way}"
                total = progress.total if not way else None
                bar.update(task, description=place, completed=progress.done, total=total)

            found = track(
                clip,
                prompts,
                output=options.output,
                model=model,
                overlay=False if options.no_overlay else None,
                overwrite=options.overwrite,
                forget_corrections=options.forget_corrections,
                progress=tell,
            )
        self._say(found)
        return 0

    def _say(self, found: TrackResult) -> None:
        from anymask.cli.terminal import say

        for note in found.notes:
            say(f"warning: {note}")
        files = [str(file) for file in found.files]
        if self.options.json:
            about: dict[str, Any] = {"clip": str(self.options.clip), "frames": found.frames}
            about |= {"seen": dict(found.seen), "notes": list(found.notes), "files": files}
            print(json.dumps(about))
        elif not self.options.quiet:
            print(f"{self.options.clip}: {found.frames} frames; {_summary(found.seen)}")
            for file in files:
                print(f"  {file}")


def _summary(seen: Mapping[str, int]) -> str:
    """Say in how many frames things are seen, of a few by name."""
    few = [f"{name} seen in {count}" for name, count in list(seen.items())[:_NAMED]]
    if len(seen) <= _NAMED:
        return ", ".join(few)
    never = sum(not count for count in seen.values())
    lost = f", {never} of all {len(seen)} never seen" if never else ""
    return f"{', '.join(few)}, and {len(seen) - _NAMED} more{lost}"


def read_said(words: Sequence[str]) -> dict[str, list[Said]]:
    """Read which prompts belong to which thing: their names stand before all of them, or after.

    Raises:
        InputError: There is no prompt, a name has none, or several things have one name.
    """
    groups: list[tuple[str | None, list[Said]]] = [(None, [])]
    name_first: bool | None = None
    for flag, value in _flags(words):
        if name_first is None:
            name_first = flag == "--name"
        if flag != "--name":
            groups[-1][1].append(_said(flag, value))
        elif name_first:
            groups.append((value.strip(), []))
        else:
            groups[-1] = (value.strip(), groups[-1][1])
            groups.append((None, []))
    named = [group for group in groups if group[0] is not None]
    loose = [one for name, some in groups if name is None for one in some]
    if len(named) == 1:  # in the middle of its prompts, perhaps
        named = [(named[0][0], [one for _, some in groups for one in some])]
        loose = []
    if not named and not loose:
        raise InputError(
            "expected --point, --box or --mask to say what to follow, got none; say where it is"
        )
    if not named:
        named = [(_DEFAULT_NAME, loose)]
    elif loose:
        raise InputError(
            f"expected a --name for each thing, got none beside {loose[0].flag} "
            f"{loose[0].value}; name all of them, each before its prompts or each after"
        )
    return _joined(named)


def _joined(named: Sequence[tuple[str | None, list[Said]]]) -> dict[str, list[Said]]:
    things: dict[str, list[Said]] = {}
    for name, some in named:
        if not name:
            raise InputError("expected a word after --name, got an empty one; call it 'cup', say")
        if not some:
            raise InputError(
                f"expected --point, --box or --mask to say where {name!r} is, got none; add one"
            )
        before = {one.frame for one in things.get(name, ())}
        if twice := before & {one.frame for one in some}:
            raise InputError(
                f"expected a name for one thing in frame {min(twice)}, got {name!r} twice; give "
                "the other thing another name"
            )
        things.setdefault(name, []).extend(some)
    return things


def _flags(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the flags that say what to follow, in order."""
    following = iter(words)
    for word in following:
        flag, equals, value = word.partition("=")
        if flag in (*_SPOKEN, "--name"):
            yield flag, value if equals else next(following, "")


def _said(flag: str, text: str) -> Said:
    value, at, frame = text.rpartition("@")
    if not at:
        return Said(flag, text, 0)
    if not frame.strip().isdecimal():
        if flag == "--mask":  # an @ in the name of a file
            return Said(flag, text, 0)
        raise InputError(
            f"expected the number of a frame after @, got {text!r}; write it like {flag} {value}@30"
        )
    return Said(flag, value, int(frame))


def to_prompts(things: dict[str, list[Said]]) -> dict[int, dict[str, Prompt]]:
    """Make prompts of what was said, by frame and name.

    Raises:
        InputError: A prompt is not in the form that it should have.
    """
    from anymask.prompt import Prompt

    prompts: dict[int, dict[str, Prompt]] = {}
    for name, some in things.items():
        for frame in sorted({one.frame for one in some}):
            here: dict[str, list[Any]] = {flag: [] for flag in _SPOKEN}
            for one in some:
                if one.frame == frame:
                    read = read_mask(Path(one.value)) if one.flag == "--mask" else None
                    here[one.flag].append(
                        read_numbers(one.flag, one.value) if read is None else read
                    )
            for flag in ("--box", "--mask"):
                if len(here[flag]) > 1:
                    raise InputError(
                        f"expected one {flag} for {name!r} in frame {frame}, got "
                        f"{len(here[flag])}; give each thing a --name"
                    )
            points = [*here["--point"], *here["--not"]]
            labels = [1] * len(here["--point"]) + [0] * len(here["--not"])
            prompts.setdefault(frame, {})[name] = Prompt(
                points or None,
                labels if points else None,
                box=next(iter(here["--box"]), None),
                mask=next(iter(here["--mask"]), None),
            )
    return prompts
