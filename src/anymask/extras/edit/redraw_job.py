"""Regions of many images, drawn anew."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from anymask.batch.job import Watch
from anymask.extras.change_job import ChangeJob
from anymask.extras.edit.redraw import redraw
from anymask.extras.edit.regions import Region
from anymask.extras.inpaint.diffusion import Diffusion
from anymask.extras.inpaint.paint import InpaintConfig, choose_task
from anymask.image.image import Image
from anymask.masks.masks import Masks

if TYPE_CHECKING:
    from anymask.predict.segmenter import Segmenter

__all__ = ["Redraw"]


@dataclass(frozen=True, kw_only=True)
class Redraw(ChangeJob):
    """Draw one region of each image anew, in the shape that it has.

    Each image gets the redrawn image (``-redrawn.png``), an overlay of its regions, and these. The
    regions are said as in `ChangeJob`; without that, the model finds everything.

    Attributes:
        fill: What is to be there.
        region: Which region; see `redraw`.
        engine: From `load_controlled`.
        config: How.
    """

    name = "redraw"
    ending = "-redrawn.png"
    usual_subject = True  # here: everything
    fill: str
    region: Region
    engine: Diffusion
    config: InpaintConfig = field(default_factory=InpaintConfig)

    def __post_init__(self) -> None:
        """Check what is to be drawn."""
        super().__post_init__()
        choose_task(remove=False, fill=self.fill, replace=None)

    def what(self) -> dict[str, Any]:
        """Give what is drawn where, and how."""
        region = self.region if isinstance(self.region, int | str) else list(self.region)
        engine = dict(self.engine.identity)
        return {"words": self.fill, "region": region, "engine": engine, "how": asdict(self.config)}

    def edit(self, masks: Masks, image: Image, watch: Watch | None = None) -> Image:
        """Redraw one image."""

        def progress(done: int, total: int) -> None:
            if watch is not None:
                watch.step(f", step {done} of {total}" if done else ", drawing")

        what: dict[str, Any] = {"region": self.region, "engine": self.engine}
        return redraw(image, masks, self.fill, **what, config=self.config, progress=progress)

    def find(self, model: Segmenter | None, image: Image) -> Masks:
        """Find the regions of one image."""
        if self._finds_everything:
            assert model is not None
            return model.generate(image)
        return super().find(model, image)

    def _where(self, model: Segmenter | None) -> dict[str, Any]:
        return {"masks": "everything"} if self._finds_everything else super()._where(model)

    @property
    def _finds_everything(self) -> bool:
        return self.text is None and self.prompt is None and self.masks is None
