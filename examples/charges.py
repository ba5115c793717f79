"""Charges on a molecule, in a table and in a picture.

You learn how to get the charges of one molecule, how they differ from reference charges, and how to
draw them with the dipole. Predicted charges sum to the total charge and reproduce the dipole. They
are no copy of the Mulliken charges.

    python examples/charges.py
"""

import os

from sklearn.model_selection import train_test_split

from dipkit import default_model, predict_all
from dipkit.data import load_organics
from dipkit.report import ChargesDisplay

quick = "DIPKIT_EXAMPLES_QUICK" in os.environ
train, test = train_test_split(
    load_organics()[: 150 if quick else None], test_size=0.25, random_state=0
)
model = default_model().fit(train, train.dipole_magnitude)

molecule = test[[test.dipole_magnitude.argmax()]]  # one molecule: a set of length one
prediction = predict_all(model, molecule)
reference = molecule.dipole_magnitude[0]
print(f"{molecule.names[0]}: |mu| = {prediction.magnitude[0]:.2f} D, reference {reference:.2f} D")
print("atomic number   predicted   Mulliken (e)")
for number, charge, mulliken in zip(
    molecule.numbers, prediction.charges, molecule.charges, strict=True
):
    print(f"{number:13d}   {charge:+9.3f}   {mulliken:+8.3f}")
print(f"{'sum':>13}   {prediction.charges.sum():+9.3f}")

try:
    display = ChargesDisplay.from_estimator(model, molecule)
except ImportError as error:
    print(f"no picture: {error}")
else:
    display.figure_.savefig("charges.png", dpi=150)
    print("the picture is in charges.png")
