"""What a checkpoint is compared by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from anymask.errors import InputError
from anymask.train.run.checkpoint import Place, check_settings, read_checkpoint, write_checkpoint

SAVED = {"variant": "toy", "data": ["a", "b"], "loop": {"lr": 0.1, "workers": 1}}


@pytest.mark.parametrize(
    ("wanted", "changes"),
    [
        (SAVED, []),
        ({**SAVED, "loop": {"lr": 0.1, "workers": 5}}, []),
        ({**SAVED, "variant": "other"}, ["variant: 'toy', now 'other'"]),
        ({**SAVED, "data": ["a"]}, ["data: ['a', 'b'], now ['a']"]),
        ({**SAVED, "loop": {"lr": 1.0}}, ["loop.lr: 0.1, now 1.0"]),
        ({**SAVED, "rank": 4}, ["rank: None, now 4"]),
        ({"variant": "toy"}, ["data: ['a', 'b'], now None", "loop.lr: 0.1, now None"]),
    ],
)
def test_every_difference_is_listed(wanted: dict[str, Any], changes: list[str]) -> None:
    if not changes:
        check_settings(SAVED, wanted, Path("run"))
        return
    with pytest.raises(InputError) as refusal:
        check_settings(SAVED, wanted, Path("run"))
    assert f"got others in {'; '.join(changes)}; go back to them" in str(refusal.value)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    place = Place(3, 1.5, 2, 0.7, 1, {"loss": (2.5, 2)})
    state = {"weights": {"a": torch.arange(3.0), "count": torch.tensor(7)}, "moments": {"a": {}}}
    write_checkpoint(tmp_path / "checkpoint.pt", SAVED, place, state)
    settings, found, back = read_checkpoint(tmp_path / "checkpoint.pt")
    assert (settings, found) == (SAVED, place)
    assert torch.equal(back["weights"]["a"], state["weights"]["a"])
    assert back["weights"]["count"] == 7


def test_nothing_in_a_checkpoint_runs(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return (Path.touch, (tmp_path / "sprung",))  # type: ignore[return-value]

    torch.save({"settings": Trap()}, tmp_path / "checkpoint.pt")
    with pytest.raises(InputError, match="expected a checkpoint"):
        read_checkpoint(tmp_path / "checkpoint.pt")
    assert not (tmp_path / "sprung").exists()


def test_a_run_of_an_earlier_version_is_refused(tmp_path: Path) -> None:
    torch.save({"settings": {}, "place": {"judged": 1}, "state": {}}, tmp_path / "checkpoint.pt")
    with pytest.raises(InputError, match="got one made by an earlier version, which cannot go on"):
        read_checkpoint(tmp_path / "checkpoint.pt")
