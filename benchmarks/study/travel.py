"""Take the study to another machine, and its results back.

A machine with a GPU need not have RDKit, tblite and the network: cheap labels are calculated
before, and travel as one file (`pack`). What was done there comes back as one file too (`collect`),
and is put beside the results that there are (`merge`).
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from .material import Material
from .runner import Unit, function_of

# Folders of results in the cache (`store.py`); claims stay where they are.
RESULTS = ("results", "arrays")


def pack(file: Path, units: Iterable[Unit], material: Material) -> int:
    """Calculate the cheap labels of some units where they lack, and write them into one file.

    Numbers are rounded to single precision, far below the error of any cheap method.

    Parameters
    ----------
    file : path
        A tar archive with the folder ``calculated`` of the cache, and geometries kept there.
    units : iterable of Unit
    material : Material

    Returns
    -------
    int
        Files within.
    """
    for unit in units:
        function_of(unit, "prepare")(material, unit.config)
    geometries = [path for path in (material.cache / "large.npz",) if path.exists()]
    with tarfile.open(file, "w") as archive:
        for path in sorted(material.used):
            _add(archive, path.relative_to(material.cache), _in_single(path))
        for path in geometries:
            _add(archive, path.relative_to(material.cache), path.read_bytes())
    return len(material.used) + len(geometries)


def _in_single(path: Path) -> bytes:
    text = io.BytesIO()
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    smaller = {
        name: array.astype(np.float32) if array.dtype == np.float64 else array
        for name, array in arrays.items()
    }
    np.savez_compressed(text, **smaller)  # type: ignore[arg-type]
    return text.getvalue()


def _add(archive: tarfile.TarFile, name: Path, content: bytes) -> None:
    member = tarfile.TarInfo(name.as_posix())
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def collect(file: Path, cache: Path) -> int:
    """Write all results of a cache into one file; return how many files are within."""
    found = [
        path for name in RESULTS for path in sorted((cache / name).glob("*")) if path.is_file()
    ]
    with tarfile.open(file, "w") as archive:
        for path in found:
            archive.add(path, path.relative_to(cache).as_posix())
    return len(found)


def merge(file: Path, cache: Path) -> int:
    """Put a file of `pack` or `collect` into a cache; what is there stays; return what is new.

    Files of results have names of their own on each machine and start, and files of one name have
    one content, so that nothing is lost.
    """
    n_new = 0
    with tarfile.open(file) as archive:
        for member in archive.getmembers():
            if member.isfile() and not (cache / member.name).exists():
                archive.extract(member, cache, filter="data")
                n_new += 1
    return n_new
