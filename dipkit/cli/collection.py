"""Python's search for unused objects, kept from the many that modules make and keep.

The search looks through all objects again and again while modules are loaded, and once more at the
end of the process: a fifth of the time of a short command.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["leave_all", "loading"]


@contextmanager
def loading() -> Iterator[None]:
    """Load modules and models without the search; what they made is left out of it from then on."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


def leave_all() -> None:
    """Leave all objects to the operating system, at the end of the process."""
    gc.freeze()
