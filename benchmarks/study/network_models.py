"""The networks of figure 5 and what they are given: hippynn's HIP-NN and SchNetPack's PaiNN.

This is the door for torch, hippynn and SchNetPack, which only this figure needs. How they are
trained is in `networks.py`. Symbols: molecules A, atoms i of a batch one after another, magnitudes
in debye, charges in e.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from dipkit import Molecules

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


NETWORKS = {"hipnn": hipnn, "painn": painn}
