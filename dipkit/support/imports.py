"""Modules that a library imports without need, and whose import takes long.

They are refused, where the library is ready for that, or loaded at their first use.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

__all__ = ["modules_when_used", "without_modules"]


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


class _Later(ModuleType):
    """A module whose code runs when a name is looked for that is not there yet."""

    def __getattr__(self, name: str) -> object:
        loader = self.__dict__["__loader__"]
        if not isinstance(loader, _AtFirstUse):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        loader.load(self)
        return getattr(self, name)


class _AtFirstUse(Loader):
    """Loads a module when it is used, not when it is imported."""

    def __init__(self, loader: Loader) -> None:
        self._loader, self._lock = loader, threading.RLock()
        self._waits, self._package = True, None

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Let the loader of the module make it."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Leave the code for later; imports of modules inside look for `__path__`, a use too."""
        self._package = module.__dict__.pop("__path__", None)
        module.__class__ = _Later

    def load(self, module: ModuleType) -> None:
        """Run the code of the module, once."""
        with self._lock:
            if not self._waits:
                return
            self._waits = False
            # As after a usual import: the code may look at all of these.
            module.__class__ = ModuleType
            module.__loader__ = self._loader
            if module.__spec__ is not None:
                module.__spec__.loader = self._loader
            if self._package is not None:
                module.__path__ = self._package
            self._loader.exec_module(module)


class _Postponing(MetaPathFinder):
    """Finds some modules as usual, to be loaded at their first use."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find one of these modules; leave all others to the finders that follow."""
        if fullname not in self._names:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _AtFirstUse(spec.loader)
        return spec


@contextmanager
def modules_when_used(names: Iterable[str]) -> Iterator[None]:
    """Let modules that are imported meanwhile load at their first use, perhaps never.

    `importlib.util.LazyLoader` would load a module when a second module imports it.

    Parameters
    ----------
    names : iterable of str
        Full names. Modules that are loaded already stay.

    Examples
    --------
    >>> import sys
    >>> from dipkit.support.imports import modules_when_used
    >>> with modules_when_used(["wsgiref"]):
    ...     import wsgiref
    >>> import wsgiref.util, wsgiref
    >>> wsgiref.util.__name__
    'wsgiref.util'
    """
    finder = _Postponing(names)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
