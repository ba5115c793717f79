"""`Settings`: the parameters of one fit, checked, with an object for every group.

An estimator stores its parameters unchanged. A fit checks them here, before any work, and then
reads only the settings.
"""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_random_state

from ..exceptions import InputError
from ..learning.kernels import EnvironmentKernel
from ..learning.losses import Loss, make_loss
from ..support.system_memory import parse_bytes
from ..support.validation import check_jobs, check_number
from .auxiliary import AuxiliaryDipoles, make_auxiliary
from .baseline import Baseline, make_baseline
from .parameters import (
    InducingBasis,
    Reweighted,
    Start,
    make_basis,
    make_kernel,
    make_solver,
    make_start,
)

if TYPE_CHECKING:
    from .regression import DipoleKernelRidge


@dataclass(frozen=True)
class Settings:
    """Parameters of a fit; see `DipoleKernelRidge` for what they mean.

    Parameters
    ----------
    alpha, charge_weight : float or "auto"
    charge_discrepancy : float or None
    quadrupole_weight : float
    basis : InducingBasis
    kernel : EnvironmentKernel
        A copy: that of the fitted model.
    loss : Loss
    start : Start
    solver : Reweighted
    baseline : Baseline or None
    auxiliary : AuxiliaryDipoles or None
    device : str
    n_jobs : int or None
    memory_budget : int or None
        Bytes.
    seed : int
        Of all random numbers of the fit.
    """

    alpha: float | str
    charge_weight: float | str
    charge_discrepancy: float | None
    quadrupole_weight: float
    basis: InducingBasis
    kernel: EnvironmentKernel
    loss: Loss
    start: Start
    solver: Reweighted
    baseline: Baseline | None
    auxiliary: AuxiliaryDipoles | None
    device: str
    n_jobs: int | None
    memory_budget: int | None
    seed: int

    @classmethod
    def of(cls, ridge: DipoleKernelRidge) -> Settings:
        """Check the parameters of an estimator.

        Raises
        ------
        InputError
            If a parameter cannot be used.
        """
        for name in ("alpha", "charge_weight"):
            if getattr(ridge, name) != "auto":
                check_number(name, getattr(ridge, name), above=0.0 if name == "alpha" else None)
        check_number("quadrupole_weight", ridge.quadrupole_weight, above=None)
        _check_discrepancy(ridge.charge_discrepancy, ridge.charge_weight)
        basis, start, solver = (
            make_basis(ridge.basis), make_start(ridge.start), make_solver(ridge.solver)
        )  # fmt: skip
        auxiliary = make_auxiliary(ridge.auxiliary)
        for group in (basis, start, solver, auxiliary):
            if group is not None:
                group.check()
        budget = ridge.memory_budget
        check_jobs("n_jobs", ridge.n_jobs)
        return cls(
            alpha=ridge.alpha,
            charge_weight=ridge.charge_weight,
            charge_discrepancy=ridge.charge_discrepancy,
            quadrupole_weight=float(ridge.quadrupole_weight),
            basis=basis,
            kernel=clone(make_kernel(basis.kernel)),
            loss=make_loss(ridge.loss),
            start=start,
            solver=solver,
            baseline=make_baseline(ridge.baseline),
            auxiliary=auxiliary,
            device=ridge.device,
            n_jobs=ridge.n_jobs,
            memory_budget=None if budget is None else parse_bytes(budget),
            seed=_seed(ridge.random_state),
        )

    def generator(self, *stream: int) -> np.random.Generator:
        """Random numbers of the environments; of random starts (1), of the std (2 and 3)."""
        return np.random.default_rng([self.seed, *stream] if stream else self.seed)


def _check_discrepancy(value: Any, charge_weight: Any) -> None:
    """Refuse what is neither None nor a number above 0, infinity included."""
    if value is None:
        return
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not (number and value > 0):
        raise InputError(
            f"charge_discrepancy: expected a number > 0 or None, got {value!r}. None is the "
            "strongest, without any discrepancy; charge_weight=0 gives the charges no weight."
        )
    if charge_weight == 0:
        raise InputError(
            f"charge_discrepancy: {value:g} has no effect with charge_weight=0, which gives the "
            'charges no weight. Use charge_weight="auto", or leave charge_discrepancy out.'
        )


def _seed(random_state: Any) -> int:
    try:
        return int(check_random_state(random_state or 0).randint(2**31))
    except ValueError:
        raise InputError(
            "random_state: expected None, a whole number from 0 to 2**32 - 1 or a RandomState, "
            f"got {random_state!r}."
        ) from None
