"""Objects of a model from the tree that skops wrote, where all of its nodes are of common kinds.

skops imports most of scikit-learn before it reads a file, which takes longer than all else in
`load_model`. The nodes of usual models are plain values, arrays, and objects of dipkit: these are
built here, as skops builds them. `persistence.py` leaves all other trees to skops. Types, depth and
number of the objects are checked before, in `model_tree.py`.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from .model_archive import SCHEMA

__all__ = ["UnusualTree", "build"]

# The version of the tree, as skops counts. It is increased when nodes change their meaning.
_PROTOCOL = 2
_NAME_TYPES = {"builtins.str": str, "builtins.int": int, "builtins.float": float}

Node = Mapping[str, Any]


class UnusualTree(Exception):
    """The tree has a node of another kind, which skops may know."""


def build(data: bytes) -> Any:
    """Build the model of a file.

    Parameters
    ----------
    data : bytes
        Of a file whose types were found to be those of dipkit, or plain.

    Raises
    ------
    UnusualTree
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        tree = json.loads(archive.read(SCHEMA))
        if tree.get("protocol") != _PROTOCOL:
            raise UnusualTree(f"protocol {tree.get('protocol')}")
        return _Objects(archive).of(tree)


class _Objects:
    """Objects of one file; one that is named twice is built once."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._built: dict[int, Any] = {}
        self._makers: dict[tuple[str, str], Callable[[Node], Any]] = {
            ("JsonNode", "builtins.str"): lambda node: json.loads(node["content"]),
            ("NdArrayNode", "numpy.ndarray"): self._array,
            ("ListNode", "builtins.list"): lambda node: self._items(node),
            ("TupleNode", "builtins.tuple"): lambda node: tuple(self._items(node)),
            ("DictNode", "builtins.dict"): self._dict,
            ("ObjectNode", f"{Pipeline.__module__}.Pipeline"): lambda n: self._object(n, Pipeline),
        }

    def of(self, node: Node) -> Any:
        """Return the object of a node."""
        key = node.get("__id__")
        if key in self._built:
            return self._built[key]
        found = self._new(node)
        if key is not None:
            self._built[key] = found
        return found

    def _new(self, node: Node) -> Any:
        loader, module, name = (node[f"__{key}__"] for key in ("loader", "module", "class"))
        if loader == "TypeNode":
            return _type(f"{module}.{name}")
        if (loader, module) == ("ObjectNode", "dipkit"):
            return self._object(node, getattr(import_module("dipkit"), name))
        maker = self._makers.get((loader, f"{module}.{name}"))
        if maker is None:
            raise UnusualTree(f"{loader} of {module}.{name}")
        return maker(node)

    def _array(self, node: Node) -> Any:
        if node["type"] != "numpy":
            raise UnusualTree("an array of objects")
        return np.load(io.BytesIO(self._archive.read(node["file"])), allow_pickle=False)

    def _items(self, node: Node) -> list[Any]:
        return [self.of(item) for item in node["content"]]

    def _dict(self, node: Node) -> dict[Any, Any]:
        types = self.of(node["key_types"])
        pairs = zip(types, node["content"].items(), strict=False)
        return {make(key): self.of(value) for make, (key, value) in pairs}

    def _object(self, node: Node, kind: Any) -> Any:
        """Make an object without a call of its class, and set its state, as pickle does."""
        made, content = kind.__new__(kind), node.get("content")
        state = None if content is None else self.of(content)
        if state is None:
            return made
        if hasattr(made, "__setstate__"):
            made.__setstate__(state)
        else:
            made.__dict__.update(state)
        return made


def _type(name: str) -> type:
    if name not in _NAME_TYPES:
        raise UnusualTree(f"the type {name}")
    return _NAME_TYPES[name]
