"""Dipole rows and charge terms of molecules, computed block by block.

Symbols: basis functions phi (n, r), block-sparse by element; dipole rows D (3 N, r) in debye / e;
charge rows C = P Phi (n, r); weights c_A (N,). Equation (8) of the theory page:

    gram = sum_A c_A C_A^T C_A,    rhs = sum_A c_A C_A^T p_A.

Bond charges, and all charges where these are compensated along bonds, have *coupled* columns: the
charge of an atom then depends on the basis functions of its neighbours of other elements, and their
part of C is a product with the matrix of (24).

Phi is never in memory as a whole. A *block* of molecules is computed at once; its *pieces* go to
the threads. The terms themselves are explained in `quadratic_term.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from joblib import delayed
from numpy.typing import NDArray

from ..data.molecules import Molecules
from ..support import parallel
from ..support.backend import Array
from ..support.blas_threads import count_threads, in_order
from ..support.ragged_index import cut
from .basis import Basis, ElementBasis
from .blocking import BLOCK_ATOMS, piece_atoms
from .charge_labels import ChargeLabels
from .columns import fill_columns
from .coupled_charges import ChargeSums, CoupledCharges, GramBlock
from .pieces import Piece, prepare
from .quadratic_term import QuadraticTerm, TermSum

__all__ = ["accumulate", "accumulate_sets"]

FloatArray = NDArray[np.float64]

# Tasks for each worker. More tasks balance the load better, and less work is lost when a worker
# fails. But each task sends a matrix of shape (r, r) back.
TASKS_A_WORKER = 4

# Threads that prepare pieces for a device: more would wait for each other in Python.
PREPARING_THREADS = 3
# Columns of a matrix that one thread computes at a time.
GRAM_COLUMNS = 512


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
    # On a device other threads prepare the next pieces; on the host each thread prepares its own.
    ahead = None if basis.backend.on_host else _prepared(molecules, basis, blocks, bool(labels))
    for block in blocks:
        parts = [label.block(molecules, block) for label in labels]
        _add_block(molecules[block], basis, parts, rows, block.start, totals, ahead)
        advance()
    return rows, [total.finish() for total in totals]


def _prepared(
    molecules: Molecules, basis: Basis, blocks: Sequence[slice], with_charges: bool
) -> Iterator[Piece]:
    """Prepare the pieces of all blocks on threads, in order, a few ahead of their use."""
    n_atoms = piece_atoms(basis.backend)
    pieces = [
        slice(block.start + piece.start, block.start + piece.stop)
        for block in blocks
        for piece in cut(molecules.offsets[block.start : block.stop + 1], n_atoms)
    ]
    n_threads = min(count_threads(), PREPARING_THREADS)
    return in_order(lambda run: prepare(molecules[run], basis, with_charges), pieces, n_threads)


def _add_block(
    molecules: Molecules,
    basis: Basis,
    labels: Sequence[ChargeLabels],
    rows: Array,
    first: int,
    totals: Sequence[TermSum],
    ahead: Iterator[Piece] | None = None,
) -> None:
    """Write the dipole rows of one block, from molecule `first` on, and add its charge terms.

    `ahead` yields the pieces of this block, prepared; None prepares them here.
    """
    # Column sums enter the charge term alone, and only with even compensation.
    backend, n_charges = basis.backend, basis.n_charge_columns
    even = bool(labels) and basis.compensation.is_even
    sums = backend.empty((len(molecules), n_charges)) if even else None
    n_threads = count_threads() if backend.on_host else 1

    def compute(piece: slice) -> list[ChargeSums]:
        parts = [label.block(molecules, piece) for label in labels]
        piece_sums = None if sums is None else sums[piece, :]
        piece_rows = rows[3 * (first + piece.start) : 3 * (first + piece.stop), :]
        part = prepare(molecules[piece], basis, bool(labels)) if ahead is None else next(ahead)
        return _accumulate_piece(part, basis, parts, piece_rows, piece_sums)

    pieces = cut(molecules.offsets, piece_atoms(basis.backend))
    grams: list[dict[tuple[int, int], GramBlock]] = [{} for _ in labels]
    for found in in_order(compute, pieces, n_threads):
        for total, known, (new, rhs) in zip(totals, grams, found, strict=True):
            _add_grams(known, new)
            for columns, part in rhs:
                total.rhs[columns] += part
    for label, total, known in zip(labels, totals, grams, strict=True):
        for one, two, gram in known.values():
            total.gram[one, two] += gram
            if one != two:
                total.gram[two, one] += gram.T
        if sums is not None:
            # C^T C = Phi^T Phi - sum_A s_A s_A^T / n_A with s_A the column sums of molecule A.
            scaled = sums * backend.asarray(np.sqrt(label.weights / molecules.natoms))[:, None]
            _subtract_gram(total.gram[:n_charges, :n_charges], scaled, n_threads)
        total.constant += float(label.weights[molecules.molecule_index] @ label.charges**2)
        total.weight += float(label.weights @ molecules.natoms)


def _add_grams(known: dict[tuple[int, int], GramBlock], new: Iterable[GramBlock]) -> None:
    """Add blocks of a piece to those of the pieces before: faster than adding to parts of rows."""
    for block in new:
        place = block.one.start, block.two.start
        if place in known:
            known[place].values[...] += block.values
        else:
            known[place] = block


def _subtract_gram(gram: Array, scaled: Array, n_threads: int) -> None:
    """Subtract S^T S (r, r) of S (n, r), columns by columns on threads, with the same bits on any.

    BLAS itself adds the rows in another order on another number of threads.
    """
    r = scaled.shape[1]

    def compute(first: int) -> tuple[int, int, Array, Array]:
        last = min(first + GRAM_COLUMNS, r)
        columns = scaled[:, first:last]
        return first, last, columns.T @ columns, columns.T @ scaled[:, last:]

    places = range(0, r, GRAM_COLUMNS)
    for first, last, square, beside in in_order(compute, places, n_threads):
        gram[first:last, first:last] -= square
        gram[first:last, last:] -= beside
        gram[last:, first:last] -= beside.T


def _accumulate_piece(
    piece: Piece,
    basis: Basis,
    labels: Sequence[ChargeLabels],
    rows: Array,
    sums: Array,
) -> list[ChargeSums]:
    """Fill rows and sums of molecules; return what they add to the term of each set of labels."""
    molecules, backend = piece.molecules, basis.backend
    assert molecules.features is not None
    coupled = CoupledCharges(piece, basis) if labels and _has_coupled(basis) else None
    scales = molecules.features.on(backend)
    for number in set(basis.elements) - set(molecules.elements):
        _fill_absent(basis.elements[number], rows, sums)
    found: list[ChargeSums] = [([], []) for _ in labels]
    for number, atoms, owners, maps, of_molecules in piece.elements:
        element = basis.elements[number]
        places = backend.asarray(atoms)
        phi = basis.basis_functions(number, (backend.xp.take(x, places, axis=0) for x in scales))
        fill_columns(rows, maps, phi, element, backend)
        if sums is not None:
            of_molecules.write(phi, sums[:, element.columns], backend)
            for (grams, rhs), label in zip(found, labels, strict=True):
                gram, part = _sums(phi, label.weights[owners], label.charges[atoms], basis)
                grams.append(GramBlock(element.columns, element.columns, gram))
                rhs.append((element.columns, part))
        if coupled is not None:
            coupled.put(phi, element, atoms)
    if coupled is not None:
        charge_rows = coupled.rows()
        for of_label, label in zip(found, labels, strict=True):
            coupled.add(of_label, label, charge_rows)
    return found


def _has_coupled(basis: Basis) -> bool:
    """Whether the charges of an atom depend on basis functions of other atoms."""
    return basis.coupled_columns.stop > basis.coupled_columns.start


def _fill_absent(element: ElementBasis, rows: Array, sums: Array) -> None:
    """Fill the columns of an element that no atom of these molecules has."""
    for columns in element.all_columns:
        rows[:, columns] = 0.0
    if sums is not None:
        sums[:, element.columns] = 0.0


def _sums(
    phi: Array, weights: FloatArray, charges: FloatArray, basis: Basis
) -> tuple[Array, Array]:
    """Return Phi^T c Phi and Phi^T c p of the atoms of one element."""
    backend = basis.backend
    rhs = backend.asarray(weights * charges) @ phi
    if not (weights == 1).all():  # else no copy of phi
        phi = phi * backend.asarray(np.sqrt(weights))[:, None]
    return backend.gram(phi), rhs
