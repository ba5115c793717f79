"""Memory of a fit: a forecast before anything is allocated.

Begin with `plan_fit`. Symbols: N molecules, n atoms, M inducing environments, r basis functions (at
most M + elements for charges, and those of bond charges and atomic dipoles), d descriptor columns.
A fit first chooses environments, and frees the memory of that step. Then matrices of shape (r, r),
the environments, and the dipole rows (3 N, r) stay in memory until the end; rows that do not fit
are in a file. Blocks of molecules are in memory for a time. On a GPU all of this is memory of the
card. Not here: the bytes of each step (`memory_forecast.py`), and how much memory there is
(`dipkit.support.system_memory`).
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass

from ..data.molecules import Molecules
from ..descriptors.spectra_device import BATCH_BYTES
from ..exceptions import InputError
from ..learning.atomic_dipoles import count_leading
from ..learning.compensation import count_bond_directions
from ..support.backend import NUMPY, Backend
from ..support.system_memory import process_memory
from .defaults import usual_n_inducing
from .memory_forecast import FitSizes

logger = logging.getLogger(__name__)

# Share of the free memory that a fit of default size may take.
MEMORY_SHARE = 0.5
# Share of the free memory that a fit may take where no budget is given.
BUDGET_SHARE = 0.8
# Matrices of shape (r, r): two sets of charges, the normal matrix, its factor, two temporary ones.
N_MATRICES = 6
# Blocks of a grid over folds.
BLOCKS_BYTES = 640 * 2**20
# The same on a GPU, which also holds the descriptors of a whole piece, and their computation.
DEVICE_BLOCKS_BYTES = BLOCKS_BYTES + 2 * BATCH_BYTES


@dataclass(frozen=True)
class MemoryPlan:
    """Memory that a fit will take, in bytes.

    Parameters
    ----------
    budget : int
        For the whole process, or for the device.
    present : int
        Taken already: interpreter, libraries, molecules and their descriptors in memory.
    choosing : int
        Candidates and their kernel matrix, freed before the rest is allocated.
    matrices, blocks : int
        Matrices and environments, without dipole rows; blocks, which are in memory for a time.
    rows : int
        Dipole rows.
    rows_on_disk : bool
    """

    budget: int
    present: int
    choosing: int
    matrices: int
    blocks: int
    rows: int
    rows_on_disk: bool

    @property
    def peak(self) -> int:
        """Largest amount of memory at any time."""
        rows = 0 if self.rows_on_disk else self.rows
        return self.present + max(self.choosing, self.matrices + self.blocks + rows)

    @property
    def fits(self) -> bool:
        """Whether the peak is within the budget."""
        return self.peak <= self.budget

    def as_dict(self) -> dict[str, float | str]:
        """Return the figures in gigabytes, for reports."""
        names = ("budget", "peak", "present", "choosing", "matrices", "blocks", "rows")
        figures = {f"{name}_gb": round(getattr(self, name) / 1e9, 3) for name in names}
        return figures | {"rows_in": "file" if self.rows_on_disk else "memory"}

    def __str__(self) -> str:
        """One line."""
        where = "in a temporary file" if self.rows_on_disk else "in memory"
        names = ("present", "matrices", "blocks", "rows", "peak", "budget")
        gb = {name: f"{getattr(self, name) / 1e9:.2f} GB" for name in names}
        return (
            f"memory: {gb['present']} taken so far, {gb['matrices']} matrices, "
            f"{gb['blocks']} blocks, {gb['rows']} dipole rows {where}; "
            f"peak {gb['peak']} of {gb['budget']}"
        )


def plan_fit(
    molecules: Molecules,
    n_inducing: int,
    backend: Backend = NUMPY,
    budget: int | None = None,
    n_matrices: int = N_MATRICES,
    with_dipoles: bool = False,
    precise: bool = False,
    with_bonds: bool = False,
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
        Matrices of shape (r, r) that are in memory at once.
    with_dipoles : bool, default=False
        Whether there are columns of atomic dipoles.
    precise : bool, default=False
        Whether kernel values are in double precision.
    with_bonds : bool, default=False
        Whether there are columns of bond charges.

    Raises
    ------
    InputError
        If the fit needs more; names the largest number of inducing environments that fits.
    """
    plan = _planner(
        molecules, backend, budget, BUDGET_SHARE, n_matrices, with_dipoles, precise, with_bonds
    )
    found = plan(n_inducing)
    if not found.fits:
        largest = _largest_that(lambda m: plan(m).fits, n_inducing)
        advice = f"Use n_inducing <= {largest}, or a larger" if largest else "Allow a larger"
        raise _too_much(found, f"{len(molecules)} molecules", n_inducing, f"{advice} budget.")
    logger.info("%s", found)
    return found


def plan_more(
    molecules: Molecules,
    n_before: int,
    n_inducing: int,
    n_columns: int,
    backend: Backend = NUMPY,
    budget: int | None = None,
    n_matrices: int = N_MATRICES,
    precise: bool = False,
    on_disk: bool = False,
) -> MemoryPlan:
    """Forecast the memory of a fit to which molecules are added; the basis stays.

    While the rows of all molecules are joined, the new rows are in memory twice.

    Parameters
    ----------
    molecules : Molecules
        The new ones, described.
    n_before : int
        Molecules of earlier calls; the memory of their statistics counts as present.
    n_inducing : int
        M
    n_columns : int
        r
    backend, budget, n_matrices, precise
        As in `plan_fit`.
    on_disk : bool, default=False
        Whether rows are in a file already; then they stay there.

    Raises
    ------
    InputError
        If the fit needs more.
    """
    rows = 24 * (n_before + 2 * len(molecules)) * n_columns
    present, limit = _limits(backend, budget, BUDGET_SHARE)
    sizes = FitSizes.of(molecules, backend, precise)
    matrices, blocks = sizes.matrices(n_inducing, n_columns, n_matrices), sizes.blocks(n_columns)
    found = MemoryPlan(limit, present, 0, matrices, blocks, rows, on_disk)
    if not found.fits and backend.on_host:
        found = MemoryPlan(limit, present, 0, matrices, blocks, rows, rows_on_disk=True)
    if not found.fits:
        which = f"{len(molecules)} molecules added to {n_before}"
        raise _too_much(found, which, n_inducing, "Allow a larger budget, or add fewer at a time.")
    logger.info("%s", found)
    return found


def default_n_inducing(
    molecules: Molecules,
    backend: Backend = NUMPY,
    budget: int | None = None,
    n_matrices: int = N_MATRICES,
    with_dipoles: bool = False,
    precise: bool = False,
    with_bonds: bool = False,
) -> int:
    """Inducing environments for data of this size, `usual_n_inducing`.

    At most all atoms, and at most what fits into a budget or into `MEMORY_SHARE` of the free
    memory, with dipole rows in memory.
    """
    usual = min(molecules.n_atoms, usual_n_inducing(len(molecules)))
    plan = _planner(
        molecules, backend, budget, MEMORY_SHARE, n_matrices, with_dipoles, precise, with_bonds
    )
    fitting = _largest_that(lambda m: plan(m).fits and not plan(m).rows_on_disk, usual + 1)
    if fitting < usual:
        kind = "free memory" if budget is None else "memory budget"
        warnings.warn(
            f"n_inducing: the {kind} allows {fitting} inducing environments instead of the usual "
            f"{usual}; the model will be less accurate. Allow more memory, or set n_inducing.",
            stacklevel=4,
        )
    return max(fitting, 1)


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
        Matrices of 8 r^2 bytes that are in memory at once.
    per_environment : float, default=1
        Columns of each inducing environment, more than one with bond charges or atomic dipoles.

    Raises
    ------
    InputError
        Names the largest number of inducing environments that would fit.
    """
    free, blocks = backend.free_memory(), BLOCKS_BYTES if backend.on_host else DEVICE_BLOCKS_BYTES

    def needed(r: int) -> int:
        return 24 * n_molecules * r + 8 * n_matrices * r * r + blocks

    if needed(n_columns) <= free:
        return
    largest = int(_largest_that(lambda r: needed(r) <= free, n_columns) / per_environment)
    advice = f"Use n_inducing <= {largest}, or fewer molecules" if largest else "Free some memory"
    raise InputError(
        f"n_inducing: {n_molecules} molecules with {n_columns} basis functions need "
        f"{needed(n_columns) / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free. {advice}."
    )


def _planner(
    molecules: Molecules,
    backend: Backend,
    budget: int | None,
    share: float,
    n_matrices: int,
    with_dipoles: bool,
    precise: bool,
    with_bonds: bool,
) -> Callable[[int], MemoryPlan]:
    """Return the plan as a function of the number of inducing environments."""
    present, limit = _limits(backend, budget, share)
    sizes, e = FitSizes.of(molecules, backend, precise), len(molecules.elements)

    def plan(n_inducing: int) -> MemoryPlan:
        # Each element has a constant column in addition to those of its environments.
        m = n_inducing + e
        r = m + with_dipoles * e * (count_leading(n_inducing) + 2 * e)
        r += with_bonds * (count_bond_directions(n_inducing) + e)
        matrices, blocks, rows = sizes.matrices(m, r, n_matrices), sizes.blocks(r), 24 * sizes.n * r
        on_disk = backend.on_host and present + matrices + blocks + rows > limit
        choosing = sizes.choosing(n_inducing)
        return MemoryPlan(limit, present, choosing, matrices, blocks, rows, on_disk)

    return plan


def _limits(backend: Backend, budget: int | None, share: float) -> tuple[int, int]:
    """Bytes taken so far, and bytes that may be taken in all."""
    present = process_memory() if backend.on_host else 0
    free = backend.free_memory()
    return present, present + int(share * free) if budget is None else min(budget, present + free)


def _largest_that(fits: Callable[[int], bool], upper: int) -> int:
    """Largest whole number below an upper one that fits, by bisection; 0 where none does."""
    low, high = 0, upper
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _too_much(plan: MemoryPlan, which: str, n_inducing: int, advice: str) -> InputError:
    return InputError(
        f"memory_budget: {which} with {n_inducing} inducing environments need "
        f"{plan.peak / 1e9:.3g} GB at least, {plan.present / 1e9:.3g} GB of them taken already; "
        f"the budget is {plan.budget / 1e9:.3g} GB. {advice}"
    )
