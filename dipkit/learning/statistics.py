"""Sufficient statistics of the joint objective, accumulated over blocks of molecules.

Symbols: basis functions phi (n, r), block-sparse by element; dipole rows D (3 N, r) in debye / e;
charge rows C = P Phi (n, r); weights c_A (N,). Equation (8) of the theory page:

    gram = sum_A c_A C_A^T C_A,    moment = sum_A c_A C_A^T p_A.

Phi is never held whole. Statistics add and subtract, so that blocks may come from anywhere and
folds are differences. What is minimised with them is in `objective.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from joblib import delayed
from numpy.typing import NDArray

from ..data.molecules import Molecules
from ..support import parallel
from ..support.backend import NUMPY, Backend
from ..support.blas_threads import count_threads, in_order
from ..support.ragged_index import cut
from .atomic_dipoles import dipole_arms
from .basis import Basis, ElementBasis, fill_dipole_columns
from .blocking import BLOCK_ATOMS, piece_atoms
from .charge_maps import element_blocks, molecule_sums, moment_map

__all__ = [
    "ChargeLabels",
    "ChargeStatistics",
    "accumulate",
    "accumulate_wanted",
    "add_block",
    "block_statistics",
]

FloatArray = NDArray[np.float64]

# Tasks that each worker gets: more balance the load and lose less with a worker, but each sends
# a matrix of shape (r, r) back.
TASKS_A_WORKER = 4

# Columns of an element, Phi^T c Phi and Phi^T c p there.
_ElementSums = tuple[slice, Any, Any]


@dataclass(frozen=True)
class ChargeLabels:
    """Charges to learn from, ready for the charge term.

    Parameters
    ----------
    charges : ndarray of shape (n_atoms,), e
        P p: the mean of each molecule taken out; 0 where there is no label.
    weights : ndarray of shape (n_molecules,)
        c_A: 0 where there is no label.
    """

    charges: FloatArray
    weights: FloatArray

    @classmethod
    def of(cls, charges: FloatArray, molecules: Molecules, weights: FloatArray) -> ChargeLabels:
        """Centre charges and give molecules without any (NaN) no weight.

        Parameters
        ----------
        charges : ndarray of shape (n_atoms,), e
        molecules : Molecules
        weights : ndarray of shape (n_molecules,)
        """
        has = ~np.isnan(charges[molecules.offsets[:-1]])
        means = molecule_sums(charges, molecules.offsets) / molecules.natoms
        centred = charges - means[molecules.molecule_index]
        known = has[molecules.molecule_index]
        return cls(np.where(known, centred, 0.0), np.where(has, weights, 0.0))

    def block(self, molecules: Molecules, rows: slice) -> ChargeLabels:
        """Labels of a run of molecules."""
        atoms = slice(molecules.offsets[rows.start], molecules.offsets[rows.stop])
        return ChargeLabels(self.charges[atoms], self.weights[rows])


@dataclass
class ChargeStatistics:
    """Sums over the molecules that have charge labels.

    Parameters
    ----------
    gram : array of shape (r, r)
        Sum of c_A C_A^T C_A; zero in columns of atomic dipoles.
    moment : array of shape (r,), e
        Sum of c_A C_A^T p_A; zero there too.
    square : float, e^2
        Sum of c_A |P p_A|^2.
    weight : float
        Sum of c_A n_A: weighted number of labelled atoms.
    """

    gram: Any
    moment: Any
    square: float
    weight: float

    @classmethod
    def zero(cls, n_columns: int, backend: Backend = NUMPY) -> ChargeStatistics:
        """Statistics of no molecules."""
        return cls(backend.zeros((n_columns, n_columns)), backend.zeros(n_columns), 0.0, 0.0)

    def __add__(self, other: ChargeStatistics) -> ChargeStatistics:
        return ChargeStatistics(
            **{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        )

    def __sub__(self, other: ChargeStatistics) -> ChargeStatistics:
        return ChargeStatistics(
            **{f.name: getattr(self, f.name) - getattr(other, f.name) for f in fields(self)}
        )

    def __iadd__(self, other: ChargeStatistics) -> ChargeStatistics:
        """Add in place: matrices of shape (r, r) are large."""
        self.gram += other.gram
        self.moment += other.moment
        self.square += other.square
        self.weight += other.weight
        return self


def accumulate(
    molecules: Molecules,
    basis: Basis,
    labels: Sequence[ChargeLabels] = (),
    n_jobs: int | None = None,
    rows: Any = None,
) -> tuple[Any, list[ChargeStatistics]]:
    """Compute the dipole rows of all molecules and the statistics of their charges.

    Runs of molecules are joblib tasks where `n_jobs` or an active ``joblib.parallel_config`` asks
    for workers; else blocks go over the threads of this process.

    Parameters
    ----------
    molecules : Molecules
        Described.
    basis : Basis
    labels : sequence of ChargeLabels, default=()
    n_jobs : int, default=None
    rows : array of shape (3 n_molecules, r), default=None
        Where to write the dipole rows; None allocates them.

    Returns
    -------
    rows : array of shape (3 n_molecules, r), debye / e
    statistics : list of ChargeStatistics
        One for each set of labels.
    """
    runs = cut(molecules.offsets, BLOCK_ATOMS)
    workers = parallel.count_workers(n_jobs)
    if workers == 1:
        return block_statistics(molecules, basis, labels, runs, rows)
    rows, totals = _room(len(molecules), basis, labels, rows)
    groups = _groups(runs, TASKS_A_WORKER * workers)
    spans = [slice(group[0].start, group[-1].stop) for group in groups]
    tasks = [
        delayed(block_statistics)(
            molecules[span],
            basis,
            [part.block(molecules, span) for part in labels],
            [slice(run.start - span.start, run.stop - span.start) for run in group],
        )
        for span, group in zip(spans, groups, strict=True)
    ]
    results = parallel.run(tasks, n_jobs, ordered=True)
    for span, (block, statistics) in zip(spans, results, strict=True):
        rows[3 * span.start : 3 * span.stop, :] = block
        for total, part in zip(totals, statistics, strict=True):
            total += part
    return rows, totals


def _groups(runs: Sequence[slice], n_tasks: int) -> list[Sequence[slice]]:
    """Join neighbours to about so many tasks: each sends a matrix of shape (r, r) back."""
    size = -(-len(runs) // n_tasks)
    return [runs[start : start + size] for start in range(0, len(runs), size)]


def _room(
    n_molecules: int, basis: Basis, labels: Sequence[ChargeLabels], rows: Any
) -> tuple[Any, list[ChargeStatistics]]:
    """Allocate the rows, where none are given, and statistics of no molecules."""
    r = basis.n_columns
    rows = basis.backend.empty((3 * n_molecules, r)) if rows is None else rows
    return rows, [ChargeStatistics.zero(r, basis.backend) for _ in labels]


def accumulate_wanted(
    molecules: Molecules,
    basis: Basis,
    wanted: Sequence[FloatArray | None],
    weights: FloatArray,
    n_jobs: int | None = None,
    rows: Any = None,
) -> tuple[Any, list[ChargeStatistics | None]]:
    """Accumulate dipole rows, and the statistics of each set of charges that is not None.

    Parameters
    ----------
    molecules : Molecules
        Described.
    basis : Basis
    wanted : sequence of (ndarray of shape (n_atoms,), e) or None
        One array given twice is accumulated once.
    weights : ndarray of shape (n_molecules,)
    n_jobs : int, default=None
    rows : array of shape (3 n_molecules, r), default=None
        Where to write the dipole rows.

    Returns
    -------
    rows : array of shape (3 n_molecules, r), debye / e
    statistics : list of ChargeStatistics or None
    """
    distinct: list[FloatArray] = []
    for charges in wanted:
        if charges is not None and not any(charges is other for other in distinct):
            distinct.append(charges)
    sets = [ChargeLabels.of(charges, molecules, weights) for charges in distinct]
    rows, statistics = accumulate(molecules, basis, sets, n_jobs, rows)
    found = {id(charges): part for charges, part in zip(distinct, statistics, strict=True)}
    return rows, [None if charges is None else found[id(charges)] for charges in wanted]


def block_statistics(
    molecules: Molecules,
    basis: Basis,
    labels: Sequence[ChargeLabels] = (),
    runs: Sequence[slice] | None = None,
    rows: Any = None,
) -> tuple[Any, list[ChargeStatistics]]:
    """Compute the dipole rows and the charge statistics of some molecules, block by block.

    Parameters
    ----------
    molecules : Molecules
        Described.
    basis : Basis
    labels : sequence of ChargeLabels, default=()
        Of these molecules.
    runs : sequence of slice, default=None
        The blocks. Rounding depends on them: a worker is told them.
    rows : array of shape (3 n_molecules, r), default=None
        Where to write the dipole rows.

    Returns
    -------
    rows : array of shape (3 n_molecules, r), debye / e
    statistics : list of ChargeStatistics
    """
    rows, totals = _room(len(molecules), basis, labels, rows)
    assert molecules.features is not None, "described molecules expected"
    runs = cut(molecules.offsets, BLOCK_ATOMS) if runs is None else runs
    for run in runs:
        parts = [part.block(molecules, run) for part in labels]
        add_block(molecules[run], basis, parts, rows, run.start, totals)
    return rows, totals


def add_block(
    molecules: Molecules,
    basis: Basis,
    labels: Sequence[ChargeLabels],
    rows: Any,
    first: int,
    totals: Sequence[ChargeStatistics],
) -> None:
    """Write the dipole rows of one block and add its charge statistics.

    Parameters
    ----------
    molecules : Molecules
        Described.
    basis : Basis
    labels : sequence of ChargeLabels
        Of these molecules.
    rows : array of shape (3 N, r), debye / e
        Of all molecules; rows of this block are filled.
    first : int
        First molecule of the block among all N.
    totals : sequence of ChargeStatistics
        One for each set of labels; added to.
    """
    # Of the charges alone: what is summed here is nothing to atomic dipoles.
    backend, n_charges = basis.backend, basis.n_charge_columns
    sums = backend.empty((len(molecules), n_charges)) if labels else None
    n_threads = count_threads() if backend.on_host else 1

    def piece(run: slice) -> list[list[_ElementSums]]:
        parts = [part.block(molecules, run) for part in labels]
        part_sums = None if sums is None else sums[run, :]
        part_rows = rows[3 * (first + run.start) : 3 * (first + run.stop), :]
        return _evaluate(molecules[run], basis, parts, part_rows, part_sums)

    pieces = cut(molecules.offsets, piece_atoms(basis.backend))
    for found in in_order(piece, pieces, n_threads):
        for part in found:
            for total, (columns, gram, moment) in zip(totals, part, strict=True):
                total.gram[columns, columns] += gram
                total.moment[columns] += moment
    for label, total in zip(labels, totals, strict=True):
        # C^T C = Phi^T Phi - sum_A s_A s_A^T / n_A with s_A the column sums of molecule A.
        scaled = sums * backend.asarray(np.sqrt(label.weights / molecules.natoms))[:, None]
        total.gram[:n_charges, :n_charges] -= scaled.T @ scaled
        total.square += float(label.weights[molecules.molecule_index] @ label.charges**2)
        total.weight += float(label.weights @ molecules.natoms)


def _evaluate(
    molecules: Molecules,
    basis: Basis,
    labels: Sequence[ChargeLabels],
    rows: Any,
    sums: Any,
) -> list[list[_ElementSums]]:
    """Fill rows and sums over molecules; return Phi^T Phi and Phi^T p by element and labels."""
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
        moments = (moment_map(side, owners, len(molecules), backend) for side in sides)
        fill_dipole_columns(rows, moments, phi, element)
        found.append(
            [
                (columns, *_moments(phi, part.weights[owners], part.charges[block.atoms], basis))
                for part in labels
            ]
        )
    return found


def _fill_absent(element: ElementBasis, rows: Any, sums: Any) -> None:
    """Fill the columns of an element that no atom of a block is of."""
    for columns in (element.columns, *element.dipole_columns):
        rows[:, columns] = 0.0
    if sums is not None:
        sums[:, element.columns] = 0.0


def _moments(phi: Any, weights: FloatArray, charges: FloatArray, basis: Basis) -> tuple[Any, Any]:
    """Return Phi^T c Phi and Phi^T c p of the atoms of one element."""
    moment = basis.backend.asarray(weights * charges) @ phi
    if len(weights) and (weights == weights[0]).all():  # no copy of phi
        return float(weights[0]) * (phi.T @ phi), moment
    # Of this form NumPy computes one triangle only.
    scaled = phi * basis.backend.asarray(np.sqrt(weights))[:, None]
    return scaled.T @ scaled, moment
