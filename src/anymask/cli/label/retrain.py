"""``anymask label retrain``: the model learns from what people accepted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from tyro.conf import OmitArgPrefixes, arg

from anymask.cli.label.project import ProjectOptions
from anymask.label.retrain import RetrainConfig

__all__ = ["ABOUT", "Retrain"]

ABOUT = """Let the model learn from all accepted masks, and use it from now on if it is better.

Some images are held back, always the same ones: on these, before and after are compared, in numbers
and in pictures. A version that is not better is kept, but not put to use. Versions, their data and
pictures lie in the folder of the project, in .anymask-label/.

The detector of the semi-automatic stage learns, too: one class for whatever has a mask. It is
compared by average precision at IoU 0.5.

Examples:
  anymask label retrain photos/
  anymask label retrain photos/ --learn lora --steps 1000 --version may
  anymask label retrain photos/ --learn detector       # where things are, from their boxes
  anymask label auto photos/ --stage semi-automatic    # with the version in use"""


@dataclass(frozen=True, kw_only=True)
class Retrain(ProjectOptions):
    """Let the model learn from all accepted masks."""

    version: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")] = None
    """What to call the new version; without it, version-1 and so on."""
    device: Annotated[str, arg(metavar="DEVICE")] = "auto"
    """Where to compute: cpu, cuda, mps, or auto for the fastest there is."""
    settings: OmitArgPrefixes[RetrainConfig] = field(default_factory=RetrainConfig)
    """How."""

    def run(self) -> int:
        """Do it and return the exit code: 0, also if it became no better."""
        from anymask.label.retrain import retrain

        with self.open() as store:
            done = retrain(
                store, self.settings, version=self.version, device=self.device, quiet=self.json
            )
        document: dict[str, Any] = {
            **vars(done),
            "path": str(done.path),
            "pictures": [str(path) for path in done.pictures],
            "before": dict(done.before),
            "after": dict(done.after),
        }
        use = "it is in use now" if done.promoted else "it is no better, and not put to use"
        lines = [
            f"{done.version} learned from {done.parent} and {done.train_images} images: {use}",
            f"on {done.val_images} images that were held back:",
            *(
                f"  {name:15} {old:.3f} -> {done.after[name]:.3f}"
                for name, old in done.before.items()
            ),
            f"it loads from {done.path}; pictures are in {done.path.parent / 'pictures'}",
        ]
        self.print(document, lines)
        return 0
