"""Models on disk, without pickle: a zip that skops writes, with a description by dipkit.

The member ``dipkit.json`` holds the format's name and version, the versions of the libraries, the
parameters, the units and a summary of the labels. The rest is skops: arrays as npy, objects as
JSON. Loading builds only the types listed in `TRUSTED` and those that skops itself trusts
(scikit-learn's, NumPy's and Python's plain ones), and imports nothing else. No other module imports
skops. Files of format 1 are converted in `format1.py`.
"""

from __future__ import annotations

import copy
import io
import json
import platform
import zipfile
import zlib
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from ..exceptions import FileFormatError, InputError
from ..support.files import PathLike, atomic_write, existing_file
from ..support.json_values import plain
from ..support.nested_parameters import named_parameters
from .format1 import with_new_paths

__all__ = ["FORMAT_VERSION", "TRUSTED", "load_model", "read_metadata", "save_model"]

FORMAT = "dipkit-model"
# Increased when older versions of dipkit would misread files of this version.
FORMAT_VERSION = 2
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

_MEMBER = "dipkit.json"
_SCHEMA = "schema.json"
_LIBRARIES = ("numpy", "scipy", "scikit-learn", "ase", "dscribe", "skops")
# Fitted attributes that describe how the fit ended.
_FIT = ("status", "converged", "n_iter", "objective", "alpha", "charge_weight", "baseline_factor")


def save_model(model: Any, path: PathLike, *, trusted: Iterable[str] = ()) -> None:
    """Write a fitted pipeline or estimator to a file; `load_model` gives it back.

    Parameters
    ----------
    model : estimator
        Usually the whole pipeline, from geometries to magnitudes.
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
    import skops.io

    described = _describe(model)
    with atomic_write(path) as temporary:
        try:
            skops.io.dump(_without_caches(model), temporary, compression=zipfile.ZIP_DEFLATED)
        except skops.io.exceptions.UnsupportedTypeException as error:
            raise InputError(f"model: cannot be saved without pickle: {error}") from error
        _refuse_unknown("model", Path(temporary).read_bytes(), trusted, "cannot be saved")
        with zipfile.ZipFile(temporary, "a", compression=zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(_MEMBER, json.dumps(described, indent=2, allow_nan=False))


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
        It predicts the same bits as the one that was saved, given the same libraries.

    Raises
    ------
    FileFormatError
        If the file is cut, damaged, not a dipkit model, newer than this dipkit, or holds a type
        that is not trusted.
    InputError
        If there is no such file.
    """
    import skops.io

    version = read_metadata(path)["format_version"]
    trusted = tuple(trusted)
    try:
        data = Path(path).read_bytes() if version > 1 else _from_format1(Path(path))
        _refuse_unknown(str(path), data, trusted, "not loaded")
        return skops.io.loads(data, trusted=[*TRUSTED, *trusted])
    except FileFormatError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, TypeError) as error:
        raise _damaged(path, error) from error
    except (KeyError, AttributeError, ImportError, IndexError) as error:
        raise _damaged(path, error) from error


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
    file = existing_file(path)
    try:
        with zipfile.ZipFile(file) as archive:
            described = json.loads(archive.read(_MEMBER))
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, KeyError) as error:
        raise FileFormatError(
            f"{path}: not a dipkit model, or cut or damaged ({error}). Expected a file that "
            "`dipkit fit` or save_model wrote; copy the file again or fit again."
        ) from error
    _check_format(path, described)
    return described


def is_model(path: PathLike) -> bool:
    """Whether the content of a file is that of a dipkit model, of any version."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _MEMBER in archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return False


def _check_format(path: PathLike, described: Any) -> None:
    version = described.get("format_version") if isinstance(described, dict) else None
    if type(version) is not int or described.get("format") != FORMAT:
        raise FileFormatError(
            f"{path}: {_MEMBER} inside does not describe a dipkit model. Expected a file that "
            "`dipkit fit` or save_model wrote."
        )
    if version > FORMAT_VERSION:
        raise FileFormatError(
            f"{path}: written in format {version} by dipkit "
            f"{described.get('dipkit_version', 'of unknown version')}; this dipkit reads up to "
            f"format {FORMAT_VERSION}. Update dipkit: pip install --upgrade dipkit"
        )


def _from_format1(path: Path) -> bytes:
    """Return the bytes of a file of format 1 with its classes under their new paths."""
    changed = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == _SCHEMA:
                content = json.dumps(with_new_paths(json.loads(content))).encode()
            new.writestr(name, content)
    return changed.getvalue()


def _refuse_unknown(name: str, data: bytes, trusted: Iterable[str], outcome: str) -> None:
    import skops.io

    unknown = sorted(set(skops.io.get_untrusted_types(data=data)) - {*TRUSTED, *trusted})
    if unknown:
        error = InputError if name == "model" else FileFormatError
        raise error(
            f"{name}: {outcome}: it holds {', '.join(unknown)}, which dipkit does not trust. If "
            f"you know these types, name them: trusted={unknown}"
        )


def _damaged(path: PathLike, error: Exception) -> FileFormatError:
    return FileFormatError(
        f"{path}: the model cannot be read: {type(error).__name__}: {error}. The file is damaged, "
        "or was written with libraries that differ too much (`dipkit info` shows their versions)."
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


def _without_caches(model: Any) -> Any:
    """Return a copy without folders of caches: a loaded model must not read files in them."""
    if isinstance(model, Pipeline):
        other = copy.copy(model)
        other.steps = [(name, _without_caches(step)) for name, step in model.steps]
        return other
    if not isinstance(model, BaseEstimator):
        return model
    other = copy.copy(model)
    for name, value in model.get_params(deep=False).items():
        if name in getattr(model, "_not_saved", ()):
            setattr(other, name, None)
        elif isinstance(value, BaseEstimator):
            setattr(other, name, _without_caches(value))
    return other


def _versions() -> dict[str, str]:
    return {name: metadata.version(name) for name in _LIBRARIES}
