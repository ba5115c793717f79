"""Modules that a library imports without need, and whose import takes long."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from types import ModuleType

__all__ = ["without_modules"]


class _Refusing(MetaPathFinder):
    """Says of some modules that they are not there, to one thread."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names, self._thread = frozenset(names), threading.get_ident()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> None:
        """Raise for these modules; leave all others to the finders that follow."""
        if fullname in self._names and threading.get_ident() == self._thread:
            raise ModuleNotFoundError(f"{fullname} is not needed here", name=fullname)


@contextmanager
def without_modules(names: Iterable[str]) -> Iterator[None]:
    """Refuse the import of modules meanwhile; those that are loaded already stay.

    Parameters
    ----------
    names : iterable of str
        Full names. The code that imports them must be ready for an ImportError.

    Examples
    --------
    >>> from dipkit.support.imports import without_modules
    >>> with without_modules(["wsgiref.handlers"]):
    ...     import wsgiref.handlers
    Traceback (most recent call last):
    ModuleNotFoundError: wsgiref.handlers is not needed here
    """
    finder = _Refusing(names)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
