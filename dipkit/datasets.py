"""Data sets: the bundled small organic molecules.

What is in them and where they come from is told in ``dipkit/data/README.md``.
"""

from __future__ import annotations

from importlib import resources

import numpy as np

from .molecules import Molecules
from .units import DEBYE_PER_E_ANGSTROM

__all__ = ["load_organics"]


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
    >>> from dipkit.datasets import load_organics
    >>> molecules = load_organics()
    >>> [molecules.has_magnitude.all(), molecules.has_vector.all(), molecules.has_charges.all()]
    [np.True_, np.True_, np.True_]
    """
    file = resources.files(__package__) / "data" / "organics.npz"
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
