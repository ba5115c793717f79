"""Dipole rows and charge terms of molecules, computed block by block.

Symbols: basis functions phi (n, r), block-sparse by element; dipole rows D (3 N, r) in debye / e;
charge rows C = P Phi (n, r); weights c_A (N,). Equation (8) of the theory page:

    gram = sum_A c_A C_A^T C_A,    rhs = sum_A c_A C_A^T p_A.

Phi is never in memory as a whole. A *block* of molecules is computed at once; its *pieces* go to
the threads. The terms themselves are explained in `quadratic_term.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from joblib import delayed
from numpy.typing import NDArray

from ..data.molecules import Molecules
from ..support import parallel
from ..support.backend import Array
from ..support.blas_threads import count_threads, in_order
from ..support.ragged_index import cut
from .atomic_dipoles import dipole_arms
from .basis import Basis, ElementBasis, fill_dipole_columns
from .blocking import BLOCK_ATOMS, piece_atoms
from .charge_labels import ChargeLabels
from .charge_maps import element_blocks, moment_map
from .quadratic_term import QuadraticTerm, TermSum

__all__ = ["accumulate", "accumulate_sets"]

FloatArray = NDArray[np.float64]

# Tasks for each worker. More tasks balance the load better, and less work is lost when a worker
# fails. But each task sends a matrix of shape (r, r) back.
TASKS_A_WORKER = 4

# Columns of an element, and the blocks of Phi^T c Phi and Phi^T c p in these columns.
_ElementSums = tuple[slice, Array, Array]


def accumulate(
    molecules: Molecules,
    basis: Basis,
    labels: Sequence[ChargeLabels] = (),
    n_jobs: int | None = None,
    rows: Array = None,
) -> tuple[Array, list[QuadraticTerm]]:
    """Compute the dipole rows of all molecules and the terms of their charges.

    Blocks of molecules are joblib tasks where `n_jobs` or an active ``joblib.parallel_config`` asks
    for workers; otherwise the threads of this process compute them.

    Parameters
    ----------
    molecules : Molecules
        With descriptors.
    basis : Basis
    labels : sequence of ChargeLabels, default=()
    n_jobs : int, default=None
    rows : array of shape (3 n_molecules, r), default=None
        Where to write the dipole rows; None allocates them.

    Returns
    -------
    rows : array of shape (3 n_molecules, r), debye / e
    terms : list of QuadraticTerm
        One for each set of labels.
    """
    blocks = cut(molecules.offsets, BLOCK_ATOMS)
    workers = parallel.count_workers(n_jobs)
    if workers == 1:
        with parallel.progress("sums over the molecules", len(blocks), "notebook") as advance:
            return _accumulate_blocks(molecules, basis, labels, blocks, rows, advance)
    rows, totals = _allocate(len(molecules), basis, labels, rows)
    tasks = _tasks(blocks, TASKS_A_WORKER * workers)
    parts = [slice(task[0].start, task[-1].stop) for task in tasks]
    jobs = [
        delayed(_accumulate_blocks)(
            molecules[part],
            basis,
            [label.block(molecules, part) for label in labels],
            [slice(block.start - part.start, block.stop - part.start) for block in task],
        )
        for part, task in zip(parts, tasks, strict=True)
    ]
    results = parallel.run(jobs, n_jobs, ordered=True)
    for part, (part_rows, terms) in zip(parts, results, strict=True):
        rows[3 * part.start : 3 * part.stop, :] = part_rows
        for total, term in zip(totals, terms, strict=True):
            total.add(term)
    return rows, [total.finish() for total in totals]


def _tasks(blocks: Sequence[slice], n_tasks: int) -> list[Sequence[slice]]:
    """Join neighbouring blocks to about `n_tasks` tasks; each sends an (r, r) matrix back."""
    size = -(-len(blocks) // n_tasks)
    return [blocks[start : start + size] for start in range(0, len(blocks), size)]


def _allocate(
    n_molecules: int, basis: Basis, labels: Sequence[ChargeLabels], rows: Array
) -> tuple[Array, list[TermSum]]:
    """Allocate the rows, where none are given, and an empty sum for each set of labels."""
    r = basis.n_columns
    rows = basis.backend.empty((3 * n_molecules, r)) if rows is None else rows
    return rows, [TermSum(r, basis.backend) for _ in labels]


def accumulate_sets(
    molecules: Molecules,
    basis: Basis,
    charge_sets: Sequence[FloatArray | None],
    weights: FloatArray,
    n_jobs: int | None = None,
    rows: Array = None,
) -> tuple[Array, list[QuadraticTerm | None]]:
    """Accumulate dipole rows, and the term of each set of charges that is not None.

    Parameters
    ----------
    molecules : Molecules
        With descriptors.
    basis : Basis
    charge_sets : sequence of (ndarray of shape (n_atoms,), e) or None
        An array that is given twice is accumulated once.
    weights : ndarray of shape (n_molecules,)
    n_jobs : int, default=None
    rows : array of shape (3 n_molecules, r), default=None
        Where to write the dipole rows.

    Returns
    -------
    rows : array of shape (3 n_molecules, r), debye / e
    terms : list of QuadraticTerm or None
    """
    distinct: list[FloatArray] = []
    for charges in charge_sets:
        if charges is not None and not any(charges is other for other in distinct):
            distinct.append(charges)
    labels = [ChargeLabels.of(charges, molecules, weights) for charges in distinct]
    rows, terms = accumulate(molecules, basis, labels, n_jobs, rows)
    found = {id(charges): term for charges, term in zip(distinct, terms, strict=True)}
    return rows, [None if charges is None else found[id(charges)] for charges in charge_sets]


def _accumulate_blocks(
    molecules: Molecules,
    basis: Basis,
    labels: Sequence[ChargeLabels],
    blocks: Sequence[slice],
    rows: Array = None,
    advance: Callable[[], None] = lambda: None,
) -> tuple[Array, list[QuadraticTerm]]:
    """Compute the dipole rows and the charge terms of some molecules, block by block.

    The blocks are given, because rounding depends on them: a worker has to use the same ones.
    `advance` is called after each.
    """
    rows, totals = _allocate(len(molecules), basis, labels, rows)
    assert molecules.features is not None, "molecules with descriptors expected"
    for block in blocks:
        parts = [label.block(molecules, block) for label in labels]
        _add_block(molecules[block], basis, parts, rows, block.start, totals)
        advance()
    return rows, [total.finish() for total in totals]


def _add_block(
    molecules: Molecules,
    basis: Basis,
    labels: Sequence[ChargeLabels],
    rows: Array,
    first: int,
    totals: Sequence[TermSum],
) -> None:
    """Write the dipole rows of one block, from molecule `first` on, and add its charge terms."""
    # Column sums enter the charge term alone: atomic dipoles have no columns here.
    backend, n_charges = basis.backend, basis.n_charge_columns
    sums = backend.empty((len(molecules), n_charges)) if labels else None
    n_threads = count_threads() if backend.on_host else 1

    def compute(piece: slice) -> list[list[_ElementSums]]:
        parts = [label.block(molecules, piece) for label in labels]
        piece_sums = None if sums is None else sums[piece, :]
        piece_rows = rows[3 * (first + piece.start) : 3 * (first + piece.stop), :]
        return _accumulate_piece(molecules[piece], basis, parts, piece_rows, piece_sums)

    pieces = cut(molecules.offsets, piece_atoms(basis.backend))
    for found in in_order(compute, pieces, n_threads):
        for of_element in found:
            for total, (columns, gram, rhs) in zip(totals, of_element, strict=True):
                total.gram[columns, columns] += gram
                total.rhs[columns] += rhs
    for label, total in zip(labels, totals, strict=True):
        # C^T C = Phi^T Phi - sum_A s_A s_A^T / n_A with s_A the column sums of molecule A.
        scaled = sums * backend.asarray(np.sqrt(label.weights / molecules.natoms))[:, None]
        total.gram[:n_charges, :n_charges] -= scaled.T @ scaled
        total.constant += float(label.weights[molecules.molecule_index] @ label.charges**2)
        total.weight += float(label.weights @ molecules.natoms)


def _accumulate_piece(
    molecules: Molecules,
    basis: Basis,
    labels: Sequence[ChargeLabels],
    rows: Array,
    sums: Array,
) -> list[list[_ElementSums]]:
    """Fill rows and sums of molecules; return Phi^T c Phi and Phi^T c p by element and labels."""
    assert molecules.features is not None
    backend, found = basis.backend, []
    scales = molecules.features.on(backend)
    for number in set(basis.elements) - set(molecules.elements):
        _fill_absent(basis.elements[number], rows, sums)
    arms = dipole_arms(molecules, basis.dipole_elements, basis.dipole_scale)
    for block in element_blocks(molecules, backend):
        element = basis.elements[block.number]
        columns = element.columns
        phi = basis.basis_functions(block.number, (backend.take(x, block.atoms) for x in scales))
        rows[:, columns] = block.to_dipole @ phi
        if sums is not None:
            sums[:, columns] = block.to_sum @ phi
        owners = molecules.molecule_index[block.atoms]
        sides = np.moveaxis(arms[block.atoms], 1, 0)
        to_dipoles = (moment_map(side, owners, len(molecules), backend) for side in sides)
        fill_dipole_columns(rows, to_dipoles, phi, element)
        found.append(
            [
                (columns, *_sums(phi, label.weights[owners], label.charges[block.atoms], basis))
                for label in labels
            ]
        )
    return found


def _fill_absent(element: ElementBasis, rows: Array, sums: Array) -> None:
    """Fill the columns of an element that no atom of these molecules has."""
    for columns in (element.columns, *element.dipole_columns):
        rows[:, columns] = 0.0
    if sums is not None:
        sums[:, element.columns] = 0.0


def _sums(
    phi: Array, weights: FloatArray, charges: FloatArray, basis: Basis
) -> tuple[Array, Array]:
    """Return Phi^T c Phi and Phi^T c p of the atoms of one element."""
    rhs = basis.backend.asarray(weights * charges) @ phi
    if len(weights) and (weights == weights[0]).all():  # no copy of phi
        return float(weights[0]) * (phi.T @ phi), rhs
    # NumPy computes only one triangle of a product of this form.
    scaled = phi * basis.backend.asarray(np.sqrt(weights))[:, None]
    return scaled.T @ scaled, rhs
