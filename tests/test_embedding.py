from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from anymask.embedding import Embedding
from anymask.errors import InputError, OutputError
from anymask.image.transform import Transform

TRANSFORM = Transform.fit((30, 40), side=64)


def embedding(**features: torch.Tensor) -> Embedding:
    torch.manual_seed(0)
    default = {"s4": torch.randn(1, 3, 16, 16), "s16": torch.randn(1, 5, 4, 4) * 100}
    return Embedding(features or default, TRANSFORM, "ab12", "truck.jpg")


def test_it_knows_the_size_of_its_image() -> None:
    assert embedding().size_hw == (30, 40)


def test_it_shows_what_it_is() -> None:
    assert repr(embedding()) == "Embedding(40 x 30 truck.jpg: s4 3 x 16 x 16, s16 5 x 4 x 4)"


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_it_comes_back_from_a_file(tmp_path: Path, dtype: Any) -> None:
    ours, path = embedding(), tmp_path / "a.safetensors"
    ours.save(path, dtype)
    back = Embedding.load(path)

    assert back.transform == TRANSFORM
    assert (back.signature, back.source) == ("ab12", "truck.jpg")
    assert list(back.features) == sorted(ours.features)
    for name, values in ours.features.items():
        found = back.features[name]
        assert found.dtype == torch.float32
        assert found.shape == values.shape
        error = (found - values).abs().amax((2, 3))
        largest = values.abs().amax((2, 3))
        share = {"float32": 0, "float16": 2**-11, "int8": 0.501 / 127}[dtype]
        assert (error <= largest * share).all()


def test_smaller_types_make_smaller_files(tmp_path: Path) -> None:
    ours = embedding(image=torch.randn(1, 64, 32, 32))
    sizes = []
    for dtype in ("float32", "float16", "int8"):
        ours.save(tmp_path / dtype, dtype)  # type: ignore[arg-type]
        sizes.append((tmp_path / dtype).stat().st_size)
    assert sizes[1] / sizes[0] == pytest.approx(1 / 2, rel=0.02)
    assert sizes[2] / sizes[0] == pytest.approx(1 / 4, rel=0.02)


def test_equal_embeddings_make_equal_files(tmp_path: Path) -> None:
    for name in "ab":
        embedding().save(tmp_path / name, "int8")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_int8_keeps_channels_of_zeros(tmp_path: Path) -> None:
    values = torch.zeros(1, 2, 3, 3)
    values[0, 1, 0, 0] = -5
    embedding(image=values).save(tmp_path / "a", "int8")
    assert torch.equal(Embedding.load(tmp_path / "a").features["image"], values)


@pytest.mark.parametrize("name", ["scale/image", "feature/a", "a/b", ""])
@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_any_name_will_do(tmp_path: Path, name: str, dtype: Any) -> None:
    ours = embedding(**{name: torch.ones(1, 1, 1, 1), "image": torch.ones(1, 1, 2, 2)})
    ours.save(tmp_path / "a", dtype)
    back = Embedding.load(tmp_path / "a")
    assert {key: value.shape for key, value in back.features.items()} == {
        key: value.shape for key, value in ours.features.items()
    }


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_features_of_other_types_are_saved(tmp_path: Path, dtype: torch.dtype) -> None:
    ours = embedding().to(dtype=dtype)
    assert all(values.dtype == dtype for values in ours.features.values())
    ours.save(tmp_path / "a")
    for name, values in Embedding.load(tmp_path / "a").features.items():
        assert torch.equal(values, ours.features[name].float())


def test_features_that_need_a_gradient_are_saved(tmp_path: Path) -> None:
    embedding(image=torch.ones(1, 1, 2, 2, requires_grad=True)).save(tmp_path / "a")
    assert not Embedding.load(tmp_path / "a").features["image"].requires_grad


def test_a_file_may_be_overwritten_while_its_embedding_is_in_use(tmp_path: Path) -> None:
    path = tmp_path / "a"
    embedding().save(path)
    back = Embedding.load(path)
    path.write_bytes(bytes(path.stat().st_size))
    assert torch.equal(back.features["s4"], embedding().features["s4"])


def test_its_features_are_its_own() -> None:
    features = {"image": torch.ones(1, 1, 2, 2)}
    ours = Embedding(features, TRANSFORM, "")
    features.clear()
    assert list(ours.features) == ["image"]


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({}, "at least one feature map"),
        ({"a": torch.zeros(2, 3, 4, 4)}, r"'a' .* got torch.float32 \(2, 3, 4, 4\)"),
        ({"a": torch.zeros(3, 4, 4)}, r"got torch.float32 \(3, 4, 4\)"),
        ({"a": torch.zeros(1, 3, 4, 4, dtype=torch.int64)}, "got torch.int64"),
    ],
)
def test_unfit_features_are_refused(features: dict[str, torch.Tensor], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Embedding(features, TRANSFORM, "")


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        (np.nan, "float32", "finite features"),
        (np.inf, "int8", "finite features"),
        (1e5, "float16", "at most 65504 for float16"),
    ],
)
def test_features_that_do_not_fit_are_refused(
    tmp_path: Path, value: float, dtype: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        embedding(image=torch.full((1, 1, 2, 2), value)).save(tmp_path / "a", dtype)
    assert list(tmp_path.iterdir()) == []


def test_unknown_types_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="got 'int4'; pick one"):
        embedding().save(tmp_path / "a", "int4")  # type: ignore[arg-type]


def test_places_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist"):
        embedding().save(tmp_path / "none" / "a")


def header(**changes: Any) -> dict[str, str]:
    about = {
        "version": 1, "signature": "ab", "original_hw": [3, 4], "resized_hw": [3, 4],
        "frame_hw": [4, 4],
    } | changes  # fmt: skip
    return {"anymask-embedding": json.dumps(about)}


def content(header: dict[str, str] | None, **tensors: torch.Tensor) -> bytes:
    return safetensors.torch.save(tensors, header)


MAP = torch.zeros(1, 1, 2, 2)
GOOD = content(header(), **{"feature/a": MAP})


def test_the_files_below_would_be_good_otherwise(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(GOOD)
    assert Embedding.load(tmp_path / "a").size_hw == (3, 4)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "damaged or foreign"),
        (b"hello", "damaged or foreign"),
        (b"\x89PNG\r\n\x1a\n" * 20, "damaged or foreign"),
        (GOOD[:-1], "damaged or foreign"),
        (GOOD[: len(GOOD) // 2], "damaged or foreign"),
        (content(None, a=MAP), "safetensors file of another kind"),
        (content({"format": "pt"}, a=MAP), "safetensors file of another kind"),
        (content(header(version=2), **{"feature/a": MAP}), "version 2, where this anymask reads 1"),
        (content({"anymask-embedding": "{}"}, **{"feature/a": MAP}), "damaged or foreign"),
        (content({"anymask-embedding": "[]"}, **{"feature/a": MAP}), "damaged or foreign"),
        (content({"anymask-embedding": "{"}, **{"feature/a": MAP}), "damaged or foreign"),
        (content(header(frame_hw=[0, 1]), **{"feature/a": MAP}), "damaged or foreign"),
        (content(header(frame_hw=7), **{"feature/a": MAP}), "damaged or foreign"),
        (content(header(frame_hw=["a", 1]), **{"feature/a": MAP}), "damaged or foreign"),
        (content(header(offset_hw=["a", 1]), **{"feature/a": MAP}), "damaged or foreign"),
        (content(header(enlarge="cubist"), **{"feature/a": MAP}), "damaged or foreign"),
        (content(header()), "at least one feature map"),
        (content(header(), a=MAP), "damaged or foreign"),
        (content(header(), **{"feature/a": MAP[0]}), "damaged or foreign"),
        (content(header(), **{"feature/a": MAP.to(torch.int8)}), "damaged or foreign"),
    ],
)
def test_unfit_files_are_one_sentence(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(data)
    with pytest.raises(InputError, match=message) as caught:
        Embedding.load(path)
    assert "a.safetensors" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["none", "."])
def test_missing_files_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="is not a file; check the path"):
        Embedding.load(tmp_path / name)


def test_files_that_are_open_and_their_content() -> None:
    ours = embedding()
    file = io.BytesIO()
    ours.save(file)
    assert not file.closed
    file.seek(0)
    for source in (file.getvalue(), file):
        back = Embedding.load(source)
        assert back.source == ours.source
        for name, values in ours.features.items():
            assert torch.equal(back.features[name], values.float())


def closed_file() -> io.BytesIO:
    file = io.BytesIO()
    file.close()
    return file


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (b"", "the data given is damaged or foreign"),
        (b"\xff" * 30, "the data given is damaged or foreign"),
        (b"\x08\0\0\0\0\0\0\0[]      ", "the data given is damaged or foreign"),
        (io.BytesIO(b"hello"), "the file given is damaged or foreign"),
        (io.StringIO("hello"), "opened for bytes, got one for text"),
        (closed_file(), "got a closed file; pass its path"),
        (7, "expected an embedding file or its content, got int"),
    ],
)
def test_what_is_no_embedding_is_refused(source: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        Embedding.load(source)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (io.StringIO(), 'with "wb"'),
        (closed_file(), "got a closed one; give its path"),
        (7, "got int; give one"),
    ],
)
def test_where_it_cannot_be_written(target: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        embedding().save(target)
