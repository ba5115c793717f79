"""Derivatives of predicted charges and dipoles by the positions of the atoms.

Symbols: a molecule of n atoms; power spectra p_i (n, d_s) at scale s and x_i = p_i / |p_i|, charges
in e, dipoles in debye. Equations (15) and (16) of the theory page; derivatives of p are dscribe's
(`soap.py`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from ._backend import NUMPY
from ._dscribe import spectrum_derivatives
from ._elements import atomic_masses
from .design import project
from .exceptions import InputError
from .io import as_molecules
from .molecules import Molecules
from .regression import DipoleKernelRidge
from .soap import SOAPTransformer
from .units import DEBYE_PER_E_ANGSTROM

FloatArray = NDArray[np.float64]


def dipole_derivatives(model: Any, X: Any) -> FloatArray:
    """Derive predicted dipole vectors by the positions of the atoms.

    Parameters
    ----------
    model : Pipeline
        A `SOAPTransformer` and a fitted `DipoleKernelRidge`.
    X : Molecules, list of ase.Atoms, ase.Atoms or path
        What `as_molecules` takes; labels are not read.

    Returns
    -------
    ndarray of shape (n_atoms, 3, 3), debye / angstrom
        Element ``[j, b, c]`` is that of component c of the dipole of atom j's molecule by
        coordinate b of atom j; atoms of all molecules concatenated.

    Raises
    ------
    InputError
        If the model is of another kind, or its kernel has no derivative.

    Examples
    --------
    >>> from dipkit import default_model
    >>> from dipkit.datasets import load_organics
    >>> from dipkit.derivatives import dipole_derivatives
    >>> molecules = load_organics()[:30]
    >>> model = default_model(n_inducing=100).fit(molecules)
    >>> dipole_derivatives(model, molecules[:1]).shape == (molecules[:1].n_atoms, 3, 3)
    True
    """
    soap, ridge = _steps(model)
    molecules = as_molecules(X, labels=False).replace(features=None)
    charges = ridge.predict_charges(soap.transform(molecules))
    parts = [
        _of_dipole(charges[molecules.atom_index(index)], _of_charges(soap, ridge, one), one)
        for index, one in enumerate(molecules)
    ]
    return np.concatenate(parts)


def charge_derivatives(model: Any, X: Any) -> list[FloatArray]:
    """Derive predicted charges by the positions of the atoms.

    Parameters
    ----------
    model : Pipeline
        As in `dipole_derivatives`.
    X : Molecules, list of ase.Atoms, ase.Atoms or path

    Returns
    -------
    list of ndarray of shape (n, n, 3), e / angstrom
        One for each molecule of n atoms: ``[i, j, b]`` is that of the charge of atom i by
        coordinate b of atom j. They sum to zero over i, since the total charge is kept.
    """
    soap, ridge = _steps(model)
    molecules = as_molecules(X, labels=False).replace(features=None)
    return [_of_charges(soap, ridge, one) for one in molecules]


def _steps(model: Any) -> tuple[SOAPTransformer, DipoleKernelRidge]:
    steps = [step for _, step in model.steps] if isinstance(model, Pipeline) else [model]
    soap, ridge = steps[0], steps[-1]
    if len(steps) != 2 or not (
        isinstance(soap, SOAPTransformer) and isinstance(ridge, DipoleKernelRidge)
    ):
        raise InputError(
            "model: expected a pipeline of a SOAPTransformer and a DipoleKernelRidge, got "
            f"{' and '.join(type(step).__name__ for step in steps)}."
        )
    if ridge.baseline not in (None, "none"):
        raise InputError(
            f"model: its baseline, {ridge.baseline!r}, would have to be derived as well. Take "
            "differences of predictions, or a model without a baseline."
        )
    return soap, ridge


def _of_charges(soap: SOAPTransformer, ridge: DipoleKernelRidge, one: Molecules) -> FloatArray:
    """Derive the charges of one molecule by its positions (n, n, 3), e / angstrom (15)."""
    raw = np.zeros((one.n_atoms, one.n_atoms, 3))
    keys, species = [scale.key() for scale in soap.scales_], tuple(soap.species_.tolist())
    weights = ridge.scale_weights_ / ridge.scale_weights_.sum()
    for key, weight, inducing in zip(keys, weights, ridge.inducing_features_, strict=True):
        spectrum, moved = spectrum_derivatives(one.numbers, one.positions, species, key)
        length = np.linalg.norm(spectrum, axis=1, keepdims=True)
        x = spectrum / length
        pull = weight * _pull(ridge, one, x, inducing.astype(np.float64))
        pull -= x * np.einsum("id,id->i", x, pull)[:, None]
        raw += np.einsum("ijbd,id->ijb", moved, pull / length)
    return project(raw.reshape(one.n_atoms, -1), one).reshape(raw.shape)


def _pull(
    ridge: DipoleKernelRidge, one: Molecules, x: FloatArray, inducing: FloatArray
) -> FloatArray:
    """Derive the raw charges by descriptors of unit length: g_i of (15), without a_s (n, d)."""
    pull = np.empty_like(x)
    for number in one.elements:
        atoms, mine = one.numbers == number, ridge.inducing_numbers_ == number
        slope = ridge.kernel_.derivative(x[atoms] @ inducing[mine].T, NUMPY)
        pull[atoms] = (slope * ridge.dual_coef_[mine]) @ inducing[mine]
    return pull


def _of_dipole(charges: FloatArray, moved: FloatArray, one: Molecules) -> FloatArray:
    """Derive the dipole of one molecule by its positions (n, 3, 3), debye / angstrom (16).

    The charges move along, and with them the centre of mass where they do not sum to zero.
    """
    arms = one.positions - one.centers_of_mass()
    mass = atomic_masses()[one.numbers]
    carried = charges - one.total_charge[0] * mass / mass.sum()
    found = np.einsum("ijb,ic->jbc", moved, arms) + carried[:, None, None] * np.eye(3)
    derivatives: FloatArray = DEBYE_PER_E_ANGSTROM * found
    return derivatives
