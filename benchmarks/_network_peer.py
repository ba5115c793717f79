"""The peer of `peers.py` that is a network: hippynn's HIP-NN, trained on dipole magnitudes.

The network gives each atom a charge q; the dipole is sum q (r - mean r), as of a neutral molecule,
and its length is what is trained on. This is the door for hippynn and torch, which only this
benchmark needs: the extra ``benchmarks``.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from _common import Stopwatch

from dipkit import Molecules
from dipkit.units import DEBYE_PER_E_ANGSTROM

# Settings of hippynn's own examples (QM7, ANI-1x): blocks, layers, sensitivities, cutoffs in
# angstrom, Adam's first rate, the share of validation molecules.
SHAPE = {
    "n_sensitivities": 20,
    "dist_soft_min": 0.75,
    "dist_soft_max": 5.5,
    "dist_hard_max": 6.5,
    "n_interaction_layers": 2,
    "n_atom_layers": 3,
}
LEARNING_RATE = 1e-3
BATCH = 16
VALIDATION_SHARE = 0.1
# Epochs without a better validation error before the rate is halved.
PATIENCE = 25
LOWEST_RATE = 1e-6
# Epochs between two looks at the test molecules, which are not counted.
EPOCHS_A_LOOK = 5


def require_hippynn() -> None:
    """Say what to install, before anything is computed.

    Raises
    ------
    SystemExit
    """
    try:
        with warnings.catch_warnings(action="ignore"):
            import hippynn
    except ImportError as error:
        raise SystemExit(
            f"--network needs hippynn, which could not be imported ({error}). Install it with "
            '`pip install "dipkit[benchmarks]"`, or leave --network out.'
        ) from error
    # Its other kernels are for larger systems; on these molecules this one is the fastest.
    hippynn.custom_kernels.set_custom_kernels("pytorch")


@dataclass(frozen=True)
class Look:
    """State of the training when the test molecules were looked at.

    Parameters
    ----------
    processor, wall : float
        Seconds of training so far; looks at the test molecules are left out.
    epoch : int
    error : float, debye
        Mean absolute error of the test molecules.
    """

    processor: float
    wall: float
    epoch: int
    error: float


@dataclass(frozen=True)
class _Padded:
    """Molecules as hippynn wants them, magnitudes in debye."""

    numbers: Any
    positions: Any
    magnitudes: Any

    @classmethod
    def of(cls, molecules: Molecules) -> _Padded:
        import torch

        index = molecules.molecule_index
        place = np.arange(molecules.n_atoms) - molecules.offsets[index]
        shape = len(molecules), int(molecules.natoms.max())
        numbers, positions = np.zeros(shape, np.int64), np.zeros((*shape, 3), np.float32)
        sums = np.add.reduceat(molecules.positions, molecules.offsets[:-1])
        centred = molecules.positions - (sums / molecules.natoms[:, None])[index]
        numbers[index, place], positions[index, place] = molecules.numbers, centred
        magnitudes = torch.tensor(molecules.dipole_magnitude, dtype=torch.float32)
        return cls(torch.as_tensor(numbers), torch.as_tensor(positions), magnitudes)

    def take(self, chosen: Any) -> _Padded:
        return _Padded(self.numbers[chosen], self.positions[chosen], self.magnitudes[chosen])

    def batches(self, order: Any, size: int) -> Iterator[_Padded]:
        return (self.take(part) for part in order.split(size))


def _build(elements: list[int], n_features: int) -> Any:
    """HIP-NN with a charge for each atom, as a module from numbers and positions to dipoles."""
    from hippynn.graphs import GraphModule, inputs, networks, physics, targets

    numbers, positions = inputs.SpeciesNode(db_name="Z"), inputs.PositionsNode(db_name="R")
    settings = {"possible_species": [0, *elements], "n_features": n_features, **SHAPE}
    network = networks.Hipnn("network", (numbers, positions), module_kwargs=settings)
    dipole = physics.DipoleNode("dipole", targets.HChargeNode("charges", network))
    return GraphModule([numbers, positions], [dipole])


def _errors(module: Any, data: _Padded) -> Any:
    (dipole,) = module(data.numbers, data.positions)
    return DEBYE_PER_E_ANGSTROM * dipole.norm(dim=1) - data.magnitudes


def _mean_error(module: Any, data: _Padded) -> float:
    import torch

    with torch.no_grad():
        order = torch.arange(len(data.magnitudes))
        parts = [_errors(module, part).abs().sum() for part in data.batches(order, 250)]
        return float(sum(parts)) / len(order)


def train(
    molecules: Molecules,
    test: Molecules,
    seconds: float,
    good: float,
    n_features: int,
    n_threads: int,
    seed: int,
) -> Iterator[Look]:
    """Train until the error of the test molecules is good or the time is over.

    Parameters
    ----------
    molecules : Molecules
        Nine tenths of them train, the others say when to lower the rate.
    test : Molecules
    seconds : float
        Processor time of training.
    good : float, debye
    n_features, n_threads, seed : int

    Yields
    ------
    Look
    """
    import torch

    torch.set_num_threads(n_threads)
    torch.manual_seed(seed)
    data, tested = _Padded.of(molecules), _Padded.of(test)
    order = torch.randperm(len(molecules))
    kept = round(VALIDATION_SHARE * len(molecules))
    validation, data = data.take(order[:kept]), data.take(order[kept:])
    module = _build(molecules.elements.tolist(), n_features)
    optimiser = torch.optim.Adam(module.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimiser, factor=0.5, patience=PATIENCE, min_lr=LOWEST_RATE
    )
    # What torch does at its first call is not counted.
    _errors(module, data.take(order[:BATCH] % len(data.magnitudes))).mean().backward()
    watch, epoch = Stopwatch(), 0
    while True:
        with watch:
            _epoch(module, optimiser, data)
            schedule.step(_mean_error(module, validation))
        epoch += 1
        over = watch.processor > seconds
        if over or not epoch % EPOCHS_A_LOOK:
            look = Look(watch.processor, watch.wall, epoch, _mean_error(module, tested))
            yield look
            if over or look.error <= good:
                return


def _epoch(module: Any, optimiser: Any, data: _Padded) -> None:
    import torch

    for part in data.batches(torch.randperm(len(data.magnitudes)), BATCH):
        optimiser.zero_grad()
        error = _errors(module, part)
        # hippynn's examples add the two.
        (error.square().mean().sqrt() + error.abs().mean()).backward()
        optimiser.step()
