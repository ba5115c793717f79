"""Networks of figure 5 with and without charges: how they are trained, and what they predict.

The networks are in `network_models.py`. Both give each atom a charge q, corrected to sum to zero in
a molecule; the dipole is sum q r, of PaiNN with an atomic dipole besides, and its length is trained
on. With charges the training has two parts: charges alone, then magnitudes and charges together,
the charges with a weight.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dipkit import Molecules
from dipkit.units import DEBYE_PER_E_ANGSTROM

from .network_models import NETWORKS, Forward, Prepared

# Adam's first rate.
RATES = {"hipnn": 1e-3, "painn": 5e-4}
BATCH = 16
VALIDATION_SHARE = 0.1
# Epochs without a better validation error before the rate is halved; training ends at the lowest.
PATIENCE, LOWEST_RATE = 25, 2e-5
# Share of the time that charges alone may take.
SHARE_OF_CHARGES = 0.3
PREDICTED_AT_ONCE = 200


def _clock(device: str) -> Callable[[], float]:
    return time.process_time if device == "cpu" else time.perf_counter


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
