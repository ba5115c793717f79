"""Predictions in files never pass as labels, whatever program writes or reads them."""

import gzip
import zipfile
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from dipkit.data.datasets import load_organics
from dipkit.data.formats.predicted_atoms import predictions_to_atoms
from dipkit.data.io import as_molecules, read, to_atoms, write, write_atoms
from dipkit.data.label_keys import missing_labels_error
from dipkit.data.molecules import Molecules
from dipkit.data.predicted_keys import CALCULATOR_NAME
from dipkit.exceptions import InputError
from dipkit.learning.labels import read_labels
from dipkit.units import DEBYE_PER_E_ANGSTROM

MOLECULES = load_organics()[:3]
RNG = np.random.default_rng(0)
DIPOLES = RNG.normal(size=(3, 3))
CHARGES = MOLECULES.charges + 0.01
ATOMIC = RNG.normal(size=(MOLECULES.n_atoms, 3))


def predicted(ase_results: bool = False) -> list[Atoms]:
    return predictions_to_atoms(
        MOLECULES,
        DIPOLES,
        CHARGES,
        std=[0.1, 0.2, 0.3],
        atomic_dipoles=ATOMIC,
        predicted_by="water.dipkit",
        ase_results=ase_results,
    )


def by_calculator() -> list[Atoms]:
    """Atoms as `DipkitCalculator` leaves them in a trajectory."""
    frames = to_atoms(MOLECULES)
    for frame in frames:
        del frame.info["dipole_debye"]
        frame.calc.name = CALCULATOR_NAME
    return frames


class Frame:
    """A table with named columns."""

    def __init__(self, columns: dict[str, list]):
        self.values, self.columns = columns, list(columns)
        self.shape = len(columns["atoms"]), len(columns)

    def __getitem__(self, name: str) -> list:
        return self.values[name]

    def __len__(self) -> int:
        return self.shape[0]


# Ammonia without hydrogens: what counts are the items.
SDF = """one
  made

  1  0  0  0  0  0  0  0  0  0999 V2000
    0.0000    0.0000    0.0000 N   0  0  0  0  0  0
M  END
> <predicted_by>
water.dipkit

> <predicted_dipole_debye>
1.5

> <predicted_charges>
0.0

$$$$
"""


@pytest.mark.parametrize("suffix", [".xyz", ".db", ".json"])
@pytest.mark.parametrize("ase_results", [False, True])
def test_predictions_are_not_labels(tmp_path: Path, suffix: str, ase_results: bool) -> None:
    file = tmp_path / f"predicted{suffix}"
    write_atoms(file, predicted(ase_results))
    found = [read(file)]
    if suffix == ".xyz":
        found.append(as_molecules(ase.io.read(file, ":")))
    for molecules in found:
        assert not molecules.has_magnitude.any()
        assert not molecules.has_vector.any()
        assert not molecules.has_charges.any()
        with pytest.raises(InputError, match="predictions are not read as labels"):
            read_labels(molecules, None, None, None)


def test_values_come_back(tmp_path: Path) -> None:
    file = tmp_path / "predicted.xyz"
    write_atoms(file, predicted())
    frames = ase.io.read(file, ":")
    assert all(frame.calc is None for frame in frames)
    first = frames[0].info
    assert first["predicted_by"] == "water.dipkit"
    assert first["name"] == MOLECULES.names[0]
    assert first["predicted_dipole_debye"] == pytest.approx(np.linalg.norm(DIPOLES[0]))
    np.testing.assert_allclose(first["predicted_dipole_vector_debye"], DIPOLES[0], atol=1e-7)
    assert [frame.info["predicted_std_debye"] for frame in frames] == [0.1, 0.2, 0.3]
    charges = np.concatenate([frame.arrays["predicted_charges"] for frame in frames])
    np.testing.assert_allclose(charges, CHARGES, atol=1e-7)
    atomic = np.concatenate([frame.arrays["predicted_atomic_dipoles_debye"] for frame in frames])
    np.testing.assert_allclose(atomic, ATOMIC, atol=1e-7)


def test_results_of_ase_on_demand(tmp_path: Path) -> None:
    file = tmp_path / "predicted.xyz"
    write_atoms(file, predicted(ase_results=True))
    frames = ase.io.read(file, ":")
    dipoles = np.array([frame.get_dipole_moment() for frame in frames]) * DEBYE_PER_E_ANGSTROM
    np.testing.assert_allclose(dipoles, DIPOLES, atol=1e-6)
    charges = np.concatenate([frame.get_charges() for frame in frames])
    np.testing.assert_allclose(charges, CHARGES, atol=1e-6)


def test_a_fit_to_labels_beside_predictions_warns() -> None:
    frames = predicted(ase_results=True)
    for frame in frames:
        frame.info["dipole_debye"] = 1.0
    molecules = as_molecules(frames)
    np.testing.assert_array_equal(molecules.dipole_magnitude, 1.0)
    assert not molecules.has_vector.any()
    with pytest.warns(UserWarning, match="'predicted_by' says that these are predictions"):
        read_labels(molecules, None, None, None)
    read_labels(molecules, [1.0, 2.0, 3.0], None, None)  # these labels come from elsewhere


def test_predictions_in_a_trajectory_are_not_labels() -> None:
    atoms = Atoms("H")
    atoms.calc = SinglePointCalculator(atoms, dipole=np.ones(3), charges=np.zeros(1))
    assert as_molecules(atoms).has_vector.all()
    atoms.calc.name = CALCULATOR_NAME
    assert not as_molecules(atoms).has_vector.any()
    assert not as_molecules(atoms).has_charges.any()


def test_what_failed_has_no_prediction() -> None:
    dipoles = DIPOLES.copy()
    dipoles[1] = np.nan
    frames = predictions_to_atoms(MOLECULES, dipoles, CHARGES, ase_results=True)
    assert "predicted_dipole_debye" not in frames[1].info
    assert "predicted_charges" not in frames[1].arrays
    assert frames[1].calc is None
    assert frames[2].calc is not None


def test_labels_of_the_molecules_are_left_out() -> None:
    for frame in predicted():
        assert set(frame.info) == {
            "name", "charge", "predicted_by", "predicted_dipole_debye",
            "predicted_dipole_vector_debye", "predicted_std_debye",
        }  # fmt: skip
        assert "baseline_charges" not in frame.arrays


def test_wrong_shape() -> None:
    n = MOLECULES.n_atoms
    with pytest.raises(InputError, match=rf"expected shapes \(3, 3\) and \({n},\)"):
        predictions_to_atoms(MOLECULES, np.zeros(3), np.zeros(n))


def test_the_hint_is_only_for_predictions() -> None:
    assert "predictions" not in str(missing_labels_error("dipole", ("energy",)))
    assert "predictions" in str(missing_labels_error("dipole", ("predicted_by",)))
    bare = Molecules([8], [[0.0, 0, 0]], [0, 1])
    with pytest.raises(InputError) as caught:
        read_labels(bare, None, None, None)
    assert "predicted" not in str(caught.value)


def test_no_hint_proposes_a_prediction(tmp_path: Path) -> None:
    write_atoms(tmp_path / "predicted.xyz", predicted())
    molecules = read(tmp_path / "predicted.xyz")
    for kind in ("dipole", "charges"):
        error = missing_labels_error(kind, molecules.source_keys, molecules.notes.numeric_keys)
        assert "Perhaps" not in str(error)
        assert "predictions are not read as labels" in str(error)


@pytest.mark.parametrize(
    "name", ["p.xyz.gz", "p.extxyz", "folder", "p.zip", "p.traj", "p.npz", "p.sdf"]
)
def test_predictions_in_other_files_are_not_labels(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    frames = predicted(ase_results=True)
    plain = tmp_path / "plain.xyz"
    write_atoms(plain, frames)
    if name == "folder":
        file.mkdir()
        plain.rename(file / "p.xyz")
    elif name == "p.zip":
        with zipfile.ZipFile(file, "w") as archive:
            archive.write(plain, "p.xyz")
    elif name == "p.xyz.gz":
        file.write_bytes(gzip.compress(plain.read_bytes()))
    elif name == "p.extxyz":
        plain.rename(file)
    elif name == "p.traj":
        ase.io.write(file, by_calculator())
    elif name == "p.npz":
        write(file, read(plain), info={"predicted_by": "water.dipkit"})
        with np.load(file) as arrays:
            more = {"predicted_dipole_debye": np.ones(3), "predicted_charges": CHARGES}
            np.savez(file, **arrays, **more)
    else:
        file.write_text(SDF)
    molecules = read(file)
    assert not molecules.has_magnitude.any()
    assert not molecules.has_vector.any()
    assert not molecules.has_charges.any()
    hinted = name not in ("p.traj",)
    with pytest.raises(InputError) as caught:
        read_labels(molecules, None, None, None)
    assert "Perhaps" not in str(caught.value)
    assert ("predictions are not read as labels" in str(caught.value)) == hinted


def test_data_frames_and_tables_of_predictions(tmp_path: Path) -> None:
    atoms = to_atoms(MOLECULES.replace(dipole_magnitude=None, dipole_vector=None, charges=None))
    columns = {"atoms": atoms, "predicted_dipole_debye": [1.0, 2.0, 3.0]}
    molecules = as_molecules(Frame(columns))
    assert not molecules.has_magnitude.any()
    table = tmp_path / "p.csv"
    rows = [f"{name},1.0\n" for name in MOLECULES.names]
    table.write_text("name,predicted_dipole_debye\n" + "".join(rows))
    with pytest.raises(InputError, match="Predictions are not read as labels"):
        as_molecules(atoms, labels_file=table)
    with pytest.warns(UserWarning, match="these are predictions of a model"):
        found = as_molecules(atoms, labels_file=table, dipole_key="predicted_dipole_debye")
    np.testing.assert_array_equal(found.dipole_magnitude, 1.0)


def test_a_named_prediction_is_warned_of(tmp_path: Path) -> None:
    frames = predictions_to_atoms(MOLECULES, DIPOLES, MOLECULES.charges)
    write_atoms(tmp_path / "predicted.xyz", frames)
    with pytest.warns(UserWarning, match="dipole_key='predicted_dipole_debye'"):
        read(tmp_path / "predicted.xyz", dipole_key="predicted_dipole_debye")
    with pytest.warns(UserWarning, match="charges_key='predicted_charges'"):
        read(tmp_path / "predicted.xyz", charges_key="predicted_charges")
