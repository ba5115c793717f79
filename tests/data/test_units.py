"""Units of dipoles and positions: declared ones are obeyed or refused, unlikely ones are told."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect
from ase.io import write as ase_write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dipkit.data.datasets import load_organics
from dipkit.data.dipole_size import compare_size, warn_size
from dipkit.data.io import as_molecules, read, read_parts
from dipkit.data.length_units import MAX_ATOMS, nearest_ratios, warn_lengths
from dipkit.data.molecules import Molecules
from dipkit.data.unit_words import (
    ANGSTROM_PER,
    DEBYE_PER,
    dipole_unit_of,
    length_unit_of,
    suffix_unit,
)
from dipkit.exceptions import InputError

DEBYE = 1.893  # of the water of these tests
WORDS = {
    "debye": ("debye", "D", "Debye"),
    "e-angstrom": ("e*angstrom", "eA", "e Ang", "e-angstrom"),
    "au": ("a.u.", "au", "e*bohr", "ea0"),
}
LENGTHS = {"angstrom": ("Ang", "angstrom", "A"), "bohr": ("Bohr", "a.u.", "a0")}
SUFFIXES = {"debye": ("_debye", "_D"), "e-angstrom": ("_eA", "_e_angstrom"), "au": ("_au",)}
BRANCHES = [(unit, word) for unit, words in WORDS.items() for word in words]


def water(unit: str = "debye", length: str = "angstrom", vector: bool = True):
    """Atoms in a unit of length, and the label in a unit of dipoles."""
    atoms = molecule("H2O")
    atoms.positions /= ANGSTROM_PER[length]
    label = np.array([0, 0, -DEBYE]) if vector else DEBYE
    return atoms, label / DEBYE_PER[unit]


def check(found: Molecules) -> None:
    assert found.dipole_magnitude == pytest.approx([DEBYE])
    assert found.positions == pytest.approx(molecule("H2O").positions)


@pytest.mark.parametrize(("unit", "word"), BRANCHES)
def test_words_of_units(unit: str, word: str) -> None:
    assert dipole_unit_of(word) == unit


@pytest.mark.parametrize("word", ["eV", "", "nonsense", "e", "hartree", "m"])
def test_other_words_are_no_units(word: str) -> None:
    assert dipole_unit_of(word) is None
    assert length_unit_of(word) is None


@pytest.mark.parametrize(
    "key", ["dipole", "mu", "dipole_d", "method", "dipole (B3LYP)", "REF_dipole"]
)
def test_keys_without_a_unit(key: str) -> None:
    assert suffix_unit(key) is None


def save(folder: Path, suffix: str, atoms: Atoms, info: dict, metadata: dict) -> Path:
    """Write without dipkit; an SD file has its own code below."""
    path = folder / f"water{suffix}"
    path.unlink(missing_ok=True)
    if suffix == ".xyz":
        for key, value in metadata.items():
            info = info | {key: value}
        frame = atoms.copy()
        frame.info = info
        ase_write(path, frame, format="extxyz")
    elif suffix == ".db":
        with connect(path) as database:
            database.write(atoms, data={k: np.asarray(v).tolist() for k, v in info.items()})
            database.metadata = metadata
    elif suffix == ".npz":
        arrays = {k: np.array([v]) for k, v in info.items()}
        arrays |= {k: np.array(v) for k, v in metadata.items()}
        np.savez(path, natoms=[3], numbers=atoms.numbers, positions=atoms.positions, **arrays)
    else:
        lines = ["water", "  made-up 0101000000003D", "", "  3  0  0  0  0  0  0  0  0  0999 V2000"]
        lines += [
            "".join(f"{x:10.4f}" for x in row) + f" {symbol:3} 0  0"
            for symbol, row in zip(atoms.symbols, atoms.positions, strict=True)
        ]
        lines.append("M  END")
        for key, value in (info | metadata).items():
            text = value if isinstance(value, str) else " ".join(map(str, np.atleast_1d(value)))
            lines += [f"> <{key}>", text, ""]
        path.write_text("\n".join([*lines, "$$$$", ""]))
    return path


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60
)
@given(
    suffix=st.sampled_from([".xyz", ".db", ".npz", ".sdf"]),
    branch=st.sampled_from(BRANCHES),
    length=st.sampled_from(["angstrom", "bohr"]),
    vector=st.booleans(),
    said=st.sampled_from(["option", "key", "own word"]),
    charge=st.integers(-2, 2),
    place=st.sampled_from(["total_charge", "net_charge", "Charge", "q"]),
    data=st.data(),
)
def test_written_in_any_unit_read_as_the_same_molecule(
    tmp_path: Path,
    suffix: str,
    branch,
    length: str,
    vector: bool,
    said: str,
    charge: int,
    place: str,
    data,
) -> None:
    unit, word = branch
    atoms, label = water(unit, length, vector)
    options, metadata, key = {"dipole_key": "label"}, {}, "label"
    if said == "option":
        options |= {"dipole_unit": unit, "length_unit": length}
    else:
        metadata["distance_unit"] = data.draw(st.sampled_from(LENGTHS[length]))
        if said == "key":
            key = "dipole" + data.draw(st.sampled_from(SUFFIXES[unit]))
            options = {}
        else:
            metadata["dipole_unit"] = word
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        file = save(tmp_path, suffix, atoms, {key: label, place: charge}, metadata)
        found = read(file, **options)
    assert found.dipole_magnitude == pytest.approx([DEBYE], rel=1e-6)
    assert found.has_vector.all() == vector
    assert found.total_charge.tolist() == [charge]
    # SD files print four decimals.
    assert found.positions == pytest.approx(molecule("H2O").positions, abs=1e-4)
    assert found.notes.dipole_unit == unit


def test_header_in_atomic_units_and_positions_in_angstrom() -> None:
    atoms, label = water("au")
    atoms.info = {"dipole": label, "units": "atomic"}
    check(as_molecules(atoms))
    atoms.positions /= ANGSTROM_PER["bohr"]
    check(as_molecules(atoms))


@pytest.mark.parametrize("units", ["eV", "eV, Angstrom", "kcal/mol", "Hartree/Bohr"])
def test_general_units_of_other_quantities(units: str) -> None:
    atoms, label = water("e-angstrom")
    atoms.info = {"dipole": label, "units": units}
    check(as_molecules(atoms))


def test_results_of_a_calculator_obey_the_option() -> None:
    atoms, label = water("au")
    atoms.calc = SinglePointCalculator(atoms, dipole=label)
    check(as_molecules(atoms, dipole_unit="au"))


@pytest.mark.parametrize(
    "metadata",
    [
        {"_distance_unit": "Bohr", "_property_unit_dict": {"dipole_moment": "a.u."}},
        {"distance_unit": "Bohr", "dipole_moment": "a.u."},
        {"units": {"positions": "bohr", "dipole": "a.u."}},
    ],
)
def test_metadata_of_a_database(tmp_path: Path, metadata: dict) -> None:
    atoms, label = water("au", "bohr", vector=False)
    path = save(tmp_path, ".db", atoms, {"dipole_moment": [label]}, metadata)
    check(read(path, dipole_key="dipole_moment"))
    (part,) = read_parts(path, 10)
    assert part.positions == pytest.approx(molecule("H2O").positions)
    with pytest.raises(InputError, match=r"dipole_unit='debye' contradicts .* au by .*metadata"):
        read(path, dipole_key="dipole_moment", dipole_unit="debye")
    with pytest.raises(InputError, match=r"length_unit='angstrom' contradicts .* bohr by .*metad"):
        read(path, length_unit="angstrom")


@pytest.mark.parametrize(
    ("info", "message"),
    [
        (
            {"dipole_au": [0, 0, 1.0], "dipole_unit": "debye"},
            "'dipole_au' says au and 'dipole_unit'",
        ),
        ({"mu": 1.0, "mu_units": "furlong"}, "unknown dipole unit 'furlong'.*--dipole-unit"),
        ({"dipole": [0, 0, 1.0], "units": "furlong"}, "unknown dipole unit 'furlong'"),
        ({"mu": 1.0, "length_unit": "nm"}, "unknown length unit 'nm'.*--length-unit"),
    ],
)
def test_unclear_units_are_refused(info: dict, message: str) -> None:
    atoms, _ = water()
    atoms.info = info
    with pytest.raises(InputError, match=message):
        as_molecules(atoms)


def test_the_option_decides_where_the_word_is_unknown() -> None:
    atoms, label = water("au")
    atoms.info = {"dipole": label, "units": "of mine"}
    check(as_molecules(atoms, dipole_unit="au"))


def test_the_option_contradicts_a_key() -> None:
    atoms, _ = water()
    atoms.info = {"dipole_debye": DEBYE}
    with pytest.raises(InputError, match=r"dipole_unit='au' contradicts .*'dipole_debye'"):
        as_molecules(atoms, dipole_unit="au")


def test_vectors_under_keys_in_debye() -> None:
    atoms, label = water()
    atoms.info = {"dipole_debye": label}
    assert as_molecules(atoms).dipole_vector == pytest.approx(label[None])
    atoms.info = {"mu": label}
    with pytest.raises(InputError, match="name its unit"):
        as_molecules(atoms)
    check(as_molecules(atoms, dipole_unit="debye"))


def test_formats_with_fixed_units(tmp_path: Path) -> None:
    (tmp_path / "structures.csv").write_text("molecule_name,atom_index,atom,x,y,z\na,0,O,0,0,0\n")
    with pytest.raises(InputError, match="dipole_unit='au': the CSV files of CHAMPS are in debye"):
        read(tmp_path, dipole_unit="au")
    with pytest.raises(InputError, match="length_unit='bohr'"):
        read(tmp_path, length_unit="bohr")


def test_vectors_in_a_file_in_bohr_are_asked_about() -> None:
    atoms, label = water("au", "bohr")
    atoms.info = {"dipole": label}
    with pytest.warns(UserWarning, match="in atomic units too: say dipole_unit"):
        as_molecules(atoms, length_unit="bohr")
    check(as_molecules(atoms, length_unit="bohr", dipole_unit="au"))


@pytest.mark.parametrize(
    ("factor", "unit"), [(1 / 0.529177, "bohr"), (0.1, "nm"), (100, "pm"), (0.529177, "already")]
)
def test_positions_in_another_unit_are_told(factor: float, unit: str) -> None:
    organics = load_organics()[:5]
    with pytest.warns(UserWarning, match=f"Perhaps they are in .*{unit}"):
        warn_lengths(organics.numbers, organics.positions * factor, organics.offsets)


@pytest.mark.parametrize("name", ["H2", "LiF", "NaCl", "SiH4", "CH3Cl", "P2", "Li2", "SO2", "C60"])
def test_positions_in_angstrom_are_not_warned_of(name: str) -> None:
    atoms = molecule(name)
    warn_lengths(atoms.numbers, atoms.positions, np.array([0, len(atoms)]))


def test_a_file_in_bohr_warns_when_read() -> None:
    atoms, _ = water(length="bohr")
    with pytest.warns(UserWarning, match=r"length_unit='bohr' \(--length-unit bohr\)"):
        as_molecules(atoms)
    check_geometry = as_molecules(atoms, length_unit="bohr").positions
    assert check_geometry == pytest.approx(molecule("H2O").positions)


def variant(molecules: Molecules, references: str) -> Molecules:
    """Molecules whose rough dipoles come from one source."""
    bare = {"baseline": {}, "charges": {"baseline_dipole": None, "baseline_charges": None}}
    bare["rule"] = bare["charges"] | {"charges": None}
    return molecules.replace(**bare[references])


@pytest.mark.parametrize("references", ["baseline", "charges", "rule"])
@pytest.mark.parametrize(("read_in", "true"), [("e-angstrom", "debye"), ("debye", "e-angstrom")])
@pytest.mark.parametrize("vectors", [True, False])
def test_labels_in_another_unit_are_told(
    references: str, read_in: str, true: str, vectors: bool
) -> None:
    molecules = variant(load_organics()[:100], references)
    factor = DEBYE_PER[read_in] / DEBYE_PER[true]
    changes = {"dipole_magnitude": molecules.dipole_magnitude * factor}
    changes["dipole_vector"] = molecules.dipole_vector * factor if vectors else None
    with pytest.warns(UserWarning, match=rf"dipole_unit='{true}' \(--dipole-unit {true}\)"):
        warn_size(molecules.replace(**changes), read_in)


@pytest.mark.parametrize(("read_in", "true"), [("e-angstrom", "au"), ("debye", "au")])
def test_atomic_units_are_told_by_charges(read_in: str, true: str) -> None:
    molecules = variant(load_organics()[:200], "charges")
    factor = DEBYE_PER[read_in] / DEBYE_PER[true]
    magnitudes = molecules.dipole_magnitude * factor
    with pytest.warns(UserWarning, match=f"dipole_unit='{true}'"):
        warn_size(molecules.replace(dipole_magnitude=magnitudes, dipole_vector=None), read_in)


@pytest.mark.parametrize("references", ["baseline", "charges", "rule"])
def test_right_labels_are_not_warned_of(references: str) -> None:
    molecules = variant(load_organics()[:400], references)
    rng = np.random.default_rng(0)
    for size in (1, 4, 5, 5, 5, 10, 10, 20, 50, 200):
        part = molecules[rng.choice(len(molecules), size, replace=False)]
        warn_size(part, "debye")
        found = compare_size(part)
        assert found is None or not found.certain


def test_units_are_checked_when_a_file_is_read(tmp_path: Path) -> None:
    frames = []
    for part in load_organics()[:40]:
        atoms = Atoms(part.numbers, part.positions)
        atoms.info["dipole"] = part.dipole_vector[0]  # debye, where e*angstrom is usual
        atoms.arrays["mulliken"] = part.charges
        frames.append(atoms)
    ase_write(tmp_path / "debye.xyz", frames, format="extxyz")
    with pytest.warns(UserWarning, match="the charges of the atoms give.*--dipole-unit debye"):
        read(tmp_path / "debye.xyz")
    found = read(tmp_path / "debye.xyz", dipole_unit="debye")
    assert found.dipole_vector == pytest.approx(load_organics()[:40].dipole_vector, abs=1e-6)
    assert "dipole_unit='debye'" in json.dumps(found.summary().as_dict())


@pytest.mark.parametrize(
    ("key", "unit"),
    [("mu / D", "debye"), ("Dipole Moment (Debye)", "debye"), ("dipole, D", "debye"),
     ("dipole moment / a.u.", "au"), ("mu / e*A", "e-angstrom")],
)  # fmt: skip
def test_units_behind_a_slash_or_a_comma(key: str, unit: str) -> None:
    atoms, label = water(unit, vector=False)
    atoms.info = {key: label}
    check(as_molecules(atoms))


@pytest.mark.parametrize("key", ["mu (C*m)", "mu / C m", "dipole_mD", "dipole [1e-30 C m]"])
def test_a_unit_of_another_kind_is_not_ignored(key: str) -> None:
    atoms, _ = water()
    atoms.info = {key: 1.0}
    with pytest.raises(InputError, match=r"unknown dipole unit.*--dipole-unit"):
        as_molecules(atoms, dipole_key=key)


def test_coulomb_metre_are_told_when_read() -> None:
    atoms, _ = water()
    atoms.info = {"mu": DEBYE * 3.33564e-30}
    with pytest.warns(UserWarning, match="coulomb metre: multiply them by"):
        as_molecules(atoms)
    atoms.info = {"mu": 1e-9}  # a symmetric molecule
    assert as_molecules(atoms).dipole_magnitude == pytest.approx([1e-9])


def test_nearest_atoms_of_molecules_together_are_those_of_each_alone() -> None:
    organics = load_organics()[:40]
    alone = [nearest_ratios(one.numbers, one.positions, one.offsets) for one in organics]
    together = nearest_ratios(organics.numbers, organics.positions, organics.offsets)
    np.testing.assert_array_equal(together, np.concatenate(alone))
    broken = organics.positions.copy()
    broken[organics.offsets[3]] = np.nan  # one molecule is left out
    rest = nearest_ratios(organics.numbers, broken, organics.offsets)
    np.testing.assert_array_equal(rest, np.concatenate(alone[:3] + alone[4:]))


def test_nearest_atoms_are_looked_for_in_the_first_molecules_of_a_large_set() -> None:
    pair = np.tile([[0.0, 0.0, 0.0], [0.0, 0.0, 0.74]], (MAX_ATOMS, 1))
    offsets = np.arange(0, 2 * MAX_ATOMS + 1, 2)
    found = nearest_ratios(np.ones(2 * MAX_ATOMS, dtype=np.int64), pair, offsets)
    assert len(found) == MAX_ATOMS + 2
    helium = nearest_ratios(np.full(2, 2), pair[:2], offsets[:2])
    assert (
        helium.size == nearest_ratios(np.ones(1, dtype=np.int64), pair[:1], np.arange(2)).size == 0
    )
