"""Reading takes at most three times the unpacked size of a file in memory.

``benchmarks/memory_of_readers.py`` measures all formats, with larger files.
"""

import gc
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
from dipkit.data.formats.assembly import assemble
from dipkit.data.formats.record_columns import RecordColumns
from dipkit.data.formats.records import Record
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


def plain_xyz(path: Path, n_sets: int) -> int:
    """Write the format with the fewest bytes for a molecule; return the bytes."""
    frames = []
    for molecule in load_organics():
        rows = [
            f"{chemical_symbols[number]} {x:.5f} {y:.5f} {z:.5f}\n"
            for number, (x, y, z) in zip(molecule.numbers, molecule.positions, strict=True)
        ]
        frames.append(f"{len(rows)}\n\n{''.join(rows)}")
    path.write_text(n_sets * "".join(frames))
    return path.stat().st_size


@pytest.mark.parametrize("make", [npz, champs])
def test_memory_of_reading(make: Callable[[Path], tuple[Path, int]], tmp_path: Path) -> None:
    path, unpacked = make(tmp_path)
    read(path)  # imports and caches
    assert peak_of(lambda: read(path)) < MOST_TIMES * unpacked


@pytest.mark.parametrize("with_table", [False, True])
def test_memory_of_plain_xyz(with_table: bool, tmp_path: Path) -> None:
    """Of what a file has more than another one: checks take some arrays of a fixed size."""
    path, table = tmp_path / "set.xyz", tmp_path / "table.csv" if with_table else None
    peaks, sizes = [], []
    for n_sets in (1, 1, 3):  # the first for imports and caches
        sizes.append(plain_xyz(path, n_sets))
        if table is not None:
            names = range(n_sets * len(load_organics()))
            rows = "".join(f"set_{number},{1 + number / 1e4:.6f}\n" for number in names)
            table.write_text(f"name,dipole_debye\n{rows}")
            sizes[-1] += table.stat().st_size
        peaks.append(peak_of(lambda: read(path, labels_file=table)))
    assert peaks[2] - peaks[1] < MOST_TIMES * (sizes[2] - sizes[1])


@pytest.mark.filterwarnings("ignore:.*rows fit no molecule")
def test_rows_that_fit_no_molecule_are_not_kept(tmp_path: Path) -> None:
    (tmp_path / "water.xyz").write_text("3\n\nO 0 0 0.12\nH 0 0.76 -0.48\nH 0 -0.76 -0.48\n")
    table = tmp_path / "table.csv"
    rows = "".join(f"molecule_{number},1.5,0\n" for number in range(15_000))
    table.write_text(f"name,dipole_debye,charge\n{rows}water,1.85,0\n")
    found = read(tmp_path / "water.xyz", labels_file=table)
    np.testing.assert_array_equal(found.dipole_magnitude, [1.85])
    peak = peak_of(lambda: read(tmp_path / "water.xyz", labels_file=table))
    assert peak < MOST_TIMES * table.stat().st_size


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


def test_columns_refuse_what_does_not_fit_and_keep_the_others() -> None:
    """A record that is refused leaves no column longer than another."""
    columns = RecordColumns()
    good = Record([8, 1], [[0.0, 0.0, 0.0], [0.0, 0.0, 0.97]], "hydroxide", where="a, line 1")
    wrong = Record([8, 1], [[0.0, 0.0, 0.0]], "wrong", charges=[0.0, 0.0])
    columns.append(good)
    with pytest.raises(InputError, match="positions: expected shape"):
        columns.append(wrong)
    columns.append(Record([9, 1], [[0.0, 0.0, 0.0], [0.0, 0.0, 0.92]], "fluoride", magnitude=1.8))
    assert (len(columns), columns.places[0], columns.places[1]) == (2, "a, line 1", "")
    molecules = assemble(columns, ())
    assert molecules.names.tolist() == ["hydroxide", "fluoride"]
    np.testing.assert_array_equal(molecules.dipole_magnitude, [np.nan, 1.8])
    assert not molecules.has_charges.any()


@pytest.mark.parametrize("bad", [[0], [1, 3], [4], [0, 1, 2, 3]])
def test_columns_drop_bad_records(bad: list[int]) -> None:
    records = [
        Record(
            [300 if place in bad else 8, 1],
            [[0.0, 0.0, 0.0], [0.0, 0.0, 0.9 + place / 100]],
            f"name {place}",
            magnitude=place if place % 2 else None,
            charges=[-0.5, 0.5] if place == 0 else None,
            quadrupole=np.zeros((3, 3)) if place == 1 else None,
            where=f"a b/set.xyz, line {4 * place}",
        )
        for place in range(5)
    ]
    molecules = assemble(RecordColumns(records), (), skip_invalid=True)
    left = [place for place in range(5) if place not in bad]
    assert molecules.names.tolist() == [f"name {place}" for place in left]
    np.testing.assert_array_equal(molecules.positions[1::2, 2], [0.9 + p / 100 for p in left])
    np.testing.assert_array_equal(
        molecules.dipole_magnitude, [p if p % 2 else np.nan for p in left]
    )
    np.testing.assert_array_equal(molecules.has_charges, [p == 0 for p in left])
    assert (molecules.quadrupole is None) == (1 in bad)
    assert [one.row for one in molecules.notes.bad] == bad
    assert [one.reason[: one.reason.index(":")] for one in molecules.notes.bad] == [
        f"a b/set.xyz, line {4 * place}" for place in bad
    ]


def peak_of(work: Callable[[], object]) -> int:
    """Least of three peaks: threads that other tests left may take memory meanwhile."""
    return min(_peak_of(work) for _ in range(3))


def _peak_of(work: Callable[[], object]) -> int:
    gc.collect()  # what other tests left does not start a collection within
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
