"""Networks of figure 5: hippynn's HIP-NN and SchNetPack's PaiNN, with and without charges.

Both give each atom a charge q, corrected to sum to zero in a molecule; the dipole is sum q r, of
PaiNN with an atomic dipole besides, and its length is trained on. With charges the training has two
parts: charges alone, then magnitudes and charges together, the charges with a weight. This is the
door for torch, hippynn and SchNetPack, which only this figure needs. Symbols: molecules A, atoms i
of a batch one after another, magnitudes in debye, charges in e.
"""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from dipkit import Molecules
from dipkit.units import DEBYE_PER_E_ANGSTROM

# Settings of hippynn's own examples (QM7, ANI-1x), and of PaiNN's paper (cutoff, blocks, features).
HIPPYNN = {
    "n_features": 40,
    "n_sensitivities": 20,
    "dist_soft_min": 0.75,
    "dist_soft_max": 5.5,
    "dist_hard_max": 6.5,
    "n_interaction_layers": 2,
    "n_atom_layers": 3,
}
PAINN_FEATURES, PAINN_BLOCKS, PAINN_RADIAL, PAINN_CUTOFF = 128, 3, 20, 5.0
# Adam's first rate.
RATES = {"hipnn": 1e-3, "painn": 5e-4}
BATCH = 16
VALIDATION_SHARE = 0.1
# Epochs without a better validation error before the rate is halved; training ends at the lowest.
PATIENCE, LOWEST_RATE = 25, 2e-5
# Share of the time that charges alone may take.
SHARE_OF_CHARGES = 0.3
PREDICTED_AT_ONCE = 200


@dataclass(frozen=True)
class Prepared:
    """Molecules as tensors.

    Parameters
    ----------
    numbers, positions : list of tensor
        (n,) and (n, 3) of each molecule, centred, angstrom.
    pairs : list of tensor
        (2, pairs) of each molecule: atoms closer than the cutoff of PaiNN.
    magnitudes : tensor of shape (N,), debye
    charges : list of tensor or None
        (n,) of each molecule, e.
    device : str
        Of what is made of batches; these lists are on the host.
    """

    numbers: list[Any]
    positions: list[Any]
    pairs: list[Any]
    magnitudes: Any
    charges: list[Any] | None
    device: str

    @classmethod
    def of(cls, molecules: Molecules, device: str) -> Prepared:
        """Prepare molecules; charges where they have some."""
        import torch

        def tensors(parts: list[np.ndarray], dtype: Any) -> list[Any]:
            return [torch.tensor(part, dtype=dtype) for part in parts]

        cuts = molecules.offsets[1:-1]
        positions = np.split(molecules.positions, cuts)
        given = molecules.charges
        return cls(
            tensors(np.split(molecules.numbers, cuts), torch.long),
            tensors([part - part.mean(axis=0) for part in positions], torch.float32),
            tensors([_neighbours(part) for part in positions], torch.long),
            torch.tensor(molecules.dipole_magnitude, dtype=torch.float32),
            None if given is None else tensors(np.split(given, cuts), torch.float32),
            device,
        )

    def take(self, chosen: Any) -> Prepared:
        """Return some molecules."""
        index = [int(i) for i in chosen]

        def some(parts: list[Any]) -> list[Any]:
            return [parts[i] for i in index]

        charges = None if self.charges is None else some(self.charges)
        numbers, positions, pairs = some(self.numbers), some(self.positions), some(self.pairs)
        magnitudes = self.magnitudes[index]
        return Prepared(numbers, positions, pairs, magnitudes, charges, self.device)

    def batches(self, order: Any, size: int) -> Iterator[Prepared]:
        """Cut into batches in some order."""
        return (self.take(part) for part in order.split(size))

    def joined(self, parts: list[Any]) -> Any:
        """Put tensors of molecules one after another, on the device."""
        import torch

        return torch.cat(parts).to(self.device, non_blocking=True)

    @property
    def natoms(self) -> Any:
        """Atoms of each molecule (N,), on the host."""
        import torch

        return torch.tensor([len(each) for each in self.numbers])

    @property
    def owner(self) -> Any:
        """Molecule of each atom of a batch (n,), on the device."""
        import torch

        counts = self.natoms
        return torch.repeat_interleave(torch.arange(len(counts)), counts).to(self.device)

    @property
    def bonds(self) -> Any:
        """Pairs of atoms of a batch (2, pairs), on the device."""
        import torch

        first = torch.cumsum(self.natoms, 0) - self.natoms
        moved = [pair + start for pair, start in zip(self.pairs, first, strict=True)]
        return torch.cat(moved, dim=1).to(self.device)


# From a batch to dipoles (k, 3), e angstrom, and charges (n,), e.
Forward = Callable[[Prepared], tuple[Any, Any]]


def hipnn(elements: list[int]) -> tuple[Any, Forward]:
    """HIP-NN with a charge for each atom."""
    import torch

    with warnings.catch_warnings(action="ignore"):
        import hippynn
        from hippynn.graphs import GraphModule, inputs, networks, physics, targets
    # Its other kernels are for larger systems; on these molecules this one is the fastest.
    hippynn.custom_kernels.set_custom_kernels("pytorch")
    numbers, positions = inputs.SpeciesNode(db_name="Z"), inputs.PositionsNode(db_name="R")
    settings = {"possible_species": [0, *elements], **HIPPYNN}
    network = networks.Hipnn("network", (numbers, positions), module_kwargs=settings)
    charges = targets.HChargeNode("charges", network)
    dipole = physics.DipoleNode("dipole", charges)
    module = GraphModule([numbers, positions], [dipole, charges.main_output])

    def forward(batch: Prepared) -> tuple[Any, Any]:
        z, r = (
            torch.nn.utils.rnn.pad_sequence(parts, batch_first=True).to(batch.device)
            for parts in (batch.numbers, batch.positions)
        )
        # Positions are centred, so that the dipole is that of charges whose sum is zero.
        mu, q = module(z, r)
        return mu, _neutral(q.reshape(-1), batch.owner)

    return module, forward


def painn(elements: list[int]) -> tuple[Any, Forward]:
    """PaiNN with the dipole head of its paper: charges and atomic dipoles."""
    import torch

    schnetpack = _schnetpack()
    p = schnetpack.properties
    representation = schnetpack.representation.PaiNN(
        PAINN_FEATURES,
        PAINN_BLOCKS,
        schnetpack.nn.GaussianRBF(PAINN_RADIAL, PAINN_CUTOFF),
        schnetpack.nn.CosineCutoff(PAINN_CUTOFF),
    )
    head = schnetpack.atomistic.DipoleMoment(
        PAINN_FEATURES, return_charges=True, use_vector_representation=True
    )
    module = torch.nn.ModuleList([representation, head])

    def forward(batch: Prepared) -> tuple[Any, Any]:
        positions, owner = batch.joined(batch.positions), batch.owner
        i, j = batch.bonds
        inputs = {
            p.Z: batch.joined(batch.numbers),
            p.R: positions,
            p.Rij: positions[j] - positions[i],
            p.idx_i: i,
            p.idx_j: j,
            p.idx_m: owner,
            p.n_atoms: torch.bincount(owner),
        }
        found = head(representation(inputs))
        return found[p.dipole_moment], found[p.partial_charges].reshape(-1)

    return module, forward


def _schnetpack() -> Any:
    """Import SchNetPack; its release 2.0.4 names a type that torch 2.13 has elsewhere."""
    import torch.utils.data.dataloader as loader

    if not hasattr(loader, "T_co"):
        from torch.utils.data.dataset import _T_co

        loader.T_co = _T_co
    with warnings.catch_warnings(action="ignore"):
        import schnetpack
        import schnetpack.atomistic
        import schnetpack.nn
        import schnetpack.representation
    return schnetpack


def _neighbours(positions: np.ndarray) -> np.ndarray:
    """Pairs of atoms of one molecule within the cutoff of PaiNN (2, pairs)."""
    distance = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    np.fill_diagonal(distance, np.inf)
    return np.array(np.nonzero(distance < PAINN_CUTOFF))


def _neutral(charges: Any, owner: Any) -> Any:
    """Take the mean of each molecule from its charges."""
    import torch

    counts = torch.bincount(owner)
    sums = torch.zeros(len(counts), device=charges.device).index_add(0, owner, charges)
    return charges - (sums / counts)[owner]


def _clock(device: str) -> Callable[[], float]:
    return time.process_time if device == "cpu" else time.perf_counter


NETWORKS = {"hipnn": hipnn, "painn": painn}


@dataclass(frozen=True)
class Trained:
    """A network with the weights of its best validation error.

    Parameters
    ----------
    forward : callable
    figures : dict
        Validation error, debye; epochs of charges alone and of magnitudes; whether time ended it.
    device : str
    """

    forward: Forward
    figures: dict[str, Any]
    device: str

    def predict(self, molecules: Molecules) -> np.ndarray:
        """Predict magnitudes (N,), debye."""
        import torch

        data = Prepared.of(molecules.replace(charges=None), self.device)
        with torch.no_grad():
            order = torch.arange(len(molecules))
            found = [
                DEBYE_PER_E_ANGSTROM * self.forward(part)[0].norm(dim=1)
                for part in data.batches(order, PREDICTED_AT_ONCE)
            ]
        return np.asarray(torch.cat(found).cpu().numpy(), dtype=float)


def train(
    name: str,
    molecules: Molecules,
    weight: float,
    seed: int,
    seconds: float,
    device: str = "cpu",
    epochs: int = 10**6,
) -> Trained:
    """Train a network on magnitudes, and on charges where their weight is not 0.

    Parameters
    ----------
    name : {"hipnn", "painn"}
    molecules : Molecules
        Nine tenths of them train, the others say when to lower the rate.
    weight : float
        Of the charges' error in e beside that of the magnitudes in debye; above 0 charges are
        first trained alone.
    seed : int
        Of weights, batches and the validation part.
    seconds : float
        At most, of the processor; on a GPU by the clock on the wall.
    device : {"cpu", "cuda"}, default="cpu"
    epochs : int, default=10**6
        Of each part, at most.
    """
    import torch

    torch.manual_seed(seed)
    data, order = Prepared.of(molecules, device), torch.randperm(len(molecules))
    kept = max(round(VALIDATION_SHARE * len(molecules)), 1)
    validation, training = data.take(order[:kept]), data.take(order[kept:])
    module, forward = NETWORKS[name](molecules.elements.tolist())
    module.to(device)
    start, before = _clock(device)(), 0
    if weight > 0:
        first = _Part(name, module, forward, 0.0, 1.0)
        end = start + seconds * SHARE_OF_CHARGES
        _, before, _ = first.run(training, validation, end, epochs, halvings=1)
    both = _Part(name, module, forward, 1.0, weight)
    best, n_epochs, ended = both.run(training, validation, start + seconds, epochs)
    figures = {"validation_mae": best, "epochs": n_epochs, "epochs_charges": before}
    return Trained(forward, figures | {"out_of_time": ended}, device)


@dataclass(frozen=True)
class _Part:
    """One part of the training: what is trained on, with which weights."""

    name: str
    module: Any
    forward: Forward
    on_magnitudes: float
    on_charges: float

    def run(
        self,
        training: Prepared,
        validation: Prepared,
        until: float,
        epochs: int,
        halvings: int = 99,
    ) -> tuple[float, int, bool]:
        """Train until the rate is lowest.

        Returns
        -------
        error : float
            Of the validation molecules.
        epochs : int
        out_of_time : bool
        """
        import torch

        optimiser = torch.optim.Adam(self.module.parameters(), RATES[self.name])
        best, best_epoch, epoch, halved = np.inf, 0, 0, 0
        weights = copy.deepcopy(self.module.state_dict())
        rate = RATES[self.name]
        in_time = True
        while halved < halvings and rate >= LOWEST_RATE and epoch < epochs and in_time:
            self._epoch(training, optimiser)
            epoch += 1
            error = self._validate(validation)
            if error < best:
                best, best_epoch, weights = error, epoch, copy.deepcopy(self.module.state_dict())
            if epoch - best_epoch >= PATIENCE:
                best_epoch, halved, rate = epoch, halved + 1, rate / 2
                for group in optimiser.param_groups:
                    group["lr"] = rate
            in_time = _clock(training.device)() < until
        self.module.load_state_dict(weights)
        return float(best), epoch, not in_time

    def _epoch(self, training: Prepared, optimiser: Any) -> None:
        import torch

        for batch in training.batches(torch.randperm(len(training.magnitudes)), BATCH):
            optimiser.zero_grad()
            dipole, charge = self._errors(batch)
            # hippynn's examples add the two.
            loss = 0.0
            for weight, error in ((self.on_magnitudes, dipole), (self.on_charges, charge)):
                if weight > 0:
                    loss = loss + weight * (error.square().mean().sqrt() + error.abs().mean())
            loss.backward()
            optimiser.step()

    def _errors(self, batch: Prepared) -> tuple[Any, Any]:
        dipole, charges = self.forward(batch)
        off = DEBYE_PER_E_ANGSTROM * dipole.norm(dim=1) - batch.magnitudes.to(batch.device)
        if batch.charges is None:
            return off, None
        return off, charges - batch.joined(batch.charges)

    def _validate(self, validation: Prepared) -> float:
        """Mean absolute error of magnitudes, or of charges where they are alone."""
        import torch

        with torch.no_grad():
            dipole, charge = self._errors(validation)
        return float((dipole if self.on_magnitudes > 0 else charge).abs().mean())
