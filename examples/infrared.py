"""Infrared spectrum of methanol from a dipole model of its distorted geometries.

python examples/infrared.py

GFN2-xTB labels geometries along the normal modes. A model learns their dipoles, and its derivatives
give intensities. They are compared with those of GFN2-xTB itself, and with those that `Infrared`
of ASE computes from the dipoles of the model by differences. A second model learns magnitudes
alone: the magnitudes of one molecule do not determine the direction of its dipole, and the
intensities are wrong.
"""

import io
import os
import sys
import tempfile

import numpy as np
from ase.build import molecule
from ase.calculators.calculator import Calculator
from ase.optimize import BFGS
from ase.vibrations import Infrared

from dipkit import default_model, predict_all
from dipkit.quantum import gfn2
from dipkit.response import (
    DipkitCalculator,
    dipole_derivatives,
    infrared_intensities,
    normal_modes,
    thermal_geometries,
)

try:
    from tblite.ase import TBLite
except ImportError:
    print('left out: this example needs tblite, pip install "dipkit[labels]"')
    sys.exit()

n_train = 50 if "DIPKIT_EXAMPLES_QUICK" in os.environ else 200


class ForcesAndDipoles(Calculator):
    """Forces of one calculator, dipoles of another."""

    implemented_properties = ["energy", "forces", "dipole"]  # noqa: RUF012

    def __init__(self, forces, dipoles):
        super().__init__()
        self.parts = {"energy": forces, "forces": forces, "dipole": dipoles}

    def calculate(self, atoms=None, properties=("forces",), system_changes=("positions",)):
        """Call both."""
        super().calculate(atoms, properties, system_changes)
        self.results = {name: calc.get_property(name, atoms) for name, calc in self.parts.items()}


def with_ase(atoms, calculator):
    """Wave numbers and intensities (km/mol) of ASE, without the six lowest, rigid motions."""
    atoms = atoms.copy()
    atoms.calc = calculator
    with tempfile.TemporaryDirectory() as folder:
        infrared = Infrared(atoms, name=f"{folder}/infrared")
        infrared.run()
        infrared.summary(log=io.StringIO())
    factor, _ = infrared.intensity_prefactor("km/mol")
    return infrared.get_frequencies().real[6:], factor * infrared.intensities[6:]


# Its geometry and normal modes, by GFN2-xTB.
methanol = molecule("CH3OH")
methanol.calc = xtb = TBLite(verbosity=0, accuracy=0.01)
with BFGS(methanol, logfile=None) as optimizer:
    optimizer.run(fmax=1e-3, steps=200)
modes = normal_modes(methanol)

distorted = thermal_geometries(modes, n_train + 100, random_state=0)
dipoles = gfn2(distorted).dipole


def fit(labels):
    """Learn from the first geometries, and print the errors of the others."""
    # A small alpha: with one molecule there is no scatter between molecules to smooth.
    model = default_model(alpha=1e-6, basis__n_inducing=400, solver__max_iter=2000)
    model.fit(distorted[:n_train], labels[:n_train])
    vectors = predict_all(model, distorted[n_train:]).dipole - dipoles[n_train:]
    magnitudes = model.predict(distorted[n_train:]) - np.linalg.norm(dipoles[n_train:], axis=1)
    print(
        f"{n_train} labels; mean error on 100 other geometries: {np.abs(magnitudes).mean():.3f} D, "
        f"of the vector {np.linalg.norm(vectors, axis=1).mean():.3f} D"
    )
    return model


print("vectors:    ", end="")
model = fit(dipoles)
print("magnitudes: ", end="")
blind = fit(np.linalg.norm(dipoles, axis=1))

ours, guessed = (
    infrared_intensities(dipole_derivatives(each, methanol), modes.vectors)
    for each in (model, blind)
)
_, by_differences = with_ase(methanol, ForcesAndDipoles(xtb, DipkitCalculator(model)))
wave_numbers, reference = with_ase(methanol, xtb)

print("\n          1/cm          km/mol                              from magnitudes")
print(" modes     ASE    GFN2-xTB    dipkit    dipkit, by ASE          alone")
for row in zip(
    modes.wave_numbers, wave_numbers, reference, ours, by_differences, guessed, strict=True
):
    print("{:6.0f}  {:6.0f}  {:10.1f}  {:8.1f}  {:16.1f}  {:13.1f}".format(*row))
for name, found in (("vectors", ours), ("magnitudes", guessed)):
    share = np.abs(found - reference).sum() / reference.sum()
    print(f"from {name}: differences sum to {100 * share:.0f} % of all intensities")

try:
    from matplotlib.figure import Figure
except ImportError:
    sys.exit('no picture: pip install "dipkit[plot]"')

# A Lorentzian of 10 1/cm for each line.
grid = np.linspace(200, 4000, 2000)
lines = 5 / np.pi / ((grid[:, None] - modes.wave_numbers) ** 2 + 25)
axes = Figure(figsize=(7, 3.5), layout="constrained").subplots()
axes.plot(grid, lines @ reference, color="0.6", lw=3, label="GFN2-xTB")
axes.plot(grid, lines @ ours, lw=1, label="dipkit")
axes.set(xlabel="wave number, 1/cm", ylabel="absorption, km/mol cm", xlim=(4000, 200))
axes.legend(frameon=False)
axes.figure.savefig("infrared.png", dpi=150)
print("infrared.png")
