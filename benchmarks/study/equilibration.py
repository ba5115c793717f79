"""Charge equilibration as the map from what the model learns to charges, as in kQEq.

kQEq (Staacke, Wengert, Kunkel, Csanyi, Reuter, Margraf, Mach. Learn.: Sci. Technol. 3, 015032
(2022)) learns electronegativities chi of atoms by a kernel. Charges minimise

    sum_i chi_i q_i + 1/2 q^T A q,    sum_i q_i = Q,
    A_ii = J_i + 2 gamma_ii / sqrt(pi),   A_ij = erf(gamma_ij r_ij) / r_ij,
    gamma_ij = 1 / sqrt(a_i^2 + a_j^2)

with hardnesses J, widths a (here covalent radii) and Coulomb's constant in front of A's second
parts. For Q = 0 they are q = -T chi with T = A^-1 - A^-1 1 1^T A^-1 / (1^T A^-1 1), linear in chi:
in dipkit a map in the place of the compensation along bonds, with T symmetric and of zero row sums
as that map. Everything else (descriptors, kernel, losses, iterations) is dipkit's own, so that this
is no rerun of kQEq's program, which learns from vectors.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import numpy as np
from ase.data import covalent_radii
from numpy.typing import NDArray
from scipy.special import erf

from dipkit.learning.compensation import Compensation

FloatArray = NDArray[np.float64]

# Coulomb's constant, eV angstrom / e^2.
COULOMB = 14.399645
# Hardnesses J, eV / e^2, of Rappe and Goddard, J. Phys. Chem. 95, 3358 (1991).
HARDNESS = {1: 13.8904, 6: 10.126, 7: 11.760, 8: 13.364, 9: 14.948}
# Arms of a raw charge are then about as long as those of even compensation: it sets only the unit
# of what is learned, and with it the size of the ridge penalty.
UNIT = 16.0


def equilibration_map(numbers: NDArray[np.int64], positions: FloatArray) -> FloatArray:
    """Compute T (m, n, n) of m molecules with n atoms each, e^2 / eV.

    Parameters
    ----------
    numbers : ndarray of shape (m, n)
    positions : ndarray of shape (m, n, 3), angstrom
    """
    n = numbers.shape[1]
    width = covalent_radii[numbers]
    gamma = 1 / np.sqrt(width[:, :, None] ** 2 + width[:, None] ** 2)
    distance = np.linalg.norm(positions[:, :, None] - positions[:, None], axis=-1)
    own = np.arange(n)
    distance[:, own, own] = 1.0
    matrix = COULOMB * erf(gamma * distance) / distance
    hardness = np.vectorize(HARDNESS.__getitem__, otypes=[float])(numbers)
    matrix[:, own, own] = hardness + COULOMB * 2 * gamma[:, own, own] / np.sqrt(np.pi)
    inverse = np.linalg.inv(matrix)
    rows = inverse.sum(axis=2)
    found: FloatArray = inverse - rows[:, :, None] * rows[:, None] / rows.sum(axis=1)[:, None, None]
    return found


def _spread(_: Compensation, numbers: NDArray[np.int64], positions: FloatArray) -> FloatArray:
    """Return 1 - T in the unit of the model, which takes it from the unit matrix again."""
    return np.eye(numbers.shape[1]) - UNIT * equilibration_map(numbers, positions)


@contextmanager
def replaced() -> Iterator[None]:
    """Put charge equilibration in the place of compensation along bonds."""
    with mock.patch.object(Compensation, "_spread", _spread):
        yield
