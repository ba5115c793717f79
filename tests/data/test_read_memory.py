"""Reading takes at most three times the unpacked size of a file in memory.

``benchmarks/memory_of_readers.py`` measures all formats, with larger files.
"""

import re
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase.data import chemical_symbols

from dipkit.data import geometry_checks
from dipkit.data.datasets import load_organics
from dipkit.data.formats.records import Record, assemble
from dipkit.data.io import read, write
from dipkit.data.molecules import Molecules
from dipkit.exceptions import InputError

MOST_TIMES = 3


def many(n_sets: int) -> Molecules:
    return Molecules.concatenate([load_organics()] * n_sets)


def npz(folder: Path) -> tuple[Path, int]:
    path = folder / "set.npz"
    write(path, many(2))
    with zipfile.ZipFile(path) as archive:
        return path, sum(member.file_size for member in archive.infolist())


def champs(folder: Path) -> tuple[Path, int]:
    structures, charges = ["molecule_name,atom_index,atom,x,y,z"], []
    for number, molecule in enumerate(load_organics()):
        name = f"molecule_{number}"
        for index in range(molecule.n_atoms):
            x, y, z = molecule.positions[index]
            symbol = chemical_symbols[molecule.numbers[index]]
            structures.append(f"{name},{index},{symbol},{x:.10f},{y:.10f},{z:.10f}")
            charges.append(f"{name},{index},{molecule.charges[index]:.6f}")
    (folder / "structures.csv").write_text("\n".join(structures) + "\n")
    charges = ["molecule_name,atom_index,mulliken_charge", *charges]
    (folder / "mulliken_charges.csv").write_text("\n".join(charges) + "\n")
    return folder, sum(path.stat().st_size for path in folder.iterdir())


@pytest.mark.parametrize("make", [npz, champs])
def test_memory_of_reading(make: Callable[[Path], tuple[Path, int]], tmp_path: Path) -> None:
    path, unpacked = make(tmp_path)
    read(path)  # imports and caches
    assert peak_of(lambda: read(path)) < MOST_TIMES * unpacked


@pytest.mark.filterwarnings("ignore:.*rows fit no molecule")
def test_rows_that_fit_no_molecule_are_not_kept(tmp_path: Path) -> None:
    (tmp_path / "water.xyz").write_text("3\n\nO 0 0 0.12\nH 0 0.76 -0.48\nH 0 -0.76 -0.48\n")
    table = tmp_path / "table.csv"
    rows = "".join(f"molecule_{number},1.5,0\n" for number in range(5_000))
    table.write_text(f"name,dipole_debye,charge\n{rows}water,1.85,0\n")
    found = read(tmp_path / "water.xyz", labels_file=table)
    np.testing.assert_array_equal(found.dipole_magnitude, [1.85])
    peak = peak_of(lambda: read(tmp_path / "water.xyz", labels_file=table))
    assert peak < MOST_TIMES * table.stat().st_size


def test_records_are_kept_in_few_bytes() -> None:
    record = Record([8, 1], [[0.0, 0.0, 0.0], [0.0, 0.0, 0.97]], "hydroxide", charges=[-1.2, 0.2])
    record.pack()
    assert (record.numbers.nbytes, record.positions.nbytes, record.charges.nbytes) == (2, 48, 16)
    wrong = Record([8, 257], [[0.0, 0.0, 0.0], [0.0, 0.0, 0.97]], "wrong")
    wrong.pack()
    with pytest.raises(InputError, match="got 257"):
        assemble([wrong], ())


def test_blocks_of_a_check_name_atoms_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Geometries are checked block by block, for small temporary arrays."""
    whole = load_organics()[:40]
    blocks = []
    monkeypatch.setattr(geometry_checks, "_BLOCK_ATOMS", 50)
    for atoms, locate in geometry_checks.Locator(whole.names, whole.offsets).blocks():
        blocks += range(atoms.start, atoms.stop)
        assert atoms.stop - atoms.start <= 50
        assert locate.molecule(0) == f"molecule {locate.first} ({str(locate.names[0])!r})"
    assert blocks == list(range(whole.n_atoms))
    positions = whole.positions.copy()
    positions[whole.offsets[30] + 1] = np.nan
    where = re.escape(f"atom 1 of molecule 30 ({str(whole.names[30])!r})")
    with pytest.raises(InputError, match=where):
        Molecules(whole.numbers, positions, whole.offsets, whole.names)


def peak_of(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
