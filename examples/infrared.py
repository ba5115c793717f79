"""Infrared spectrum and dynamics: forces of GFN2-xTB, dipoles of a model.

You learn how a model stands beside a calculator of forces, so that ASE's own tools make an infrared
spectrum and a trajectory with dipoles. The molecule is methanol. The model learns dipole vectors of
geometries along the normal modes; the spectrum is compared with that of GFN2-xTB alone.

    python examples/infrared.py
"""

import os
import sys
import tempfile

import numpy as np
from ase import units
from ase.build import molecule
from ase.io import Trajectory, read
from ase.md import VelocityVerlet
from ase.optimize import BFGS
from ase.vibrations import Infrared

from dipkit import default_model
from dipkit.quantum import gfn2
from dipkit.response import DipkitCalculator, normal_modes, thermal_geometries

try:
    from tblite.ase import TBLite
except ImportError:
    print('left out: this example needs tblite, pip install "dipkit[labels]"')
    sys.exit()

n_train = 50 if "DIPKIT_EXAMPLES_QUICK" in os.environ else 200

methanol = molecule("CH3OH")
methanol.calc = xtb = TBLite(verbosity=0, accuracy=0.01)
with BFGS(methanol, logfile=None) as optimizer:
    optimizer.run(fmax=1e-3, steps=200)
distorted = thermal_geometries(normal_modes(methanol), n_train, random_state=0)
# A small alpha: with one molecule there is no scatter between molecules to smooth.
model = default_model(alpha=1e-6, basis__n_inducing=400, solver__max_iter=2000)
model.fit(distorted, gfn2(distorted).dipole)


def spectrum(calculator):
    """Wave numbers and intensities (km/mol), without the six lowest, rigid motions."""
    atoms = methanol.copy()
    atoms.calc = calculator
    with tempfile.TemporaryDirectory() as folder:
        infrared = Infrared(atoms, name=f"{folder}/infrared")
        infrared.run()
        wave_numbers = infrared.get_frequencies().real[6:]
    factor, _ = infrared.intensity_prefactor("km/mol")
    return wave_numbers, factor * infrared.intensities[6:]


both = DipkitCalculator(model, base=xtb)
wave_numbers, reference = spectrum(xtb)
_, found = spectrum(both)
print("  1/cm    GFN2-xTB, km/mol    dipkit, km/mol")
for row in zip(wave_numbers, reference, found, strict=True):
    print("{:6.0f}  {:18.1f}  {:16.1f}".format(*row))
share = np.abs(found - reference).sum() / reference.sum()
print(f"differences sum to {100 * share:.0f} % of all intensities")

# Dynamics: each frame of the trajectory holds energy, forces, charges and dipole.
methanol.calc = both
methanol.rattle(0.02, seed=0)
with Trajectory("methanol.traj", "w", methanol) as frames, VelocityVerlet(methanol, units.fs) as md:
    md.attach(frames.write)
    md.run(20)
lengths = [np.linalg.norm(frame.get_dipole_moment()) for frame in read("methanol.traj", ":")]
print(f"dipole along the trajectory: {min(lengths):.3f} to {max(lengths):.3f} e*A")
