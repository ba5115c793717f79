"""Models of file format 1: flat parameters, and classes under the paths that they had then.

Format 2 groups the parameters of `DipoleKernelRidge`, and names every class ``dipkit.NAME``. Files
of format 1 are converted on loading. Nothing here reads or writes a file (`persistence.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..learning.losses import AbsoluteLoss, HuberLoss, Loss, SquaredLoss
from .baseline import Baseline, GFN2Baseline, GivenBaseline
from .parameters import ChargeStart, InducingBasis, RandomStart, Reweighted, Start, ZeroStart

# Classes that format 1 names, by the path it has for them.
CLASSES = {
    ("dipkit.kernels", "GaussianKernel"),
    ("dipkit.kernels", "PowerKernel"),
    ("dipkit.regression", "DipoleKernelRidge"),
    ("dipkit.scales", "SOAPScale"),
    ("dipkit.soap", "SOAPScale"),
    ("dipkit.soap", "SOAPTransformer"),
}
_RENAMED = {"baseline_scale_": "baseline_factor_"}
# Flat parameters and their defaults in format 1, group by group.
_BASIS: dict[str, Any] = {
    "kernel": None,
    "n_inducing": None,
    "eigenvalue_cut": 1e-8,
    "precision": "auto",
    "atomic_dipoles": 0.0,
    "bond_charges": 0.0,
}
_SOLVER: dict[str, Any] = {
    "max_iter": 500,
    "tol": 1e-6,
    "acceleration": 8,
    "annealing": (1e5, 1e4, 1000.0, 100.0, 10.0),
}
_OTHERS: dict[str, Any] = {
    "loss": "squared",
    "huber_threshold": 0.2,
    "init": "auto",
    "prior": "start",
    "n_restarts": 1,
    "baseline": None,
    "direction_weight": "auto",
    "baseline_memory": None,
}


def with_new_paths(schema: Any) -> Any:
    """Return the JSON of a skops file with the classes of format 1 under their new paths."""
    if isinstance(schema, list):
        return [with_new_paths(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    known = (schema.get("__module__"), schema.get("__class__")) in CLASSES
    changed = {name: with_new_paths(part) for name, part in schema.items()}
    return changed | {"__module__": "dipkit"} if known else changed


def is_flat(state: Mapping[str, Any]) -> bool:
    """Whether this state of a `DipoleKernelRidge` has the flat parameters of format 1."""
    return "huber_threshold" in state or "eigenvalue_cut" in state


def nested_state(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state of a `DipoleKernelRidge` with its flat parameters in groups."""
    flat = _BASIS | _SOLVER | _OTHERS
    given = flat | {name: state[name] for name in flat if name in state}
    rest = {_RENAMED.get(name, name): value for name, value in state.items() if name not in flat}
    solver = {name: given[name] for name in _SOLVER}
    solver["memory"] = solver.pop("acceleration")
    return rest | {
        "basis": InducingBasis(**{name: given[name] for name in _BASIS}),
        "solver": Reweighted(**solver),
        "loss": _loss(given["loss"], given["huber_threshold"]),
        "start": _start(given),
        "baseline": _baseline(given),
        "auxiliary": None,
    }


def _loss(name: str, threshold: float) -> Loss:
    if name == "huber":
        return HuberLoss(threshold)
    return AbsoluteLoss() if name == "absolute" else SquaredLoss()


def _start(given: Mapping[str, Any]) -> Start:
    if given["init"] == "random":
        return RandomStart(given["n_restarts"])
    if given["init"] == "zero":
        return ZeroStart()
    return ChargeStart(given["init"], prior=given["prior"] == "start")


def _baseline(given: Mapping[str, Any]) -> Baseline | None:
    """Baseline of format 1, without its cache: a model must not choose which files are read."""
    if given["baseline"] in (None, "none"):
        return None
    weight = given["direction_weight"]
    if given["baseline"] == "gfn2":
        return GFN2Baseline(weight, second_method=None)
    return GivenBaseline(weight)
