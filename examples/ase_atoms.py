"""ASE Atoms with labels, cross-validation and a small grid.

You learn which keys of `atoms.info` and which arrays dipkit reads, and that scikit-learn's tools
work on a list of Atoms.

    python examples/ase_atoms.py
"""

import os

from sklearn.model_selection import GridSearchCV, cross_validate

from dipkit import SOAPTransformer, default_model, to_atoms
from dipkit.data import load_organics
from dipkit.estimator import mae_scorer

quick = "DIPKIT_EXAMPLES_QUICK" in os.environ

# In place of your own structures: labels are in `atoms.info` and in arrays.
frames = to_atoms(load_organics()[: 60 if quick else 300])
for atoms in frames:
    atoms.set_array("mulliken", atoms.get_charges())
    atoms.calc = None  # it had the dipole vector: learn from info["dipole_debye"] alone
print(f"{len(frames)} frames with {sorted(frames[0].info)} and {sorted(frames[0].arrays)}")

# scikit-learn slices the list; each fold computes its descriptors and fits a model.
scores = cross_validate(default_model(basis__n_inducing=300), frames, cv=3, scoring=mae_scorer)
print(f"cross-validated MAE: {-scores['test_score'].mean():.3f} D")

# Descriptors do not depend on alpha: compute them once, then search.
described = SOAPTransformer().fit_transform(frames)
ridge = default_model(basis__n_inducing=300)[-1]
search = GridSearchCV(ridge, {"alpha": [1e-5, 1e-4, 1e-3]}, cv=3, scoring=mae_scorer)
search.fit(described)
print(f"best of the grid: {search.best_params_}, MAE {-search.best_score_:.3f} D")
