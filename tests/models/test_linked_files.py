"""Folders of graphs whose files are links, as those of a hub's cache are."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from anymask.errors import WeightsError
from anymask.models.linked_files import open_linked
from anymask.models.runtime import open_graph

onnx = pytest.importorskip("onnx")
RUNTIMES = ("onnx", "openvino")


@pytest.fixture(autouse=True)
def _links(tmp_path: Path) -> None:
    try:
        (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    except OSError:
        pytest.skip("links are not allowed here")


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """Write a graph that adds weights, which lie in a file beside it."""
    names = {name: onnx.helper.make_tensor_value_info(name, 1, [2048]) for name in "xy"}
    weights = onnx.numpy_helper.from_array(np.arange(2048, dtype=np.float32), "w")
    node = onnx.helper.make_node("Add", ["x", "w"], ["y"])
    made = onnx.helper.make_graph([node], "add", [names["x"]], [names["y"]], [weights])
    imports = [onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(made, opset_imports=imports, ir_version=8)
    folder = tmp_path / "written"
    folder.mkdir()
    onnx.save(model, folder / "add.onnx", save_as_external_data=True, location="add.onnx.data")
    return folder / "add.onnx"


def linked(graph: Path, layout: str) -> Path:
    """Give a folder of links to the files, of which some are."""
    place = graph.parents[1] / layout
    place.mkdir()
    for file in (graph, graph.with_name("add.onnx.data")):
        if layout == "weights" and file == graph:
            (place / file.name).write_bytes(file.read_bytes())
            continue
        # A hub has one folder for all contents, others one for each.
        blob = graph.parents[1] / "blobs" / (file.suffix if layout == "apart" else "") / "b"
        blob = blob.with_name(f"b{len(file.name)}")
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(file.read_bytes())
        (place / file.name).symlink_to(os.path.relpath(blob, place))
    return place / graph.name


@pytest.mark.parametrize("layout", ["hub", "apart", "weights"])
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_weights_behind_links_are_read(
    runtime: Literal["onnx", "openvino"],
    layout: str,
    graph: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("onnxruntime" if runtime == "onnx" else runtime)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    opened = open_graph(linked(graph, layout), runtime)
    given = opened(x=np.ones(2048, np.float32))["y"]
    np.testing.assert_array_equal(given, np.arange(1, 2049))
    assert list((tmp_path / "temporary").iterdir()) == []


def test_files_are_copied_where_they_cannot_have_second_names(
    graph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")

    def refuse(*_: object) -> None:
        raise OSError("another disk")

    monkeypatch.setattr(os, "link", refuse)
    opened = open_graph(linked(graph, "hub"), "openvino")
    assert opened(x=np.zeros(2048, np.float32))["y"][-1] == 2047


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_what_is_damaged_stays_so_behind_links(
    runtime: Literal["onnx", "openvino"], graph: Path
) -> None:
    pytest.importorskip("onnxruntime" if runtime == "onnx" else runtime)
    link = linked(graph, "hub")
    whole = graph.with_name("add.onnx.data").read_bytes()
    link.with_name("add.onnx.data").resolve().write_bytes(whole[:100])
    with pytest.raises(WeightsError, match=str(link)):
        open_graph(link, runtime)


def test_nothing_is_tried_again_without_links(graph: Path) -> None:
    tried = []

    def fail(path: Path) -> None:
        tried.append(path)
        raise ValueError

    with pytest.raises(ValueError):
        open_linked(graph, fail)
    assert tried == [graph]
