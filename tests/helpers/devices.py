"""Whether there is a GPU to test on."""

import importlib.util


def why_no_cuda() -> str | None:
    """Say why CUDA cannot be used here; None where it can."""
    if importlib.util.find_spec("cupy") is None:
        return "CuPy is not installed (extras cuda12, cuda13)"
    import cupy

    return None if cupy.is_available() else "CuPy finds no usable CUDA device"
