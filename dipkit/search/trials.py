"""What one trial of a search computes: descriptors, folds, scores.

Symbols: N molecules, k folds; errors |mu| - m in debye, scores are higher where better. How trials
are drawn, kept and resumed is in `study.py`.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.metrics import check_scoring
from sklearn.model_selection import GroupKFold, KFold
from sklearn.pipeline import Pipeline

from ..data.molecules import Molecules
from ..descriptors.features import Features
from ..descriptors.scales import SOAPScale
from ..descriptors.soap import SOAPTransformer
from ..estimator.baseline import GFN2Baseline, GivenBaseline, has_baseline_result, make_baseline
from ..estimator.metrics import mae_scorer, rmse_scorer
from ..estimator.parameters import RandomStart, make_start
from ..estimator.regression import DipoleKernelRidge
from ..exceptions import DipkitError, InputError
from ..learning.labels import FitLabels
from ..quantum.calculation import warn_failures
from ..support import parallel
from ..support.system_memory import host_memory
from . import study
from .fold_grid import Fold, FoldGrid, penalties_of
from .study import Space, TrialFailure

FloatArray = NDArray[np.float64]

SCORINGS: dict[str, tuple[Any, Callable[[FloatArray], FloatArray]]] = {
    "mae": (mae_scorer, lambda e: -np.abs(e).mean(axis=-1)),
    "rmse": (rmse_scorer, lambda e: -np.sqrt((e * e).mean(axis=-1))),
}
# What is averaged over molecules, by scoring.
LOSSES: dict[str, Callable[[FloatArray], FloatArray]] = {"mae": np.abs, "rmse": np.square}
# Errors of a trial's parameters: recorded with their reason, and the study goes on.
FAILURES = (DipkitError, ArithmeticError, np.linalg.LinAlgError, ValueError, MemoryError)
# Share of the free memory that descriptors kept between trials may take.
CACHE_SHARE = 0.25


def make_scorer(scoring: Any, estimator: Any) -> Callable[..., float]:
    """Return the scorer of a name, or what scikit-learn makes of it."""
    if isinstance(scoring, str) and scoring in SCORINGS:
        return SCORINGS[scoring][0]
    try:
        return check_scoring(estimator, scoring=scoring)
    except ValueError as error:
        raise InputError(f"scoring: {' '.join(str(error).split())[:200]}") from error


def can_grid(estimator: Any, scoring: Any) -> bool:
    """Tell whether `FoldGrid` does what a fit of this estimator would do."""
    ridge = estimator[-1] if isinstance(estimator, Pipeline) else estimator
    return (
        isinstance(ridge, DipoleKernelRidge)
        and not isinstance(make_start(ridge.start), RandomStart)
        and isinstance(scoring, str)
        and scoring in SCORINGS
    )


def make_folds(cv: Any, molecules: Molecules, groups: Any, repeat: int = 0) -> list[Fold]:
    """Split the molecules that have a dipole label; the others train in every fold.

    Parameters
    ----------
    cv : int or splitter
    molecules : Molecules
    groups : array-like of shape (n_molecules,), "formula" or None
    repeat : int, default=0
        Which of many shuffles, where `cv` is a number.

    Raises
    ------
    InputError
        If there are more folds than molecules or groups.
    """
    known = np.flatnonzero(molecules.has_magnitude)
    rest = np.flatnonzero(~molecules.has_magnitude)
    if isinstance(groups, str):
        if groups != "formula":
            raise InputError(f'groups: expected an array or "formula", got {groups!r}.')
        groups = molecules.formulas()
    if groups is not None:
        groups = np.asarray(groups)
        if groups.shape != (len(molecules),):
            raise InputError(
                f"groups: expected {len(molecules)} entries, one for each molecule, got shape "
                f"{groups.shape}."
            )
        groups = groups[known]
    try:
        folds = list(_splitter(cv, groups, repeat).split(known, None, groups))
    except (TypeError, ValueError) as error:
        counted = f"{len(known)} molecules with a dipole label"
        if groups is not None:
            counted += f" in {len(np.unique(groups))} groups"
        raise InputError(f"cv: cannot split {counted}: {error}") from error
    return [(np.concatenate([rest, known[train]]), known[test]) for train, test in folds]


def _splitter(cv: Any, groups: Any, repeat: int) -> Any:
    if hasattr(cv, "get_n_splits"):
        return cv
    if isinstance(cv, bool) or not isinstance(cv, int | np.integer):
        raise TypeError(f"expected a number of folds or a splitter, got {cv!r}")
    # Always the same folds: workers of one study share them, whatever their random_state.
    kind = KFold if groups is None else GroupKFold
    return kind(cv, shuffle=True, random_state=repeat)


class Descriptors:
    """Described molecules; descriptors of the scales used last are kept between trials.

    Scales are kept one by one: a trial that changes one of them computes that one. Weights of
    scales are put in afterwards.

    Parameters
    ----------
    molecules : Molecules
    """

    def __init__(self, molecules: Molecules):
        self.molecules = molecules
        self._kept: OrderedDict[str, NDArray[np.float32]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, head: Any) -> tuple[Any, Molecules]:
        """Return the transformer, fitted, and what it makes of all molecules.

        Parameters
        ----------
        head : Pipeline
            The steps before the last one.
        """
        if not head.steps:
            return head, self.molecules
        if len(head.steps) > 1 or not isinstance(head[0], SOAPTransformer):
            return head, head.fit_transform(self.molecules)
        soap = head[0].fit(self.molecules)  # checks parameters, describes nothing
        if soap.forecast_bytes(self.molecules) > CACHE_SHARE * host_memory():
            return head, soap.transform(self.molecules)
        scales = tuple(self._scale(soap, scale) for scale in soap.scales_)
        features = Features(scales, tuple(scale.weight for scale in soap.scales_), soap.made_by_)
        return head, self.molecules.replace(features=features)

    def _scale(self, soap: SOAPTransformer, scale: SOAPScale) -> NDArray[np.float32]:
        """Descriptors of one scale (n_atoms, d_s), computed where they are not kept."""
        key = joblib.hash((soap.species_, scale.key()))
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        alone = clone(soap).set_params(scales=(clone(scale),), on_demand=False)
        described = alone.fit_transform(self.molecules)
        assert described.features is not None
        with self._lock:
            self._kept[key] = described.features.scales[0]
            limit = CACHE_SHARE * host_memory()
            while sum(kept.nbytes for kept in self._kept.values()) > limit:
                self._kept.popitem(last=False)
        return described.features.scales[0]

    def __getstate__(self) -> dict[str, Any]:
        """Leave what is kept and the lock behind: a worker process begins anew."""
        return {"molecules": self.molecules}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Begin anew."""
        self.__init__(state["molecules"])  # type: ignore[misc]


class Task:
    """The objective of a study: a trial goes in, its score comes out.

    Parameters
    ----------
    estimator : estimator
        Never changed.
    space : dict or callable
    grid : dict or None
        Values of ``alpha`` and ``charge_weight``; None fits every fold anew.
    labels : FitLabels
        Labels ride on its molecules.
    folds : list of (train, test)
    scoring : str or callable
    """

    def __init__(
        self,
        estimator: Any,
        space: Space,
        grid: Mapping[str, Sequence[float]] | None,
        labels: FitLabels,
        folds: list[Fold],
        scoring: Any,
    ):
        self.estimator, self.space, self.grid = estimator, space, grid
        self.labels, self.folds, self.scoring = labels, folds, scoring
        self.scorer = make_scorer(scoring, estimator)
        self.names = set(estimator.get_params(deep=True))
        is_pipeline = isinstance(estimator, Pipeline)
        self.prefix = f"{estimator.steps[-1][0]}__" if is_pipeline else ""
        self.descriptors = Descriptors(labels.molecules)
        self._calculated: Molecules | None = None
        self._lock = threading.Lock()

    def __call__(self, trial: Any) -> float:
        """Score a trial; scores of the folds go to the pruner and into its attributes."""
        params = study.suggest(self.space, trial)
        study.check_names(params, self.names)
        start, splits = time.perf_counter(), []
        try:
            for fold, scores in enumerate(self._fold_scores(params)):
                splits.append(scores)
                means = np.mean(splits, axis=0)
                if np.isnan(means).all():
                    raise FloatingPointError(f"no finite score in fold {fold}")
                study.report(trial, float(np.nanmax(means)), fold)
        except FAILURES as error:
            reason = f"{type(error).__name__}: {error}"
            trial.set_user_attr(study.REASON, reason)
            raise TrialFailure(reason) from error
        best = np.unravel_index(np.nanargmax(means), means.shape)
        trial.set_user_attr("splits", [float(scores[best]) for scores in splits])
        trial.set_user_attr("seconds", time.perf_counter() - start)
        if self.grid is not None:
            self._record_grid(trial, params, means, best)
        return float(means[best])

    def params_of(self, trial: Any) -> dict[str, Any]:
        """Parameters of a finished trial, those of its best grid point included."""
        drawn = study.suggest(self.space, study.fixed_trial(trial))
        return drawn | dict(trial.user_attrs.get("grid_params", {}))

    def gains(self, params: Mapping[str, Any], repeats: Sequence[list[Fold]]) -> FloatArray | None:
        """Loss of each held-out molecule by the untuned estimator, less that with parameters.

        Parameters
        ----------
        params : mapping
        repeats : sequence of folds
            Losses of a molecule are averaged over them.

        Returns
        -------
        ndarray of shape (n_compared,) or None
            Without molecules that either cannot predict. None where the scoring is no mean over
            molecules, or the untuned estimator fails.
        """
        if not isinstance(self.scoring, str) or self.scoring not in LOSSES:
            return None
        try:
            untuned, tuned = (
                np.mean([self._losses(each, folds) for folds in repeats], axis=0)
                for each in ({}, params)
            )
        except FAILURES:
            return None
        gains: FloatArray = (untuned - tuned)[~np.isnan(untuned - tuned)]
        return gains if len(gains) > 1 else None

    def _losses(self, params: Mapping[str, Any], folds: list[Fold]) -> FloatArray:
        """Loss of each molecule when held out (n_molecules,), NaN where it is not."""
        _, described, last = self._prepare(params)
        if self.grid is None:
            scored = [test for _, test in folds]
            errors = list(self._fold_anew(last, described, folds, _signed_errors))
        else:
            labels = FitLabels(self.labels.target, self.labels.charges, described)
            alpha, charge_weight = penalties_of(last, labels)
            problem = FoldGrid(labels, last, folds, [alpha], [charge_weight])
            scored, errors = problem.scored(), [e.ravel() for e in problem.held_out_errors()]
        losses = np.full(len(described), np.nan)
        losses[np.concatenate(scored)] = LOSSES[self.scoring](np.concatenate(errors))
        return losses

    def penalties(self) -> tuple[float, float]:
        """Alpha and charge weight of the estimator as it is."""
        last = self.estimator[-1] if self.prefix else self.estimator
        molecules, last = self._with_baseline(self.labels.molecules, last)
        return penalties_of(last, FitLabels(self.labels.target, self.labels.charges, molecules))

    def fit_all(self, params: Mapping[str, Any]) -> Any:
        """Fit the estimator with these parameters to all molecules."""
        head, described, last = self._described(params)
        fitted = _fit(last, described, self.labels.target.weights)
        if not isinstance(self.estimator, Pipeline):
            return fitted
        return Pipeline([*head.steps, (self.estimator.steps[-1][0], fitted)])

    def data(self) -> list[Any]:
        """Return all that a score depends on, for the identity of a study."""
        m, target = self.labels.molecules, self.labels.target
        labels = [m.dipole_magnitude, m.dipole_vector, m.charges, m.total_charge, target.weights]
        baseline = [m.baseline_dipole, m.baseline_charges]
        return [m.numbers, m.positions, m.offsets, *labels, *baseline]

    def _prepare(self, params: Mapping[str, Any]) -> tuple[Any, Molecules, Any]:
        """As `descriptors.requirements`, with a baseline calculated once for all trials."""
        head, described, last = self._described(params)
        return head, *self._with_baseline(described, last)

    def _with_baseline(self, molecules: Molecules, last: Any) -> tuple[Molecules, Any]:
        baseline = make_baseline(last.baseline) if isinstance(last, DipoleKernelRidge) else None
        if not isinstance(baseline, GFN2Baseline):
            return molecules, last
        with self._lock:
            if self._calculated is None:
                self._calculated = baseline.attach(self.labels.molecules, last.n_jobs)
        given = molecules.replace(
            baseline_dipole=self._calculated.baseline_dipole,
            baseline_charges=self._calculated.baseline_charges,
        )
        return given, clone(last).set_params(baseline="given")

    def _described(self, params: Mapping[str, Any]) -> tuple[Any, Molecules, Any]:
        """Return the steps before the last, fitted; the molecules described; the last step."""
        model = clone(self.estimator).set_params(**params)
        if not isinstance(model, Pipeline):
            return None, self.labels.molecules, model
        head, described = self.descriptors.of(model[:-1])
        return head, described, model[-1]

    def _fold_scores(self, params: Mapping[str, Any]) -> Iterator[FloatArray]:
        """Yield the scores of each fold, of shape (n_alphas, n_weights) or ()."""
        _, described, last = self._prepare(params)
        if self.grid is None:
            folds = _scorable(last, described, self.folds)
            yield from self._fold_anew(last, described, folds, self.scorer)
            return
        labels = FitLabels(self.labels.target, self.labels.charges, described)
        problem = FoldGrid(labels, last, self.folds, *self._grid_values(params))
        for fold, errors in enumerate(problem.held_out_errors()):
            if not errors.shape[-1]:
                raise InputError(f"cv: no molecule held out of fold {fold} can be scored.")
            yield SCORINGS[self.scoring][1](errors)

    def _fold_anew(
        self, last: Any, described: Molecules, folds: list[Fold], scorer: Callable[..., Any]
    ) -> Iterator[FloatArray]:
        """Fit and score every fold as joblib tasks."""
        weights = self.labels.target.weights
        tasks = [
            joblib.delayed(_fold_score)(last, described, weights, fold, scorer) for fold in folds
        ]
        yield from parallel.run(tasks, n_jobs=None, ordered=True)

    def _grid_values(self, params: Mapping[str, Any]) -> tuple[Sequence[float], Sequence[float]]:
        """Values of alpha and lambda; what the space draws is not on the grid."""
        assert self.grid is not None
        alphas, weights = (
            [params[self.prefix + name]] if self.prefix + name in params else self.grid[name]
            for name in ("alpha", "charge_weight")
        )
        return alphas, weights

    def _record_grid(
        self, trial: Any, params: Mapping[str, Any], means: FloatArray, best: Any
    ) -> None:
        alphas, weights = self._grid_values(params)
        point = {"alpha": float(alphas[best[0]]), "charge_weight": float(weights[best[1]])}
        trial.set_user_attr("grid_params", {self.prefix + k: v for k, v in point.items()})
        curve = {"alpha": list(alphas), "charge_weight": list(weights), "score": means.tolist()}
        trial.set_user_attr("grid", curve)


def _scorable(last: Any, described: Molecules, folds: list[Fold]) -> list[Fold]:
    """Leave held-out molecules without a baseline out of the folds: they have no prediction."""
    baseline = make_baseline(last.baseline) if isinstance(last, DipoleKernelRidge) else None
    if not isinstance(baseline, GivenBaseline):
        return folds
    known = has_baseline_result(described)
    held_out = np.sort(np.concatenate([test for _, test in folds]))
    missing = held_out[~known[held_out]]
    warn_failures(baseline.failure, described, missing, "They are not scored.")
    scorable = [(train, test[known[test]]) for train, test in folds]
    for fold, (_, test) in enumerate(scorable):
        if not len(test):
            raise InputError(f"cv: no molecule held out of fold {fold} can be scored.")
    return scorable


def _fit(last: Any, described: Molecules, weights: FloatArray) -> Any:
    """Fit a clone of the last step to all of some molecules."""
    # Labels ride on the molecules; other estimators than ours want magnitudes.
    y = None if isinstance(last, DipoleKernelRidge) else described.dipole_magnitude
    keywords = {} if (weights == 1).all() else {"sample_weight": weights}
    return clone(last).fit(described, y, **keywords)


def _fold_score(
    last: Any,
    described: Molecules,
    weights: FloatArray,
    fold: Fold,
    scorer: Callable[..., Any],
) -> FloatArray:
    """Fit to the training part and score the held-out part: a joblib task."""
    train, test = fold
    fitted = _fit(last, described[train], weights[train])
    held_out = described[test]
    return np.asarray(scorer(fitted, held_out, held_out.dipole_magnitude), dtype=float)


def _signed_errors(fitted: Any, held_out: Molecules, magnitudes: FloatArray) -> FloatArray:
    """Errors |mu| - m (n_molecules,), debye."""
    errors: FloatArray = fitted.predict(held_out) - magnitudes
    return errors


def cv_results(trials: Sequence[Any], task: Task) -> dict[str, Any]:
    """Tabulate completed trials as scikit-learn's searches do."""
    params = [task.params_of(trial) for trial in trials]
    splits = np.array([trial.user_attrs["splits"] for trial in trials])
    means = np.array([trial.value for trial in trials])
    results: dict[str, Any] = {
        f"param_{name}": _column(params, name) for name in sorted(set().union(*params))
    }
    results |= {f"split{k}_test_score": splits[:, k] for k in range(splits.shape[1])}
    order = np.argsort(-means, kind="stable")
    rank = np.searchsorted(-means[order], -means) + 1
    return results | {
        "params": params,
        "mean_test_score": means,
        "std_test_score": splits.std(axis=1),
        "rank_test_score": rank.astype(np.int32),
        "seconds": np.array([trial.user_attrs["seconds"] for trial in trials]),
    }


def _column(params: Sequence[Mapping[str, Any]], name: str) -> Any:
    """One parameter over the trials, masked where a trial has none; values may be sequences."""
    values = np.empty(len(params), dtype=object)
    for row, each in enumerate(params):
        values[row] = each.get(name)
    return np.ma.MaskedArray(values, mask=[name not in each for each in params])
