"""Fixtures for every test: the device to run on, the folder of larger reference data."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.devices import why_no_cuda
from hypothesis import settings

from dipkit.data.datasets import load_organics
from dipkit.data.molecules import Molecules
from dipkit.descriptors.features import Features
from dipkit.descriptors.scales import SOAPScale
from dipkit.descriptors.soap import SOAPTransformer

os.environ.setdefault("MPLBACKEND", "Agg")

# A run in the background ignores Ctrl-C, and so would the commands that tests start and stop.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Shared machines are slow at times: a generous test is better than one that fails by the clock.
settings.register_profile("dipkit", deadline=None, print_blob=True)
settings.load_profile("dipkit")

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> str:
    """Each device in turn; a test that takes it runs once on the CPU and once on the GPU."""
    if request.param == "cuda" and (reason := why_no_cuda()):
        pytest.skip(reason)
    return request.param


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the larger reference data (QM9), which are no part of the repository."""
    folder = Path(os.environ.get("DIPKIT_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no reference data in {folder}; name their folder with DIPKIT_DATA")
    return folder


def random_molecules(
    seed: int = 0,
    sizes: tuple[int, ...] = (3, 4, 5, 2, 6, 3, 1, 4),
    widths: tuple[int, ...] = (6, 4),
    elements: tuple[int, ...] = (1, 6, 8),
    charged: bool = True,
) -> Molecules:
    """Atoms on a jittered lattice with random descriptors of unit length; every third is an ion."""
    rng = np.random.default_rng(seed)
    n_atoms, lattice = sum(sizes), np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3)
    sites = [lattice[rng.permutation(len(lattice))[:size]] for size in sizes]
    descriptors = [rng.random((n_atoms, width)).astype(np.float32) for width in widths]
    total_charge = np.where(charged & (np.arange(len(sizes)) % 3 == 2), 1.0, 0.0)
    return Molecules(
        numbers=np.concatenate([elements, rng.choice(elements, n_atoms - len(elements))]),
        positions=1.2 * np.concatenate(sites) + 0.2 * rng.standard_normal((n_atoms, 3)),
        offsets=np.concatenate(([0], np.cumsum(sizes))),
        total_charge=total_charge,
        features=Features(
            tuple(x / np.linalg.norm(x, axis=1, keepdims=True) for x in descriptors),
            (1.0, 0.3)[: len(widths)],
        ),
    )


@pytest.fixture(scope="session")
def toy() -> Callable[..., Molecules]:
    """Make small sets of random molecules with random descriptors, see `random_molecules`."""
    return random_molecules


@pytest.fixture(scope="session")
def coarse_soap() -> SOAPTransformer:
    """Two short descriptors: quick, and enough to learn from."""
    scales = (SOAPScale(2.2, 4, 3, 0.3, "gto", 1.0), SOAPScale(3.5, 3, 2, 0.5, "gto", 0.01))
    return SOAPTransformer(scales, n_jobs=1, compression=None)


@pytest.fixture(scope="session")
def described(coarse_soap: SOAPTransformer) -> Molecules:
    """Forty of the bundled molecules with descriptors and all their labels."""
    molecules: Molecules = coarse_soap.fit_transform(load_organics()[:40])
    return molecules
