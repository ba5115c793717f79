"""Groups of parameters of `DipoleKernelRidge`: basis, start and solver.

Each group only holds values and checks them, so that a combination without a meaning cannot be
written: a number of restarts belongs to a random start, a tolerance to the solver. Two groups are
defined elsewhere: `loss` in `dipkit.learning.losses`, `baseline` in `baseline.py`. What "auto"
means for given labels is in `defaults.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator

from ..exceptions import InputError
from ..learning.compensation import ALONG_BONDS, EVEN
from ..learning.kernels import EnvironmentKernel, PowerKernel
from ..support.nested_parameters import NestedParameters, make_group
from ..support.validation import check_number, check_whole

COMPENSATIONS = {"molecule": EVEN, "bonds": ALONG_BONDS}
PRECISIONS = ("auto", "single", "double")
SOURCES = ("auto", "charges", "electronegativity")


def make_kernel(kernel: EnvironmentKernel | None) -> EnvironmentKernel:
    """Return the kernel that a parameter value stands for."""
    made: EnvironmentKernel = make_group("kernel", kernel, {None: PowerKernel}, EnvironmentKernel)
    return made


class InducingBasis(NestedParameters):
    """Basis functions of the model: kernel values with inducing environments.

    Parameters
    ----------
    kernel : EnvironmentKernel, default=None
        Kernel between environments; None is ``PowerKernel()``.
    n_inducing : int, default=None
        Inducing environments of all elements together. None chooses by the size of the data and
        the free memory: 100 times the square root of the number of molecules up to 400, which are
        2,000; then they grow with its sixth root, to 2,329 for 1,000 and 3,046 for 5,000. Above
        10,000 molecules 6,000.
    eigenvalue_cut : float or "auto", default="auto"
        Eigenvectors of the kernel matrix are left out if their eigenvalue is below this share of
        the largest one.
        ``"auto"`` is 1e-10 in double precision and 1e-8 in single.
    precision : {"auto", "single", "double"}, default="auto"
        Precision of kernel values. ``"auto"`` is double in fits of up to 10,000 molecules. In
        single precision a fit is faster, but two fits to the same descriptors differ by rounding
        between machines and devices. Predictions are in double precision, except that scales with
        less than 1 % of the kernel are in single precision unless ``"double"`` is set. Descriptors
        are always in single precision.
    atomic_dipoles : float or "auto", default="auto"
        Scale s of dipoles of single atoms in addition to charges (21), along the vectors to the
        neighbours of each element; 0 for none. ``"auto"`` is 0 without a baseline, because with
        few labels they overfit. With a baseline the model is then the mean of two: of one with
        scale 0.3 and 16 times alpha, and of one without atomic dipoles and an eighth of alpha.
    bond_charges : float, default=0.2
        Scale of bond charges: a second function of the environment whose opposite charge stays a
        few bonds away (24). It uses only the eigenvectors with the largest eigenvalues. 0 for
        none.
    compensation : {"molecule", "bonds"}, default="molecule"
        Where the charge comes from that an atom gets. ``"molecule"``: evenly from all atoms of
        the molecule. ``"bonds"``: from atoms that are a few bonds away. Then errors are smaller
        for molecules much larger than the training molecules, and larger for molecules like them
        (docs/decisions/0021-bond-charges.md).
    """

    _groups: ClassVar = {"kernel": make_kernel}
    __module__ = "dipkit"  # the path that saved models name

    def __init__(
        self,
        kernel: EnvironmentKernel | None = None,
        n_inducing: int | None = None,
        eigenvalue_cut: float | str = "auto",
        precision: str = "auto",
        atomic_dipoles: float | str = "auto",
        bond_charges: float = 0.2,
        compensation: str = "molecule",
    ):
        self.kernel = kernel
        self.n_inducing = n_inducing
        self.eigenvalue_cut = eigenvalue_cut
        self.precision = precision
        self.atomic_dipoles = atomic_dipoles
        self.bond_charges = bond_charges
        self.compensation = compensation

    def check(self) -> None:
        """Refuse values that cannot be used.

        Raises
        ------
        InputError
        """
        if self.n_inducing is not None:
            check_whole("n_inducing", self.n_inducing, least=1)
        if self.eigenvalue_cut != "auto":
            check_number("eigenvalue_cut", self.eigenvalue_cut, above=0.0)
            if not float(self.eigenvalue_cut) < 1:
                raise InputError(
                    f"eigenvalue_cut: expected a share below 1, got {self.eigenvalue_cut!r}."
                )
        if self.precision not in PRECISIONS:
            raise InputError(f"precision: expected one of {PRECISIONS}, got {self.precision!r}.")
        if self.atomic_dipoles != "auto":
            check_number("atomic_dipoles", self.atomic_dipoles, above=None)
        check_number("bond_charges", self.bond_charges, above=None)
        if not isinstance(self.compensation, str) or self.compensation not in COMPENSATIONS:
            raise InputError(
                f"compensation: expected one of {tuple(COMPENSATIONS)}, got {self.compensation!r}."
            )
        make_kernel(self.kernel).check()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore; models from before there were bond charges have none."""
        super().__setstate__({"bond_charges": 0.0, "compensation": "molecule"} | state)


class Start(BaseEstimator):
    """Start of the iterations. J has several minima, and the start decides which one is found."""

    def check(self) -> None:
        """Refuse values that cannot be used.

        Raises
        ------
        InputError
        """


class ChargeStart(Start):
    """Start from the ridge fit of the model to given charges.

    Parameters
    ----------
    source : {"auto", "charges", "electronegativity"}, default="auto"
        ``"charges"``: the reference charges. ``"electronegativity"``: charges guessed from
        electronegativities. ``"auto"``: no correction where there is a baseline, else the
        reference charges where there are any, else the guess.
    prior : bool, default=True
        Whether the ridge penalty shrinks the model towards this start. Otherwise it shrinks the
        model towards zero charges, and dipoles of molecules unlike the training molecules may be
        much too large.
    """

    __module__ = "dipkit"  # the path that saved models name

    def __init__(self, source: str = "auto", prior: bool = True):
        self.source = source
        self.prior = prior

    def check(self) -> None:
        """Refuse values that cannot be used.

        Raises
        ------
        InputError
        """
        if self.source not in SOURCES:
            raise InputError(f"start: expected source to be one of {SOURCES}, got {self.source!r}.")
        if not isinstance(self.prior, bool | np.bool_):
            raise InputError(f"start: expected prior to be True or False, got {self.prior!r}.")


class ZeroStart(Start):
    """Start from no charges, or with a baseline from no correction of it."""

    __module__ = "dipkit"  # the path that saved models name


class RandomStart(Start):
    """Start from random weights, as an ordinary optimiser would.

    Most random starts end in a poor minimum. Use them to reproduce results of other methods.

    Parameters
    ----------
    n_restarts : int, default=1
        Random starts tried; the one with the lowest objective is kept.
    """

    __module__ = "dipkit"  # the path that saved models name

    def __init__(self, n_restarts: int = 1):
        self.n_restarts = n_restarts

    def check(self) -> None:
        """Refuse values that cannot be used.

        Raises
        ------
        InputError
        """
        check_whole("n_restarts", self.n_restarts, least=1)


_STARTS = {
    "auto": ChargeStart,
    "charges": lambda: ChargeStart("charges"),
    "electronegativity": lambda: ChargeStart("electronegativity"),
    "zero": ZeroStart,
    "random": RandomStart,
}


def make_start(start: str | Start) -> Start:
    """Return the start that a parameter value stands for."""
    made: Start = make_group("start", start, _STARTS, Start)
    return made


class Reweighted(BaseEstimator):
    """Solver: iterative reweighting, accelerated by limited-memory BFGS.

    Parameters
    ----------
    max_iter : int, default=500
        Iterations at most.
    tol : float, default=1e-6
        Iterations end where the next one would lower the objective by less than this share.
    memory : int, default=8
        Number of earlier iterations that the acceleration uses; 0 for plain reweighting.
    annealing : sequence of float or "auto", default="auto"
        Multiples of alpha under which iterations run first: the minimum is followed while the
        ridge penalty decreases. This makes the result nearly independent of the start. ``"auto"``
        is ``(1e5, 1e4, 1000, 100, 10)``, and ``(1000,)`` where the iterations start from charges
        and 1,000 molecules or more have labels and charges. Use ``()`` to switch annealing off.
    """

    __module__ = "dipkit"  # the path that saved models name

    def __init__(
        self,
        max_iter: int = 500,
        tol: float = 1e-6,
        memory: int = 8,
        annealing: Sequence[float] | str = "auto",
    ):
        self.max_iter = max_iter
        self.tol = tol
        self.memory = memory
        self.annealing = annealing

    def check(self) -> None:
        """Refuse values that cannot be used.

        Raises
        ------
        InputError
        """
        check_whole("max_iter", self.max_iter, least=1)
        check_number("tol", self.tol, above=0.0)
        check_whole("memory", self.memory, least=0)
        factors: Any = self.annealing
        if isinstance(factors, str) and factors == "auto":
            return
        if not isinstance(factors, Sequence | np.ndarray) or isinstance(factors, str):
            raise InputError(
                f'annealing: expected "auto" or a sequence of multiples of alpha, got {factors!r}.'
            )
        for factor in factors:
            check_number("annealing", factor, above=0.0)


def make_basis(basis: InducingBasis | None) -> InducingBasis:
    """Return the basis parameters that a parameter value stands for."""
    made: InducingBasis = make_group("basis", basis, {None: InducingBasis}, InducingBasis)
    return made


def make_solver(solver: Reweighted | None) -> Reweighted:
    """Return the solver that a parameter value stands for."""
    made: Reweighted = make_group("solver", solver, {None: Reweighted}, Reweighted)
    return made
