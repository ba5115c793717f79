"""The total charge, wherever a file has it, and files that contradict themselves."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.db import connect
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dipkit.data.io import as_molecules, read, read_parts
from dipkit.data.molecules import Molecules
from dipkit.data.odd_electrons import OddElectrons, has_odd_electrons
from dipkit.exceptions import FileFormatError, InputError

SYMBOLS = ("N", "H", "H", "H", "H")
POSITIONS = np.array([[0, 0, 0], [1, 1, 1], [-1, -1, 1], [-1, 1, -1], [1, -1, -1]]) * 0.6
KEYS = (
    "charge",
    "total_charge",
    "net_charge",
    "q",
    "PUBCHEM_TOTAL_CHARGE",
    "Charge",
    "TOTAL_CHARGE",
)


def nitrogen(**info: Any) -> Atoms:
    return Atoms(SYMBOLS, POSITIONS, info=info)


def sd_text(items: dict[str, object], properties: str = "", code: int = 0) -> str:
    lines = ["ion", "  prog            3D", "", "  5  0  0  0  0  0999 V2000"]
    for place, (symbol, xyz) in enumerate(zip(SYMBOLS, POSITIONS, strict=True)):
        position = "".join(f"{x:10.4f}" for x in xyz)
        lines.append(f"{position} {symbol:<3} 0{0 if place else code:3d}")
    lines += [*properties.splitlines(), "M  END"]
    for tag, value in items.items():
        lines += [f"> <{tag}>", str(value), ""]
    return "\n".join([*lines, "$$$$", ""])


def partial(charge: float) -> np.ndarray:
    """Charges of the atoms that sum to this total, printed with three decimals."""
    return np.round(np.array([-0.8, 0.2, 0.2, 0.2, 0.2]) + charge / 5, 3)


def in_xyz_key(file: Path, key: str, charge: int) -> Path:
    ase.io.write(file.with_suffix(".xyz"), nitrogen(name="ion", **{key: charge}), format="extxyz")
    return file.with_suffix(".xyz")


def in_xyz_formal(file: Path, key: str, charge: int) -> Path:
    return _initial(file, [charge, 0, 0, 0, 0])


def in_xyz_partial(file: Path, key: str, charge: int) -> Path:
    return _initial(file, partial(charge))


def _initial(file: Path, charges: Any) -> Path:
    lines = ["5", "Properties=species:S:1:pos:R:3:initial_charges:R:1 name=ion"]
    for symbol, xyz, q in zip(SYMBOLS, POSITIONS, charges, strict=True):
        lines.append(f"{symbol} {xyz[0]} {xyz[1]} {xyz[2]} {q}")
    file.with_suffix(".xyz").write_text("\n".join(lines) + "\n")
    return file.with_suffix(".xyz")


def in_database(suffix: str, where: str) -> Callable[[Path, str, int], Path]:
    def write(file: Path, key: str, charge: int) -> Path:
        atoms, path = nitrogen(), file.with_suffix(suffix)
        path.unlink(missing_ok=True)
        if where == "row.charge":
            atoms.set_initial_charges([charge, 0, 0, 0, 0])
        # ASE keeps 'charge' for itself.
        key = "total_charge" if key == "charge" else key
        entry = {key: charge}
        with connect(path, use_lock_file=False) as database:
            database.write(
                atoms,
                key_value_pairs=entry if where == "pairs" else {},
                data=(entry if where == "data" else {}) | {"name": "ion"},
            )
        return path

    return write


def in_arrays(file: Path, key: str, charge: int) -> Path:
    path = file.with_suffix(".npz")
    numbers = nitrogen().numbers
    arrays = {"natoms": [5], "numbers": numbers, "positions": POSITIONS, "name": ["ion"]}
    np.savez(path, **arrays, **{key: np.array([charge])})
    return path


def in_sd_item(file: Path, key: str, charge: int) -> Path:
    file.with_suffix(".sdf").write_text(sd_text({key: f"{charge:+d}"}))
    return file.with_suffix(".sdf")


def in_sd_lines(file: Path, key: str, charge: int) -> Path:
    lines = f"M  CHG  2   1{charge:4d}   2   1\nM  CHG  1   3  -1"
    file.with_suffix(".sdf").write_text(sd_text({}, lines, code=7))
    return file.with_suffix(".sdf")


def in_sd_codes(file: Path, key: str, charge: int) -> Path:
    file.with_suffix(".sdf").write_text(sd_text({}, code=4 - charge if charge else 0))
    return file.with_suffix(".sdf")


PLACES = {
    "xyz key": in_xyz_key,
    "xyz formal": in_xyz_formal,
    "xyz partial": in_xyz_partial,
    "db row.charge": in_database(".db", "row.charge"),
    "db pairs": in_database(".db", "pairs"),
    "db data": in_database(".db", "data"),
    "json data": in_database(".json", "data"),
    "npz": in_arrays,
    "sd item": in_sd_item,
    "sd lines": in_sd_lines,
    "sd codes": in_sd_codes,
}


@pytest.mark.parametrize("place", PLACES)
@given(key=st.sampled_from(KEYS), charge=st.integers(-3, 3))
@settings(
    max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
def test_the_same_molecule_from_every_place(
    tmp_path: Path, place: str, key: str, charge: int
) -> None:
    file = PLACES[place](tmp_path / "ion", key, charge)
    molecules = read(file)
    assert molecules.total_charge.tolist() == [charge]
    assert molecules.names.tolist() == ["ion"]
    assert molecules.numbers.tolist() == [7, 1, 1, 1, 1]
    np.testing.assert_allclose(molecules.positions, POSITIONS, atol=1e-4)
    [part] = read_parts(file, 10)
    assert part.total_charge.tolist() == [charge]
    # What the user says counts.
    assert read(file, total_charge=charge + 1).total_charge.tolist() == [charge + 1]


def test_only_the_array_of_ase_knows_the_charge() -> None:
    atoms = nitrogen()
    atoms.set_initial_charges([1, 0, 0, 0, 0])
    assert as_molecules(atoms).total_charge.tolist() == [1]
    sentence = "total charge: from initial_charges (1"
    assert any(line.startswith(sentence) for line in as_molecules(atoms).notes.assumed)


@pytest.mark.parametrize("key", KEYS[:4])
def test_two_places_that_disagree(tmp_path: Path, key: str) -> None:
    atoms = nitrogen(name="odd one", **{key: 2})
    atoms.set_initial_charges([1, 0, 0, 0, 0])
    with pytest.raises(InputError) as caught:
        as_molecules([atoms])
    text = str(caught.value)
    assert "molecule 0 ('odd one')" in text
    assert f"+2 e by '{key}' and +1 e by the sum of 'initial_charges'" in text
    assert "--total-charge" in text
    assert as_molecules(atoms, total_charge=key).total_charge.tolist() == [2]
    assert as_molecules(atoms, total_charge="initial_charges").total_charge.tolist() == [1]
    assert as_molecules(atoms, total_charge=1).total_charge.tolist() == [1]
    atoms.info[key] = 1.0
    assert as_molecules(atoms).total_charge.tolist() == [1]


def test_disagreement_in_other_formats(tmp_path: Path) -> None:
    file = tmp_path / "ion.sdf"
    file.write_text(sd_text({"Charge": 0, "mine": 1}, "M  CHG  1   1   1"))
    with pytest.raises(InputError, match=r"ion.sdf, line 1.* \+0 e by 'Charge' and \+1 e by 'M  C"):
        read(file)
    assert read(file, total_charge="M  CHG").total_charge.tolist() == [1]
    assert read(file, total_charge="charge").total_charge.tolist() == [0]
    assert read(file, total_charge="mine").total_charge.tolist() == [1]
    flat = {"natoms": [1, 1], "numbers": [9, 9], "positions": [[0, 0, 0]] * 2}
    np.savez(tmp_path / "m.npz", **flat, charge=[-1, -1], q=[-1, 0])
    with pytest.raises(InputError, match=r"m.npz: molecule 1: .* -1 e by 'charge' and \+0 e by 'q"):
        read(tmp_path / "m.npz")
    assert read(tmp_path / "m.npz", total_charge="q").total_charge.tolist() == [-1, 0]


@pytest.mark.parametrize("value", [0.5, -0.37, "1/2"])
def test_charges_that_are_no_whole_numbers(tmp_path: Path, value: object) -> None:
    with pytest.raises(InputError, match=r"molecule 0 .'0'.: 'charge' holds .*total-charge KEY"):
        as_molecules(nitrogen(charge=value))
    file = tmp_path / "ion.sdf"
    file.write_text(sd_text({"total charge": value}))
    with pytest.raises(InputError, match=r"ion.sdf, line 1 .*'total charge' holds"):
        read(file)
    with pytest.raises(InputError, match="expected a key or a whole number"):
        as_molecules(nitrogen(), total_charge=0.5)


def test_charges_of_atoms_are_no_total_charge(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'charge' holds 5 numbers.*charges_key='charge'"):
        as_molecules(nitrogen(charge=partial(0)))
    named = as_molecules(nitrogen(charge=partial(0)), charges_key="charge")
    assert named.has_charges.all()
    assert named.total_charge.tolist() == [0]
    assert as_molecules(nitrogen(q=partial(0))).total_charge.tolist() == [0]
    file = tmp_path / "ion.sdf"
    file.write_text(sd_text({"charge": "-0.8|0.2|0.2|0.2|0.2"}))
    with pytest.raises(InputError, match=r"'charge' holds 5 numbers.*charges_key='charge'"):
        read(file)
    assert read(file, charges_key="charge").has_charges.all()


def test_initial_charges_that_say_nothing() -> None:
    atoms = nitrogen(charge=1)
    atoms.set_initial_charges(np.zeros(5))  # as programs write them that set none
    assert as_molecules(atoms).total_charge.tolist() == [1]
    atoms.set_initial_charges([0.4, 0, 0, 0, 0])
    assert as_molecules(atoms).total_charge.tolist() == [1]
    del atoms.info["charge"]
    with pytest.warns(UserWarning, match=r"initial_charges of 1 molecule .*whole number.*'0'"):
        assert as_molecules(atoms).total_charge.tolist() == [0]
    assert as_molecules(atoms, total_charge=0).total_charge.tolist() == [0]


def test_a_named_key(tmp_path: Path) -> None:
    atoms = [nitrogen(mine=1, charge=0), nitrogen(charge=1)]
    with pytest.warns(UserWarning, match=r"1 of 2 molecules have no key 'mine'"):
        assert as_molecules(atoms, total_charge="mine").total_charge.tolist() == [1, 0]
    with pytest.raises(InputError, match=r"total_charge='other': found in no.*keys present: mine"):
        as_molecules(atoms, total_charge="other")
    ase.io.write(tmp_path / "m.xyz", [nitrogen(), nitrogen(), nitrogen(mine=1)], format="extxyz")
    with pytest.warns(UserWarning, match=r"2 of 3 molecules have no key"):
        parts = list(read_parts(tmp_path / "m.xyz", 2, total_charge="mine"))
    assert np.concatenate([part.total_charge for part in parts]).tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    "line", ["M  CHG", "M  CHG  1", "M  CHG  2   1   1", "M  CHG  1   1   x", "M  CHG  1 1 1 2 1"]
)
def test_damaged_lines_of_formal_charges(tmp_path: Path, line: str) -> None:
    (tmp_path / "ion.sdf").write_text(sd_text({}, line))
    with pytest.raises(FileFormatError, match=r"ion.sdf, line 1 .*expected 'M  CHG'"):
        read(tmp_path / "ion.sdf")


# Odd electrons


def test_odd_electrons_are_counted_and_named_over_parts() -> None:
    ions = [nitrogen(name=f"ion{k}", charge=k % 2) for k in range(10)]
    molecules = as_molecules(ions)
    assert has_odd_electrons(molecules).tolist() == [True, False] * 5
    assert molecules.summary().n_odd_electrons == 5
    odd = OddElectrons()
    odd.add(molecules[:4])
    odd.add(molecules[4:])
    with pytest.warns(
        UserWarning, match=r"5 of 10 mol.*'ion0', 'ion2', 'ion4' and 2 more.*--total"
    ):
        odd.warn()
    none = OddElectrons()
    none.add(molecules[1::2])
    none.warn()


def test_charges_that_are_no_whole_numbers_are_not_odd() -> None:
    assert not has_odd_electrons(Molecules([1], [[0, 0, 0]], [0, 1], total_charge=[0.5])).any()


# The origin of dipoles of ions


@pytest.mark.parametrize("far", [True, False])
def test_dipoles_of_ions_about_zero_are_doubted(far: bool) -> None:
    about_zero = nitrogen(charge=1)
    about_zero.positions += 4.0
    about_zero.info["dipole"] = about_zero.get_center_of_mass() if far else [0.1, 0, 0]
    if not far:
        assert as_molecules(about_zero).has_vector.all()
        return
    with pytest.warns(
        UserWarning, match=r"about the origin.*'0' has 33.3 debye, and .*e-1[0-9] ab"
    ):
        as_molecules(about_zero)


def test_a_likely_key_of_the_total_charge_is_proposed() -> None:
    found = as_molecules(nitrogen(formal_charge=1))
    assert "--total-charge formal_charge" in " ".join(found.notes.assumed)
    assert as_molecules(nitrogen(formal_charge=1), total_charge="formal_charge").total_charge == [1]
