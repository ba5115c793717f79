"""Outputs of programs, written as Gaussian and ORCA write them, with numbers made up here."""

from collections.abc import Sequence

import numpy as np
from ase import Atoms


def gaussian(
    atoms: Atoms,
    dipole: Sequence[float] | None,
    charges: Sequence[float] = (),
    charge: int = 0,
    standard: Atoms | None = None,
    end: str = " Normal termination of Gaussian 16 at Mon Jan  1 00:00:00 2024.\n",
) -> str:
    """Write one job: `dipole` (debye) belongs to the standard orientation, if there is one."""
    text = " Entering Gaussian System, Link 0=g16\n"
    text += f" Charge = {charge:2d} Multiplicity = 1\n"
    text += orientation("Input", atoms)
    text += "" if standard is None else orientation("Standard", standard)
    text += " SCF Done:  E(RB3LYP) =  -76.4000000000     A.U. after    9 cycles\n"
    if charges:
        text += gaussian_charges("Mulliken charges:", atoms, charges)
        heavy = [q for q, z in zip(charges, atoms.numbers, strict=True) if z != 1]
        rest = Atoms(atoms.numbers[atoms.numbers != 1])
        title = "Mulliken charges with hydrogens summed into heavy atoms:"
        text += gaussian_charges(title, rest, heavy)
    if dipole is not None:
        x, y, z = dipole
        text += " Dipole moment (field-independent basis, Debye):\n"
        text += (
            f"    X={x:20.4f}    Y={y:20.4f}    Z={z:20.4f}  Tot={np.linalg.norm(dipole):20.4f}\n"
        )
    return text + " 1\\1\\GINC-NODE\\SP\\RB3LYP\\STO-3G\\O1H2\\ME\\\n" + end


def orientation(which: str, atoms: Atoms) -> str:
    """Write one geometry."""
    bar = " " + "-" * 69 + "\n"
    rows = "".join(
        f"{i:7d}{z:11d}           0    {x:12.6f}{y:12.6f}{w:12.6f}\n"
        for i, (z, (x, y, w)) in enumerate(
            zip(atoms.numbers, atoms.positions, strict=True), start=1
        )
    )
    head = " Center     Atomic      Atomic             Coordinates (Angstroms)\n"
    head += " Number     Number       Type             X           Y           Z\n"
    return f"                         {which} orientation:\n{bar}{head}{bar}{rows}{bar}"


def gaussian_charges(title: str, atoms: Atoms, charges: Sequence[float]) -> str:
    """Write one table of charges."""
    rows = "".join(
        f"{i:6d}  {symbol:2s}{q:12.6f}\n"
        for i, (symbol, q) in enumerate(zip(atoms.symbols, charges, strict=True), start=1)
    )
    return f" {title}\n               1\n{rows} Sum of Mulliken charges = {sum(charges):10.5f}\n"


def orca(
    atoms: Atoms,
    dipole: Sequence[float] | None,
    charges: Sequence[float] = (),
    charge: int = 0,
    origin: str = "CENTER OF MASS",
    end: str = "                             ****ORCA TERMINATED NORMALLY****\n",
) -> str:
    """Write one job; `dipole` is in e*bohr about `origin`."""
    bar = "-" * 33 + "\n"
    text = f"{' ' * 33}* O   R   C   A *\n\n{bar}CARTESIAN COORDINATES (ANGSTROEM)\n{bar}"
    for symbol, (x, y, z) in zip(atoms.symbols, atoms.positions, strict=True):
        text += f"  {symbol:3s}{x:12.6f}{y:12.6f}{z:12.6f}\n"
    text += f"\nNumber of atoms                             ... {len(atoms):6d}\n"
    text += f" Total Charge           Charge          .... {charge:4d}\n"
    text += "FINAL SINGLE POINT ENERGY       -76.400000000000\n"
    if charges:
        text += "-" * 23 + "\nMULLIKEN ATOMIC CHARGES\n" + "-" * 23 + "\n"
        for i, (symbol, q) in enumerate(zip(atoms.symbols, charges, strict=True)):
            text += f"{i:4d} {symbol:2s}:{q:12.6f}\n"
        text += f"Sum of atomic charges:{sum(charges):12.7f}\n"
    if origin:
        text += f"The origin for moment calculation is the {origin}  = ( 0.1,  0.2 0.3)\n"
    if dipole is not None:
        size = float(np.linalg.norm(dipole))
        text += "-------------\nDIPOLE MOMENT\n-------------\n"
        text += "Total Dipole Moment    :" + "".join(f"{x:14.5f}" for x in dipole) + "\n"
        text += f"Magnitude (a.u.)       :{size:14.5f}\n"
        text += f"Magnitude (Debye)      :{size * 2.541746473:14.5f}\n"
    return text + end
