"""Model files with other content, resealed so that only the content can give them away."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

from dipkit.estimator.model_archive import list_members, seal
from dipkit.support.model_files import DESCRIPTION

Members = dict[str, bytes]


def members_of(path: Path) -> Members:
    """Content of each member."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewrite(path: Path, change: Callable[[Members], None], *, checked: bool = True) -> None:
    """Change the members of a model, as someone would who knows the format.

    `checked`: with new checksums and seal; else as a file of a version without them.
    """
    members = members_of(path)
    change(members)
    described = json.loads(members.pop(DESCRIPTION))
    described.pop("members", None)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    if checked:
        described["members"] = list_members(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(DESCRIPTION, json.dumps(described))
    if checked:
        seal(path)


def change_schema(path: Path, change: Callable[[dict], object], **options: bool) -> None:
    """Change the tree of objects of a model."""

    def apply(members: Members) -> None:
        tree = json.loads(members["schema.json"])
        members["schema.json"] = json.dumps(change(tree) or tree).encode()

    rewrite(path, apply, **options)


def steps_of(tree: dict) -> list[dict]:
    """Trees of the attributes of each step of a pipeline."""
    steps = tree["content"]["content"]["steps"]["content"]
    return [step["content"][1]["content"]["content"] for step in steps]


def constant(value: object) -> dict:
    """Tree of a plain value."""
    return {
        "__class__": "str",
        "__module__": "builtins",
        "__loader__": "JsonNode",
        "content": json.dumps(value),
        "is_json": True,
    }


def node(loader: str, name: str, content: object = None) -> dict:
    """Tree of an object of a class, by a loader of skops."""
    module, _, attribute = name.rpartition(".")
    return {
        "__class__": attribute,
        "__module__": module,
        "__loader__": loader,
        "content": content,
    }
