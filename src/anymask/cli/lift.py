"""``anymask lift``: images with depth and masks as labelled points in space."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import OmitArgPrefixes, Positional, arg

from anymask.cli.options import ComputeOptions, Flag, load_model
from anymask.cli.parser import parse as parse_words
from anymask.cli.places import check_commas, read_numbers
from anymask.errors import InputError
from anymask.extras.lift.merge import MergeConfig
from anymask.image.png import write_png

if TYPE_CHECKING:
    from anymask.extras.lift.scene import Scene

__all__ = ["Lift", "parse"]

_ABOUT = """Lift images with depth and masks to labelled points in space.

The points become a PLY file; size, centroid and oriented box of each object a JSON file beside it.
Several frames with poses become one scene, in which a thing has one number.

Examples:
  anymask lift rgb.png --depth depth.png --intrinsics 577.6,578.7,318.9,242.7 -o scene.ply
  anymask lift rgb.png --depth depth.npy --intrinsics 500,500,320,240 --masks masks.json --picture
  anymask lift scan/ --stride 20 -o room.ply  # color/ depth/ pose/ intrinsics/
  anymask lift scan/ --masks found/ -o room.ply  # after: anymask everything scan/color -o found/
  anymask lift scan/ --masks found/ --scan mesh.ply --segments mesh.segs.json -o room.ply
  anymask lift photo.jpg --masks masks.json --sam3d-objects for-sam-3d/  # Meta's SAM 3D"""


def parse(words: Sequence[str]) -> Lift:
    """Turn the words after ``anymask lift`` into a command."""
    check_commas(words)
    return parse_words(Lift, words, "anymask lift", _ABOUT)


@dataclass(frozen=True, kw_only=True)
class Lift:
    """Lift images with depth and masks to labelled points in space."""

    source: Annotated[Positional[str], arg(metavar="IMAGE|FOLDER")]
    """An image; or a folder of frames in ScanNet's layout, color/ depth/ pose/ intrinsics/."""
    depth: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """How far each pixel of the image is: PNG of 16 bits, TIFF, NPY, NPZ or EXR of its size."""
    intrinsics: Annotated[str | None, arg(metavar="FX,FY,CX,CY", help_behavior_hint="")] = None
    """Focal lengths and principal point of the image, in pixels."""
    masks: Annotated[Path | None, arg(metavar="FILE|DIR", help_behavior_hint="")] = None
    """Masks of the image, a file of any format; or of all frames, a folder that `anymask
    everything` wrote, or a COCO file. Without them, the model finds everything."""
    output: Annotated[Path, arg(aliases=["-o"], metavar="FILE.ply")] = Path("scene.ply")
    """File for the points; the statistics lie beside it, as JSON."""
    picture: Flag = False
    """Draw the scene from two sides, as a PNG beside it; needs matplotlib."""
    view: Flag = False
    """Open a window of rerun's viewer, in which the scene can be turned; needs rerun-sdk."""
    rrd: Flag = False
    """Write what that window would show beside the scene, for `rerun FILE.rrd`."""
    sam3d_objects: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="")] = None
    """A new folder for what Meta's SAM 3D Objects reads, the image and a picture of each mask. It
    guesses shapes from one image, so this needs no --depth, and without one it is all that is
    done."""
    depth_scale: Annotated[
        float | None,
        arg(metavar="FLOAT", help_behavior_hint="(default: 1000, floating point 1)"),
    ] = None
    """How many units of the depth are a metre."""
    max_depth: Annotated[float | None, arg(metavar="FLOAT", help_behavior_hint="")] = None
    """Leave out what is further away, in metres."""
    stride: Annotated[int, arg(metavar="INT")] = 1
    """Of a folder, take every so many frames."""
    model: Annotated[str, arg(aliases=["-m"], metavar="MODEL")] = "bundled"
    """What finds the masks if there are none: a name from `anymask models`; or a path, an address
    or a hub id (org/name) of weights."""
    compute: OmitArgPrefixes[ComputeOptions] = field(default_factory=ComputeOptions)
    """Where and how the model computes."""
    json: Flag = False
    """Print the statistics as one line of JSON."""
    quiet: Annotated[bool, arg(aliases=["-q"], help_behavior_hint="")] = False
    """Print nothing but errors."""
    debug: Flag = False
    """Show the traceback of an error."""
    merge: OmitArgPrefixes[MergeConfig] = field(default_factory=MergeConfig)
    """How objects of different frames become one; the defaults are those of SAM3D."""
    scan: Annotated[Path | None, arg(metavar="FILE.ply", help_behavior_hint="")] = None
    """A scan of the same scene, such as its mesh, whose vertices get the label of the nearest
    point, too; they go beside the scene, as NAME-scan.ply."""
    segments: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """An over-segmentation of the scan, whose small surfaces decide together: a number for each
    vertex, as NPY, text, or JSON like ScanNet's .segs.json."""
    max_distance: Annotated[float, arg(metavar="FLOAT")] = 0.6
    """With --scan: vertices further away from all points, in metres, get no label."""
    min_vertices: Annotated[int, arg(metavar="INT")] = 20
    """With --segments: objects of fewer vertices are left out of the scan."""

    def run(self) -> int:
        """Do it and return the exit code."""
        from anymask.extras.lift.scene import check_target
        from anymask.optional import optional

        if self.sam3d_objects is not None:
            self._check_export(self.sam3d_objects)
            if self.depth is None:
                return self._export()
        check_target(self.output)  # before work that takes long
        if self.picture:
            optional("matplotlib", extra="lift")
        if self.view or self.rrd:
            optional("rerun", extra="viewer")
        scene = self._lifted()
        files = scene.save(self.output)
        if self.picture:
            files.append(self.output.with_suffix(".png"))
            write_png(scene.draw(), files[-1])
        if self.rrd:
            files.append(self.output.with_suffix(".rrd"))
            scene.view(files[-1])
        if self.sam3d_objects is not None:
            files += self._exported()
        self._say(scene, files)
        if self.view:
            scene.view()
        return 0

    def _lifted(self) -> Scene:
        from anymask.cli.report import progress_bar
        from anymask.extras.lift import lift

        with progress_bar(hidden=self.quiet or self.json) as bar:
            task = bar.add_task(Path(self.source).name)
            return lift(
                self.source,
                self.depth,
                self.intrinsics and read_numbers("--intrinsics", self.intrinsics),
                self.masks,
                depth_scale=self.depth_scale,
                max_depth=self.max_depth,
                stride=self.stride,
                model=self._model,
                config=self.merge,
                scan=self.scan,
                segments=self.segments,
                max_distance=self.max_distance,
                min_vertices=self.min_vertices,
                progress=lambda done, total: bar.update(task, completed=done, total=total),
            )

    def _check_export(self, folder: Path) -> None:
        """Check that there is one image, and that its folder is new, before the work."""
        from anymask.extras.lift.sam3d_objects import check_folder

        if Path(self.source).is_dir():
            raise InputError(
                "expected one image along with --sam3d-objects, got a folder of frames; name the "
                "image, or leave it out"
            )
        check_folder(folder)

    def _export(self) -> int:
        """Write for SAM 3D Objects alone."""
        unused = {
            f"--{name.replace('_', '-')}": getattr(self, name)
            for name in ("intrinsics", "scan", "segments", "picture", "view", "rrd")
        }
        if said := [flag for flag, value in unused.items() if value]:
            raise InputError(
                f"expected --depth along with {' and '.join(said)}, got none; name the depth of "
                "the image, or leave them out"
            )
        files = self._exported()
        if self.json:
            print(json.dumps({"files": [str(file) for file in files]}))
        elif not self.quiet:
            n = len(files) - 1
            print(f"{self.source}: {n} mask{'s' * (n != 1)} for SAM 3D Objects")
            for file in files:
                print(f"  {file}")
        return 0

    def _exported(self) -> list[Path]:
        """Write the image and its masks, those that cover something."""
        from anymask.extras.lift.find_masks import finder
        from anymask.extras.lift.sam3d_objects import write_sam3d_objects
        from anymask.image.image import Image

        assert self.sam3d_objects is not None
        image = Image.open(self.source)
        find = finder(self.masks, self._model, several=False)
        masks = find(image, Path(self.source).stem).filter(min_area=1)
        return write_sam3d_objects(self.sam3d_objects, image, masks)

    @cached_property
    def _model(self) -> Any:
        """What finds the masks, if there are none."""
        if self.masks is not None:
            return self.model
        return load_model(self.model, self.compute)

    def _say(self, scene: Scene, files: Sequence[Path]) -> None:
        if self.json:
            print(json.dumps(scene.to_dict() | {"files": [str(file) for file in files]}))
        if self.json or self.quiet:
            return
        n = len(scene.objects)
        names = Counter(one.name for one in scene.objects if one.name is not None)
        listed = ", ".join(f"{count} {name}" for name, count in names.items())
        frames = f" from {scene.frames} frames" if scene.frames > 1 else ""
        print(
            f"{self.source}: {len(scene.cloud):,} points{frames}, {n} object{'s' * (n != 1)}"
            f"{f' ({listed})' if listed else ''}"
        )
        for file in files:
            print(f"  {file}")
