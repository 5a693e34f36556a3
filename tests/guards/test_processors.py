"""No test depends on how a processor rounds: the arithmetic with other vectors and threads.

    python -m pytest -m processors tests/guards

PyTorch chooses its kernels by the vectors that the processor has (AVX2, AVX-512 or none), and how
sums are split by the number of threads. A test that passes with one choice only asks for more than
the arithmetic promises.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
ARITHMETIC = [
    *("compat", "everything", "models", "predict", "text", "train"),
    *("data/test_embeddings.py", "image/test_transform.py", "recipes"),
    *("test_device.py", "test_embedding.py", "test_geometry.py"),
]
CAPABILITIES = ("default", "avx2", "avx512")  # each processor has those before its own, too


def available() -> tuple[str, ...]:
    """List the kernels that this processor can run, by the names of ATEN_CPU_CAPABILITY."""
    best = torch.backends.cpu.get_cpu_capability().lower()
    return CAPABILITIES[: CAPABILITIES.index(best) + 1] if best in CAPABILITIES else ("default",)


@pytest.mark.processors
@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("capability", CAPABILITIES)
def test_the_arithmetic_holds(capability: str, threads: str) -> None:
    if capability not in available():
        pytest.skip(f"this processor has no {capability}")
    paths = [str(ROOT / "tests" / name) for name in ARITHMETIC]
    assert all(Path(path).exists() for path in paths)
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "--quiet", "-p", "no:cacheprovider", *paths],
        cwd=ROOT,
        env={**os.environ, "ATEN_CPU_CAPABILITY": capability, "OMP_NUM_THREADS": threads},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout[-8000:]


def test_the_choice_reaches_pytorch() -> None:
    code = "import torch; print(torch.backends.cpu.get_cpu_capability(), torch.get_num_threads())"
    environment = {**os.environ, "ATEN_CPU_CAPABILITY": "default", "OMP_NUM_THREADS": "1"}
    said = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
    assert said.split() == ["DEFAULT", "1"]
