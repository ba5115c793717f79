"""Effective core potentials: known values, which basis has which, what is refused."""

import json

import numpy as np
import pytest
from helpers.commands import refused, run, warned

import dipkit
from dipkit import Molecules
from dipkit.exceptions import InputError
from dipkit.quantum.calculation import calculate
from dipkit.quantum.labels import parse_method
from dipkit.quantum.mean_field import _basis_of

pytest.importorskip("pyscf", reason="PySCF is not installed (extra labels)")

HYDROGEN_IODIDE = ([1, 53], [[0, 0, 0], [0, 0, 1.62]])
CHLOROMETHANE = (
    [6, 17, 1, 1, 1],
    [[0, 0, 0], [0, 0, 1.79], [1.02, 0, -0.35], [-0.51, 0.883, -0.35], [-0.51, -0.883, -0.35]],
)


def of(*molecules) -> Molecules:
    numbers, positions = zip(*molecules, strict=True)
    offsets = np.concatenate(([0], np.cumsum([len(each) for each in numbers])))
    return Molecules(np.concatenate(numbers), np.concatenate(positions), offsets)


@pytest.mark.parametrize(
    ("molecule", "basis", "z", "charge"),
    [
        (HYDROGEN_IODIDE, "def2-tzvp", -0.561, -0.135),
        (HYDROGEN_IODIDE, "lanl2dz", -0.823, 0.005),
        (CHLOROMETHANE, "lanl2dz", -2.714, -0.125),
    ],
)
def test_known_values(molecule, basis, z, charge) -> None:
    """The positive end is at the hydrogen: the dipole points to it, against z."""
    result = calculate(parse_method(f"hf/{basis}"), of(molecule), n_jobs=1)
    assert not result.failures
    np.testing.assert_allclose(result.dipole[0], [0, 0, z], atol=2e-3)
    assert result.charges[1] == pytest.approx(charge, abs=2e-3)  # iodine, chlorine
    assert result.charges.sum() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("basis", ["lanl2dz", "sbkjc", "crenbl", "bfd-vdz"])
def test_families_agree_with_a_basis_for_all_electrons(basis) -> None:
    """Without the potential the dipole is off by debyes, or points the other way.

    Bases without polarization functions give half a debye more.
    """
    molecules = of(([1, 17], [[0, 0, 0], [0, 0, 1.28]]))
    expected = calculate(parse_method("hf/def2-svp"), molecules, n_jobs=1).dipole[0, 2]
    found = calculate(parse_method(f"hf/{basis}"), molecules, n_jobs=1).dipole[0, 2]
    assert found == pytest.approx(expected, abs=0.7)


@pytest.mark.parametrize(
    ("basis", "number", "n_core"),
    [
        ("def2-tzvp", 35, None),
        ("def2-tzvp", 53, 28),
        ("ma-def2-svp", 53, 28),
        ("def2-mtzvp", 53, 28),  # its own file has no potentials
        ("Def2-TZVP", 79, 60),
        ("lanl2dz", 6, None),
        ("lanl2dz", 17, 10),
        ("lanl08", 53, 46),
        ("crenbl", 1, None),
        ("crenbl", 6, 2),
        ("stuttgart", 17, 10),
        ("sbkjc", 35, 28),
        ("bfd-vtz", 1, 0),
        ("bfd-vtz", 17, 10),
        ("ccecp-cc-pvdz", 6, 2),
        ("ccecp-aug-cc-pvtz", 53, 46),
        ("ccecp-he-cc-pvdz", 17, 2),
        ("cc-pvdz-pp", 53, 28),
        ("aug-cc-pvdz-pp", 79, 60),
        ("cc-pwcvtz-pp", 79, 60),
        ("pob-tzvpp", 8, None),
        ("sto-3g", 53, None),
        ("3-21g", 3, None),
    ],
)
def test_core_of_each_basis(basis, number, n_core) -> None:
    skip_if_absent(basis)
    potential = _basis_of(basis, number).potential
    assert (potential and potential.n_core) == n_core


def skip_if_absent(basis: str) -> None:
    """PySCF 2.7, the oldest release that dipkit takes, lacks three of the bases."""
    if basis in ("ma-def2-svp", "def2-mtzvp", "ccecp-aug-cc-pvtz"):
        pytest.importorskip("pyscf", minversion="2.8", reason=f"PySCF has no basis {basis} yet")


@pytest.mark.parametrize(
    ("basis", "number", "reason"),
    [
        ("gth-dzvp", 6, "made for an effective core potential of C"),
        ("gth-dzvp", 1, "made for an effective core potential of H"),
        ("def2-mtzvp", 58, "made for an effective core potential of Ce"),
        ("cc-pvdz-pp-nr", 47, "made for an effective core potential of Ag"),
        ("minao", 53, "too few functions"),
        ("sto-3g", 79, "there is no basis 'sto-3g' for Au"),
        ("def2-tzvp@4s3p", 1, "there is no basis"),
    ],
)
def test_a_basis_without_its_potential_is_refused(basis, number, reason) -> None:
    if reason.startswith("made for"):
        skip_if_absent(basis)
    with pytest.raises(InputError, match=reason):
        parse_method(f"hf/{basis}").check(np.array([number]))


def test_electrons_of_an_ion_with_a_core() -> None:
    molecules = of(HYDROGEN_IODIDE).replace(total_charge=[1])
    solution = parse_method("hf/lanl2dz", multiplicity=2)._wave_function(
        molecules.numbers, molecules.positions, 1.0
    )
    assert solution.mol.nelectron == 54 - 46 - 1
    assert solution.mol.atom_charges().tolist() == [1, 7]


def test_the_command_records_the_potential(tmp_path) -> None:
    molecules = of(HYDROGEN_IODIDE, ([79, 1], [[0, 0, 0], [0, 0, 1.5]]))
    dipkit.write(tmp_path / "in.xyz", molecules)
    output = tmp_path / "out.npz"
    label_it = ("label", tmp_path / "in.xyz", "-o", output, "--jobs", 1, "--json", "--method")
    report = json.loads(run(*label_it, "hf/lanl2dz").stdout)
    assert report["label_ecp"] == "lanl2dz: I 46 electrons, Au 60 electrons"
    assert set(np.load(output)["label_ecp"]) == {report["label_ecp"]}
    report = json.loads(warned(*label_it, "hf/3-21g").stdout)
    assert "label_ecp" not in report
    assert "no basis '3-21g' for Au" in report["failed"]["1"]
    assert "2 of 2 molecules cannot be calculated" in refused(*label_it, "hf/gth-dzvp")
