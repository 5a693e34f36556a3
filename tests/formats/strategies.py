"""Random masks and labels for the tests of formats."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from anymask.masks.masks import Masks

LABELS = st.one_of(
    st.none(),
    st.sampled_from(
        ["dog", "traffic light", "7", "no", "null", "1e3", "\u732b \U0001f408", "a: b"]
    ),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=9),
)


@st.composite
def random_masks(draw: st.DrawFn, *, overlapping: bool = True) -> Masks:
    """Any number of masks: empty, of a pixel, with holes, in pieces, up to the border."""
    h, w = draw(st.integers(1, 13)), draw(st.integers(1, 13))
    n = draw(st.integers(0, 4))
    rng = np.random.default_rng(draw(st.integers(0, 9999)))
    dense = rng.random((n, h, w)) < rng.choice([0, 0.1, 0.5, 0.9, 1], (n, 1, 1))
    if not overlapping:
        dense &= np.cumsum(dense, axis=0) == 1
    labels = draw(st.lists(LABELS, min_size=n, max_size=n))
    return Masks.from_dense(dense.reshape(n, h, w), labels=labels)
