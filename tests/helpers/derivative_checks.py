"""What the tests of derivatives share: a geometry without symmetry, and central differences."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import molecule
from dscribe.descriptors import SOAP
from sklearn.pipeline import Pipeline

from dipkit import Molecules, predict_all
from dipkit.data.io import as_molecules
from dipkit.descriptors.charge_columns import append_charges
from dipkit.descriptors.spectrum_columns import compression_map
from dipkit.learning.atomic_dipoles import neighbour_vectors
from dipkit.learning.charge_maps import even_charges
from dipkit.learning.compensation import Compensation
from dipkit.learning.multipoles import dipoles, even_dipoles
from dipkit.quantum.labels import gfn2, ipea1
from dipkit.response.derivatives import charge_derivatives, dipole_derivatives
from dipkit.units import DEBYE_PER_E_ANGSTROM


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


def in_double(model: Pipeline, atoms: Atoms) -> tuple[np.ndarray, np.ndarray]:
    """Charges (e) and dipole (debye) as `predict` gives them, with descriptors in double precision.

    With all that a model may have: GFN2-xTB and IPEA1-xTB, bond charges, atomic dipoles.
    """
    ridge, one = model[-1], as_molecules(atoms, labels=False)
    sets = cheap_charges = cheap_dipole = None
    if ridge.baseline == "gfn2":
        first, second = gfn2(one, n_jobs=1), ipea1(one, n_jobs=1)
        cheap_charges = 0.8 * first.charges + 0.2 * second.charges
        cheap_dipole = 0.8 * first.dipole[0] + 0.2 * second.dipole[0]
        sets = np.stack([cheap_charges, second.charges], axis=1)
    spectra = dscribe_spectra(model[0], one, sets)
    charges = np.zeros(len(atoms))
    parts = (ridge.dual_coef_, ridge.intercept_), (ridge.bond_coef_, 0 * ridge.intercept_)
    for (coefficients, constants), stiffness in zip(parts, ridge.stiffness_, strict=True):
        if coefficients is not None:
            raw = _expansion(ridge, one, spectra, coefficients, constants)
            charges += Compensation(stiffness).apply(raw, one)
    b = 0.0 if sets is None else ridge.baseline_factor_
    dipole = (dipoles(charges, one) + (1 - b) * even_dipoles(one))[0]
    charges = charges + (1 - b) * even_charges(one)
    if cheap_charges is not None:
        charges, dipole = charges + b * cheap_charges, dipole + b * cheap_dipole
    if ridge.atomic_dipole_coef_ is not None:
        constants = ridge.atomic_dipole_intercept_
        y = _expansion(ridge, one, spectra, ridge.atomic_dipole_coef_, constants)
        vectors = neighbour_vectors(one, ridge.elements_.tolist())
        dipole = dipole + DEBYE_PER_E_ANGSTROM * np.einsum("ie,iec->c", y, vectors)
    return charges, dipole


def dscribe_spectra(soap: Any, one: Molecules, charges: np.ndarray | None) -> list[np.ndarray]:
    """Descriptors of unit length, one array per scale, from dscribe."""
    found = []
    for key in soap.scale_keys():
        raw = dscribe_columns(one, tuple(soap.species_.tolist()), key)
        unit = raw / np.linalg.norm(raw, axis=1, keepdims=True)
        found.append(unit if charges is None else append_charges(unit, charges))
    return found


def dscribe_columns(one: Molecules, species: tuple[int, ...], key: Any) -> np.ndarray:
    """Power spectra of one molecule from dscribe, or combinations of them; not of unit length."""
    raw = _dscribe(species, key._replace(channels=None)).create(Atoms(one.numbers, one.positions))
    return raw if key.channels is None else raw @ compression_map(key.channels).T


@functools.lru_cache
def _dscribe(species: tuple[int, ...], key: Any) -> SOAP:
    return SOAP(species=list(species), periodic=False, **key.parameters())


def _expansion(
    ridge: Any, one: Molecules, spectra: list[np.ndarray], coefficients: np.ndarray, constants: Any
) -> np.ndarray:
    """Kernel values with the inducing environments times coefficients, plus the constants."""
    values = np.zeros((one.n_atoms, *coefficients.shape[1:]))
    for place, number in enumerate(ridge.elements_):
        mine, here = ridge.inducing_numbers_ == number, one.numbers == number
        z = [scale[mine].astype(float) for scale in ridge.inducing_features_]
        k = ridge.kernel_([x[here] for x in spectra], z, ridge.scale_weights_.tolist())
        values[here] = k @ coefficients[mine] + constants[place]
    return values


def slope_along(function: Callable[[np.ndarray], np.ndarray], step: float = 2e-4) -> np.ndarray:
    """Differentiate at 0 by central differences of fourth order."""
    one, two = (function(h) - function(-h) for h in (step, 2 * step))
    return (8 * one - two) / (12 * step)


def check_directions(model: Pipeline, atoms: Atoms, rtol: float = 1e-6, step: float = 2e-4) -> None:
    """Compare with differences of predictions with dscribe's descriptors, in double precision.

    All atoms move along random directions. The tolerance is relative to the largest derivative.
    """
    charges, vector = in_double(model, atoms)
    np.testing.assert_allclose(charges, predict_all(model, atoms).charges, atol=1e-4)
    np.testing.assert_allclose(vector, predict_all(model, atoms).dipole[0], atol=1e-3)
    of_dipole, of_charges = dipole_derivatives(model, atoms), charge_derivatives(model, atoms)[0]

    def at(shift: np.ndarray) -> np.ndarray:
        moved = atoms.copy()
        moved.positions += shift
        return np.concatenate(in_double(model, moved))

    for direction in np.random.default_rng(0).standard_normal((3, len(atoms), 3)):
        expected = slope_along(lambda h, move=direction: at(h * move), step)
        found = np.einsum("ijb,jb->i", of_charges, direction)
        size = np.abs(of_charges).max()
        np.testing.assert_allclose(found, expected[:-3], rtol=0, atol=rtol * size)
        found = np.einsum("jbc,jb->c", of_dipole, direction)
        size = np.abs(of_dipole).max()
        np.testing.assert_allclose(found, expected[-3:], rtol=0, atol=rtol * size)


def check_differences(model: Any, atoms: Atoms, step: float, atol: tuple[float, float]) -> None:
    """Compare with differences of the step of the baseline, coordinate by coordinate.

    The two tolerances are those of charges (e/angstrom) and of the dipole (debye/angstrom).
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


def check_turning(model: Any, atoms: Atoms) -> None:
    """Derivatives along a turn of all atoms turn the dipole."""
    dipole = in_double(model, atoms)[1]
    found = dipole_derivatives(model, atoms)
    for axis in np.eye(3):
        velocity = np.cross(axis, atoms.positions)
        change = np.einsum("jb,jbc->c", velocity, found)
        np.testing.assert_allclose(change, np.cross(axis, dipole), atol=1e-6)
