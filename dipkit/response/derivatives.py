"""Derivatives of predicted charges and dipoles with respect to the positions of the atoms.

Symbols: a molecule of n atoms with K kernel expansions (raw charges, bond charges, amplitudes of
atomic dipoles), charges in e, dipoles in debye. Equations (15) and (16) of the theory page, (17)
with a baseline of factor b, dipole mu0 and charges q0, (23) for atomic dipoles, (25) for the
compensation. Derivatives of the expansions are in `expansions.py`, those of a baseline are central
differences of its calculation (`quantum/finite_differences.py`).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from ..data.elements import atomic_masses
from ..data.io import as_molecules
from ..data.molecules import Molecules
from ..descriptors.charge_columns import with_charge_columns
from ..descriptors.requirements import require_described, require_known
from ..descriptors.soap import SOAPTransformer
from ..estimator.baseline import (
    BaselineDerivatives,
    baseline_of_fitted,
    make_baseline,
    require_following,
)
from ..estimator.fitted_parts import compensations, has_atomic_dipoles
from ..estimator.regression import DipoleKernelRidge
from ..exceptions import InputError
from ..learning.atomic_dipoles import neighbour_vectors, summed_derivatives
from ..learning.charge_maps import even_charges
from ..support.files import PathLike
from ..units import DEBYE_PER_E_ANGSTROM
from .expansions import differentiate_expansions

FloatArray = NDArray[np.float64]
Geometries: TypeAlias = Molecules | Sequence[Atoms] | Atoms | PathLike


def dipole_derivatives(model: Pipeline, X: Geometries) -> FloatArray:
    """Differentiate predicted dipole vectors with respect to the positions of the atoms.

    The derivatives of a GFN2-xTB baseline are central differences: 6n calculations for a molecule
    of n atoms.

    Parameters
    ----------
    model : Pipeline
        A `SOAPTransformer` and a fitted `DipoleKernelRidge`.
    X : Molecules, list of ase.Atoms, ase.Atoms or path
        Geometries; labels are not read.

    Returns
    -------
    ndarray of shape (n_atoms, 3, 3), debye / angstrom
        Element ``[j, b, c]`` is the derivative of component c of the dipole, that of the molecule
        of atom j, with respect to coordinate b of atom j. Atoms of all molecules are concatenated.

    Raises
    ------
    InputError
        If the model is of another kind, its baseline is "given", its kernel has no derivative, or
        the calculation of its baseline fails.

    Examples
    --------
    >>> from dipkit import default_model
    >>> from dipkit.data.datasets import load_organics
    >>> from dipkit.response import dipole_derivatives
    >>> molecules = load_organics()[:30]
    >>> model = default_model(basis__n_inducing=100).fit(molecules)
    >>> dipole_derivatives(model, molecules[:1]).shape == (molecules[:1].n_atoms, 3, 3)
    True
    """
    soap, ridge = _steps(model)
    molecules = _checked(soap, ridge, X)
    return np.concatenate([_dipole_of_one(soap, ridge, one) for one in molecules])


def charge_derivatives(model: Pipeline, X: Geometries) -> list[FloatArray]:
    """Differentiate predicted charges with respect to the positions of the atoms.

    Parameters
    ----------
    model : Pipeline
        As in `dipole_derivatives`.
    X : Molecules, list of ase.Atoms, ase.Atoms or path

    Returns
    -------
    list of ndarray of shape (n, n, 3), e / angstrom
        One array for each molecule of n atoms: ``[i, j, b]`` is the derivative of the charge of
        atom i with respect to coordinate b of atom j. The sum over i is zero, since the total
        charge does not change.
    """
    soap, ridge = _steps(model)
    molecules = _checked(soap, ridge, X)
    return [_charges_of_one(soap, ridge, one) for one in molecules]


def _dipole_of_one(soap: SOAPTransformer, ridge: DipoleKernelRidge, one: Molecules) -> FloatArray:
    """Differentiate the dipole of one molecule (n, 3, 3), debye / angstrom."""
    cheap, maps = _baseline(ridge, one), compensations(ridge)
    elements = ridge.elements_.tolist() if has_atomic_dipoles(ridge) else []
    arms = one.positions - one.centers_of_mass()
    # The dipole of each atom where one of its expansions is 1 e and the others are 0.
    parts = [how.apply(arms, one)[:, None] for how in maps] + [neighbour_vectors(one, elements)]
    dipoles = DEBYE_PER_E_ANGSTROM * np.concatenate(parts, axis=1)
    found = differentiate_expansions(soap, ridge, one, dipoles, cheap)
    raw, amplitudes = np.split(found.values, [len(maps)], axis=1)
    factor = 0.0 if cheap is None else ridge.baseline_factor_
    charges = (1 - factor) * even_charges(one)
    moved = np.zeros((one.n_atoms, one.n_atoms, 3))
    for how, part in zip(maps, raw.T, strict=True):
        charges += how.apply(part, one)
        moved += how.derivatives(one, part)
    total: FloatArray = found.derivatives.sum(axis=1).transpose(1, 2, 0)
    total += _of_dipole(charges, moved, one)
    if elements:
        total += summed_derivatives(one, elements, amplitudes)
    return total if cheap is None else total + factor * cheap.of_dipole


def _charges_of_one(soap: SOAPTransformer, ridge: DipoleKernelRidge, one: Molecules) -> FloatArray:
    """Differentiate the charges of one molecule (n, n, 3), e / angstrom."""
    cheap, maps, n = _baseline(ridge, one), compensations(ridge), one.n_atoms
    n_expansions = len(maps) + (len(ridge.elements_) if has_atomic_dipoles(ridge) else 0)
    each = np.tile(np.eye(n_expansions, len(maps)), (n, 1, 1))
    found = differentiate_expansions(soap, ridge, one, each, cheap)
    total = np.zeros((n, n, 3))
    for how, raw, change in zip(maps, found.values.T, found.derivatives, strict=False):
        total += how.apply(change.reshape(n, -1), one).reshape(n, n, 3)
        total += how.derivatives(one, raw)
    return total if cheap is None else total + ridge.baseline_factor_ * cheap.of_charges


def _steps(model: Pipeline) -> tuple[SOAPTransformer, DipoleKernelRidge]:
    steps = [step for _, step in model.steps] if isinstance(model, Pipeline) else [model]
    soap, ridge = steps[0], steps[-1]
    if len(steps) != 2 or not (
        isinstance(soap, SOAPTransformer) and isinstance(ridge, DipoleKernelRidge)
    ):
        raise InputError(
            "model: expected a pipeline of a SOAPTransformer and a DipoleKernelRidge, got "
            f"{' and '.join(type(step).__name__ for step in steps)}."
        )
    require_following(make_baseline(ridge.baseline))
    return soap, ridge


def _checked(soap: SOAPTransformer, ridge: DipoleKernelRidge, X: Geometries) -> Molecules:
    """Read geometries, and refuse what a prediction refuses."""
    molecules = as_molecules(X, labels=False).replace(features=None)
    check_is_fitted(ridge)
    # The origin of the descriptors is compared; on demand, none is computed.
    described = require_described(copy.copy(soap).set_params(on_demand=True).transform(molecules))
    if make_baseline(ridge.baseline) is not None:
        n_sets = 2 if getattr(ridge, "descriptor_charges_", False) else 1
        none = np.zeros((molecules.n_atoms, n_sets))
        features = with_charge_columns(described.features, none)
        described = described.replace(features=features)
    widths = [scale.shape[1] for scale in ridge.inducing_features_]
    require_known(described, ridge.elements_, widths, getattr(ridge, "features_made_by_", None))
    return molecules


def _baseline(ridge: DipoleKernelRidge, one: Molecules) -> BaselineDerivatives | None:
    """Differentiate the baseline of one molecule, where the model has one."""
    baseline = baseline_of_fitted(ridge.baseline, getattr(ridge, "descriptor_charges_", False))
    if baseline is None:
        return None
    found = baseline.derivatives(one, ridge.n_jobs)
    if np.isnan(found.sets).any():
        raise InputError(
            f"baseline: {one.names[0]} could not be calculated. Correct its geometry or its total "
            "charge."
        )
    return found


def _of_dipole(charges: FloatArray, moved: FloatArray, one: Molecules) -> FloatArray:
    """Differentiate the dipole of charges that move with their atoms (16).

    Where the charges do not sum to zero, the dipole depends on the centre of mass, which moves.

    Parameters
    ----------
    charges : ndarray of shape (n,), e
    moved : ndarray of shape (n, n, 3), e / angstrom
        Derivatives of the charges.
    one : Molecules
        A single one.

    Returns
    -------
    ndarray of shape (n, 3, 3), debye / angstrom
    """
    arms = one.positions - one.centers_of_mass()
    mass = atomic_masses()[one.numbers]
    carried = charges - charges.sum() * mass / mass.sum()
    found = np.einsum("ijb,ic->jbc", moved, arms) + carried[:, None, None] * np.eye(3)
    derivatives: FloatArray = DEBYE_PER_E_ANGSTROM * found
    return derivatives
