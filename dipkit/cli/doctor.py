"""Steps of `dipkit doctor`: what is installed here, and whether a small fit works.

Which packages an extra has is read from the installed distribution of dipkit, so that the list is
written in one place, `pyproject.toml`.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Iterable
from importlib import metadata

import numpy as np
from packaging.requirements import Requirement

from .. import __version__
from ..data.datasets import load_organics
from ..estimator.persistence import load_model, save_model
from ..estimator.pipeline import default_model, predict_all
from ..exceptions import DeviceError
from ..support.backend import get_backend
from ..support.blas_threads import count_threads, threads_of_libraries
from ..support.files import scratch_folder
from ..support.system_memory import host_memory

__all__ = ["examine", "test_bundled"]

N_TRAIN, N_TEST, N_INDUCING = 60, 20, 150
# Share of the error of the mean magnitude that a working model stays below; it is about 0.4.
GOOD_SHARE = 0.7
# Variables that decide numbers of threads.
_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def examine() -> dict[str, object]:
    """Return versions, devices, threads, memory and extras of this installation."""
    requirements = _requirements()
    core = [one for one in requirements if one.marker is None]
    return {
        "dipkit": f"{__version__} in {os.path.dirname(os.path.dirname(__file__))}",
        "python": f"{platform.python_version()} in {sys.executable}",
        "system": platform.platform(),
        "packages": {one.name: _state(one) for one in core}
        or "unknown: dipkit runs from its source. Install it: pip install .",
        "devices": {"cpu": f"{os.cpu_count()} cores", "cuda": _cuda()},
        "threads": _threads(),
        "memory": f"{host_memory() / 1e9:.1f} GB free",
        "extras": _extras(requirements),
    }


def test_bundled() -> tuple[str, bool]:
    """Fit, save, load and predict bundled molecules.

    Returns
    -------
    outcome : str
    failed : bool
    """
    start = time.perf_counter()
    try:
        said, failed = _fit_and_predict()
    except Exception as error:  # whatever is wrong with an installation
        said, failed = f"failed: {type(error).__name__}: {error}", True
    return f"{said} ({time.perf_counter() - start:.1f} s)", failed


def _fit_and_predict() -> tuple[str, bool]:
    molecules = load_organics()
    rows = np.random.default_rng(0).permutation(len(molecules))[: N_TRAIN + N_TEST]
    train, test = molecules[rows[:N_TRAIN]], molecules[rows[N_TRAIN:]]
    model = default_model(basis__n_inducing=N_INDUCING, random_state=0).fit(train)
    found = predict_all(model, test)
    with scratch_folder() as folder:
        save_model(model, folder / "model.dipkit")
        again = load_model(folder / "model.dipkit").predict(test)
    if not np.array_equal(again, found.magnitude):
        return "failed: a saved model predicts other values", True
    errors = np.abs(found.magnitude - test.dipole_magnitude)
    of_mean = np.abs(train.dipole_magnitude.mean() - test.dipole_magnitude)
    said = (
        f"fitted {N_TRAIN} molecules; mean absolute error of {N_TEST} others "
        f"{errors.mean():.2f} D, of the mean magnitude {of_mean.mean():.2f} D"
    )
    failed = not errors.mean() < GOOD_SHARE * of_mean.mean()
    return ("failed: " if failed else "passed: ") + said, failed


def _requirements() -> list[Requirement]:
    try:
        return [Requirement(text) for text in metadata.requires("dipkit") or ()]
    except metadata.PackageNotFoundError:
        return []


def _extras(requirements: Iterable[Requirement]) -> dict[str, str]:
    """Say of each extra what is there, or the command that installs it."""
    found: dict[str, list[Requirement]] = {}
    for one in requirements:
        if one.marker is not None:
            for extra in metadata.metadata("dipkit").get_all("Provides-Extra") or ():
                if one.marker.evaluate({"extra": extra}):
                    found.setdefault(extra, []).append(one)
    names = {extra: {one.name for one in needed} for extra, needed in found.items()}
    # Extras that contain others are for the development of dipkit.
    return {
        extra: _extra(extra, needed)
        for extra, needed in found.items()
        if not any(names[extra] > other for other in names.values())
    }


def _extra(extra: str, needed: Iterable[Requirement]) -> str:
    states = [f"{one.name} {_state(one)}" for one in needed]
    if all(_is_installed(one) for one in needed):
        return ", ".join(states)
    return f'{", ".join(states)}. Install: pip install "dipkit[{extra}]"'


def _is_installed(one: Requirement) -> bool:
    try:
        return one.specifier.contains(metadata.version(one.name), prereleases=True)
    except metadata.PackageNotFoundError:
        return False


def _state(one: Requirement) -> str:
    try:
        version = metadata.version(one.name)
    except metadata.PackageNotFoundError:
        return "not installed"
    return version if _is_installed(one) else f"{version}, but {one.specifier} is needed"


def _cuda() -> str:
    try:
        backend = get_backend("cuda")
    except DeviceError as error:
        return str(error)
    return f"{backend.device_name}, {backend.free_memory() / 1e9:.1f} GB free"


def _threads() -> dict[str, str]:
    return (
        {"used": str(count_threads())}
        | threads_of_libraries()
        | {name: os.environ[name] for name in _VARIABLES if name in os.environ}
    )
