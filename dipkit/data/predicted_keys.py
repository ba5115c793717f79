"""Keys of predictions in files of molecules. They differ from all keys of labels.

A file of predictions names what made them under `PREDICTED_BY`. Labels are read under the keys of
`label_keys.py`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from ase import Atoms

__all__ = [
    "CALCULATOR_NAME",
    "PREDICTED_ATOMIC_DIPOLES",
    "PREDICTED_BY",
    "PREDICTED_CHARGES",
    "PREDICTED_DIPOLE",
    "PREDICTED_MAGNITUDE",
    "PREDICTED_STD",
    "has_predicted",
    "holds_predicted_results",
    "prediction_hint",
    "warn_named",
    "warn_predictions",
]

# All keys and columns of predictions begin so.
PREFIX = "predicted_"
# What made the predictions: the model's name, and the version of dipkit.
PREDICTED_BY = "predicted_by"
# Length and vector of the dipole, and standard deviation of the length, debye.
PREDICTED_MAGNITUDE = "predicted_dipole_debye"
PREDICTED_DIPOLE = "predicted_dipole_vector_debye"
PREDICTED_STD = "predicted_std_debye"
# Charges of the atoms, e, and dipoles of single atoms, debye.
PREDICTED_CHARGES = "predicted_charges"
PREDICTED_ATOMIC_DIPOLES = "predicted_atomic_dipoles_debye"
# Under this name ASE keeps results of `DipkitCalculator`, in trajectories too.
CALCULATOR_NAME = "dipkitcalculator"


def holds_predicted_results(atoms: Atoms) -> bool:
    """Whether ASE's results of these atoms are predictions of dipkit, and no labels."""
    return PREDICTED_BY in atoms.info or getattr(atoms.calc, "name", None) == CALCULATOR_NAME


def has_predicted(columns: Iterable[str]) -> bool:
    """Whether a table has a column of predictions."""
    return any(name.startswith(PREFIX) for name in columns)


def prediction_hint(source_keys: Iterable[str]) -> str:
    """Return a sentence for messages where molecules were read from predictions, else nothing."""
    if PREDICTED_BY not in source_keys:
        return ""
    return (
        f"The key {PREDICTED_BY!r} says that these are predictions of a model; predictions are not "
        "read as labels."
    )


def warn_named(argument: str, key: str) -> None:
    """Warn where the user names a key of predictions as that of labels."""
    named = [word for word in key.split(",") if word.strip().startswith(PREFIX)]
    if named:
        warnings.warn(
            f"{argument}={key!r}: these are predictions of a model. A fit to them learns the "
            "errors of that model; name the key of reference data.",
            stacklevel=3,
        )


def warn_predictions(source_keys: Iterable[str]) -> None:
    """Warn where a fit reads its labels from a file of predictions."""
    hint = prediction_hint(source_keys)
    if hint:
        warnings.warn(
            f"labels: {hint} Labels under other keys are used. Fit to reference data, or remove "
            "the key if the labels are not predicted.",
            stacklevel=3,
        )
