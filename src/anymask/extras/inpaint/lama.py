"""LaMa as an engine: on the surroundings of a hole, scaled down if they are large."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from anymask.extras.inpaint.engine import Request, Task
from anymask.extras.inpaint.scaling import paint_scaled

if TYPE_CHECKING:
    import torch

    from anymask.models.lama import Lama

__all__ = ["LamaEngine"]

_SIDE = 1024  # longest side at which to work: some 1.5 GB of activations


@dataclass(frozen=True, eq=False)
class LamaEngine:
    """Big-LaMa: lines and patterns go on behind what is removed."""

    network: Lama
    digest: str

    @classmethod
    def load(
        cls, source: str, device: str | torch.device, dtype: str | torch.dtype, offline: bool
    ) -> LamaEngine:
        """Find the weights and read them.

        Raises:
            WeightsError: They are missing, damaged, or of another network.
        """
        from anymask.device import find_device, find_dtype
        from anymask.models import cache
        from anymask.models.lama import find_lama, load_lama

        path = find_lama(source, offline)
        place = find_device(device)
        network = load_lama(path, place, find_dtype(dtype, place), source)
        return cls(network, cache.digest(path))

    @property
    def tasks(self) -> frozenset[Task]:
        """It knows no words."""
        return frozenset({"remove"})

    @property
    def settings(self) -> frozenset[str]:
        """None of those that are for diffusion."""
        return frozenset()

    @property
    def identity(self) -> dict[str, str]:
        """The weights, and what they are computed in."""
        dtype = str(next(self.network.parameters()).dtype).removeprefix("torch.")
        return {"engine": "lama", "weights": self.digest[:16], "dtype": dtype}

    def paint(
        self, pixels: npt.NDArray[np.uint8], hole: npt.NDArray[np.bool_], request: Request
    ) -> npt.NDArray[np.uint8]:
        """Paint at the working size, and enlarge what was painted."""
        from anymask.models.lama import inpaint_part

        def work(
            pixels: npt.NDArray[np.uint8], hole: npt.NDArray[np.bool_]
        ) -> npt.NDArray[np.uint8]:
            return inpaint_part(self.network, pixels, hole)

        request.progress(0, 1)
        painted = paint_scaled(work, pixels, hole, request.size or _SIDE)
        request.progress(1, 1)
        return painted
