"""Bytes that each step of a fit takes: choice of environments, matrices, blocks of molecules.

Symbols: N molecules, n atoms, M inducing environments, m = M + elements columns of charges, r basis
functions. Figures are upper bounds: r is counted as if no direction were cut. Decisions made from
these figures are not here (`memory_plan.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from ..data.molecules import Molecules
from ..descriptors.on_demand import BLOCK_ATOMS as DESCRIBED_AT_ONCE
from ..descriptors.spectra_device import BATCH_BYTES
from ..learning.blocking import BLOCK_ATOMS, piece_atoms
from ..learning.dipole_gram import ROWS_AT_ONCE
from ..learning.inducing import CANDIDATES_PER_ENVIRONMENT, share_out
from ..support.backend import Backend
from ..support.blas_threads import count_threads

# Draws that represent the covariance, see `std_calibration`: the relative error of a standard
# deviation is 1/16.
N_SAMPLES = 128
# Molecules that set the scale of standard deviations, and those of them with descriptors.
SPREAD_MOLECULES = (300, 100)
# Additional memory of the allocator and of libraries.
SLACK_BYTES = 48 * 2**20


@dataclass(frozen=True)
class FitSizes:
    """Sizes that the memory of a fit depends on.

    Parameters
    ----------
    n : int
        Molecules.
    atoms : mapping
        Atoms of each element by atomic number.
    widths : tuple of int
        Descriptor columns of each scale.
    on_demand : bool
        Whether descriptors are computed when they are read.
    backend : Backend
    itemsize : int
        Bytes of a kernel value.
    """

    n: int
    atoms: Mapping[int, int]
    widths: tuple[int, ...]
    on_demand: bool
    backend: Backend
    itemsize: int

    @classmethod
    def of(cls, molecules: Molecules, backend: Backend, precise: bool) -> Self:
        """Measure described molecules; `precise` for kernel values in double precision."""
        assert molecules.features is not None
        numbers, counts = np.unique(molecules.numbers, return_counts=True)
        atoms = dict(zip(numbers.tolist(), counts.tolist(), strict=True))
        widths, in_memory = molecules.features.widths, molecules.features.in_memory
        return cls(len(molecules), atoms, widths, not in_memory, backend, 8 if precise else 4)

    @property
    def n_atoms(self) -> int:
        """Atoms in all."""
        return sum(self.atoms.values())

    @property
    def per_molecule(self) -> float:
        """Atoms of a mean molecule, at least one."""
        return max(self.n_atoms / max(self.n, 1), 1)

    @property
    def on_card(self) -> int:
        """Bytes that the computation of descriptors on a GPU takes."""
        return BATCH_BYTES if self.on_demand and not self.backend.on_host else 0

    def choosing(self, n_inducing: int) -> int:
        """Bytes of the choice of environments, one element at a time, and of those chosen."""
        quota = share_out(self.atoms, n_inducing)
        most = max(min(CANDIDATES_PER_ENVIRONMENT * m, self.atoms[z]) for z, m in quota.items())
        # Descriptors of one scale and at most two kernel matrices, once candidates are described.
        comparing = most * self.itemsize * (max(self.widths) + 2 * most)
        describing = 4 * min(DESCRIBED_AT_ONCE, self.n_atoms) * sum(self.widths) * self.on_demand
        chosen = 4 * (n_inducing + most) * sum(self.widths)
        return chosen + max(comparing, describing + self.on_card) + SLACK_BYTES

    def matrices(self, m: int, r: int, n_matrices: int) -> int:
        """Bytes of matrices, environments, and the molecules that set standard deviations."""
        columns = (4 + self.itemsize) * m + 4 * self._n_sample
        return 8 * n_matrices * r * r + columns * sum(self.widths) + SLACK_BYTES

    def blocks(self, r: int) -> int:
        """Bytes of the blocks that are in memory for a time, in the step that needs most."""
        return max(self._accumulating(r), 16 * min(3 * self.n, ROWS_AT_ONCE) * r, self._spread(r))

    def _accumulating(self, r: int) -> int:
        """Kernel, basis functions and their products of all pieces at once; sums of a block."""
        in_block = int(min(self.n, BLOCK_ATOMS / self.per_molecule))
        n_threads = count_threads() if self.backend.on_host else 1
        pieces = n_threads * piece_atoms(self.backend) * (self._piece_atom() + 24 * r)
        return pieces + self.on_card + 16 * in_block * r

    def _spread(self, r: int) -> int:
        """Rows of molecules left out, draws, their solutions; kernel of those with descriptors."""
        n_left_out = min(self.n, SPREAD_MOLECULES[0])
        of_sample = self._n_sample * (4 * sum(self.widths) + 24 * r)
        return 32 * r * (3 * n_left_out + N_SAMPLES) + of_sample

    @property
    def _n_sample(self) -> int:
        """Atoms of the molecules with descriptors that set standard deviations."""
        return int(min(self.n, SPREAD_MOLECULES[1]) * self.per_molecule)

    def _piece_atom(self) -> int:
        """Bytes of the descriptors of one atom of a piece, whose scales are compared one by one."""
        widest = max(self.widths)
        one = 4 * widest + (8 * widest if self.itemsize == 8 else 0)
        if not self.backend.on_host:
            # All scales are there; twice where charges are joined to them.
            return one + (8 if self.on_demand else 4) * sum(self.widths)
        # All scales, and what it takes to compute one.
        return one + (4 * sum(self.widths) + 8 * widest) * self.on_demand
