"""What a 5-fold grid over 30 points (alpha, lambda) costs, in single fits.

    python benchmarks/search_cost.py [--data FILE] [--molecules 500]

The single fit is `DipoleKernelRidge` with its defaults on the same described molecules. Both
times are of one process; descriptors are computed before and not counted.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from _common import setting
from sklearn.model_selection import KFold

from dipkit import DipoleKernelRidge, InducingBasis, SOAPTransformer, read
from dipkit.data.datasets import load_organics
from dipkit.search.fold_grid import cross_validate_grid


def main() -> None:
    """Print both times and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="molecules with labels; default the bundled ones")
    parser.add_argument("--molecules", type=int, default=500)
    parser.add_argument("--n-inducing", type=int, default=None)
    parser.add_argument("--magnitudes", action="store_true", help="leave dipole vectors out")
    arguments = parser.parse_args()
    molecules = read(arguments.data) if arguments.data else load_organics()
    molecules = molecules[: arguments.molecules]
    if arguments.magnitudes:
        molecules = molecules.replace(dipole_vector=np.full((len(molecules), 3), np.nan))
    described = SOAPTransformer().fit_transform(molecules)
    ridge = DipoleKernelRidge(basis=InducingBasis(n_inducing=arguments.n_inducing))

    start = time.perf_counter()
    ridge.fit(described)
    single = time.perf_counter() - start
    start = time.perf_counter()
    errors = cross_validate_grid(
        described,
        alphas=np.logspace(-3, -5.5, 6),
        charge_weights=(1e-1, 1e-2, 1e-3, 1e-4, 0.0),
        folds=list(KFold(5, shuffle=True, random_state=0).split(described)),
        ridge=ridge,
    )
    grid = time.perf_counter() - start
    print(setting())
    print(f"{len(described)} molecules, {len(ridge.inducing_numbers_)} inducing environments")
    print(
        f"single fit {single:.2f} s, grid of {errors.size} {grid:.2f} s, ratio {grid / single:.1f}"
    )
    print(np.array2string(errors.mean(axis=0), precision=4))


if __name__ == "__main__":
    main()
