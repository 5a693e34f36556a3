from __future__ import annotations

import pytest
from tests.models.adapted import lively

from anymask.errors import InputError
from anymask.models.parts import find_part, learn_only


def test_only_some_parts_learn() -> None:
    network = lively("sam-vit-b")
    for part in ("mask_decoder", "image_encoder.neck"):  # also one after the other
        learn_only(network, [part])
        learned = {name for name, p in network.named_parameters() if p.requires_grad}
        assert learned == {n for n, _ in network.named_parameters() if n.startswith(f"{part}.")}


def test_a_part_that_is_not_there() -> None:
    network = lively("sam-vit-b")
    with pytest.raises(InputError, match="got 'decoder'; it has image_encoder, prompt_encoder"):
        find_part(network, "decoder")
    with pytest.raises(InputError):
        learn_only(network, ["mask_decoder", "neck"])
    assert all(p.requires_grad for p in network.parameters())  # nothing was changed
