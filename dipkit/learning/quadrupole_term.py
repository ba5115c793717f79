"""Quadrupole labels as a term of the objective.

Quadrupoles of charges are linear in the weights, so that their squared errors make a quadratic
term like that of reference charges. It is kept as `ChargeStatistics` and travels with that term.
Symbols: N molecules, r basis functions; the five components t of a traceless symmetric matrix, in
which |t| is the norm of the matrix; rows T (5 N, r) in debye*angstrom / e. See the section on
quadrupoles of the theory page:

    weight / n_q sum_A s_A |Theta_A - Theta_ref,A|^2,    n_q = sum of s_A with a label
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.molecules import Molecules
from ..exceptions import InputError
from ..support.blas_threads import count_threads, in_order
from ..support.ragged_index import cut
from ..units import DEBYE_PER_E_ANGSTROM
from .atomic_dipoles import dipole_arms
from .basis import Basis, fill_dipole_columns
from .blocking import piece_atoms
from .charge_maps import constant_charges, molecule_sums, moment_map
from .labels import FitLabels
from .multipoles import constant_dipoles, quadrupoles, require_made_of_charges
from .statistics import ChargeStatistics

__all__ = [
    "MORE_MATRICES",
    "components",
    "normalised",
    "quadrupole_statistics",
    "require_quadrupoles",
    "with_quadrupoles",
]

FloatArray = NDArray[np.float64]

N_COMPONENTS = 5
# Matrices of shape (r, r) that a fit holds besides: this term, and its sum with the others.
MORE_MATRICES = 2
_ROOT_2, _ROOT_6 = np.sqrt(2.0), np.sqrt(6.0)


def components(matrices: FloatArray) -> FloatArray:
    """Five numbers that stand for a symmetric matrix without trace, and have its norm.

    Parameters
    ----------
    matrices : ndarray of shape (..., 3, 3)
        What they hold besides, a trace or an antisymmetric part, is dropped.

    Returns
    -------
    ndarray of shape (..., 5)
    """
    xx, yy, zz = (matrices[..., axis, axis] for axis in range(3))
    mixed = [matrices[..., i, j] + matrices[..., j, i] for i, j in ((0, 1), (0, 2), (1, 2))]
    diagonal = [(xx - yy) / _ROOT_2, (2 * zz - xx - yy) / _ROOT_6]
    return np.stack([*diagonal, *(sum_ / _ROOT_2 for sum_ in mixed)], axis=-1)


def quadrupole_statistics(
    labels: FitLabels, basis: Basis, weights: FloatArray | None = None
) -> ChargeStatistics:
    """Sum the term over the molecules that have a quadrupole, block by block.

    Parameters
    ----------
    labels : FitLabels
        Its molecules are described.
    basis : Basis
    weights : ndarray of shape (n_molecules,), default=None
        s_A; None takes those of the labels.

    Returns
    -------
    ChargeStatistics
        With T in place of C, and n_q as its weight.

    Raises
    ------
    InputError
        If the molecules carry a baseline that holds more than charges: its quadrupole is unknown.
    """
    weights = labels.target.weights if weights is None else weights
    chosen = np.flatnonzero(labels.molecules.has_quadrupole & (weights > 0))
    molecules, weights = labels.molecules[chosen], weights[chosen]
    total = ChargeStatistics.zero(basis.n_columns, basis.backend)
    if not len(chosen):
        return total
    charges = constant_charges(molecules)
    require_made_of_charges(constant_dipoles(molecules), charges, molecules)
    assert molecules.quadrupole is not None
    wanted = components(molecules.quadrupole - quadrupoles(charges, molecules))
    roots = np.sqrt(weights)[:, None]

    def rows_of(run: slice) -> tuple[slice, Any]:
        return run, _rows(molecules[run], basis, roots[run])

    pieces = cut(molecules.offsets, piece_atoms(basis.backend))
    n_threads = count_threads() if basis.backend.on_host else 1
    for run, rows in in_order(rows_of, pieces, n_threads):
        total.gram += rows.T @ rows
        total.moment += basis.backend.asarray((roots[run] * wanted[run]).ravel()) @ rows
    total.square = float(weights @ (wanted**2).sum(axis=1))
    total.weight = float(weights.sum())
    return total


def _rows(molecules: Molecules, basis: Basis, factors: FloatArray) -> Any:
    """Rows T of some molecules (5 N, r), each molecule's times its factor (N, 1)."""
    assert molecules.features is not None
    backend = basis.backend
    scales = molecules.features.on(backend)
    rows = backend.zeros((N_COMPONENTS * len(molecules), basis.n_columns))
    of_dipoles = _component_arms(molecules, factors, basis)
    for number, atoms, arms in _arms(molecules, factors):
        owners, element = molecules.molecule_index[atoms], basis.elements[number]
        to_rows = moment_map(arms, owners, len(molecules), backend)
        phi = basis.basis_functions(number, (backend.take(x, atoms) for x in scales))
        rows[:, element.columns] = to_rows @ phi
        sides = np.moveaxis(of_dipoles[atoms], 1, 0)
        moments = (moment_map(side, owners, len(molecules), backend) for side in sides)
        fill_dipole_columns(rows, moments, phi, element)
    return rows


def _arms(
    molecules: Molecules, factors: FloatArray
) -> Iterator[tuple[int, NDArray[np.intp], FloatArray]]:
    """Yield by element: its atoms, and what a raw charge on each adds to the components (n_e, 5).

    P moves onto these, as it does onto the positions in the dipole: their mean is taken away.
    """
    index = molecules.molecule_index
    arms = molecules.positions - molecules.centers_of_mass()[index]
    values = 1.5 * DEBYE_PER_E_ANGSTROM * components(arms[:, :, None] * arms[:, None])
    means = molecule_sums(values, molecules.offsets) / molecules.natoms[:, None]
    values = factors[index] * (values - means[index])
    for number in molecules.elements.tolist():
        atoms = np.flatnonzero(molecules.numbers == number)
        yield number, atoms, values[atoms]


def _component_arms(molecules: Molecules, factors: FloatArray, basis: Basis) -> FloatArray:
    """Return what amplitudes of 1 on each atom add to the components (n_atoms, E, 5) by (22)."""
    vectors = dipole_arms(molecules, basis.dipole_elements, basis.dipole_scale)
    index = molecules.molecule_index
    arms = molecules.positions - molecules.centers_of_mass()[index]
    # `components` takes the symmetric part and drops the trace.
    values = components(3.0 * vectors[..., None] * arms[:, None, None])
    return factors[index][:, None] * values


def require_quadrupoles(before: ChargeStatistics | None, labels: FitLabels) -> None:
    """Refuse to begin with quadrupoles where those of earlier molecules were left out.

    Parameters
    ----------
    before : ChargeStatistics or None
        Of the earlier molecules.
    labels : FitLabels
        Of them.

    Raises
    ------
    InputError
    """
    if before is None and labels.has_quadrupoles:
        raise InputError(
            "quadrupole_weight: the calls of partial_fit before left the quadrupoles of their "
            "molecules out. Set the weight before the first call, or fit anew."
        )


def with_quadrupoles(
    term: ChargeStatistics | None,
    term_weight: float,
    quadrupoles: ChargeStatistics | None,
    quadrupole_weight: float,
) -> tuple[ChargeStatistics | None, float]:
    """Add the term of the quadrupoles to another of its form.

    Parameters
    ----------
    term : ChargeStatistics or None
        Of the charges, of the pull towards a baseline, or of both.
    term_weight : float
        That goes with it.
    quadrupoles : ChargeStatistics or None
    quadrupole_weight : float
        With 0 nothing changes.

    Returns
    -------
    term : ChargeStatistics or None
        Both in one.
    term_weight : float
        That goes with it.
    """
    if quadrupoles is None or quadrupole_weight == 0:
        return term, term_weight
    if term is None or term_weight == 0:
        return quadrupoles, quadrupole_weight
    both = normalised(quadrupoles, quadrupole_weight)
    both += normalised(term, term_weight)
    return replace(both, weight=1.0), 1.0


def normalised(term: ChargeStatistics, weight: float) -> ChargeStatistics:
    """Return a term as a mean times its weight, so that its own weight is 1."""
    scale = weight / term.weight
    return ChargeStatistics(scale * term.gram, scale * term.moment, scale * term.square, 1.0)
