"""Kernel expansions of one molecule in double precision, and their derivatives.

A fitted model has K kernel expansions a_k(x_i) = sum_m c_mk k(x_i, z_m) + constant: raw charges,
and bond charges and amplitudes of atomic dipoles if it has them. A dipole is linear in them. So F
linear combinations, sum_k w_ikf a_k(x_i), are differentiated, not each expansion: (15) of the
theory page with sum_k w_ikf c_mk in place of c_m.

Symbols: n atoms, M environments, power spectra of unit length (n, d_s) at scale s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data.geometry_checks import Locator
from ..data.molecules import Molecules
from ..descriptors.charge_columns import append_charges, split_derivatives
from ..descriptors.radial_tables import double_spectrum
from ..descriptors.soap import SOAPTransformer
from ..estimator.baseline import BaselineDerivatives
from ..estimator.fitted_parts import has_atomic_dipoles, raw_coefficients
from ..estimator.prepared import element_rows
from ..estimator.regression import DipoleKernelRidge
from ..exceptions import InputError
from ..support.backend import NUMPY

__all__ = ["Expansions", "differentiate_expansions"]

FloatArray = NDArray[np.float64]


class Expansions(NamedTuple):
    """Kernel expansions of the atoms of one molecule.

    Parameters
    ----------
    values : ndarray of shape (n, K), e
        Raw charges (24), bond charges, amplitudes of atomic dipoles times their scale (21).
    derivatives : ndarray of shape (F, n, n, 3)
        ``[f, i, j, b]``: combination f of the expansions of atom i with respect to coordinate b of
        atom j, per angstrom.
    """

    values: FloatArray
    derivatives: FloatArray


def differentiate_expansions(
    soap: SOAPTransformer,
    ridge: DipoleKernelRidge,
    one: Molecules,
    weights: FloatArray,
    cheap: BaselineDerivatives | None,
) -> Expansions:
    """Compute the expansions of one molecule, and differentiate combinations of them.

    Parameters
    ----------
    soap : SOAPTransformer
        Fitted.
    ridge : DipoleKernelRidge
        Fitted.
    one : Molecules
        A single molecule of n atoms.
    weights : ndarray of shape (n, K, F)
        ``[i, k, f]``: of expansion k of atom i in combination f.
    cheap : BaselineDerivatives or None
        The baseline; some of its charges are columns of the descriptors.

    Raises
    ------
    InputError
        If the kernel has no derivative, or an atom has no descriptor.
    """
    if weights.shape[1] < weights.shape[2]:
        each = np.broadcast_to(np.eye(weights.shape[1]), (one.n_atoms, *weights.shape[1:2] * 2))
        found = differentiate_expansions(soap, ridge, one, each, cheap)
        combined = np.einsum("ikf,kijb->fijb", weights, found.derivatives)
        return Expansions(found.values, combined)
    n, coefficients = one.n_atoms, _coefficients(ridge)
    found = Expansions(_constants(ridge, one), np.zeros((weights.shape[2], n, n, 3)))
    species = tuple(soap.species_.tolist())
    shares = ridge.scale_weights_ / ridge.scale_weights_.sum()
    parts = zip(soap.scale_keys(), shares, ridge.inducing_features_, strict=True)
    for index, (key, share, inducing) in enumerate(parts):
        spectrum = double_spectrum(one.numbers, one.positions, species, key)
        _require_finite(spectrum.unit, one, index)
        x, runs = spectrum.unit, list(spectrum.runs)
        if cheap is not None:
            x = append_charges(x, cheap.sets)
            runs.append(slice(inducing.shape[1] - (x.shape[1] - spectrum.unit.shape[1]), None))
        pulls = np.empty((weights.shape[2], *x.shape))
        for number in one.elements.tolist():
            atoms, mine = one.numbers == number, element_rows(ridge, number)
            z, c = _packed(inducing[mine], runs), coefficients[mine]
            t = x[atoms] @ z.T
            found.values[atoms] += share * (ridge.kernel_.of_dot_products(t.copy(), NUMPY) @ c)
            slope = share * ridge.kernel_.derivative(t, NUMPY)
            mixed = (np.moveaxis(weights[atoms], 2, 0) @ c.T) * slope
            pulled = mixed.reshape(len(mixed) * len(t), len(z)) @ z
            pulls[:, atoms] = pulled.reshape(len(mixed), len(t), x.shape[1])
        if cheap is not None:
            pulls, by_charge = split_derivatives(pulls, cheap.sets)
            found.derivatives[:] += np.einsum("fik,ikjb->fijb", by_charge, cheap.of_sets)
        found.derivatives[:] += spectrum.pull_back(pulls)
    return found


def _coefficients(ridge: DipoleKernelRidge) -> FloatArray:
    """Collect the coefficients of all expansions (M, K), e."""
    parts = [raw_coefficients(ridge)]
    if has_atomic_dipoles(ridge):
        parts.append(ridge.atomic_dipole_coef_)
    return np.concatenate(parts, axis=1)


def _constants(ridge: DipoleKernelRidge, one: Molecules) -> FloatArray:
    """Collect the constants of all expansions of the atoms (n, K), e."""
    n_raw = raw_coefficients(ridge).shape[1]
    parts = [np.zeros((len(ridge.elements_), n_raw))]
    parts[0][:, 0] = ridge.intercept_
    if has_atomic_dipoles(ridge):
        parts.append(ridge.atomic_dipole_intercept_)
    constants = np.concatenate(parts, axis=1)
    return np.asarray(constants[np.searchsorted(ridge.elements_, one.numbers)])


def _packed(inducing: NDArray[np.float32], runs: Sequence[slice]) -> FloatArray:
    """Take runs of columns: elements that the molecule does not have add nothing to products."""
    return np.concatenate([inducing[:, run] for run in runs], axis=1, dtype=np.float64)


def _require_finite(unit: FloatArray, one: Molecules, index: int) -> None:
    bad = np.isnan(unit[:, 0])
    if bad.any():
        atom = Locator(one.names, one.offsets).atom(int(np.argmax(bad)))
        raise InputError(
            f"scale{index}: {atom} has no finite, non-zero descriptor. Change r_cut, sigma or "
            "n_max of this scale."
        )
