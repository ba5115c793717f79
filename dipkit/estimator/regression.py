"""`DipoleKernelRidge`: kernel ridge regression for atomic charges, learned from dipoles.

Symbols: N described molecules with n atoms, magnitudes m (N,) in debye, charges (n,) in e,
M inducing environments, r basis functions. The equations are on the theory page; what `fit` does
lives in `estimator.fit`, what the predictions do in `estimator.prediction`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.metrics import r2_score

from ..data.molecules import Molecules, missing_labels_error
from ..descriptors.requirements import require_described
from ..learning.atomic_dipoles import quadrupoles_of_atoms
from ..learning.kernels import EnvironmentKernel, PowerKernel
from ..learning.labels import read_labels
from .baseline import baseline_of, prepare_labels
from .fit import first_statistics, fit_statistics, more_statistics
from .parameters import check_settings
from .prediction import predict_blocks

FloatArray = NDArray[np.float64]


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
        charges, else 0; with a baseline it is 0, and with a charge discrepancy 100. With 0, charges
        that are there still choose the start.
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
    annealing : sequence of float, default=(1e5, 1e4, 1000, 100, 10)
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
    memory_budget : int or str, default=None
        Memory that the process may take during `fit`, in bytes or as ``"8GB"``; on a GPU, memory
        of the device. None allows most of what is free. Dipole rows that do not fit go to a file
        in the folder for temporary files (``TMPDIR``).
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
    charge_discrepancy : float, default=None
        Penalty beta on a second function that the reference charges hold beside the charges of the
        model (20), debye^2 / e^2: it absorbs what is systematically wrong with them, the more the
        smaller beta. None, or infinity, is no second function. Worth a try where charges are known
        for many more molecules than dipoles: 1e-3 for 100 dipoles, 1e-4 for 200, 1e-5 for 500.
        Without a charge weight it has no effect.
    quadrupole_weight : float, default=0.0
        Weight of the mean squared error of quadrupoles, 1 / angstrom^2, over the molecules that
        have a label. With 0 they are not learned from. A label that atomic charges cannot make
        may cost accuracy of the dipoles. Not with a baseline that holds more than charges.
    atomic_dipoles : float, default=0.0
        Scale s of dipoles of single atoms beside the charges (21), along the vectors to their
        neighbours of each element. With 0 dipoles are made of charges alone. Worth a try, with
        0.03, from some thousand dipoles on; with fewer, amplitudes are more than labels can tell.
    precision : {"auto", "single", "double"}, default="auto"
        Of kernel values. With ``"single"``, which is faster, a fit to the same descriptors depends
        on the machine and the device, through rounding. ``"auto"`` is double in fits of up to 2,000
        molecules. Predictions are in double precision; scales that carry less than 1 % of the
        kernel are so with ``"double"`` only. Descriptors are in single precision always.

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
    atomic_dipole_coef_ : ndarray of shape (M, n_elements), e, or None
        Coefficient of the kernel with each environment in the amplitudes of atomic dipoles towards
        the neighbours of each element, the scale included. None without them.
    atomic_dipole_intercept_ : ndarray of shape (n_elements, n_elements), e, or None
        Constant amplitudes of each element.
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
    memory_plan_ : dict
        Forecast of the memory of the fit.
    std_coef_, std_intercept_, std_whitening_, std_novelty_, std_ceiling_, std_floor_
        What standard deviations are computed from, see `dipkit.estimator.std_prediction.StdModel`.
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
    >>> from dipkit.data.datasets import load_organics
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
        annealing: Sequence[float] = (1e5, 1e4, 1000.0, 100.0, 10.0),
        max_iter: int = 500,
        tol: float = 1e-6,
        acceleration: int = 8,
        eigenvalue_cut: float = 1e-8,
        device: str = "auto",
        n_jobs: int | None = None,
        memory_budget: int | str | None = None,
        random_state: Any = None,
        baseline: str | None = None,
        baseline_memory: Any = None,
        direction_weight: float | str = "auto",
        charge_discrepancy: float | None = None,
        quadrupole_weight: float = 0.0,
        atomic_dipoles: float = 0.0,
        precision: str = "auto",
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
        self.memory_budget = memory_budget
        self.random_state = random_state
        self.baseline = baseline
        self.baseline_memory = baseline_memory
        self.direction_weight = direction_weight
        self.charge_discrepancy = charge_discrepancy
        self.quadrupole_weight = quadrupole_weight
        self.atomic_dipoles = atomic_dipoles
        self.precision = precision

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
        self.__dict__.pop("_statistics", None)
        check_settings(self)
        molecules = require_described(X)
        labels = read_labels(molecules, y, charges, sample_weight)
        labels, scale = prepare_labels(labels, baseline_of(self))
        statistics = first_statistics(self, labels, scale, keep=False)
        fit_statistics(self, statistics)
        return self

    def partial_fit(
        self,
        X: Molecules,
        y: Any = None,
        *,
        charges: Any = None,
        sample_weight: Any = None,
    ) -> Self:
        """Learn from more molecules besides those of all calls before.

        The first call chooses the inducing environments, and the scale of a baseline, and later
        ones keep them: the model is that of a fit to all molecules with these. The dipole rows of
        all molecules stay in memory, but are neither pickled nor saved. After `fit` the first call
        starts anew.

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
            As in `fit`, and for elements or descriptors that the first call did not see.
        """
        check_settings(self)
        molecules = require_described(X)
        labels = read_labels(molecules, y, charges, sample_weight)
        before = getattr(self, "_statistics", None)
        scale = None if before is None else self.baseline_scale_
        labels, scale = prepare_labels(labels, baseline_of(self), scale)
        if before is None:
            statistics = first_statistics(self, labels, scale, keep=True)
        else:
            statistics = more_statistics(self, before, labels)
        fit_statistics(self, statistics)
        self._statistics = statistics
        return self

    def predict(
        self, X: Molecules, return_std: bool = False
    ) -> FloatArray | tuple[FloatArray, FloatArray]:
        """Predict dipole magnitudes.

        Parameters
        ----------
        X : Molecules
            Described by the transformer that described the training molecules.
        return_std : bool, default=False
            Return standard deviations too.

        Returns
        -------
        magnitudes : ndarray of shape (n_molecules,), debye
        std : ndarray of shape (n_molecules,), debye
            Only with ``return_std=True``: of the error of each magnitude, the noise of labels
            included. One holds about 68 % of the errors, 1.96 about 95 %.

        Raises
        ------
        InputError
            If `X` is not described, holds elements unseen in fit, or the model was saved by a
            version that kept no standard deviations.
        """
        found = predict_blocks(self, X, return_std)
        magnitudes: FloatArray = np.linalg.norm(found.dipole, axis=1)
        return magnitudes if found.std is None else (magnitudes, found.std)

    def predict_dipole(self, X: Molecules) -> FloatArray:
        """Predict dipole vectors, about the centre of mass where a molecule is charged.

        Returns
        -------
        ndarray of shape (n_molecules, 3), debye
            NaN where the baseline failed.
        """
        return predict_blocks(self, X).dipole

    def predict_quadrupole(self, X: Molecules) -> FloatArray:
        """Predict traceless quadrupole moments about the centres of mass, from the charges.

        Atomic dipoles add to them. Without labels of them (`quadrupole_weight`), they rest on what
        was made to reproduce dipoles alone.

        Returns
        -------
        ndarray of shape (n_molecules, 3, 3), debye*angstrom
            In Buckingham's convention (14).

        Raises
        ------
        InputError
            If the charges do not make the dipoles, as with a baseline that holds more than charges.
        """
        found = predict_blocks(self, X)
        return quadrupoles_of_atoms(found.charges, found.atomic_dipoles, found.dipole, X)

    def predict_charges(self, X: Molecules) -> FloatArray:
        """Predict atomic charges; they sum to the total charge of each molecule.

        Where the model has atomic dipoles, or a baseline that holds more than charges, they alone
        do not make its dipoles.

        Returns
        -------
        ndarray of shape (n_atoms,), e
            Of all molecules, concatenated as in ``X.numbers``; NaN where the baseline failed.
        """
        return predict_blocks(self, X).charges

    def predict_atomic_dipoles(self, X: Molecules) -> FloatArray:
        """Predict the dipoles of single atoms beside their charges.

        Without a baseline, the dipole of a molecule is that of its charges plus their sum.

        Returns
        -------
        ndarray of shape (n_atoms, 3), debye
            Of all molecules, concatenated as in ``X.numbers``; NaN where the baseline failed. Zero
            where the model was fitted with ``atomic_dipoles=0``.
        """
        return predict_blocks(self, X).atomic_dipoles

    def predict_together(
        self, X: Molecules, return_std: bool = False
    ) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        """Predict charges, dipole vectors and standard deviations in one walk.

        Without a baseline the dipoles are those of the charges and of single atoms, if any
        (`predict_atomic_dipoles`). With one they also hold the part of the baseline's dipole that
        is not in its charges (9).

        Parameters
        ----------
        X : Molecules
        return_std : bool, default=False

        Returns
        -------
        charges : ndarray of shape (n_atoms,), e
            As `predict_charges` gives them.
        dipole : ndarray of shape (n_molecules, 3), debye
            As `predict_dipole` gives them.
        std : ndarray of shape (n_molecules,), debye, or None
            As `predict` gives them with ``return_std=True``; else None.
        """
        found = predict_blocks(self, X, return_std)
        return found.charges, found.dipole, found.std

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

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore; a parameter younger than the model gets its usual value."""
        super().__setstate__(vars(type(self)()) | state)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what only `partial_fit` needs: it is large, and lives on a device."""
        state: dict[str, Any] = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_statistics"}

    def __sklearn_tags__(self) -> Any:
        """Say that X is no array."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.allow_nan = False
        tags.target_tags.required = False
        return tags
