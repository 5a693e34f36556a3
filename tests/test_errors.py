from __future__ import annotations

import pytest

from anymask import errors


@pytest.mark.parametrize(
    ("name", "builtin"),
    [
        ("InputError", ValueError),
        ("WeightsError", Exception),
        ("CapabilityError", Exception),
        ("OutputError", OSError),
        ("MissingExtraError", ImportError),
    ],
)
def test_each_error_is_ours_and_pythons(name: str, builtin: type[Exception]) -> None:
    kind = getattr(errors, name)
    assert issubclass(kind, errors.AnymaskError)
    assert issubclass(kind, builtin)
    assert str(kind("one sentence")) == "one sentence"


def test_there_are_no_others() -> None:
    kinds = {name for name, value in vars(errors).items() if isinstance(value, type)}
    assert kinds == set(errors.__all__)
