"""Good files of every reader, from which bad ones are made.

A sample is a file name and its content, with further files that must lie beside it.
"""

import gzip
import io
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from ase.build import molecule
from ase.io.trajectory import Trajectory

from dipkit.data.datasets import load_organics
from dipkit.data.io import to_atoms, write
from helpers.outputs import gaussian, orca

RAW = (
    "3\n"
    "gdb 3\t799.58812\t437.90386\t282.94545\t1.8511\t6.31\t-0.2928\t0.0687\t0.3615\t19.0002"
    "\t0.021375\t-76.404702\t-76.401867\t-76.400922\t-76.422349\t6.002\t\n"
    "O\t-0.0343604951\t 0.9775395708\t 7.602*^-3\t-0.589706\n"
    "H\t 0.0647664923\t 0.0205721989\t 0.0015346341\t 0.294853\n"
    "H\t 0.8717903737\t 1.3007924048\t 6.9*^-6\t 0.294853\n"
    "1671.4222\t3803.6305\t3907.698\nO\tO\nInChI=1S/H2O/h1H2\tInChI=1S/H2O/h1H2\n"
)
SDF = (
    "{title}\n  made-up\n\n  3  2  0  0  0  0  0  0  0  0999 V2000\n"
    "    0.0000    0.0000    0.1200 O   0  0\n"
    "    0.0000    0.7600   -0.4800 H   0  0\n"
    "    0.0000   -0.7600   -0.4800 H   0  0\n"
    "  1  2  1  0\n  1  3  1  0\nM  END\n"
    "> <charge>\n0\n\n> <DFT:DIPOLE>\n0.0|0.0|-1.85|1.85\n\n"
    "> <DFT:MULLIKEN_CHARGES>\n-0.6|0.3|0.3\n\n$$$$\n"
)
STRUCTURES = (
    "molecule_name,atom_index,atom,x,y,z\nw,0,O,0,0,0.12\nw,1,H,0,0.76,-0.48\nw,2,H,0,-0.76,-0.48\n"
    "n,0,N,0,0,0\nn,1,N,0,0,1.1\n"
)
CHAMPS = {
    "structures.csv": STRUCTURES,
    "dipole_moments.csv": "molecule_name,X,Y,Z\nw,0,0,1.85\nn,0,0,0\n",
    "mulliken_charges.csv": "molecule_name,atom_index,mulliken_charge\n"
    "w,0,-0.6\nw,1,0.3\nw,2,0.3\nn,0,0\nn,1,0\n",
}
TABLE = "name,dipole_debye,dipole_x_debye,dipole_y_debye,dipole_z_debye,charge\n" + "".join(
    f"set_{row},1.85,0,0,1.85,0\n" for row in range(3)
)
PLAIN = "3\nwater\nO 0.0 0.0 0.12\nH 0.0 0.76 -0.48\nH 0.0 -0.76 -0.48\n\n" * 3


class Sample(NamedTuple):
    """One good file, and what must lie beside it."""

    name: str
    content: bytes
    beside: Mapping[str, bytes] = {}
    read: str = ""
    """The file to be read, where it is another one."""
    table: str = ""
    """Name of the table of labels, where there is one."""

    def write(self, folder: Path, content: bytes) -> tuple[Path, dict[str, Path]]:
        """Write the files, this one with another content; return what `read` takes."""
        for name, text in (self.beside | {self.name: content}).items():
            (folder / name).write_bytes(text)
        options = {"labels_file": folder / self.table} if self.table else {}
        return folder / (self.read or self.name), options


def samples() -> dict[str, list[Sample]]:
    """Return the samples of each reader."""
    extended, raw, sdf = _written(".extxyz"), RAW.encode() * 2, _sdf().encode()
    champs = {name: text.encode() for name, text in CHAMPS.items()}
    return {
        "xyz": [
            Sample("set.xyz", PLAIN.encode()),
            Sample("set.extxyz", extended),
            Sample("set.xyz.gz", gzip.compress(extended, mtime=0)),
        ],
        "qm9": [Sample("raw.xyz", raw)],
        "sdf": [Sample("set.sdf", sdf)],
        "npz": [Sample("set.npz", _written(".npz"))],
        "db": [Sample("set.db", _written(".db"))],
        "json": [Sample("set.json", _written(".json"))],
        "traj": [Sample("set.traj", _trajectory())],
        "archive": [
            Sample("set.tar", _tar("w", extended)),
            Sample("set.tar.gz", _tar("w:gz", extended)),
            Sample("set.tar.bz2", _tar("w:bz2", sdf, "set.sdf")),
            Sample("set.tar.xz", _tar("w:xz", raw)),
            Sample("set.zip", _zip(extended)),
        ],
        "champs": [Sample(name, champs[name], champs, "structures.csv") for name in champs],
        "output": [Sample("water.log", _gaussian()), Sample("water.out", _orca())],
        "table": [
            Sample("table.csv", TABLE.encode(), {"set.xyz": PLAIN.encode()}, "set.xyz", "table.csv")
        ],
    }


def _written(suffix: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"set{suffix}"
        write(file, load_organics()[:4])
        return file.read_bytes()


def _trajectory() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "set.traj"
        with Trajectory(file, "w") as trajectory:
            for atoms in to_atoms(load_organics()[:3]):
                trajectory.write(atoms)
        return file.read_bytes()


def _sdf() -> str:
    return SDF.format(title="water") + SDF.format(title="")


def _tar(mode: str, content: bytes, name: str = "set.xyz") -> bytes:
    buffer = io.BytesIO()
    opened: Callable[..., tarfile.TarFile] = tarfile.open
    with opened(fileobj=buffer, mode=mode) as archive:
        for number in range(3):
            member = tarfile.TarInfo(f"folder/{number}-{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _zip(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(3):
            archive.writestr(zipfile.ZipInfo(f"{number}.xyz"), content)
    return buffer.getvalue()


def _gaussian() -> bytes:
    water = molecule("H2O")
    return gaussian(water, (0.0, 0.0, 1.85), (-0.6, 0.3, 0.3), standard=water).encode()


def _orca() -> bytes:
    water = molecule("H2O")
    return orca(water, (0.0, 0.0, 0.73), (-0.6, 0.3, 0.3)).encode()
