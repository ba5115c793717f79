"""`DipoleKernelRidge`: kernel ridge regression for atomic charges, learned from dipoles.

Symbols: N described molecules with n atoms, magnitudes m (N,) in debye, charges (n,) in e,
M inducing environments, r basis functions. The equations are on the theory page. Here: parameters,
`fit` and `partial_fit`, whose work is in `fit.py` and `minimum.py`. Not here: the methods that
predict (`predictor.py`), and groups of parameters (`parameters.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

from ..data.molecules import Molecules
from ..descriptors.requirements import require_described
from ..exceptions import InputError
from ..learning.labels import read_labels
from ..learning.losses import Loss, make_loss
from .auxiliary import AuxiliaryDipoles, make_auxiliary, read_auxiliary
from .baseline import Baseline, make_baseline
from .baseline_molecules import prepare_labels
from .fit import first_statistics, more_statistics
from .format1 import is_flat, nested_state
from .minimum import learn
from .parameters import InducingBasis, Reweighted, Start, make_basis, make_solver, make_start
from .predictor import DipolePredictor
from .settings import Settings

if TYPE_CHECKING:
    from numpy.random import RandomState

    from .training_data import FitStatistics

# Not part of a model: sums for `partial_fit`, and what prediction computes once.
_OF_THE_PROCESS = ("_statistics", "_std_whitening")


class DipoleKernelRidge(DipolePredictor):
    """Atomic charges by kernel ridge regression, learned from scalar dipole magnitudes.

    Minimises the joint objective (4) of dipole magnitudes, charges and ridge penalty by
    iterative reweighting.

    Parameters
    ----------
    alpha : float or "auto", default="auto"
        Ridge penalty, debye^2. ``"auto"`` is 0.02 / N with N dipole labels; above 1,000 of them
        it falls as N^-2, and above 4,000 as N^-1.5. With a baseline it is 1265 / N^2.5. Alpha
        decreases with the number of labels, because the mean over more labels is more certain.
    charge_weight : float or "auto", default="auto"
        Weight lambda of the reference charges, debye^2 / e^2. ``"auto"`` is 1e-3 where there are
        charges, else 0; with a baseline it is 0, and with a charge discrepancy 100. With 0, charges
        still determine the start.
    basis : InducingBasis, default=None
        Kernel, inducing environments, precision. None is ``InducingBasis()``.
    loss : {"squared", "huber", "absolute"} or Loss, default="squared"
        Loss of the dipole residuals. Huber and absolute loss are robust to outliers, but a
        matrix must be factored in every iteration. ``HuberLoss(threshold=0.2)`` sets the residual
        where the loss turns linear, debye.
    start : {"auto", "charges", "electronegativity", "zero", "random"} or Start, default="auto"
        Start of the iterations, see `ChargeStart`, `ZeroStart` and `RandomStart`.
    solver : Reweighted, default=None
        Tolerance, iterations and annealing. None is ``Reweighted()``.
    baseline : {None, "none", "given", "gfn2"} or Baseline, default=None
        Cheap calculation that the model corrects (9). ``"gfn2"``: GFN2-xTB and IPEA1-xTB, run for
        the training molecules and again for those to predict, about 20 ms each, see
        `GFN2Baseline`. ``"given"``: what the molecules carry as ``baseline_dipole``,
        ``baseline_charges`` and ``descriptor_charges``, see `GivenBaseline`. Molecules without a
        result are left out of fit, and get NaN in prediction, with a warning.
    auxiliary : {"auto", None, "none", "charges", "gfn2", "given"} or object, default="auto"
        Cheap dipole vectors of the training molecules, from which the fit learns directions.
        ``"auto"`` takes the dipoles of the reference charges where there are any and no baseline.
        Predictions do not need them. Those of molecules without a label are used as well, see
        `AuxiliaryDipoles`.
    charge_discrepancy : float, default=None
        Penalty beta on a second function, which the reference charges contain in addition to the
        charges of the model (20), debye^2 / e^2. It describes the systematic error of the reference
        charges; the smaller beta, the larger this error may be. None, or infinity, is no second
        function. A discrepancy is for models without auxiliary dipoles that learn from the charges
        of many more molecules than have a dipole label; with `charge_weight=100`, 1e-4 was the best
        with 100 and 200 dipoles, 1e-5 with 500. Such models have larger errors than the default,
        which learns directions from charges (`auxiliary`).
    quadrupole_weight : float, default=0.0
        Weight of the mean squared error of quadrupoles, 1 / angstrom^2, over the molecules that
        have a label. With 0 the model does not learn from them. Quadrupoles that atomic charges
        cannot reproduce may increase the error of the dipoles. This is an error with a baseline
        whose dipole is not that of its charges.
    device : {"auto", "cpu", "cuda"}, default="auto"
        Where to compute; ``"auto"`` is a GPU where CuPy finds one.
    n_jobs : int, default=None
        Blocks of molecules computed at once, through joblib. One block at a time already uses
        all cores for its matrix products.
    memory_budget : int or str, default=None
        Memory that the process may take during `fit`, in bytes or as ``"8GB"``; on a GPU, memory
        of the device. None allows most of what is free. Dipole rows that do not fit go to a file
        in the folder for temporary files (``TMPDIR``).
    random_state : int, RandomState or None, default=None
        Of the candidates for inducing environments and of random starts. None always draws the
        same ones.

    Attributes
    ----------
    inducing_numbers_ : ndarray of shape (M,)
        Atomic number of each inducing environment.
    inducing_features_ : list of ndarray of shape (M, d_s), float16
        Their descriptors, one array per scale.
    scale_weights_ : ndarray of shape (n_scales,)
    features_made_by_ : str or None
        What made the descriptors of fit (`Features.made_by`); others are refused in prediction.
    dual_coef_ : ndarray of shape (M,), e
        Coefficient of the kernel with each environment.
    bond_coef_ : ndarray of shape (M,), e, or None
        The same of the bond charges; None without them.
    stiffness_ : tuple of float
        t of (24), of the charges (infinity is even compensation) and of the bond charges.
    elements_ : ndarray of shape (n_elements,)
        Atomic numbers seen in fit.
    intercept_ : ndarray of shape (n_elements,), e
        Constant charge of each element.
    atomic_dipole_coef_ : ndarray of shape (M, n_elements), e, or None
        Coefficient of the kernel with each environment in the amplitudes of atomic dipoles towards
        the neighbours of each element, the scale included. None without atomic dipoles, as usual
        where there is no baseline.
    atomic_dipole_intercept_ : ndarray of shape (n_elements, n_elements), e, or None
        Constant amplitudes of each element.
    kernel_ : EnvironmentKernel
    alpha_, charge_weight_ : float
        Ridge penalty and lambda as used. Two models whose mean is taken have multiples of it, see
        ``atomic_dipoles`` of `InducingBasis`.
    objective_ : float, debye^2
        Of two models whose mean is taken: of the one with atomic dipoles, as the history.
    history_ : ndarray of shape (n_iterations + 1,), debye^2
        Objective at the start and after each iteration of the last stage, at alpha itself.
    n_iter_, n_factorizations_ : int
        Linear solves and factorisations of all stages, and of both models of a mean.
    converged_ : bool
    status_ : str
        Why the iterations ended.
    label_summary_ : dict
        Molecules and labels used in fit.
    memory_plan_ : dict
        Forecast of the memory of the fit.
    precision_ : {"double", "single"}
        Of kernel values in the fit.
    std_coef_, std_intercept_, std_cut_, std_novelty_, std_ceiling_, std_floor_
        What standard deviations are computed from, see `dipkit.estimator.std_prediction.StdModel`.
    baseline_factor_ : float
        Factor b of the baseline's dipoles and charges, fitted to the labels; 1 without one.
    baseline_charges_, descriptor_charges_ : bool
        Whether the baseline has charges, and whether those of a second calculation enter the
        descriptors as well.

    References
    ----------
    Colglazier et al., arXiv:2509.22435; doi:10.1021/acs.jpclett.6c00398.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from dipkit import DipoleKernelRidge, InducingBasis, SOAPTransformer
    >>> from dipkit.data.datasets import load_organics
    >>> molecules = load_organics()[:30]
    >>> ridge = DipoleKernelRidge(basis=InducingBasis(n_inducing=100))
    >>> model = make_pipeline(SOAPTransformer(), ridge)
    >>> model.fit(molecules).predict(molecules[:2]).shape
    (2,)
    """

    _groups: ClassVar = {
        "basis": make_basis,
        "loss": make_loss,
        "start": make_start,
        "solver": make_solver,
        "baseline": make_baseline,
        "auxiliary": make_auxiliary,
    }
    __module__ = "dipkit"  # the path that saved models name
    # Of the machine, not of the model: a file does not set them.
    _not_saved: ClassVar[tuple[str, ...]] = ("device", "n_jobs")
    #: What `partial_fit` adds to: large, on a device, and neither pickled nor saved.
    _statistics: FitStatistics | None = None

    def __init__(
        self,
        alpha: float | str = "auto",
        charge_weight: float | str = "auto",
        basis: InducingBasis | None = None,
        loss: str | Loss = "squared",
        start: str | Start = "auto",
        solver: Reweighted | None = None,
        baseline: str | Baseline | None = None,
        auxiliary: str | AuxiliaryDipoles | None = "auto",
        charge_discrepancy: float | None = None,
        quadrupole_weight: float = 0.0,
        device: str = "auto",
        n_jobs: int | None = None,
        memory_budget: int | str | None = None,
        random_state: int | RandomState | None = None,
    ):
        self.alpha = alpha
        self.charge_weight = charge_weight
        self.basis = basis
        self.loss = loss
        self.start = start
        self.solver = solver
        self.baseline = baseline
        self.auxiliary = auxiliary
        self.charge_discrepancy = charge_discrepancy
        self.quadrupole_weight = quadrupole_weight
        self.device = device
        self.n_jobs = n_jobs
        self.memory_budget = memory_budget
        self.random_state = random_state

    def fit(
        self,
        X: Molecules,
        y: Any = None,
        *,
        charges: Any = None,
        sample_weight: Any = None,
    ) -> Self:
        """Learn charges from dipoles.

        Parameters
        ----------
        X : Molecules
            Described by a `SOAPTransformer`.
        y : array-like of shape (n_molecules,) or (n_molecules, 3), debye, default=None
            Dipole magnitudes, or vectors. None takes the labels of the molecules: the vector
            where there is one, else the magnitude.
        charges : array-like of shape (n_atoms,) or list of n_molecules arrays, e, default=None
            Reference charges. None takes those of the molecules.
        sample_weight : array-like of shape (n_molecules,), default=None

        Returns
        -------
        self

        Raises
        ------
        InputError
            If a parameter or label cannot be used, or there is no dipole label at all.
        FactorizationError
            If the linear system cannot be solved in floating point.
        """
        settings, statistics = self._gather(X, y, charges, sample_weight, for_partial_fit=False)
        self._store(learn(settings, statistics), None)
        return self

    def partial_fit(
        self,
        X: Molecules,
        y: Any = None,
        *,
        charges: Any = None,
        sample_weight: Any = None,
    ) -> Self:
        """Learn from more molecules, in addition to those of all earlier calls.

        The first call chooses the inducing environments, and the factor of a baseline, and later
        ones keep them: the model is that of a fit to all molecules with these. The dipole rows of
        all molecules stay in memory, but are neither pickled nor saved: a model that was copied,
        pickled, loaded, or fitted by `fit` raises an error here.

        Parameters
        ----------
        X : Molecules
            Described; of elements that the first call saw.
        y, charges, sample_weight
            As in `fit`.

        Returns
        -------
        self

        Raises
        ------
        InputError
            As in `fit`, for elements or descriptors that the first call did not see, for parameters
            of the basis that changed since, and where the statistics of earlier calls are gone.
        """
        if self._statistics is None and hasattr(self, "dual_coef_"):
            raise InputError(
                "partial_fit: the statistics of the molecules learned before are gone. Only "
                "partial_fit keeps them; copies, pickles and saved models do not. To start again "
                "call partial_fit on sklearn.base.clone(model), or fit on all molecules."
            )
        settings, statistics = self._gather(X, y, charges, sample_weight, for_partial_fit=True)
        self._store(learn(settings, statistics), statistics)
        return self

    def _gather(
        self, X: Molecules, y: Any, charges: Any, sample_weight: Any, for_partial_fit: bool
    ) -> tuple[Settings, FitStatistics]:
        """Check parameters and labels, and compute statistics; `for_partial_fit`, of all calls."""
        settings, molecules = Settings.of(self), require_described(X)
        before = self._statistics if for_partial_fit else None
        labels = read_labels(molecules, y, charges, sample_weight)
        auxiliary = read_auxiliary(settings.auxiliary, settings.baseline, labels, settings.n_jobs)
        factor = None if before is None else before.origin.baseline_factor
        labels, factor = prepare_labels(labels, settings.baseline, factor, settings.n_jobs)
        if before is None:
            return settings, first_statistics(settings, labels, factor, for_partial_fit, auxiliary)
        return settings, more_statistics(settings, before, labels, auxiliary)

    def _store(self, learned: dict[str, Any], statistics: FitStatistics | None) -> None:
        """Replace all fitted attributes at once."""
        before = [name for name in vars(self) if name.endswith("_") and not name.startswith("_")]
        for name in before:
            delattr(self, name)
        self.__dict__.update(learned)
        for name in _OF_THE_PROCESS:
            self.__dict__.pop(name, None)
        if statistics is not None:
            self._statistics = statistics

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore; a parameter that is newer than the model gets its default."""
        state = nested_state(state) if is_flat(state) else state
        super().__setstate__(vars(type(self)()) | state)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what only `partial_fit` needs, and what can be computed again."""
        state: dict[str, Any] = super().__getstate__()
        return {name: value for name, value in state.items() if name not in _OF_THE_PROCESS}

    def __sklearn_tags__(self) -> Any:
        """Declare that X is not an array."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.allow_nan = False
        tags.target_tags.required = False
        return tags
