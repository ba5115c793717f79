"""Few labels: cheap dipole vectors of the training molecules.

You learn how much cheap vectors help when there are only 100 dipole magnitudes. A magnitude does
not say where its dipole points. The dipole of Mulliken charges does, and that of GFN2-xTB does it
better. Both are needed for the training molecules alone: a prediction needs only a geometry. The
bundled molecules have both, so that nothing is calculated here.

    python examples/cheap_vectors.py
"""

import os

import numpy as np
from sklearn.model_selection import train_test_split

from dipkit import AuxiliaryDipoles, SOAPTransformer, default_model
from dipkit.data import load_organics

quick = "DIPKIT_EXAMPLES_QUICK" in os.environ

# Descriptors are computed once for all models.
described = SOAPTransformer().fit_transform(load_organics()[: 140 if quick else None])
train, test = train_test_split(described, train_size=100, random_state=0)
bare = train.replace(charges=None)

# For your own molecules write auxiliary="gfn2", which runs GFN2-xTB for them. Here its dipoles are
# `baseline_dipole` of the molecules. 0.89 is the usual ratio of dipoles to those of GFN2-xTB, 0.01
# and 0.17 D describe the errors of these vectors.
known = train.replace(baseline_dipole=0.89 * train.baseline_dipole)
models = {
    "no charges": (bare, None),
    "Mulliken charges as the start alone": (train, None),
    "and their dipoles (default)": (train, "auto"),
    "dipoles of GFN2-xTB": (known, AuxiliaryDipoles("given", discrepancy=0.01, noise=0.17)),
}
print(f"{len(train)} magnitudes, {len(test)} test molecules: mean absolute error")
for name, (molecules, auxiliary) in models.items():
    ridge = default_model(auxiliary=auxiliary)[-1]
    # The bundled molecules have reference vectors too: give the magnitudes, to learn from these.
    ridge.fit(molecules, molecules.dipole_magnitude)
    error = np.abs(ridge.predict(test) - test.dipole_magnitude)
    print(f"  {name:<36}{error.mean():.3f} D")
