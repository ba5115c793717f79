"""Predictions as ASE Atoms, under keys that are never read as labels.

The keys are in `dipkit.data.predicted_keys`. Atoms with labels are made in `ase_atoms.py`.
"""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from numpy.typing import ArrayLike, NDArray

from ...exceptions import InputError
from ...units import DEBYE_PER_E_ANGSTROM
from ..molecules import Molecules
from ..predicted_keys import (
    PREDICTED_ATOMIC_DIPOLES,
    PREDICTED_BY,
    PREDICTED_CHARGES,
    PREDICTED_DIPOLE,
    PREDICTED_MAGNITUDE,
    PREDICTED_STD,
)
from .ase_atoms import to_atoms

__all__ = ["predictions_to_atoms"]

FloatArray = NDArray[np.float64]


def predictions_to_atoms(
    molecules: Molecules,
    dipoles: ArrayLike,
    charges: ArrayLike,
    *,
    std: ArrayLike | None = None,
    atomic_dipoles: ArrayLike | None = None,
    predicted_by: str = "dipkit",
    ase_results: bool = False,
) -> list[Atoms]:
    """Turn predictions into ASE Atoms; reference labels are left out.

    Parameters
    ----------
    molecules : Molecules
    dipoles : array-like of shape (n_molecules, 3), debye
        Predicted dipole vectors.
    charges : array-like of shape (n_atoms,), e
        Predicted charges.
    std : array-like of shape (n_molecules,), debye, default=None
        Predicted standard deviations of the magnitudes.
    atomic_dipoles : array-like of shape (n_atoms, 3), debye, default=None
        Predicted dipoles of single atoms.
    predicted_by : str, default="dipkit"
        What made the predictions, kept as ``info["predicted_by"]``.
    ase_results : bool, default=False
        Whether get_dipole_moment() (e*angstrom) and get_charges() (e) of ASE return the
        predictions too. Programs other than dipkit cannot tell these from a calculation.

    Returns
    -------
    list of ase.Atoms
        ``info`` has ``predicted_dipole_debye`` (the magnitude), ``predicted_dipole_vector_debye``
        and ``predicted_std_debye``; ``arrays`` has ``predicted_charges`` and
        ``predicted_atomic_dipoles_debye``. Atoms whose prediction is NaN have none of them.

    Raises
    ------
    InputError
        If the shapes do not fit the molecules.
    """
    vectors, found = np.asarray(dipoles, np.float64), np.asarray(charges, np.float64)
    expected = (len(molecules), 3), (molecules.n_atoms,)
    if (vectors.shape, found.shape) != expected:
        raise InputError(
            f"dipoles, charges: expected shapes {expected[0]} and {expected[1]}, got "
            f"{vectors.shape} and {found.shape}."
        )
    frames = to_atoms(_without_labels(molecules))
    for index, frame in enumerate(frames):
        frame.info[PREDICTED_BY] = predicted_by
        if np.isnan(vectors[index]).any():
            continue
        own = molecules.atom_index(index)
        frame.info[PREDICTED_MAGNITUDE] = float(np.linalg.norm(vectors[index]))
        frame.info[PREDICTED_DIPOLE] = vectors[index].copy()
        if std is not None:
            frame.info[PREDICTED_STD] = float(np.asarray(std)[index])
        frame.new_array(PREDICTED_CHARGES, found[own])
        if atomic_dipoles is not None:
            frame.new_array(PREDICTED_ATOMIC_DIPOLES, np.asarray(atomic_dipoles)[own])
        if ase_results:
            frame.calc = SinglePointCalculator(
                frame, dipole=vectors[index] / DEBYE_PER_E_ANGSTROM, charges=found[own]
            )
    return frames


def _without_labels(molecules: Molecules) -> Molecules:
    return molecules.replace(
        features=None,
        dipole_magnitude=None,
        dipole_vector=None,
        charges=None,
        quadrupole=None,
        baseline_dipole=None,
        baseline_charges=None,
        descriptor_charges=None,
    )
