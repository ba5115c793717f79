"""Checks of the tree of objects in a model before any of them is built: types, depth, number.

The tree is JSON that skops writes. Each node names a loader of skops, a class, and perhaps an id to
which later nodes refer. skops itself bounds neither the depth nor the number of objects, and visits
an object that is named twice two times. Members and sizes of the file are checked in
`model_archive.py`.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..support.files import PathLike
from .model_archive import SCHEMA, UNREADABLE, refusing

__all__ = ["types_in"]

# Objects of a tree, those that are named twice counted twice: a model has some hundreds.
MOST_OBJECTS = 200_000
MOST_LEVELS = 60
# Loaders of skops that build plain values, arrays and objects of a class. Others call functions.
_LOADERS = frozenset(
    f"{name}Node"
    for name in (
        *("Dict", "DType", "Json", "List", "NdArray", "Object", "RandomGenerator"),
        *("RandomState", "Set", "Slice", "Tuple", "Type"),
    )
)
# Classes beside those of dipkit. scikit-learn's other classes take paths, numbers of processes or
# functions as parameters: a file may not set these.
_PLAIN_TYPES = frozenset(
    (
        *(f"builtins.{name}" for name in ("bool", "dict", "float", "int", "list", "set", "slice")),
        *("builtins.NoneType", "builtins.str", "builtins.tuple", "collections.OrderedDict"),
        *("numpy.dtype", "numpy.ndarray", "numpy.random._generator.Generator"),
        *("numpy.random.mtrand.RandomState", "sklearn.pipeline.Pipeline"),
    )
)


def types_in(file: Path | IO[bytes], name: PathLike = "") -> set[str]:
    """Return full names of the types of the tree of objects that are not plain.

    A loader that calls functions counts as such a type, under the name of its function.

    Parameters
    ----------
    file : path or binary file
    name : str or path, default=""
        Name of the file in messages, where `file` is no path.

    Raises
    ------
    FileFormatError
        If the tree is damaged, or more or deeper than that of a model.
    """
    with refusing(name or str(file), UNREADABLE), zipfile.ZipFile(file) as archive:
        tree = _Tree(archive)
        tree.count(json.loads(archive.read(SCHEMA)), 0)
        return tree.types


class _Tree:
    """Walks a tree of skops, with what skops itself does not bound."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.types: set[str] = set()
        self._sizes = {member.filename: member.file_size for member in archive.infolist()}
        self._most_bytes = 2 * sum(self._sizes.values())
        self._counts: dict[int, int | None] = {}
        self._bytes = self._values = 0

    def count(self, node: Any, level: int) -> int:
        """Return the number of objects under a node, those behind references included."""
        self._values += 1
        if self._values > MOST_OBJECTS:
            raise ValueError(f"more than {MOST_OBJECTS} values")
        if level > MOST_LEVELS:
            raise ValueError(f"more than {MOST_LEVELS} levels of objects")
        if isinstance(node, list):
            return sum(self.count(item, level + 1) for item in node)
        if not isinstance(node, dict):
            return 0
        if "__loader__" not in node:
            return sum(self.count(item, level + 1) for item in node.values())
        found = self._count_object(node, level)
        if found > MOST_OBJECTS:
            raise ValueError(f"more than {MOST_OBJECTS} objects")
        return found

    def _count_object(self, node: Mapping[str, Any], level: int) -> int:
        # skops takes the object of an id that it has seen, whatever stands here.
        key = node.get("__id__")
        if key in self._counts:
            known = self._counts[key]
            if known is None:
                raise ValueError("an object that contains itself")
            return known
        if key is not None:
            self._counts[key] = None
        self._take(node)
        parts = (value for name, value in node.items() if not name.startswith("__"))
        found = 1 + sum(self.count(value, level + 1) for value in parts)
        if key is not None:
            self._counts[key] = found
        return found

    def _take(self, node: Mapping[str, Any]) -> None:
        loader, name = node["__loader__"], f"{node['__module__']}.{node['__class__']}"
        if loader == "CachedNode":
            raise ValueError("a reference to an object that is not there")
        if loader == "NdArrayNode" and node.get("type") == "numpy":
            self._bytes += self._sizes[node["file"]]
            if self._bytes > self._most_bytes:
                raise ValueError("an array is used more often than a model does")
        scalar = loader in ("NdArrayNode", "TypeNode") and _is_number_type(name)
        if loader not in _LOADERS or not (name in _PLAIN_TYPES or scalar):
            self.types.add(name)


def _is_number_type(name: str) -> bool:
    module, _, attribute = name.rpartition(".")
    kind = getattr(np, attribute, None) if module == "numpy" else None
    return isinstance(kind, type) and issubclass(kind, np.number | np.bool_)
