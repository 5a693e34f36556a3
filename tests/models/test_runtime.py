"""Runtimes of exported graphs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("openvino")
onnx = pytest.importorskip("onnx")

LEAVE = """
import signal, subprocess, sys, threading
from pathlib import Path
import numpy as np
from anymask.models.runtime import open_graph

graphs = [open_graph(Path(sys.argv[1]), "openvino")]
assert graphs[0](x=np.array([-1, 2], np.float32))["y"].tolist() == [0, 2]
thread = threading.Thread(target=graphs.clear)
thread.start()
thread.join()
handled = []
signal.signal(signal.SIGCHLD, lambda *_: handled.append(1))
for _ in range(5):
    subprocess.run([sys.executable, "-c", "pass"], check=True)
print("handled" if handled else "no signal")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_signals_are_handled_after_a_graph_of_openvino_has_gone_in_another_thread(
    tmp_path: Path,
) -> None:
    """The plugin for CPUs would leave a stack for signals behind that is no more."""
    names = {name: onnx.helper.make_tensor_value_info(name, 1, [2]) for name in "xy"}
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    graph = onnx.helper.make_graph([node], "relu", [names["x"]], [names["y"]])
    imports = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=imports), tmp_path / "relu.onnx")
    run = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", LEAVE, str(tmp_path / "relu.onnx")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stdout) == (0, "handled\n"), run.stderr
