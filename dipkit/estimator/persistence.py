"""Models on disk, without pickle: a zip that skops writes, with a description by dipkit.

The member ``dipkit.json`` holds the format's name and version, the versions of the libraries, the
parameters, the units, a summary of the labels, and the checksums of the other members. The rest is
skops: arrays as npy, objects as JSON. Loading builds only the types listed in `TRUSTED`, the
`Pipeline` of scikit-learn, arrays and Python's plain types, and imports nothing else. No other
module imports skops, and only trees of unusual objects need it for loading (`model_objects.py`).
The checks of a file are in `model_archive.py` and `model_tree.py`, what a file may set is in
`model_state.py`; files of format 1 are converted in `format1.py`.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import platform
import zipfile
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from ..exceptions import FileFormatError, InputError
from ..support.files import PathLike, atomic_write, existing_file
from ..support.imports import without_modules
from ..support.json_values import plain
from ..support.model_files import DESCRIPTION
from ..support.nested_parameters import named_parameters
from .chosen_model import chosen_model
from .format1 import with_new_paths
from .model_archive import (
    SCHEMA,
    UNREADABLE,
    check_archive,
    list_members,
    read_description,
    refusing,
    seal,
    too_dense,
)
from .model_objects import UnusualTree, build
from .model_state import check_loaded, without_machine
from .model_tree import types_in

__all__ = [
    "FORMAT_VERSION",
    "TRUSTED",
    "import_writer",
    "load_model",
    "read_metadata",
    "save_model",
]

_LOG = logging.getLogger(__name__)

FORMAT = "dipkit-model"
# Increased when older versions of dipkit would misread files of this version.
FORMAT_VERSION = 3
UNITS = {"length": "angstrom", "charge": "e", "dipole": "debye"}

# Types of dipkit that a model may hold; no other type of dipkit is built. The paths are those of
# the public names, so that files can be read after code has moved.
TRUSTED = tuple(
    f"dipkit.{name}"
    for name in (
        "AbsoluteLoss",
        "AuxiliaryDipoles",
        "ChargeStart",
        "DipoleKernelRidge",
        "GFN2Baseline",
        "GaussianKernel",
        "GivenBaseline",
        "HuberLoss",
        "InducingBasis",
        "PowerKernel",
        "RandomStart",
        "Reweighted",
        "SOAPScale",
        "SOAPTransformer",
        "SquaredLoss",
        "ZeroStart",
    )
)

_LIBRARIES = ("numpy", "scipy", "scikit-learn", "ase", "dscribe", "skops")
_ARRAY_LIBRARIES = ("cupy", "dask", "torch")
_OTHER_LIBRARIES = (
    "The file is damaged, or was written with libraries that differ too much (`dipkit info` shows "
    "their versions)."
)
# Fitted attributes that describe how the fit ended.
_FIT = ("status", "converged", "n_iter", "objective", "alpha", "charge_weight", "baseline_factor")


def save_model(model: Any, path: PathLike, *, trusted: Iterable[str] = ()) -> None:
    """Write a fitted pipeline or estimator to a file; `load_model` gives it back.

    Parameters
    ----------
    model : estimator
        Usually the whole pipeline, from geometries to magnitudes. Its parameters of the machine
        (`memory`, `n_jobs`, `device`, `verbose`) are not written. Of a search object, such as
        `DipoleSearchCV` or `GridSearchCV`, the `best_estimator_` alone is written, and the log says
        so.
    path : str or path
        The file appears only when it is complete.
    trusted : iterable of str, default=()
        Full names of your own types that the model holds (a kernel, say); the same names are
        needed to load it.

    Raises
    ------
    InputError
        If the model is not fitted, holds a type that could not be loaded again, or the file
        cannot be written.
    """
    chosen = chosen_model(model)
    if chosen is not model:
        _LOG.warning(
            "%s: the best_estimator_ of the search is saved, not the search with its results", path
        )
    model = without_machine(chosen)
    described = _describe(model)
    with atomic_write(path) as temporary:
        _dump(model, temporary, zipfile.ZIP_DEFLATED)
        if too_dense(temporary):  # as a file that is made to fill the memory
            _dump(model, temporary, zipfile.ZIP_STORED)
        _refuse_unknown("model", types_in(temporary), trusted, "cannot be saved")
        described["members"] = list_members(temporary)
        with zipfile.ZipFile(temporary, "a", compression=zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(DESCRIPTION, json.dumps(described, indent=2, allow_nan=False))
        seal(temporary)


def load_model(path: PathLike, *, trusted: Iterable[str] = ()) -> Any:
    """Read a model that `save_model` wrote.

    Parameters
    ----------
    path : str or path
    trusted : iterable of str, default=()
        Full names of types that may be built beside those of dipkit. Name only what you know:
        building a type can run its code.

    Returns
    -------
    estimator
        Its predictions are those of the saved model, to the last bit with the same libraries.
        Parameters of the machine (`memory`, `n_jobs`, `device`, `verbose`) have their defaults: a
        file does not set them.

    Raises
    ------
    FileFormatError
        If the file is cut, damaged, not a dipkit model, newer than this dipkit, or holds a type
        that is not trusted.
    InputError
        If there is no such file.
    """
    file, trusted = existing_file(path), tuple(trusted)
    described = _checked_description(file)
    check_archive(file, described)
    old = described["format_version"] == 1
    with refusing(file, UNREADABLE, _OTHER_LIBRARIES):
        data = _from_format1(file) if old else file.read_bytes()
    types = types_in(io.BytesIO(data), file)
    _refuse_unknown(str(path), types, trusted, "not loaded")
    with refusing(file, UNREADABLE, _OTHER_LIBRARIES):
        model = _build(data, types, trusted)
        check_loaded(model)
        return without_machine(model)


def read_metadata(path: PathLike) -> dict[str, Any]:
    """Read the description in a model file, without loading the model.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    dict
        ``format_version``, ``dipkit_version``, ``libraries``, ``created``, ``steps``,
        ``parameters``, ``units``, ``labels``, ``fit``.

    Raises
    ------
    FileFormatError
        If the file is not a dipkit model or was written by a newer format.
    """
    described = _checked_description(existing_file(path))
    described.pop("members", None)
    return described


def _checked_description(path: Path) -> dict[str, Any]:
    described = read_description(path)
    version = described.get("format_version") if isinstance(described, dict) else None
    if type(version) is not int or described.get("format") != FORMAT:
        raise FileFormatError(
            f"{path}: {DESCRIPTION} inside does not describe a dipkit model. Expected a file that "
            "`dipkit fit` or save_model wrote."
        )
    if version > FORMAT_VERSION:
        raise FileFormatError(
            f"{path}: written in format {version} by dipkit "
            f"{described.get('dipkit_version', 'of unknown version')}; this dipkit reads up to "
            f"format {FORMAT_VERSION}. Update dipkit: pip install --upgrade dipkit"
        )
    return dict(described)


def _from_format1(path: Path) -> bytes:
    """Return the bytes of a file of format 1 with its classes under their new paths."""
    changed = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == SCHEMA:
                content = json.dumps(with_new_paths(json.loads(content))).encode()
            new.writestr(name, content)
    return changed.getvalue()


def _build(data: bytes, types: set[str], trusted: Iterable[str]) -> Any:
    """Build the model of a file whose types are trusted, without skops where that is possible."""
    if types <= {*TRUSTED}:
        with contextlib.suppress(UnusualTree):
            return build(data)
    return _skops_io().loads(data, trusted=[*TRUSTED, *trusted])


def import_writer() -> None:
    """Import what `save_model` needs, so that it takes less time later."""
    import skops.io  # noqa: F401


def _dump(model: Any, path: Path, compression: int) -> None:
    skops_io = _skops_io()
    try:
        skops_io.dump(model, path, compression=compression)
    except skops_io.exceptions.UnsupportedTypeException as error:
        raise InputError(f"model: cannot be saved without pickle: {error}") from error


def _skops_io() -> Any:
    """Import skops without the libraries that it would load for nothing.

    skops looks for estimators in all packages of scikit-learn, also in those that load another
    library of arrays, where that is installed, and that hold no estimators.
    """
    with without_modules(f"sklearn.externals.array_api_compat.{name}" for name in _ARRAY_LIBRARIES):
        import skops.io
    return skops.io


def _refuse_unknown(name: str, types: set[str], trusted: Iterable[str], outcome: str) -> None:
    unknown = sorted(types - {*TRUSTED, *trusted})
    if unknown:
        error = InputError if name == "model" else FileFormatError
        raise error(
            f"{name}: {outcome}: it holds {', '.join(unknown)[:300]}, which dipkit does not trust. "
            f"If you know these types, name them: trusted={str(unknown)[:300]}"
        )


def _describe(model: Any) -> dict[str, Any]:
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    from .. import __version__

    steps = [step for _, step in getattr(model, "steps", [("", model)])]
    try:
        check_is_fitted(steps[-1])
    except (NotFittedError, TypeError) as error:
        raise InputError(f"model: expected a fitted estimator: {error}") from error
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "dipkit_version": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "libraries": {"python": platform.python_version()} | _versions(),
        "steps": [type(step).__name__ for step in steps],
        "parameters": {type(step).__name__: plain(named_parameters(step)) for step in steps},
        "units": UNITS,
        "labels": plain(getattr(steps[-1], "label_summary_", {})),
        "fit": plain({key: getattr(steps[-1], f"{key}_", None) for key in _FIT}),
    }


def _versions() -> dict[str, str]:
    return {name: metadata.version(name) for name in _LIBRARIES}
