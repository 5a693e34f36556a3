"""What every test may ask for."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

import gc
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import torch

TESTS = Path(__file__).resolve().parent

# A busy machine is not a failure.
hypothesis.settings.register_profile("anymask", deadline=None)
hypothesis.settings.load_profile("anymask")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what drives a browser, which mostly waits.

    So one process of two does it while the other computes, and no two browsers share a processor.
    """
    items.sort(key=lambda item: item.get_closest_marker("browser") is None)


def pytest_collection_finish() -> None:
    """Take what is there for good, mostly modules and tests, out of the collector's search.

    It is some million things, which each full collection would look at in vain.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of photos and large reference numbers that the repository cannot hold."""
    folder = Path(os.environ.get("ANYMASK_SHARED", TESTS.parents[1] / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no folder {folder}; set ANYMASK_SHARED to where the shared data is")
    return folder


@pytest.fixture(scope="session")
def parity_dir() -> Path:
    """The small reference numbers that the repository holds."""
    return TESTS / "parity"


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Compute in one thread for the tests of a file: tiny work is not worth the waking of more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
