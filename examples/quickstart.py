"""From molecules to dipoles, charges and a model file, on the bundled data.

python examples/quickstart.py
"""

import numpy as np
from sklearn.model_selection import train_test_split

from dipkit import default_model, load_model, predict_all, save_model
from dipkit.data import load_organics

molecules = load_organics()
train, test = train_test_split(molecules, test_size=0.25, random_state=0)
print(f"training: {train}")

# The bundled molecules have dipole vectors too: give the magnitudes to learn from these alone.
model = default_model().fit(train, train.dipole_magnitude)

prediction = predict_all(model, test)
error = np.abs(prediction.magnitude - test.dipole_magnitude)
print(f"mean error of the magnitude: {error.mean():.3f} D, median {np.median(error):.3f} D")

name = test.names[0]
print(f"{name}: dipole vector {prediction.dipole[0].round(2)} D")
for number, charge in zip(test[0].numbers, prediction.charges_of(0), strict=True):
    print(f"  Z = {number}: {charge:+.3f} e")

save_model(model, "quickstart.dipkit")
again = predict_all(load_model("quickstart.dipkit"), test)
print(f"the loaded model predicts the same bits: {np.array_equal(again.dipole, prediction.dipole)}")
