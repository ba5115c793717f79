"""What the tests of derivatives share: a geometry without symmetry, and central differences."""

from collections.abc import Callable
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import molecule

from dipkit import DipoleKernelRidge, Molecules, predict_all
from dipkit.learning.compensation import Compensation
from dipkit.response.derivatives import charge_derivatives, dipole_derivatives


def turned(name: str, charge: float = 0.0) -> Atoms:
    """Return a molecule of ASE's, turned and shaken, with a total charge."""
    atoms = molecule(name)
    atoms.rotate(40, (1, 2, 3))
    atoms.rattle(0.05, seed=1)
    atoms.info["charge"] = charge
    return atoms


def stretched(name: str, atom: int, factor: float) -> Atoms:
    """Return a molecule of `turned` whose bond from an atom to its nearest one is longer."""
    atoms = turned(name)
    apart = atoms.get_distances(atom, range(len(atoms)))
    apart[atom] = np.inf
    nearest = int(apart.argmin())
    atoms.set_distance(nearest, atom, factor * apart[nearest], fix=0)
    return atoms


def learned_charges(
    ridge: DipoleKernelRidge, one: Molecules, descriptors: list[np.ndarray]
) -> np.ndarray:
    """Charges of one molecule that a model adds to its constant ones, from descriptors (n, d)."""
    bonds = np.zeros_like(ridge.dual_coef_) if ridge.bond_coef_ is None else ridge.bond_coef_
    raw = np.zeros((2, one.n_atoms))
    for place, number in enumerate(ridge.elements_):
        mine, here = ridge.inducing_numbers_ == number, one.numbers == number
        z = [scale[mine].astype(float) for scale in ridge.inducing_features_]
        k = ridge.kernel_([x[here] for x in descriptors], z, ridge.scale_weights_.tolist())
        raw[0, here] = k @ ridge.dual_coef_[mine] + ridge.intercept_[place]
        raw[1, here] = k @ bonds[mine]
    maps = [Compensation(stiffness) for stiffness in ridge.stiffness_]
    return maps[0].apply(raw[0], one) + maps[1].apply(raw[1], one)


def check_differences(
    model: Any,
    atoms: Atoms,
    in_double: Callable[[Any, Atoms], tuple[np.ndarray, np.ndarray]],
    step: float,
    atol: tuple[float, float],
) -> None:
    """Compare derivatives of charges and dipole with central differences in double precision.

    `in_double` returns charges and dipole vector of a geometry; the two tolerances are those of
    charges (e/angstrom) and of the dipole (debye/angstrom).
    """
    charges, vector = in_double(model, atoms)
    np.testing.assert_allclose(charges, predict_all(model, atoms).charges, atol=1e-4)
    np.testing.assert_allclose(vector, predict_all(model, atoms).dipole[0], atol=1e-3)
    of_dipole, of_charges = dipole_derivatives(model, atoms), charge_derivatives(model, atoms)[0]
    for j in range(len(atoms)):
        for b in range(3):
            up, down = atoms.copy(), atoms.copy()
            up.positions[j, b] += step
            down.positions[j, b] -= step
            (q1, mu1), (q0, mu0) = in_double(model, up), in_double(model, down)
            np.testing.assert_allclose(of_charges[:, j, b], (q1 - q0) / (2 * step), atol=atol[0])
            np.testing.assert_allclose(of_dipole[j, b], (mu1 - mu0) / (2 * step), atol=atol[1])


def check_turning(model: Any, atoms: Atoms, dipole: np.ndarray) -> None:
    """Derivatives along a turn of all atoms turn the dipole."""
    found = dipole_derivatives(model, atoms)
    for axis in np.eye(3):
        velocity = np.cross(axis, atoms.positions)
        change = np.einsum("jb,jbc->c", velocity, found)
        np.testing.assert_allclose(change, np.cross(axis, dipole), atol=1e-4)
