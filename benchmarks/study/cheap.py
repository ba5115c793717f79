"""Cheap labels: Gasteiger charges by RDKit, dipoles and charges of GFN1-xTB and GFN2-xTB."""

from __future__ import annotations

from typing import Any

import numpy as np

from dipkit import Molecules


def gasteiger(molecules: Molecules) -> dict[str, np.ndarray]:
    """Gasteiger charges, of bonds that RDKit finds in the geometry.

    Parameters
    ----------
    molecules : Molecules
        Neutral ones.

    Returns
    -------
    dict
        ``charges`` (n,), e; NaN for molecules whose bonds RDKit does not find.

    Raises
    ------
    SystemExit
        If RDKit is not installed.
    """
    try:
        from rdkit import RDLogger
    except ImportError as error:
        raise SystemExit('Install rdkit with `pip install "dipkit[benchmarks]"`.') from error
    RDLogger.DisableLog("rdApp.*")
    return {"charges": np.concatenate([_of_one(one) for one in molecules])}


def _of_one(one: Molecules) -> np.ndarray:
    from rdkit.Chem import rdPartialCharges

    try:
        molecule = _with_bonds(one)
        rdPartialCharges.ComputeGasteigerCharges(molecule)
        charges = np.array([atom.GetDoubleProp("_GasteigerCharge") for atom in molecule.GetAtoms()])
    except (ValueError, RuntimeError, KeyError):
        return np.full(len(one.numbers), np.nan)
    return charges if np.isfinite(charges).all() else np.full(len(one.numbers), np.nan)


def _with_bonds(one: Molecules) -> Any:
    """Return the molecule of RDKit, with the bonds that RDKit finds in the geometry."""
    from ase.data import chemical_symbols
    from rdkit import Chem
    from rdkit.Chem import rdDetermineBonds

    lines = [
        f"{chemical_symbols[number]} {x:.6f} {y:.6f} {z:.6f}"
        for number, (x, y, z) in zip(one.numbers.tolist(), one.positions.tolist(), strict=True)
    ]
    molecule = Chem.MolFromXYZBlock("\n".join([str(len(lines)), "", *lines]))
    rdDetermineBonds.DetermineBonds(molecule, charge=0)
    return molecule


def smiles(one: Molecules) -> str:
    """SMILES of a neutral molecule without its hydrogens; empty where RDKit finds no bonds."""
    try:
        from rdkit import Chem
    except ImportError:
        return ""
    try:
        return str(Chem.MolToSmiles(Chem.RemoveHs(_with_bonds(one))))
    except (ValueError, RuntimeError):
        return ""


def gfn1(molecules: Molecules) -> dict[str, np.ndarray]:
    """Dipoles (k, 3), debye, and charges (n,), e, of GFN1-xTB; all molecules are neutral."""
    from larger_molecules import gfn1 as calculate

    dipole, charges = calculate(molecules)
    return {"dipole": dipole, "charges": charges}


def gfn2(molecules: Molecules) -> dict[str, np.ndarray]:
    """Dipoles (k, 3), debye, and charges (n,), e, of GFN2-xTB."""
    from dipkit.quantum.labels import gfn2 as calculate

    found = calculate(molecules, n_jobs=1)
    return {"dipole": found.dipole, "charges": found.charges}


def ipea1(molecules: Molecules) -> dict[str, np.ndarray]:
    """Dipoles (k, 3), debye, and charges (n,), e, of IPEA1-xTB."""
    from dipkit.quantum.labels import ipea1 as calculate

    found = calculate(molecules, n_jobs=1)
    return {"dipole": found.dipole, "charges": found.charges}
