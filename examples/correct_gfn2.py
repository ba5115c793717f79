"""Correct the dipoles of GFN2-xTB.

You learn how a model that corrects a cheap calculation compares with the calculation alone and with
a model without it. This is the most accurate model if GFN2-xTB may run for each new molecule, which
takes about 10 ms.

    python examples/correct_gfn2.py
"""

import os
import sys

import numpy as np
from sklearn.model_selection import train_test_split

from dipkit import default_model
from dipkit.data import load_organics
from dipkit.quantum import gfn2

try:
    import tblite  # noqa: F401
except ImportError:
    print('left out: this example needs tblite, pip install "dipkit[labels]"')
    sys.exit()

quick = "DIPKIT_EXAMPLES_QUICK" in os.environ
train, test = train_test_split(
    load_organics()[: 120 if quick else None], train_size=100, random_state=0
)


def mean_error(magnitudes):
    """Mean absolute error on the test molecules, debye."""
    return np.abs(magnitudes - test.dipole_magnitude).mean()


corrected = default_model(baseline="gfn2").fit(train, train.dipole_magnitude)
alone = default_model().fit(train, train.dipole_magnitude)
print(f"{len(train)} training and {len(test)} test molecules: mean absolute error")
print(f"  GFN2-xTB             {mean_error(np.linalg.norm(gfn2(test).dipole, axis=1)):.3f} D")
print(f"  dipkit alone         {mean_error(alone.predict(test)):.3f} D")
print(f"  GFN2-xTB, corrected  {mean_error(corrected.predict(test)):.3f} D")
