"""Covariance of the dipoles of molecules before any label, in a basis of their own environments.

A fitted model has environments of its training molecules alone, which cannot tell how far new
molecules resemble each other. Here the inducing environments come from all molecules, with the
kernel of the model. Symbols: N molecules, r basis functions of prior variance 1; a row d_A (r,) is
the derivative of a magnitude, nu_A the part of its variance that the basis does not represent. Both
are in units of the prior standard deviation of a charge: debye / e, and debye^2 / e^2. Which labels
to choose by them is in `label_choice.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..data.molecules import Molecules
from ..learning.accumulate import accumulate
from ..learning.basis import BIAS, Basis, build_basis
from ..learning.charge_maps import molecule_sums
from ..learning.inducing import choose_environments
from ..support.backend import get_backend
from ..support.blas_threads import threads_for
from ..support.ragged_index import cut
from .defaults import resolve_cut
from .parameters import COMPENSATIONS, make_basis
from .regression import DipoleKernelRidge
from .std_prediction import directed_arms, residual_kernel

FloatArray = NDArray[np.float64]

# Inducing environments, of all elements together.
N_INDUCING = 2000
# Atoms of which basis functions are computed at once, for the part outside the basis.
BLOCK_ATOMS = 4000


@dataclass(frozen=True)
class DipoleRows:
    """Derivatives of the dipoles of molecules with respect to weights of prior variance 1.

    Parameters
    ----------
    molecules : Molecules
        Described.
    basis : Basis
    vectors : ndarray of shape (n_molecules, 3, r), debye / e
    residual : ndarray of shape (n_atoms,)
        Part of the kernel of each atom that the basis does not represent.
    """

    molecules: Molecules
    basis: Basis
    vectors: FloatArray
    residual: FloatArray

    @classmethod
    def of(cls, molecules: Molecules, model: DipoleKernelRidge) -> DipoleRows:
        """Compute the rows of described molecules with the kernel of a fitted model.

        Atomic dipoles, which a model with a baseline has, are left out.
        """
        basis = _basis(molecules, model)
        with threads_for(N_INDUCING):
            rows, _ = accumulate(molecules, basis, n_jobs=model.n_jobs)
        vectors = basis.backend.to_host(rows).reshape(len(molecules), 3, -1)
        for element in basis.elements.values():
            # The fit hardly penalises constants; here they are as uncertain as any other weight.
            vectors[:, :, element.columns.stop - 1] /= BIAS
        return cls(molecules, basis, vectors, _residual(molecules, basis))

    def along(self, unit: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the rows d_A (n_molecules, r) and nu_A (n_molecules,) of the magnitudes.

        Parameters
        ----------
        unit : ndarray of shape (n_molecules, 3)
            Directions of the dipoles.
        """
        rows: FloatArray = np.einsum("ac,acr->ar", unit, self.vectors)
        arms = directed_arms(self.molecules, unit, self.basis.compensation)
        return rows, molecule_sums(arms**2 * self.residual, self.molecules.offsets)


def _basis(molecules: Molecules, model: DipoleKernelRidge) -> Basis:
    assert molecules.features is not None, "molecules with descriptors expected"
    parameters, backend = make_basis(model.basis), get_backend(model.device)
    rng = np.random.default_rng(0)
    environments = choose_environments(molecules, N_INDUCING, model.kernel_, rng, backend)
    return build_basis(
        environments,
        model.kernel_,
        model.scale_weights_.tolist(),
        resolve_cut("auto", precise=False),
        backend,
        compensation=COMPENSATIONS[parameters.compensation],
        bond_scale=float(parameters.bond_charges),
    )


def _residual(molecules: Molecules, basis: Basis) -> FloatArray:
    """Part of the kernel of each atom outside the basis (n_atoms,)."""
    backend, residual = basis.backend, np.empty(molecules.n_atoms)
    for block in cut(molecules.offsets, BLOCK_ATOMS):
        piece = molecules[block]
        assert piece.features is not None
        scales, first = piece.features.on(backend), int(molecules.offsets[block.start])
        for number in piece.elements.tolist():
            atoms = np.flatnonzero(piece.numbers == number)
            phi = basis.basis_functions(number, (backend.take(x, atoms) for x in scales))
            residual[first + atoms] = residual_kernel(backend.to_host(phi[:, :-1]))
    return residual
