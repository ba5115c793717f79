"""`DipoleKernelRidge`: kernel ridge regression for atomic charges, learned from dipoles.

Symbols: N described molecules with n atoms, magnitudes m (N,) in debye, charges (n,) in e,
M inducing environments, r basis functions. The equations are on the theory page; what `fit`
calls lives in `inducing`, `statistics`, `starts` and `solvers`.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import r2_score
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ._backend import Backend, get_backend
from ._baseline import baseline_of, prepare_labels
from ._described import require_described, require_known
from ._direction import with_direction
from ._fit_labels import FitLabels, read_labels
from ._settings import (
    check_settings,
    resolve_alpha,
    resolve_charge_weight,
    resolve_direction_weight,
    resolve_init,
)
from .design import constant_charges, constant_dipoles, dipoles, project
from .inducing import Basis, build_basis, choose_environments, descriptor_bytes
from .kernels import EnvironmentKernel, PowerKernel
from .molecules import Molecules, missing_labels_error
from .objective import JointObjective, make_loss
from .solvers import SolveResult, Status, solve_annealed
from .starts import charge_start, random_start, start_charges
from .statistics import (
    ChargeStatistics,
    accumulate_wanted,
    blocks,
    default_n_inducing,
    require_memory,
)

FloatArray = NDArray[np.float64]
logger = logging.getLogger(__name__)


class DipoleKernelRidge(RegressorMixin, BaseEstimator):
    """Atomic charges by kernel ridge regression, learned from scalar dipole magnitudes.

    Minimises the joint objective (4) of dipole magnitudes, charges and ridge penalty by
    iterative reweighting.

    Parameters
    ----------
    alpha : float or "auto", default="auto"
        Ridge penalty, debye^2. ``"auto"`` is 0.02 over the number of molecules with a dipole
        label: the data terms are means, and the penalty fades as they firm up. With a baseline it
        is 40 over the square of that number.
    charge_weight : float or "auto", default="auto"
        Weight lambda of the reference charges, debye^2 / e^2. ``"auto"`` is 1e-3 where there are
        charges, else 0; with a baseline it is 0. With 0, charges that are there still choose the
        start.
    kernel : EnvironmentKernel, default=None
        Kernel between environments; None is ``PowerKernel()``.
    n_inducing : int, default=None
        Inducing environments in all elements together; None chooses by the size of the data and
        the free memory: 100 times the root of the number of molecules, at most 6,000.
    loss : {"squared", "huber", "absolute"}, default="squared"
        Loss of the dipole residuals. The last two make light of outliers, and factor a matrix
        in every pass.
    huber_threshold : float, default=0.2
        Residual where Huber's loss turns linear, debye.
    init : {"auto", "charges", "electronegativity", "zero", "random"}, default="auto"
        Start of the passes. ``"auto"``: no correction of a baseline, else the charges where there
        are any, else charges guessed from electronegativities. ``"random"`` mostly ends in a poor
        minimum and is there to reproduce what others do.
    prior : {"start", "zero"}, default="start"
        What the ridge penalty shrinks towards: the model of the starting charges, which keeps
        predictions sensible far from the training molecules, or no charges at all. A random
        start is never a prior.
    n_restarts : int, default=1
        Random starts tried; the one with the lowest objective is kept.
    annealing : sequence of float, default=(1000, 100, 10)
        Multiples of alpha under which passes run first: the minimum is followed while the ridge
        penalty falls. With it the start hardly matters; ``()`` starts at alpha.
    max_iter : int, default=500
        Reweighted passes at most.
    tol : float, default=1e-6
        Passes end where the next would lower the objective by less than this share.
    acceleration : int, default=8
        Passes that acceleration remembers; 0 for plain passes.
    eigenvalue_cut : float, default=1e-8
        Directions of the kernel matrix below this share of its largest eigenvalue are dropped.
    device : {"auto", "cpu", "cuda"}, default="auto"
        Where to compute; ``"auto"`` is a GPU where CuPy finds one.
    n_jobs : int, default=None
        Blocks of molecules computed at once, through joblib. One block at a time already uses
        all cores for its matrix products.
    random_state : int, RandomState or None, default=None
        Draws inducing candidates and random starts. None always draws the same ones.
    baseline : {None, "none", "given", "gfn2"}, default=None
        Cheap calculation that the model corrects (9). ``"gfn2"``: GFN2-xTB, run for the training
        molecules and again for those to predict, about 10 ms each. ``"given"``: what the molecules
        carry as ``baseline_dipole`` and ``baseline_charges``. Molecules without a result are left
        out of fit, and get NaN in prediction, with a warning.
    baseline_memory : joblib.Memory, str or path, default=None
        Keeps the results of the calculation on disk.
    direction_weight : float or "auto", default="auto"
        Weight kappa of the components of a dipole across its baseline (11), where the magnitude
        alone is known. ``"auto"`` is 4 over the number of dipole labels. Without a baseline it
        has no effect.

    Attributes
    ----------
    inducing_numbers_ : ndarray of shape (M,)
        Atomic number of each inducing environment.
    inducing_features_ : list of ndarray of shape (M, d_s), float32
        Their descriptors, one array per scale.
    scale_weights_ : ndarray of shape (n_scales,)
    dual_coef_ : ndarray of shape (M,), e
        Coefficient of the kernel with each environment.
    elements_ : ndarray of shape (n_elements,)
        Atomic numbers seen in fit.
    intercept_ : ndarray of shape (n_elements,), e
        Constant charge of each element.
    kernel_ : EnvironmentKernel
    alpha_, charge_weight_ : float
        Ridge penalty and lambda as used.
    objective_ : float, debye^2
    history_ : ndarray of shape (n_passes + 1,)
        Objective at the start and after each pass of the last stage, at alpha itself.
    n_iter_, n_factorizations_ : int
        Linear solves and factorisations of all stages.
    converged_ : bool
    status_ : str
        Why the passes ended.
    label_summary_ : dict
        Molecules and labels used in fit.
    baseline_scale_ : float
        Factor b of the baseline's dipoles and charges, fitted to the labels; 1 without one.
    baseline_charges_ : bool
        Whether the baseline has charges.

    References
    ----------
    Colglazier et al., arXiv:2509.22435; doi:10.1021/acs.jpclett.6c00398.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from dipkit import DipoleKernelRidge, SOAPTransformer
    >>> from dipkit.datasets import load_organics
    >>> molecules = load_organics()[:30]
    >>> model = make_pipeline(SOAPTransformer(), DipoleKernelRidge(n_inducing=100))
    >>> model.fit(molecules).predict(molecules[:2]).shape
    (2,)
    """

    def __init__(
        self,
        alpha: float | str = "auto",
        charge_weight: float | str = "auto",
        kernel: EnvironmentKernel | None = None,
        n_inducing: int | None = None,
        loss: str = "squared",
        huber_threshold: float = 0.2,
        init: str = "auto",
        prior: str = "start",
        n_restarts: int = 1,
        annealing: Sequence[float] = (1000.0, 100.0, 10.0),
        max_iter: int = 500,
        tol: float = 1e-6,
        acceleration: int = 8,
        eigenvalue_cut: float = 1e-8,
        device: str = "auto",
        n_jobs: int | None = None,
        random_state: Any = None,
        baseline: str | None = None,
        baseline_memory: Any = None,
        direction_weight: float | str = "auto",
    ):
        self.alpha = alpha
        self.charge_weight = charge_weight
        self.kernel = kernel
        self.n_inducing = n_inducing
        self.loss = loss
        self.huber_threshold = huber_threshold
        self.init = init
        self.prior = prior
        self.n_restarts = n_restarts
        self.annealing = annealing
        self.max_iter = max_iter
        self.tol = tol
        self.acceleration = acceleration
        self.eigenvalue_cut = eigenvalue_cut
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.baseline = baseline
        self.baseline_memory = baseline_memory
        self.direction_weight = direction_weight

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
        check_settings(self)
        backend = get_backend(self.device)
        rng = np.random.default_rng(check_random_state(self.random_state or 0).randint(2**31))
        molecules = require_described(X)
        labels = read_labels(molecules, y, charges, sample_weight)
        labels, self.baseline_scale_ = prepare_labels(labels, baseline_of(self))
        molecules = labels.molecules
        self.baseline_charges_ = molecules.baseline_charges is not None
        charge_weight = resolve_charge_weight(self.charge_weight, labels)
        init = resolve_init(self.init, labels)

        self.alpha_ = resolve_alpha(self.alpha, labels)
        self.kernel_ = PowerKernel() if self.kernel is None else clone(self.kernel)
        self.kernel_.check()
        n_inducing = self.n_inducing or default_n_inducing(molecules, backend)
        environments = choose_environments(molecules, n_inducing, self.kernel_, rng)
        assert molecules.features is not None
        basis = build_basis(
            environments, self.kernel_, molecules.features.weights, self.eigenvalue_cut, backend
        )
        require_memory(len(molecules), basis.n_columns, backend)
        wanted = (
            None if init == "zero" else start_charges(molecules, labels.charges, init),
            labels.charges if charge_weight > 0 else None,
        )
        rows, (start, term) = accumulate_wanted(
            molecules, basis, wanted, labels.target.weights, self.n_jobs
        )
        constant = constant_dipoles(molecules)
        kappa = resolve_direction_weight(self.direction_weight, labels)
        term, term_weight = with_direction(
            term, charge_weight, rows, constant, labels.target, kappa, backend
        )
        objective = JointObjective(
            rows,
            constant,
            labels.target,
            term,
            alpha=self.alpha_,
            charge_weight=term_weight,
            loss=make_loss(self.loss, self.huber_threshold),
            backend=backend,
        )
        result = self._solve(objective, start, init, rng)
        self._store(result, basis, labels, charge_weight)
        return self

    def predict(self, X: Molecules) -> FloatArray:
        """Predict dipole magnitudes.

        Parameters
        ----------
        X : Molecules
            Described by the transformer that described the training molecules.

        Returns
        -------
        ndarray of shape (n_molecules,), debye
        """
        magnitudes: FloatArray = np.linalg.norm(self.predict_dipole(X), axis=1)
        return magnitudes

    def predict_dipole(self, X: Molecules) -> FloatArray:
        """Predict dipole vectors, about the centre of mass where a molecule is charged.

        Returns
        -------
        ndarray of shape (n_molecules, 3), debye
            NaN where the baseline failed.
        """
        return self.predict_both(X)[1]

    def predict_charges(self, X: Molecules) -> FloatArray:
        """Predict atomic charges; they sum to the total charge of each molecule.

        Returns
        -------
        ndarray of shape (n_atoms,), e
            Of all molecules, concatenated as in ``X.numbers``; NaN where the baseline failed.
        """
        return self.predict_both(X)[0]

    def predict_both(self, X: Molecules) -> tuple[FloatArray, FloatArray]:
        """Predict charges and dipole vectors in one walk.

        Without a baseline the dipoles are those of the charges. With one they also hold the part
        of the baseline's dipole that is not in its charges (9).

        Returns
        -------
        charges : ndarray of shape (n_atoms,), e
        dipole : ndarray of shape (n_molecules, 3), debye
        """
        check_is_fitted(self)
        molecules, known = baseline_of(self).prepare(
            require_described(X), self.baseline_scale_, self.baseline_charges_
        )
        correction = project(self._raw_charges_of(molecules), molecules)
        dipole = dipoles(correction, molecules) + constant_dipoles(molecules)
        charges = correction + constant_charges(molecules)
        charges[~known[molecules.molecule_index]] = np.nan
        return charges, dipole

    def _raw_charges_of(self, molecules: Molecules) -> FloatArray:
        """Charges Phi w of prepared molecules, block by block, shape (n_atoms,), e."""
        widths = [scale.shape[1] for scale in self.inducing_features_]
        require_known(molecules, self.elements_, widths)
        backend = get_backend(self.device)
        coefficients = self._coefficients(backend)
        charges = np.empty(molecules.n_atoms)
        for run in blocks(molecules, descriptor_bytes(self.inducing_features_)):
            atoms = slice(molecules.offsets[run.start], molecules.offsets[run.stop])
            charges[atoms] = self._raw_charges(molecules[run], coefficients, backend)
        return charges

    def score(self, X: Molecules, y: Any = None, sample_weight: Any = None) -> float:
        """Coefficient of determination R^2 of the magnitudes.

        Parameters
        ----------
        X : Molecules
        y : array-like of shape (n_molecules,), debye, default=None
            None takes the magnitudes of the molecules, and leaves out those without. Molecules that
            cannot be predicted (NaN) are left out as well.
        sample_weight : array-like of shape (n_molecules,), default=None

        Returns
        -------
        float
        """
        molecules = require_described(X)
        if y is None:
            known = molecules.has_magnitude
            if not known.any():
                raise missing_labels_error("dipole", molecules.source_keys)
            molecules, y = molecules[known], molecules.dipole_magnitude[known]
            sample_weight = None if sample_weight is None else np.asarray(sample_weight)[known]
        magnitudes = np.asarray(y, dtype=float)
        if magnitudes.ndim == 2:
            magnitudes = np.linalg.norm(magnitudes, axis=1)
        predicted = self.predict(molecules)
        done = ~np.isnan(predicted)
        weight = None if sample_weight is None else np.asarray(sample_weight)[done]
        return float(r2_score(magnitudes[done], predicted[done], sample_weight=weight))

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters; those of the usual kernel too where ``kernel=None``.

        Parameters
        ----------
        deep : bool, default=True

        Returns
        -------
        dict
        """
        params: dict[str, Any] = super().get_params(deep)
        if deep and self.kernel is None:
            params |= {f"kernel__{name}": v for name, v in PowerKernel().get_params().items()}
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters; ``kernel__degree`` and its like turn ``kernel=None`` into its default.

        Returns
        -------
        self
        """
        names_kernel = any(name.startswith("kernel__") for name in params)
        if names_kernel and params.get("kernel", self.kernel) is None:
            self.kernel = params["kernel"] = PowerKernel()
        super().set_params(**params)
        return self

    # Steps of fit

    def _solve(
        self,
        objective: JointObjective,
        start: ChargeStatistics | None,
        init: str,
        rng: np.random.Generator,
    ) -> SolveResult:
        """Run the passes from one start, or from random ones and keep the lowest objective."""
        # A strong penalty leads to no correction, where this start is already.
        factors = () if init == "zero" else self.annealing
        if init == "zero":
            weights = [objective.prior]
        elif start is None:
            weights = [random_start(objective, rng) for _ in range(self.n_restarts)]
        else:
            weights = [charge_start(objective, start)]
            if self.prior == "start":
                objective = objective.with_prior(weights[0])
        results = [
            solve_annealed(objective, w, factors, self.max_iter, self.tol, self.acceleration)
            for w in weights
        ]
        result = min(results, key=lambda candidate: candidate.objective)
        logger.info("%d passes: %s", result.n_solves, result.status.value)
        if result.status is not Status.CONVERGED:
            warnings.warn(
                f"{result.status.value} (max_iter={self.max_iter}, alpha={self.alpha_:g})",
                ConvergenceWarning,
                stacklevel=3,
            )
        return result

    def _store(
        self, result: SolveResult, basis: Basis, labels: FitLabels, charge_weight: float
    ) -> None:
        """Keep host arrays only: a model fitted on a GPU loads on a laptop."""
        to_host, elements = basis.backend.to_host, list(basis.elements.values())
        dual = basis.dual(result.weights)
        counts = [len(element.whitening) for element in elements]
        self.elements_ = np.array([element.number for element in elements])
        self.inducing_numbers_ = np.repeat(self.elements_, counts)
        self.inducing_features_ = [
            np.concatenate([to_host(part) for part in parts])
            for parts in zip(*(element.environments for element in elements), strict=True)
        ]
        self.scale_weights_ = np.array(basis.weights)
        self.dual_coef_ = np.concatenate([dual[element.number][0] for element in elements])
        self.intercept_ = np.array([dual[element.number][1] for element in elements])
        self.charge_weight_ = charge_weight
        self.objective_ = result.objective
        self.history_ = np.array(result.history)
        self.n_iter_ = result.n_solves
        self.n_factorizations_ = result.n_factorizations
        self.converged_ = result.status is Status.CONVERGED
        self.status_ = result.status.value
        self.label_summary_ = labels.summary()

    # Steps of predict

    def _coefficients(self, backend: Backend) -> dict[int, tuple[list[Any], Any, float]]:
        """By element: descriptors of its environments, their coefficients and its constant."""
        parts, intercepts = {}, self.intercept_.tolist()
        for number, intercept in zip(self.elements_.tolist(), intercepts, strict=True):
            mine = self.inducing_numbers_ == number
            run = slice(int(mine.argmax()), int(mine.argmax() + mine.sum()))
            features = [
                backend.asarray(scale[run], np.float64) for scale in self.inducing_features_
            ]
            parts[number] = (features, backend.asarray(self.dual_coef_[run]), intercept)
        return parts

    def _raw_charges(
        self,
        block: Molecules,
        coefficients: dict[int, tuple[list[Any], Any, float]],
        backend: Backend,
    ) -> FloatArray:
        """Charges of a block before charge conservation, shape (n_atoms,), e."""
        assert block.features is not None
        scales = block.features.scales
        charges = np.empty(block.n_atoms)
        for number in block.elements.tolist():
            atoms = np.flatnonzero(block.numbers == number)
            features, coefficient, intercept = coefficients[number]
            # In float64: large coefficients of both signs would magnify the rounding of float32,
            # which depends on the molecules in the same product.
            x = [backend.asarray(scale[atoms], np.float64) for scale in scales]
            k = self.kernel_(x, features, self.scale_weights_.tolist(), backend)
            charges[atoms] = backend.to_host(k @ coefficient) + intercept
        return charges

    def __sklearn_tags__(self) -> Any:
        """Say that X is no array."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.allow_nan = False
        tags.target_tags.required = False
        return tags
