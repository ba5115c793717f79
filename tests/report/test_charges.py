"""ChargesDisplay: one molecule, its atoms where they are, its dipoles as arrows."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from dipkit.data.datasets import load_organics
from dipkit.estimator.fitted_parts import has_bond_charges
from dipkit.estimator.pipeline import predict_all
from dipkit.estimator.regression import DipoleKernelRidge
from dipkit.exceptions import InputError
from dipkit.report.charges import ChargesDisplay, broad_side
from dipkit.report.plots import new_figure
from dipkit.units import DEBYE_PER_E_ANGSTROM

WATER = molecule("H2O")


def axes():
    pytest.importorskip("matplotlib")
    return new_figure(5, 5).subplots()


def test_a_planar_molecule_is_drawn_with_its_distances() -> None:
    ax = axes()
    display = ChargesDisplay(WATER, [-0.8, 0.4, 0.4]).plot(ax=ax)
    assert display.ax_ is ax
    places = np.concatenate([np.asarray(circle.get_offsets()) for circle in ax.collections])
    drawn = np.linalg.norm(places[:, None] - places, axis=2)
    np.testing.assert_allclose(np.sort(drawn, axis=None), np.sort(WATER.get_all_distances(), None))
    assert len(ax.lines) == 2  # its two bonds
    assert sorted(text.get_text() for text in ax.texts) == ["H\n+0.40", "H\n+0.40", "O\n-0.80"]
    assert ax.collections[0].get_clim() == (-0.8, 0.8)


@pytest.mark.parametrize("kind", ["He", "H2", "CO2"])
def test_atoms_and_linear_molecules(kind) -> None:
    atoms = Atoms("He") if kind == "He" else molecule(kind)
    ax = axes()
    ChargesDisplay(atoms, np.zeros(len(atoms))).plot(ax=ax)
    assert np.isfinite(np.asarray(ax.collections[0].get_offsets())).all()


def test_from_estimator_shows_both_dipoles(described) -> None:
    ridge = DipoleKernelRidge(alpha=1e-3).fit(described)
    one, ax = described[3], axes()
    display = ChargesDisplay.from_estimator(ridge, one, ax=ax)
    found = predict_all(ridge, one)
    np.testing.assert_array_equal(display.charges_, found.charges)
    assert has_bond_charges(ridge)
    moment = DEBYE_PER_E_ANGSTROM * display.charges_ @ one.positions
    np.testing.assert_allclose(moment, display.dipole_, atol=1e-6)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == [
        f"predicted dipole, {found.magnitude[0]:.2f} D",
        f"reference dipole, {np.linalg.norm(one.dipole_vector[0]):.2f} D",
    ]


def test_the_view_is_not_mirrored() -> None:
    """Atoms in the plane and the one towards us form a right-handed system, as in the molecule."""
    positions = np.array([[0.0, 0, 0], [3.0, 0, 0], [0, 2.0, 0], [0, 0, 1.0]])
    for mirror in (1, -1):
        assert np.linalg.det(broad_side(positions * [1, 1, mirror])) == pytest.approx(1)


def test_refused() -> None:
    with pytest.raises(InputError, match="expected one molecule, got 2"):
        ChargesDisplay(load_organics()[:2], [0.0])
    with pytest.raises(InputError, match="one for each of 3 atoms"):
        ChargesDisplay(WATER, [0.0])
    with pytest.raises(InputError, match=r"dipole: expected a vector of shape \(3,\)"):
        ChargesDisplay(WATER, [0.0, 0.0, 0.0], dipole=1.85)
