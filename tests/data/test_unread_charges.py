"""Charges that are left unread, and the sum of charges that were rounded."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from hypothesis import given, settings
from hypothesis import strategies as st

from dipkit.data.io import as_molecules, read
from dipkit.data.label_checks import MAX_ROUNDING_OF_SUM, rounding_of_sum
from dipkit.data.molecules import Molecules
from dipkit.exceptions import InputError


def calculated(name: str, charges: list[float]) -> Atoms:
    """What ASE makes of the output of a program."""
    atoms = molecule(name)
    atoms.info["name"] = name
    atoms.calc = SinglePointCalculator(atoms, dipole=[0, 0, -0.4], charges=charges)
    return atoms


SUMMED = {"H2O": [0.0], "CH3OH": [0.2, -0.2], "CH3CN": [-0.1, -0.3, 0.4]}


@pytest.mark.parametrize("zeros", [False, True])
def test_hydrogens_summed_into_heavy_atoms(zeros: bool) -> None:
    frames = [calculated("CO2", [0.6, -0.3, -0.3])]
    for name, charges in SUMMED.items():
        atoms = molecule(name)
        filled = np.zeros(len(atoms))
        filled[atoms.numbers > 1] = charges
        frames.append(calculated(name, filled.tolist() if zeros else charges))
    with pytest.warns(UserWarning, match=r"3 molecules are left unread.*'H2O'.*--charges none"):
        molecules = as_molecules(frames)
    assert molecules.has_charges.tolist() == [True, False, False, False]
    assert molecules.has_vector.all()
    assert "left unread" in " ".join(molecules.notes.assumed)
    unread = as_molecules(frames, charges_key="none")
    assert not unread.has_charges.any()


def test_other_wrong_numbers_of_charges_stay_errors() -> None:
    with pytest.raises(InputError, match=r"'charges' holds 2 numbers: expected 3.*'none'"):
        as_molecules(calculated("H2O", [-0.4, 0.4]))


def test_labels_can_be_left_unread(tmp_path: Path) -> None:
    file = tmp_path / "m.xyz"
    file.write_text("1\nmu=large mulliken=x charge=0 E=1\nNe 0 0 0\n")
    molecules = read(file, dipole_key="none", charges_key="none")
    assert not (molecules.has_magnitude | molecules.has_charges).any()


@pytest.mark.parametrize("n_rings", [1, 5])
def test_the_tolerance_of_a_sum_grows_with_the_atoms(n_rings: int) -> None:
    """Benzene with two decimals: all carbons are rounded to one side."""
    exact = np.tile([-0.0649, 0.0649], 6 * n_rings)
    printed = np.where(exact > 0, 0.07, -0.06)
    line = np.arange(12 * n_rings)[:, None] * [1.1, 0, 0]
    numbers = np.tile([6, 1], 6 * n_rings)
    molecules = Molecules(numbers, line, [0, len(line)], charges=printed)
    assert abs(printed.sum()) == pytest.approx(0.06 * n_rings)
    assert molecules.has_charges.all()
    with pytest.raises(InputError, match=r"within .* e.*--charges none"):
        Molecules(numbers, line, [0, len(line)], charges=printed, total_charge=[1])


@given(
    st.lists(st.floats(-0.9, 0.9), min_size=2, max_size=30),
    st.integers(1, 4),
    st.sampled_from([np.float32, np.float64]),
)
@settings(max_examples=60, deadline=None)
def test_rounding_of_a_sum_bounds_what_rounding_does(
    values: list[float], decimals: int, precision: type
) -> None:
    exact = np.array([*values, -sum(values)])
    printed = np.round(exact, decimals).astype(precision).astype(np.float64)
    bound = rounding_of_sum(printed)
    if np.any(printed != np.round(printed)) and bound < MAX_ROUNDING_OF_SUM:
        finest = 0.5 * 10.0**-decimals * len(exact)
        # Trailing zeros may hide decimals: the bound is then larger, never smaller.
        assert bound >= min(finest, MAX_ROUNDING_OF_SUM) * (1 - 1e-9)
        assert abs(printed.sum()) <= bound + 1e-5


def test_whole_numbers_are_formal_charges() -> None:
    assert rounding_of_sum(np.array([1.0, 0, 0, 0, 0])) == 0
    with pytest.raises(InputError, match="sum to 1 e"):
        as_molecules(calculated("CO2", [1.0, 0.0, 0.0]))
