"""More molecules than fit into memory, and more than one machine.

You learn three ways to fit a large set: with a limit of memory, in parts, and on a Dask cluster. A
cluster gives the same model as one process. A fit in parts has the inducing environments of its
first part, so that its model differs a little. Here the set is small, and the cluster is two
workers in this process. For several machines write `Client("scheduler:8786")`.

    python examples/large_sets.py
"""

import os
import sys

import joblib
import numpy as np

from dipkit import DipoleKernelRidge, InducingBasis, SOAPTransformer
from dipkit.data import load_organics

try:
    from dask.distributed import Client, LocalCluster
except ImportError:
    print('left out: this example needs Dask, pip install "dipkit[dask]"')
    sys.exit()


def main():
    """Fit in three ways and compare the predictions."""
    molecules = load_organics()[: 80 if "DIPKIT_EXAMPLES_QUICK" in os.environ else None]
    # On demand: descriptors are computed again where they are needed, and never held as a whole.
    described = SOAPTransformer(on_demand=True).fit_transform(molecules)
    basis = InducingBasis(n_inducing=100)

    limited = DipoleKernelRidge(basis=basis, memory_budget="8GB").fit(described)

    parts = DipoleKernelRidge(basis=basis)
    half = len(described) // 2
    parts.partial_fit(described[:half])  # chooses the inducing environments
    parts.partial_fit(described[half:])  # later molecules are added

    with (
        LocalCluster(n_workers=2, processes=False, dashboard_address=None) as cluster,
        Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        spread = DipoleKernelRidge(basis=basis).fit(described)

    reference = limited.predict(described)
    print(f"{len(molecules)} molecules; mean difference from one fit in one process:")
    print(f"  a cluster: {_difference(spread, reference, described):.1e} D")
    print(f"  two parts: {_difference(parts, reference, described):.3f} D")


def _difference(model, reference, described):
    """Mean absolute difference of the predicted magnitudes, debye."""
    return np.abs(model.predict(described) - reference).mean()


if __name__ == "__main__":  # each worker imports this file
    main()
