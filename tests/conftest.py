"""Fixtures for every test: the device to run on, the folder of larger reference data."""

import importlib.util
import os
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.setdefault("MPLBACKEND", "Agg")

# Shared machines are slow at times: a generous test is better than one that fails by the clock.
settings.register_profile("dipkit", deadline=None, print_blob=True)
settings.load_profile("dipkit")

REPOSITORY = Path(__file__).resolve().parents[1]


def why_no_cuda() -> str | None:
    """Say why CUDA cannot be used here; None where it can."""
    if importlib.util.find_spec("cupy") is None:
        return "CuPy is not installed (extras cuda12, cuda13)"
    import cupy

    return None if cupy.is_available() else "CuPy finds no usable CUDA device"


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> str:
    """Each device in turn; a test that takes it runs once on the CPU and once on the GPU."""
    if request.param == "cuda" and (reason := why_no_cuda()):
        pytest.skip(reason)
    return request.param


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the larger reference data (QM9), which are no part of the repository."""
    folder = Path(os.environ.get("DIPKIT_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no reference data in {folder}; name their folder with DIPKIT_DATA")
    return folder
