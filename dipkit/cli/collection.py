"""What takes time at the start and at the end of a short command, and can be left out.

Python's search for unused objects looks through all objects again and again while modules are
loaded, and once more at the end of the process: a fifth of the time. Other libraries import large
modules of which a command uses nothing.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from ..support.imports import modules_when_used

__all__ = ["leave_all", "loading"]

# SciPy imports the first three, scikit-learn and joblib the next three, dscribe the last one, which
# loads a compiler (Numba).
_SELDOM_USED = (
    *("numpy.f2py", "numpy.testing", "scipy.spatial.transform"),
    *("scipy.stats", "pandas", "asyncio", "sparse"),
)


@contextmanager
def loading() -> Iterator[None]:
    """Load modules and models without the search, and some modules only when they are used.

    What the modules made is left out of the search from then on.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        with modules_when_used(_SELDOM_USED):
            yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


def leave_all() -> None:
    """Leave all objects to the operating system, at the end of the process."""
    gc.freeze()
