"""Derivatives of predicted charges and dipoles with respect to the positions of the atoms.

Symbols: a molecule of n atoms; power spectra p_i (n, d_s) at scale s and x_i = p_i / |p_i|, charges
in e, dipoles in debye. Equations (15) and (16) of the theory page, (17) with a baseline of factor
b, dipole mu0 and charges q0, (23) for atomic dipoles. Derivatives of p are dscribe's
(`descriptors/radial_tables.py`), those of a baseline central differences of its calculation
(`quantum/finite_differences.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from ..data.elements import atomic_masses
from ..data.io import as_molecules
from ..data.molecules import Molecules
from ..descriptors.charge_columns import append_charges, split_derivatives
from ..descriptors.radial_tables import spectrum_derivatives
from ..descriptors.soap import SOAPTransformer
from ..estimator.baseline import make_baseline, require_following
from ..estimator.fitted_parts import compensations, has_atomic_dipoles, raw_coefficients
from ..estimator.prediction import predict_blocks
from ..estimator.regression import DipoleKernelRidge
from ..exceptions import InputError
from ..learning.atomic_dipoles import summed_derivatives
from ..quantum.finite_differences import CalculationDerivatives
from ..support.backend import NUMPY
from ..support.files import PathLike
from ..units import DEBYE_PER_E_ANGSTROM

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
    molecules = as_molecules(X, labels=False).replace(features=None)
    found = predict_blocks(ridge, soap.transform(molecules))
    parts = []
    for index, one in enumerate(molecules):
        cheap, atoms = _baseline(ridge, one), molecules.atom_index(index)
        moved = _of_expansions(soap, ridge, one, cheap)
        charges = found.charges[atoms]
        if cheap is not None:
            charges = charges - ridge.baseline_factor_ * cheap.charges
        of_charges = _of_charges(ridge, one, found.raw[atoms], moved)
        of_dipole = _of_dipole(charges, of_charges, one)
        if has_atomic_dipoles(ridge):
            elements = ridge.elements_.tolist()
            of_dipole += summed_derivatives(
                one, elements, found.amplitudes[atoms], moved[found.raw.shape[1] :]
            )
        if cheap is not None:
            of_dipole += ridge.baseline_factor_ * cheap.of_dipole
        parts.append(of_dipole)
    return np.concatenate(parts)


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
    molecules = as_molecules(X, labels=False).replace(features=None)
    found = predict_blocks(ridge, soap.transform(molecules))
    parts = []
    for index, one in enumerate(molecules):
        cheap, raw = _baseline(ridge, one), found.raw[molecules.atom_index(index)]
        moved = _of_charges(ridge, one, raw, _of_expansions(soap, ridge, one, cheap))
        parts.append(moved if cheap is None else moved + ridge.baseline_factor_ * cheap.of_charges)
    return parts


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


def _baseline(ridge: DipoleKernelRidge, one: Molecules) -> CalculationDerivatives | None:
    """Differentiate the baseline of one molecule, where the model has one."""
    baseline = make_baseline(ridge.baseline)
    return None if baseline is None else baseline.derivatives(one, ridge.n_jobs)


def _of_expansions(
    soap: SOAPTransformer,
    ridge: DipoleKernelRidge,
    one: Molecules,
    cheap: CalculationDerivatives | None,
) -> FloatArray:
    """Differentiate the kernel expansions of one molecule (k, n, n, 3), e / angstrom.

    The first expansions give the raw charges, before their compensation, the others the amplitudes
    of atomic dipoles, if there are any.
    """
    sets = list(raw_coefficients(ridge).T)
    if has_atomic_dipoles(ridge):
        sets += list(ridge.atomic_dipole_coef_.T)
    raw = np.zeros((len(sets), one.n_atoms, one.n_atoms, 3))
    keys, species = soap.scale_keys(), tuple(soap.species_.tolist())
    weights = ridge.scale_weights_ / ridge.scale_weights_.sum()
    for key, weight, inducing in zip(keys, weights, ridge.inducing_features_, strict=True):
        spectrum, moved = spectrum_derivatives(one.numbers, one.positions, species, key)
        length = np.linalg.norm(spectrum, axis=1, keepdims=True)
        x, z = spectrum / length, inducing.astype(np.float64)
        joined = x if cheap is None else append_charges(x, cheap.charges)
        for pull, found in zip(_pulls(ridge, one, joined, z, sets), raw, strict=True):
            pull *= weight
            if cheap is not None:
                pull, by_charge = split_derivatives(pull, cheap.charges)
                found += by_charge[:, None, None] * cheap.of_charges
            pull -= x * np.einsum("id,id->i", x, pull)[:, None]
            found += np.einsum("ijbd,id->ijb", moved, pull / length)
    return raw


def _of_charges(
    ridge: DipoleKernelRidge, one: Molecules, raw: FloatArray, moved: FloatArray
) -> FloatArray:
    """Differentiate the charges of one molecule (n, n, 3), from the derivatives of raw charges.

    Parameters
    ----------
    ridge : DipoleKernelRidge
    one : Molecules
    raw : ndarray of shape (n, k), e
    moved : ndarray of shape (K, n, n, 3), K >= k, e / angstrom
        From `_of_expansions`.
    """
    total = np.zeros(moved.shape[1:])
    for how, charges, change in zip(compensations(ridge), raw.T, moved, strict=False):
        total += how.apply(change.reshape(one.n_atoms, -1), one).reshape(change.shape)
        total += how.derivatives(one, charges)
    return total


def _pulls(
    ridge: DipoleKernelRidge,
    one: Molecules,
    x: FloatArray,
    inducing: FloatArray,
    sets: list[FloatArray],
) -> FloatArray:
    """Return g_i of (15), derivatives with respect to descriptors, without a_s (k, n, d)."""
    pulls = np.empty((len(sets), *x.shape))
    for number in one.elements:
        atoms, mine = one.numbers == number, ridge.inducing_numbers_ == number
        slope = ridge.kernel_.derivative(x[atoms] @ inducing[mine].T, NUMPY)
        for pull, coefficients in zip(pulls, sets, strict=True):
            pull[atoms] = (slope * coefficients[mine]) @ inducing[mine]
    return pulls


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
