"""Your own folder of XYZ files and a CSV file of dipoles.

You learn how a table of dipoles is joined with geometries by name, where you see which units were
read, and how you keep some molecules out to measure the error. The example first writes such a
folder from the bundled molecules; replace it with yours.

    python examples/own_folder.py
"""

import csv
import os
import tempfile
from pathlib import Path

from ase.io import write
from sklearn.model_selection import train_test_split

from dipkit import default_model, read, to_atoms
from dipkit.data import load_organics
from dipkit.estimator import compare

quick = "DIPKIT_EXAMPLES_QUICK" in os.environ

# In place of your own data: one XYZ file for each molecule, and a table of magnitudes.
folder = Path(tempfile.mkdtemp(prefix="dipkit-example-"))
bundled = load_organics()[: 120 if quick else None]
with open(folder / "dipoles.csv", "w", newline="") as handle:
    table = csv.writer(handle)
    table.writerow(["name", "dipole (D)"])
    for index, atoms in enumerate(to_atoms(bundled)):
        name = f"molecule-{index:03d}"
        write(folder / f"{name}.xyz", atoms, plain=True)
        table.writerow([name, f"{bundled.dipole_magnitude[index]:.3f}"])

molecules = read(folder, labels_file=folder / "dipoles.csv")
# Look at this before you fit: how many labels were found, and in which units.
summary = molecules.summary()
print(f"{summary.n_molecules} molecules, {summary.n_magnitudes} magnitudes, {summary.elements}")
print(*summary.assumed, sep="\n")

train, test = train_test_split(molecules, test_size=0.2, random_state=0)
model = default_model().fit(train)
errors = compare(model, test)
print(f"{errors['n']} molecules kept out: mean absolute error {errors['mae_debye']:.3f} D")
print(f"95 % of the errors are below {errors['p95_debye']:.3f} D")
