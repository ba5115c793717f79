"""Optuna studies: where they are kept, what they belong to, how trials run. The door for optuna.

Optuna is loaded when a study is opened, never at import. What a trial computes is not here
(`search_cv.py`).
"""

from __future__ import annotations

import difflib
import hashlib
import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..exceptions import DipkitError, InputError

if TYPE_CHECKING:
    import optuna

Space = Mapping[str, Any] | Callable[[Any], dict[str, Any]]

# User attributes of studies and trials.
IDENTITY, REASON = "dipkit_identity", "reason"
DEFAULT_NAME = "dipkit"
# Seconds that one process waits for another's lock on an SQLite file.
SQLITE_TIMEOUT = 60


class TrialFailure(DipkitError):
    """A trial that ended in an error of its parameters; the study goes on."""


def float_range(low: float, high: float, step: float | None = None, log: bool = False) -> Any:
    """Optuna's distribution of floats."""
    from optuna.distributions import FloatDistribution

    return FloatDistribution(low, high, step=step, log=log)


def int_range(low: int, high: int) -> Any:
    """Optuna's distribution of whole numbers, even in their logarithm."""
    from optuna.distributions import IntDistribution

    return IntDistribution(low, high, log=True)


def space_from_json(text: str) -> dict[str, Any]:
    """Read a space from JSON.

    Parameters
    ----------
    text : str
        By parameter name ``{"low": .., "high": .., "log": .., "step": ..}`` (whole numbers where
        ``"int": true``) or a list of choices.

    Raises
    ------
    InputError
        If an entry is neither.
    """
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    def distribution(name: str, entry: Any) -> Any:
        if isinstance(entry, list):
            return CategoricalDistribution(entry)
        try:
            settings = dict(entry)
            kind = IntDistribution if settings.pop("int", False) else FloatDistribution
            return kind(**settings)
        except (TypeError, ValueError) as error:
            raise InputError(
                f'space: {name}: expected a list of choices or {{"low": .., "high": ..}} with '
                f'"log", "step" or "int", got {entry!r} ({error}).'
            ) from error

    try:
        entries = json.loads(text)
    except ValueError as error:
        raise InputError(f"space: no valid JSON: {error}.") from error
    if not isinstance(entries, dict):
        raise InputError("space: expected a JSON object, parameter names to ranges.")
    return {name: distribution(name, entry) for name, entry in entries.items()}


def check_space(space: Space, known: Iterable[str]) -> None:
    """Refuse a space that is empty or names what the model does not have.

    Raises
    ------
    InputError
        Names the nearest parameters.
    """
    if callable(space):
        return
    from optuna.distributions import BaseDistribution

    if not space:
        raise InputError(
            "space: expected at least one parameter, got none. Take default_space() and edit it."
        )
    check_names(space, known)
    for name, distribution in space.items():
        if not isinstance(distribution, BaseDistribution):
            raise InputError(
                f"space: {name}: expected an Optuna distribution such as "
                f"optuna.distributions.FloatDistribution(0.1, 1), got {distribution!r}."
            )


def check_names(names: Iterable[str], known: Iterable[str]) -> None:
    """Refuse unknown parameter names."""
    known = list(known)
    for name in names:
        if name in known:
            continue
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
        near += [other for other in known if other.endswith(f"__{name}") and other not in near]
        hint = f"Did you mean {', '.join(near)}?" if near else "See estimator.get_params()."
        raise InputError(f"space: the estimator has no parameter {name!r}. {hint}")


def suggest(space: Space, trial: Any) -> dict[str, Any]:
    """Draw parameters of a trial."""
    if callable(space):
        return dict(space(trial))
    return {name: _draw(trial, name, distribution) for name, distribution in space.items()}


def _draw(trial: Any, name: str, distribution: Any) -> Any:
    from optuna.distributions import CategoricalDistribution, IntDistribution

    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    kind = trial.suggest_int if isinstance(distribution, IntDistribution) else trial.suggest_float
    low, high = distribution.low, distribution.high
    return kind(name, low, high, step=distribution.step, log=distribution.log)


def identity(space: Space, **parts: Any) -> dict[str, str]:
    """Say in plain text what a study is about: its space and whatever else makes scores differ."""
    if callable(space):
        described = {"callable": name_of(space)}
    else:
        from optuna.distributions import distribution_to_json

        described = {name: distribution_to_json(space[name]) for name in sorted(space)}
    return {"space": _digest(described), **{name: _digest(part) for name, part in parts.items()}}


def name_of(function: Any) -> str:
    """Name a callable in the same way in every process."""
    function = getattr(function, "func", function)  # of a partial
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return f"{getattr(function, '__module__', '')}.{name}"


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return text if len(text) <= 60 else hashlib.sha256(text.encode()).hexdigest()[:16]


def open_storage(storage: Any) -> Any:
    """Turn ``storage=`` into what Optuna takes.

    Parameters
    ----------
    storage : None, str, path or optuna storage
        A path is an SQLite file, ``journal:FILE`` a journal; a URL goes to SQLAlchemy.
    """
    if storage is None or not isinstance(storage, str | Path):
        return storage
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    text = str(storage)
    if text.startswith("journal:"):
        file = _checked_path(text.removeprefix("journal:"))
        # Optuna's default lock is a symbolic link, which an ordinary user of Windows cannot make.
        return JournalStorage(JournalFileBackend(file, JournalFileOpenLock(file)))
    url = text if "://" in text else f"sqlite:///{_checked_path(text)}"
    if url.startswith("sqlite"):
        return RDBStorage(url, engine_kwargs={"connect_args": {"timeout": SQLITE_TIMEOUT}})
    from sqlalchemy.pool import NullPool

    # Trials take seconds and ask rarely: connections are not kept, so that none is left open.
    return RDBStorage(url, engine_kwargs={"poolclass": NullPool})


def _checked_path(text: str) -> str:
    path = Path(text).expanduser().resolve()
    if not path.parent.is_dir() or path.is_dir():
        raise InputError(f"storage: {path} cannot be a file: expected one in a folder that exists.")
    return str(path)


def open_study(
    storage: Any, name: str | None, sampler: Any, pruner: Any, about: dict[str, str]
) -> optuna.Study:
    """Create a study, or load the one of this name, which must be about the same search.

    Raises
    ------
    InputError
        If the storage cannot be read, or its study is about something else.
    """
    import optuna

    if name is None and storage is not None:
        name = DEFAULT_NAME
    try:
        with _quiet():
            study = optuna.create_study(
                storage=open_storage(storage),
                study_name=name,
                sampler=sampler,
                pruner=pruner,
                direction="maximize",
                load_if_exists=True,
            )
        found, n_trials = study.user_attrs.get(IDENTITY), len(study.get_trials(deepcopy=False))
    except DipkitError:
        raise
    except Exception as error:  # SQLAlchemy, JSON, the file system, a missing driver
        raise InputError(
            f"storage: {storage} cannot be read as a study: {type(error).__name__}: "
            f"{str(error).splitlines()[0] if str(error) else ''}. Name another storage, or "
            "restore this one."
        ) from error
    if found is None and not n_trials:
        study.set_user_attr(IDENTITY, about)
        return study
    differing = [key for key in about if (found or {}).get(key) != about[key]]
    if differing:
        raise InputError(
            f"study_name: the study {study.study_name!r} in {storage} belongs to a search with "
            f"another {', '.join(differing)}. Choose another study_name or storage."
        )
    return study


def run_trials(
    study: optuna.Study,
    objective: Callable[[Any], float],
    n_trials: int,
    timeout: float | None,
    n_jobs: int,
    callbacks: Iterable[Callable[[Any, Any], None]],
) -> None:
    """Run trials until so many are finished in the study, those of other processes included."""
    from optuna.study import MaxTrialsCallback

    left = n_trials - len(finished(study))
    if left <= 0:
        return
    stop = MaxTrialsCallback(n_trials, states=_finished_states())
    with _quiet():
        study.optimize(
            objective,
            n_trials=left,
            timeout=timeout,
            n_jobs=n_jobs,
            catch=(TrialFailure,),
            callbacks=[stop, *callbacks],
        )


def _finished_states() -> tuple[Any, ...]:
    from optuna.trial import TrialState

    return (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


def finished(study: optuna.Study) -> list[Any]:
    """Trials that came to an end, whatever it was."""
    return cast("list[Any]", study.get_trials(deepcopy=False, states=_finished_states()))


def has_scores(study: optuna.Study) -> bool:
    """Tell whether any trial has a score."""
    from optuna.trial import TrialState

    return bool(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))


def completed(study: optuna.Study) -> list[Any]:
    """Trials with a score.

    Raises
    ------
    InputError
        If there is none; tells why the first one failed.
    """
    from optuna.trial import TrialState

    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if trials:
        return cast("list[Any]", trials)
    reasons = [trial.user_attrs[REASON] for trial in finished(study) if REASON in trial.user_attrs]
    if reasons:
        raise InputError(f"space: all {len(reasons)} trials failed. The first: {reasons[0]}")
    raise InputError("n_trials, timeout: no trial was finished. Give more of both.")


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna tells every trial on stderr; the caller shows what is worth showing."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def report(trial: Any, score: float, step: int) -> None:
    """Tell the pruner how a trial does after a fold; raises Optuna's TrialPruned to end it."""
    import optuna

    trial.report(score, step)
    if trial.should_prune():
        raise optuna.TrialPruned


def optuna_figures(study: optuna.Study) -> dict[str, Any]:
    """Optuna's own plots of a study by caption, as matplotlib figures that pyplot has forgotten."""
    import optuna
    from optuna.visualization import matplotlib as plots

    from ..report.plots import borrowed_pyplot

    figures: dict[str, Any] = {}
    with warnings.catch_warnings(), borrowed_pyplot():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        axes = plots.plot_optimization_history(study, target_name="score: minus error (D)")
        figures["History of the search"] = axes.figure
        scored = completed(study)
        # Importances need trials that differ, in parameters and in scores.
        if (
            len({tuple(t.params.items()) for t in scored}) > 1
            and len({t.value for t in scored}) > 1
        ):
            axes = plots.plot_param_importances(study)
            figures["Importance of the parameters"] = axes.figure
    for figure in figures.values():
        figure.set_layout_engine("constrained")
        figure.set_size_inches(9.0, 4.0)
    return figures


def fixed_trial(trial: Any) -> Any:
    """Return a trial that suggests what another one drew."""
    from optuna.trial import FixedTrial

    return FixedTrial(trial.params)


def default_sampler(seed: int | None, n_before: int = 0) -> Any:
    """Optuna's usual sampler; a resumed study does not draw its first trials again."""
    from optuna.samplers import TPESampler

    if seed is not None:
        seed = int(np.random.SeedSequence([seed, n_before]).generate_state(1)[0])
    return TPESampler(seed=seed)


def default_pruner(folds_apart: bool) -> Any:
    """Stop what is worse than the median after a fold, once ten trials are there to compare.

    Parameters
    ----------
    folds_apart : bool
        Whether folds are computed one after the other: else there is nothing to stop.
    """
    from optuna.pruners import MedianPruner, NopPruner

    return MedianPruner(n_startup_trials=10, n_warmup_steps=1) if folds_apart else NopPruner()


def enqueue(study: optuna.Study, space: Space, current: Mapping[str, Any]) -> None:
    """Try the parameters as they are first, those that the space names and holds."""
    if callable(space) or study.get_trials(deepcopy=False):
        return
    inside = {
        name: current[name]
        for name, distribution in space.items()
        if _contains(distribution, current[name])
    }
    if inside:
        study.enqueue_trial(inside)


def _contains(distribution: Any, value: Any) -> bool:
    if hasattr(distribution, "choices"):
        return value in distribution.choices
    if not isinstance(value, int | float) or not distribution.low <= value <= distribution.high:
        return False
    steps = 0.0 if distribution.step is None else (value - distribution.low) / distribution.step
    return abs(steps - round(steps)) < 1e-8
