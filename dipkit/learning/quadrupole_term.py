"""Quadrupole labels as a term of the objective.

Quadrupoles of charges are linear in the weights, so that their squared errors make a quadratic
term. Symbols: N molecules, r basis functions; the five components t of a traceless symmetric
matrix, where |t| is the norm of the matrix; rows T (5 N, r) in debye*angstrom / e. See the section
on quadrupoles of the theory page:

    weight / n_q sum_A s_A |Theta_A - Theta_ref,A|^2,    n_q = sum of s_A with a label

Quadrupoles of given charges are in `multipoles.py`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..data.molecules import Molecules
from ..exceptions import InputError
from ..support.backend import Array
from ..support.blas_threads import count_threads, in_order
from ..support.ragged_index import cut
from ..units import DEBYE_PER_E_ANGSTROM
from .atomic_dipoles import dipole_arms
from .basis import Basis
from .blocking import piece_atoms
from .charge_maps import constant_charges
from .columns import Arms, fill_columns
from .labels import FitLabels
from .multipoles import constant_dipoles, quadrupoles, require_made_of_charges
from .quadratic_term import QuadraticTerm, TermSum

__all__ = [
    "MORE_MATRICES",
    "accumulate_quadrupoles",
    "components",
    "require_quadrupoles",
]

FloatArray = NDArray[np.float64]

N_COMPONENTS = 5
# Additional matrices of shape (r, r) in a fit: this term, and its sum with the others.
MORE_MATRICES = 2
_ROOT_2, _ROOT_6 = np.sqrt(2.0), np.sqrt(6.0)


def components(matrices: FloatArray) -> FloatArray:
    """Five components of a symmetric matrix without trace; their norm is that of the matrix.

    Parameters
    ----------
    matrices : ndarray of shape (..., 3, 3)
        A trace or an antisymmetric part is dropped.

    Returns
    -------
    ndarray of shape (..., 5)
    """
    xx, yy, zz = (matrices[..., axis, axis] for axis in range(3))
    mixed = [matrices[..., i, j] + matrices[..., j, i] for i, j in ((0, 1), (0, 2), (1, 2))]
    diagonal = [(xx - yy) / _ROOT_2, (2 * zz - xx - yy) / _ROOT_6]
    return np.stack([*diagonal, *(sum_ / _ROOT_2 for sum_ in mixed)], axis=-1)


def accumulate_quadrupoles(
    labels: FitLabels, basis: Basis, weights: FloatArray | None = None
) -> QuadraticTerm:
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
    QuadraticTerm
        With T in place of C, and n_q as its weight.

    Raises
    ------
    InputError
        If the molecules have a baseline whose dipole is not that of its charges: its quadrupole is
        unknown.
    """
    weights = labels.target.weights if weights is None else weights
    chosen = np.flatnonzero(labels.molecules.has_quadrupole & (weights > 0))
    molecules, weights = labels.molecules[chosen], weights[chosen]
    total = TermSum(basis.n_columns, basis.backend)
    if not len(chosen):
        return total.finish()
    charges = constant_charges(molecules)
    require_made_of_charges(constant_dipoles(molecules), charges, molecules)
    assert molecules.quadrupole is not None
    expected = components(molecules.quadrupole - quadrupoles(charges, molecules))
    roots = np.sqrt(weights)[:, None]

    def rows_of(piece: slice) -> tuple[slice, Array]:
        return piece, _rows(molecules[piece], basis, roots[piece])

    pieces = cut(molecules.offsets, piece_atoms(basis.backend))
    n_threads = count_threads() if basis.backend.on_host else 1
    for piece, rows in in_order(rows_of, pieces, n_threads):
        total.gram += rows.T @ rows
        total.rhs += basis.backend.asarray((roots[piece] * expected[piece]).ravel()) @ rows
    total.constant = float(weights @ (expected**2).sum(axis=1))
    total.weight = float(weights.sum())
    return total.finish()


def _rows(molecules: Molecules, basis: Basis, factors: FloatArray) -> Array:
    """Rows T of some molecules (5 N, r), each molecule's times its factor (N, 1)."""
    assert molecules.features is not None
    backend = basis.backend
    scales = molecules.features.on(backend)
    rows = backend.zeros((N_COMPONENTS * len(molecules), basis.n_columns))
    arms = _arms(molecules, factors, basis)
    for number in molecules.elements.tolist():
        atoms = np.flatnonzero(molecules.numbers == number)
        phi = basis.basis_functions(number, (backend.take(x, atoms) for x in scales))
        fill_columns(rows, arms.maps(atoms, molecules), phi, basis.elements[number], backend)
    return rows


def _arms(molecules: Molecules, factors: FloatArray, basis: Basis) -> Arms:
    """Return components that charges and amplitudes of 1 on each atom add, times the factors.

    Those of amplitudes are by equation (22). The compensation acts on these components as on the
    positions in the dipole.
    """
    index = molecules.molecule_index
    arms = molecules.positions - molecules.centers_of_mass()[index]
    of_charges = 1.5 * DEBYE_PER_E_ANGSTROM * components(arms[:, :, None] * arms[:, None])
    of_charges *= factors[index]
    vectors = dipole_arms(molecules, basis.dipole_elements, basis.dipole_scale)
    # `components` takes the symmetric part and drops the trace.
    of_amplitudes = components(3.0 * vectors[..., None] * arms[:, None, None])
    return Arms(
        basis.compensation.apply(of_charges, molecules),
        None if basis.bonds is None else basis.bonds.apply(of_charges, molecules),
        factors[index][:, None] * of_amplitudes,
    )


def require_quadrupoles(before: QuadraticTerm | None, labels: FitLabels) -> None:
    """Refuse quadrupoles where those of earlier molecules were left out.

    Parameters
    ----------
    before : QuadraticTerm or None
        Term of the earlier molecules.
    labels : FitLabels
        Labels of the earlier molecules.

    Raises
    ------
    InputError
    """
    if before is None and labels.has_quadrupoles:
        raise InputError(
            "quadrupole_weight: earlier calls of partial_fit left out the quadrupoles of their "
            "molecules. Set the weight before the first call, or call fit with all molecules."
        )
