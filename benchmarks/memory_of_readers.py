"""Peak memory and processor time of reading a file, for each format, against its unpacked size.

    python benchmarks/memory_of_readers.py --megabytes 20

Files are made of the bundled molecules, again and again, moved a little and under other names. Each
is read in a process of its own, which reads a small file of the same format first, so that imports
do not count. Memory is the largest resident size while `read` works, less that before it, so that
the molecules themselves count. The goal is at most three times the unpacked size: of the text, of
the members of an archive, of the arrays of an npz file. Linux only.
"""

from __future__ import annotations

import argparse
import bz2
import gzip
import io
import subprocess
import sys
import tarfile
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from _common import setting
from ase.data import chemical_symbols
from ase.io.trajectory import Trajectory

from dipkit import Molecules, read, write
from dipkit.data.datasets import load_organics
from dipkit.data.io import to_atoms

GOAL = 3.0
SMALL = 20_000
"""Bytes of the file that is read first."""
_TABLE_OF_FEW = 100


class Made(NamedTuple):
    """A file, what `read` takes besides, and the bytes that it unpacks to."""

    path: Path
    unpacked: int
    table: Path | None = None


def main() -> None:
    """Print one row for each format; exit with 1 if one is over the goal."""
    options = _options()
    if options.child:
        _child(*map(Path, options.child), table=options.table, small_table=options.small_table)
        return
    print(setting())
    names = options.formats.split(",") if options.formats else list(MAKERS)
    print(f"{'format':<14} {'file, MB':>9} {'unpacked':>9} {'memory':>8} {'times':>6} {'s/MB':>6}")
    over = []
    for name in names:
        times = _measure(name, round(options.megabytes * 1e6))
        over += [name] if times > GOAL else []
    print(f"over {GOAL:g} times: {', '.join(over) or 'none'}")
    raise SystemExit(1 if over else 0)


def _measure(name: str, n_bytes: int) -> float:
    """Print the row of a format; return its memory over its unpacked size."""
    with tempfile.TemporaryDirectory() as folder:
        places = [Path(folder, part) for part in ("small", "large")]
        for place in places:
            place.mkdir()
        made = [
            MAKERS[name](place, size) for place, size in zip(places, (SMALL, n_bytes), strict=True)
        ]
        command = [sys.executable, __file__, "--child", *(str(one.path) for one in made)]
        for option, one in zip(("--small-table", "--table"), made, strict=True):
            command += [option, str(one.table)] if one.table else []
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        memory, seconds = map(float, done.stdout.split())
        on_disk = sum(file.stat().st_size for file in places[1].rglob("*") if file.is_file())
    unpacked = made[1].unpacked
    print(
        f"{name:<14} {on_disk / 1e6:>9.1f} {unpacked / 1e6:>9.1f} {memory / 1e6:>8.1f} "
        f"{memory / unpacked:>6.2f} {seconds / unpacked * 1e6:>6.2f}",
        flush=True,
    )
    return memory / unpacked


def _child(small: Path, large: Path, table: Path | None, small_table: Path | None) -> None:
    """Read both files; print the memory in bytes and the seconds that the large one took."""
    warnings.simplefilter("ignore")
    read(small, labels_file=small_table)
    before, start = _status("VmRSS"), time.process_time()
    molecules = read(large, labels_file=table)
    print(_status("VmHWM") - before, time.process_time() - start)
    assert len(molecules)


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


# Files of each format


def _sets() -> Iterator[Molecules]:
    """Yield the bundled molecules without end, moved, under other names."""
    bundled, rng, number = load_organics(), np.random.default_rng(0), 0
    while True:
        names = [f"molecule_{number + place}" for place in range(len(bundled))]
        moved = bundled.positions + rng.normal(scale=1e-3, size=bundled.positions.shape)
        yield Molecules(
            bundled.numbers,
            moved,
            bundled.offsets,
            names,
            dipole_magnitude=bundled.dipole_magnitude,
            charges=bundled.charges,
        )
        number += len(bundled)


def _each() -> Iterator[Molecules]:
    return (molecule for part in _sets() for molecule in part)


def _texts(n_bytes: int, text: Callable[[Molecules], str]) -> str:
    """Join the texts of molecules up to a size."""
    pieces, size = list[str](), 0
    for molecule in _each():
        pieces.append(text(molecule))
        size += len(pieces[-1])
        if size >= n_bytes:
            return "".join(pieces)
    raise AssertionError("the molecules have no end")


def _xyz_frame(molecule: Molecules, columns: str = "species:S:1:pos:R:3:mulliken:R:1") -> str:
    atoms = zip(molecule.numbers, molecule.positions, molecule.charges, strict=True)
    with_charges = "mulliken" in columns
    rows = [
        f"{chemical_symbols[number]:<2} {x:16.8f} {y:16.8f} {z:16.8f}"
        + (f" {charge:16.8f}\n" if with_charges else "\n")
        for number, (x, y, z), charge in atoms
    ]
    comment = (
        f"Properties={columns} name={molecule.names[0]} charge=0.0 "
        f'dipole_debye={molecule.dipole_magnitude[0]:.6f} pbc="F F F"\n'
    )
    return f"{len(rows)}\n{comment}{''.join(rows)}"


def _plain_frame(molecule: Molecules) -> str:
    rows = [
        f"{chemical_symbols[number]} {x:.5f} {y:.5f} {z:.5f}\n"
        for number, (x, y, z) in zip(molecule.numbers, molecule.positions, strict=True)
    ]
    return f"{len(rows)}\n{molecule.names[0]}\n{''.join(rows)}"


def _qm9_frame(molecule: Molecules, index: int = 1) -> str:
    charges = np.round(molecule.charges, 6)
    charges[0] -= charges.sum()
    properties = [0.1] * 3 + [molecule.dipole_magnitude[0]] + [0.2] * 11
    rows = [
        f"{chemical_symbols[number]}\t{x: .10f}\t{y: .10f}\t{z: .10f}\t{charge: .6f}\n"
        for number, (x, y, z), charge in zip(
            molecule.numbers, molecule.positions, charges, strict=True
        )
    ]
    frequencies = "\t".join(["1671.4222"] * (3 * len(rows) - 6))
    tail = f"{frequencies}\nCCO\tCCO\nInChI=1S/x\tInChI=1S/x\n"
    head = "\t".join(f"{value:.6f}" for value in properties)
    return f"{len(rows)}\ngdb {index}\t{head}\t\n{''.join(rows)}{tail}"


def _sd_record(molecule: Molecules) -> str:
    rows = [
        f"{x:10.4f}{y:10.4f}{z:10.4f} {chemical_symbols[number]:<3}" + " 0" + "  0" * 11 + "\n"
        for number, (x, y, z) in zip(molecule.numbers, molecule.positions, strict=True)
    ]
    bonds = "".join(f"{n + 1:3}{n + 2:3}  1  0  0  0  0\n" for n in range(len(rows) - 1))
    charges = "|".join(f"{charge:.6f}" for charge in molecule.charges)
    return (
        f"{molecule.names[0]}\n  made\n\n{len(rows):3}{len(rows) - 1:3}"
        f"  0  0  0  0  0  0  0  0999 V2000\n{''.join(rows)}{bonds}M  END\n"
        f"> <mu>\n{molecule.dipole_magnitude[0]:.6f}\n\n> <mulliken>\n{charges}\n\n$$$$\n"
    )


def _text_file(name: str, record: Callable[[Molecules], str]) -> Callable[[Path, int], Made]:
    def make(folder: Path, n_bytes: int) -> Made:
        content = _texts(n_bytes, record).encode()
        (folder / name).write_bytes(content)
        return Made(folder / name, len(content))

    return make


def _gz(folder: Path, n_bytes: int) -> Made:
    content = _texts(n_bytes, _xyz_frame).encode()
    path = folder / "set.xyz.gz"
    path.write_bytes(gzip.compress(content, 6))
    return Made(path, len(content))


def _zip(folder: Path, n_bytes: int) -> Made:
    content = _texts(n_bytes, _sd_record)
    path = folder / "set.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("set.sdf", content)
    return Made(path, len(content))


def _qm9_archive(folder: Path, n_bytes: int) -> Made:
    """One member for each molecule, as in the archive of QM9."""
    buffer, unpacked = io.BytesIO(), 0
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for index, molecule in enumerate(_each(), start=1):
            if unpacked >= n_bytes:
                break
            content = _qm9_frame(molecule, index).encode()
            member = tarfile.TarInfo(f"dsgdb9nsd_{index:06d}.xyz")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
            unpacked += len(content)
    path = folder / "set.tar.bz2"
    path.write_bytes(bz2.compress(buffer.getvalue()))
    return Made(path, unpacked)


def _molecules(n_bytes: int, each: float) -> Molecules:
    """Return as many molecules as take this many bytes, where one of them takes `each`."""
    parts, found = _sets(), list[Molecules]()
    while sum(map(len, found)) * each < n_bytes:
        found.append(next(parts))
    return Molecules.concatenate(found)[: max(1, round(n_bytes / each))]


def _npz(folder: Path, n_bytes: int) -> Made:
    path = folder / "set.npz"
    write(path, _molecules(n_bytes, 650))
    with zipfile.ZipFile(path) as archive:
        return Made(path, sum(member.file_size for member in archive.infolist()))


def _ase_file(suffix: str, each: float) -> Callable[[Path, int], Made]:
    def make(folder: Path, n_bytes: int) -> Made:
        path = folder / f"set{suffix}"
        write(path, _molecules(n_bytes, each))
        return Made(path, path.stat().st_size)

    return make


def _trajectory(folder: Path, n_bytes: int) -> Made:
    path = folder / "set.traj"
    with Trajectory(path, "w") as trajectory:
        for frame in to_atoms(_molecules(n_bytes, 1_200)):
            trajectory.write(frame)
    return Made(path, path.stat().st_size)


def _champs(folder: Path, n_bytes: int) -> Made:
    """Three tables of the same molecules; their sizes together count."""
    head = {
        "structures.csv": "molecule_name,atom_index,atom,x,y,z\n",
        "dipole_moments.csv": "molecule_name,X,Y,Z\n",
        "mulliken_charges.csv": "molecule_name,atom_index,mulliken_charge\n",
    }
    tables = {name: [text] for name, text in head.items()}
    size = 0
    for molecule in _each():
        name = molecule.names[0]
        atoms = zip(molecule.numbers, molecule.positions, molecule.charges, strict=True)
        for index, (number, (x, y, z), charge) in enumerate(atoms):
            row = f"{name},{index},{chemical_symbols[number]},{x:.10f},{y:.10f},{z:.10f}\n"
            tables["structures.csv"].append(row)
            tables["mulliken_charges.csv"].append(f"{name},{index},{charge:.6f}\n")
            size += len(row) + len(tables["mulliken_charges.csv"][-1])
        tables["dipole_moments.csv"].append(f"{name},0.0,0.0,{molecule.dipole_magnitude[0]:.4f}\n")
        if size >= n_bytes:
            break
    for name, rows in tables.items():
        (folder / name).write_text("".join(rows))
    return Made(folder, sum((folder / name).stat().st_size for name in tables))


def _table(folder: Path, n_bytes: int) -> Made:
    """Write a large table of labels beside a few molecules, so that the table alone counts."""
    few = [molecule for molecule, _ in zip(_each(), range(_TABLE_OF_FEW), strict=False)]
    path, table = folder / "set.xyz", folder / "labels.csv"
    path.write_text("".join(map(_xyz_frame, few)))
    rows, size, number = ["name,dipole_debye,charge\n"], 0, 0
    while size < n_bytes or number < _TABLE_OF_FEW:
        rows.append(f"molecule_{number},{1 + number % 1000 / 997:.6f},0\n")
        size += len(rows[-1])
        number += 1
    table.write_text("".join(rows))
    return Made(path, table.stat().st_size, table)


MAKERS: dict[str, Callable[[Path, int], Made]] = {
    "xyz": _text_file("set.xyz", _xyz_frame),
    "plain xyz": _text_file("set.xyz", _plain_frame),
    "xyz.gz": _gz,
    "sdf": _text_file("set.sdf", _sd_record),
    "sdf in zip": _zip,
    "qm9 tar.bz2": _qm9_archive,
    "npz": _npz,
    "json": _ase_file(".json", 2_400),
    "db": _ase_file(".db", 2_400),
    "traj": _trajectory,
    "champs": _champs,
    "table": _table,
}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, default=20.0, help="unpacked size of each file")
    parser.add_argument("--formats", default="", help=f"of {', '.join(MAKERS)}; commas between")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--table", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--small-table", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
