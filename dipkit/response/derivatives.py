"""Derivatives of predicted charges and dipoles by the positions of the atoms.

Symbols: a molecule of n atoms; power spectra p_i (n, d_s) at scale s and x_i = p_i / |p_i|, charges
in e, dipoles in debye. Equations (15) and (16) of the theory page, (17) with a baseline of factor
b, dipole mu0 and charges q0, (23) for atomic dipoles. Derivatives of p are dscribe's
(`descriptors/radial_tables.py`), those of a baseline central differences of its calculation
(`quantum/finite_differences.py`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from ..data.elements import atomic_masses
from ..data.io import as_molecules
from ..data.molecules import Molecules
from ..descriptors.charge_columns import append_charges, split_derivatives
from ..descriptors.radial_tables import spectrum_derivatives
from ..descriptors.soap import SOAPTransformer
from ..estimator.baseline import make_baseline, require_following
from ..estimator.prediction import has_atomic_dipoles, predict_blocks
from ..estimator.regression import DipoleKernelRidge
from ..exceptions import InputError
from ..learning.atomic_dipoles import summed_derivatives
from ..learning.charge_maps import project
from ..quantum.finite_differences import CalculationDerivatives
from ..support.backend import NUMPY
from ..units import DEBYE_PER_E_ANGSTROM

FloatArray = NDArray[np.float64]


def dipole_derivatives(model: Any, X: Any) -> FloatArray:
    """Derive predicted dipole vectors by the positions of the atoms.

    With ``baseline="gfn2"`` the calculation is run for 6n geometries of each molecule of n atoms,
    and its part of the derivatives is a central difference.

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
        If the model is of another kind or corrects dipoles that molecules carry, its kernel has no
        derivative, or the calculation of its baseline fails.

    Examples
    --------
    >>> from dipkit import default_model
    >>> from dipkit.data.datasets import load_organics
    >>> from dipkit.response.derivatives import dipole_derivatives
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
        raw = _of_expansions(soap, ridge, one, cheap)
        charges = found.charges[atoms]
        if cheap is not None:
            charges = charges - ridge.baseline_factor_ * cheap.charges
        of_dipole = _of_dipole(charges, _projected(raw[0], one), one)
        if has_atomic_dipoles(ridge):
            elements = ridge.elements_.tolist()
            of_dipole += summed_derivatives(one, elements, found.amplitudes[atoms], raw[1:])
        if cheap is not None:
            of_dipole += ridge.baseline_factor_ * cheap.of_dipole
        parts.append(of_dipole)
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
    parts = []
    for one in molecules:
        cheap = _baseline(ridge, one)
        moved = _projected(_of_expansions(soap, ridge, one, cheap)[0], one)
        parts.append(moved if cheap is None else moved + ridge.baseline_factor_ * cheap.of_charges)
    return parts


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
    """Derive the kernel expansions of one molecule by its positions (k, n, n, 3), e / angstrom.

    The first is that of the charges before the projector; those of the amplitudes of atomic
    dipoles, if any, follow.
    """
    sets = [ridge.dual_coef_]
    if has_atomic_dipoles(ridge):
        sets += list(ridge.atomic_dipole_coef_.T)
    raw = np.zeros((len(sets), one.n_atoms, one.n_atoms, 3))
    keys, species = [scale.key() for scale in soap.scales_], tuple(soap.species_.tolist())
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


def _projected(raw: FloatArray, one: Molecules) -> FloatArray:
    """Turn derivatives of charges before the projector into those of learned charges."""
    return project(raw.reshape(one.n_atoms, -1), one).reshape(raw.shape)


def _pulls(
    ridge: DipoleKernelRidge,
    one: Molecules,
    x: FloatArray,
    inducing: FloatArray,
    sets: list[FloatArray],
) -> FloatArray:
    """Derive expansions by descriptors of unit length: g_i of (15), without a_s (k, n, d)."""
    pulls = np.empty((len(sets), *x.shape))
    for number in one.elements:
        atoms, mine = one.numbers == number, ridge.inducing_numbers_ == number
        slope = ridge.kernel_.derivative(x[atoms] @ inducing[mine].T, NUMPY)
        for pull, coefficients in zip(pulls, sets, strict=True):
            pull[atoms] = (slope * coefficients[mine]) @ inducing[mine]
    return pulls


def _of_dipole(charges: FloatArray, moved: FloatArray, one: Molecules) -> FloatArray:
    """Derive the dipole of charges that move along (n, 3, 3), debye / angstrom (16).

    Where they do not sum to zero, the centre of mass matters.
    """
    arms = one.positions - one.centers_of_mass()
    mass = atomic_masses()[one.numbers]
    carried = charges - charges.sum() * mass / mass.sum()
    found = np.einsum("ijb,ic->jbc", moved, arms) + carried[:, None, None] * np.eye(3)
    derivatives: FloatArray = DEBYE_PER_E_ANGSTROM * found
    return derivatives
