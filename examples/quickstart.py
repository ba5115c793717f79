"""From molecules to dipoles, charges and a model file.

You learn the four steps that every use has: read molecules, fit, predict, and save the model. The
molecules are the bundled ones.

    python examples/quickstart.py
"""

import os

import numpy as np
from sklearn.model_selection import train_test_split

from dipkit import default_model, load_model, predict_all, save_model
from dipkit.data import load_organics

molecules = load_organics()[: 150 if "DIPKIT_EXAMPLES_QUICK" in os.environ else None]
train, test = train_test_split(molecules, test_size=0.25, random_state=0)
print(f"training: {train}")

# The bundled molecules have dipole vectors too: give the magnitudes to learn from these alone.
model = default_model().fit(train, train.dipole_magnitude)

prediction = predict_all(model, test)
error = np.abs(prediction.magnitude - test.dipole_magnitude)
print(f"mean error of the magnitude: {error.mean():.3f} D, median {np.median(error):.3f} D")

one = int(test.dipole_magnitude.argmax())
print(f"{test.names[one]}: dipole vector {prediction.dipole[one].round(2)} D")
for number, charge in zip(test[one].numbers, prediction.charges_of(one), strict=True):
    print(f"  Z = {number}: {charge:+.3f} e")

save_model(model, "quickstart.dipkit")
again = predict_all(load_model("quickstart.dipkit"), test)
print(f"the loaded model predicts the same bits: {np.array_equal(again.dipole, prediction.dipole)}")
