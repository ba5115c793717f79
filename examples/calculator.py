"""A model as an ASE calculator: the dipole while a bond is stretched.

You learn how a fitted model gives charges and dipoles to ASE, and that a model of relaxed
geometries has large errors for stretched ones.

    python examples/calculator.py
"""

import os

import numpy as np
from ase.build import molecule

from dipkit import default_model
from dipkit.data import load_organics
from dipkit.response import DipkitCalculator

n = 60 if "DIPKIT_EXAMPLES_QUICK" in os.environ else None
model = default_model().fit(load_organics()[:n])

atoms = molecule("CH3OH")
atoms.calc = DipkitCalculator(model)
for symbol, charge in zip(atoms.symbols, atoms.get_charges(), strict=True):
    print(f"{symbol}  {charge:+.3f} e")

# ASE's unit is e*angstrom. The model was trained on relaxed geometries: far from them its errors
# are large.
for length in (0.92, 0.97, 1.02):
    atoms.set_distance(1, 3, length, fix=0)
    dipole = atoms.get_dipole_moment()
    print(f"O-H {length:.2f} angstrom: dipole {dipole.round(3)}, {np.linalg.norm(dipole):.3f} e*A")
