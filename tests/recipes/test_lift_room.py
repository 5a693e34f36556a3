"""The recipe of the synthetic room: what it writes is lifted to what it says is there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from recipes.lift_room import Ball, Box, Options, look, main, render

from anymask.extras import lift


def test_the_things_come_out_where_they_are(tmp_path: Path) -> None:
    folder = tmp_path / "room"
    main(Options(folder=folder, views=3, width=160))
    scene = lift(folder, masks=folder / "masks")
    truth = {
        thing["name"]: thing["center"] for thing in json.loads((folder / "truth.json").read_text())
    }
    found = {one.name: one for one in scene.objects}
    assert {"floor", "wall", "other wall", "table", "cupboard"} <= set(found) <= set(truth)
    cupboard = found["cupboard"].centroid
    assert cupboard is not None  # of its front, half a metre from its middle at most
    assert np.abs(cupboard - truth["cupboard"]).max() < 0.5


@pytest.mark.parametrize(
    "thing", [Box("a", (0, 0, 1), (1, 1, 2), (9, 9, 9)), Ball("a", (0, 0, 1), 0.5, (9, 9, 9))]
)
def test_a_ray_meets_the_near_side(thing: Box | Ball) -> None:
    pose = look(np.array([0, -4.0, 1]), np.array([0, 0, 1.0]))
    _, depth, seen = render([thing], pose, (10, 10, 4, 4), (9, 9))
    assert depth[4, 4] == pytest.approx(3.5)
    assert (seen[4, 4], seen[0, 0], depth[0, 0]) == (0, -1, 0)
