"""Sufficient statistics of the joint objective, accumulated over blocks of molecules.

Symbols: basis functions phi (n, r), block-sparse by element; dipole rows D (3 N, r) in debye / e;
charge rows C = P Phi (n, r); weights c_A (N,). Equation (8) of the theory page:

    gram = sum_A c_A C_A^T C_A,    moment = sum_A c_A C_A^T p_A.

Phi is never held whole. Statistics add and subtract, so that blocks may come from anywhere and
folds are differences. What is minimised with them is in `objective.py`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from ._backend import NUMPY, Backend
from .design import element_blocks, molecule_sums
from .exceptions import InputError
from .features import cut
from .inducing import Basis
from .molecules import Molecules

FloatArray = NDArray[np.float64]

# Descriptors of one block, in bytes: large enough for matrix products, small beside the rest.
BLOCK_BYTES = 192 * 2**20
# Share of the free memory that the matrices of a fit may take where their size is ours to choose.
MEMORY_SHARE = 0.5


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
        Sum of c_A C_A^T C_A.
    moment : array of shape (r,), e
        Sum of c_A C_A^T p_A.
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
        xp = backend.xp
        return cls(xp.zeros((n_columns, n_columns)), xp.zeros(n_columns), 0.0, 0.0)

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
) -> tuple[Any, list[ChargeStatistics]]:
    """Compute the dipole rows of all molecules and the statistics of their charges.

    Blocks are joblib tasks: an active ``joblib.parallel_config`` says where they run.

    Parameters
    ----------
    molecules : Molecules
        Described.
    basis : Basis
    labels : sequence of ChargeLabels, default=()
    n_jobs : int, default=None

    Returns
    -------
    rows : array of shape (3 n_molecules, r), debye / e
    statistics : list of ChargeStatistics
        One for each set of labels.
    """
    xp, r = basis.backend.xp, basis.n_columns
    rows = xp.empty((3 * len(molecules), r))
    totals = [ChargeStatistics.zero(r, basis.backend) for _ in labels]
    runs = blocks(molecules, basis.bytes_per_atom)
    tasks = (
        delayed(block_statistics)(
            molecules[run], basis, [part.block(molecules, run) for part in labels]
        )
        for run in runs
    )
    results = Parallel(n_jobs=n_jobs, return_as="generator")(tasks)
    for run, (block, statistics) in zip(runs, results, strict=True):
        rows[3 * run.start : 3 * run.stop] = block
        for total, part in zip(totals, statistics, strict=True):
            total += part
    return rows, totals


def accumulate_wanted(
    molecules: Molecules,
    basis: Basis,
    wanted: Sequence[FloatArray | None],
    weights: FloatArray,
    n_jobs: int | None = None,
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
    rows, statistics = accumulate(molecules, basis, sets, n_jobs)
    found = {id(charges): part for charges, part in zip(distinct, statistics, strict=True)}
    return rows, [None if charges is None else found[id(charges)] for charges in wanted]


def blocks(molecules: Molecules, bytes_per_atom: int, n_bytes: int = BLOCK_BYTES) -> list[slice]:
    """Cut molecules into runs whose descriptors take about so many bytes, one molecule at least."""
    return cut(molecules.offsets, max(n_bytes // bytes_per_atom, 1))


def block_statistics(
    molecules: Molecules, basis: Basis, labels: Sequence[ChargeLabels] = ()
) -> tuple[Any, list[ChargeStatistics]]:
    """Compute the dipole rows and the charge statistics of one block of molecules.

    Parameters
    ----------
    molecules : Molecules
        Described.
    basis : Basis
    labels : sequence of ChargeLabels, default=()
        Of these molecules.

    Returns
    -------
    rows : array of shape (3 n_molecules, r), debye / e
    statistics : list of ChargeStatistics
    """
    assert molecules.features is not None, "described molecules expected"
    xp, n = basis.backend.xp, len(molecules)
    scales = molecules.features.scales
    rows = xp.zeros((3 * n, basis.n_columns))
    sums = xp.zeros((n, basis.n_columns)) if labels else None
    statistics = [ChargeStatistics.zero(basis.n_columns, basis.backend) for _ in labels]
    for block in element_blocks(molecules, basis.backend):
        columns = basis.elements[block.number].columns
        phi = basis.evaluate(block.number, [scale[block.atoms] for scale in scales])
        rows[:, columns] = block.moment @ phi
        if sums is not None:
            sums[:, columns] = block.member @ phi
        owners = molecules.molecule_index[block.atoms]
        for part, target in zip(labels, statistics, strict=True):
            weights = xp.asarray(part.weights[owners])[:, None]
            charges = xp.asarray(part.charges[block.atoms])
            target.gram[columns, columns] = (weights * phi).T @ phi
            target.moment[columns] = charges @ (weights * phi)
    for part, target in zip(labels, statistics, strict=True):
        # C^T C = Phi^T Phi - sum_A s_A s_A^T / n_A with s_A the column sums of molecule A.
        scaled = sums * xp.asarray(np.sqrt(part.weights / molecules.natoms))[:, None]
        target.gram -= scaled.T @ scaled
        target.square = float(part.weights[molecules.molecule_index] @ part.charges**2)
        target.weight = float(part.weights @ molecules.natoms)
    return rows, statistics


def default_n_inducing(molecules: Molecules, backend: Backend = NUMPY) -> int:
    """Inducing environments for data of this size: 100 times the root of the molecules' number.

    At most all atoms, 6,000, and what fits into `MEMORY_SHARE` of the free memory.
    """
    usual = min(molecules.n_atoms, 100 * np.sqrt(len(molecules)), 6000)
    fitting = _largest(len(molecules), int(usual), MEMORY_SHARE * backend.free_memory())
    if fitting < int(usual):
        warnings.warn(
            f"n_inducing: the free memory allows {fitting} inducing environments instead of the "
            f"usual {int(usual)}; the model will be less accurate. Free memory, or set n_inducing.",
            stacklevel=3,
        )
    return max(min(int(usual), fitting), 1)


def require_memory(n_molecules: int, n_columns: int, backend: Backend, n_matrices: int = 4) -> None:
    """Refuse a fit whose matrices would not fit in memory, before any is allocated.

    Parameters
    ----------
    n_molecules : int
        N: the dipole rows take 24 N r bytes.
    n_columns : int
        r
    backend : Backend
    n_matrices : int, default=4
        Matrices of 8 r^2 bytes held at once; a fit has those of charges, passes, factor and sums.

    Raises
    ------
    InputError
        Names the largest number of inducing environments that would fit.
    """
    free = backend.free_memory()
    needed = _forecast(n_molecules, n_columns, n_matrices)
    if needed <= free:
        return
    largest = _largest(n_molecules, n_columns, free, n_matrices)
    advice = f"Use n_inducing <= {largest}, or fewer molecules" if largest else "Free some memory"
    raise InputError(
        f"n_inducing: {n_molecules} molecules with {n_columns} basis functions need "
        f"{needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are "
        f"free. {advice}."
    )


def _largest(n_molecules: int, n_columns: int, free: float, n_matrices: int = 4) -> int:
    """Largest number of columns, up to a given one, whose matrices fit."""
    columns = np.arange(n_columns + 1)
    return int(columns[_forecast(n_molecules, columns, n_matrices) <= free].max(initial=0))


def _forecast(n_molecules: int, n_columns: Any, n_matrices: int) -> Any:
    r = n_columns * 1.0
    return 24 * n_molecules * r + 8 * n_matrices * r**2 + 2 * BLOCK_BYTES
