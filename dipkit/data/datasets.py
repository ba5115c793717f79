"""Data sets: the bundled small organic molecules, and QM9 from where it is published.

``dipkit/data/bundled/README.md`` describes the content and the origin of the bundled set. How files
are downloaded is not here (`download.py`), nor how they are read (`io.py`).
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..exceptions import FileFormatError
from ..support.files import PathLike
from ..units import DEBYE_PER_E_ANGSTROM
from .download import Remote, fetch
from .io import read, write
from .molecules import Molecules

__all__ = ["fetch_qm9", "load_organics"]

# QM9 on figshare, doi 10.6084/m9.figshare.c.978904.
QM9_ARCHIVE = Remote(
    name="dsgdb9nsd.xyz.tar.bz2",
    url="https://ndownloader.figshare.com/files/3195389",
    checksum="md5:ad1ebd51ee7f5b3a6e32e974e5d54012",
)
QM9_UNCHARACTERIZED = Remote(
    name="uncharacterized.txt",
    url="https://ndownloader.figshare.com/files/3195404",
    checksum="md5:a361887bacb427b8a0ce7903d92a53b4",
)
# The molecules of the archive, read once. Change this name when other values are read.
_QM9_READ = "qm9-1.npz"


def fetch_qm9(cache: PathLike | None = None, uncharacterized: bool = False) -> Molecules:
    """Fetch QM9, 133,885 small organic molecules of H, C, N, O and F, and read it.

    Labels are the dipole magnitude and the Mulliken charges of B3LYP/6-31G(2df,p). The first call
    downloads 86 MB and reads the archive, which takes minutes; later calls read the result of the
    first call in the cache folder.

    Parameters
    ----------
    cache : str or path, default=None
        Folder for the files; None is that of the operating system for caches, for example
        ``~/.cache/dipkit``. Files put there by hand are taken.
    uncharacterized : bool, default=False
        Keep the 3,054 molecules whose relaxed geometry is not that of the intended molecule.

    Returns
    -------
    Molecules
        In the order of their index, named ``gdb_000001`` and so on.

    Raises
    ------
    DownloadError
        If a file cannot be fetched or arrives damaged; names the place to put the file by hand.
    MissingDependencyError
        If pooch is not installed (extra ``data``).

    Notes
    -----
    The checksums are those of figshare's listing, as several public projects quote them. The data
    are in the public domain (CC0); please cite R. Ramakrishnan, P. O. Dral, M. Rupp and O. A. von
    Lilienfeld, Sci. Data 1, 140022 (2014).
    """
    archive = fetch(QM9_ARCHIVE, cache)
    flat = archive.with_name(_QM9_READ)
    if not flat.exists() or flat.stat().st_mtime < archive.stat().st_mtime:
        write(flat, read(archive))
    molecules = read(flat)
    if uncharacterized:
        return molecules
    left_out = _listed(fetch(QM9_UNCHARACTERIZED, cache))
    return molecules[~np.isin(molecules.names, left_out)]


def _listed(path: Path) -> NDArray[np.str_]:
    """Names of the molecules in a list whose rows are an index and several SMILES."""
    rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    # The last line is their number and a word.
    indices = [int(row[0]) for row in rows if len(row) > 2 and row[0].isdigit()]
    if not indices:
        raise FileFormatError(f"{path}: no rows of an index and SMILES inside. Fetch it again.")
    return np.array([f"gdb_{index:06d}" for index in indices])


def load_organics() -> Molecules:
    """Load the bundled molecules of H, C, N, O and F with 2 to 8 heavy atoms.

    Labels are the dipole magnitude, the dipole vector and the Mulliken charges of
    B3LYP/6-31G(2df,p); the baseline is GFN2-xTB. The order is random and fixed, so any first
    part is a balanced set.

    Returns
    -------
    Molecules

    Examples
    --------
    >>> from dipkit.data.datasets import load_organics
    >>> molecules = load_organics()
    >>> [molecules.has_magnitude.all(), molecules.has_vector.all(), molecules.has_charges.all()]
    [np.True_, np.True_, np.True_]
    """
    file = resources.files(__package__) / "bundled" / "organics.npz"
    with file.open("rb") as handle:
        archive = np.load(handle, allow_pickle=False)
        arrays = {key: archive[key] for key in archive.files}
    return Molecules(
        numbers=arrays["numbers"],
        positions=arrays["positions"],
        offsets=np.concatenate(([0], np.cumsum(arrays["natoms"]))),
        names=arrays["name"],
        total_charge=arrays["charge"],
        dipole_magnitude=arrays["dipole_debye"],
        dipole_vector=arrays["dipole"] * DEBYE_PER_E_ANGSTROM,
        charges=arrays["mulliken"],
        baseline_dipole=arrays["gfn2_dipole"] * DEBYE_PER_E_ANGSTROM,
        baseline_charges=arrays["gfn2_charges"],
        source_keys=("dipole_debye", "dipole", "mulliken", "charge", "name"),
    )
