"""Memory of a fit: what it will take, item by item, before any of it is taken.

Symbols: N molecules, M inducing environments, r <= M + elements basis functions, d descriptor
columns; with atomic dipoles r has their columns besides. Held are matrices of shape (r, r), the
dipole rows D (3 N, r) where they fit, else they go to a file; descriptors are streamed in pieces
unless the molecules hold them already. On a GPU all of it is memory of the card: whole pieces of
descriptors are there, and computed there unless they are held.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.molecules import Molecules
from ..descriptors.on_demand import BLOCK_ATOMS as DESCRIBED_AT_ONCE
from ..descriptors.spectra_device import BATCH_BYTES
from ..exceptions import InputError
from ..learning.atomic_dipoles import SHARE, count_leading
from ..learning.blocking import BLOCK_ATOMS, piece_atoms
from ..learning.dipole_gram import ROWS_AT_ONCE
from ..support.backend import NUMPY, Backend
from ..support.blas_threads import count_threads
from ..support.system_memory import process_memory

logger = logging.getLogger(__name__)

# Share of the free memory that the matrices of a fit may take where their size is ours to choose.
MEMORY_SHARE = 0.5
# Share of the free memory that a fit may take where no budget is given.
BUDGET_SHARE = 0.8
# Matrices of shape (r, r): two sets of charges, the normal matrix, its factor, two on their way.
N_MATRICES = 6
# Draws that stand for the covariance, see `uncertainty`: the standard deviation is off by 1/16.
N_SAMPLES = 128
# Molecules that set the scale of standard deviations, and those of them with descriptors.
SPREAD_MOLECULES = (300, 100)
# Blocks on their way, where no more is known of them.
BLOCKS_BYTES = 640 * 2**20
# The same on a GPU, where the descriptors of a whole piece and what computes them come on top.
DEVICE_BLOCKS_BYTES = BLOCKS_BYTES + 2 * BATCH_BYTES
# What the allocator and libraries take besides.
SLACK_BYTES = 48 * 2**20


@dataclass(frozen=True)
class MemoryPlan:
    """What a fit will take, in bytes.

    Parameters
    ----------
    budget : int
        For the whole process, or for the device.
    present : int
        Taken already: interpreter, libraries, molecules and what descriptors they hold.
    held, streamed : int
        Matrices kept during the fit, dipole rows aside; blocks that come and go.
    rows : int
        Dipole rows.
    rows_on_disk : bool
    """

    budget: int
    present: int
    held: int
    streamed: int
    rows: int
    rows_on_disk: bool

    @property
    def peak(self) -> int:
        """Largest amount of memory at any time."""
        return self.present + self.held + self.streamed + (0 if self.rows_on_disk else self.rows)

    def as_dict(self) -> dict[str, Any]:
        """Return the figures in gigabytes, for reports."""
        names = ("budget", "peak", "present", "held", "streamed", "rows")
        figures = {f"{name}_gb": round(getattr(self, name) / 1e9, 3) for name in names}
        return figures | {"rows_in": "file" if self.rows_on_disk else "memory"}

    def __str__(self) -> str:
        """One line."""
        where = "in a temporary file" if self.rows_on_disk else "in memory"
        present, held, streamed, rows, peak, budget = (
            f"{value / 1e9:.2f} GB"
            for value in (
                self.present, self.held, self.streamed, self.rows, self.peak, self.budget
            )
        )  # fmt: skip
        return (
            f"memory: {present} taken so far, {held} matrices, {streamed} blocks on their way, "
            f"{rows} dipole rows {where}; peak {peak} of {budget}"
        )


def plan_fit(
    molecules: Molecules,
    n_inducing: int,
    backend: Backend = NUMPY,
    budget: int | None = None,
    n_matrices: int = N_MATRICES,
    with_dipoles: bool = False,
    precise: bool = False,
) -> MemoryPlan:
    """Forecast the memory of a fit and decide where the dipole rows go.

    Parameters
    ----------
    molecules : Molecules
        Described.
    n_inducing : int
    backend : Backend
    budget : int, default=None
        Bytes that the process, or the device, may take; None for a share of what is free.
    n_matrices : int, default=N_MATRICES
        Matrices of shape (r, r) that are held at once.
    with_dipoles : bool, default=False
        Whether there are columns of atomic dipoles.
    precise : bool, default=False
        Whether kernel values are in double precision.

    Raises
    ------
    InputError
        Where it cannot be done; names the largest number of inducing environments that can.
    """
    plan = _planner(molecules, backend, budget, n_matrices, with_dipoles, precise)
    found = plan(n_inducing)
    if found.peak > found.budget:
        largest = _largest_that(lambda m: plan(m).peak <= found.budget, n_inducing)
        advice = f"Use n_inducing <= {largest}, or a larger" if largest else "Allow a larger"
        raise InputError(
            f"memory_budget: {len(molecules)} molecules with {n_inducing} inducing environments "
            f"need {found.peak / 1e9:.3g} GB at least, {found.present / 1e9:.3g} GB of them taken "
            f"already; the budget is {found.budget / 1e9:.3g} GB. {advice} budget."
        )
    logger.info("%s", found)
    return found


def _planner(
    molecules: Molecules,
    backend: Backend,
    budget: int | None,
    n_matrices: int,
    with_dipoles: bool = False,
    precise: bool = False,
) -> Callable[[int], MemoryPlan]:
    """Return the plan as a function of the number of inducing environments."""
    present = process_memory() if backend.on_host else 0
    free = backend.free_memory()
    budget = present + int(BUDGET_SHARE * free) if budget is None else min(budget, present + free)

    def plan(n_inducing: int) -> MemoryPlan:
        # Each element has a constant column besides those of its environments.
        m = n_inducing + len(molecules.elements)
        e = len(molecules.elements)
        r = m + with_dipoles * e * (count_leading(n_inducing) + 2 * e)
        held, streamed, rows = _forecast(molecules, m, r, n_matrices, backend, 8 if precise else 4)
        fits = present + held + streamed + rows <= budget
        return MemoryPlan(budget, present, held, streamed, rows, backend.on_host and not fits)

    return plan


def _forecast(
    molecules: Molecules, m: int, r: int, n_matrices: int, backend: Backend, itemsize: int
) -> tuple[int, int, int]:
    """Bytes held, streamed, and of the dipole rows: m columns of charges, r basis functions.

    `itemsize` is that of kernel values.
    """
    assert molecules.features is not None
    n, widths = len(molecules), molecules.features.widths
    atoms = piece_atoms(backend) * (count_threads() if backend.on_host else 1)
    held = 8 * n_matrices * r * r + itemsize * m * sum(widths) + 500 * n + SLACK_BYTES
    on_demand = not molecules.features.in_memory
    describing = BATCH_BYTES if on_demand and not backend.on_host else 0
    candidates = min(4 * m, molecules.n_atoms)
    # Descriptors of a scale, in the precision of its products.
    copied = 8 * max(widths) if itemsize == 8 else 0
    choosing = candidates * (itemsize * candidates + 4 * sum(widths) + copied) + 8 * m * sum(widths)
    per_molecule = max(molecules.n_atoms / n, 1)
    in_block = int(min(n, BLOCK_ATOMS / per_molecule))
    if on_demand:
        choosing += 8 * DESCRIBED_AT_ONCE * sum(widths) + describing
    # Kernel, basis functions and their products.
    piece = _descriptor_bytes(widths, on_demand, backend) + copied + 24 * r
    accumulating = atoms * piece + describing + 16 * in_block * r
    solving = 16 * min(3 * n, ROWS_AT_ONCE) * r
    n_left_out, n_described = (min(n, most) for most in SPREAD_MOLECULES)
    in_sample = int(n_described * per_molecule)
    held += 4 * in_sample * sum(widths)
    # Rows of molecules left out, draws, their solutions; kernel of those with descriptors.
    telling = 32 * r * (3 * n_left_out + N_SAMPLES) + in_sample * (4 * sum(widths) + 24 * r)
    return held, max(accumulating, solving, telling, choosing), 24 * n * r


def _descriptor_bytes(widths: Sequence[int], on_demand: bool, backend: Backend) -> int:
    """Bytes of the descriptors of one atom of a piece, whose scales are compared one by one."""
    one = 4 * max(widths)
    if not backend.on_host:
        # All scales are there; twice where charges are joined to them.
        return one + (8 if on_demand else 4) * sum(widths)
    # All scales, and what it takes to compute one.
    return one + (4 * sum(widths) + 8 * max(widths) if on_demand else 0)


def _largest_that(fits: Callable[[int], bool], upper: int) -> int:
    """Largest whole number below an upper one that fits, by bisection; 0 where none does."""
    low, high = 0, upper
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def default_n_inducing(
    molecules: Molecules,
    backend: Backend = NUMPY,
    budget: int | None = None,
    n_matrices: int = N_MATRICES,
    with_dipoles: bool = False,
    precise: bool = False,
) -> int:
    """Inducing environments for data of this size: 100 times the root of the molecules' number.

    At most all atoms, 6,000, and what fits, dipole rows in memory, into `MEMORY_SHARE` of what is
    free or into a budget.
    """
    usual = int(min(molecules.n_atoms, 100 * np.sqrt(len(molecules)), 6000))
    if budget is None:
        free = MEMORY_SHARE * backend.free_memory()
        more = 1 + SHARE * with_dipoles * len(molecules.elements)
        columns = int(more * usual)
        matrices = 4 + n_matrices - N_MATRICES
        found = _largest(len(molecules), columns, free, backend, matrices)
        fitting = usual if found == columns else int(found / more)
    else:
        plan = _planner(molecules, backend, budget, n_matrices, with_dipoles, precise)
        fitting = _largest_that(
            lambda m: plan(m).peak <= plan(m).budget and not plan(m).rows_on_disk, usual + 1
        )
    if fitting < usual:
        kind = "free memory" if budget is None else "memory budget"
        warnings.warn(
            f"n_inducing: the {kind} allows {fitting} inducing environments instead of the usual "
            f"{usual}; the model will be less accurate. Allow more memory, or set n_inducing.",
            stacklevel=4,
        )
    return max(min(usual, fitting), 1)


def require_memory(
    n_molecules: int, n_columns: int, backend: Backend, n_matrices: int, per_environment: float = 1
) -> None:
    """Refuse matrices that would not fit in memory, before any is allocated.

    Parameters
    ----------
    n_molecules : int
        N: the dipole rows take 24 N r bytes.
    n_columns : int
        r
    backend : Backend
    n_matrices : int
        Matrices of 8 r^2 bytes that are held at once.
    per_environment : float, default=1
        Columns of each inducing environment, more than one with atomic dipoles.

    Raises
    ------
    InputError
        Names the largest number of inducing environments that would fit.
    """
    free = backend.free_memory()
    needed = _in_memory(n_molecules, n_columns, backend, n_matrices)
    if needed <= free:
        return
    fitting = _largest(n_molecules, n_columns, free, backend, n_matrices)
    largest = int(fitting / per_environment)
    advice = f"Use n_inducing <= {largest}, or fewer molecules" if largest else "Free some memory"
    raise InputError(
        f"n_inducing: {n_molecules} molecules with {n_columns} basis functions need "
        f"{needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are "
        f"free. {advice}."
    )


def _largest(
    n_molecules: int, n_columns: int, free: float, backend: Backend, n_matrices: int
) -> int:
    """Largest number of columns, up to a given one, whose matrices fit."""
    columns = np.arange(n_columns + 1)
    needed = _in_memory(n_molecules, columns, backend, n_matrices)
    return int(columns[needed <= free].max(initial=0))


def _in_memory(n_molecules: int, n_columns: Any, backend: Backend, n_matrices: int) -> Any:
    r = n_columns * 1.0
    blocks = BLOCKS_BYTES if backend.on_host else DEVICE_BLOCKS_BYTES
    return 24 * n_molecules * r + 8 * n_matrices * r**2 + blocks
